from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.metrics import flux, influxql
from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.influxdb import InfluxDb
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.rollout.errors import UserError
from tests.metrics.faults.case import says
from tests.metrics.faults.influxdb import csv, table
from tests.metrics.loopback import Loopback, Say

MINUTE = timedelta(minutes=1)
SELECT = "SELECT mean(value) FROM requests"
# As version 2.7 answers a query with two yields: tables of another shape have a header of their own.
TWO_YIELDS = (
    "#datatype,string,long,double\r\n,result,table,_value\r\n,mean,0,1.5\r\n\r\n"
    "#datatype,string,long,long\r\n,result,table,_value\r\n,count,0,3\r\n\r\n"
)


def influxdb(url: str, outbound: Outbound, **settings: Any) -> InfluxDb:
    return InfluxDb(ProviderSettings("influxdb", url, **settings), outbound)


def rows(*found: list[object], columns: tuple[str, ...] = ("time", "mean")) -> dict[str, object]:
    return {"name": "requests", "columns": columns, "values": found}


def results(*series: object, **more: object) -> bytes:
    return json.dumps({"results": [{"statement_id": 0, "series": series, **more}]}).encode()


def holds(found: Outcome, expected: Outcome | str) -> bool:
    if isinstance(expected, str):
        return isinstance(found, ProviderError) and expected in found.reason
    return found == expected


@pytest.mark.parametrize(
    ("payload", "outcome"),
    [
        pytest.param(table("1", "2", "3"), Value(3.0), id="the last row counts"),
        pytest.param(table("7", kind="long"), Value(7.0), id="integers are numbers"),
        pytest.param(table("7", kind="unsignedLong"), Value(7.0), id="and so are those without a sign"),
        pytest.param(table("+Inf"), Value(float("inf")), id="+Inf is a value"),
        pytest.param(table("2", ""), Value(2.0), id="an empty field is null"),
        pytest.param(table("2", "NaN"), Value(2.0), id="NaN is no point"),
        pytest.param(table("1") + table("2"), Value(2.0), id="a table goes on after an empty line"),
        pytest.param("\r\n", NoData(), id="no tables are no data"),
        pytest.param(table("1") + table("2", number=1), "gives 2 series where one is needed", id="none is chosen"),
        pytest.param(TWO_YIELDS, "gives 2 series where one is needed", id="nor of two yields"),
        pytest.param(table("up", kind="string"), "_value is of type string", id="words are no number"),
        pytest.param("#datatype,long\r\n,a\r\n,1\r\n", "has no column _value", id="another column"),
        pytest.param(",result,table,_value\r\n,a,0,1\r\n", "of type unknown", id="without annotations"),
        pytest.param("#datatype,string\r\n,error,reference\r\n,bad,1\r\n", "bad", id="an error after the start"),
        pytest.param('#datatype,double\r\n,"_value', "is no CSV", id="half a table"),
        pytest.param("<html>", "has no column _value", id="a page"),
    ],
)
def test_flux_gives_the_last_row_of_the_only_table(payload: str, outcome: Outcome | str) -> None:
    assert holds(flux.parse(payload.encode()), outcome)


