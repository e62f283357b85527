"""Alerts from a plan to their receivers: who is told what, how often, and what a death of the controller changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from flaggerpy.api.canary import Canary
from flaggerpy.api.status import Change, CheckResult, Pending, Phase
from flaggerpy.api.templates import AlertProvider, parse_alert_provider
from flaggerpy.controller.alerts import AlertSender, Receiver
from flaggerpy.controller.announce import SAME_WITHIN, Announcer, Channels
from flaggerpy.controller.delivery import ATTEMPTS
from flaggerpy.controller.hooks import EventHooks, WebhookClient
from flaggerpy.controller.sources import Library
from flaggerpy.kube.events import EventRecorder, EventType
from flaggerpy.kube.objects import JsonObject
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.rollout.decision import Plan
from tests.builders import canary
from tests.controller.keeping import no_secrets
from tests.kube.clocks import ManualClock, SkippingClock, eventually, settle
from tests.metrics.loopback import Asked, Loopback, Say, loopback
from tools.ci.phases import ROOT

GUIDE = ROOT / "docs" / "guides" / "alerts.md"
FAILED = Pending(id="a1", kind="alert", severity="error", message="Failed checks threshold reached 5")
DONE = Pending(id="a2", kind="alert", message="Canary analysis completed successfully, promotion finished.")


class Shelf(Library):
    """AlertProviders and Secrets without a cluster."""

    def __init__(self) -> None:
        self.providers: dict[tuple[str, str], AlertProvider] = {}
        self.secrets: dict[tuple[str, str], Mapping[str, str]] = {}

    def put(self, name: str, namespace: str = "shop", **spec: Any) -> None:
        metadata = {"name": name, "namespace": namespace}
        self.providers[namespace, name] = parse_alert_provider({"metadata": metadata, "spec": spec})

    def alert_provider(self, namespace: str, name: str) -> AlertProvider | None:
        return self.providers.get((namespace, name))

    async def secret(self, namespace: str, name: str) -> Mapping[str, str] | None:
        return self.secrets.get((namespace, name))


class Events(EventRecorder):
    """Remembers events instead of sending them."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def event(
        self, involved: JsonObject, type_: EventType, message: str, reason: str = "Synced", *, important: bool = False
    ) -> None:
        self.said.append(message)


@dataclass
class Process:
    """One life of the controller, as far as it announces."""

    shelf: Shelf
    events: Events
    sender: AlertSender
    announcer: Announcer
    clock: ManualClock

    def announce(self, of: Canary, *items: Pending) -> None:
        self.announcer.plan({}, of, Plan(announcements=items))

    async def die(self) -> None:
        """Lose all that it knew, as a process that is killed does."""
        await self.announcer.aclose(0)
        await self.sender.aclose(0)


def process(outbound: Outbound, shelf: Shelf, clock: ManualClock | None = None, **channels: Any) -> Process:
    clock, events, hooks = clock or SkippingClock(), Events(), WebhookClient(outbound, no_secrets)
    sender = AlertSender(outbound, shelf.secret, clock=clock)
    ways = Channels(events, EventHooks(hooks), hooks, sender, **channels)
    return Process(shelf, events, sender, Announcer(ways, shelf, clock, lambda _: None), clock)


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    async with Outbound(trust_env=False) as made:
        yield made


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    async with loopback() as running:
        yield running


@pytest.fixture
def shelf(server: Loopback) -> Shelf:
    made = Shelf()
    made.put("pager", type="webhook", address=f"{server.url}/pager")
    made.put("chat", type="slack", address=f"{server.url}/chat")
    return made


@pytest.fixture
async def living(outbound: Outbound, shelf: Shelf) -> AsyncIterator[Process]:
    made = process(outbound, shelf, cluster="prod-1", link="https://grafana/{{ namespace }}/{{ name }}")
    yield made
    await made.die()


