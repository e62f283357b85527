"""The work queue: once each, earliest first, backoff that heals, never two workers for a key."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest

from flaggerpy.kube import workqueue
from flaggerpy.kube.workqueue import Key, WorkQueue
from tests.kube.clocks import ManualClock, settle

A, B, C = ("test", "a"), ("test", "b"), ("test", "c")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queue(clock: ManualClock) -> WorkQueue:
    return WorkQueue(clock, rng=random.Random(2009))


async def taken(queue: WorkQueue) -> list[Key]:
    """Take all that can be taken without time passing."""
    keys: list[Key] = []
    while True:
        getting = asyncio.ensure_future(queue.get())
        await settle()
        if not getting.done():
            getting.cancel()
            await asyncio.wait({getting})
            return keys
        keys.append(getting.result())


async def test_keys_come_in_their_order_and_once_each(queue: WorkQueue) -> None:
    for key in (A, B, A):
        queue.add(key)
    assert queue.depth == 2
    assert await taken(queue) == [A, B]


async def test_whose_turn_was_longest_ago_comes_first(queue: WorkQueue) -> None:
    queue.add(A)
    for key in await taken(queue):
        queue.done(key)
    for key in (A, B, C):
        queue.add(key)
    first = await taken(queue)
    assert first == [B, C, A]
    for key in reversed(first):
        queue.done(key)
        queue.add(key)
    assert await taken(queue) == [B, C, A]


async def test_turns_are_remembered_of_so_many_keys(queue: WorkQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workqueue, "REMEMBERED", 1)
    for key in (A, B):
        queue.add(key)
    for key in await taken(queue):
        queue.done(key)
    for key in (B, C, A):
        queue.add(key)
    assert await taken(queue) == [C, A, B]


async def test_a_waiting_worker_gets_what_is_added(queue: WorkQueue) -> None:
    getting = asyncio.ensure_future(queue.get())
    await settle()
    queue.add(A)
    assert await getting == A


async def test_w17_a_key_that_is_held_is_given_to_nobody_else_and_comes_again(queue: WorkQueue) -> None:
    queue.add(A)
    assert await queue.get() == A
    queue.add(A)
    queue.add(A)
    assert await taken(queue) == []
    assert queue.running == 1
    queue.done(A)
    assert await taken(queue) == [A]
    queue.done(A)
    assert await taken(queue) == []


async def test_an_appointment_is_kept_to_the_moment(queue: WorkQueue, clock: ManualClock) -> None:
    queue.add_at(A, clock.now() + timedelta(seconds=10))
    assert queue.waiting == 1
    await clock.advance(9.999)
    assert await taken(queue) == []
    await clock.advance(0.001)
    assert await taken(queue) == [A]
    assert queue.waiting == 0


async def test_a_sleeping_worker_wakes_for_an_appointment(queue: WorkQueue, clock: ManualClock) -> None:
    queue.add_at(A, clock.now() + timedelta(seconds=10))
    getting = asyncio.ensure_future(queue.get())
    await clock.advance(5)
    queue.add_at(B, clock.now() + timedelta(seconds=1))
    await clock.advance(1)
    assert await getting == B


@pytest.mark.parametrize("order", [(5, 20), (20, 5)])
async def test_of_several_appointments_the_earliest_wins(
    queue: WorkQueue, clock: ManualClock, order: tuple[int, int]
) -> None:
    for seconds in order:
        queue.add_at(A, clock.now() + timedelta(seconds=seconds))
    await clock.advance(5)
    assert await taken(queue) == [A]
    queue.done(A)
    await clock.advance(60)
    assert await taken(queue) == []


async def test_an_appointment_in_the_past_is_now(queue: WorkQueue, clock: ManualClock) -> None:
    queue.add_at(A, clock.now() - timedelta(seconds=1))
    assert await taken(queue) == [A]


async def test_whoever_takes_the_key_makes_the_next_appointment(queue: WorkQueue, clock: ManualClock) -> None:
    queue.add_at(A, clock.now() + timedelta(seconds=10))
    queue.add(A)
    assert await taken(queue) == [A]
    queue.done(A)
    await clock.advance(60)
    assert await taken(queue) == []


async def test_an_appointment_that_comes_while_the_key_is_held_waits(queue: WorkQueue, clock: ManualClock) -> None:
    queue.add(A)
    await queue.get()
    queue.add_at(A, clock.now() + timedelta(seconds=1))
    await clock.advance(2)
    assert await taken(queue) == []
    queue.done(A)
    assert await taken(queue) == [A]


async def test_retries_back_off_with_jitter_up_to_the_cap_and_start_anew_when_healed(
    queue: WorkQueue, clock: ManualClock
) -> None:
    waits = [await _wait_of_a_retry(queue, clock) for _ in range(10)]
    for number, wait in enumerate(waits):
        longest = min(30.0, 0.5 * 2**number)
        assert longest / 2 <= wait <= longest
    assert len({round(w, 3) for w in waits[-4:]}) == 4, "retries at the cap must not be in step"

    queue.forget(A)
    assert await _wait_of_a_retry(queue, clock) <= 0.5


async def _wait_of_a_retry(queue: WorkQueue, clock: ManualClock) -> float:
    queue.retry(A)
    getting = asyncio.ensure_future(queue.get())
    await settle()
    wait = clock.next_wake
    await clock.advance(wait)
    queue.done(await getting)
    return wait


async def test_keys_back_off_apart(queue: WorkQueue, clock: ManualClock) -> None:
    for _ in range(8):
        queue.retry(A)
    queue.forget(A)
    queue.add(A)
    await queue.get()
    queue.done(A)
    queue.retry(B)
    await clock.advance(0.5)
    assert await taken(queue) == [B]
