from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest

from flaggerpy.api.analysis import CanaryMetric
from flaggerpy.metrics.judge import Measure, bounds_of, halted, judge, measure_of, no_values, unanswered
from flaggerpy.rollout.errors import UserError

PERCENT, MILLISECONDS, PLAIN = Measure.PERCENT, Measure.MILLISECONDS, Measure.PLAIN


def metric(name: str = "errors", **fields: Any) -> CanaryMetric:
    return CanaryMetric.model_validate({"name": name, **fields})


def between(low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"thresholdRange": {"min": low, "max": high}}


@dataclass(frozen=True)
class Case:
    rule: str
    measure: Measure
    fields: dict[str, Any]
    value: float
    says: str = ""


CASES = [
    Case("a value on the lower bound passes", PERCENT, between(99), 99.0),
    Case("a value below it fails", PERCENT, between(99), 50, "success rate 50.00% < 99%"),
    Case("a value just below it fails", PERCENT, between(99.5), 99.499, "success rate 99.50% < 99.5%"),
    Case("success has an upper bound too", PERCENT, between(None, 99), 99.7, "success rate 99.70% > 99%"),
    Case("threshold is a minimum of success", PERCENT, {"threshold": 99}, 98.9, "success rate 98.90% < 99%"),
    Case("reaching it passes", PERCENT, {"threshold": 99}, 99),
    Case("success passes without any bound", PERCENT, {}, 0),
    Case("a duration on the bound passes", MILLISECONDS, between(None, 500), 500),
    Case("above it fails", MILLISECONDS, between(None, 500), 700, "request duration 700ms > 500ms"),
    Case("seconds read as Go writes", MILLISECONDS, between(None, 1500), 62_000, "request duration 1m2s > 1.5s"),
    Case("below a minimum fails", MILLISECONDS, between(10), 9.5, "request duration 9.5ms < 10ms"),
    Case("threshold is a maximum of duration", MILLISECONDS, {"threshold": 500}, 501, "request duration 501ms > 500ms"),
    Case("threshold 0 is a bound", MILLISECONDS, {"threshold": 0}, 1, "request duration 1ms > 0s"),
    Case("an endless duration fails", MILLISECONDS, between(None, 500), math.inf, "request duration +Infms > 500ms"),
    Case("a custom value in range passes", PLAIN, between(1, 2), 1.5),
    Case("its bounds are inclusive", PLAIN, between(1, 2), 2),
    Case("above fails", PLAIN, between(None, 0.01), 0.05, "errors 0.05 > 0.01"),
    Case("below fails", PLAIN, between(10), 9, "errors 9.00 < 10"),
    Case("threshold is a maximum of anything else", PLAIN, {"threshold": 5}, 5.004, "errors 5.00 > 5"),
    Case("a range wins over a threshold", PLAIN, {**between(None, 9), "threshold": 1}, 5),
    Case("a range without ends accepts all", PLAIN, {"thresholdRange": {}}, -7e9),
    Case("infinity is above every maximum", PLAIN, between(None, 1), math.inf, "errors +Inf > 1"),
    Case("minus infinity is below every minimum", PLAIN, between(1), -math.inf, "errors -Inf < 1"),
    Case("big bounds are written out", PLAIN, between(None, 1e6), 2e6, "errors 2000000.00 > 1000000"),
    Case("no value that is no number passes", PLAIN, between(None, 1), math.nan, "errors NaN > 1"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.measure.value}: {case.rule}")
def test_bounds_are_inclusive_and_the_sentence_names_value_and_bound(case: Case) -> None:
    judgement = judge(metric(**case.fields), case.measure, case.value)

    assert judgement.sentence == case.says
    assert judgement.passed == (case.says == "")


def test_w55_a_fraction_of_a_millisecond_counts_in_values_and_in_bounds() -> None:
    metric_below = metric(**between(None, 0.5))

    assert judge(metric_below, MILLISECONDS, 0.4).passed
    assert judge(metric_below, MILLISECONDS, 0.6).sentence == "request duration 600µs > 500µs"
    assert judge(metric(**between(None, 500)), MILLISECONDS, 500.4).sentence == "request duration 500.4ms > 500ms"


@pytest.mark.parametrize(
    ("measure", "fields", "value", "bound"),
    [
        (PERCENT, between(99), "100.00%", ">= 99%"),
        (MILLISECONDS, between(None, 500), "100ms", "<= 500ms"),
        (PLAIN, between(1, 200), "100.00", ">= 1, <= 200"),
        (PLAIN, {"thresholdRange": {}}, "100.00", ""),
    ],
)
def test_value_and_bound_are_texts_for_the_status(
    measure: Measure, fields: dict[str, Any], value: str, bound: str
) -> None:
    judgement = judge(metric(**fields), measure, 100)

    assert (judgement.value, judgement.bound) == (value, bound)


@pytest.mark.parametrize("measure", [MILLISECONDS, PLAIN])
def test_a_metric_without_any_bound_is_the_users_mistake(measure: Measure) -> None:
    with pytest.raises(UserError, match="errors has no bound to be judged by: add thresholdRange"):
        bounds_of(metric(), measure)


def test_a_range_that_nothing_can_lie_in_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match="errors can never pass, because its min 2 is above its max 1"):
        bounds_of(metric(**between(2, 1)), PLAIN)


def test_a_builtin_name_means_a_unit_only_for_the_builtin_query() -> None:
    assert measure_of(metric("request-success-rate"), builtin=True) is PERCENT
    assert measure_of(metric("request-duration"), builtin=True) is MILLISECONDS
    assert measure_of(metric("request-duration"), builtin=False) is PLAIN
    assert measure_of(metric("errors"), builtin=True) is PLAIN


def test_events_read_as_flaggers() -> None:
    rate = metric("request-success-rate", **between(99))
    sentence = judge(rate, PERCENT, 50).sentence

    assert halted("podinfo.prod", sentence) == "Halt podinfo.prod advancement success rate 50.00% < 99%"
    assert no_values(rate, PERCENT, "istio", "podinfo.prod") == (
        "Halt advancement no values found for istio metric request-success-rate probably podinfo.prod is not "
        "receiving traffic: running query failed: no values found"
    )
    assert no_values(metric(), PLAIN, "istio", "podinfo.prod") == (
        "Halt advancement no values found for custom metric: errors: no values found"
    )
    assert "the rollout holds: Prometheus at x: down" in unanswered(metric(), "Prometheus at x: down")
