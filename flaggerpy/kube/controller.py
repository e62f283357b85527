"""Workers: take keys from the queue, reconcile them side by side, and let no key hurt another.

What reconciling means is handed in; what the outcome means for the queue is decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from flaggerpy.clock import Clock, SystemClock
from flaggerpy.kube.errors import KubeError
from flaggerpy.kube.workqueue import Key, WorkQueue

log = structlog.get_logger(__name__)

DRAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconciled key wants next: to be looked at again at a time, or only when something changes."""

    wake_at: datetime | None = None


Reconcile = Callable[[Key], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class Progress:
    """Whether the workers are alive, for the liveness probe."""

    dispatching: bool
    busy: int
    longest: float
    """Seconds since the oldest of the running reconciliations began."""

    def is_healthy(self, limit: float) -> bool:
        """Tell whether keys are given out and none is stuck for longer than the limit."""
        return self.dispatching and self.longest <= limit


class Workers:
    """At most so many keys at once, one worker a key.

    An exception of a transient kind is a retry with backoff; any other is a bug: it is logged with its traceback
    and the key is retried with backoff too.
    """

    def __init__(
        self,
        queue: WorkQueue,
        reconcile: Reconcile,
        *,
        concurrency: int = 10,
        transient: tuple[type[Exception], ...] = (KubeError,),
        clock: Clock | None = None,
    ) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._concurrency = concurrency
        self._transient = transient
        self._clock = clock or SystemClock()
        self._running: dict[Key, tuple[asyncio.Task[None], float]] = {}
        self._dispatching = False

    def progress(self) -> Progress:
        """Return how the workers are doing."""
        now = self._clock.monotonic()
        longest = max((now - began for _, began in self._running.values()), default=0.0)
        return Progress(self._dispatching, len(self._running), longest)

    async def run(self) -> None:
        """Work until cancelled; may be run again after that.

        Then nothing new is begun, what runs gets a few seconds to finish, and the rest is cancelled. A write in
        flight is finished even then: the client sees to it.
        """
        slots = asyncio.Semaphore(self._concurrency)
        async with asyncio.TaskGroup() as group:
            self._dispatching = True
            try:
                while True:
                    await slots.acquire()
                    key = await self._queue.get()
                    task = group.create_task(self._tick(key))
                    task.add_done_callback(lambda _: slots.release())
                    self._running[key] = (task, self._clock.monotonic())
            except asyncio.CancelledError:
                await self._drain()
                raise
            finally:
                self._dispatching = False

    async def _tick(self, key: Key) -> None:
        try:
            result = await self._reconcile(key)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            log.exception("a reconciliation was cancelled from within", namespace=key[0], name=key[1])
            self._queue.retry(key)
        except self._transient as error:
            log.warning("will be tried again", namespace=key[0], name=key[1], error=str(error))
            self._queue.retry(key)
        except Exception:
            log.exception("a reconciliation failed unexpectedly", namespace=key[0], name=key[1])
            self._queue.retry(key)
        else:
            self._queue.forget(key)
            if result.wake_at is not None:
                self._queue.add_at(key, result.wake_at)
        finally:
            self._running.pop(key, None)
            self._queue.done(key)

    async def _drain(self) -> None:
        tasks = {task for task, _ in self._running.values()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
            for task in late:
                task.cancel()


async def run_workers(queue: WorkQueue, reconcile: Reconcile, concurrency: int) -> None:
    """Work on the queue until cancelled."""
    await Workers(queue, reconcile, concurrency=concurrency).run()
