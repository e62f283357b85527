"""Post-rollout hooks and events that a crash must not lose: repeated under the same name, in the order of the list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from flaggerpy.api.canary import Canary
from flaggerpy.api.status import Pending
from flaggerpy.controller.alerts import AlertSender
from flaggerpy.controller.announce import UNREAD_TRIES, Announcer, Channels
from flaggerpy.controller.credentials import ReadSecret
from flaggerpy.controller.hooks import EventHooks, WebhookClient
from flaggerpy.controller.sources import Library
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import Unreachable
from flaggerpy.kube.events import EventRecorder
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.kube.workqueue import Key
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.rollout.decision import Event, Plan
from tests.builders import canary, canary_json
from tests.controller.keeping import Keeper, no_secrets
from tests.kube.clocks import ManualClock, SkippingClock
from tests.kube.fake_apiserver import FakeApiServer
from tests.metrics.loopback import Asked, Loopback, Say, loopback

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
ENDED = Pending(id="20261125T120000.000000-Succeeded-0-post-rollout", kind="hooks", phase="Succeeded")
ANSWERED = Pending(id="20261125T120000.000000-Progressing-0-request-7", kind="event", message="abort by alice: done")


class Process:
    """A controller that says what a plan says, until it dies."""

    def __init__(self, client: Client, outbound: Outbound, secrets: ReadSecret = no_secrets) -> None:
        hooks = WebhookClient(outbound, secrets)
        self.events = EventHooks(hooks)
        library = Library(client, Caches(client, clock=ManualClock()))
        channels = Channels(EventRecorder(client), self.events, hooks, AlertSender(outbound, library.secret))
        self.over = asyncio.Event()
        self.clock = SkippingClock()
        self.announcer = Announcer(channels, library, self.clock, self._done)

    def _done(self, _: Key) -> None:
        self.over.set()

    async def says(self, made: Canary, *items: Pending) -> None:
        """Announce, and see it delivered."""
        self.announcer.plan(canary_json(), made, Plan(announcements=items))
        async with asyncio.timeout(30):
            await self.over.wait()
        assert await self.events.flush(30)


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Loopback, Client, Outbound]]:
    async with (
        FakeApiServer() as server,
        HttpTransport(Server(server.url)) as transport,
        Outbound(trust_env=False) as outbound,
        loopback() as receiver,
    ):
        yield receiver, Client(transport), outbound


def told(url: str, *kinds: str, **analysis: Any) -> Canary:
    hooks = [{"name": "same", "type": kind, "url": f"{url}/{index}"} for index, kind in enumerate(kinds)]
    return canary(analysis={"webhooks": hooks, **analysis})


@pytest.mark.parametrize(("kind", "item"), [("post-rollout", ENDED), ("event", ANSWERED)])
async def test_what_a_crash_may_have_swallowed_is_said_again_under_its_name(kind: str, item: Pending) -> None:
    async with running() as (receiver, client, outbound):
        made = told(receiver.url, kind, kind)
        await Process(client, outbound).says(made, item)
        await Process(client, outbound).says(made, item)
        calls = [(asked.path, asked.headers["Idempotency-Key"]) for asked in receiver.asked if asked.path in "/0/1"]

    assert sorted(calls[:2]) == sorted(calls[2:])
    assert len({key for _, key in calls}) == 2, "hooks of the same name are two receivers"


async def test_w74_every_post_rollout_hook_is_called_and_told_about_in_the_order_of_the_list() -> None:
    async with running() as (receiver, client, outbound):

        async def answer(asked: Asked) -> Say:
            return Say(500, b"the ticket\nwas not closed") if asked.path == "/0" else Say()

        receiver.says(answer)
        await Process(client, outbound).says(told(receiver.url, "post-rollout", "post-rollout", "event"), ENDED)
        paths = [asked.path for asked in receiver.asked]
        texts = [asked.body.decode() for asked in receiver.asked if asked.path == "/2"]

    assert sorted(paths) == ["/0", "/1", "/2", "/2"]
    assert "Post-rollout hook same failed the ticket was not closed" in texts[0]
    assert "Post-rollout check same passed" in texts[1]


async def test_post_rollout_hooks_at_the_same_time_are_told_about_in_the_order_of_the_list() -> None:
    async with running() as (receiver, client, outbound):
        second_came = asyncio.Event()

        async def answer(asked: Asked) -> Say:
            if asked.path == "/1":
                second_came.set()
                return Say()
            if asked.path == "/0":
                async with asyncio.timeout(30):
                    await second_came.wait()
                return Say(403, b"slow")
            return Say()

        receiver.says(answer)
        made = told(receiver.url, "post-rollout", "post-rollout", "event", webhooksParallel=True)
        await Process(client, outbound).says(made, ENDED)
        texts = [asked.body.decode() for asked in receiver.asked if asked.path == "/2"]

    assert "Post-rollout hook same failed slow" in texts[0]
    assert "Post-rollout check same passed" in texts[1]


async def test_w115_a_warning_is_one_in_the_log_too() -> None:
    async with running() as (_, client, outbound):
        announcer = Process(client, outbound).announcer
        with capture_logs() as logs:
            announcer.event(canary_json(), canary(), Event("Normal", "New revision detected"))
            announcer.event(canary_json(), canary(), Event("Warning", "Halt advancement"))

    assert [(log["log_level"], log["event"]) for log in logs] == [
        ("info", "New revision detected"),
        ("warning", "Halt advancement"),
    ]


class Outage(Keeper):
    """A cluster that does not give its Secrets for so many times, as if an API server was down for a while."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.secrets["shop", "tickets"] = {"token": "Bearer t0ken"}
        self._times = times

    async def __call__(self, namespace: str, name: str) -> Mapping[str, str] | None:
        self.outage = Unreachable("no answer within 10 s") if len(self.read) < self._times else None
        return await super().__call__(namespace, name)


@pytest.mark.parametrize(
    ("outage", "says", "called"),
    [
        (3, "Post-rollout check same passed", 1),
        (UNREAD_TRIES, "Post-rollout hook same failed its Secret could not be read: no answer within 10 s", 0),
    ],
)
async def test_a_post_rollout_hook_waits_for_its_secret_while_the_cluster_does_not_give_it(
    outage: int, says: str, called: int
) -> None:
    header = {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "tickets", "key": "token"}}}
    async with running() as (receiver, client, outbound):
        hooks = [
            {"name": "same", "type": "post-rollout", "url": f"{receiver.url}/0", "headers": [header]},
            {"name": "heard", "type": "event", "url": f"{receiver.url}/1"},
        ]
        made = canary(analysis={"webhooks": hooks})
        process = Process(client, outbound, Outage(outage))
        await process.says(made, ENDED)
        asked = [one.headers.get("Authorization") for one in receiver.asked if one.path == "/0"]
        texts = [one.body.decode() for one in receiver.asked if one.path == "/1"]

    assert asked == ["Bearer t0ken"] * called
    assert [says in text for text in texts] == [True]
    assert process.clock.slept[:3] == [1, 2, 4]
    assert sum(process.clock.slept) <= 660
