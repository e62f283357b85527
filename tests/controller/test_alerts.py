from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from flaggerpy.api.analysis import Severity
from flaggerpy.api.templates import AlertProvider, parse_alert_provider
from flaggerpy.controller.alerts import AlertSender, Receiver, receiver_of, receivers_for
from flaggerpy.controller.delivery import ATTEMPTS, LONGEST_PAUSE
from flaggerpy.kube.errors import Forbidden, KubeError, Unreachable
from flaggerpy.metrics.outbound import Call, Outbound, Reply
from flaggerpy.notifiers.base import Alert, Sender
from flaggerpy.notifiers.webhook import SIGNATURE_HEADER, signature
from flaggerpy.rollout.errors import UserError
from tests.builders import canary
from tests.kube.clocks import SkippingClock
from tests.metrics.loopback import Asked, Loopback, Say, closed_port, loopback, never, raw_server

ALERT = Alert("web", "shop", Severity.WARN, "Canary is waiting for approval.")
TOKEN = "xoxb-2009"


class Office:
    """An alert sender with Secrets that can change and waits that pass at once."""

    def __init__(self, outbound: Outbound, timeout: float = 5.0) -> None:
        self.secrets: dict[tuple[str, str], Mapping[str, str] | KubeError] = {}
        self.clock = SkippingClock()
        self.sender = AlertSender(outbound, self._read, clock=self.clock, timeout=timeout)

    @property
    def waits(self) -> list[float]:
        """Seconds that were waited for, one after the other."""
        return self.clock.slept

    async def send(self, receiver: Receiver, alert: Alert = ALERT) -> list[Any]:
        """Send one alert and give what was logged."""
        with capture_logs() as logs:
            self.sender.publish(alert, receiver)
            assert await self.sender.flush(60)
        return list(logs)

    async def _read(self, namespace: str, name: str) -> Mapping[str, str] | None:
        found = self.secrets.get((namespace, name))
        if isinstance(found, KubeError):
            raise found
        return found


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    async with Outbound(trust_env=False) as made:
        yield made


@pytest.fixture
async def office(outbound: Outbound) -> AsyncIterator[Office]:
    made = Office(outbound)
    yield made
    await made.sender.aclose(0.1)


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    async with loopback() as running:
        yield running


def provider(kind: str = "slack", name: str = "chat", namespace: str = "shop", **spec: Any) -> AlertProvider:
    return parse_alert_provider({"metadata": {"name": name, "namespace": namespace}, "spec": {"type": kind, **spec}})


async def test_a_slack_message_carries_the_token_of_the_secret(server: Loopback, office: Office) -> None:
    office.secrets["shop", "chat"] = {"address": f"{server.url}/api\n", "token": TOKEN}

    logs = await office.send(receiver_of(provider(secretRef={"name": "chat"}, channel="ops")))

    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/api")
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["Content-Type"] == "application/json"
    body = json.loads(asked.body)
    assert (body["channel"], body["username"]) == ("ops", "flagger")
    assert body["attachments"][0]["text"] == "Canary is waiting for approval."
    assert logs == []


async def test_a_webhook_gets_its_token_and_a_signature_of_its_very_bytes(server: Loopback, office: Office) -> None:
    office.secrets["shop", "hook"] = {"address": server.url, "token": TOKEN, "signingKey": "hush\n"}

    await office.send(receiver_of(provider("webhook", secretRef={"name": "hook"})), replace(ALERT, id="uid/1"))

    (asked,) = server.asked
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["Idempotency-Key"] == "uid/1"
    assert asked.headers[SIGNATURE_HEADER] == signature(asked.body, "hush")


async def test_a_webhook_that_is_asked_again_gets_the_same_bytes(server: Loopback, office: Office) -> None:
    server.says(Say(503), Say(200))

    await office.send(Receiver("webhook", server.url), replace(ALERT, id="uid/1"))

    first, second = server.asked
    assert (first.body, first.headers["Idempotency-Key"]) == (second.body, second.headers["Idempotency-Key"])


@pytest.mark.parametrize("kind", ["msteams", "discord", "rocket", "gchat"])
async def test_only_slack_and_webhooks_are_shown_a_token(server: Loopback, office: Office, kind: str) -> None:
    office.secrets["shop", "chat"] = {"address": server.url, "token": TOKEN}

    await office.send(receiver_of(provider(kind, secretRef={"name": "chat"})))

    assert len(server.asked) == 1
    assert "Authorization" not in server.asked[0].headers


