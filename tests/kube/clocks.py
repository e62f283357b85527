"""Clocks that tests move, and the one way in which tests wait."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

START = datetime(2031, 5, 17, 8, 30, 15, 250_009, tzinfo=UTC)


class ManualClock:
    """Time stands still until a test advances it."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return 1000.0 + self._elapsed

    @property
    def sleepers(self) -> int:
        """How many wait for this clock now."""
        return sum(not future.done() for _, _, future in self._sleepers)

    @property
    def next_wake(self) -> float:
        """Seconds until the next of them wakes."""
        return min(due for due, _, future in self._sleepers if not future.done()) - self._elapsed

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + max(0.0, seconds), next(self._order), future))
        await future

    def jump(self, seconds: float) -> None:
        """Move the time without letting anybody run in between, as a paused process sees it."""
        self._elapsed += seconds
        while self._sleepers and self._sleepers[0][0] <= self._elapsed:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)

    async def advance(self, seconds: float) -> None:
        """Move the time, waking sleepers in their order and letting them run at their time."""
        target = self._elapsed + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            self.jump(max(0.0, self._sleepers[0][0] - self._elapsed))
            await settle()
        self.jump(max(0.0, target - self._elapsed))
        await settle()


class SkippingClock(ManualClock):
    """Sleeping takes no time but moves the clock; it remembers how long everybody wanted to sleep."""

    def __init__(self, start: datetime = START) -> None:
        super().__init__(start)
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.jump(seconds)
        await asyncio.sleep(0)


async def settle(rounds: int = 20) -> None:
    """Let everything run that can run without time passing."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def eventually(condition: Callable[[], object], *, within: float = 10.0, what: str = "") -> None:
    """Wait for a condition with a limit."""
    try:
        async with asyncio.timeout(within):
            while not condition():  # noqa: ASYNC110 - a condition about others' state has no event
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"did not come true within {within} s: {what or condition}") from None
