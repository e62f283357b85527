"""What every metric provider does when its server, the way there or the answer is not as it should be.

A provider of the registry has a case in ``tests/metrics/faults``, a module of its name with a ``CASE``; without
one it fails here. The cases say how the provider is asked and answered, the rules below are the same for all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, Value
from flaggerpy.metrics.discreet import Discreet
from flaggerpy.metrics.outbound import MEBIBYTE, Outbound
from flaggerpy.metrics.registry import PROVIDERS
from tests.metrics.faults import influxdb, prometheus, stackdriver
from tests.metrics.faults.case import LEAF, Case
from tests.metrics.loopback import Asked, Loopback, Say, closed_port, loopback, never, raw_server

MINUTE = timedelta(minutes=1)
SILENCED = frozenset({"httpx", "httpcore", "aiohttp", "asyncio"})
"""What says nothing in a controller (telemetry.logging), or is the server of these tests."""
SHORT, LONG = 0.3, 20.0
"""Limits of time in seconds, for servers that use all of it and for those that answer."""


def _module(kind: str) -> str:
    return f"tests.metrics.faults.{kind}"


CASES: dict[str, Case] = {kind: import_module(_module(kind)).CASE for kind in PROVIDERS if find_spec(_module(kind))}

FURTHER: dict[str, Case] = {
    "influxdb of version 1": influxdb.VERSION_1,
    "prometheus over a range": prometheus.RANGE,
    "stackdriver with its token": stackdriver.LENT,
}
"""Other ways of the same providers."""

every_provider = pytest.mark.parametrize(
    "case", [pytest.param(case, id=name) for name, case in (CASES | FURTHER).items()]
)


def test_every_provider_of_the_registry_has_a_case() -> None:
    assert sorted(CASES) == sorted(PROVIDERS)


async def _measured(case: Case, url: str, outbound: Outbound, seconds: float = LONG) -> Outcome:
    """Ask as the controller does: nothing secret comes out, whatever the server says."""
    asked = case.settings(url)
    outcome = await Discreet(case.make(asked, outbound, seconds), asked).measure(case.query, MINUTE)
    told = repr(outcome) + repr(asked)
    assert not [key for key, value in case.secret.items() if value in told]
    if isinstance(outcome, ProviderError | BadQuery):
        assert outcome.reason
        assert "\n" not in outcome.reason
        assert len(outcome.reason) < 500
    return outcome


def _error(outcome: Outcome) -> str:
    assert isinstance(outcome, ProviderError)
    return outcome.reason


@every_provider
async def test_a_number_is_a_value(case: Case, server: Loopback, outbound: Outbound) -> None:
    server.says(case.success)

    assert await _measured(case, server.url, outbound) == Value(case.value)
    arrived = server.asked[-1].headers
    assert {name: arrived.get(name) for name in case.sent} == case.sent


@every_provider
async def test_nothing_to_say_is_no_data(case: Case, server: Loopback, outbound: Outbound) -> None:
    assert case.no_data
    for answer in case.no_data:
        server.says(answer)
        assert await _measured(case, server.url, outbound) == NoData()


@every_provider
async def test_a_wrong_query_is_the_users_mistake(case: Case, server: Loopback, outbound: Outbound) -> None:
    for answer in case.bad_query:
        server.says(answer)
        assert isinstance(await _measured(case, server.url, outbound), BadQuery)


@every_provider
@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_are_an_error(case: Case, status: int, server: Loopback, outbound: Outbound) -> None:
    server.says(Say(status, b"who are you?"))

    assert str(status) in _error(await _measured(case, server.url, outbound))


@every_provider
@pytest.mark.parametrize("status", [404, 418, 500, 503])
async def test_other_refusals_are_an_error(case: Case, status: int, server: Loopback, outbound: Outbound) -> None:
    server.says(Say(status, b"<html>sorry</html>"))

    assert str(status) in _error(await _measured(case, server.url, outbound))


@every_provider
async def test_a_hiccup_is_asked_again(case: Case, server: Loopback, outbound: Outbound) -> None:
    server.says(Say(503, b"busy"), case.success)

    assert await _measured(case, server.url, outbound) == Value(case.value)


@every_provider
async def test_a_server_that_never_answers_is_an_error(case: Case, server: Loopback, outbound: Outbound) -> None:
    server.says(never)

    assert "no answer within" in _error(await _measured(case, server.url, outbound, SHORT))


@every_provider
async def test_a_server_that_never_ends_its_answer_is_an_error(case: Case, outbound: Outbound) -> None:
    async with _dripping() as url:
        assert "no answer within" in _error(await _measured(case, url, outbound, SHORT))


@every_provider
async def test_a_server_that_is_not_there_is_an_error(case: Case, outbound: Outbound) -> None:
    assert "cannot connect" in _error(await _measured(case, closed_port(), outbound))


@every_provider
@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"SSH-2.0-OpenSSH_9.6\r\n"],
    ids=["hangs up", "is another protocol"],
)
async def test_a_connection_that_breaks_is_an_error(case: Case, answer: bytes, outbound: Outbound) -> None:
    async with raw_server(answer) as url:
        _error(await _measured(case, url, outbound))


@every_provider
async def test_a_huge_answer_is_an_error(case: Case, server: Loopback, outbound: Outbound) -> None:
    server.says(Say(200, b"[" + b" " * 16 * MEBIBYTE + b"]"))

    assert "larger than" in _error(await _measured(case, server.url, outbound))


@every_provider
@pytest.mark.parametrize(
    "body",
    [b"", b"<!doctype html>", b'{"status": "success", "data"', bytes(range(256)), b"[" * 200_000, b"[]", b"{}", b"7"],
    ids=["nothing", "a login page", "half of it", "bytes", "deep", "a list", "an object", "a number"],
)
async def test_what_is_no_answer_is_an_error(case: Case, body: bytes, server: Loopback, outbound: Outbound) -> None:
    server.says(Say(200, body))

    outcome = await _measured(case, server.url, outbound)

    assert isinstance(outcome, ProviderError) or body in case.fine


@every_provider
async def test_what_is_nearly_an_answer_is_an_error(case: Case, server: Loopback, outbound: Outbound) -> None:
    for body in case.malformed:
        server.says(Say(200, body))
        _error(await _measured(case, server.url, outbound))


@every_provider
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_nobody_is_sent_to_another_host_with_our_credentials(
    case: Case, status: int, server: Loopback, outbound: Outbound
) -> None:
    async with loopback() as elsewhere:
        elsewhere.says(case.success)
        server.says(Say(status, headers={"Location": f"{elsewhere.url}/steal"}))

        assert "another host" in _error(await _measured(case, server.url, outbound))
        assert elsewhere.asked == []


@every_provider
@pytest.mark.parametrize("status", [200, 400, 401, 422, 500])
async def test_no_secret_is_told_by_a_server_that_repeats_what_it_was_sent(
    case: Case, status: int, server: Loopback, outbound: Outbound, caplog: pytest.LogCaptureFixture
) -> None:
    async def echo(asked: Asked) -> Say:
        text = json.dumps([*asked.headers.items(), asked.path, asked.query, asked.body.decode("utf-8", "replace")])
        return Say(status, text.encode())

    async def plainly(asked: Asked) -> Say:
        return Say(status, " ".join(case.secret.values()).encode())

    async def complaint(asked: Asked) -> Say:
        text = " ".join(case.secret.values())
        return Say(status, json.dumps({"error": text, "errors": [text], "message": text, "status": "error"}).encode())

    caplog.set_level(logging.DEBUG)
    for answer in (echo, plainly, complaint):
        server.says(answer)
        await _measured(case, server.url, outbound)

    told = " ".join(record.getMessage() for record in caplog.records if record.name.split(".")[0] not in SILENCED)
    assert not [key for key, value in case.secret.items() if value in told]


@every_provider
def test_every_body_is_a_number_no_data_or_a_reason(case: Case) -> None:
    @settings(deadline=None)
    @given(st.binary(max_size=200) | (case.documents | LEAF).map(lambda value: json.dumps(value).encode()))
    def law(payload: bytes) -> None:
        match case.parse(payload):
            case Value(value):
                assert not math.isnan(value)
            case ProviderError(reason) | BadQuery(reason):
                assert reason
            case outcome:
                assert outcome == NoData()

    law()


@asynccontextmanager
async def _dripping() -> AsyncIterator[str]:
    """Run a server that goes on with its answer for ever, a byte at a time."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "100000"})
        await answer.prepare(request)
        while True:
            await answer.write(b" ")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.02)

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
