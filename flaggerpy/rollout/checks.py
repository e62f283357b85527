"""Questions that only I/O can answer, and their answers, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from flaggerpy.api.analysis import HookType
from flaggerpy.api.status import Phase


class MetricSource(Enum):
    """Where the query of a metric comes from; one entry of ``analysis.metrics`` may have two."""

    BUILTIN = "builtin"
    QUERY = "query"
    TEMPLATE = "template"


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
class MetricCheck:
    """Measure and judge ``analysis.metrics[index]``."""

    index: int
    source: MetricSource
    attempt: str


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

    """

    verdict: Verdict
    message: str = ""
    value: str | None = None
    bound: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the check passed."""
        return self.verdict is Verdict.PASSED
