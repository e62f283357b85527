"""Deleting a Canary, or all of flaggerpy, under traffic: users go back to the target and none of them notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from flaggerpy.api.constants import FINALIZER
from flaggerpy.kube.errors import NotFound
from flaggerpy.kube.objects import JsonObject, annotations_of, finalizers_of, is_deleting, labels_of, name_of
from flaggerpy.kube.resources import DEPLOYMENTS, HTTP_ROUTES, NAMESPACES, SERVICES, Ref
from tests.e2e import own, workloads
from tests.e2e.conftest import Figures
from tests.e2e.place import Place, assert_served, kubectl, new_place, tally
from tests.e2e.workloads import blue_green, progressive

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

AFTERWARDS = 750
"""Requests, 50 a second, that users still send once the Canary is gone."""
PRIMARY_REPLICAS = 3


@dataclass(slots=True)
class Handover:
    """What the target was like when the primary began to go."""

    target: JsonObject = field(default_factory=dict)
    primary: JsonObject = field(default_factory=dict)
    at_the_end: JsonObject | None = None

    def see(self, kind: str, obj: JsonObject) -> None:
        if name_of(obj) == "podinfo":
            self.target = obj
        elif name_of(obj) == "podinfo-primary":
            if (kind == "DELETED" or is_deleting(obj)) and self.at_the_end is None:
                self.at_the_end = self.target
            elif self.at_the_end is None:
                self.primary = obj

    def assert_target_was_ready(self) -> None:
        assert self.at_the_end is not None, "the primary never went"
        size = self.primary["spec"]["replicas"]
        ready = int(self.at_the_end["status"].get("availableReplicas") or 0)
        assert (self.at_the_end["spec"]["replicas"], ready) == (size, size)


@asynccontextmanager
async def watching(place: Place) -> AsyncIterator[Handover]:
    """Follow target and primary, in the order in which the store saw their changes."""
    seen = Handover()
    items, version = await place.client.list(DEPLOYMENTS, place.namespace)
    for item in items:
        seen.see("ADDED", item)

    async def follow() -> None:
        async for event in place.client.watch(DEPLOYMENTS, place.namespace, resource_version=version):
            if event.type in {"ADDED", "MODIFIED", "DELETED"}:
                seen.see(event.type, event.object)

    task = asyncio.create_task(follow())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait([task])


async def under_control(place: Place, *, revert: bool) -> None:
    """Put podinfo under a Canary's control, and give its primary a size of its own."""
    await place.set_up()
    await place.bootstrap(progressive(place.host, interval="2s", revert=revert))
    await place.until(lambda: _sleeps(place), "sleeping target", patience=30)
    await place.client.scale(place.ref(DEPLOYMENTS, "podinfo-primary"), PRIMARY_REPLICAS)
    await place.available("podinfo-primary")


async def _sleeps(place: Place) -> bool:
    return await place.replicas("podinfo") == 0


async def handed_back(place: Place) -> None:
    """The target serves by itself, and nothing of ours is left."""
    target = await place.get(DEPLOYMENTS, "podinfo")
    assert target["status"]["availableReplicas"] == target["spec"]["replicas"] == PRIMARY_REPLICAS
    assert await place.selector("podinfo") == {"app": "podinfo"}
    assert await place.weights() == {"podinfo": 1}
    assert await place.find(DEPLOYMENTS, "podinfo-primary") is None
    assert await place.find(SERVICES, "podinfo-primary") is None
    assert await place.find(SERVICES, "podinfo-canary") is None
    assert await place.ours() == []
    for resource in (DEPLOYMENTS, SERVICES, HTTP_ROUTES):
        obj = await place.get(resource, "podinfo")
        assert not finalizers_of(obj)
        assert not [key for key in annotations_of(obj) if "flagger" in key]


async def restored(place: Place) -> None:
    """Service and route are what the user wrote."""
    service, wanted = await place.get(SERVICES, "podinfo"), workloads.service()
    assert labels_of(service) == wanted["metadata"]["labels"]
    assert service["spec"]["ports"] == [{**wanted["spec"]["ports"][0], "protocol": "TCP"}]
    route = (await place.get(HTTP_ROUTES, "podinfo"))["spec"]
    assert route["hostnames"] == [place.host]
    assert [ref["name"] for rule in route["rules"] for ref in rule["backendRefs"]] == ["podinfo"]


async def delete(place: Place, way: str = "background") -> None:
    words = ("delete", "canary", "podinfo", f"--cascade={way}", "--wait=false")
    await asyncio.to_thread(kubectl, "-n", place.namespace, *words, check=True)


@pytest.mark.parametrize("way", ["background", "foreground", "orphan"])
@pytest.mark.parametrize("kind", ["plain", "revert"])
async def test_deleting_a_canary_loses_no_request(kind: str, way: str, figures: Figures) -> None:
    async with new_place(f"{kind}-{way}") as place:
        await under_control(place, revert=kind == "revert")
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
        await under_control(place, revert=True)
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
        await under_control(place, revert=False)
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
