"""Is the canary's error rate worse than the primary's? A test that may be asked at every check, and its evidence.

Counts of requests go in, one pair an interval, and evidence comes out: by how much two bets have multiplied
their stakes. The first wins when the canary is worse, the second when it is not. Both are fair or worse for
the player as long as what they bet against is true, so the chance that one ever multiplies its stake by 100
is one in a hundred at most (Ville), however often somebody looks. Formula, sources, what is guaranteed and
what is not: docs/design/0009-sequential-test.md. Pure arithmetic; ``consult`` in ``evidence`` says what follows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import starmap
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests of one workload in one interval; counters that were read at two moments may disagree by a few."""

    good: float
    total: float

    @property
    def failed(self) -> float:
        """Requests that were not good."""
        return min(max(self.total - self.good, 0.0), self.total)


@dataclass(frozen=True, slots=True)
class Interval:
    """What canary and primary were asked in the same time."""

    canary: Counts
    primary: Counts

    @property
    def compares(self) -> bool:
        """Whether both were asked at all."""
        return self.canary.total > 0 and self.primary.total > 0


@dataclass(frozen=True, slots=True)
class Rules:
    """What is tested, with rates as fractions.

    Attributes:
        margin: excess of the canary's error rate that must not be promoted.
        tolerance: excess that must not be rolled back, below ``margin``.
        alpha: accepted chance to roll back a canary within the tolerance, of a whole rollout.
        beta: accepted chance to call a canary with the margin's excess harmless, of a whole rollout.

    """

    margin: float = 0.005
    tolerance: float = 0.0005
    alpha: float = 0.01
    beta: float = 0.05


class Bet(NamedTuple):
    """One guess: the canary fails ``ratio`` times as often as the primary, and failures come ``burst`` at a time."""

    ratio: float
    burst: float = 1.0
    capped: bool = True
    """Whether one interval can win no more than a part of the proof."""


AGAINST = (Bet(2), Bet(4), Bet(10), Bet(30), Bet(30, burst=10, capped=False))
"""Bets on harm: from twice as many errors to a collapse. Only the last is believed after one interval."""
IN_FAVOUR = (Bet(0.1), Bet(0.3), Bet(0.5), Bet(0.8))
"""Bets on no harm: the fewer errors the canary has, beside what the margin would add, the smaller the ratio."""
HARM_INTERVALS = 4
"""Intervals that a proof of harm takes at least, where they do not show a collapse: errors come in bursts."""
CALM_INTERVALS = 2
"""Intervals that a proof of no harm takes at least: the primary has bursts too."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the intervals of one rollout have shown so far.

    Attributes:
        against: natural logarithm of what each bet on harm has made of its stake.
        in_favour: the same of the bets on no harm.
        intervals: how many intervals could be compared.
        canary: everything that the canary was asked in them.
        primary: everything that the primary was asked in them.
        difference: sum over the intervals of the difference between the error rates, by weight.
        weight: sum of the weights of the intervals (Mantel and Haenszel).
        silent: whether the newest interval could not be compared.

    """

    against: tuple[float, ...] = (0.0,) * len(AGAINST)
    in_favour: tuple[float, ...] = (0.0,) * len(IN_FAVOUR)
    intervals: int = 0
    canary: Counts = Counts(0, 0)
    primary: Counts = Counts(0, 0)
    difference: float = 0.0
    weight: float = 0.0
    silent: bool = True

    @property
    def excess(self) -> float:
        """By how much the canary's error rate is above the primary's, compared within intervals only."""
        return self.difference / self.weight if self.weight else 0.0

    @property
    def harm(self) -> float:
        """Logarithm of the evidence that the canary is worse by more than the tolerance."""
        return _mean(self.against)

    @property
    def calm(self) -> float:
        """Logarithm of the evidence that the canary is worse by less than the margin."""
        return _mean(self.in_favour)


def weigh(evidence: Evidence, interval: Interval, rules: Rules) -> Evidence:
    """Add one interval; one in which either side was not asked says nothing."""
    if not interval.compares:
        return replace(evidence, silent=True)
    canary, primary = interval.canary, interval.primary
    weight = canary.total * primary.total / (canary.total + primary.total)
    excess = canary.failed / canary.total - primary.failed / primary.total
    return replace(
        evidence,
        against=_played(evidence.against, AGAINST, interval, rules.tolerance, _most_against(rules)),
        in_favour=_played(evidence.in_favour, IN_FAVOUR, interval, rules.margin, _most_in_favour(rules)),
        intervals=evidence.intervals + 1,
        canary=_sum(evidence.canary, canary),
        primary=_sum(evidence.primary, primary),
        difference=evidence.difference + weight * excess,
        weight=evidence.weight + weight,
        silent=False,
    )


def weigh_all(intervals: Iterable[Interval], rules: Rules) -> Evidence:
    """Fold the intervals of a rollout, in their order."""
    evidence = Evidence()
    for interval in intervals:
        evidence = weigh(evidence, interval, rules)
    return evidence


def won(bet: Bet, interval: Interval, excess: float) -> float:
    """Logarithm of what one interval makes of a bet's stake.

    ``excess`` is what the opponent claims: at most so much more (for ratios above 1), or at least (below 1).
    """
    asked, others = interval.canary.total, interval.primary.total
    odds = bet.ratio * asked + others
    up, down = bet.ratio * (asked + others) / odds, (asked + others) / odds
    failures = interval.canary.failed * _each(up, bet.burst) + interval.primary.failed * _each(down, bet.burst)
    return failures - asked * excess * (up - 1) / bet.burst


def _each(factor: float, burst: float) -> float:
    """Logarithm of what one failure multiplies a stake by, so that a burst of them makes ``factor`` on average."""
    return math.log(burst * factor / (1 + (burst - 1) * factor))


def _most_against(rules: Rules) -> float:
    """What a capped bet may win in one interval, so that all of them together take ``HARM_INTERVALS`` for a proof."""
    share = sum(bet.capped for bet in AGAINST) / len(AGAINST)
    return -math.log(rules.alpha * share) / HARM_INTERVALS


def _most_in_favour(rules: Rules) -> float:
    return -math.log(rules.beta) / CALM_INTERVALS


def _played(
    stakes: tuple[float, ...], bets: tuple[Bet, ...], interval: Interval, excess: float, most: float
) -> tuple[float, ...]:
    def play(stake: float, bet: Bet) -> float:
        gain = won(bet, interval, excess)
        return stake + (min(gain, most) if bet.capped else gain)

    return tuple(starmap(play, zip(stakes, bets, strict=True)))


def _mean(stakes: tuple[float, ...]) -> float:
    """Logarithm of the mean of stakes that are given as logarithms."""
    highest = max(stakes)
    return highest + math.log(sum(math.exp(stake - highest) for stake in stakes) / len(stakes))


def _sum(one: Counts, other: Counts) -> Counts:
    return Counts(one.good + other.good, one.total + other.total)
