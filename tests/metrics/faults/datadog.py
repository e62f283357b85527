from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from flaggerpy.metrics.base import ProviderSettings
from flaggerpy.metrics.datadog import parse
from tests.metrics.faults.case import LEAF, Case, says

SECRET = {"datadog_api_key": "planted-api-key", "datadog_application_key": "planted-application-key"}


def answer(*points: Any) -> dict[str, Any]:
    """Build an answer of one series, in the shape of a recorded one."""
    series = {
        "metric": "trace.http.request.errors",
        "scope": "kube_deployment:podinfo",
        "interval": 20,
        "length": len(points),
        "aggr": "sum",
        "pointlist": [[1733000000000.0 + 20000 * index, point] for index, point in enumerate(points)],
    }
    return {"status": "ok", "res_type": "time_series", "query": "sum:x{*}", "error": "", "series": [series]}


CASE = Case(
    settings=lambda url: ProviderSettings("datadog", url, secret=SECRET),
    query="sum:trace.http.request.errors{kube_deployment:podinfo}.as_count()",
    success=says(answer(7.0, 0.5, 0.25, None)),
    value=0.25,
    no_data=(says({**answer(), "series": []}), says(answer()), says(answer(None, None))),
    bad_query=(
        says({"status": "error", "error": "Error parsing query: unable to parse x"}),
        says({"errors": ["Error parsing query"]}, 400),
    ),
    malformed=(
        b'{"status": "ok"}',
        b'{"series": [{"pointlist": [1, 2]}]}',
        b'{"series": [{"pointlist": [[1, "many"]]}]}',
        b'{"series": [{}]}',
        b'{"status": "error"}',
        b'{"series": [{"pointlist": []}, {"pointlist": []}]}',
    ),
    secret=SECRET,
    sent={"DD-API-KEY": "planted-api-key", "DD-APPLICATION-KEY": "planted-application-key"},
    parse=parse,
    documents=st.fixed_dictionaries(
        {
            "status": st.sampled_from(["ok", "error", 7]),
            "error": LEAF,
            "series": st.lists(
                st.fixed_dictionaries({"pointlist": st.lists(st.lists(LEAF, max_size=3) | LEAF, max_size=3) | LEAF})
                | LEAF,
                max_size=2,
            )
            | LEAF,
        }
    ),
)
