"""Questions that only I/O can answer, and their answers, as data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from flaggerpy.api.analysis import HookType
from flaggerpy.api.sequential import SequentialRecord, SequentialTest
from flaggerpy.api.status import Phase

LEAST_WINDOW: Final = timedelta(seconds=30)
"""A measurement looks back at least so far, or on all of its interval: with less, rates of counters have no value."""


class MetricSource(Enum):
    """What is asked for a metric, which may have several of them; COUNTERS are those of a sequential test."""

    BUILTIN = "builtin"
    QUERY = "query"
    TEMPLATE = "template"
    COUNTERS = "counters"


@dataclass(frozen=True, slots=True)
class HookCheck:
    """Call ``analysis.webhooks[index]``.

    ``key`` is the idempotency key: the same for every repetition of the same question, also after a restart.
    """

    index: int
    type: HookType
    phase: Phase
    key: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What a sequential test has to know of the rollout.

    Attributes:
        test: its settings.
        record: what it has seen so far.
        since: where the interval begins that is to be weighed; None while one side has all users.
        last: a verdict that passes leads to the promotion, or to a step without users of the primary.

    """

    test: SequentialTest
    record: SequentialRecord
    since: datetime | None
    last: bool


@dataclass(frozen=True, slots=True)
class MetricCheck:
    """Measure and judge ``analysis.metrics[index]``.

    Attributes:
        since: nothing before this may be measured; None where a measurement may look back on all of its interval.
        counts: a failure is counted for the analysis' threshold, and nothing further is asked after one.
        trial: what is known of the rollout, for COUNTERS.

    """

    index: int
    source: MetricSource
    attempt: str
    since: datetime | None = None
    counts: bool = True
    trial: Trial | None = None


Check = HookCheck | MetricCheck


class Verdict(Enum):
    """How a check ended; neither Inconclusive nor Error says anything about the canary."""

    PASSED = "Passed"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one check.

    Attributes:
        message: for a hook the reason of its failure; for a metric the whole event text.
        value: the measured value as text, None when there was none.
        bound: the accepted range as text.
        record: what a sequential test has seen with this answer; None for everything else.

    """

    verdict: Verdict
    message: str = ""
    value: str | None = None
    bound: str | None = None
    record: SequentialRecord | None = None

    @property
    def passed(self) -> bool:
        """Whether the check passed."""
        return self.verdict is Verdict.PASSED

    def reason(self, metric: str) -> str:
        """Return the message without the metric's name before it, for whoever has named the metric already."""
        return self.message.removeprefix(f"metric {metric}: ")


def ends_round(check: Check, answer: Answer) -> bool:
    """Whether nothing further is to be asked in this round.

    Behind a metric that could not be judged, or whose failures are not counted with all others, may be one that fails.
    """
    if isinstance(check, HookCheck):
        return not answer.passed
    return check.counts and answer.verdict is Verdict.FAILED
