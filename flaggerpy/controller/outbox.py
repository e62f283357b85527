"""A bounded queue for things that are sent in the background and that nobody waits for.

Order is kept within a key (a canary), keys do not wait for each other, and a receiver that hangs
costs its own keys some messages and nobody anything else. What is sent and how lives elsewhere.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

import structlog

Item = TypeVar("Item")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Item]):
    """An item and how it is sent; whoever waits for a receiver shares its slots, which go with the last of them."""

    item: Item
    over: asyncio.Future[None]
    slots: asyncio.Semaphore


class Outbox(Generic[Item]):
    """Sends items in the background, in order for each key.

    Args:
        deliver: sends one item; what it raises is logged and the next item has its turn.
        what: names the items in logs.
        waiting: how many items of one key may wait; beyond it the oldest is dropped.
        at_once: how many keys send to one receiver at the same time.
        on_drop: is told how many items were just dropped.

    """

    def __init__(
        self,
        deliver: Callable[[Item], Awaitable[None]],
        *,
        what: str,
        waiting: int = 100,
        at_once: int = 5,
        on_drop: Callable[[int], None] | None = None,
    ) -> None:
        self.dropped = 0
        self._on_drop = on_drop
        self._deliver = deliver
        self._what = what
        self._waiting = waiting
        self._at_once = at_once
        self._slots: WeakValueDictionary[Hashable, asyncio.Semaphore] = WeakValueDictionary()
        self._queues: dict[Hashable, deque[_Waiting[Item]]] = {}
        self._senders: dict[Hashable, asyncio.Task[None]] = {}
        self._closed = False

    def put(self, key: Hashable, item: Item, receiver: Hashable) -> asyncio.Future[None]:
        """Hand over an item for a receiver; returns at once. After closing, items are dropped.

        The future is done once the item was delivered, given up or dropped; nobody has to wait for it.
        """
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._closed:
            over.set_result(None)
            self._drop(1)
            return over
        queue = self._queues.setdefault(key, deque())
        if len(queue) >= self._waiting:
            _over(queue.popleft().over)
            self._drop(1)
            log.warning("a receiver is too slow, the oldest waiting item is dropped", what=self._what)
        slots = self._slots.setdefault(receiver, asyncio.Semaphore(self._at_once))
        queue.append(_Waiting(item, over, slots))
        if key not in self._senders:
            self._senders[key] = asyncio.get_running_loop().create_task(self._send(key), name=self._what)
        return over

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    async def flush(self, seconds: float) -> bool:
        """Wait until everything is delivered; False when time ran out first."""
        if not self._senders:
            return True
        _, unfinished = await asyncio.wait(list(self._senders.values()), timeout=seconds)
        return not unfinished

    async def aclose(self, seconds: float) -> None:
        """Take nothing more, deliver what is left for some seconds, then drop the rest."""
        self._closed = True
        if await self.flush(seconds):
            return
        left = len(self)
        senders = list(self._senders.values())
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        self._drop(left)
        log.warning("items were not delivered before the end", what=self._what, waiting=left)

    def _drop(self, count: int) -> None:
        self.dropped += count
        if self._on_drop is not None:
            self._on_drop(count)

    async def _send(self, key: Hashable) -> None:
        queue = self._queues[key]
        try:
            while queue:
                waiting = queue.popleft()
                try:
                    async with waiting.slots:
                        await self._try(waiting.item)
                finally:
                    _over(waiting.over)
        finally:
            # No await between finding the queue empty and leaving, so put() cannot slip in between.
            del self._queues[key]
            del self._senders[key]

    async def _try(self, item: Item) -> None:
        try:
            await self._deliver(item)
        except Exception:
            log.exception("an item could not be delivered", what=self._what)


def _over(future: asyncio.Future[None]) -> None:
    """Tell whoever waits; a wait that was cancelled is over already."""
    if not future.done():
        future.set_result(None)
