"""One receiver's line: alerts are sent one after the other, tried again, and never faster than a receiver can take.

The order is kept for each canary. An alert that has to wait for its next try holds back those of its own canary and of
nobody else; a receiver that asks for a pause gets it. What is more than may wait is left out, least severe and oldest
first, and one summary says how much that was.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from flaggerpy.api.analysis import Severity
from flaggerpy.clock import Clock
from flaggerpy.controller.hooks import backoff
from flaggerpy.kube.throttle import TokenBucket
from flaggerpy.notifiers.base import Alert

ATTEMPTS = 8
"""With pauses of 1, 2, 4, 8, 16, 30 and 30 s between them, an outage of a minute and a half loses nothing."""
LONGEST_PAUSE = 300.0
"""Seconds; a receiver that asks for a longer pause is tried again after this."""
BURST, SECONDS_APART = 10, 2.0
"""So many alerts at once, then one every so many seconds: what the strictest of the chats (Discord) takes."""
MOST_WAITING = 50
_NAMED = 5
_RANK = {severity: rank for rank, severity in enumerate(Severity)}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one try ended.

    Attributes:
        reason: why it was not taken, empty when it was.
        again: whether another try may help.
        pause: seconds that the receiver asks for, None when it asks for nothing.

    """

    reason: str = ""
    again: bool = False
    pause: float | None = None


@dataclass(eq=False, slots=True)
class _Letter:
    alert: Alert
    over: asyncio.Future[str | None]
    tries: int = 0
    not_before: float = 0.0
    under_way: bool = False


@dataclass(slots=True)
class _LeftOut:
    severities: Counter[Severity] = field(default_factory=Counter)
    canaries: dict[str, None] = field(default_factory=dict)

    def add(self, alert: Alert) -> None:
        self.severities[alert.severity] += 1
        self.canaries[alert.author] = None

    def summary(self) -> Alert:
        """Say how much was left out, of whom, in one line."""
        total = self.severities.total()
        kinds = ", ".join(f"{count} {severity.value}" for severity, count in sorted(self.severities.items()))
        names, more = list(self.canaries), len(self.canaries) - _NAMED
        whose = ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        return Alert(
            canary="flaggerpy",
            namespace="",
            severity=max(self.severities, key=_RANK.__getitem__),
            message=f"{total} alert{'s were' if total > 1 else ' was'} left out, as too many came at once ({kinds}): "
            f"see the events of {whose}.",
        )


class Line:
    """What waits for one receiver.

    Args:
        post: makes one try to send an alert.
        clock: the time.
        on_drop: is told how many alerts were just left out.

    """

    def __init__(
        self, post: Callable[[Alert], Awaitable[Attempt]], clock: Clock, on_drop: Callable[[int], None]
    ) -> None:
        self._post = post
        self._clock = clock
        self._on_drop = on_drop
        self._letters: list[_Letter] = []
        self._left_out = _LeftOut()
        self._bucket = TokenBucket.full(1 / SECONDS_APART, BURST, clock.monotonic())
        self._paused_until = 0.0
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    def put(self, alert: Alert) -> asyncio.Future[str | None]:
        """Hand over an alert; returns at once.

        The future is done when it was taken (an empty text), given up (the reason), or left out (None).
        """
        letter = _Letter(alert, asyncio.get_running_loop().create_future())
        self._letters.append(letter)
        if len(self._letters) > MOST_WAITING:
            self._leave_out()
        self._arrived.set()
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work(), name="alerts")
        return letter.over

    @property
    def worker(self) -> asyncio.Task[None] | None:
        """The task that sends what waits; None while nothing does."""
        return self._worker

    @property
    def is_idle(self) -> bool:
        """Whether it remembers nothing: neither what waits or was left out, nor what was sent of late or asked for."""
        now = self._clock.monotonic()
        self._bucket.refill(now)
        rested = now >= self._paused_until and self._bucket.tokens >= BURST
        return self._worker is None and not self._left_out.canaries and rested

    async def abandon(self) -> int:
        """Stop sending; return how many were not sent."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        left = len(self._letters)
        for letter in list(self._letters):
            self._end(letter, None)
        return left

    def _leave_out(self) -> None:
        waiting = [one for one in self._letters if not one.under_way and one.alert.namespace]
        letter = min(waiting, key=lambda one: _RANK[one.alert.severity])
        self._end(letter, None)
        self._left_out.add(letter.alert)
        self._on_drop(1)

    def _end(self, letter: _Letter, result: str | None) -> None:
        self._letters.remove(letter)
        if not letter.over.done():
            letter.over.set_result(result)

    async def _work(self) -> None:
        try:
            while self._summarised() or self._letters:
                await self._until(self._paused_until)
                await self._until(self._clock.monotonic() + self._bucket.reserve(self._clock.monotonic()))
                if (letter := await self._next()) is not None:
                    await self._try(letter)
        finally:
            # No await between finding nothing left and leaving, so put() cannot slip in between.
            self._worker = None

    def _summarised(self) -> bool:
        """Let a summary wait in line as soon as there is room; tell whether one was added."""
        if not self._left_out.canaries or len(self._letters) > MOST_WAITING // 2:
            return False
        alert, self._left_out = self._left_out.summary(), _LeftOut()
        self._letters.append(_Letter(alert, asyncio.get_running_loop().create_future()))
        return True

    async def _until(self, moment: float) -> None:
        if (seconds := moment - self._clock.monotonic()) > 0:
            await self._clock.sleep(seconds)

    async def _next(self) -> _Letter | None:
        """Return the first alert that is due, once there is one; None when all that waited is gone."""
        while self._letters:
            now, first = self._clock.monotonic(), dict[str, _Letter]()
            for letter in self._letters:
                first.setdefault(letter.alert.author, letter)
            due = next((letter for letter in first.values() if letter.not_before <= now), None)
            if due is not None:
                return due
            await self._sleep_or_arrival(min(letter.not_before for letter in first.values()) - now)
        return None

    async def _sleep_or_arrival(self, seconds: float) -> None:
        self._arrived.clear()
        waits = [asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._arrived.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _try(self, letter: _Letter) -> None:
        letter.under_way = True
        try:
            attempt = await self._post(letter.alert)
        except Exception:
            log.exception("an alert could not be sent", canary=letter.alert.author)
            attempt = Attempt("it failed in an unforeseen way")
        finally:
            letter.under_way = False
        letter.tries += 1
        if not attempt.reason or not attempt.again or letter.tries >= ATTEMPTS:
            self._end(letter, attempt.reason)
            return
        now = self._clock.monotonic()
        if attempt.pause is not None:
            self._paused_until = letter.not_before = now + min(attempt.pause, LONGEST_PAUSE)
        else:
            letter.not_before = now + backoff(letter.tries - 1)