def told_by(*entries: tuple[str, str], name: str = "web", hooks: Any = (), **changes: Any) -> Canary:
    """A canary with (AlertProvider, severity) as its alerts."""
    alerts = [
        {"name": f"{provider}-{severity}", "severity": severity, "providerRef": {"name": provider}}
        for provider, severity in entries
    ]
    bare = canary(name, analysis={"alerts": alerts, "webhooks": list(hooks)})
    rollout = bare.status.rollout.model_copy(update=changes)
    status = bare.status.model_copy(update={"phase": Phase.PROGRESSING, "rollout": rollout})
    return bare.model_copy(update={"status": status})


def bodies(server: Loopback, path: str = "/pager") -> list[Any]:
    return [json.loads(asked.body) for asked in server.asked if asked.path == path]


async def made(of: Process, canary_: Canary, *items: Pending) -> None:
    await eventually(lambda: {item.id for item in items} <= of.announcer.made(canary_.key))


async def test_an_alert_says_what_changed_why_and_where_to_look(server: Loopback, living: Process) -> None:
    of = told_by(
        ("pager", "error"),
        ("chat", "error"),
        failing="failed checks threshold reached 5: success rate 92.10% < 99%",
        checks=[CheckResult(name="request-success-rate", verdict="Failed", value="92.10%", bound=">= 99%")],
        change=Change(before=["app=web:1"], after=["app=web:2"]),
    )

    living.announce(of, FAILED)
    await made(living, of, FAILED)

    (body,) = bodies(server)
    assert body["id"] == "uid-of-web/a1"
    assert (body["cluster"], body["namespace"], body["name"]) == ("prod-1", "shop", "web")
    assert body["reason"] == "failed checks threshold reached 5: success rate 92.10% < 99%"
    assert body["revision"]["before"] == ["app=web:1"]
    assert body["metrics"][0]["value"] == "92.10%"
    assert body["link"] == "https://grafana/shop/web"
    (chat,) = bodies(server, "/chat")
    assert [field["title"] for field in chat["attachments"][0]["fields"]] == [
        "Cluster",
        "Revision",
        "Reason",
        "Metric request-success-rate",
    ]


async def test_each_severity_goes_to_those_who_want_it_and_links_are_the_providers_own(
    server: Loopback, living: Process
) -> None:
    living.shelf.put("pager", type="webhook", address=f"{server.url}/pager", link="https://runbook/{{ target }}")
    of = told_by(("pager", "error"), ("chat", "info"))

    living.announce(of, DONE, FAILED)
    await made(living, of, DONE, FAILED)

    assert [body["link"] for body in bodies(server)] == ["https://runbook/web"]
    assert len(bodies(server, "/chat")) == 2


async def test_alerts_of_one_canary_arrive_in_the_order_in_which_they_were_decided(
    server: Loopback, living: Process
) -> None:
    of = told_by(("pager", "info"))
    items = [Pending(id=f"a{number}", kind="alert", message=str(number)) for number in range(5)]

    living.announce(of, *items[:2])
    living.announce(of, *items)
    await made(living, of, *items)

    assert [body["message"] for body in bodies(server)] == ["0", "1", "2", "3", "4"]


async def test_w75_a_receiver_that_hangs_delays_no_hook_no_other_receiver_and_no_other_canary(
    server: Loopback, living: Process
) -> None:
    stuck = asyncio.Event()

    async def answer(asked: Asked) -> Say:
        if asked.path == "/pager":
            await stuck.wait()
        return Say()

    server.says(answer)
    hook = {"name": "after", "type": "post-rollout", "url": f"{server.url}/hook"}
    one, other = told_by(("pager", "info"), ("chat", "info"), hooks=[hook]), told_by(("chat", "info"), name="cart")
    after = Pending(id="h1", kind="hooks", phase="Failed")

    living.announce(one, FAILED, after)
    living.announce(other, DONE)
    await made(living, one, after)
    await made(living, other, DONE)
    await eventually(lambda: len(bodies(server, "/chat")) == 2)

    assert "a1" not in living.announcer.made(one.key), "which is still under way"
    stuck.set()
    await made(living, one, FAILED)


