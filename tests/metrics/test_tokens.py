from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.tokens import Lent, NotLent, borrow, give_back

NOW = datetime(2026, 11, 27, 21, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Lender:
    """Lends 1, 2, 3 and so on, each for an hour after it was asked for the first time."""

    def __init__(self, until: datetime | None = NOW + 60 * MINUTE) -> None:
        self.times = 0
        self.until = until
        self.refuses = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self) -> Lent[int]:
        self.times += 1
        times = self.times
        await self.may_answer.wait()
        if self.refuses:
            raise NotLent("not now")
        return Lent(times, self.until)


@pytest.mark.parametrize(
    ("later", "value"),
    [(timedelta(), 1), (54 * MINUTE, 1), (55 * MINUTE, 2), (61 * MINUTE, 2)],
)
async def test_what_was_lent_is_kept_until_shortly_before_its_end(later: timedelta, value: int) -> None:
    outbound, lender = Outbound(), Lender()

    first = await borrow(outbound, "me", NOW, lender)

    assert first == 1
    assert await borrow(outbound, "me", NOW + later, lender) == value


async def test_what_cannot_be_renewed_is_used_to_its_end() -> None:
    outbound, lender = Outbound(), Lender()
    await borrow(outbound, "me", NOW, lender)
    lender.refuses = True

    assert await borrow(outbound, "me", NOW + 59 * MINUTE, lender) == 1
    with pytest.raises(NotLent, match="not now"):
        await borrow(outbound, "me", NOW + 60 * MINUTE, lender)


async def test_nobody_gets_what_was_lent_to_others() -> None:
    one, other, lender = Outbound(), Outbound(), Lender()

    assert await borrow(one, "me", NOW, lender) == 1
    assert await borrow(one, "you", NOW, lender) == 2
    assert await borrow(other, "me", NOW, lender) == 3


async def test_what_was_refused_is_asked_for_anew() -> None:
    outbound, lender = Outbound(), Lender()
    await borrow(outbound, "me", NOW, lender)

    give_back(outbound, "me")

    assert await borrow(outbound, "me", NOW, lender) == 2


async def test_what_has_no_end_is_not_kept() -> None:
    outbound, lender = Outbound(), Lender(until=None)
    await borrow(outbound, "me", NOW, lender)

    assert await borrow(outbound, "me", NOW, lender) == 2


async def test_many_at_once_ask_once() -> None:
    outbound, lender = Outbound(), Lender()
    lender.may_answer.clear()
    asking = [asyncio.create_task(borrow(outbound, "me", NOW, lender)) for _ in range(5)]
    await asyncio.sleep(0)
    lender.may_answer.set()

    assert await asyncio.gather(*asking) == [1] * 5
    assert lender.times == 1


def test_what_was_lent_does_not_show_itself() -> None:
    assert "s3cret" not in repr(Lent("s3cret", NOW))
