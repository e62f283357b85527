"""DaemonSets under traffic: Blue/Green behind the apex Service, and in steps behind Envoy."""

from __future__ import annotations

import pytest

from flaggerpy.api.constants import FINALIZER, SCALE_TO_ZERO
from flaggerpy.kube.objects import JsonObject, finalizers_of
from flaggerpy.kube.resources import CANARIES, DAEMONSETS
from tests.e2e import stage, workloads
from tests.e2e.conftest import Figures
from tests.e2e.place import Place, assert_served, new_place, tally
from tests.e2e.workloads import blue_green, progressive
from tests.integration.objects import of_daemon_set

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


async def roll_out(place: Place, tag: str) -> None:
    body = {"spec": {"template": {"spec": {"containers": [workloads.container(tag)]}}}}
    await place.edit(DAEMONSETS, "podinfo", body)


async def sleeps(place: Place) -> bool:
    spec = (await place.get(DAEMONSETS, "podinfo"))["spec"]["template"]["spec"]
    return SCALE_TO_ZERO in (spec.get("nodeSelector") or {})


async def image(place: Place, name: str) -> str:
    found: JsonObject = await place.get(DAEMONSETS, name)
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"]).rpartition(":")[2]


async def test_a_daemon_set_is_taken_over_rolled_out_and_given_back(figures: Figures) -> None:
    async with new_place("daemonset") as place:
        await place.apply(workloads.daemon_set(), workloads.service())
        url = f"http://{await place.cluster_ip()}/"
        await place.answers(url)
        async with place.users(url=url) as users:
            await place.bootstrap(of_daemon_set(blue_green()))
            assert await sleeps(place)
            await roll_out(place, "6.0.1")
            await place.phase_is("Succeeded", patience=120)
            await place.all_served_by(users, "6.0.1")
            await place.until(lambda: sleeps(place), "a DaemonSet that sleeps")
            canary = await place.edit(CANARIES, "podinfo", {"spec": {"revertOnDeletion": True}})
            assert FINALIZER in finalizers_of(canary)
            await place.client.delete(place.ref(CANARIES, "podinfo"))
            await place.gone(patience=90)
            await place.answers_to(users, 200)
        summary = users.summary()
        figures(tally(summary))
        assert_served(summary)
        assert not await sleeps(place)
        assert (await place.get(DAEMONSETS, "podinfo"))["status"]["numberReady"] == 1
        assert await place.find(DAEMONSETS, "podinfo-primary") is None
        assert await place.selector("podinfo") == {"app": "podinfo"}


async def test_a_daemon_set_gets_users_in_steps(figures: Figures) -> None:
    async with new_place("daemonset-weights") as place:
        await place.apply(workloads.daemon_set(), workloads.service(), workloads.route(place.host))
        await place.answers(stage.ENVOY)
        async with place.users() as users:
            await place.bootstrap(of_daemon_set(progressive(place.host, step=25)))
            await roll_out(place, "6.0.1")
            await place.phase_is("Succeeded", patience=120)
            await place.all_served_by(users, "6.0.1")
        summary = users.summary()
        figures(tally(summary))
        assert_served(summary)
        assert set(summary.by_version()) == {"6.0.0", "6.0.1"}
        assert await image(place, "podinfo-primary") == "6.0.1"
