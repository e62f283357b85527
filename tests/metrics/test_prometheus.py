from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flaggerpy.api.templates import RangeQuery
from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.discreet import Discreet
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.prometheus import Prometheus, parse, parse_range
from flaggerpy.metrics.registry import provider_for
from flaggerpy.rollout.errors import UserError
from tests.kube.clocks import START, ManualClock
from tests.metrics.faults.case import says
from tests.metrics.loopback import (
    Loopback,
    Say,
    certificate_in,
    closed_port,
    loopback,
    never,
    raw_server,
    self_signed,
)

MINUTE = timedelta(minutes=1)


def vector(*values: Any) -> bytes:
    return result("vector", [{"metric": {"pod": str(i)}, "value": [2009.5, value]} for i, value in enumerate(values)])


def result(kind: str | None, data: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": data}}).encode()


@dataclass(frozen=True)
class Case:
    rule: str
    payload: bytes
    outcome: Outcome | str
    """The outcome, or a part of a ProviderError's reason."""


CASES = [
    Case("a vector of one series is its value", vector("99.5"), Value(99.5)),
    Case("an exponent is a number", vector("1e-3"), Value(0.001)),
    Case("numbers need not be strings", vector(7), Value(7.0)),
    Case("+Inf is a value", vector("+Inf"), Value(float("inf"))),
    Case("-Inf is a value", vector("-Inf"), Value(float("-inf"))),
    Case("NaN is no data", vector("NaN"), NoData()),
    Case("no series is no data", vector(), NoData()),
    Case("a scalar NaN is no data", result("scalar", [2009, "NaN"]), NoData()),
    Case("the type of result may be missing", result(None, [{"metric": {}, "value": [1, "3"]}]), Value(3.0)),
    Case("a matrix is no value", result("matrix", [{"values": [[1, "2"]]}]), "gives a matrix where one value"),
    Case("a range in a vector is no value", result("vector", [{"values": [[1, "2"]]}]), "histogram or a range"),
    Case("a native histogram is no value", result("vector", [{"histogram": [1, {}]}]), "histogram or a range"),
    Case("a string is no value", result("string", [1, "x"]), "gives a string where one value"),
    Case("words are no number", vector("many"), "holds no number"),
    Case("Python's spelling is no number", vector("1_000"), "holds no number"),
    Case("true is no number", vector(True), "holds no number"),
    Case("null is no number", vector(None), "holds no number"),
    Case("a short sample is no number", result("vector", [{"value": ["1"]}]), "holds no number"),
    Case("an error is quoted", b'{"status":"error","errorType":"execution","error":"too slow"}', "execution: too slow"),
    Case("another server's error is quoted", b'{"error":"no route"}', "no route"),
    Case("HTML is no answer", b"<html><body>Sign in</body></html>", 'not JSON but begins with "<html><body>Sign in'),
    Case("emptiness is no answer", b"", "not JSON but begins with nothing"),
    Case("broken JSON is no answer", b'{"status": "success", "data"', "not JSON"),
    Case("bytes are no answer", bytes(range(256)), "not JSON"),
    Case("deep JSON is no answer", b"[" * 200_000, "not JSON"),
    Case("a huge integer is no answer", b'{"status": ' + b"9" * 9000 + b"}", "not JSON"),
    Case("other JSON is no answer", b'{"ok": true}', "does not say that it succeeded"),
    Case("a list is no answer", b"[]", "does not say that it succeeded"),
    Case("success without data is no answer", b'{"status":"success"}', "has no result"),
    Case("data must be an object", b'{"status":"success","data":[]}', "has no result"),
    Case("a part of the data is no answer", b'{"isPartial":true,' + vector("1")[1:], "only a part of the data"),
    Case("the whole data is one", b'{"isPartial":false,' + vector("1")[1:], Value(1.0)),
    Case("a part without series is no answer", b'{"isPartial":true,' + vector()[1:], "only a part of the data"),
    Case("the result must be a list", b'{"status":"success","data":{"result":{}}}', "has no result"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_an_answer_is_a_value_no_data_or_an_error(case: Case) -> None:
    outcome = parse(case.payload)

    if isinstance(case.outcome, str):
        assert isinstance(outcome, ProviderError)
        assert case.outcome in outcome.reason
    else:
        assert outcome == case.outcome


def test_w53_of_several_series_none_is_chosen_and_a_scalar_is_a_value() -> None:
    several = parse(vector("1", "2"))

    assert isinstance(several, ProviderError)
    assert "gives 2 series where one is needed: aggregate" in several.reason
    assert parse(result("scalar", [2009, "1"])) == Value(1.0)


def complaining(status: int, kind: str, text: str) -> Say:
    return says({"status": "error", "errorType": kind, "error": text}, status)


AWAY = b'{"status":"error","errorType":"execution","error":"expanding series: remote read: no answer"}'


def prometheus(url: str, outbound: Outbound, *, timeout: float = 5.0, **settings: Any) -> Prometheus:
    return Prometheus(ProviderSettings("prometheus", url, **settings), outbound, timeout=timeout)


async def test_a_query_is_asked_of_the_api_below_the_address(server: Loopback, outbound: Outbound) -> None:
    server.says(Say(body=vector("0.25")))

    outcome = await prometheus(f"{server.url}/tenant/prom/", outbound).measure('  up{a="é"}\n+ 1 ', MINUTE)

    assert outcome == Value(0.25)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("GET", "/tenant/prom/api/v1/query")
    assert asked.query == {"query": 'up{a="é"}\n+ 1'}
    assert asked.headers["User-Agent"].startswith("flaggerpy/")


@pytest.mark.parametrize(
    ("say", "outcome"),
    [
        pytest.param(Say(500, b"oh"), 'it answered 500: "oh"', id="500"),
        pytest.param(Say(503, b"<html>busy</html>"), 'it answered 503: "<html>busy</html>"', id="HTML from a proxy"),
        pytest.param(Say(502, b""), "it answered 502: nothing", id="nothing from a proxy"),
        pytest.param(Say(401, b"who?"), "it answered 401", id="credentials refused"),
        pytest.param(Say(404, b"no such page"), "it answered 404", id="wrong address"),
        pytest.param(Say(200, b"<!doctype html>"), "not JSON", id="a login page"),
        pytest.param(complaining(503, "timeout", "slow"), "it answered 503: timeout: slow", id="slow query"),
        pytest.param(Say(200, b"x" * 1_048_577), "larger than 1 MiB", id="huge"),
        pytest.param(Say(200, vector("1"), {"Content-Encoding": "gzip"}), Value(1.0), id="no decoding unasked"),
        pytest.param(complaining(400, "bad_data", "no"), BadQuery("bad_data: no"), id="wrong query"),
        pytest.param(complaining(422, "422", "limit"), BadQuery("422: limit"), id="as VictoriaMetrics says it"),
        pytest.param(Say(422, AWAY), "execution: expanding series: remote read: no answer", id="a store that is away"),
        pytest.param(Say(400, b"<html>"), "it answered 400", id="400 not from Prometheus"),
        *(
            pytest.param(says(body, status), f"it answered {status}: \"{json.dumps(body)}\"", id=f"{status} {why}")
            for status in (400, 401, 404, 422)
            for why, body in (
                ("of a proxy", {"error": "no route"}),
                ("of a gateway", {"status": 400, "error": "Bad Request", "path": "/api"}),
                ("with a type of its own", {"errorType": "bad_data", "error": "no"}),
                ("without a type", {"status": "error", "error": "no"}),
                ("without a text", {"status": "error", "errorType": "bad_data"}),
            )
        ),
    ],
)  # fmt: skip
async def test_only_an_answer_of_prometheus_itself_says_anything(
    server: Loopback, outbound: Outbound, say: Say, outcome: Outcome | str
) -> None:
    server.says(say)

    found = await prometheus(server.url, outbound).measure("up", MINUTE)

    if isinstance(outcome, str):
        assert isinstance(found, ProviderError)
        assert outcome in found.reason
        assert found.reason.startswith("Prometheus at 127.0.0.1:")
    else:
        assert found == outcome


async def test_a_server_that_cannot_be_reached_is_an_error(outbound: Outbound) -> None:
    found = await prometheus(closed_port(), outbound).measure("up", MINUTE)

    assert isinstance(found, ProviderError)
    assert "cannot connect" in found.reason


async def test_a_server_that_is_too_slow_is_an_error(server: Loopback, outbound: Outbound) -> None:
    server.says(never)

    found = await prometheus(server.url, outbound, timeout=0.05).measure("up", MINUTE)

    assert isinstance(found, ProviderError)
    assert "no answer within 0.05 s" in found.reason


async def test_a_server_that_hangs_up_is_an_error(outbound: Outbound) -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{") as url:
        found = await prometheus(url, outbound).measure("up", MINUTE)

    assert isinstance(found, ProviderError)
    assert "the connection broke" in found.reason


async def test_a_server_that_does_not_speak_http_is_an_error(outbound: Outbound) -> None:
    async with raw_server(b"SSH-2.0-OpenSSH_9.6\r\n") as url:
        found = await prometheus(url, outbound).measure("up", MINUTE)

    assert isinstance(found, ProviderError)


async def test_a_redirect_is_followed_on_the_same_host_only(server: Loopback, outbound: Outbound) -> None:
    async with loopback() as elsewhere:
        server.says(Say(307, headers={"Location": "/moved"}), Say(body=vector("1")))
        followed = await prometheus(server.url, outbound).measure("up", MINUTE)
        server.says(Say(302, headers={"Location": f"{elsewhere.url}/steal"}))
        refused = await prometheus(server.url, outbound, secret={"token": "t0p"}).measure("up", MINUTE)

        assert followed == Value(1.0)
        assert server.asked[1].path == "/moved"
        assert isinstance(refused, ProviderError)
        assert "another host" in refused.reason
        assert elsewhere.asked == []


async def test_redirects_in_a_circle_end(server: Loopback, outbound: Outbound) -> None:
    server.says(Say(302, headers={"Location": "/round"}))

    found = await prometheus(server.url, outbound).measure("up", MINUTE)

    assert isinstance(found, ProviderError)
    assert "more than 10 times" in found.reason
    assert len(server.asked) == 11


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({}, {}),
        ({"secret": {"token": "t0p\n"}}, {"Authorization": "Bearer t0p"}),
        ({"secret": {"username": "u", "password": "p"}}, {"Authorization": "Basic dTpw"}),
        ({"headers": {"X-Org": ("7",)}}, {"X-Org": "7"}),
        (
            {"headers": {"X-Org": ("7",), "authorization": ("Basic old",)}, "secret": {"token": "new"}},
            {"X-Org": "7", "Authorization": "Bearer new"},
        ),
        ({"headers": {"Authorization": ("Bearer own",)}}, {"Authorization": "Bearer own"}),
        ({"secret": {"header.X-Org": " 8\n"}, "headers": {"x-org": ("7",)}}, {"X-Org": "8"}),
        ({"secret": {"header.X-Org": "8", "token": "t0p"}}, {"X-Org": "8", "Authorization": "Bearer t0p"}),
    ],
)
async def test_w54_credentials_come_from_the_secret_and_are_sent_once_each_time(
    server: Loopback, outbound: Outbound, settings: dict[str, Any], sent: dict[str, str]
) -> None:
    server.says(Say(body=vector("1")))
    provider = prometheus(server.url, outbound, **settings)

    await provider.measure("up", MINUTE)
    await provider.measure("up", MINUTE)

    for asked in server.asked:
        kept = {name: value for name, value in asked.headers.items() if name in {"Authorization", "X-Org"}}
        assert kept == sent


@pytest.mark.parametrize(
    ("secret", "sent"),
    [(None, "Basic dTpw"), ({"header.X-Org": "8"}, "Basic dTpw"), ({"token": "t0p"}, "Bearer t0p")],
)
async def test_a_user_in_the_address_is_sent_unless_the_secret_has_who_asks(
    server: Loopback, outbound: Outbound, secret: dict[str, str] | None, sent: str
) -> None:
    server.says(Say(body=vector("1")))

    await prometheus(server.url.replace("//", "//u:p@"), outbound, secret=secret).measure("up", MINUTE)

    assert server.asked[0].headers["Authorization"] == sent


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"secret": {}},
            "must have the key token, or both username and password, or header.<name>, or ca.crt; it has none",
        ),
        ({"secret": {"username": "u"}}, "it has username"),
        ({"secret": {"header.X A": "1"}}, 'header "X A" of the Prometheus server has characters'),
        ({"secret": {"token": "t", "ca.crt": "none"}}, "The key ca.crt in the Secret of the Prometheus server is no"),
        ({"headers": {"X-A": ("a\r\nHost: b",)}}, 'header "X-A" of the Prometheus server has characters'),
        ({"secret": {"token": "tö"}}, 'header "Authorization"'),
    ],
)
def test_credentials_that_cannot_be_sent_are_the_users_mistake(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as raised:
        prometheus("http://prometheus:9090", Outbound(), **settings)

    assert says in str(raised.value)
    assert "tö" not in str(raised.value)


@pytest.mark.parametrize(
    "address", ["", "prometheus:9090", "ftp://prometheus", "http://", "http://[::1", "file:///etc/passwd"]
)
def test_an_address_that_is_no_http_url_is_the_users_mistake(address: str) -> None:
    with pytest.raises(UserError, match="cannot be used"):
        prometheus(address, Outbound())


async def test_secrets_stay_out_of_reasons_and_reprs(outbound: Outbound) -> None:
    settings = ProviderSettings("prometheus", "http://user:hunter2@127.0.0.1:1/p?key=hunter2", secret={"token": "t0p"})

    found = await Prometheus(settings, outbound).measure("up", MINUTE)

    assert isinstance(found, ProviderError)
    assert "hunter2" not in found.reason
    assert "t0p" not in repr(settings)


async def test_cookies_of_one_canary_are_not_sent_for_another(server: Loopback, outbound: Outbound) -> None:
    server.says(Say(body=vector("1"), headers={"Set-Cookie": "session=1; Path=/"}))

    await prometheus(server.url, outbound).measure("up", MINUTE)
    await prometheus(server.url, outbound).measure("up", MINUTE)

    assert all("Cookie" not in asked.headers for asked in server.asked)


async def test_a_certificate_is_verified_unless_the_template_says_otherwise(tmp_path: Path, outbound: Outbound) -> None:
    async with loopback(self_signed(tmp_path)) as secure:
        secure.says(Say(body=vector("1")))
        strict = await prometheus(secure.url, outbound).measure("up", MINUTE)
        lax = await prometheus(secure.url, outbound, insecure_skip_verify=True).measure("up", MINUTE)

    assert isinstance(strict, ProviderError)
    assert "certificate" in strict.reason.lower()
    assert lax == Value(1.0)


async def test_a_certificate_of_ones_own_is_trusted_where_the_secret_has_it(tmp_path: Path, outbound: Outbound) -> None:
    theirs, other = tmp_path / "theirs", tmp_path / "other"
    for folder in (theirs, other):
        folder.mkdir()
    self_signed(other)
    async with loopback(self_signed(theirs)) as secure:
        secure.says(Say(body=vector("1")))
        ours = {"ca.crt": certificate_in(theirs)}
        trusted = await prometheus(secure.url, outbound, secret=ours).measure("up", MINUTE)
        strange = await prometheus(secure.url, outbound, secret={"ca.crt": certificate_in(other)}).measure("up", MINUTE)
        unseen = await prometheus(
            secure.url, outbound, secret={"ca.crt": certificate_in(other)}, insecure_skip_verify=True
        ).measure("up", MINUTE)

    assert trusted == unseen == Value(1.0)
    assert isinstance(strange, ProviderError)
    assert "certificate" in strange.reason.lower()


def matrix(*series: list[Any]) -> bytes:
    return result(
        "matrix", [{"metric": {}, "values": [[2009 + i, value] for i, value in enumerate(s)]} for s in series]
    )


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ({}, {"start": 60, "step": 6}),
        ({"window": "10m"}, {"start": 600, "step": 60}),
        ({"window": "5s"}, {"start": 5, "step": 1}),
        ({"window": "10m", "step": "15s"}, {"start": 600, "step": 15}),
    ],
)
async def test_a_range_ends_now_and_is_as_long_as_is_said(
    server: Loopback, outbound: Outbound, wanted: dict[str, str], sent: dict[str, float]
) -> None:
    server.says(Say(body=matrix(["1", "3", "2"])))
    settings = ProviderSettings("prometheus", server.url, range_query=RangeQuery.model_validate(wanted))
    provider = Prometheus(settings, outbound, clock=ManualClock())

    assert await provider.measure("up", MINUTE) == Value(2.0)

    (asked,) = server.asked
    assert asked.path == "/api/v1/query_range"
    assert asked.query["query"] == "up"
    assert float(asked.query["end"]) == pytest.approx(START.timestamp(), abs=0.001)
    assert float(asked.query["end"]) - float(asked.query["start"]) == pytest.approx(sent["start"], abs=0.002)
    assert float(asked.query["step"]) == sent["step"]


