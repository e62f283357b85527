"""One look of a sequential test: counts and what was seen before go in, a verdict and its record come out.

Pure; what is kept between two looks is ``status.rollout.checks[].sequential``.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import datetime

from flaggerpy.api.analysis import CanaryMetric
from flaggerpy.api.sequential import Requests, SequentialRecord
from flaggerpy.metrics import judge
from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, Value
from flaggerpy.metrics.finding import consult, patience_of, rules_of
from flaggerpy.metrics.sequential import AGAINST, IN_FAVOUR, Counts, Evidence, Interval, weigh
from flaggerpy.rollout.checks import Answer, Trial, Verdict

FEW = 10
SMALL_PART = 0.01
"""By so many requests, or such a part of them, two counters may differ for what is under way when they are read."""


@dataclass(frozen=True, slots=True)
class Grown:
    """By how much the counters of one interval grew, as far as they were answered, and when it ended."""

    outcomes: tuple[Outcome, ...]
    until: datetime


def look(metric: CanaryMetric, trial: Trial, grown: Grown | None, canary: str) -> Answer:
    """Judge a rollout by all of its intervals; without a new one by those before. ``canary`` is ``name.namespace``."""
    rules, asked = rules_of(trial.test), trial.record.asked
    evidence, until = evidence_of(trial.record), trial.record.until
    if grown is not None:
        interval = _interval(metric, grown.outcomes)
        if isinstance(interval, Answer):
            return interval
        evidence, until = weigh(evidence, interval, rules), grown.until
    found = consult(evidence, rules, last=trial.last, asked=asked, patience=patience_of(trial.test))
    doubt = found.verdict is Verdict.INCONCLUSIVE
    alone = "no proof can come while all users are on the canary: " if doubt and grown is None else ""
    told = _told(metric, found.verdict, alone + found.sentence, canary)
    return Answer(found.verdict, told, found.value, found.bound, record_of(evidence, until, asked + doubt))


def evidence_of(record: SequentialRecord) -> Evidence:
    """Read what was kept; where that is of other bets, those of a version before, the test begins anew."""
    if (len(record.against), len(record.in_favour)) != (len(AGAINST), len(IN_FAVOUR)):
        return Evidence()
    return Evidence(
        against=record.against,
        in_favour=record.in_favour,
        intervals=record.intervals,
        canary=Counts(record.canary.good, record.canary.total),
        primary=Counts(record.primary.good, record.primary.total),
        difference=record.difference,
        weight=record.weight,
        silent=record.silent,
    )


def record_of(evidence: Evidence, until: datetime | None, asked: int) -> SequentialRecord:
    """Write what is to be kept."""
    kept = asdict(evidence) | {
        "canary": Requests(good=evidence.canary.good, total=evidence.canary.total),
        "primary": Requests(good=evidence.primary.good, total=evidence.primary.total),
    }
    return SequentialRecord(until=until, asked=asked, **kept)


def _interval(metric: CanaryMetric, outcomes: tuple[Outcome, ...]) -> Interval | Answer:
    """Read the counts of good requests and of all, of canary and primary; counters without series count nothing."""
    counts = []
    for outcome in outcomes:
        match outcome:
            case Value(value) if 0 <= value < math.inf:
                counts.append(value)
            case Value(value):
                return Answer(Verdict.ERROR, judge.unanswered(metric, f"{value:g} is no number of requests"))
            case NoData():
                counts.append(0.0)
            case BadQuery(reason):
                return Answer(Verdict.FAILED, judge.refused(metric, reason))
            case ProviderError(reason):
                return Answer(Verdict.ERROR, judge.unanswered(metric, reason))
    interval = Interval(Counts(*counts[:2]), Counts(*counts[2:]))
    for side, whose in ((interval.canary, ""), (interval.primary, " of the primary")):
        if side.good - side.total > max(FEW, side.total * SMALL_PART):
            many = f"{side.good:,.0f} good requests{whose} are more than all {side.total:,.0f}"
            return Answer(Verdict.ERROR, judge.unanswered(metric, f"{many}: look at good and total of sequential"))
    return interval


def _told(metric: CanaryMetric, verdict: Verdict, sentence: str, canary: str) -> str:
    """Say what was found as an event would; of what passed the sentence alone is kept."""
    match verdict:
        case Verdict.FAILED:
            return judge.halted(canary, f"{metric.name}: {sentence}")
        case Verdict.PASSED:
            return sentence
        case _:
            return f"metric {metric.name}: {sentence}"
