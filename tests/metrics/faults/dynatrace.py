from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from flaggerpy.metrics.base import ProviderSettings
from flaggerpy.metrics.dynatrace import parse
from tests.metrics.faults.case import LEAF, Case, says

SECRET = {"dynatrace_token": "planted-dt0c01-token"}


def answer(*series: list[Any]) -> dict[str, Any]:
    """Build an answer in the shape of a recorded one."""
    data = [
        {"dimensions": [], "dimensionMap": {}, "timestamps": [1733000000000 + index for index in range(len(values))]}
        | {"values": values}
        for values in series
    ]
    result = {"metricId": "builtin:service.errors", "dataPointCountRatio": 1e-6, "data": data}
    return {"totalCount": 1, "nextPageKey": None, "resolution": "Inf", "result": [result]}


_DATA = st.fixed_dictionaries({"values": st.lists(LEAF, max_size=3) | LEAF}) | LEAF
_RESULT = st.fixed_dictionaries({"data": st.lists(_DATA, max_size=2) | LEAF}) | LEAF

CASE = Case(
    settings=lambda url: ProviderSettings("dynatrace", url, secret=SECRET),
    query='builtin:service.errors.total.rate:filter(eq("dt.entity.service","SERVICE-1"))',
    success=says(answer([0.5, 0.25, None])),
    value=0.25,
    no_data=(says(answer()), says(answer([None])), says(answer([])), says({"totalCount": 0, "result": []})),
    bad_query=(
        says({"error": {"code": 400, "message": "The metric key is unknown"}}, 400),
        says(
            {"error": {"code": 400, "message": "Wrong.", "constraintViolations": [{"message": "selector"}]}},
            400,
        ),
    ),
    malformed=(
        b'{"result": {}}',
        b'{"result": [{}]}',
        b'{"result": [{"data": [{}]}]}',
        b'{"result": [{"data": [{"values": ["x"]}]}]}',
        b'{"result": [{"data": [{"values": [1]}, {"values": [2]}]}]}',
        b'{"result": [{"data": []}, {"data": []}]}',
    ),
    secret=SECRET,
    sent={"Authorization": "Api-Token planted-dt0c01-token"},
    parse=parse,
    documents=st.fixed_dictionaries({"result": st.lists(_RESULT, max_size=2) | LEAF}),
)
