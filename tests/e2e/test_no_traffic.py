"""Users stay away in mid-step: what nobody has measured is not promoted; it waits, or it is rolled back."""

from __future__ import annotations

import pytest

from flaggerpy.kube.objects import JsonObject
from tests.e2e.conftest import Figures
from tests.e2e.held_up import paused, stand, times_told, told, verdicts
from tests.e2e.place import Place, assert_served, new_place, tally
from tests.e2e.workloads import own_proxy, proxied, root_proxy
from tests.traffic.summary import Summary

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(500)]

LAST = 30
"""Share in percent after which the release would be promoted."""
METRIC = "request-success-rate"


def judged(**guard: object) -> JsonObject:
    """Write a Canary that judges a step of 20 seconds by its last 15: no users of the step before are among them."""
    metric = {"name": METRIC, "interval": "15s", "thresholdRange": {"min": 99}, **guard}
    return proxied(interval="20s", stepWeights=[10, LAST], threshold=2, metrics=[metric])


async def users_until_the_last_step(place: Place) -> Summary:
    """Push a release, have users until it has its last share, and none from then on."""
    async with place.users() as users:
        await place.roll_out("6.0.1")
        await place.weight_is(LAST, patience=120)
    return users.summary()


async def test_without_users_a_release_waits_if_it_is_to_and_goes_on_with_them(figures: Figures) -> None:
    async with new_place("users-gone") as place:
        await place.set_up(proxies=(own_proxy(), root_proxy(place.host)))
        await place.bootstrap(judged(onNoData="wait", consecutiveErrorLimit=1))
        before = await users_until_the_last_step(place)

        await place.event(f"no values found for metric {METRIC}", patience=90)
        held = await stand(place)
        assert (held.phase, held.weight, held.primary) == ("Progressing", LAST, "6.0.0")
        assert (await verdicts(place))[METRIC]["verdict"] == "Inconclusive"
        await paused(place)
        assert await stand(place) == held

        async with place.users() as users:
            await place.ends("Succeeded", patience=180)
            await place.all_served_by(users, "6.0.1")
        figures(f"users-gone: {tally(before)}; then {tally(users.summary())}")
        for summary in (before, users.summary()):
            assert_served(summary)
            assert set(summary.by_version()) == {"6.0.0", "6.0.1"}
        assert held.failed_checks == 0
        await told(place, f"no values found for metric {METRIC}", 1)
        assert await times_told(place, "Halt ") == 0


async def test_without_users_a_release_is_rolled_back_unless_it_is_to_wait(figures: Figures) -> None:
    async with new_place("users-gone-fails") as place:
        await place.set_up(proxies=(own_proxy(), root_proxy(place.host)))
        await place.bootstrap(judged())
        before = await users_until_the_last_step(place)
        failed = await place.ends("Failed", patience=180)

        async with place.users() as users:
            await place.all_served_by(users, "6.0.0")
        figures(f"users-gone-fails: {tally(before)}; then {tally(users.summary())}")
        for summary in (before, users.summary()):
            assert_served(summary)
        assert set(before.by_version()) == {"6.0.0", "6.0.1"}
        assert failed["status"]["rollout"]["failing"].startswith("failed checks threshold reached 2: ")
        missing = f"Halt advancement no values found for contour metric {METRIC}"
        assert "podinfo.users-gone-fails is not receiving traffic" in await place.event(missing)
        await told(place, missing, 2)
        assert await times_told(place, "Copying ") == 0
        assert await place.image("podinfo-primary") == "6.0.0"
