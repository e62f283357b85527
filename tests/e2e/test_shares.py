"""Envoy gives the canary the share that was asked for: held by a closed gate, counted, and tested exactly."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from tests.e2e.conftest import Figures
from tests.e2e.place import LoadTester, Place, assert_served, load_tester, new_place, tally
from tests.e2e.workloads import gate, progressive
from tests.traffic.binomial import two_sided
from tests.traffic.client import SteadyClient

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

WEIGHTS = (10, 20, 30, 40, 50)
AT_LEAST = 2000
SIGNIFICANT = 1e-6
RATE = 200.0


async def climb(place: Place, tester: LoadTester, weight: int) -> None:
    """Let one step pass the gate."""
    await tester.open()
    await place.weight_is(weight)
    await tester.close()


async def counted(place: Place, users: SteadyClient) -> tuple[int, int]:
    """Count answers under a weight that stands: all of them, and the canary's."""
    await asyncio.sleep(1.0)  # the proxy learns of a new weight a moment later
    began = datetime.now(UTC)
    seen: dict[str, int] = {}

    async def enough() -> bool:
        seen.update(users.summary().between(began, datetime.now(UTC)).by_version())
        return sum(seen.values()) >= AT_LEAST

    await place.until(enough, f"{AT_LEAST} answers", patience=60, pause=0.5)
    return sum(seen.values()), seen.get("6.0.1", 0)


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
                total, canary = await counted(place, users)
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