async def test_a_secret_is_read_anew_for_every_message(server: Loopback, office: Office) -> None:
    receiver = receiver_of(provider(secretRef={"name": "chat"}))
    for path in ("/old", "/new"):
        office.secrets["shop", "chat"] = {"address": server.url + path}
        await office.send(receiver)

    assert [asked.path for asked in server.asked] == ["/old", "/new"]


@pytest.mark.parametrize(
    ("secrets", "says"),
    [
        ({}, "There is no Secret chat.shop"),
        ({("shop", "chat"): {"token": TOKEN}}, "The Secret chat.shop has no key address."),
        ({("shop", "chat"): Forbidden(403, "Forbidden", "no")}, "may not read the Secret chat.shop: give it the right"),
    ],
)
async def test_a_secret_that_does_not_help_is_reported_and_nothing_is_sent(
    office: Office, secrets: dict[tuple[str, str], dict[str, str] | KubeError], says: str
) -> None:
    office.secrets.update(secrets)

    (log,) = await office.send(receiver_of(provider(secretRef={"name": "chat"})))

    assert says in log["reason"]
    assert log["log_level"] == "error"
    assert log["canary"] == "web.shop"


@pytest.mark.parametrize(
    ("answers", "calls", "reason"),
    [
        ([Say(200)], 1, None),
        ([Say(204)], 1, None),
        ([Say(500), Say(200)], 2, None),
        ([Say(429), Say(503), Say(408), Say(200)], 4, None),
        ([Say(500)], ATTEMPTS, "it answered 500"),
        ([Say(501)], 1, "it answered 501"),
        ([Say(400)], 1, "it answered 400"),
        ([Say(401)], 1, "it answered 401: check the token and the address"),
        ([Say(404)], 1, "it answered 404: check the address"),
        ([Say(302)], 1, "it answered 302"),
        (
            [Say(200, b'{"ok":false,"error":"invalid_auth"}')],
            1,
            "Slack refused the message: invalid_auth: replace the token in the Secret",
        ),
        ([Say(200, b'{"ok":false,"error":"ratelimited"}'), Say(200, b'{"ok":true}')], 2, None),
        ([Say(200, b"ok")], 1, None),
        ([Say(200, b"<html>" + b"x" * 200_000)], 1, None),
        ([Say(200, b"[" * 50_000)], 1, None),
    ],
)
async def test_a_message_is_tried_again_when_that_can_help(
    server: Loopback, office: Office, answers: list[Say], calls: int, reason: str | None
) -> None:
    server.says(*answers)

    logs = await office.send(Receiver("slack", server.url))

    assert len(server.asked) == calls
    assert [log["reason"] for log in logs] == ([] if reason is None else [reason])
    assert office.waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0][: calls - 1]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirected_alert_is_told_with_what_to_write_and_without_what_is_secret(
    server: Loopback, office: Office, status: int
) -> None:
    server.says(Say(status, headers={"Location": "/services/T0/moved"}))

    (log,) = await office.send(Receiver("slack", f"{server.url}/services/T0/secret"))

    assert log["reason"] == (
        f"{server.url.removeprefix('http://')}: it answered {status}, a redirect to another address of {server.url}, "
        "which is not followed: write the final address instead"
    )
    assert len(server.asked) == 1


@pytest.mark.parametrize(("asked_for", "waited"), [("7", 7.0), ("0", 0.0), ("86400", LONGEST_PAUSE), ("soon", 1.0)])
async def test_a_receiver_that_asks_for_a_pause_gets_it_within_bounds(
    server: Loopback, office: Office, asked_for: str, waited: float
) -> None:
    server.says(Say(429, headers={"Retry-After": asked_for}), Say(200))

    logs = await office.send(Receiver("slack", server.url))

    assert logs == []
    assert sum(office.waits) == waited


async def test_a_secret_that_cannot_be_read_for_the_moment_is_read_again(server: Loopback, outbound: Outbound) -> None:
    answers: list[Mapping[str, str] | KubeError] = [Unreachable("no route"), {"address": server.url}]

    async def read(namespace: str, name: str) -> Mapping[str, str] | None:
        if isinstance(answer := answers.pop(0), KubeError):
            raise answer
        return answer

    sender = AlertSender(outbound, read, clock=SkippingClock())

    assert await sender.publish(ALERT, receiver_of(provider(secretRef={"name": "chat"}))) == ""
    assert len(server.asked) == 1


async def test_an_answer_that_is_no_http_is_a_failure_in_one_sentence(office: Office) -> None:
    async with raw_server(b"SSH-2.0-OpenSSH_9.2\r\n\r\n") as address:
        (log,) = await office.send(Receiver("slack", f"{address}/hush"))

    assert log["event"] == "alert not sent"
    assert "hush" not in str(log)


