"""Settings of a metric's sequential test (``analysis.metrics[].sequential``), and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from flaggerpy.api.base import ApiModel, MicroTime, Number

_WHAT: Final = {"good": "the good requests", "total": "all requests"}


class AtLimit(StrEnum):
    """What an undecided test answers when it has asked for more time often enough."""

    WAIT = "wait"
    PASS = "pass"  # noqa: S105 -- no password
    FAIL = "fail"


class SequentialTest(ApiModel):
    """Compares the share of failed requests with the primary's, over the whole rollout."""

    margin: float = 0.5
    """By how much the canary may fail more often to be promoted, in percentage points."""
    tolerance: float = 0.05
    """By how much it may fail more often without a rollback, in percentage points; below margin."""
    alpha: float = 0.01
    """Accepted chance, of a whole rollout, to roll back a canary that is within the tolerance."""
    beta: float = 0.05
    """Accepted chance, of a whole rollout, to call a canary harmless that is worse by the margin."""
    max_extra: Number = 20
    """Most further intervals that it may ask for in a rollout while it is undecided."""
    at_limit: AtLimit = AtLimit.WAIT
    """What it answers then: wait, which goes on to measure, pass or fail."""
    good: str | None = None
    """Selector of the counters of good requests, not for request-success-rate; {{ target }} is the workload."""
    total: str | None = None
    """Selector of the counters of all requests."""


class Requests(ApiModel):
    """Requests that were counted."""

    good: float = 0
    """Good ones."""
    total: float = 0
    """All of them."""


class SequentialRecord(ApiModel):
    """What the intervals of one rollout have shown to a metric's sequential test; as long as it has bets."""

    until: MicroTime | None = None
    """End of the newest interval, where the next one begins."""
    asked: int = 0
    """How often the test has asked for more time in this rollout."""
    against: tuple[float, ...] = ()
    """Natural logarithms of what the bets on harm have made of their stakes."""
    in_favour: tuple[float, ...] = ()
    """The same of the bets on no harm."""
    intervals: int = 0
    """How many intervals could be compared."""
    canary: Requests = Requests()
    """What the canary was asked in them."""
    primary: Requests = Requests()
    """What the primary was asked in them."""
    difference: float = 0
    """Weighted sum over the intervals of the difference between the shares of failed requests."""
    weight: float = 0
    """Sum of the weights."""
    silent: bool = True
    """Whether the newest interval could not be compared."""


def sequential_problems(where: str, test: SequentialTest, *, counts_itself: bool) -> Iterator[str]:
    """Say what is wrong with a test; ``counts_itself`` where the counters are those of a built-in metric."""
    if not 0 < test.margin <= 100:
        yield f"{where}.margin: {test.margin:g} is no difference of two shares: write percentage points, as in 0.5."
    if test.tolerance < 0:
        yield f"{where}.tolerance: {test.tolerance:g} would roll back a canary that is no worse: write 0 or more."
    if test.tolerance >= test.margin > 0:
        yield (
            f"{where}.tolerance: {test.tolerance:g} is not below margin {test.margin:g}, so nothing could be proven in"
            " between: lower tolerance or raise margin."
        )
    for field, chance in (("alpha", test.alpha), ("beta", test.beta)):
        if not 0 < chance < 0.5:
            yield f"{where}.{field}: {chance:g} is no chance to accept: write a fraction below 0.5, as in 0.01."
    if test.max_extra < 0:
        yield f"{where}.maxExtra: {test.max_extra} is less than nothing: write 0 or more."
    yield from _counters(where, test, counts_itself=counts_itself)


def _counters(where: str, test: SequentialTest, *, counts_itself: bool) -> Iterator[str]:
    for field, selector in (("good", test.good), ("total", test.total)):
        if counts_itself and selector:
            yield f"{where}.{field}: the built-in metric has its own counters: remove {field}."
        if not counts_itself and not selector:
            yield (
                f"{where}.{field}: nothing says which counters hold {_WHAT[field]}: add a selector, as in"
                f' requests_total{{pod=~"{{{{ target }}}}-.*"}}.'
            )
        if selector and "[" in selector.partition("{")[0] + selector.rpartition("}")[2]:
            yield f"{where}.{field}: {selector} is a range, and counters are read at two moments: remove the brackets."
