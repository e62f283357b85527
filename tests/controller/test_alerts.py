from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from flaggerpy.api.analysis import Severity
from flaggerpy.api.templates import AlertProvider, parse_alert_provider
from flaggerpy.controller.alerts import AlertSender, Receiver, receiver_of, receivers_for
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.notifiers.base import Alert, Sender
from tests.builders import canary
from tests.metrics.loopback import Asked, Loopback, Say, closed_port, loopback, never

ALERT = Alert("web", "shop", Severity.WARN, "Canary is waiting for approval.")
TOKEN = "xoxb-2009"


class Office:
    """An alert sender with Secrets that can change and waits that pass at once."""

    def __init__(self, outbound: Outbound, timeout: float = 5.0) -> None:
        self.secrets: dict[tuple[str, str], Mapping[str, str]] = {}
        self.waits: list[float] = []
        self.sender = AlertSender(outbound, self._read, sleep=self._wait, timeout=timeout)

    async def send(self, receiver: Receiver, alert: Alert = ALERT) -> list[Any]:
        """Send one alert and give what was logged."""
        with capture_logs() as logs:
            self.sender.publish(alert, receiver)
            assert await self.sender.flush(5)
        return list(logs)

    async def _read(self, namespace: str, name: str) -> Mapping[str, str] | None:
        return self.secrets.get((namespace, name))

    async def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)


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


@pytest.mark.parametrize("kind", ["msteams", "discord", "rocket", "gchat"])
async def test_only_slack_is_shown_a_token(server: Loopback, office: Office, kind: str) -> None:
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
    ],
)
async def test_a_secret_that_does_not_help_is_reported_and_nothing_is_sent(
    office: Office, secrets: dict[tuple[str, str], dict[str, str]], says: str
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
        ([Say(429), Say(503), Say(200)], 3, None),
        ([Say(500)], 3, "it answered 500"),
        ([Say(403)], 1, "it answered 403"),
        ([Say(200, b'{"ok":false,"error":"invalid_auth"}')], 1, "Slack refused the message: invalid_auth"),
        ([Say(200, b"ok")], 1, None),
    ],
)
async def test_a_message_is_tried_three_times_when_that_can_help(
    server: Loopback, office: Office, answers: list[Say], calls: int, reason: str | None
) -> None:
    server.says(*answers)

    logs = await office.send(Receiver("slack", server.url))

    assert len(server.asked) == calls
    assert [log["reason"] for log in logs] == ([] if reason is None else [reason])
    assert office.waits == [1.0, 2.0][: calls - 1]


async def test_addresses_and_tokens_are_never_logged(
    outbound: Outbound, office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    address = closed_port()
    receiver = Receiver("slack", f"{address}/services/T0/hush", token=TOKEN)

    logs = await office.send(receiver)

    assert logs[0]["where"] == address.removeprefix("http://")
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
    ],
    ids=["two lines", "not ASCII", "proxy", "address"],
)
async def test_what_cannot_be_sent_is_reported_without_quoting_it(office: Office, receiver: Receiver) -> None:
    (log,) = await office.send(receiver)

    assert "hush" not in str(log)
    assert "hüsh" not in str(log)
    assert office.waits == []


async def test_a_receiver_that_hangs_gives_up_after_the_time_limit(server: Loopback, outbound: Outbound) -> None:
    server.says(never)
    office = Office(outbound, timeout=0.5)

    (log,) = await office.send(Receiver("msteams", server.url))

    assert "no answer within 0.5 s" in log["reason"]
    assert len(server.asked) == 3


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


async def test_without_an_address_nothing_is_sent(office: Office) -> None:
    assert await office.send(Receiver("slack")) == []


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
    assert receivers_for(canary(), ALERT, find, EVERYONE) == ((EVERYONE,), ())
    assert receivers_for(canary(), ALERT, find, None) == ((), ())


def test_entries_replace_the_controllers_receiver_and_choose_by_severity() -> None:
    of = canary(analysis=entries("", "info", "warn"))
    info = Alert("web", "shop", Severity.INFO, "hello")

    warned, _ = receivers_for(of, ALERT, find, EVERYONE)
    informed, _ = receivers_for(of, info, find, EVERYONE)

    assert [receiver.address for receiver in warned] == ["http://any.shop", "http://info.shop", "http://warn.shop"]
    assert [receiver.address for receiver in informed] == ["http://any.shop", "http://info.shop"]


def test_a_provider_that_does_not_exist_is_named_and_the_others_still_hear() -> None:
    of = canary(analysis=entries("error", "info"))
    error = Alert("web", "shop", Severity.ERROR, "bad")

    found, missing = receivers_for(of, error, find, EVERYONE)

    assert [receiver.address for receiver in found] == ["http://info.shop"]
    assert missing == ("The alert to error cannot be sent: there is no AlertProvider error.shop.",)


def test_a_provider_of_another_namespace_reads_its_secret_there() -> None:
    reference = {"name": "a", "providerRef": {"name": "chat", "namespace": "ops"}}
    of = canary(analysis={"alerts": [reference]})

    (receiver,), _ = receivers_for(
        of, ALERT, lambda namespace, name: provider(name=name, namespace=namespace, secretRef={"name": "s"}), None
    )

    assert receiver == Receiver("slack", sender=Sender("general", "flagger"), secret=("ops", "s"))


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

    assert told == [("slack", True), ("msteams", False), ("discord", False)], "nobody was to be told the third"
