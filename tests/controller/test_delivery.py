"""One receiver's line, with a receiver that answers as a test says and a clock that a test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from flaggerpy.api.analysis import Severity
from flaggerpy.controller.delivery import ATTEMPTS, BURST, MOST_WAITING, SECONDS_APART, Attempt, Line
from flaggerpy.notifiers.base import Alert
from tests.kube.clocks import ManualClock, settle

AGAIN = Attempt("it answered 503", again=True)
REFUSED = Attempt("it answered 400")


class Chat:
    """A receiver: ``refuses`` has the answers that canaries get first, and who is in ``hangs`` gets none."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.began = self.clock.monotonic()
        self.took: list[str] = []
        self.tried: list[tuple[str, float]] = []
        self.refuses: dict[str, list[Attempt]] = {}
        self.hangs: set[str] = set()
        self.dropped = 0
        self.line = Line(self._post, self.clock, self._drop)

    def tell(self, canary: str, message: str = "", severity: Severity = Severity.INFO) -> asyncio.Future[str | None]:
        return self.line.put(Alert(canary, "shop", severity, message or canary))

    def _drop(self, count: int) -> None:
        self.dropped += count

    async def _post(self, alert: Alert) -> Attempt:
        self.tried.append((alert.message, self.clock.monotonic() - self.began))
        if alert.canary in self.hangs:
            await asyncio.Event().wait()
        if waiting := self.refuses.get(alert.canary):
            return waiting.pop(0)
        self.took.append(alert.message)
        return Attempt()


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    made = Chat()
    yield made
    await made.line.abandon()


async def test_alerts_of_a_canary_arrive_in_order_even_when_the_first_has_to_be_sent_again(chat: Chat) -> None:
    chat.refuses["web"] = [AGAIN, AGAIN]

    for message in ("first", "second", "third"):
        chat.tell("web", message)
    await chat.clock.advance(60)

    assert chat.took == ["first", "second", "third"]
    assert chat.tried[:3] == [("first", 0.0), ("first", 1.0), ("first", 3.0)]


async def test_an_alert_that_waits_for_its_next_try_holds_back_no_other_canary(chat: Chat) -> None:
    chat.refuses["web"] = [AGAIN] * 3
    chat.tell("web", "first")
    chat.tell("web", "second")
    await settle()

    chat.tell("cart")
    await settle()

    assert chat.took == ["cart"]
    await chat.clock.advance(60)
    assert chat.took == ["cart", "first", "second"]


async def test_an_alert_is_given_up_after_so_many_tries_and_the_next_one_goes_out(chat: Chat) -> None:
    chat.refuses["web"] = [AGAIN] * ATTEMPTS
    lost, next_one = chat.tell("web", "lost"), chat.tell("web", "next")

    await chat.clock.advance(91)

    assert lost.result() == "it answered 503"
    assert next_one.result() == ""
    assert [message for message, _ in chat.tried].count("lost") == ATTEMPTS


async def test_what_is_refused_for_good_is_not_sent_again(chat: Chat) -> None:
    chat.refuses["web"] = [REFUSED]

    assert await chat.tell("web") == "it answered 400"
    assert len(chat.tried) == 1


async def test_a_receiver_that_asks_for_a_pause_hears_nothing_of_any_canary_until_it_is_over(chat: Chat) -> None:
    chat.refuses["web"] = [Attempt("it answered 429", again=True, pause=20.0)]
    chat.tell("web")
    await settle()
    chat.tell("cart")

    await chat.clock.advance(19)
    assert len(chat.tried) == 1
    await chat.clock.advance(1)
    assert chat.took == ["web", "cart"]


async def test_a_receiver_is_told_no_more_than_it_can_take(chat: Chat) -> None:
    for number in range(BURST + 3):
        chat.tell(f"c{number}")

    await settle()
    assert len(chat.took) == BURST
    await chat.clock.advance(3 * SECONDS_APART)
    assert [at for _, at in chat.tried[BURST:]] == [SECONDS_APART, 2 * SECONDS_APART, 3 * SECONDS_APART]


async def test_what_is_too_much_is_left_out_least_severe_and_oldest_first_and_one_line_says_so(chat: Chat) -> None:
    chat.hangs.add("stuck")
    chat.tell("stuck")
    await settle()
    bad = [chat.tell(f"bad{number}", severity=Severity.ERROR) for number in range(MOST_WAITING - 3)]
    good = [chat.tell(f"good{number}") for number in range(5)]

    assert [future.done() for future in good] == [True, True, True, False, False]
    assert {future.result() for future in good[:3]} == {None}
    assert not any(future.done() for future in bad)
    assert chat.dropped == 3


async def test_the_summary_names_how_many_of_whom_and_comes_once(chat: Chat) -> None:
    chat.refuses["c0"] = [Attempt("it answered 429", again=True, pause=100.0)]
    chat.tell("c0", severity=Severity.ERROR)
    await settle()
    for number in range(1, MOST_WAITING + 8):
        chat.tell(f"c{number}", severity=Severity.WARN)

    await chat.clock.advance(600)

    summaries = [message for message in chat.took if "left out" in message]
    assert summaries == [
        "8 alerts were left out, as too many came at once (8 warn): see the events of "
        "c1.shop, c2.shop, c3.shop, c4.shop, c5.shop and 3 more."
    ]
    assert len(chat.took) == MOST_WAITING + 1
    assert chat.dropped == 8


async def test_what_waits_is_bounded_however_much_comes(chat: Chat) -> None:
    chat.hangs.add("stuck")
    chat.tell("stuck")
    await settle()

    futures = [chat.tell("web", str(number), Severity.ERROR) for number in range(1000)]

    assert sum(not future.done() for future in futures) == MOST_WAITING - 1
    assert chat.dropped == 1001 - MOST_WAITING


async def test_whoever_goes_leaves_nobody_waiting(chat: Chat) -> None:
    chat.hangs.add("stuck")
    futures = [chat.tell("stuck"), chat.tell("web")]
    await settle()

    assert await chat.line.abandon() == 2
    assert [future.result() for future in futures] == [None, None]


async def test_a_bug_costs_one_alert_and_is_logged(chat: Chat) -> None:
    async def broken(alert: Alert) -> Attempt:
        if alert.canary == "web":
            raise KeyError("oops")
        return Attempt()

    line = Line(broken, chat.clock, lambda _: None)
    with capture_logs() as logs:
        lost = line.put(Alert("web", "shop", Severity.INFO, "x"))
        sent = line.put(Alert("cart", "shop", Severity.INFO, "x"))
        await settle()

    assert (lost.result(), sent.result()) == ("it failed in an unforeseen way", "")
    assert [log["event"] for log in logs] == ["an alert could not be sent"]