async def test_addresses_and_tokens_are_never_logged(
    outbound: Outbound, office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    address = closed_port()
    receiver = Receiver("slack", f"{address}/services/T0/hush", token=TOKEN)

    logs = await office.send(receiver)

    assert logs[0]["reason"].startswith(address.removeprefix("http://"))
    told = f"{logs}{caplog.text}{receiver!r}"
    assert "hush" not in told
    assert TOKEN not in told


@pytest.mark.parametrize(
    "receiver",
    [
        Receiver("slack", "http://127.0.0.1:1/", token="hush\nX-Evil: 1"),
        Receiver("slack", "http://127.0.0.1:1/", token="hüsh"),
        Receiver("slack", "http://127.0.0.1:1/", proxy="socks9://hush@127.0.0.1"),
        Receiver("slack", "http://127.0.0.1:1/\nhush"),
        Receiver("discord", "http://[hush"),
        Receiver("slack", "ftp://127.0.0.1/hush"),
        Receiver("pager", "http://127.0.0.1/hush"),
    ],
    ids=["two lines", "not ASCII", "proxy", "address", "no address", "scheme", "kind"],
)
async def test_what_cannot_be_sent_is_reported_without_quoting_it(office: Office, receiver: Receiver) -> None:
    (log,) = await office.send(receiver)

    assert "hush" not in str(log)
    assert "hüsh" not in str(log)
    assert office.waits == []


async def test_what_nobody_foresaw_is_logged_without_what_was_sent(outbound: Outbound) -> None:
    class Faulty(Outbound):
        async def send(self, call: Call) -> Reply:
            raise RuntimeError(f"cannot encode {call.url} {dict(call.headers)}")

    receiver = Receiver("slack", "http://user:hush-pass@127.0.0.1/services/hush?sig=hush-sig", token=TOKEN)

    bug, ended = await Office(Faulty()).send(receiver)

    assert bug["event"] == "alert failed in an unforeseen way"
    assert "cannot encode" in bug["stacktrace"]
    assert ended["reason"] == "127.0.0.1: RuntimeError"
    assert TOKEN not in f"{bug}{ended}"
    assert "hush" not in f"{bug}{ended}"


async def test_a_receiver_that_hangs_gives_up_after_the_time_limit(server: Loopback, outbound: Outbound) -> None:
    server.says(never)
    office = Office(outbound, timeout=0.2)

    (log,) = await office.send(Receiver("msteams", server.url))

    assert "no answer within 0.2 s" in log["reason"]
    assert len(office.waits) == ATTEMPTS - 1


async def test_an_answer_that_never_ends_is_given_up_after_the_time_limit(outbound: Outbound) -> None:
    over = asyncio.Event()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
        await writer.drain()
        await over.wait()
        writer.close()

    office = Office(outbound, timeout=0.2)
    slow = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with slow:
        (log,) = await office.send(Receiver("webhook", f"http://127.0.0.1:{slow.sockets[0].getsockname()[1]}"))
        over.set()

    assert "no answer within 0.2 s" in log["reason"]
    assert len(office.waits) == ATTEMPTS - 1


async def test_a_receiver_that_hangs_holds_back_nobody_else(server: Loopback, office: Office) -> None:
    reached = asyncio.Event()

    async def answer(asked: Asked) -> Say:
        if asked.path == "/stuck":
            await asyncio.Event().wait()
        reached.set()
        return Say()

    server.says(answer)
    office.sender.publish(ALERT, Receiver("slack", f"{server.url}/stuck"))
    office.sender.publish(ALERT, Receiver("slack", f"{server.url}/fine"))

    await asyncio.wait_for(reached.wait(), 5)


async def test_messages_go_through_the_receivers_proxy(server: Loopback, office: Office) -> None:
    await office.send(Receiver("slack", "http://chat.example/hook", proxy=server.url))

    assert server.asked[0].headers["Host"] == "chat.example"


async def test_without_an_address_nothing_is_sent_and_that_is_said(office: Office) -> None:
    (log,) = await office.send(Receiver("slack"))

    assert log["reason"] == "There is no address to send alerts to."


EVERYONE = Receiver("slack", "http://everyone")


def entries(*severities: str) -> dict[str, Any]:
    return {
        "alerts": [
            {"name": f"to {severity}", "severity": severity, "providerRef": {"name": severity or "any"}}
            for severity in severities
        ]
    }


def find(namespace: str, name: str) -> AlertProvider | None:
    return None if name == "error" else provider(name=name, namespace=namespace, address=f"http://{name}.{namespace}")


def test_without_entries_the_controllers_receiver_gets_everything() -> None:
    assert receivers_for(canary(), Severity.WARN, find, EVERYONE) == ((EVERYONE,), ())
    assert receivers_for(canary(), Severity.WARN, find, None) == ((), ())


def test_entries_replace_the_controllers_receiver_and_choose_by_severity() -> None:
    of = canary(analysis=entries("", "info", "warn"))

    warned, _ = receivers_for(of, Severity.WARN, find, EVERYONE)
    informed, _ = receivers_for(of, Severity.INFO, find, EVERYONE)

    assert [receiver.address for receiver in warned] == ["http://any.shop", "http://info.shop", "http://warn.shop"]
    assert [receiver.address for receiver in informed] == ["http://any.shop", "http://info.shop"]


def test_a_provider_that_does_not_exist_is_named_and_the_others_still_hear() -> None:
    of = canary(analysis=entries("error", "info"))

    found, missing = receivers_for(of, Severity.ERROR, find, EVERYONE)

    assert [receiver.address for receiver in found] == ["http://info.shop"]
    assert missing == ("The alert to error cannot be sent: there is no AlertProvider error.shop.",)


def test_a_provider_of_another_namespace_reads_its_secret_there() -> None:
    reference = {"name": "a", "providerRef": {"name": "chat", "namespace": "ops"}}
    of = canary(analysis={"alerts": [reference]})

    (receiver,), _ = receivers_for(
        of,
        Severity.WARN,
        lambda namespace, name: provider(name=name, namespace=namespace, secretRef={"name": "s"}),
        None,
    )

    sender = Sender("general", "flagger")
    assert receiver == Receiver("slack", sender=sender, secret=("ops", "s"), name="AlertProvider chat.ops")


def test_a_receiver_that_two_entries_name_hears_once() -> None:
    twice = [{"name": name, "severity": name, "providerRef": {"name": "chat"}} for name in ("info", "error")]

    found, _ = receivers_for(canary(analysis={"alerts": twice}), Severity.ERROR, find, None)

    assert [receiver.address for receiver in found] == ["http://chat.shop"]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({}, "AlertProvider chat.shop has neither address nor secretRef: add one of them."),
        ({"address": "hooks.example/hush"}, "spec.address of AlertProvider chat.shop is no address that can be called"),
        ({"address": "https://ok", "proxy": "hush:1"}, "spec.proxy of AlertProvider chat.shop is no address"),
    ],
)
def test_a_provider_that_nothing_can_be_sent_with_is_explained_without_quoting_it(
    spec: dict[str, str], says: str
) -> None:
    with pytest.raises(UserError) as fault:
        receiver_of(provider(**spec))

    assert str(fault.value).startswith(says)
    assert "hush" not in str(fault.value)


