"""A release that is slow only beside the primary: a comparison catches it, and a fixed bound lets it through."""

from __future__ import annotations

import pytest

from flaggerpy.kube.objects import JsonObject
from tests.e2e.conftest import Figures
from tests.e2e.place import assert_served, new_place, tally
from tests.e2e.workloads import own_proxy, proxied, root_proxy

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(500)]

SLOWER = ("--random-delay=true", "--random-delay-unit=ms", "--random-delay-min=600", "--random-delay-max=900")
"""The primary takes a few milliseconds, and on a busy machine not half as long as this."""
COMPARED: JsonObject = {"compareTo": "primary", "ratio": {"max": 2}}


def judged(**comparison: object) -> JsonObject:
    """Write a Canary with a bound of 2.5 seconds, and a comparison beside it if one is given."""
    metric = {
        "name": "request-duration",
        "interval": "15s",
        "thresholdRange": {"max": 2500},
        "onNoData": "wait",
        **comparison,
    }
    return proxied(interval="5s", stepWeight=10, maxWeight=50, threshold=2, metrics=[metric])


async def test_a_comparison_with_the_primary_catches_what_a_fixed_bound_lets_through(figures: Figures) -> None:
    async with new_place("compared") as place:
        await place.set_up(proxies=(own_proxy(), root_proxy(place.host)))
        await place.bootstrap(judged(**COMPARED))
        async with place.users() as users:
            await place.roll_out("6.0.1", *SLOWER)
            failed = await place.ends("Failed", patience=180)
            await place.all_served_by(users, "6.0.0")
        figures(f"compared: {tally(users.summary())}")
        assert_served(users.summary())
        why = failed["status"]["rollout"]["failing"]
        assert why.startswith("failed checks threshold reached 2: metric request-duration is "), why
        assert "accepted is <= 2.5s, <= 2 × the primary's " in why
        assert "> 2 × the primary's " in await place.event("Halt podinfo.compared advancement request duration")
        assert await place.image("podinfo-primary") == "6.0.0"

        await place.apply(judged())
        async with place.users() as users:
            await place.roll_out("6.0.2", *SLOWER)
            await place.started()
            passed = await place.ends("Succeeded", patience=180)
            await place.all_served_by(users, "6.0.2")
        figures(f"not compared: {tally(users.summary())}")
        assert_served(users.summary())
        (check,) = passed["status"]["rollout"]["checks"]
        assert (check["verdict"], check["bound"]) == ("Passed", "<= 2.5s")
        assert await place.image("podinfo-primary") == "6.0.2"
