"""The exact binomial test against fractions and published figures."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from tests.traffic.binomial import two_sided


def exact(successes: int, trials: int, probability: Fraction) -> Fraction:
    """The definition, without rounding."""
    mass = [math.comb(trials, k) * probability**k * (1 - probability) ** (trials - k) for k in range(trials + 1)]
    return sum((m for m in mass if m <= mass[successes]), Fraction(0))


@pytest.mark.parametrize("probability", [Fraction(1, 10), Fraction(1, 2), Fraction(2, 3), Fraction(99, 100)])
@pytest.mark.parametrize("trials", [1, 2, 7, 30])
def test_it_is_the_sum_of_what_is_no_likelier(trials: int, probability: Fraction) -> None:
    for successes in range(trials + 1):
        expected = float(exact(successes, trials, probability))
        assert two_sided(successes, trials, float(probability)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("successes", "trials", "probability", "p"),
    [
        pytest.param(682, 925, 0.75, 0.3825, id="Mendel's peas, as in the manual of R"),
        pytest.param(0, 10, 0.5, 2 / 1024, id="ten times tails"),
        pytest.param(5, 10, 0.5, 1.0, id="the likeliest outcome"),
        pytest.param(9, 10, 0.5, 22 / 1024, id="both tails count"),
    ],
)
def test_known_values(successes: int, trials: int, probability: float, p: float) -> None:
    assert two_sided(successes, trials, probability) == pytest.approx(p, rel=2e-4)


@pytest.mark.parametrize(
    ("canary", "total", "weight", "plausible"),
    [
        pytest.param(200, 2000, 0.1, True, id="10 % is 10 %"),
        pytest.param(260, 2000, 0.1, True, id="13 % of 2,000 may be chance at one in a million"),
        pytest.param(270, 2000, 0.1, False, id="13.5 % may not"),
        pytest.param(400, 2000, 0.1, False, id="20 % is not 10 %"),
        pytest.param(0, 2000, 0.1, False, id="nothing at all is not 10 %"),
        pytest.param(50_600, 100_000, 0.5, True, id="many trials, within chance"),
        pytest.param(51_000, 100_000, 0.5, False, id="many trials, beyond chance"),
    ],
)
def test_it_tells_weights_apart_at_one_in_a_million(canary: int, total: int, weight: float, plausible: bool) -> None:
    assert (two_sided(canary, total, weight) >= 1e-6) is plausible


@pytest.mark.parametrize(("successes", "p"), [(0, 1.0), (1, 0.0)])
def test_a_certain_probability_admits_one_outcome(successes: int, p: float) -> None:
    assert two_sided(successes, 9, 0.0) == p
    assert two_sided(9 - successes, 9, 1.0) == p


@pytest.mark.parametrize(("successes", "trials", "probability"), [(3, 2, 0.5), (-1, 2, 0.5), (1, 2, 1.5)])
def test_nonsense_is_refused(successes: int, trials: int, probability: float) -> None:
    with pytest.raises(ValueError, match=r"no outcome|no probability"):
        two_sided(successes, trials, probability)
