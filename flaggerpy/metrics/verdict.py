"""From measurements to a verdict: pure, without a clock and without what was measured before.

Whatever judges a metric is such a function. The rules are told in docs/design/0008-verdicts.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flaggerpy.api.analysis import CanaryMetric, OnNoData, ThresholdRange
from flaggerpy.metrics import judge
from flaggerpy.metrics.base import BadQuery, Outcome, ProviderError, Value
from flaggerpy.metrics.judge import Judgement, Measure
from flaggerpy.rollout.checks import Answer, Verdict
from flaggerpy.rollout.errors import UserError


@dataclass(frozen=True, slots=True)
class Measurements:
    """What was said of one metric, in its own unit; None was not asked.

    Attributes:
        value: of the canary.
        samples: how many samples that value rests on.
        primary: the same metric of the primary.
        primary_samples: how many samples that rests on.

    """

    value: Outcome
    samples: Outcome | None = None
    primary: Outcome | None = None
    primary_samples: Outcome | None = None

    @property
    def is_silent(self) -> bool:
        """Whether something got no answer at all."""
        return any(isinstance(outcome, ProviderError) and outcome.silent for outcome in self.answered)

    @property
    def answered(self) -> tuple[Outcome, ...]:
        """Everything that was asked, in its order."""
        outcomes = (self.value, self.samples, self.primary, self.primary_samples)
        return tuple(outcome for outcome in outcomes if outcome is not None)


@dataclass(frozen=True, slots=True)
class About:
    """What sentences speak of: canary and target as ``name.namespace``, and the provider of the traffic."""

    canary: str
    target: str
    provider: str


def verdict_of(metric: CanaryMetric, measure: Measure, about: About, found: Measurements) -> Answer:
    """Judge a metric by what was measured."""
    if (broken := next(_broken(metric, found), None)) is not None:
        return broken
    shown = judge.shown(measure, found.value.value) if isinstance(found.value, Value) else None
    left_out = metric.on_no_data is OnNoData.PASS and not isinstance(found.primary, Value)
    primary_samples = None if left_out else found.primary_samples
    for outcome, whose in ((found.samples, ""), (primary_samples, " of the primary")):
        count = float(outcome.value) if isinstance(outcome, Value) else 0.0
        if outcome is not None and count < metric.min_samples:
            few = f"{judge.plain(round(count, 1))} samples{whose} are too few, {metric.min_samples} are needed"
            return Answer(Verdict.INCONCLUSIVE, f"metric {metric.name}: {few}", shown)
    if not isinstance(found.value, Value):
        return _without_value(metric, judge.no_values(metric, measure, about.provider, about.target))
    try:
        return _within_bounds(metric, measure, about, found.value.value, found.primary)
    except UserError as error:
        return Answer(Verdict.FAILED, str(error))


def _broken(metric: CanaryMetric, found: Measurements) -> Iterator[Answer]:
    """Find questions that were not answered, or are wrong."""
    parts = (
        (found.value, ""),
        (found.samples, "its number of samples: "),
        (found.primary, "of the primary: "),
        (found.primary_samples, "the primary's number of samples: "),
    )
    for outcome, what in parts:
        match outcome:
            case ProviderError(reason):
                yield Answer(Verdict.ERROR, judge.unanswered(metric, what + reason))
            case BadQuery(reason):
                yield Answer(Verdict.FAILED, judge.refused(metric, what + reason))
            case _:
                pass


def _without_value(metric: CanaryMetric, sentence: str) -> Answer:
    match metric.on_no_data:
        case OnNoData.FAIL:
            return Answer(Verdict.FAILED, sentence)
        case OnNoData.PASS:
            return Answer(Verdict.PASSED)
        case OnNoData.WAIT:
            return Answer(Verdict.INCONCLUSIVE, f"no values found for metric {metric.name}")


def _within_bounds(
    metric: CanaryMetric, measure: Measure, about: About, value: float, primary: Outcome | None
) -> Answer:
    """Compare a value with its bounds first, then with the primary.

    Raises:
        UserError: there is nothing to compare it with.

    """
    own = Judgement(True, "", judge.shown(measure, value), "")
    if metric.bounded or metric.compare_to is None:
        own = judge.judge(metric, measure, value)
    if not own.passed or primary is None:
        return _answer(about, own)
    if not isinstance(primary, Value):
        if metric.on_no_data is OnNoData.PASS:
            return _answer(about, own)
        alone = f"the primary has no value of metric {metric.name} to compare with"
        return Answer(Verdict.INCONCLUSIVE, alone, own.value, own.bound or None)
    if metric.ratio is not None and (value < 0 or primary.value < 0):
        return Answer(Verdict.ERROR, judge.unanswered(metric, "negative values have no ratio: use delta"), own.value)
    compared = _compared(metric, measure, value, primary.value)
    bound = ", ".join(text for text in (own.bound, compared.bound) if text)
    return _answer(about, Judgement(compared.passed, compared.sentence, own.value, bound))


def _compared(metric: CanaryMetric, measure: Measure, value: float, primary: float) -> Judgement:
    """Compare a value with the primary's by ratio and by difference."""
    shown, other = judge.shown(measure, value), judge.shown(measure, primary)
    bounds: list[str] = []
    broken: list[str] = []
    for distance, ends in _distances(metric, measure, value, primary):
        for end, words in ends:
            lowest = words.startswith(">=")
            bounds.append(f"{words} the primary's {other}")
            if not (distance >= end if lowest else distance <= end):
                broken.append(f"{'<' if lowest else '>'}{words[2:]} the primary's {other}")
    sentence = f"{judge.subject(metric, measure)} {shown} {broken[0]}" if broken else ""
    return Judgement(not broken, sentence, shown, ", ".join(bounds))


def _distances(
    metric: CanaryMetric, measure: Measure, value: float, primary: float
) -> Iterator[tuple[float, list[tuple[float, str]]]]:
    """Return how far the canary is from the primary by each measure, and how far it may be, in words too."""
    if metric.ratio is not None:
        yield _ratio(value, primary), _ends(metric.ratio, lambda bound: f"{judge.plain(bound)} ×")
    if metric.delta is not None:
        yield _difference(value, primary), _ends(metric.delta, lambda bound: f"{_signed(measure, bound)} from")


def _ends(accepted: ThresholdRange, words: Callable[[float], str]) -> list[tuple[float, str]]:
    ends = ((">=", accepted.min), ("<=", accepted.max))
    return [(bound, f"{sign} {words(bound)}") for sign, bound in ends if bound is not None]


def _ratio(value: float, primary: float) -> float:
    """Divide; two zeros are equal, and anything is infinitely more than nothing."""
    if primary == 0 or math.isinf(primary):
        return 1.0 if value == primary else (math.inf if primary == 0 else 0.0)
    return value / primary


def _difference(value: float, primary: float) -> float:
    return 0.0 if value == primary else value - primary


def _signed(measure: Measure, number: float) -> str:
    text = judge.shown(measure, number) if measure is Measure.MILLISECONDS else judge.plain(number)
    return f"+{text}" if number >= 0 else text


def _answer(about: About, found: Judgement) -> Answer:
    verdict = Verdict.PASSED if found.passed else Verdict.FAILED
    message = "" if found.passed else judge.halted(about.canary, found.sentence)
    return Answer(verdict, message, found.value, found.bound or None)
