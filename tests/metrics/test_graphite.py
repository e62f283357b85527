from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.graphite import Graphite, parameters_of, parse
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.rollout.errors import UserError
from tests.metrics.faults.case import says
from tests.metrics.loopback import Loopback, Say

MINUTE = timedelta(minutes=1)
HALF = says([{"target": "a", "datapoints": [[0.5, 60]]}])


def graphite(url: str, outbound: Outbound, **settings: Any) -> Graphite:
    return Graphite(ProviderSettings("graphite", url, **settings), outbound)


def series(*all_points: list[object]) -> bytes:
    found = [{"target": "a", "datapoints": [[point, 60] for point in points]} for points in all_points]
    return json.dumps(found).encode()


@pytest.mark.parametrize(
    ("payload", "outcome"),
    [
        pytest.param(series([1, 2, 3]), Value(3.0), id="the newest point counts"),
        pytest.param(series([1, 2, None, None]), Value(2.0), id="null is no point"),
        pytest.param(series(["0.5"]), Value(0.5), id="numbers may be texts"),
        pytest.param(b'[{"datapoints": [[1e9999, 1]]}]', Value(float("inf")), id="Graphite's infinity"),
        pytest.param(series([None], [7]), Value(7.0), id="a series that is gone is none"),
        pytest.param(series([], []), NoData(), id="series without points are no data"),
        pytest.param(series([1], [2]), "gives 2 series where one is needed: combine them", id="none is chosen"),
        pytest.param(series(["many"]), "holds no number", id="words are no number"),
        pytest.param(series([True]), "holds no number", id="true is no number"),
    ],
)
def test_an_answer_is_its_newest_point(payload: bytes, outcome: Outcome | str) -> None:
    found = parse(payload)

    if isinstance(outcome, str):
        assert isinstance(found, ProviderError)
        assert outcome in found.reason
    else:
        assert found == outcome


async def test_a_query_is_the_query_string_of_a_url(server: Loopback, outbound: Outbound) -> None:
    server.says(HALF)
    query = "target=summarize(\n  sumSeries(a.b.{x,y}),\n  '1min', 'avg'\n)&from=-2h&until=now&format=png\n"

    found = await graphite(f"{server.url}/graphite/", outbound).measure(query, MINUTE)

    assert found == Value(0.5)
    (asked,) = server.asked
    assert asked.path == "/graphite/render"
    assert asked.query == {
        "target": "summarize( sumSeries(a.b.{x,y}), '1min', 'avg' )",
        "from": "-2h",
        "until": "now",
        "format": "json",
    }


@pytest.mark.parametrize(
    ("interval", "since"),
    [(timedelta(seconds=30), "-600s"), (MINUTE, "-600s"), (timedelta(minutes=5), "-3000s")],
)
async def test_yesterdays_points_are_not_asked_for(
    server: Loopback, outbound: Outbound, interval: timedelta, since: str
) -> None:
    server.says(HALF)

    await graphite(server.url, outbound).measure("target=a.b", interval)

    assert server.asked[0].query["from"] == since


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("sumSeries(a.*)", "The query of Graphite has no target: write it as target=sumSeries"),
        ("from=-5min", "has no target"),
        ("", "has no target"),
        ("target=", "has no target"),
        ("target=sumSeries(a.*", "opens 1 parentheses and closes 0"),
        ("target=aliasSub(a.b, '(x)', \"y(\"", "opens 1 parentheses and closes 0"),
        ("target=a.b)", "opens 0 parentheses and closes 1"),
        ("target=errors&target=requests", "has 2 targets where one is needed"),
    ],
)
async def test_a_query_without_its_one_target_is_the_users_mistake(outbound: Outbound, query: str, says: str) -> None:
    found = await graphite("http://nowhere", outbound).measure(query, MINUTE)

    assert isinstance(found, BadQuery)
    assert says in found.reason


@pytest.mark.parametrize("target", ["aliasSub(a.b, '^(.*', 'it\\'s (')", 'alias(a.b, ")")', "a.b"])
def test_parentheses_in_texts_are_nobodys_business(target: str) -> None:
    assert parameters_of(f"target={target}") == [("target", target)]


async def test_a_page_of_a_proxy_is_no_complaint_about_the_query(server: Loopback, outbound: Outbound) -> None:
    server.says(Say(400, b"<html><body>400 The plain HTTP request was sent to HTTPS port</body></html>"))

    assert isinstance(await graphite(server.url, outbound).measure("target=a", MINUTE), ProviderError)


@pytest.mark.parametrize(
    ("url", "secret", "says"),
    [
        ("", None, "The Graphite server .* cannot be used"),
        ("graphite:8080", None, "must begin with http"),
        ("http://graphite", {"username": "u"}, "The Secret of the Graphite server must have .* it has username"),
    ],
)
def test_what_cannot_be_asked_is_said_before(url: str, secret: dict[str, str] | None, says: str) -> None:
    with pytest.raises(UserError, match=says):
        graphite(url, Outbound(), secret=secret)
