from __future__ import annotations

from hypothesis import strategies as st

from flaggerpy.metrics.base import ProviderSettings
from flaggerpy.metrics.prometheus import parse
from tests.metrics.faults.case import LEAF, Case, says

SECRET = {"token": "planted-t0ken"}


def _vector(*values: object) -> object:
    series = [{"metric": {"pod": "a"}, "value": [2009.5, value]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": series}}


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
