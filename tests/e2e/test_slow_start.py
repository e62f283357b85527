"""A release that is slow in its first 20 seconds: a warm-up forgives it, and without one it is rolled back."""

from __future__ import annotations

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import DEPLOYMENTS
from tests.e2e import programs
from tests.e2e.conftest import Figures
from tests.e2e.held_up import times_told
from tests.e2e.place import Place, assert_served, new_place, tally
from tests.e2e.slow_starter import COLD, SLOW
from tests.e2e.workloads import own_proxy, proxied, root_proxy
from tests.traffic.summary import Summary

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(500)]

WINDOW = 15
LAG = 10
"""Seconds: Envoy sums up its histograms every five, and users are there a moment after the share."""
WARM_UP = 50
"""Seconds: those that are slow and those that a measurement looks back on, so that it sees none of them."""
METRIC: JsonObject = {
    "name": "request-duration",
    "interval": f"{WINDOW}s",
    "thresholdRange": {"max": 1000},
    "onNoData": "wait",
}
"""What the proxy measures, up to what a busy machine takes; it has no value before its second scrape with users."""


def judged(**warm_up: str) -> JsonObject:
    return proxied(interval="5s", stepWeight=25, maxWeight=50, threshold=2, metrics=[METRIC], **warm_up)


async def set_up(place: Place, canary: JsonObject) -> None:
    await place.set_up(proxies=(own_proxy(), root_proxy(place.host)))
    await place.bootstrap(canary)


async def roll_out_a_slow_starter(place: Place, version: str) -> None:
    """Push a revision that runs the slow starter in the place of podinfo."""
    fields = {"image": programs.IMAGE, "command": programs.command("slow_starter", version)}
    path = "/spec/template/spec/containers/0"
    patch = [{"op": "add", "path": f"{path}/{name}", "value": value} for name, value in fields.items()]
    await place.client.json_patch(place.ref(DEPLOYMENTS, "podinfo"), patch)


def slow_answers(summary: Summary, version: str) -> int:
    return len([record for record in summary.records if record.version == version and record.seconds >= SLOW])


async def test_a_slow_start_is_rolled_back_without_a_warm_up(figures: Figures) -> None:
    async with new_place("slow-start") as place:
        await set_up(place, judged())
        async with place.users() as users:
            await roll_out_a_slow_starter(place, "6.0.1")
            failed = await place.ends("Failed", patience=180)
            await place.all_served_by(users, "6.0.0")
        figures(tally(users.summary()))
        assert_served(users.summary())
        assert slow_answers(users.summary(), "6.0.1") > 0
        why = failed["status"]["rollout"]["failing"]
        assert why.startswith("failed checks threshold reached 2: metric request-duration is "), why
        assert "> 1s" in await place.event("Halt podinfo.slow-start advancement request duration")
        assert await place.image("podinfo-primary") == "6.0.0"


async def test_a_warm_up_forgives_a_slow_start(figures: Figures) -> None:
    assert WARM_UP >= COLD + SLOW + LAG + WINDOW
    async with new_place("warm-up") as place:
        await set_up(place, judged(initialDelay=f"{WARM_UP}s"))
        async with place.users() as users:
            await roll_out_a_slow_starter(place, "6.0.1")
            reason = f"metric request-duration is not measured in the first {WARM_UP}s"
            await place.until(lambda: _waits(place, reason), reason)
            passed = await place.ends("Succeeded", patience=180)
            await place.all_served_by(users, "6.0.1")
        figures(tally(users.summary()))
        assert_served(users.summary())
        assert set(users.summary().by_version()) == {"6.0.0", "6.0.1"}
        assert slow_answers(users.summary(), "6.0.1") > 0
        (check,) = passed["status"]["rollout"]["checks"]
        assert check["verdict"] == "Passed"
        assert int(check.get("failures") or 0) == 0
        assert await times_told(place, "Halt ") == 0


async def _waits(place: Place, reason: str) -> bool:
    rollout = ((await place.canary()).get("status") or {}).get("rollout") or {}
    return str(rollout.get("reason") or "") == reason
