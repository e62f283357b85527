from __future__ import annotations

from typing import Any

import pytest

from flaggerpy.api.guards import guard_problems, guard_remarks
from flaggerpy.api.sequential import SequentialTest, sequential_problems
from flaggerpy.api.validation import problems as problems_of
from flaggerpy.api.validation import remarks
from tests.builders import canary


def problems(fields: dict[str, Any], *, counts_itself: bool = True) -> list[str]:
    test = SequentialTest.model_validate(fields)
    return list(sequential_problems("sequential", test, counts_itself=counts_itself))


COUNTERS = {"good": 'ok_total{pod=~"{{ target }}-.*"}', "total": "requests_total"}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"margin": 0}, "sequential.margin: 0 is no difference of two shares"),
        ({"margin": 101}, "sequential.margin: 101 is no difference"),
        ({"tolerance": -0.1}, "sequential.tolerance: -0.1 would roll back a canary that is no worse"),
        ({"tolerance": 0.5}, "sequential.tolerance: 0.5 is not below margin 0.5"),
        ({"alpha": 0}, "sequential.alpha: 0 is no chance to accept"),
        ({"beta": 5}, "sequential.beta: 5 is no chance to accept: write a fraction below 0.5, as in 0.01."),
        ({"maxExtra": -1}, "sequential.maxExtra: -1 is less than nothing"),
        ({"good": "ok_total"}, "sequential.good: the built-in metric has its own counters: remove good."),
    ],
)
def test_settings_that_nobody_can_have_meant_are_told(fields: dict[str, Any], says: str) -> None:
    (problem,) = problems(fields)
    assert says in problem


def test_other_metrics_need_both_counters() -> None:
    assert [problem.split(":")[0] for problem in problems({}, counts_itself=False)] == [
        "sequential.good",
        "sequential.total",
    ]
    assert problems(COUNTERS, counts_itself=False) == []


def test_a_range_is_no_counter() -> None:
    (problem,) = problems({**COUNTERS, "total": "requests_total[1m]"}, counts_itself=False)
    assert "requests_total[1m] is a range" in problem


def test_brackets_inside_a_matcher_are_none() -> None:
    assert problems({**COUNTERS, "total": 'requests_total{pod=~"a[.]b"}'}, counts_itself=False) == []


def test_defaults_are_fine() -> None:
    assert problems({}) == []


def guarded(metric: dict[str, Any], **analysis: Any) -> list[str]:
    return list(guard_problems(canary(analysis={"metrics": [metric], **analysis}).spec.analysis))


def test_a_canarys_test_is_looked_at_with_its_guards() -> None:
    (problem,) = guarded({"name": "errors", "sequential": {**COUNTERS, "margin": 0}})
    assert problem.startswith("spec.analysis.metrics[0].sequential.margin: 0 is no difference")
    assert guarded({"name": "request-success-rate", "sequential": {}}) == []


@pytest.mark.parametrize(("steps", "mirror", "told"), [([100], False, 1), ([100], True, 0), ([50, 100], False, 0)])
def test_a_first_step_that_leaves_nobody_to_compare_with_is_told(steps: list[int], mirror: bool, told: int) -> None:
    metric = {"name": "request-success-rate", "sequential": {}}
    said = guarded(metric, stepWeight=None, maxWeight=None, stepWeights=steps, mirror=mirror)
    assert len(said) == told
    assert all("begin with a smaller share" in sentence for sentence in said)


def test_what_nothing_reads_beside_a_test_is_remarked_on() -> None:
    tested = {"name": "errors", "query": "x", "minSamples": 9, "sampleQuery": "y", "sequential": COUNTERS}
    alone = guard_remarks(canary(analysis={"metrics": [tested]}).spec.analysis)
    assert [remark.split()[0] for remark in alone] == [
        "spec.analysis.metrics[0].query",
        "spec.analysis.metrics[0].minSamples",
    ]
    beside = {**tested, "thresholdRange": {"max": 1}}
    assert list(guard_remarks(canary(analysis={"metrics": [beside]}).spec.analysis)) == []


def test_a_test_alone_is_no_metric_that_nobody_can_measure_or_that_always_passes() -> None:
    metrics = [
        {"name": "errors", "sequential": COUNTERS},
        {"name": "request-success-rate", "sequential": {}},
        {"name": "request-duration", "sequential": COUNTERS},
    ]
    one = canary(analysis={"metrics": metrics})
    assert problems_of(one) == ()
    assert remarks(one) == ()