@pytest.mark.parametrize(
    ("aggregator", "payload", "outcome"),
    [
        ("last", matrix(["1", "3", "2"]), Value(2.0)),
        ("min", matrix(["1", "3", "2"]), Value(1.0)),
        ("max", matrix(["1", "3", "2"]), Value(3.0)),
        ("avg", matrix(["1", "3", "2"]), Value(2.0)),
        ("sum", matrix(["1", "3", "2"]), Value(6.0)),
        ("last", matrix(["1", "NaN"]), Value(1.0)),
        ("avg", matrix(["+Inf", "-Inf"]), NoData()),
        ("max", matrix(["+Inf", "1"]), Value(float("inf"))),
        ("max", matrix(["NaN"]), NoData()),
        ("max", matrix([]), NoData()),
        ("max", matrix(), NoData()),
        ("max", matrix(["1"], ["2"]), "gives 2 series where one is needed: aggregate"),
        ("max", matrix(["many"]), "holds no number"),
        ("max", result("matrix", [{"values": [7]}]), "holds no number"),
        ("max", vector("1"), "is none to a range query"),
        ("max", b"[]", "does not say that it succeeded"),
        ("max", b"<html>", "not JSON"),
    ],
)
def test_the_points_of_a_range_become_one_value(aggregator: str, payload: bytes, outcome: Outcome | str) -> None:
    found = parse_range(payload, aggregator)

    if isinstance(outcome, str):
        assert isinstance(found, ProviderError)
        assert outcome in found.reason
    else:
        assert found == outcome


@pytest.mark.parametrize("wanted", [{"window": "0s"}, {"step": "0s"}])
def test_a_range_without_length_is_the_users_mistake(wanted: dict[str, str]) -> None:
    with pytest.raises(UserError, match="of rangeQuery must be longer than 0s"):
        prometheus("http://x", Outbound(), range_query=RangeQuery.model_validate(wanted))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("keptn", 'metric provider "keptn" is not built into flaggerpy, as its project has ended: ask the server that'),
        ("promtheus", 'metric provider "promtheus" does not exist; known are: .*prometheus'),
    ],
)
def test_a_provider_that_is_not_there_is_named_never_replaced(kind: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        provider_for(ProviderSettings(kind, "http://x"), Outbound())


def test_the_registry_makes_prometheus() -> None:
    made = provider_for(ProviderSettings("prometheus", "http://x"), Outbound())

    assert isinstance(made, Discreet)
    assert isinstance(made.provider, Prometheus)
