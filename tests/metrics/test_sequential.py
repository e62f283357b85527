from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flaggerpy.metrics.sequential import (
    AGAINST,
    CALM_INTERVALS,
    HARM_INTERVALS,
    IN_FAVOUR,
    Bet,
    Counts,
    Evidence,
    Interval,
    Rules,
    weigh,
    weigh_all,
    won,
)

RULES = Rules()
EVERY_BET = (*AGAINST, *IN_FAVOUR)


def interval(canary: tuple[int, int], primary: tuple[int, int]) -> Interval:
    """Build an interval from (failed, total) of both sides."""
    return Interval(Counts(canary[1] - canary[0], canary[1]), Counts(primary[1] - primary[0], primary[1]))


@st.composite
def counts(draw: st.DrawFn, least: int = 1) -> Counts:
    total = draw(st.integers(least, 5_000))
    return Counts(draw(st.integers(0, total)), total)


intervals = st.builds(Interval, counts(), counts())
rates = st.floats(0, 1)


def swapped(one: Interval) -> Interval:
    return Interval(one.primary, one.canary)


def worse(side: Counts) -> Counts:
    return replace(side, good=max(side.good - 1, 0))


@settings(deadline=None)
@given(st.lists(intervals, min_size=1, max_size=8), st.data())
def test_one_more_failure_of_the_canary_never_speaks_for_it(seen: list[Interval], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(seen) - 1))
    changed = [*seen]
    changed[place] = replace(seen[place], canary=worse(seen[place].canary))

    before, after = weigh_all(seen, RULES), weigh_all(changed, RULES)

    assert after.harm >= before.harm - 1e-9
    assert after.calm <= before.calm + 1e-9


@settings(deadline=None)
@given(st.lists(intervals, min_size=1, max_size=8), st.data())
def test_one_more_failure_of_the_primary_never_speaks_against_the_canary(
    seen: list[Interval], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(seen) - 1))
    changed = [*seen]
    changed[place] = replace(seen[place], primary=worse(seen[place].primary))

    before, after = weigh_all(seen, RULES), weigh_all(changed, RULES)

    assert after.harm <= before.harm + 1e-9
    assert after.calm >= before.calm - 1e-9


@settings(deadline=None)
@given(st.lists(intervals, max_size=20))
def test_a_canary_that_never_fails_more_often_than_the_primary_is_never_called_harmful(seen: list[Interval]) -> None:
    kind = [one if _rate(one.canary) <= _rate(one.primary) else swapped(one) for one in seen]

    assert weigh_all(kind, RULES).harm <= 1e-9


@settings(deadline=None)
@given(intervals, st.sampled_from(EVERY_BET))
def test_without_margin_both_sides_are_treated_alike(one: Interval, bet: Bet) -> None:
    other = bet._replace(ratio=1 / bet.ratio)

    assert won(bet, one, 0) == pytest.approx(won(other, swapped(one), 0), abs=1e-6)


@settings(deadline=None)
@given(st.lists(intervals, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_intervals_does_not_matter(seen: list[Interval], rng: Random) -> None:
    other = [*seen]
    rng.shuffle(other)

    first, second = weigh_all(seen, RULES), weigh_all(other, RULES)

    assert first.harm == pytest.approx(second.harm, abs=1e-6)
    assert first.calm == pytest.approx(second.calm, abs=1e-6)


@settings(deadline=None)
@given(
    st.sampled_from(EVERY_BET),
    st.lists(rates, min_size=1, max_size=4),
    st.lists(rates, min_size=1, max_size=4),
    st.floats(0, 0.3),
)
def test_a_bet_is_fair_or_worse_whatever_every_single_request_does(
    bet: Bet, canary: list[float], primary: list[float], excess: float
) -> None:
    """The expectation of what a bet makes of its stake, exactly: over everything that these requests can do."""
    edge = sum(primary) / len(primary) + excess
    assume(edge <= 1)
    canary = _claimed(canary, edge, 1) if bet.ratio < 1 else _claimed(canary, 0, edge)
    expected = 0.0
    for answers in product((0, 1), repeat=len(canary) + len(primary)):
        chance = math.prod(
            rate if failed else 1 - rate for rate, failed in zip((*canary, *primary), answers, strict=True)
        )
        mine, others = answers[: len(canary)], answers[len(canary) :]
        expected += chance * math.exp(won(bet, interval((sum(mine), len(mine)), (sum(others), len(others))), excess))

    assert expected <= 1 + 1e-9


def test_one_interval_is_at_most_a_part_of_a_proof() -> None:
    bad, fine = interval((9, 500), (0, 500)), interval((0, 9_000), (9_000, 9_000))

    assert weigh_all([bad] * (HARM_INTERVALS - 1), RULES).harm < -math.log(RULES.alpha)
    assert weigh_all([bad] * HARM_INTERVALS, RULES).harm >= -math.log(RULES.alpha) - 1e-9
    assert weigh_all([fine] * (CALM_INTERVALS - 1), RULES).calm < -math.log(RULES.beta)
    assert weigh_all([fine] * CALM_INTERVALS, RULES).calm >= -math.log(RULES.beta) - 1e-9


def test_but_a_collapse_is_proven_by_one() -> None:
    assert weigh(Evidence(), interval((100, 100), (1, 900)), RULES).harm >= -math.log(RULES.alpha)


@pytest.mark.parametrize("one", [interval((0, 0), (3, 900)), interval((5, 100), (0, 0))], ids=["canary", "primary"])
def test_an_interval_without_requests_on_one_side_says_nothing(one: Interval) -> None:
    before = weigh(Evidence(), interval((1, 100), (1, 900)), RULES)

    after = weigh(before, one, RULES)

    assert after == replace(before, silent=True)


def test_the_excess_is_taken_within_intervals_so_that_an_incident_of_both_is_none() -> None:
    calm, incident = interval((0, 100), (0, 900)), interval((50, 500), (50, 500))

    evidence = weigh_all([calm, incident], RULES)

    assert evidence.excess == 0
    assert evidence.canary.failed / evidence.canary.total > evidence.primary.failed / evidence.primary.total


@pytest.mark.parametrize(("good", "failed"), [(101.0, 0.0), (97.5, 2.5), (-3.0, 100.0)])
def test_counters_read_a_moment_apart_give_no_impossible_counts(good: float, failed: float) -> None:
    assert Counts(good, 100).failed == failed


def _rate(side: Counts) -> float:
    return side.failed / side.total


def _claimed(rates_of_canary: list[float], least: float, most: float) -> list[float]:
    """Give all requests one rate at the edge of what is claimed, where their mean is not within it."""
    mean = sum(rates_of_canary) / len(rates_of_canary)
    return rates_of_canary if least <= mean <= most else [min(max(mean, least), most)] * len(rates_of_canary)
