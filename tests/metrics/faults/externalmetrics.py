from __future__ import annotations

from hypothesis import strategies as st

from flaggerpy.metrics.base import ProviderSettings
from flaggerpy.metrics.externalmetrics import parse
from tests.metrics.faults.case import LEAF, Case, says

SECRET = {"token": "planted-t0ken"}
KIND = "ExternalMetricValueList"


def values(*found: object) -> dict[str, object]:
    items = [{"metricName": "queue", "metricLabels": {}, "timestamp": "x", "value": value} for value in found]
    return {"kind": KIND, "apiVersion": "external.metrics.k8s.io/v1beta1", "metadata": {}, "items": items}


def status(code: int, message: str) -> dict[str, object]:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}


_ITEM = st.fixed_dictionaries({"value": LEAF | st.text(alphabet="0123456789.mkMiE+-", max_size=8)}) | LEAF

CASE = Case(
    settings=lambda url: ProviderSettings("externalmetrics", url, secret=SECRET),
    query="prod/queue?labelSelector=app%3Dweb",
    success=says(values("250m")),
    value=0.25,
    no_data=(says(values()), says({"kind": KIND, "items": None})),
    bad_query=(says(status(400, "unable to parse requirement"), 400),),
    malformed=(
        b'{"items": []}',
        b'{"kind": "ExternalMetricValueList", "items": 7}',
        b'{"kind": "ExternalMetricValueList", "items": [7]}',
        b'{"kind": "ExternalMetricValueList", "items": [{"value": 7}]}',
        b'{"kind": "ExternalMetricValueList", "items": [{"value": "many"}]}',
        b'{"kind": "ExternalMetricValueList", "items": [{"value": "1"}, {"value": "2"}]}',
    ),
    secret=SECRET,
    sent={"Authorization": "Bearer planted-t0ken"},
    parse=parse,
    documents=st.fixed_dictionaries({"kind": st.just(KIND), "items": st.lists(_ITEM, max_size=3) | LEAF}),
)
