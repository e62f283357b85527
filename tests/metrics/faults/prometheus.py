from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from flaggerpy.api.templates import RangeQuery
from flaggerpy.metrics.base import ProviderSettings
from flaggerpy.metrics.prometheus import parse, parse_range
from tests.metrics.faults.case import LEAF, Case, says

SECRET = {"token": "planted-t0ken"}


def _vector(*values: object) -> object:
    series = [{"metric": {"pod": "a"}, "value": [2009.5, value]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": series}}


def _matrix(*values: object) -> object:
    series = [{"metric": {"pod": "a"}, "values": [[2009.5 + at, value] for at, value in enumerate(values)]}]
    return {"status": "success", "data": {"resultType": "matrix", "result": series}}


_SERIES = st.dictionaries(
    st.sampled_from(["metric", "value", "values", "histogram"]), st.lists(LEAF, max_size=3) | LEAF
)
_DATA = st.fixed_dictionaries(
    {
        "resultType": st.sampled_from(["vector", "scalar", "matrix", None, 7]),
        "result": st.lists(_SERIES | LEAF, max_size=3) | LEAF,
    }
)

CASE = Case(
    settings=lambda url: ProviderSettings("prometheus", url, secret=SECRET),
    query="sum(up)",
    success=says(_vector("0.25")),
    value=0.25,
    no_data=(says(_vector()), says(_vector("NaN"))),
    bad_query=(says({"status": "error", "errorType": "bad_data", "error": "no"}, 400),),
    malformed=(b'{"status": "success"}', b'{"status": "success", "data": []}', b'{"data": {"result": []}}'),
    secret=SECRET,
    sent={"Authorization": "Bearer planted-t0ken"},
    parse=parse,
    documents=st.fixed_dictionaries({"status": st.sampled_from(["success", "error", 1]), "data": _DATA | LEAF}),
)

RANGE = replace(
    CASE,
    settings=lambda url: ProviderSettings(
        "prometheus", url, secret=SECRET, range_query=RangeQuery.model_validate({"aggregator": "min"})
    ),
    success=says(_matrix("3", "0.25", "NaN", "7")),
    no_data=(says({"status": "success", "data": {"resultType": "matrix", "result": []}}), says(_matrix("NaN"))),
    malformed=(
        *CASE.malformed,
        b'{"status": "success", "data": {"resultType": "vector", "result": [{"value": [1, "2"]}]}}',
        b'{"status": "success", "data": {"resultType": "matrix", "result": [{"values": [[1]]}]}}',
        b'{"status": "success", "data": {"resultType": "matrix", "result": [{"values": [[1, "x"]]}]}}',
        b'{"status": "success", "data": {"resultType": "matrix", "result": [{"values": []}, {"values": []}]}}',
    ),
    parse=lambda payload: parse_range(payload, "min"),
)
"""A range, which is asked of another path and answered in another form."""
