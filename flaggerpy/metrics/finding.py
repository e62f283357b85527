"""What follows from the evidence of a sequential test: a verdict, and a sentence for people.

Suspicion holds the share, doubt holds the promotion. A step is left unless the evidence leans to harm; before the
promotion there has to be a proof that the canary is not worse by the margin. A proof of harm fails at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from flaggerpy.api.sequential import AtLimit, SequentialTest
from flaggerpy.metrics.sequential import CALM_INTERVALS, Counts, Evidence, Interval, Rules, weigh_all
from flaggerpy.rollout.checks import Verdict

SUSPICION = math.log(3)
"""Evidence of harm (three to one, as a logarithm) that holds a step until there is less of it or a proof."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a test may ask for one more interval in a rollout, and its answer after that."""

    limit: int = 20
    then: AtLimit = AtLimit.WAIT


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict, its reason in a sentence (also when it passed), and its numbers as text."""

    verdict: Verdict
    sentence: str
    value: str
    bound: str


def rules_of(test: SequentialTest) -> Rules:
    """Read the settings of a metric: percentage points become fractions."""
    return Rules(test.margin / 100, test.tolerance / 100, test.alpha, test.beta)


def patience_of(test: SequentialTest) -> Patience:
    """Read how long a metric may be undecided."""
    return Patience(test.max_extra, test.at_limit)


def judge_intervals(intervals: tuple[Interval, ...], rules: Rules, *, last: bool) -> Finding:
    """Judge the intervals of one rollout, as if nobody had looked before; ``last`` says that promotion is next."""
    return consult(weigh_all(intervals, rules), rules, last=last)


def consult(
    evidence: Evidence, rules: Rules, *, last: bool, asked: int = 0, patience: Patience | None = None
) -> Finding:
    """Say what the evidence is good for now.

    ``asked`` is how often the test has asked for more time in this rollout.
    """
    patience = patience or Patience()
    if evidence.harm >= -math.log(rules.alpha):
        return _found(Verdict.FAILED, evidence, rules, f"{_difference(evidence)}, which is proven")
    if not last and not evidence.silent and evidence.harm < SUSPICION:
        return _found(Verdict.PASSED, evidence, rules, f"no sign of harm: {_difference(evidence)}")
    if last and not evidence.silent and evidence.calm >= -math.log(rules.beta):
        return _found(Verdict.PASSED, evidence, rules, f"proven not to be worse by {_points(rules.margin)} points")
    why = _doubt(evidence, rules, last=last)
    if asked >= patience.limit and patience.then is not AtLimit.WAIT:
        verdict = Verdict.PASSED if patience.then is AtLimit.PASS else Verdict.FAILED
        return _found(verdict, evidence, rules, f"{why}; asked for more time {asked} times, which is the limit")
    return _found(Verdict.INCONCLUSIVE, evidence, rules, why)


def _found(verdict: Verdict, evidence: Evidence, rules: Rules, sentence: str) -> Finding:
    value = (
        f"{_points(evidence.excess, sign=True)} points ({_side(evidence.canary)}, primary {_side(evidence.primary)})"
    )
    return Finding(verdict, sentence, value, f"< {_points(rules.margin, sign=True)} points")


def _doubt(evidence: Evidence, rules: Rules, *, last: bool) -> str:
    if evidence.silent:
        return "nothing to compare: canary and primary need requests in the same interval"
    if not last:
        return f"{_difference(evidence)}, which may be chance: the share stays until that is clear"
    return f"not proven yet not to be worse by {_points(rules.margin)} points: {_missing(evidence, rules)}"


def _missing(evidence: Evidence, rules: Rules) -> str:
    """Estimate what a proof of no harm still takes, if requests go on to fail as they did."""
    left = -math.log(rules.beta) - evidence.calm
    if evidence.calm <= 0:
        return f"so far {_difference(evidence)}"
    requests = math.ceil(evidence.canary.total * left / evidence.calm)
    intervals = CALM_INTERVALS - evidence.intervals
    more = f", in {intervals} intervals or more" if intervals > 1 else ""
    return f"about {_short(requests)} more requests to the canary are needed{more}"


def _short(number: float) -> str:
    """Write a rough number with two digits that count."""
    if number < 100:
        return f"{number:.0f}"
    digits = len(f"{number:.0f}") - 2
    return f"{round(number, -digits):,.0f}"


def _difference(evidence: Evidence) -> str:
    excess = evidence.excess
    if abs(excess) < 0.000005:
        return "the canary fails as often as the primary"
    return (
        f"the canary fails {'more' if excess > 0 else 'less'} often than the primary, by {_points(abs(excess))} points"
    )


def _side(counts: Counts) -> str:
    share = counts.failed / counts.total * 100 if counts.total else 0.0
    return f"{share:.2f}% of {counts.total:,.0f}"


def _points(fraction: float, *, sign: bool = False) -> str:
    """Write a difference of rates in percentage points, as short as two decimals allow."""
    text = f"{fraction * 100:.2f}".rstrip("0").rstrip(".")
    text = "0" if text in {"-0", ""} else text
    return f"+{text}" if sign and not text.startswith("-") else text
