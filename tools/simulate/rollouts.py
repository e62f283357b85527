"""A rollout in five steps of ten per cent, judged by the product's own test or by a fixed bound as Flagger judges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Protocol

from flaggerpy.metrics.finding import Patience, consult
from flaggerpy.metrics.sequential import Evidence, Interval, Rules, weigh
from flaggerpy.rollout.checks import Verdict
from tools.simulate.worlds import Traffic

STEP, LAST = 10, 50


class End(Enum):
    """How a rollout ended."""

    ROLLED_BACK = "rolled back"
    PROMOTED = "promoted"
    UNDECIDED = "undecided"


class Say(Enum):
    """What a judge wants after an interval."""

    ADVANCE = "advance"
    HOLD = "hold"
    ROLL_BACK = "roll back"
    ROLL_BACK_LATER = "roll back one interval later"
    GIVE_UP = "ask people"


class Judge(Protocol):
    """Looks at one interval after the other of one rollout."""

    def look(self, interval: Interval, *, last: bool) -> Say:
        """Say what is to be done; ``last`` when promotion is next."""


@dataclass(slots=True)
class Sequential:
    """The product's own functions."""

    rules: Rules
    patience: Patience
    evidence: Evidence = field(default_factory=Evidence)
    asked: int = 0

    def look(self, interval: Interval, *, last: bool) -> Say:
        self.evidence = weigh(self.evidence, interval, self.rules)
        found = consult(self.evidence, self.rules, last=last, asked=self.asked, patience=self.patience)
        if found.verdict is Verdict.PASSED:
            return Say.ADVANCE
        if found.verdict is Verdict.FAILED:
            return Say.ROLL_BACK
        self.asked += 1
        return Say.GIVE_UP if self.asked > self.patience.limit else Say.HOLD


@dataclass(slots=True)
class Bound:
    """Flagger: a success rate below ``least`` per cent is a failed check, and ``threshold`` of them roll back.

    The last one is recorded at one tick and the rollback happens at the next.
    """

    least: float
    threshold: int
    failed: int = 0

    def look(self, interval: Interval, *, last: bool) -> Say:
        canary = interval.canary
        if canary.good * 100 >= self.least * canary.total:
            return Say.ADVANCE
        self.failed += 1
        return Say.ROLL_BACK_LATER if self.failed >= self.threshold else Say.HOLD


@dataclass(frozen=True, slots=True)
class Outcome:
    """One rollout: its end, the intervals until then, and the requests that failed in the canary."""

    end: End
    intervals: int
    failed: float


def play(traffic: Traffic, judge: Judge, rng: Random) -> Outcome:
    """Roll out once."""
    weight, failed = STEP, 0.0
    for intervals, baseline in enumerate(traffic.baselines(rng), start=1):
        interval = traffic.interval(weight, baseline, rng)
        failed += interval.canary.failed
        match judge.look(interval, last=weight >= LAST):
            case Say.ADVANCE if weight >= LAST:
                return Outcome(End.PROMOTED, intervals, failed)
            case Say.ADVANCE:
                weight += STEP
            case Say.ROLL_BACK:
                return Outcome(End.ROLLED_BACK, intervals, failed)
            case Say.ROLL_BACK_LATER:
                failed += traffic.interval(weight, baseline, rng).canary.failed
                return Outcome(End.ROLLED_BACK, intervals + 1, failed)
            case Say.GIVE_UP:
                return Outcome(End.UNDECIDED, intervals, failed)
            case Say.HOLD:
                pass
    raise AssertionError("traffic never ends")


def sequential() -> Judge:
    """Return the test with its defaults."""
    return Sequential(Rules(), Patience())


def bound(least: float, threshold: int) -> Callable[[], Judge]:
    """Return what makes judges by a fixed bound."""
    return lambda: Bound(least, threshold)