async def test_an_alert_that_says_the_same_again_is_sent_once_within_a_while(server: Loopback, living: Process) -> None:
    of = told_by(("pager", "info"), reason="spec.targetRef is wrong")
    halted = [Pending(id=f"a{number}", kind="alert", severity="error", message="halted") for number in range(3)]

    living.announce(of, halted[0])
    await made(living, of, halted[0])
    living.announce(of, halted[1])
    await made(living, of, halted[1])
    living.clock.jump(SAME_WITHIN)
    living.announce(of, halted[2])
    await made(living, of, halted[2])

    assert [body["id"] for body in bodies(server)] == ["uid-of-web/a0", "uid-of-web/a2"]


async def test_what_came_in_between_or_was_not_delivered_is_no_repetition(server: Loopback, living: Process) -> None:
    of = told_by(("pager", "info"))
    again = [FAILED.model_copy(update={"id": f"b{number}"}) for number in range(2)]
    server.says(Say(400), Say(200))

    for item in (FAILED, again[0], DONE, again[1]):
        living.announce(of, item)
        await made(living, of, item)

    assert len(bodies(server)) == 4


async def test_what_could_not_be_delivered_is_known_until_it_can(server: Loopback, living: Process) -> None:
    of = told_by(("pager", "info"))
    assert living.announcer.alerts_seen(of).failure is None, "nobody has tried yet"

    server.says(Say(403), Say(200))
    living.announce(of, FAILED)
    await made(living, of, FAILED)
    assert living.announcer.alerts_seen(of).failure == (
        "The last alert of web.shop did not reach AlertProvider pager.shop: it answered 403: check the token and the "
        "address"
    )

    living.announce(of, DONE)
    await made(living, of, DONE)
    assert living.announcer.alerts_seen(of).failure == ""


async def test_a_canary_that_is_gone_is_not_remembered_when_its_alert_ends(server: Loopback, living: Process) -> None:
    """Nor do its troubles come upon another one of its name."""
    asked, go = asyncio.Event(), asyncio.Event()

    async def refuse(_: Asked) -> Say:
        asked.set()
        await go.wait()
        return Say(400)

    server.says(refuse)
    web = told_by(("pager", "info"))
    living.announce(web, FAILED)
    await asked.wait()
    living.announcer.forget(web.key)
    go.set()
    assert await living.sender.flush(30)
    await settle()

    assert living.announcer.made(web.key) == frozenset()
    assert living.announcer.alerts_seen(web).failure is None


async def test_a_receiver_that_is_named_no_more_fails_no_more(server: Loopback, living: Process) -> None:
    server.says(Say(403))
    of = told_by(("pager", "info"))
    living.announce(of, FAILED)
    await made(living, of, FAILED)

    assert living.announcer.alerts_seen(told_by(("chat", "info"))).failure == ""
    living.announcer.forget(of.key)
    assert living.announcer.alerts_seen(of).failure is None


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (None, "The alert nobody-info cannot be sent: there is no AlertProvider nobody.shop."),
        ({"type": "slack"}, "AlertProvider nobody.shop has neither address nor secretRef"),
        ({"type": "slack", "address": "hooks/hush"}, "spec.address of AlertProvider nobody.shop is no address"),
    ],
)
async def test_a_mistake_is_known_before_there_is_anything_to_send(
    living: Process, spec: dict[str, str] | None, says: str
) -> None:
    if spec is not None:
        living.shelf.put("nobody", **spec)

    mistake = living.announcer.alerts_seen(told_by(("nobody", "info"), ("pager", "info"))).mistake

    assert says in mistake
    assert "hush" not in mistake


async def test_the_controllers_own_receiver_hears_of_canaries_that_name_nobody(
    server: Loopback, outbound: Outbound, shelf: Shelf
) -> None:
    one = process(outbound, shelf, receiver=Receiver("webhook", f"{server.url}/pager"))
    of = told_by()

    one.announce(of, FAILED)
    await made(one, of, FAILED)

    assert [body["name"] for body in bodies(server)] == ["web"]


