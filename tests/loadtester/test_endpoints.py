"""Health, gates, and who may ask: what a caller of each path sees."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from flaggerpy.loadtester.program import Settings
from tests.loadtester.harness import Answer, Caller, load_tester, until


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize(
    ("path", "answer"),
    [
        pytest.param("/healthz", Answer(200, "OK"), id="it is healthy while it answers"),
        pytest.param("/gate/approve", Answer(200, "OK"), id="the approving gate is always open"),
        pytest.param("/gate/halt", Answer(403, "Forbidden"), id="the halting gate is always closed"),
    ],
)
async def test_paths_that_do_not_read_the_body(caller: Caller, method: str, path: str, answer: Answer) -> None:
    assert await caller.send(path, b"{ this is no JSON", method=method) == answer


@pytest.mark.parametrize("kind", ["gate", "rollback"])
async def test_a_gate_is_closed_until_somebody_opens_it_and_open_until_somebody_closes_it(
    caller: Caller, kind: str
) -> None:
    assert await caller.ask(f"/{kind}/check") == Answer(403, "Forbidden")
    assert await caller.ask(f"/{kind}/open") == Answer(202, "")
    assert await caller.ask(f"/{kind}/check") == Answer(200, "Approved")
    assert await caller.ask(f"/{kind}/check") == Answer(200, "Approved")
    assert await caller.ask(f"/{kind}/close") == Answer(202, "")
    assert await caller.ask(f"/{kind}/check") == Answer(403, "Forbidden")
    assert await caller.ask(f"/{kind}/close") == Answer(202, "")


@pytest.mark.parametrize("other", ["podinfo.prod", "backend.test"])
async def test_every_canary_has_gates_of_its_own(caller: Caller, other: str) -> None:
    await caller.ask("/gate/open", canary="podinfo.test")
    assert (await caller.ask("/gate/check", canary=other)).status == 403
    assert (await caller.ask("/rollback/check", canary="podinfo.test")).status == 403


async def test_open_gates_are_counted(caller: Caller) -> None:
    await caller.ask("/gate/open", canary="a.test")
    await caller.ask("/gate/open", canary="b.test")
    await caller.ask("/rollback/open", canary="b.test")
    await caller.ask("/gate/close", canary="a.test")
    assert await caller.series("flaggerpy_loadtester_gates_open") == 2


async def test_a_gate_can_be_opened_for_a_while(caller: Caller) -> None:
    await caller.ask("/rollback/open", closeAfter="1ms")

    async def closed() -> bool:
        return (await caller.ask("/rollback/check")).status == 403

    await until(closed, "the gate is closed")


@pytest.mark.parametrize("text", ["1d", "-5m", "0", "soon"])
async def test_a_while_that_is_no_duration_opens_nothing(caller: Caller, text: str) -> None:
    answer = await caller.ask("/gate/open", closeAfter=text)
    assert answer.status == 400
    assert "closeAfter" in answer.body
    assert text in answer.body
    assert (await caller.ask("/gate/check")).status == 403


ASKING = ["/", "/some/path", "/gate/check", "/gate/open", "/gate/close", "/rollback/check", "/rollback/open"]


@pytest.mark.parametrize("path", ASKING)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"name": "podinfo"', id="half a document"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"name": 7}', id="a name that is no text"),
        pytest.param(b'{"metadata": {"cmd": {"a": 1}}}', id="metadata that is no map of texts"),
        pytest.param(b"\xff\xfe", id="no UTF-8"),
    ],
)
async def test_a_body_that_is_no_payload_is_refused_with_a_reason(caller: Caller, path: str, body: bytes) -> None:
    answer = await caller.send(path, body)
    assert answer.status == 400
    assert answer.body.startswith("the body is no webhook payload: ")


async def test_only_name_and_namespace_are_needed_for_a_gate(caller: Caller) -> None:
    body = b'{"name": "podinfo", "namespace": "test", "metadata": null, "unknown": [1]}'
    assert await caller.send("/gate/open", body) == Answer(202, "")
    assert (await caller.ask("/gate/check", canary="podinfo.test")).status == 200


async def test_a_body_without_end_is_refused(caller: Caller) -> None:
    assert (await caller.send("/", b'{"name": "' + b"x" * (2 << 20) + b'"}')).status == 413
    assert (await caller.send("/healthz")).status == 200


@pytest.mark.parametrize("path", [*ASKING, "/rollback/close"])
async def test_only_canaries_of_namespaces_that_match_may_ask(settings: Settings, path: str) -> None:
    async with load_tester(replace(settings, namespaces=re.compile("^team-"))) as caller:
        refused = await caller.ask(path, canary="podinfo.test", cmd="true")
        assert refused == Answer(403, "Forbidden")
        await caller.ask("/gate/open", canary="podinfo.team-a")
        await caller.ask("/rollback/open", canary="podinfo.team-a")
        assert (await caller.ask(path, canary="podinfo.team-a", cmd="true")).status in {200, 202}


async def test_the_pattern_may_match_anywhere_in_the_namespace(settings: Settings) -> None:
    async with load_tester(replace(settings, namespaces=re.compile("est"))) as caller:
        assert (await caller.ask("/gate/open", canary="podinfo.test")).status == 202
        assert (await caller.ask("/gate/open", canary="podinfo.prod")).status == 403


async def test_a_namespace_that_does_not_match_opens_no_gate(settings: Settings) -> None:
    async with load_tester(replace(settings, namespaces=re.compile("^team-"))) as caller:
        await caller.ask("/gate/open", canary="podinfo.test")
        assert await caller.series("flaggerpy_loadtester_gates_open") == 0
