"""Workers: side by side, one a key, nobody hurts another, and an orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from flaggerpy.kube.controller import Reconcile, Result, Workers, run_workers
from flaggerpy.kube.errors import Unreachable
from flaggerpy.kube.workqueue import Key, WorkQueue
from tests.kube.clocks import ManualClock, eventually, settle

A, B, C = ("test", "a"), ("test", "b"), ("test", "c")


@asynccontextmanager
async def working(
    reconcile: Reconcile, clock: ManualClock, concurrency: int = 2
) -> AsyncIterator[tuple[WorkQueue, Workers]]:
    queue = WorkQueue(clock)
    workers = Workers(queue, reconcile, concurrency=concurrency, clock=clock)
    task = asyncio.ensure_future(workers.run())
    try:
        yield queue, workers
    finally:
        task.cancel()
        await asyncio.wait({task})


class Gate:
    """A reconciliation that waits until it is let through, and remembers who is inside."""

    def __init__(self) -> None:
        self.inside: list[Key] = []
        self.finished: list[Key] = []
        self.open = asyncio.Event()

    async def __call__(self, key: Key) -> Result:
        self.inside.append(key)
        try:
            await self.open.wait()
        finally:
            self.inside.remove(key)
        self.finished.append(key)
        return Result()


async def test_so_many_at_once_and_one_worker_a_key() -> None:
    gate = Gate()
    async with working(gate, ManualClock()) as (queue, workers):
        for key in (A, A, B, C):
            queue.add(key)
        await settle()
        queue.add(A)
        await settle()
        assert gate.inside == [A, B]
        assert workers.progress().busy == 2

        gate.open.set()
        await eventually(lambda: len(gate.finished) == 4)
        assert sorted(gate.finished) == [A, A, B, C]


async def test_a_result_with_a_time_is_an_appointment() -> None:
    clock, seen = ManualClock(), list[Key]()

    async def reconcile(key: Key) -> Result:
        seen.append(key)
        return Result(wake_at=clock.now() + timedelta(seconds=10))

    async with working(reconcile, clock) as (queue, _):
        queue.add(A)
        await settle()
        await clock.advance(9)
        assert seen == [A]
        await clock.advance(1)
        assert seen == [A, A]


def failing(*errors: BaseException) -> tuple[Callable[[Key], Awaitable[Result]], list[Key]]:
    left, seen = list(errors), list[Key]()

    async def reconcile(key: Key) -> Result:
        seen.append(key)
        if key == A and left:
            raise left.pop(0)
        return Result()

    return reconcile, seen


@pytest.mark.parametrize(
    ("error", "level"),
    [(Unreachable("gone"), "warning"), (ZeroDivisionError(), "error"), (asyncio.CancelledError(), "error")],
    ids=["transient", "a bug", "cancelled from within"],
)
async def test_w27_one_failing_key_is_tried_again_and_hurts_no_other(error: BaseException, level: str) -> None:
    clock = ManualClock()
    reconcile, seen = failing(error, error)
    with capture_logs() as logs:
        async with working(reconcile, clock) as (queue, workers):
            queue.add(A)
            queue.add(B)
            await settle()
            assert seen == [A, B]
            await clock.advance(0.5)
            assert seen == [A, B, A]
            await clock.advance(1)
            assert seen == [A, B, A, A]
            await clock.advance(60)
            assert seen == [A, B, A, A]
            assert workers.progress().dispatching
    assert [entry["log_level"] for entry in logs] == [level] * 2
    assert {(entry["namespace"], entry["name"]) for entry in logs} == {A}
    assert ("exc_info" in logs[0]) == (level == "error"), "a bug is logged with its traceback"


async def test_what_runs_is_finished_at_the_end_and_nothing_new_begun() -> None:
    gate, clock = Gate(), ManualClock()
    queue = WorkQueue(clock)
    task = asyncio.ensure_future(run_workers(queue, gate, 1))
    queue.add(A)
    queue.add(B)
    await settle()

    task.cancel()
    await settle()
    assert gate.inside == [A]
    gate.open.set()
    await asyncio.wait({task})

    assert task.cancelled()
    assert gate.finished == [A]


async def test_workers_of_a_second_term_are_as_many_as_before() -> None:
    gate = Gate()
    queue = WorkQueue(ManualClock())
    workers = Workers(queue, gate, concurrency=1)
    for term in range(3):
        task = asyncio.ensure_future(workers.run())
        await settle()
        queue.add(A)
        await settle()
        assert gate.inside == [A], f"term {term}"
        gate.open.set()
        await eventually(lambda: gate.inside == [])
        gate.open.clear()
        task.cancel()
        await asyncio.wait({task})


async def test_what_does_not_finish_in_time_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flaggerpy.kube.controller.DRAIN_SECONDS", 0.01)
    gate = Gate()
    queue = WorkQueue(ManualClock())
    task = asyncio.ensure_future(run_workers(queue, gate, 1))
    queue.add(A)
    await settle()
    task.cancel()
    await asyncio.wait({task})
    assert gate.inside == []
    assert gate.finished == []


async def test_a_stuck_key_makes_the_workers_unhealthy() -> None:
    gate, clock = Gate(), ManualClock()
    async with working(gate, clock) as (queue, workers):
        await settle()
        assert workers.progress().is_healthy(limit=60)
        queue.add(A)
        await settle()
        clock.jump(61)
        assert workers.progress().longest == 61
        assert not workers.progress().is_healthy(limit=60)
        gate.open.set()
        await settle()
        assert workers.progress().is_healthy(limit=60)
    assert not workers.progress().is_healthy(limit=60), "who has stopped gives out no keys"
