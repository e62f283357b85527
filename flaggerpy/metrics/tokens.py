"""Credentials that others lend for a while, kept until shortly before they end.

A provider lives for one measurement, the connections for as long as the process: what was lent is kept beside
them. Nothing here knows who lends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from flaggerpy.metrics.outbound import Outbound

T = TypeVar("T")
_RENEW_BEFORE = timedelta(minutes=5)


class NotLent(Exception):
    """There are no credentials; the message is a clause without secrets.

    ``silent`` tells whether who lends did not answer at all: nobody waits for them once more in the same round.
    """

    def __init__(self, message: str, *, silent: bool = False) -> None:
        super().__init__(message)
        self.silent = silent


@dataclass(frozen=True, slots=True)
class Lent(Generic[T]):
    """What was lent, and until when it can be used; without an end it is asked for each time."""

    value: T = field(repr=False)
    until: datetime | None = None

    def fresh(self, now: datetime, margin: timedelta = timedelta()) -> bool:
        """Tell whether it can still be used, for a while longer than the margin."""
        return self.until is not None and now < self.until - margin


@dataclass(slots=True)
class _Kept:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    lent: Lent[Any] | None = None


_KEPT: WeakKeyDictionary[Outbound, dict[Hashable, _Kept]] = WeakKeyDictionary()


async def borrow(outbound: Outbound, whose: Hashable, now: datetime, lend: Callable[[], Awaitable[Lent[T]]]) -> T:
    """Return what is kept under this name, lent anew when it is about to end.

    ``whose`` tells apart everybody who must not share. Where it cannot be renewed yet it is used to its end.

    Raises:
        NotLent: there is nothing to use.

    """
    kept = _KEPT.setdefault(outbound, {}).setdefault(whose, _Kept())
    async with kept.lock:
        last: Lent[T] | None = kept.lent
        if last is None or not last.fresh(now, _RENEW_BEFORE):
            try:
                last = kept.lent = await lend()
            except NotLent:
                if last is None or not last.fresh(now):
                    raise
        return last.value


def give_back(outbound: Outbound, whose: Hashable) -> None:
    """Forget what was lent, because it was refused."""
    _KEPT.get(outbound, {}).pop(whose, None)
