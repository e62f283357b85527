from __future__ import annotations

from hypothesis import strategies as st

from flaggerpy.metrics.base import ProviderSettings
from flaggerpy.metrics.newrelic import parse
from tests.metrics.faults.case import LEAF, Case, says

SECRET = {"newrelic_account_id": "planted-20091", "newrelic_query_key": "planted-query-key"}

_NAMES = st.sampled_from(["result", "count", "percentiles", "average"])
_RESULT = st.dictionaries(_NAMES, LEAF | st.dictionaries(_NAMES, LEAF, max_size=2), max_size=2) | LEAF

CASE = Case(
    settings=lambda url: ProviderSettings("newrelic", url, secret=SECRET),
    query="SELECT percentage(count(*), WHERE error IS true) FROM Transaction",
    success=says({"results": [{"result": 0.25}], "performanceStats": {"inspectedCount": 9}, "metadata": {}}),
    value=0.25,
    no_data=(says({"results": []}), says({"results": [{"result": None}]}), says({"results": [{"average": None}]})),
    bad_query=(says({"error": "NRQL Syntax Error: Error at line 1 position 8"}, 400), says({"error": "no"})),
    malformed=(
        b'{"results": {}}',
        b'{"results": [1]}',
        b'{"results": [{"a": 1, "b": 2}]}',
        b'{"results": [{"result": "x"}, {"result": 2}]}',
        b'{"results": [{"result": true}]}',
        b'{"facets": [{"name": "a", "results": [{"count": 1}]}]}',
    ),
    secret=SECRET,
    sent={"X-Query-Key": "planted-query-key"},
    parse=parse,
    documents=st.dictionaries(
        st.sampled_from(["results", "facets", "error"]), st.lists(_RESULT, max_size=2) | LEAF, max_size=2
    ),
)
