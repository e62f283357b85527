"""Is a measured value good enough, and how is that said? Pure arithmetic and sentences.

The sentences are Flagger's, because people's log searches and event receivers know them. Bounds are
inclusive. Two things differ on purpose: a duration is compared as measured, where Flagger cut value
and limits to whole milliseconds (``max: 0.5`` became 0); and a metric without any bound is the
user's mistake, where Flagger let every value above 0 fail. Only request-success-rate passes without
a bound, as it did before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from flaggerpy.api.analysis import REQUEST_DURATION, SUCCESS_RATE, CanaryMetric
from flaggerpy.durations import format_duration
from flaggerpy.rollout.errors import UserError


class Measure(Enum):
    """What a number means, which decides its unit and the direction of a bare ``threshold``."""

    PERCENT = "percent"
    MILLISECONDS = "milliseconds"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The accepted range, both ends included; None is no end."""

    lowest: float | None = None
    highest: float | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a value is within its bounds.

    Attributes:
        sentence: value and the bound that it breaks, as in "success rate 50.00% < 99%"; empty when it passed.
        value: the value as text.
        bound: the accepted range as text, empty when everything is accepted.

    """

    passed: bool
    sentence: str
    value: str
    bound: str


def measure_of(metric: CanaryMetric, *, builtin: bool) -> Measure:
    """Tell what the result of a metric's query means; a template gives plain numbers."""
    match metric.name:
        case name if builtin and name == SUCCESS_RATE:
            return Measure.PERCENT
        case name if builtin and name == REQUEST_DURATION:
            return Measure.MILLISECONDS
        case _:
            return Measure.PLAIN


def bounds_of(metric: CanaryMetric, measure: Measure) -> Bounds:
    """Read the accepted range of a metric.

    Raises:
        UserError: there is none, or no value can lie within it.

    """
    if metric.threshold_range is not None:
        bounds = Bounds(metric.threshold_range.min, metric.threshold_range.max)
    elif measure is Measure.PERCENT:
        bounds = Bounds(lowest=metric.threshold or 0.0)
    elif metric.threshold is not None:
        bounds = Bounds(highest=metric.threshold)
    else:
        raise UserError(f"The metric {metric.name} has no bound to be judged by: add thresholdRange with min or max.")
    if bounds.lowest is not None and bounds.highest is not None and bounds.lowest > bounds.highest:
        raise UserError(
            f"The metric {metric.name} can never pass, because its min {plain(bounds.lowest)} is above "
            f"its max {plain(bounds.highest)}."
        )
    return bounds


def judge(metric: CanaryMetric, measure: Measure, value: float) -> Judgement:
    """Compare a value with the metric's bounds.

    Raises:
        UserError: as ``bounds_of``.

    """
    bounds = bounds_of(metric, measure)
    text = shown(measure, value)
    range_text = _range(measure, bounds)
    if bounds.lowest is not None and not value >= bounds.lowest:
        broken = f"< {_bound(measure, bounds.lowest)}"
    elif bounds.highest is not None and not value <= bounds.highest:
        broken = f"> {_bound(measure, bounds.highest)}"
    else:
        return Judgement(True, "", text, range_text)
    return Judgement(False, f"{subject(metric, measure)} {text} {broken}", text, range_text)


def halted(canary: str, sentence: str) -> str:
    """Say that a value is out of range; ``canary`` is ``name.namespace``."""
    return f"Halt {canary} advancement {sentence}"


def no_values(metric: CanaryMetric, measure: Measure, provider: str, target: str) -> str:
    """Say that a provider works and has no values; ``target`` is ``name.namespace``."""
    if measure is Measure.PLAIN:
        return f"Halt advancement no values found for custom metric: {metric.name}: no values found"
    return (
        f"Halt advancement no values found for {provider} metric {metric.name} probably {target} is not "
        "receiving traffic: running query failed: no values found"
    )


def refused(metric: CanaryMetric, reason: str) -> str:
    """Say that the query itself is wrong, which is counted, as Flagger does."""
    return f"Halt advancement the query of metric {metric.name} was refused: {reason}"


def unanswered(metric: CanaryMetric, reason: str) -> str:
    """Say that nothing is known, and that this is not counted against the canary."""
    return f"The metric {metric.name} could not be measured, the rollout holds: {reason}"


def subject(metric: CanaryMetric, measure: Measure) -> str:
    """Name what was measured as sentences do."""
    match measure:
        case Measure.PERCENT:
            return "success rate"
        case Measure.MILLISECONDS:
            return "request duration"
        case Measure.PLAIN:
            return metric.name


def shown(measure: Measure, value: float) -> str:
    """Write a value with its unit."""
    match measure:
        case Measure.PERCENT:
            return f"{_decimals(value)}%"
        case Measure.MILLISECONDS:
            return _milliseconds(value)
        case Measure.PLAIN:
            return _decimals(value)


def _bound(measure: Measure, bound: float) -> str:
    match measure:
        case Measure.PERCENT:
            return f"{plain(bound)}%"
        case Measure.MILLISECONDS:
            return _milliseconds(bound)
        case Measure.PLAIN:
            return plain(bound)


def _range(measure: Measure, bounds: Bounds) -> str:
    ends = [
        f"{sign} {_bound(measure, bound)}"
        for sign, bound in ((">=", bounds.lowest), ("<=", bounds.highest))
        if bound is not None
    ]
    return ", ".join(ends)


def _milliseconds(value: float) -> str:
    """Write milliseconds as Go prints durations; what timedelta cannot hold stays a plain number."""
    try:
        return format_duration(timedelta(milliseconds=round(value, 2)))
    except (OverflowError, ValueError):
        return f"{_decimals(value)}ms"


def _decimals(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else plain(value)


def plain(value: float) -> str:
    """Write a number as short as it reads back, without a pointless ".0"."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
