"""Which rollouts are simulated, and their figures. Every task has a generator of its own, so order does not matter."""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from flaggerpy.metrics.sequential import Rules
from tools.simulate.rollouts import End, Outcome, bound, play, sequential
from tools.simulate.worlds import Traffic, World

SEED = 7
TOTALS = (100, 1_000, 10_000)
BASES = (0.001, 0.01)
REGRESSIONS = ((0.001, 0.003), (0.001, 0.005), (0.001, 0.01), (0.01, 0.02))
CANDIDATES = (99.97, 99.95, 99.9, 99.8, 99.7, 99.5, 99.3, 99, 98.5, 98, 97, 96, 95, 93, 90, 87, 85, 80, 75, 70)
"""Bounds of which the strictest that rolls back no more often than the test is the one to compare with."""
CURVE = 26
"""Intervals of which the curves are drawn: all steps, and as often as the test asks for more."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A judge by name: the test, or a fixed bound in per cent with a threshold of failed checks."""

    least: float | None = None
    threshold: int = 1

    @property
    def title(self) -> str:
        """Name it as in the tables."""
        return "sequential" if self.least is None else f"{self.least:g} % × {self.threshold}"


TEST = Chosen()
FIXED = tuple(Chosen(least, threshold) for least in (99, 99.9) for threshold in (1, 5))


@dataclass(frozen=True, slots=True)
class Task:
    """So many rollouts of one kind under one judge."""

    traffic: Traffic
    judge: Chosen
    runs: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of a task's rollouts.

    Attributes:
        rolled_back: share of them; ``undecided`` likewise, and the rest was promoted.
        to_detect: median of the intervals until a rollback, None where there was none.
        to_promote: the same of promotions.
        failed: mean of the requests that failed in the canary until the end.
        by_interval: share that was rolled back after 1, 2, ... intervals.

    """

    runs: int
    rolled_back: float
    undecided: float
    to_detect: float | None
    to_promote: float | None
    failed: float
    by_interval: tuple[float, ...]


Study = dict[tuple[Traffic, Chosen], Figures]


def measure(task: Task) -> Figures:
    """Roll out as often as the task says."""
    rng = Random(f"{SEED} {task}")  # noqa: S311 -- chance that can be repeated is what is wanted
    judge = task.judge
    make = sequential if judge.least is None else bound(judge.least, judge.threshold)
    return summed([play(task.traffic, make(), rng) for _ in range(task.runs)])


def summed(outcomes: list[Outcome]) -> Figures:
    """Add up rollouts of one kind."""
    runs = len(outcomes)
    back = sorted(outcome.intervals for outcome in outcomes if outcome.end is End.ROLLED_BACK)
    done = [outcome.intervals for outcome in outcomes if outcome.end is End.PROMOTED]
    return Figures(
        runs=runs,
        rolled_back=len(back) / runs,
        undecided=sum(outcome.end is End.UNDECIDED for outcome in outcomes) / runs,
        to_detect=statistics.median(back) if back else None,
        to_promote=statistics.median(done) if done else None,
        failed=statistics.fmean(outcome.failed for outcome in outcomes),
        by_interval=tuple(sum(at <= number for at in back) / runs for number in range(1, CURVE + 1)),
    )


def harmless(world: World) -> list[Traffic]:
    """A/A rollouts: the canary is as good as the primary."""
    return [Traffic(total, base, base, world) for base in BASES for total in TOTALS]


def regressions() -> list[Traffic]:
    """Canaries that are worse; the one with a target in all worlds."""
    plain = [Traffic(total, *rates) for rates in REGRESSIONS for total in TOTALS]
    return [*plain, *(Traffic(1_000, 0.001, 0.01, world) for world in (World.DRIFT, World.BURSTS))]


def study(runs: int, processes: int) -> Study:
    """Simulate everything: ``runs`` rollouts of each A/A kind, and half as many of each regression."""
    everyone = (TEST, *FIXED)
    tasks = [Task(traffic, judge, runs) for world in World for traffic in harmless(world) for judge in everyone]
    tasks += [Task(traffic, judge, runs // 2) for traffic in regressions() for judge in everyone]
    tasks += [
        Task(traffic, Chosen(least, threshold), runs // 2)
        for traffic in harmless(World.PLAIN)
        for least in CANDIDATES
        for threshold in (1, 5)
        if Chosen(least, threshold) not in FIXED
    ]
    with multiprocessing.Pool(processes) as pool:
        found = _all(pool.imap(measure, tasks), tasks)
        rivals = {
            Task(traffic, equal(found, traffic, threshold), runs // 2)
            for traffic in (*regressions(), *harmless(World.DRIFT), *harmless(World.BURSTS))
            for threshold in (1, 5)
        }
        more = sorted((task for task in rivals if (task.traffic, task.judge) not in found), key=repr)
        return found | _all(pool.imap(measure, more), more)


def equal(found: Study, traffic: Traffic, threshold: int) -> Chosen:
    """Find the strictest bound that rolls back a harmless canary no more often than the test may."""
    same = Traffic(traffic.total, traffic.primary, traffic.primary)
    fitting = [least for least in CANDIDATES if found[same, Chosen(least, threshold)].rolled_back <= Rules().alpha]
    return Chosen(max(fitting, default=min(CANDIDATES)), threshold)


def _all(results: Iterable[Figures], tasks: list[Task]) -> Study:
    return {(task.traffic, task.judge): figures for task, figures in zip(tasks, results, strict=True)}
