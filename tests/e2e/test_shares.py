"""Envoy gives the canary the share that was asked for: held by a closed gate, counted, and tested exactly."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Figures
from tests.e2e.counting import SIGNIFICANT, climb, counted
from tests.e2e.place import assert_served, load_tester, new_place, tally
from tests.e2e.workloads import gate, progressive
from tests.traffic.binomial import two_sided

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

WEIGHTS = (10, 20, 30, 40, 50)
AT_LEAST = 2000
RATE = 200.0


async def test_shares_at_the_proxy_are_the_weights_asked_for(figures: Figures) -> None:
    async with new_place("shares") as place, load_tester(place) as tester:
        await place.set_up()
        hooks = [gate("confirm-traffic-increase")]
        await place.bootstrap(progressive(place.host, step=10, interval="2s", webhooks=hooks))
        rows: list[tuple[int, int, int, float]] = []
        async with place.users(rate=RATE) as users:
            await place.roll_out("6.0.1")
            for weight in WEIGHTS:
                await climb(place, tester, weight)
                seen = await counted(place, users, AT_LEAST)
                total, canary = sum(seen.values()), seen.get("6.0.1", 0)
                assert (await place.weights())["podinfo-canary"] == weight, "the gate did not hold the weight"
                rows.append((weight, total, canary, two_sided(canary, total, weight / 100)))
            await tester.open()
            await place.ends("Succeeded")
        figures("asked   answers   canary    share          p")
        for weight, total, canary, chance in rows:
            figures(f"{weight:4d} % {total:8d} {canary:8d} {100 * canary / total:7.2f} % {chance:10.3g}")
        figures(tally(users.summary()))
        assert_served(users.summary())
        assert [row for row in rows if row[3] < SIGNIFICANT] == []
