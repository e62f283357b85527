"""Which key comes next: now, at a time, or after a failure; and never to two workers at once.

Knows nothing of what a key means or of who works on it.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import OrderedDict
from collections.abc import Coroutine
from datetime import datetime
from itertools import count
from typing import Any

from flaggerpy.clock import Clock

Key = tuple[str, str]
"""Namespace and name."""

REMEMBERED = 10_000
"""Keys of which is known when they were taken last; others were taken earlier than these."""


class WorkQueue:
    """Keys that want attention, each at most once.

    Whose turn was longest ago comes first: where many begin at once, the last of them does not wait for the second
    steps of the first. Nobody waits for ever, since everybody's last turn becomes the longest ago.

    A key that is taken forgets its appointments: whoever works on it makes the next one. A key that is added
    while somebody works on it comes again when that work is done.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        rng: random.Random | None = None,
        first_delay: float = 0.5,
        longest_delay: float = 30.0,
    ) -> None:
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, keeps no secret
        self._first_delay = first_delay
        self._longest_delay = longest_delay
        self._ready: set[Key] = set()
        self._order: list[tuple[int, int, Key]] = []
        self._taken: OrderedDict[Key, int] = OrderedDict()
        self._numbers = count(1)
        self._running: set[Key] = set()
        self._again: set[Key] = set()
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._failures: dict[Key, int] = {}
        self._changed = asyncio.Event()

    @property
    def depth(self) -> int:
        """Return how many keys could be worked on now."""
        return len(self._ready)

    @property
    def waiting(self) -> int:
        """Return how many keys have an appointment later."""
        return len(self._due)

    @property
    def running(self) -> int:
        """Return how many keys are being worked on."""
        return len(self._running)

    def add(self, key: Key) -> None:
        """Ask for the key as soon as possible."""
        if key in self._running:
            self._again.add(key)
        elif key not in self._ready:
            self._ready.add(key)
            heapq.heappush(self._order, (self._taken.get(key, 0), next(self._numbers), key))
            self._changed.set()

    def add_at(self, key: Key, when: datetime) -> None:
        """Ask for the key at a time; of several times the earliest wins.

        The wait is measured by the monotonic clock, so that a wall clock set back does not prolong it.
        """
        self._add_after(key, (when - self._clock.now()).total_seconds())

    def retry(self, key: Key) -> None:
        """Ask for the key after a delay that doubles with every failure in a row, jittered, up to a cap."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay: float = min(self._longest_delay, self._first_delay * 2.0 ** min(failures - 1, 32))
        self._add_after(key, delay * self._rng.uniform(0.5, 1.0))

    def forget(self, key: Key) -> None:
        """Take the key's failures as healed."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """Wait for a key and take it; `done` gives it back."""
        while True:
            self._promote_due()
            if self._ready:
                *_, key = heapq.heappop(self._order)
                self._ready.remove(key)
                self._due.pop(key, None)
                self._running.add(key)
                self._note_turn(key)
                return key
            self._changed.clear()
            await self._change_or_appointment()

    def done(self, key: Key) -> None:
        """Give the key back."""
        self._running.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _note_turn(self, key: Key) -> None:
        self._taken[key] = next(self._numbers)
        self._taken.move_to_end(key)
        if len(self._taken) > REMEMBERED:
            self._taken.popitem(last=False)

    def _add_after(self, key: Key, seconds: float) -> None:
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))
            self._changed.set()

    def _promote_due(self) -> None:
        now = self._clock.monotonic()
        while self._heap and (self._heap[0][0] <= now or self._is_stale(self._heap[0])):
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)

    def _is_stale(self, appointment: tuple[float, Key]) -> bool:
        due, key = appointment
        return self._due.get(key) != due

    async def _change_or_appointment(self) -> None:
        if not self._heap:
            await self._changed.wait()
            return
        delay = max(0.0, self._heap[0][0] - self._clock.monotonic())
        await _first_of(self._changed.wait(), self._clock.sleep(delay))


async def _first_of(*waits: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
