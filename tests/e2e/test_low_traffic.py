"""One request a second: no verdict before there is enough to judge by, and then the release is promoted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.e2e.conftest import Figures
from tests.e2e.held_up import told, verdicts
from tests.e2e.place import Place, assert_served, new_place, tally
from tests.e2e.workloads import own_proxy, proxied, root_proxy

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(500)]

RATE = 1.0
SHARE = 60
"""Percent: 36 requests in the window, of which chance does not make fewer than those that are needed."""
NEEDED = 20
BLUR = 0.75
"""What of them has been asked for sure: increase() adds what it takes for missed at the ends of its window."""
METRIC = "request-success-rate"


async def test_few_users_are_waited_for_and_then_the_release_is_promoted(figures: Figures) -> None:
    async with new_place("low-traffic") as place:
        await place.set_up(proxies=(own_proxy(), root_proxy(place.host)))
        guards = {"minSamples": NEEDED, "consecutiveErrorLimit": 60}
        metric = {"name": METRIC, "interval": "1m", "thresholdRange": {"min": 99}, **guards}
        await place.bootstrap(proxied(interval="5s", stepWeights=[SHARE], threshold=1, metrics=[metric]))
        began = datetime.now(UTC)
        async with place.users(rate=RATE) as users:
            await place.roll_out("6.0.1")
            few = await place.event(f"samples are too few, {NEEDED} are needed", patience=90)
            await place.until(lambda: _inconclusive(place), "verdict that there is too little to judge by")
            assert await place.image("podinfo-primary") == "6.0.0"
            passed = await place.ends("Succeeded", patience=180)
        async with place.users() as more:
            await place.all_served_by(more, "6.0.1")
        figures(tally(users.summary()))
        assert_served(users.summary())
        assert_served(more.summary())

        (check,) = passed["status"]["rollout"]["checks"]
        assert check["verdict"] == "Passed"
        # The only step was passed at once when there was a verdict, so this one was the first.
        seen = users.summary().between(began, datetime.fromisoformat(check["at"])).by_version()
        figures(f"low-traffic: judged by {seen}")
        assert seen["6.0.1"] >= NEEDED * BLUR
        assert few.startswith(f"metric {METRIC}: ")
        await told(place, f"metric {METRIC}: ", 1)


async def _inconclusive(place: Place) -> bool:
    found = (await verdicts(place)).get(METRIC)
    return found is not None and found["verdict"] == "Inconclusive"
