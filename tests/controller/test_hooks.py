from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from flaggerpy.api.analysis import CanaryWebhook
from flaggerpy.api.payloads import WebhookPayload
from flaggerpy.controller.hooks import IDEMPOTENCY_HEADER, HookAnswer, WebhookClient, backoff, in_order, retry_after
from flaggerpy.kube.errors import Unreachable
from flaggerpy.metrics.outbound import Outbound, Reply
from tests.controller.keeping import no_secrets
from tests.kube.clocks import SkippingClock
from tests.metrics.loopback import Asked, Loopback, Say, closed_port, loopback, never, raw_server, self_signed

PAYLOAD = WebhookPayload(
    name="podinfo", namespace="prod", phase="Progressing", checksum="664667f95d", metadata={"cmd": "hey é"}
)
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Naps:
    """A sleep that passes at once and remembers."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
async def client(naps: Naps) -> AsyncIterator[WebhookClient]:
    async with Outbound(trust_env=False) as outbound:
        yield WebhookClient(outbound, no_secrets, sleep=naps)


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    async with loopback() as running:
        yield running


def hook(url: str, **fields: Any) -> CanaryWebhook:
    return CanaryWebhook.model_validate({"name": "load", "url": url, **fields})


async def call(client: WebhookClient, url: str, **fields: Any) -> HookAnswer:
    return await client.call(hook(url, **fields), PAYLOAD, key="uid/abc/10/2/load test")


async def test_the_payload_is_flaggers_and_the_key_names_the_question(server: Loopback, client: WebhookClient) -> None:
    answer = await call(client, f"{server.url}/gate/check?x=1")

    assert answer == HookAnswer(passed=True, status=200)
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.query) == ("POST", "/gate/check", {"x": "1"})
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.headers["Idempotency-Key"] == "uid/abc/10/2/load_test"
    assert json.loads(asked.body) == {
        "name": "podinfo",
        "namespace": "prod",
        "phase": "Progressing",
        "checksum": "664667f95d",
        "metadata": {"cmd": "hey é"},
    }


@pytest.mark.parametrize(
    ("say", "answer"),
    [
        (Say(200), HookAnswer(True, 200)),
        (Say(202, b"queued"), HookAnswer(True, 202)),
        (Say(204), HookAnswer(True, 204)),
        (Say(299), HookAnswer(True, 299)),
        (Say(300, b"choose"), HookAnswer(False, 300, "choose")),
        (Say(304), HookAnswer(False, 304, "it answered 304 without a reason")),
        (Say(400, b"bad payload"), HookAnswer(False, 400, "bad payload")),
        (Say(401), HookAnswer(False, 401, "it answered 401 without a reason")),
        (Say(403, b"Forbidden\n"), HookAnswer(False, 403, "Forbidden")),
        (Say(500, b"helm test failed"), HookAnswer(False, 500, "helm test failed")),
        (Say(503), HookAnswer(False, 503, "it answered 503 without a reason")),
        (Say(500, b"\x00\xffa\r\nb"), HookAnswer(False, 500, "�a b")),
    ],
    ids=lambda value: str(value.status),
)
async def test_any_2xx_passes_and_a_refusals_body_is_the_reason(
    server: Loopback, client: WebhookClient, say: Say, answer: HookAnswer
) -> None:
    server.says(say)

    assert await call(client, server.url) == answer


async def test_a_long_reason_is_cut_to_512_characters(server: Loopback, client: WebhookClient) -> None:
    server.says(Say(500, "ü".encode() * 3_000_000))

    answer = await call(client, server.url)

    assert len(answer.reason) == 512
    assert answer.reason.endswith("ü…")


@pytest.mark.parametrize(
    ("status", "attempts"), [(429, 3), (500, 3), (503, 3), (599, 3), (501, 1), (400, 1), (403, 1), (404, 1), (200, 1)]
)
async def test_only_answers_that_may_change_are_asked_for_again(
    server: Loopback, client: WebhookClient, status: int, attempts: int
) -> None:
    server.says(Say(status, b"why"))

    answer = await call(client, server.url, retries=2)

    assert len(server.asked) == attempts
    assert answer.status == status
    assert len({asked.headers["Idempotency-Key"] for asked in server.asked}) == 1


async def test_the_last_answer_counts(server: Loopback, client: WebhookClient, naps: Naps) -> None:
    server.says(Say(503, b"starting"), Say(503, b"starting"), Say(200))

    answer = await call(client, server.url, retries=5)

    assert answer == HookAnswer(True, 200)
    assert naps.taken == [1.0, 2.0]


async def test_waits_double_up_to_thirty_seconds(client: WebhookClient, naps: Naps) -> None:
    answer = await call(client, closed_port(), retries=7)

    assert naps.taken == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert not answer.passed
    assert answer.status is None
    assert "cannot connect" in answer.reason


async def test_a_server_can_ask_for_another_wait(server: Loopback, client: WebhookClient, naps: Naps) -> None:
    server.says(
        Say(429, headers={"Retry-After": "7"}),
        Say(503, headers={"Retry-After": "3600"}),
        Say(500, headers={"Retry-After": "7"}),
        Say(503, headers={"Retry-After": "soon"}),
        Say(200),
    )

    await call(client, server.url, retries=4)

    assert naps.taken == [7.0, 30.0, 4.0, 8.0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("Wed, 25 Nov 2026 12:00:05 GMT", 5.0),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0.0),
        ("-1", None),
        ("²", None),
        ("", None),
        ("9" * 400, 999_999_999.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    reply = Reply(503, httpx.Headers([(b"Retry-After", text.encode())]), b"")

    assert retry_after(reply, NOON) == seconds


def test_a_wait_never_grows_over_thirty_seconds() -> None:
    assert backoff(100_000) == 30.0
    assert backoff(0, 1e9) == 30.0
    assert backoff(9, 0.0) == 0.0


async def test_each_attempt_has_its_own_time_limit(server: Loopback, client: WebhookClient) -> None:
    server.says(never, never, Say(200))

    # On a busy machine an attempt may not even reach the server within its limit.
    answer = await call(client, server.url, retries=50, timeout=timedelta(milliseconds=100))

    assert answer.passed
    assert len(server.asked) >= 3


async def test_no_answer_in_time_is_a_failure(server: Loopback, client: WebhookClient) -> None:
    server.says(never)

    answer = await call(client, server.url, timeout=timedelta(milliseconds=40))

    assert not answer.passed
    assert "no answer within 0.04 s" in answer.reason


async def test_a_body_that_never_ends_is_within_the_time_limit(client: WebhookClient) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nx")
        await writer.drain()
        await forever.wait()
        writer.close()

    forever = asyncio.Event()
    slow = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with slow:
        port = slow.sockets[0].getsockname()[1]
        answer = await call(client, f"http://127.0.0.1:{port}", timeout=timedelta(milliseconds=40))
        forever.set()

    assert answer == HookAnswer(False, None, f"127.0.0.1:{port}: no answer within 0.04 s")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "must begin with http:// or https://"),
        ("gate/check", "must begin with http:// or https://"),
        ("ftp://gate", "must begin with http:// or https://"),
        ("file:///etc/passwd", "must begin with http:// or https://"),
        ("http://", "must begin with http:// or https://"),
        ("http://[::1", "not a URL"),
        ("http://gate:99999/", "port that does not exist"),
        ("http://a\nb/", "not a URL"),
        ("http://ü\udc80/", "not a URL"),
    ],
)
async def test_an_address_that_cannot_be_called_fails_at_once(
    client: WebhookClient, naps: Naps, url: str, says: str
) -> None:
    answer = await call(client, url, retries=3)

    assert not answer.passed
    assert says in answer.reason
    assert naps.taken == []


async def test_garbage_and_a_lost_connection_are_failures(client: WebhookClient) -> None:
    for garbage in (b"SSH-2.0\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"):
        async with raw_server(garbage) as url:
            assert not (await call(client, url)).passed


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_on_the_same_host_that_keeps_the_question_is_followed(
    server: Loopback, client: WebhookClient, status: int
) -> None:
    server.says(Say(status, headers={"Location": "/new"}), Say(200))

    answer = await call(client, server.url)

    assert answer.passed
    first, second = server.asked
    assert (second.method, second.path, second.body) == ("POST", "/new", first.body)
    assert second.headers["Content-Type"] == "application/json"
    assert second.headers[IDEMPOTENCY_HEADER] == first.headers[IDEMPOTENCY_HEADER]


@pytest.mark.parametrize("status", [301, 302, 303])
@pytest.mark.parametrize(
    ("location", "where"),
    [
        ("/check/", "the same address with a / at its end"),
        ("https://{place}/check", "the same address with https"),
        ("https://{place}/check/", "the same address with https and a / at its end"),
        ("https://127.0.0.1/check", "another address of https://127.0.0.1"),
        ("/login?token=hidden", "another address of http://{place}"),
        ("/check?token=hidden", "another address of http://{place}"),
    ],
)
async def test_a_redirect_that_would_lose_the_question_is_an_error_that_says_what_to_write(
    server: Loopback, client: WebhookClient, naps: Naps, status: int, location: str, where: str
) -> None:
    place = server.url.removeprefix("http://")
    server.says(Say(status, b"moved", headers={"Location": location.format(place=place)}), Say(200))

    answer = await call(client, f"{server.url}/check", retries=3)

    assert not answer.passed
    assert answer.reason == (
        f"{place}: it answered {status}, a redirect to {where.format(place=place)}, where a POST arrives as a GET "
        "without its body: write the final address instead"
    )
    assert [asked.method for asked in server.asked] == ["POST"]
    assert naps.taken == []


async def test_a_redirect_to_another_host_is_refused(server: Loopback, client: WebhookClient, naps: Naps) -> None:
    async with loopback() as elsewhere:
        server.says(Say(307, headers={"Location": f"{elsewhere.url}/metadata?secret=1"}))

        answer = await call(client, server.url, retries=3)

        assert elsewhere.asked == []
    assert not answer.passed
    assert "redirected to another host" in answer.reason
    assert "secret" not in answer.reason
    assert naps.taken == []


async def test_certificates_are_checked_unless_the_hook_disables_it(
    client: WebhookClient, naps: Naps, tmp_path: Path
) -> None:
    async with loopback(self_signed(tmp_path)) as secure:
        strict = await call(client, secure.url, retries=3)
        lax = await call(client, secure.url, disableTLS=True)

    assert not strict.passed
    assert "certificate" in strict.reason.lower()
    assert naps.taken == []
    assert lax.passed


async def test_a_call_can_be_cancelled(server: Loopback, client: WebhookClient) -> None:
    arrived = asyncio.Event()

    async def hang(_: Asked) -> Say:
        arrived.set()
        await asyncio.Event().wait()
        return Say()

    server.says(hang)
    task = asyncio.create_task(call(client, server.url))
    await asyncio.wait_for(arrived.wait(), 5)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_whoever_counts_is_told_of_every_answer_and_how_long_it_took(naps: Naps, server: Loopback) -> None:
    told: list[tuple[str, HookAnswer, float]] = []
    clock = SkippingClock()

    async def slow(_: Asked) -> Say:
        clock.jump(2.5)
        return Say(status=403, body=b"closed")

    server.says(slow)
    async with Outbound(trust_env=False) as outbound:
        client = WebhookClient(
            outbound,
            no_secrets,
            sleep=naps,
            on_answer=lambda hook, answer, seconds: told.append((hook.type.value, answer, seconds)),
            clock=clock,
        )
        await call(client, server.url, type="confirm-rollout")

    assert told == [("confirm-rollout", HookAnswer(passed=False, status=403, reason="closed"), 2.5)]


@pytest.mark.parametrize("status", [200, 201, 202, 203, 204, 206, 226, 299])
async def test_w70_every_2xx_passes(server: Loopback, client: WebhookClient, status: int) -> None:
    server.says(Say(status, b""))

    assert await call(client, server.url) == HookAnswer(True, status)


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("retries", [0, 2])
async def test_w71_the_body_of_the_last_attempt_is_the_reason(
    server: Loopback, client: WebhookClient, status: int, retries: int
) -> None:
    server.says(*[Say(status, f"run {run} failed:\n  exit 3\n".encode()) for run in range(retries + 1)])

    answer = await call(client, server.url, retries=retries)

    assert answer.reason == f"run {retries} failed: exit 3"


async def test_a_reason_is_one_line_whatever_the_server_says(client: WebhookClient, server: Loopback) -> None:
    server.says(Say(403, "<html>\r\n<p>\tno\u2028\x1b[31m entry</p>\n\n".encode()))

    assert (await call(client, server.url)).reason == "<html> <p> no [31m entry</p>"


async def test_where_one_of_many_at_once_raises_the_others_are_waited_for() -> None:
    done: list[str] = []

    async def raises() -> str:
        raise Unreachable("no answer within 10 s")

    async def takes_a_while() -> str:
        for _ in range(3):
            await asyncio.sleep(0)
        done.append("the other")
        return "passed"

    with pytest.raises(Unreachable):
        _ = [answer async for answer in in_order([raises, takes_a_while], at_once=True)]

    assert done == ["the other"]
