from __future__ import annotations

from typing import Any

import pytest

from flaggerpy.api.sequential import SequentialTest, sequential_problems


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
