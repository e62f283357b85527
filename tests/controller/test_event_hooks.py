from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from flaggerpy.api.analysis import CanaryWebhook, HookType
from flaggerpy.api.payloads import EventType, WebhookPayload, event_payload
from flaggerpy.controller.hooks import EventHooks, WebhookClient
from flaggerpy.metrics.outbound import Outbound
from tests.builders import webhook
from tests.controller.keeping import no_secrets
from tests.metrics.loopback import Asked, Loopback, Say, loopback, never

PAYLOAD = WebhookPayload(name="podinfo", namespace="prod", phase="Progressing", checksum="664667f95d")
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
async def client() -> AsyncIterator[WebhookClient]:
    async with Outbound(trust_env=False) as outbound:
        yield WebhookClient(outbound, no_secrets)


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    async with loopback() as running:
        yield running


def hook(url: str) -> CanaryWebhook:
    return webhook(HookType.EVENT, url=url)


def event(message: str) -> WebhookPayload:
    return event_payload(PAYLOAD, message, EventType.NORMAL, NOON)


def telling(message: str) -> Callable[[CanaryWebhook], WebhookPayload]:
    return lambda _: event(message)


async def test_w75_events_arrive_in_order_and_nobody_waits_for_them(server: Loopback, client: WebhookClient) -> None:
    events = EventHooks(client)
    for number in range(20):
        events.publish(("prod", "podinfo"), [hook(server.url)], telling(f"e{number}"), key=f"uid/{number}")
    assert server.asked == []

    assert await events.flush(5)
    assert [json.loads(asked.body)["metadata"]["eventMessage"] for asked in server.asked] == [
        f"e{number}" for number in range(20)
    ]
    assert json.loads(server.asked[0].body)["metadata"]["timestamp"] == "1795608000000"
    await events.aclose()


async def test_the_controllers_event_webhook_hears_of_canaries_without_their_own(
    server: Loopback, client: WebhookClient
) -> None:
    events = EventHooks(client, everywhere=f"{server.url}/all")

    events.publish(("prod", "a"), [], telling("x"), key="k")
    events.publish(("prod", "b"), [hook(f"{server.url}/own")], telling("y"), key="k")
    await events.aclose()

    assert sorted(asked.path for asked in server.asked) == ["/all", "/own"]


async def test_without_any_event_webhook_nothing_is_sent(client: WebhookClient) -> None:
    events = EventHooks(client)

    events.publish(("prod", "a"), [], telling("x"), key="k")

    assert await events.flush(0.01)


async def test_a_slow_receiver_holds_back_only_its_own_canary_and_loses_the_oldest(
    server: Loopback, client: WebhookClient
) -> None:
    release, quick = asyncio.Event(), asyncio.Event()

    async def slow(asked: Asked) -> Say:
        if asked.path == "/slow":
            await release.wait()
        else:
            quick.set()
        return Say()

    server.says(slow)
    told: list[int] = []
    events = EventHooks(client, on_drop=told.append)
    for number in range(103):
        events.publish(("prod", "slow"), [hook(f"{server.url}/slow")], telling(str(number)), key="k")
    events.publish(("prod", "quick"), [hook(f"{server.url}/quick")], telling("q"), key="k")
    async with asyncio.timeout(5):
        await quick.wait()
    release.set()
    assert await events.flush(5)

    delivered = [json.loads(a.body)["metadata"]["eventMessage"] for a in server.asked if a.path == "/slow"]
    assert delivered == [str(number) for number in range(3, 103)]
    assert events.dropped == sum(told) == 3
    await events.aclose()


async def test_a_receiver_that_hangs_for_many_canaries_holds_back_no_other_receiver(
    server: Loopback, client: WebhookClient
) -> None:
    server.says(never)
    heard = asyncio.Event()

    async def quick(_: Asked) -> Say:
        heard.set()
        return Say()

    events = EventHooks(client, everywhere=server.url)
    async with loopback() as other:
        other.says(quick)
        for number in range(50):
            events.publish(("prod", f"canary-{number}"), [], telling("x"), key="k")
        events.publish(("prod", "web"), [hook(other.url)], telling("y"), key="k")
        async with asyncio.timeout(30):
            await heard.wait()
        await events.aclose(0.05)
    assert len(server.asked) <= 5, "a receiver that hangs gets only so many connections"


async def test_closing_takes_a_limited_time(server: Loopback, client: WebhookClient) -> None:
    server.says(never)
    events = EventHooks(client)
    events.publish(("prod", "a"), [hook(server.url)], telling("x"), key="k")
    events.publish(("prod", "a"), [hook(server.url)], telling("y"), key="k")

    async with asyncio.timeout(5):
        await events.aclose(0.05)
    events.publish(("prod", "a"), [hook(server.url)], telling("z"), key="k")

    assert events.dropped >= 1


async def test_one_receiver_of_a_canary_does_not_wait_for_another(server: Loopback, client: WebhookClient) -> None:
    heard = asyncio.Event()

    async def answer(asked: Asked) -> Say:
        if asked.path == "/slow":
            await asyncio.Event().wait()
        heard.set()
        return Say()

    server.says(answer)
    events = EventHooks(client)
    hooks = [hook(f"{server.url}/slow"), hook(f"{server.url}/quick")]
    events.publish(("prod", "a"), hooks, telling("x"), key="k")
    async with asyncio.timeout(30):
        await heard.wait()
    await events.aclose(0.05)


async def test_two_receivers_of_one_name_are_told_under_two_keys(server: Loopback, client: WebhookClient) -> None:
    events = EventHooks(client)
    events.publish(("prod", "a"), [hook(server.url), hook(server.url)], telling("x"), key="k")
    await events.aclose(30)
    assert len({asked.headers["Idempotency-Key"] for asked in server.asked}) == 2
