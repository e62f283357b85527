"""From measurements to a verdict: guards, no data, and the comparison with the primary."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flaggerpy.api.analysis import CanaryMetric
from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, Value
from flaggerpy.metrics.judge import Measure
from flaggerpy.metrics.verdict import About, Measurements, verdict_of
from flaggerpy.rollout.checks import Answer, Verdict

PASSED, FAILED, INCONCLUSIVE, ERROR = Verdict.PASSED, Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.ERROR
ABOUT = About("web.shop", "web.shop", "istio")
DOWN, WRONG, NOTHING = ProviderError("no answer within 5 s"), BadQuery("parse error"), NoData()


def verdict(found: Measurements, measure: Measure = Measure.PLAIN, **fields: Any) -> Answer:
    written = {"name": "errors", "thresholdRange": {"max": 1}, **fields}
    return verdict_of(CanaryMetric.model_validate(written), measure, ABOUT, found)


@dataclass(frozen=True)
class Case:
    rule: str
    found: Measurements
    fields: dict[str, Any]
    verdict: Verdict
    message: str = ""
    value: str | None = None
    bound: str | None = None


NO_VALUE = "Halt advancement no values found for custom metric: errors: no values found"
ENOUGH = {"minSamples": 100, "sampleQuery": "x"}
CASES = [
    Case("in bounds", Measurements(Value(0.5)), {}, PASSED, "", "0.50", "<= 1"),
    Case(
        "out of bounds", Measurements(Value(2)), {}, FAILED, "Halt web.shop advancement errors 2.00 > 1", "2.00", "<= 1"
    ),
    Case("no value is a failure, as in Flagger", Measurements(NOTHING), {}, FAILED, NO_VALUE),
    Case("unless it is to fail", Measurements(NOTHING), {"onNoData": "fail"}, FAILED, NO_VALUE),
    Case("or to pass", Measurements(NOTHING), {"onNoData": "pass"}, PASSED),
    Case("or to wait", Measurements(NOTHING), {"onNoData": "wait"}, INCONCLUSIVE, "no values found for metric errors"),
    Case(
        "nobody answers",
        Measurements(DOWN),
        {"onNoData": "pass"},
        ERROR,
        "The metric errors could not be measured, the rollout holds: no answer within 5 s",
    ),
    Case(
        "a wrong query is a failure",
        Measurements(WRONG),
        {"onNoData": "wait"},
        FAILED,
        "Halt advancement the query of metric errors was refused: parse error",
    ),
    Case("enough samples", Measurements(Value(0.5), Value(100)), ENOUGH, PASSED, "", "0.50", "<= 1"),
    Case(
        "too few to pass",
        Measurements(Value(0.5), Value(99.96)),
        {**ENOUGH, "minSamples": 101},
        INCONCLUSIVE,
        "metric errors: 100.0 samples are too few, 101 are needed".replace("100.0", "100"),
        "0.50",
    ),
    Case(
        "too few to fail",
        Measurements(Value(2), Value(41.4)),
        ENOUGH,
        INCONCLUSIVE,
        "metric errors: 41.4 samples are too few, 100 are needed",
        "2.00",
    ),
    Case(
        "a counter that does not exist has counted nothing",
        Measurements(NOTHING, NOTHING),
        {**ENOUGH, "onNoData": "pass"},
        INCONCLUSIVE,
        "metric errors: 0 samples are too few, 100 are needed",
    ),
    Case(
        "samples nobody counts",
        Measurements(Value(0.5), DOWN),
        ENOUGH,
        ERROR,
        "The metric errors could not be measured, the rollout holds: its number of samples: no answer within 5 s",
    ),
    Case(
        "samples counted by a wrong query",
        Measurements(Value(0.5), WRONG),
        ENOUGH,
        FAILED,
        "Halt advancement the query of metric errors was refused: its number of samples: parse error",
    ),
    Case("enough samples and no value", Measurements(NOTHING, Value(100)), ENOUGH, FAILED, NO_VALUE),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_verdict_follows_from_what_was_measured(case: Case) -> None:
    answer = verdict(case.found, **case.fields)

    assert answer == Answer(case.verdict, case.message, case.value, case.bound)


def compared(value: float, primary: Outcome, measure: Measure = Measure.PLAIN, **fields: Any) -> Answer:
    written = {"thresholdRange": None, "compareTo": "primary", **fields}
    return verdict(Measurements(Value(value), primary=primary), measure, **written)


@pytest.mark.parametrize(
    ("title", "value", "primary", "fields", "answer"),
    [
        (
            "a ratio within its bound",
            2.4,
            2,
            {"ratio": {"max": 1.2}},
            Answer(PASSED, "", "2.40", "<= 1.2 × the primary's 2.00"),
        ),
        (
            "a ratio beyond it",
            2.5,
            2,
            {"ratio": {"max": 1.2}},
            Answer(
                FAILED,
                "Halt web.shop advancement errors 2.50 > 1.2 × the primary's 2.00",
                "2.50",
                "<= 1.2 × the primary's 2.00",
            ),
        ),
        (
            "a ratio where less is worse",
            8,
            10,
            {"ratio": {"min": 0.9}},
            Answer(
                FAILED,
                "Halt web.shop advancement errors 8.00 < 0.9 × the primary's 10.00",
                "8.00",
                ">= 0.9 × the primary's 10.00",
            ),
        ),
        (
            "a difference",
            2.5,
            2,
            {"delta": {"min": -1, "max": 0.5}},
            Answer(PASSED, "", "2.50", ">= -1 from the primary's 2.00, <= +0.5 from the primary's 2.00"),
        ),
        (
            "a difference that is too large",
            2.6,
            2,
            {"delta": {"max": 0.5}},
            Answer(
                FAILED,
                "Halt web.shop advancement errors 2.60 > +0.5 from the primary's 2.00",
                "2.60",
                "<= +0.5 from the primary's 2.00",
            ),
        ),
        (
            "a bound of its own beside it",
            2.4,
            2,
            {"ratio": {"max": 1.2}, "thresholdRange": {"max": 3}},
            Answer(PASSED, "", "2.40", "<= 3, <= 1.2 × the primary's 2.00"),
        ),
        (
            "its own bound comes first",
            4,
            4,
            {"ratio": {"max": 1.2}, "thresholdRange": {"max": 3}},
            Answer(FAILED, "Halt web.shop advancement errors 4.00 > 3", "4.00", "<= 3"),
        ),
        ("nothing is as much as nothing", 0, 0, {"ratio": {"max": 1, "min": 1}, "delta": {"max": 0}}, None),
        (
            "anything is infinitely more than nothing",
            0.1,
            0,
            {"ratio": {"max": 1000}},
            Answer(
                FAILED,
                "Halt web.shop advancement errors 0.10 > 1000 × the primary's 0.00",
                "0.10",
                "<= 1000 × the primary's 0.00",
            ),
        ),
        ("two that are endless are equal", math.inf, math.inf, {"ratio": {"max": 1}, "delta": {"max": 0}}, None),
        ("anything is nothing beside what is endless", 5, math.inf, {"ratio": {"max": 0}}, None),
        (
            "negative values have no ratio",
            -1,
            2,
            {"ratio": {"max": 1.2}},
            Answer(
                ERROR,
                "The metric errors could not be measured, the rollout holds: negative values have no ratio: use delta",
                "-1.00",
            ),
        ),
        ("and a difference", -1, -2, {"delta": {"max": 1}}, None),
    ],
)
def test_a_canary_is_compared_with_the_primary(
    title: str, value: float, primary: float, fields: dict[str, Any], answer: Answer | None
) -> None:
    found = compared(value, Value(primary), **fields)

    assert found == answer if answer is not None else found.passed, title


def test_a_difference_of_durations_is_a_duration() -> None:
    answer = compared(450, Value(390), Measure.MILLISECONDS, delta={"max": 50})

    assert answer.message == "Halt web.shop advancement request duration 450ms > +50ms from the primary's 390ms"


def test_a_success_rate_without_a_bound_of_its_own_is_only_compared() -> None:
    answer = compared(97, Value(97.2), Measure.PERCENT, delta={"min": -0.5})

    assert (answer.verdict, answer.bound) == (PASSED, ">= -0.5 from the primary's 97.20%")


@pytest.mark.parametrize(
    ("primary", "policy", "expected"),
    [
        (NOTHING, "fail", INCONCLUSIVE),
        (NOTHING, "wait", INCONCLUSIVE),
        (NOTHING, "pass", PASSED),
        (DOWN, "pass", ERROR),
        (WRONG, "pass", FAILED),
    ],
)
def test_a_primary_that_cannot_be_measured_is_not_held_against_the_canary(
    primary: Outcome, policy: str, expected: Verdict
) -> None:
    assert compared(1, primary, ratio={"max": 1.2}, onNoData=policy).verdict is expected


def test_the_primary_needs_samples_too() -> None:
    fields: dict[str, Any] = {**ENOUGH, "compareTo": "primary", "ratio": {"max": 1.2}}
    found = Measurements(Value(1), Value(500), Value(1), Value(7))

    assert verdict(found, **fields) == Answer(
        INCONCLUSIVE, "metric errors: 7 samples of the primary are too few, 100 are needed", "1.00"
    )


@pytest.mark.parametrize(
    ("primary", "policy", "expected"),
    [(NOTHING, "pass", PASSED), (NOTHING, "wait", INCONCLUSIVE), (Value(1), "pass", INCONCLUSIVE)],
)
def test_a_comparison_that_is_left_out_needs_no_samples_of_the_primary(
    primary: Outcome, policy: str, expected: Verdict
) -> None:
    fields: dict[str, Any] = {**ENOUGH, "compareTo": "primary", "ratio": {"max": 1.2}, "onNoData": policy}

    assert verdict(Measurements(Value(1), Value(500), primary, Value(0)), **fields).verdict is expected
    assert verdict(Measurements(Value(1), Value(7), primary, Value(0)), **fields).verdict is INCONCLUSIVE


def test_a_metric_without_any_bound_cannot_pass() -> None:
    answer = verdict(Measurements(Value(0)), thresholdRange=None)

    assert answer.verdict is FAILED
    assert "errors has no bound to be judged by" in answer.message


OUTCOMES = st.sampled_from([NOTHING, DOWN, WRONG]) | st.builds(Value, st.floats(allow_nan=False))
BOUNDS = st.none() | st.fixed_dictionaries({"min": st.none() | st.floats(-9, 0), "max": st.none() | st.floats(0, 9)})


@given(
    found=st.builds(Measurements, OUTCOMES, st.none() | OUTCOMES, st.none() | OUTCOMES, st.none() | OUTCOMES),
    measure=st.sampled_from(Measure),
    least=st.integers(0, 200),
    policy=st.sampled_from(["fail", "pass", "wait"]),
    bounds=st.tuples(BOUNDS, BOUNDS, BOUNDS),
    with_primary=st.booleans(),
)
def test_whatever_is_measured_there_is_a_verdict_and_a_reason_for_each_but_passed(
    found: Measurements,
    measure: Measure,
    least: int,
    policy: str,
    bounds: tuple[object, object, object],
    with_primary: bool,
) -> None:
    own, ratio, delta = bounds
    fields: dict[str, Any] = {
        "thresholdRange": own,
        "ratio": ratio,
        "delta": delta,
        "minSamples": least,
        "onNoData": policy,
    }
    answer = verdict(found, measure, **fields, **({"compareTo": "primary"} if with_primary else {}))

    assert bool(answer.message) is not answer.passed
    errors = [outcome for outcome in (found.value, found.samples) if isinstance(outcome, ProviderError)]
    assert not errors or not answer.passed
