from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from flaggerpy.metrics import flux, influxql
from flaggerpy.metrics.base import Outcome, ProviderSettings
from tests.metrics.faults.case import LEAF, Case, says
from tests.metrics.loopback import Say

SECRET = {"token": "planted-t0ken"}


def table(*values: str, kind: str = "double", number: int = 0) -> str:
    rows = [f",_result,{number},2026-11-27T21:00:00Z,{value}" for value in values]
    return "\r\n".join([f"#datatype,string,long,dateTime:RFC3339,{kind}", ",result,table,_time,_value", *rows, "", ""])


def csv(*tables: str) -> Say:
    return Say(200, "".join(tables).encode(), {"Content-Type": "text/csv; charset=utf-8"})


def both(payload: bytes) -> Outcome:
    """Read as either of the two languages is read."""
    influxql.parse(payload)
    return flux.parse(payload)


_ROW = st.lists(LEAF, max_size=3) | LEAF
_SERIES = st.fixed_dictionaries(
    {
        "columns": st.sampled_from([["time", "mean"], ["time", "a", "b"], ["time"], None]),
        "values": st.lists(_ROW) | LEAF,
    }
)
_RESULT = st.fixed_dictionaries({}, optional={"series": st.lists(_SERIES | LEAF, max_size=2) | LEAF, "error": LEAF})

CASE = Case(
    settings=lambda url: ProviderSettings("influxdb", url, secret=SECRET | {"org": "my-team"}),
    query='from(bucket: "default") |> range(start: -2h) |> count()',
    success=csv(table("3", "0.25", "")),
    value=0.25,
    no_data=(Say(200, b"\r\n"), csv(table("")), csv(table("NaN")), csv(table())),
    bad_query=(says({"code": "invalid", "message": "compilation failed: undefined identifier x"}, 400),),
    malformed=(
        b"#datatype,string,long\r\n,result,table\r\n,a,0\r\n",
        table("up", kind="string").encode(),
        table("true", kind="boolean").encode(),
        b"#datatype,string,double\r\n,result,_value\r\n,a,1,2\r\n",
        b"#datatype,string,string\r\n,error,reference\r\n,Failed to parse query,897\r\n",
        b'#datatype,double\r\n,"_value',
    ),
    secret=SECRET,
    sent={"Authorization": "Token planted-t0ken", "Content-Type": "application/json"},
    parse=both,
    documents=st.fixed_dictionaries({"results": st.lists(_RESULT | LEAF, max_size=3) | LEAF}),
)

USER = {"username": "planted-name", "password": "planted-passw0rd"}


def _answer(*values: object) -> Say:
    rows = [[1000 * at, value] for at, value in enumerate(values)]
    return says({"results": [{"series": [{"name": "requests", "columns": ["time", "mean"], "values": rows}]}]})


VERSION_1 = replace(
    CASE,
    settings=lambda url: ProviderSettings("influxdb", f"{url}?db=telegraf", secret=USER),
    query="SELECT mean(value) FROM requests",
    success=_answer(3, 0.25, None),
    no_data=(says({"results": [{"statement_id": 0}]}), _answer(), _answer(None)),
    bad_query=(says({"error": "error parsing query: found FORM, expected FROM"}, 400),),
    malformed=(
        b'{"results": []}',
        b'{"results": [7]}',
        b'{"results": [{"series": [{"columns": ["time", "a", "b"], "values": [[1, 2, 3]]}]}]}',
        b'{"results": [{"series": [{"columns": ["time", "mean"], "values": [["now", 1]]}]}]}',
        b'{"results": [{"series": [{"columns": ["time", "mean"], "values": [[1, "up"]]}]}]}',
        b'{"results": [{"error": "timeout"}]}',
        b'{"results": [{"partial": true, "series": [{"columns": ["time", "mean"], "values": [[1, 2]]}]}]}',
    ),
    secret=USER,
    sent={"Authorization": "Basic cGxhbnRlZC1uYW1lOnBsYW50ZWQtcGFzc3cwcmQ="},
    parse=influxql.parse,
)
"""InfluxQL, which is asked of another path and answered in another form."""
