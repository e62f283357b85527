"""Made-up traffic: how many requests of canary and primary fail in an interval, in three worlds.

Everything random comes from the generator that is handed in, so that a run can be repeated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from flaggerpy.metrics.sequential import Counts, Interval

BURST = 5.0
"""Failures that come together on average in the world of bursts; their number is geometric."""
INCIDENT_FACTOR = 10.0
INCIDENT_LATEST = 8
"""An incident of two intervals, by the factor above, begins in one of the first so many in the drifting world."""
DRIFT_KEPT, DRIFT_NEW = 0.8, 0.4
"""The logarithm of the baseline keeps this part of its distance to the next interval, and gets this new deviation."""
MOST = 0.5
"""No drift makes more than half of all requests fail."""


class World(StrEnum):
    """What is wrong with traffic besides the canary."""

    PLAIN = "plain"
    DRIFT = "drifting"
    BURSTS = "bursty"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests in all of an interval, and how often they fail in primary and canary, as fractions."""

    total: int
    primary: float
    canary: float
    world: World = World.PLAIN

    def baselines(self, rng: Random) -> Iterator[float]:
        """Yield the factor by which everything fails more often in each interval, which both sides share."""
        distance = 0.0
        incident = rng.randrange(INCIDENT_LATEST)
        number = 0
        while True:
            if self.world is not World.DRIFT:
                yield 1.0
                continue
            distance = DRIFT_KEPT * distance + DRIFT_NEW * rng.gauss(0, 1)
            yield math.exp(distance) * (INCIDENT_FACTOR if number in {incident, incident + 1} else 1)
            number += 1

    def interval(self, weight: int, baseline: float, rng: Random) -> Interval:
        """Serve one interval in which the canary gets ``weight`` per cent of the requests."""
        asked = self.total * weight // 100
        return Interval(
            self._served(asked, self.canary * baseline, rng),
            self._served(self.total - asked, self.primary * baseline, rng),
        )

    def _served(self, requests: int, rate: float, rng: Random) -> Counts:
        rate = min(rate, MOST)
        burst = BURST if self.world is World.BURSTS else 1.0
        failed = binomial(requests, rate / burst, rng)
        if burst > 1:
            failed = min(requests, sum(_geometric(1 / burst, rng) for _ in range(failed)))
        return Counts(requests - failed, requests)


def binomial(trials: int, chance: float, rng: Random) -> int:
    """Draw how many of so many trials succeed; exact, and quick where few do or many are tried.

    Many are halved by the middle order statistic, which has a beta distribution (Devroye, X.4); few are found
    by jumping from one to the next.
    """
    found = 0
    while trials * chance > 10:
        middle = trials // 2 + 1
        split = rng.betavariate(middle, trials + 1 - middle)
        if split <= chance:
            found += middle
            trials -= middle
            chance = (chance - split) / (1 - split)
        else:
            trials = middle - 1
            chance /= split
    if chance <= 0:
        return found
    if chance >= 1:
        return found + trials
    at = _geometric(chance, rng)
    while at <= trials:
        found += 1
        at += _geometric(chance, rng)
    return found


def _geometric(chance: float, rng: Random) -> int:
    """Draw the number of trials up to the first success."""
    return int(math.log(1 - rng.random()) / math.log1p(-chance)) + 1
