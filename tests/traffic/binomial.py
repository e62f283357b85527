"""The exact two-sided binomial test, for asking whether a share of requests fits the weight that was set."""

from __future__ import annotations

import math

_LARGEST = 10_000_000


def two_sided(successes: int, trials: int, probability: float) -> float:
    """Give the chance of an outcome at most as likely as the one seen, if `probability` is the truth.

    It is the sum over all outcomes that are no likelier than the observed one, as R's binom.test takes it.
    """
    if not 0 <= successes <= trials <= _LARGEST:
        raise ValueError(f"{successes} of {trials} is no outcome that can be tested")
    if not 0 <= probability <= 1:
        raise ValueError(f"{probability} is no probability")
    if probability in {0.0, 1.0}:
        return 1.0 if successes == trials * probability else 0.0
    # Outcomes that are equally likely by symmetry differ in the last digits; they count as equally likely.
    bound = _log_mass(successes, trials, probability) + 1e-7
    mode = math.floor((trials + 1) * probability)
    low = _last_at_most(bound, trials, probability, rising=range(min(mode, trials) + 1))
    high = _first_at_most(bound, trials, probability, falling=range(mode, trials + 1))
    tails = [math.exp(_log_mass(k, trials, probability)) for k in range(low + 1)]
    tails += [math.exp(_log_mass(k, trials, probability)) for k in range(max(high, low + 1), trials + 1)]
    return min(1.0, math.fsum(tails))


def _last_at_most(bound: float, trials: int, probability: float, *, rising: range) -> int:
    """Find the largest outcome up to the mode that is no likelier than the bound; -1 when none is."""
    low, high = rising.start - 1, rising.stop - 1
    while low < high:
        middle = (low + high + 1) // 2
        if _log_mass(middle, trials, probability) <= bound:
            low = middle
        else:
            high = middle - 1
    return low


def _first_at_most(bound: float, trials: int, probability: float, *, falling: range) -> int:
    """Find the smallest outcome from the mode on that is no likelier than the bound."""
    low, high = falling.start, falling.stop
    while low < high:
        middle = (low + high) // 2
        if _log_mass(middle, trials, probability) <= bound:
            high = middle
        else:
            low = middle + 1
    return low


def _log_mass(successes: int, trials: int, probability: float) -> float:
    choose = math.lgamma(trials + 1) - math.lgamma(successes + 1) - math.lgamma(trials - successes + 1)
    return choose + successes * math.log(probability) + (trials - successes) * math.log1p(-probability)
