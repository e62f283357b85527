"""The simulation behind docs/guides/sequential.md: that its chance is the right chance, and can be repeated."""

from __future__ import annotations

import statistics
import xml.etree.ElementTree as ET
from itertools import islice
from random import Random

import pytest

from flaggerpy.metrics.sequential import Counts, Interval
from tools.simulate.__main__ import BEGIN, END, PAGE, PICTURE
from tools.simulate.rollouts import Bound, Say
from tools.simulate.study import TEST, Chosen, Task, measure
from tools.simulate.worlds import BURST, Traffic, World, binomial

AA = Traffic(1_000, 0.001, 0.001)


@pytest.mark.parametrize(("trials", "chance"), [(500, 0.001), (9_000, 0.01), (40, 0.5), (3, 0.9)])
def test_draws_are_binomial(trials: int, chance: float) -> None:
    rng = Random(2009)
    drawn = [binomial(trials, chance, rng) for _ in range(4_000)]

    assert all(0 <= count <= trials for count in drawn)
    variance = trials * chance * (1 - chance)
    assert statistics.fmean(drawn) == pytest.approx(trials * chance, abs=5 * (variance / 4_000) ** 0.5)
    assert statistics.variance(drawn) == pytest.approx(variance, rel=0.2)


def test_chances_at_the_ends_are_certain() -> None:
    assert [binomial(7, chance, Random(1)) for chance in (0.0, 1.0)] == [0, 7]


def test_bursts_change_the_spread_and_not_the_mean() -> None:
    traffic = Traffic(100_000, 0.001, 0.001, World.BURSTS)
    rng = Random(2009)
    failed = [traffic.interval(50, 1, rng).canary.failed for _ in range(2_000)]

    assert statistics.fmean(failed) == pytest.approx(50, rel=0.05)
    assert statistics.variance(failed) == pytest.approx(50 * (2 * BURST - 1), rel=0.2)


def test_only_the_drifting_world_drifts_and_has_an_incident() -> None:
    plain = list(islice(AA.baselines(Random(1)), 10))
    drifting = list(islice(Traffic(1_000, 0.001, 0.001, World.DRIFT).baselines(Random(1)), 10))

    assert plain == [1.0] * 10
    assert len(set(drifting)) == 10
    assert max(drifting) > 3


def test_a_bound_counts_failed_checks_as_flagger_does() -> None:
    judge = Bound(99, 2)
    good, bad = (Interval(Counts(100 - failed, 100), Counts(900, 900)) for failed in (1, 2))

    said = [judge.look(interval, last=False) for interval in (good, bad, good, bad)]

    assert said == [Say.ADVANCE, Say.HOLD, Say.ADVANCE, Say.ROLL_BACK_LATER]


def test_figures_can_be_repeated() -> None:
    task = Task(Traffic(100, 0.001, 0.01), Chosen(99, 1), 50)
    assert measure(task) == measure(task)


@pytest.mark.parametrize("world", World)
def test_harmless_canaries_are_not_rolled_back(world: World) -> None:
    """At most 1 % of 300, whose generator is seeded: the figure is the same in every run."""
    figures = measure(Task(Traffic(1_000, 0.001, 0.001, world), TEST, 300))
    assert figures.rolled_back <= 0.01


def test_tenfold_failures_are_caught() -> None:
    figures = measure(Task(Traffic(1_000, 0.001, 0.01), TEST, 100))
    assert figures.rolled_back >= 0.95


def test_the_page_has_figures_and_the_picture_can_be_read() -> None:
    page = PAGE.read_text(encoding="utf-8")
    figures = page[page.index(BEGIN) : page.index(END)]

    assert "**Targets**" in figures
    assert ET.fromstring(PICTURE.read_text(encoding="utf-8")).tag.endswith("svg")  # noqa: S314 -- our own file
