"""What webhooks take from Secrets: what is sent, to whom, and that it is told to nobody else."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import structlog

from flaggerpy.api.analysis import CanaryWebhook, HookType
from flaggerpy.api.payloads import EventType, WebhookPayload, event_payload
from flaggerpy.clock import SystemClock
from flaggerpy.controller.hooks import EventHooks, HookAnswer, WebhookClient
from flaggerpy.kube.errors import Forbidden, Unreachable
from flaggerpy.metrics.outbound import Call, Outbound, Reply
from tests.controller.keeping import Keeper
from tests.metrics.loopback import Asked, Loopback, Say, loopback, raw_server, self_signed

PAYLOAD = WebhookPayload(name="podinfo", namespace="prod", phase="Progressing", checksum="664667f95d")
PLANTED = "pl4nted-v4lue"
TRICKY = 'pl4nted "quoted"/v4lue'
TOKEN = {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "gate", "key": "token"}}}


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


async def at_once(_: float) -> None:
    """Wait for nothing."""


@pytest.fixture
async def client(keeper: Keeper) -> AsyncIterator[WebhookClient]:
    async with Outbound(trust_env=False) as outbound:
        yield WebhookClient(outbound, keeper, sleep=at_once)


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    async with loopback() as running:
        yield running


def hook(url: str, **fields: Any) -> CanaryWebhook:
    return CanaryWebhook.model_validate({"name": "load", "url": url, **fields})


async def call(client: WebhookClient, url: str, **fields: Any) -> HookAnswer:
    return await client.call(hook(url, **fields), PAYLOAD, key="k")


async def echo(asked: Asked) -> Say:
    """Refuse with everything that came, as servers do that are being debugged."""
    lines = [f"{name}: {value}" for name, value in asked.headers.items()]
    return Say(403, "\n".join([*lines, asked.body.decode()]).encode())


async def test_headers_are_sent_as_written_and_as_the_canarys_own_secret_says_at_that_time(
    server: Loopback, client: WebhookClient, keeper: Keeper
) -> None:
    headers = [{"name": "X-Team", "value": "payments"}, TOKEN]
    keeper.secrets["prod", "gate"] = {"token": "Bearer one\n"}
    assert (await call(client, server.url, headers=headers)).passed
    keeper.secrets["prod", "gate"] = {"token": "Bearer two"}
    assert (await call(client, server.url, headers=headers)).passed

    assert [asked.headers["Authorization"] for asked in server.asked] == ["Bearer one", "Bearer two"]
    assert {asked.headers["X-Team"] for asked in server.asked} == {"payments"}
    assert {asked.headers["Idempotency-Key"] for asked in server.asked} == {"k"}
    assert keeper.read == [("prod", "gate")] * 2


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        (None, "its header Authorization needs the Secret gate, which does not exist in namespace prod: create it"),
        (
            {"a": "1", "b": "2"},
            "its header Authorization needs the key token of the Secret gate, which has a, b: add it",
        ),
        ({"token": " \n"}, "its header Authorization needs the key token of the Secret gate, which has token: add it"),
        (
            {"token": f"{PLANTED}\nX-Admin: yes"},
            "its header Authorization is read from a Secret whose value is not one line of ASCII: mend it",
        ),
    ],
)
async def test_a_secret_that_cannot_be_sent_fails_the_hook_at_once_without_a_call(
    server: Loopback, client: WebhookClient, keeper: Keeper, secret: dict[str, str] | None, says: str
) -> None:
    if secret is not None:
        keeper.secrets["prod", "gate"] = secret

    answer = await call(client, server.url, headers=[TOKEN], retries=3)

    assert answer == HookAnswer(passed=False, reason=says)
    assert (server.asked, len(keeper.read)) == ([], 1)


async def test_an_outage_of_the_cluster_is_tried_again_and_says_nothing_about_the_hook(
    server: Loopback, client: WebhookClient, keeper: Keeper
) -> None:
    keeper.outage = Unreachable("no answer within 10 s")

    answer = await call(client, server.url, headers=[TOKEN], retries=2)

    assert answer.unread is keeper.outage
    assert answer.reason == "its Secret could not be read: no answer within 10 s"
    assert (server.asked, len(keeper.read)) == ([], 3)


async def test_a_secret_that_the_controller_may_not_read_is_somebodys_fault(
    server: Loopback, client: WebhookClient, keeper: Keeper
) -> None:
    keeper.outage = Forbidden(403, "Forbidden", "secrets gate is forbidden")

    answer = await call(client, server.url, headers=[TOKEN], retries=2)

    assert (answer.passed, answer.unread, len(keeper.read)) == (False, None, 1)
    assert "secrets gate is forbidden" in answer.reason


@pytest.mark.parametrize(
    "value",
    [
        PLANTED,
        f"Bearer {PLANTED}",
        f"Basic {base64.b64encode(f'me:{PLANTED}'.encode()).decode()}",
    ],
)
async def test_a_server_that_repeats_what_it_was_sent_brings_no_secret_into_a_reason(
    server: Loopback, client: WebhookClient, keeper: Keeper, value: str
) -> None:
    keeper.secrets["prod", "gate"] = {"token": value}

    async def decode(asked: Asked) -> Say:
        scheme, _, rest = asked.headers["Authorization"].partition(" ")
        plain = base64.b64decode(rest) if scheme == "Basic" else b""
        return Say(401, (await echo(asked)).body + b"\nno such user: " + plain)

    server.says(decode)
    answer = await call(client, server.url, headers=[TOKEN])

    assert answer.status == 401
    assert "Authorization: " in answer.reason
    assert "[hidden]" in answer.reason
    assert "\n" not in answer.reason
    for part in (value, *value.split(" "), PLANTED):
        assert part in {"Bearer", "Basic"} or part not in answer.reason


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b" " * (16 * 1024 - 10) + f"Bearer {TRICKY}".encode(), "[hidden]"),
        (json.dumps({"token": TRICKY}).encode(), '{"token": "[hidden]"}'),
        (quote(TRICKY, safe="").encode(), "[hidden]"),
        (base64.b64encode(TRICKY.encode()), "[hidden]"),
        (f'it begins with "{TRICKY[:7]}"'.encode(), 'it begins with "[hidden]"'),
    ],
    ids=["cut off", "JSON", "percent", "base64", "quoted in part"],
)
async def test_a_secret_is_not_told_in_another_form_either(
    server: Loopback, client: WebhookClient, keeper: Keeper, said: bytes, told: str
) -> None:
    keeper.secrets["prod", "gate"] = {"token": f"Bearer {TRICKY}"}
    server.says(Say(403, said))

    answer = await call(client, server.url, headers=[TOKEN])

    assert answer.reason == told


async def test_a_password_in_the_address_is_a_secret_too(server: Loopback, client: WebhookClient) -> None:
    server.says(echo)
    with_password = server.url.replace("http://", f"http://me:{PLANTED}@")

    answer = await call(client, with_password)

    sent = base64.b64encode(f"me:{PLANTED}".encode()).decode()
    assert server.asked[0].headers["Authorization"] == f"Basic {sent}"
    assert PLANTED not in answer.reason
    assert sent not in answer.reason


async def test_a_planted_secret_is_in_no_log_and_in_no_event(
    server: Loopback, client: WebhookClient, keeper: Keeper
) -> None:
    """Every way that a call can end: refused, garbage, redirected, unreachable, a fault of ours."""
    keeper.secrets["prod", "gate"] = {"token": f"Bearer {PLANTED}"}

    class Faulty(Outbound):
        async def send(self, call: Call) -> Reply:
            raise RuntimeError(f"cannot encode {dict(call.headers)}")

    answers = []
    with structlog.testing.capture_logs() as logs:
        for say in (echo, Say(307, headers={"Location": f"http://elsewhere.test/?t={PLANTED}"})):
            server.says(say)
            answers.append(await call(client, server.url, headers=[TOKEN]))
        async with raw_server(f"HTTP/9 {PLANTED}\r\n\r\n".encode()) as garbage:
            answers.append(await call(client, garbage, headers=[TOKEN]))
        answers.append(await call(client, "http://127.0.0.1:1", headers=[TOKEN]))
        answers.append(await WebhookClient(Faulty(), keeper).call(hook(server.url, headers=[TOKEN]), PAYLOAD, key="k"))
        server.says(echo)
        events = EventHooks(client)
        told = event_payload(PAYLOAD, "Advance", EventType.NORMAL, SystemClock().now())
        events.publish(("prod", "podinfo"), [hook(server.url, type="event", headers=[TOKEN])], lambda _: told, key="k")
        assert await events.flush(30)

    assert [answer.passed for answer in answers] == [False] * 5
    assert {entry["event"] for entry in logs} == {
        "webhook call failed in an unforeseen way",
        "event webhook did not take an event",
    }
    assert PLANTED not in f"{logs} {answers}"


async def test_the_address_of_the_controllers_own_event_webhook_is_in_no_log(
    server: Loopback, client: WebhookClient
) -> None:
    async def repeat(asked: Asked) -> Say:
        said = f"Cannot POST {asked.path}: no {asked.path.rpartition('/')[2]} with sig={asked.query['sig']}"
        return Say(404, said.encode())

    server.says(repeat)
    told = event_payload(PAYLOAD, "Advance", EventType.NORMAL, SystemClock().now())
    events = EventHooks(client, everywhere=f"{server.url}/services/T0/{PLANTED}?sig={PLANTED}-too")
    with structlog.testing.capture_logs() as logs:
        events.publish(("prod", "podinfo"), [], lambda _: told, key="k")
        assert await events.flush(30)

    (entry,) = logs
    assert entry["reason"].startswith("Cannot POST /[hidden]")
    assert PLANTED not in str(entry)
    assert PLANTED in server.asked[0].path


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_host_gets_no_credentials(
    server: Loopback, client: WebhookClient, keeper: Keeper, status: int
) -> None:
    keeper.secrets["prod", "gate"] = {"token": PLANTED}
    async with loopback() as elsewhere:
        server.says(Say(status, headers={"Location": f"{elsewhere.url}/take"}))

        answer = await call(client, server.url, headers=[TOKEN], retries=2)

        assert elsewhere.asked == []
    assert "redirected to another host" in answer.reason
    assert len(server.asked) == 1


async def test_a_server_is_trusted_by_whom_the_hook_names_and_by_nobody_else(
    client: WebhookClient, keeper: Keeper, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    async with loopback(self_signed(tmp_path)) as secure:
        self_signed(tmp_path / "other")
        pem, other = (
            (folder / "loopback.pem").read_text().partition("-----END PRIVATE KEY-----\n")[2]
            for folder in (tmp_path, tmp_path / "other")
        )
        keeper.secrets["prod", "authority"] = {"ca.crt": pem, "other": other, "nonsense": "no certificate"}
        given = {
            "nobody": None,
            "a bundle": {"caBundle": base64.b64encode(pem.encode()).decode()},
            "a Secret": {"caSecretRef": {"name": "authority"}},
            "another one": {"caSecretRef": {"name": "authority", "key": "other"}},
            "nonsense": {"caSecretRef": {"name": "authority", "key": "nonsense"}},
            "a Secret without the key": {"caSecretRef": {"name": "authority", "key": "tls.crt"}},
        }
        answers = {title: await call(client, secure.url, tls=tls, retries=2) for title, tls in given.items()}

    assert [title for title, answer in answers.items() if answer.passed] == ["a bundle", "a Secret"]
    assert "certificate" in answers["another one"].reason.lower()
    assert answers["nonsense"].reason.endswith("the certificates to trust it by cannot be read as PEM")
    assert answers["a Secret without the key"].reason == (
        "its tls.caSecretRef needs the key tls.crt of the Secret authority, which has ca.crt, nonsense, other: add it"
    )
    assert len(secure.asked) == 2, "what cannot change is not tried again"


async def test_every_type_of_hook_may_have_credentials(server: Loopback, client: WebhookClient, keeper: Keeper) -> None:
    keeper.secrets["prod", "gate"] = {"token": PLANTED}
    for kind in HookType:
        assert (await call(client, server.url, type=kind.value, headers=[TOKEN])).passed
    assert [asked.headers["Authorization"] for asked in server.asked] == [PLANTED] * len(HookType)