def test_a_link_that_cannot_be_made_is_told_and_costs_nobody_the_alert() -> None:
    def linked(namespace: str, name: str) -> AlertProvider:
        return provider(name=name, namespace=namespace, address="http://ok", link="https://grafana/{{ cluster }}")

    (receiver,), (sentence,) = receivers_for(canary(analysis=entries("info")), Severity.INFO, linked, None)

    assert receiver.address == "http://ok"
    assert sentence.startswith(
        "The alert to info is sent without a link to AlertProvider info.shop: The link of alerts has {{ cluster }}"
    )


async def test_whoever_counts_is_told_how_alerts_ended(server: Loopback, outbound: Outbound) -> None:
    told: list[tuple[str, bool]] = []

    async def read(namespace: str, name: str) -> Mapping[str, str] | None:
        return None

    sender = AlertSender(outbound, read, on_end=lambda kind, sent: told.append((kind, sent)))
    receivers = [
        Receiver("slack", f"{server.url}/good"),
        receiver_of(provider("msteams", secretRef={"name": "missing"})),
        Receiver("slack", ""),
    ]
    for receiver in receivers:
        await sender.publish(ALERT, receiver)
    server.says(Say(status=400))
    await sender.publish(ALERT, Receiver("discord", f"{server.url}/bad"))

    assert told == [("slack", True), ("msteams", False), ("slack", False), ("discord", False)]


async def test_receivers_that_nothing_is_known_of_any_more_are_forgotten(server: Loopback, outbound: Outbound) -> None:
    """As when an AlertProvider is edited again and again."""
    office = Office(outbound)
    for number in range(100):
        await office.sender.publish(ALERT, Receiver("slack", f"{server.url}/{number}"))
        await office.sender.flush(30)
        office.clock.jump(60)
    for number in range(3):
        await office.sender.publish(ALERT, Receiver("slack", f"{server.url}/busy-{number}"))

    assert len(server.asked) == 103
    assert office.sender.receivers <= 4
