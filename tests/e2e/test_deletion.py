"""Deleting a Canary, or all of flaggerpy, under traffic: users go back to the target and none of them notices."""

from __future__ import annotations

import pytest

from flaggerpy.api.constants import FINALIZER
from flaggerpy.kube.errors import NotFound
from flaggerpy.kube.objects import JsonObject, finalizers_of, labels_of
from flaggerpy.kube.resources import HTTP_ROUTES, NAMESPACES, SERVICES, Ref
from tests.e2e import own, workloads
from tests.e2e.conftest import Figures
from tests.e2e.handover import AFTERWARDS, delete, handed_back, under_control, watching
from tests.e2e.place import Place, assert_served, new_place, tally
from tests.e2e.workloads import blue_green, progressive

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


async def restored(place: Place) -> None:
    """Service and route are what the user wrote."""
    service, wanted = await place.get(SERVICES, "podinfo"), workloads.service()
    assert labels_of(service) == wanted["metadata"]["labels"]
    assert service["spec"]["ports"] == [{**wanted["spec"]["ports"][0], "protocol": "TCP"}]
    route = (await place.get(HTTP_ROUTES, "podinfo"))["spec"]
    assert route["hostnames"] == [place.host]
    assert [ref["name"] for rule in route["rules"] for ref in rule["backendRefs"]] == ["podinfo"]


@pytest.mark.parametrize("way", ["background", "foreground", "orphan"])
@pytest.mark.parametrize("kind", ["plain", "revert"])
async def test_deleting_a_canary_loses_no_request(kind: str, way: str, figures: Figures) -> None:
    async with new_place(f"{kind}-{way}") as place:
        await place.set_up()
        await under_control(place, progressive(place.host, interval="2s", revert=kind == "revert"))
        async with place.users() as users, watching(place) as handover:
            await delete(place, way)
            await place.gone(patience=90)
            await place.answers_to(users, AFTERWARDS)
        figures(tally(users.summary()))
        assert_served(users.summary())
        handover.assert_target_was_ready()
        await handed_back(place)
        await restored(place)


async def test_deletion_waits_for_a_controller_that_is_away_and_loses_no_request(figures: Figures) -> None:
    async with new_place("deleted-without-controller", own_controller=True) as place:
        controller = await own.install(place, replicas=1)
        await place.set_up()
        await under_control(place, progressive(place.host, interval="2s", revert=True))
        await controller.scale(0)
        async with place.users() as users, watching(place) as handover:
            await delete(place)
            await place.answers_to(users, 250)
            assert finalizers_of(await place.canary()) == (FINALIZER,)
            await controller.scale(1)
            await place.gone(patience=90)
            await place.answers_to(users, AFTERWARDS)
        figures(tally(users.summary()))
        assert_served(users.summary())
        handover.assert_target_was_ready()
        await handed_back(place)
        await restored(place)


async def test_uninstalling_the_chart_hands_users_back_and_leaves_no_finalizer(figures: Figures) -> None:
    async with new_place("uninstalled", own_controller=True) as place:
        controller = await own.install(place)
        await place.set_up()
        await under_control(place, progressive(place.host, interval="2s", revert=False))
        async with place.users() as users, watching(place) as handover:
            await controller.uninstall()
            assert finalizers_of(await place.canary()) == ()
            await place.answers_to(users, AFTERWARDS)
        figures(tally(users.summary()))
        assert_served(users.summary())
        handover.assert_target_was_ready()
        await handed_back(place)
        assert await place.phase() == "Terminated"
        # Nobody is there to let go of it, and nobody has to.
        await delete(place)
        await place.gone()


async def test_namespace_with_canaries_goes_by_itself() -> None:
    async with new_place("namespace-gone") as place:
        await place.set_up()
        await place.bootstrap(progressive(place.host, interval="2s"))
        await place.apply(*_another())
        await place.phase_is("Initialized", "other", patience=90)
        namespace = Ref(NAMESPACES, "", place.namespace)
        await place.client.delete(namespace)

        async def gone() -> bool:
            try:
                await place.client.get(namespace)
            except NotFound:
                return True
            return False

        await place.until(gone, "end of the namespace", patience=60, pause=0.5)


def _another() -> list[JsonObject]:
    """Write a second workload with a Canary of the other provider."""
    deployment, canary = workloads.deployment(), blue_green()
    for obj in (deployment, canary):
        obj["metadata"]["name"] = "other"
    deployment["spec"]["selector"]["matchLabels"] = {"app": "other"}
    deployment["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    canary["spec"]["targetRef"]["name"] = "other"
    return [deployment, canary]