@pytest.mark.parametrize("kind", ["discord", "gchat", "msteams", "rocket", "slack", "webhook"])
@pytest.mark.parametrize(
    "secret",
    [
        {"address": "{server}/hush", "token": "hush", "signingKey": "hush"},
        {"address": "http://hush:hush@127.0.0.1:1/hush?hush"},
        {"address": "http://[hush"},
        {"address": "hush"},
        {"address": "{server}/hush", "token": "hush\nhush"},
        {"hush": "hush"},
    ],
    ids=["refused", "nobody there", "no address", "no scheme", "two lines", "no key"],
)
async def test_no_secret_value_is_in_any_output_whatever_goes_wrong(
    server: Loopback, outbound: Outbound, shelf: Shelf, kind: str, secret: dict[str, str]
) -> None:
    server.says(Say(401, b"hush is no token"), Say(200, b'{"ok": false, "error": "bad token hush"}'), Say(503, b"hush"))
    shelf.put("secret", type=kind, secretRef={"name": "s"})
    shelf.secrets["shop", "s"] = {key: value.format(server=server.url) for key, value in secret.items()}
    one, of = process(outbound, shelf), told_by(("secret", "info"))

    with capture_logs() as logs:
        for number in range(3):
            item = FAILED.model_copy(update={"id": f"c{number}", "message": str(number)})
            one.announce(of, item)
            await made(one, of, item)

    seen = one.announcer.alerts_seen(of)
    told = f"{logs}{one.events.said}{seen}{one.announcer.made(of.key)}{vars(one.sender)}"
    assert seen.failure
    assert logs
    assert "hush" not in told


DEATHS = {
    "before the status is written": "once",
    "after the status is written, before it is sent": "once",
    "while the receiver reads it": "twice, with the same id",
    "while it waits for its next try": "once",
    "after the receiver took it, before the status forgets it": "twice, with the same id",
    "after the status forgot it": "once",
    "after it was given up": "never; the condition says so",
}
"""When the controller is killed → how often the receiver takes the alert."""


async def left_behind(when: str, first: Process, of: Canary, server: Loopback) -> tuple[Pending, ...]:
    """Live until then, die, and return what the status says that is still to be made."""
    if when == "before the status is written":
        return (FAILED.model_copy(update={"id": "decided-again"}),)
    if when == "after the status is written, before it is sent":
        return (FAILED,)
    first.announce(of, FAILED)
    if when in {"while the receiver reads it", "while it waits for its next try"}:
        await eventually(lambda: server.asked)
        return (FAILED,)
    await made(first, of, FAILED)
    return (FAILED,) if when.startswith("after the receiver") else ()


@pytest.mark.parametrize("when", DEATHS)
async def test_a_death_repeats_an_alert_or_loses_it_as_the_guide_says(
    server: Loopback, outbound: Outbound, shelf: Shelf, when: str
) -> None:
    taken: list[str] = []

    async def answer(asked: Asked) -> Say:
        first_life = len(server.asked) == 1
        if when == "while it waits for its next try" and first_life:
            return Say(503, headers={"Retry-After": "300"})
        if when == "after it was given up":
            return Say(400)
        taken.append(json.loads(asked.body)["id"])
        if when == "while the receiver reads it" and first_life:
            await asyncio.Event().wait()
        return Say()

    server.says(answer)
    of = told_by(("pager", "info"))
    first, second = process(outbound, shelf, ManualClock()), process(outbound, shelf)

    left = await left_behind(when, first, of, server)
    await first.die()
    second.announce(of, *left)
    await made(second, of, *left)
    await second.die()

    outcomes = {(1, 1): "once", (2, 1): "twice, with the same id", (0, 0): "never; the condition says so"}
    assert outcomes[len(taken), len(set(taken))] == DEATHS[when]


def test_the_guide_has_the_table_of_deaths() -> None:
    page = GUIDE.read_text(encoding="utf-8")

    for when, told in DEATHS.items():
        assert f"| {when} | {told} |" in page


def test_the_guide_says_how_often_and_how_fast_alerts_are_sent() -> None:
    page = GUIDE.read_text(encoding="utf-8")

    assert f"{ATTEMPTS} times" in page
    assert f"{SAME_WITHIN / 60:g} minutes" in page
