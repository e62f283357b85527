"""Hold a weight with a gate of the load tester and count who answers meanwhile."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from tests.e2e.place import LoadTester, Place
from tests.traffic.client import SteadyClient

SIGNIFICANT = 1e-6
"""Shares that are less likely than this, were the weight the one asked for, are not chance."""


async def climb(place: Place, tester: LoadTester, weight: int) -> None:
    """Let one step pass the gate."""
    await tester.open()
    await place.weight_is(weight)
    await tester.close()


async def counted(place: Place, users: SteadyClient, at_least: int, *, after: float = 1.0) -> dict[str, int]:
    """Count answers by version under a weight that stands, ``after`` the seconds in which the proxy learns of it."""
    await asyncio.sleep(after)
    began = datetime.now(UTC)
    seen: dict[str, int] = {}

    async def enough() -> bool:
        seen.update(users.summary().between(began, datetime.now(UTC)).by_version())
        return sum(seen.values()) >= at_least

    await place.until(enough, f"{at_least} answers", patience=60, pause=0.5)
    return seen


async def passes(place: Place, *metrics: str) -> None:
    """Wait until these checks, and no others, have passed on what the proxy counted."""
    wanted = dict.fromkeys(metrics, "Passed")

    async def there() -> bool:
        checks = (await place.canary())["status"]["rollout"].get("checks") or []
        return {check["name"]: check["verdict"] for check in checks} == wanted

    await place.until(there, f"passed {metrics}")