@pytest.mark.parametrize(
    ("payload", "outcome"),
    [
        pytest.param(results(rows([1, 1.5], [2, 2.5])), Value(2.5), id="the newest row counts"),
        pytest.param(results(rows([2, 2.5], [1, 1.5])), Value(2.5), id="in whichever order they come"),
        pytest.param(results(rows([1, 7])), Value(7.0), id="integers are numbers"),
        pytest.param(results(rows([1, 1.5], [2, None])), Value(1.5), id="null is no row"),
        pytest.param(results(rows([1, None])), NoData(), id="nothing but null is no data"),
        pytest.param(results(), NoData(), id="no series is no data"),
        pytest.param(b'{"results":[{"statement_id":0}]}', NoData(), id="as real servers say it"),
        pytest.param(results(rows([1, 1]), partial=True), "only a part of the data", id="cut rows are not measured"),
        pytest.param(results(rows([1, 1]) | {"partial": True}), "only a part of the data", id="nor is a cut series"),
        pytest.param(results(partial=True), "only a part of the data", id="a part without series is no answer"),
        pytest.param(results(rows([1, 1]) | {"partial": False}, partial=False), Value(1.0), id="the whole is one"),
        pytest.param(results(rows([1, 1]), rows([1, 2])), "gives 2 series where one is needed", id="none is chosen"),
        pytest.param(results(rows([1, 1, 2], columns=("time", "a", "b"))), "gives a, b where one column", id="columns"),
        pytest.param(results(rows([1, "up"])), "holds no number", id="words are no number"),
        pytest.param(results(rows(["yesterday", 1])), "without time and value", id="times are numbers"),
        pytest.param(results(error="database not found: x"), "database not found: x", id="an error is quoted"),
    ],
)
def test_influxql_gives_the_newest_row_of_the_only_series(payload: bytes, outcome: Outcome | str) -> None:
    assert holds(influxql.parse(payload), outcome)


async def test_flux_is_asked_of_version_2(server: Loopback, outbound: Outbound) -> None:
    server.says(csv(table("0.5")))
    provider = influxdb(f"{server.url}/influx", outbound, secret={"token": "t0p\n", "org": "my team\n"})

    found = await provider.measure('\nfrom(bucket: "a") |> count()\n', MINUTE)

    assert found == Value(0.5)
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.query) == ("POST", "/influx/api/v2/query", {"org": "my team"})
    assert asked.headers["Authorization"] == "Token t0p"
    assert json.loads(asked.body) == {
        "query": 'from(bucket: "a") |> count()',
        "type": "flux",
        "dialect": {"header": True, "delimiter": ",", "annotations": ["datatype"]},
    }


@pytest.mark.parametrize("query", [SELECT, f"\n  {SELECT.replace('SELECT', 'select')}\n"])
async def test_influxql_is_asked_of_version_1(server: Loopback, outbound: Outbound, query: str) -> None:
    server.says(says(json.loads(results(rows([1, 0.5])))))
    secret = {"username": "u", "password": "p"}

    found = await influxdb(f"{server.url}?db=telegraf&rp=week&x=y", outbound, secret=secret).measure(query, MINUTE)

    assert found == Value(0.5)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("GET", "/query")
    assert asked.query == {"q": query.strip(), "epoch": "ms", "db": "telegraf", "rp": "week"}
    assert asked.headers["Authorization"] == "Basic dTpw"


@pytest.mark.parametrize(
    ("say", "outcome"),
    [
        (says({"error": "error parsing query: found FORM, expected FROM"}, 400), "error parsing query"),
        (says({"code": "invalid", "message": "compilation failed"}, 400), "compilation failed"),
        (says({"code": "unauthorized", "message": "unauthorized access"}, 401), "check token and org, or username"),
        (says({"code": "not found", "message": "could not find bucket"}, 404), "404: could not find bucket"),
        (says({"error": "Flux query service disabled."}, 403), "403: Flux query service disabled."),
    ],
)
async def test_what_both_versions_complain_of_is_quoted(
    server: Loopback, outbound: Outbound, say: Say, outcome: str
) -> None:
    server.says(say)

    found = await influxdb(server.url, outbound).measure(SELECT, MINUTE)

    assert isinstance(found, BadQuery if say.status == 400 else ProviderError)
    assert outcome in found.reason


@pytest.mark.parametrize(
    ("url", "secret", "says"),
    [
        ("", None, "The InfluxDB server .* cannot be used"),
        ("http://influxdb:8086", {"token": "x"}, "must have the keys token and org, or .*; it has token"),
        ("http://influxdb:8086", {}, "it has none"),
        ("http://influxdb:8086", {"token": "a\nb", "org": "x"}, "characters that cannot be sent"),
    ],
)
def test_what_cannot_be_asked_is_said_before(url: str, secret: dict[str, str] | None, says: str) -> None:
    with pytest.raises(UserError, match=says):
        influxdb(url, Outbound(), secret=secret)
