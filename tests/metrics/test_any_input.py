"""Whatever servers and users send, the pure parts answer with something that their callers expect."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flaggerpy.api.analysis import CanaryMetric, ThresholdRange
from flaggerpy.metrics.base import NoData, ProviderError, Value
from flaggerpy.metrics.judge import Measure, judge
from flaggerpy.metrics.prometheus import parse
from flaggerpy.metrics.query import QueryContext, render
from flaggerpy.rollout.errors import UserError

CONTEXT = QueryContext("podinfo", "prod", "web", variables={"a": "b"})
LEAF: st.SearchStrategy[Any] = st.sampled_from([None, True, 7, 1.5, "1", "NaN", "+Inf", "x", "", 10**400, {}, []])
SERIES = st.dictionaries(st.sampled_from(["metric", "value", "values", "histogram"]), st.lists(LEAF, max_size=3) | LEAF)
RESULT = st.lists(SERIES | LEAF, max_size=3) | LEAF
DATA = st.fixed_dictionaries({"resultType": st.sampled_from(["vector", "scalar", "matrix", None, 7]), "result": RESULT})
DOCUMENT = st.fixed_dictionaries({"status": st.sampled_from(["success", "error", 1]), "data": DATA | LEAF})
WORDS = ["target", "variables.a", "printf", "index", "x", '"%s"', '"%']
MARKS = ["{{", "}}", " ", "-", "|", "(", ")", "/*", "*/", "\n", "`"]
PIECES = st.sampled_from([*WORDS, *MARKS])
NUMBERS = st.floats(allow_nan=False, width=32)


@settings(deadline=None)
@given(st.binary(max_size=200) | DOCUMENT.map(lambda value: json.dumps(value).encode()))
def test_every_payload_is_a_number_no_data_or_a_reason(payload: bytes) -> None:
    match parse(payload):
        case Value(value):
            assert not math.isnan(value)
        case ProviderError(reason):
            assert reason
        case outcome:
            assert outcome == NoData()


@settings(deadline=None)
@given(st.lists(PIECES, max_size=15).map("".join) | st.text())
def test_every_template_renders_or_is_a_users_mistake(template: str) -> None:
    mistake = ""
    rendered = ""
    try:
        rendered = render(template, CONTEXT)
    except UserError as error:
        mistake = str(error)

    assert not mistake or mistake.endswith(".")
    assert mistake or "{{" in template or rendered == template


@settings(deadline=None)
@given(st.sampled_from(Measure), NUMBERS, st.none() | NUMBERS, st.none() | NUMBERS)
def test_a_value_passes_exactly_when_it_lies_within_the_bounds(
    measure: Measure, value: float, low: float | None, high: float | None
) -> None:
    if low is not None and high is not None and low > high:
        low, high = high, low
    metric = CanaryMetric(name="m", threshold_range=ThresholdRange(min=low, max=high))

    judgement = judge(metric, measure, value)

    assert judgement.passed == ((low is None or low <= value) and (high is None or value <= high))
    assert judgement.passed == (judgement.sentence == "")
    assert (judgement.bound == "") == (low is None and high is None)
