"""Events as a user sees them with kubectl, and what happens when there are too many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from flaggerpy.kube.client import Client
from flaggerpy.kube.events import EventRecorder
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import EVENTS, Ref
from tests.kube.clocks import SkippingClock, eventually
from tests.kube.fake_apiserver import FakeApiServer, Fault

CANARY: JsonObject = {
    "apiVersion": "flagger.app/v1beta1",
    "kind": "Canary",
    "metadata": {"name": "podinfo", "namespace": "test", "uid": "uid-2009", "resourceVersion": "77"},
}


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock()


@pytest.fixture
async def recorder(client: Client, clock: SkippingClock) -> AsyncIterator[EventRecorder]:
    recorder = EventRecorder(client, clock=clock)
    task = asyncio.ensure_future(recorder.run())
    yield recorder
    task.cancel()
    await asyncio.wait({task})


def events(server: FakeApiServer) -> list[JsonObject]:
    return [obj for ref, obj in server.objects.items() if ref.resource == EVENTS]


async def test_an_event_says_what_happened_to_whom(server: FakeApiServer, recorder: EventRecorder) -> None:
    recorder.event(CANARY, "Normal", "New revision detected! Scaling up podinfo.test")
    await eventually(lambda: events(server))

    (event,) = events(server)
    assert event["metadata"]["name"].startswith("podinfo.")
    assert event["metadata"]["namespace"] == "test"
    assert event["involvedObject"] == {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "namespace": "test",
        "name": "podinfo",
        "uid": "uid-2009",
        "resourceVersion": "77",
    }
    assert (event["type"], event["reason"]) == ("Normal", "Synced")
    assert event["message"] == "New revision detected! Scaling up podinfo.test"
    assert event["source"] == {"component": "flagger"}
    assert event["reportingComponent"] == "flagger"
    assert (event["count"], event["firstTimestamp"]) == (1, "2031-05-17T08:30:15Z")


async def test_the_same_event_within_ten_minutes_is_counted(
    server: FakeApiServer, recorder: EventRecorder, clock: SkippingClock
) -> None:
    for _ in range(3):
        recorder.event(CANARY, "Warning", "Halt advancement")
        await eventually(lambda: not recorder._pending)
        await recorder.flush()
        clock.jump(300)
    await eventually(lambda: events(server)[0]["count"] == 3)
    (event,) = events(server)
    assert event["firstTimestamp"] == "2031-05-17T08:30:15Z"
    assert event["lastTimestamp"] == "2031-05-17T08:40:15Z"

    clock.jump(400)
    recorder.event(CANARY, "Warning", "Halt advancement")
    await eventually(lambda: len(events(server)) == 2)


async def test_different_types_messages_and_objects_are_different_events(
    server: FakeApiServer, recorder: EventRecorder
) -> None:
    other = {**CANARY, "metadata": {**CANARY["metadata"], "uid": "uid-2"}}
    recorder.event(CANARY, "Normal", "a")
    recorder.event(CANARY, "Warning", "a")
    recorder.event(CANARY, "Normal", "b")
    recorder.event(other, "Normal", "a")
    await eventually(lambda: len(events(server)) == 4)


async def test_an_event_that_is_gone_begins_anew(server: FakeApiServer, recorder: EventRecorder) -> None:
    recorder.event(CANARY, "Normal", "a")
    await eventually(lambda: events(server))
    server.remove(next(ref for ref in server.objects if ref.resource == EVENTS))
    recorder.event(CANARY, "Normal", "a")
    await eventually(lambda: events(server))
    assert events(server)[0]["count"] == 1


async def test_a_chattering_object_is_cut_off_but_what_is_important_is_not(
    server: FakeApiServer, recorder: EventRecorder, clock: SkippingClock
) -> None:
    for number in range(40):
        recorder.event(CANARY, "Normal", f"chatter {number}")
    recorder.event(CANARY, "Warning", "Canary failed! Scaling down podinfo.test", important=True)
    recorder.event({**CANARY, "metadata": {**CANARY["metadata"], "uid": "other"}}, "Normal", "quiet one")
    await eventually(lambda: len(events(server)) == 27)
    assert recorder.dropped == 15

    clock.jump(10)
    recorder.event(CANARY, "Normal", "again")
    recorder.event(CANARY, "Normal", "and again")
    await eventually(lambda: len(events(server)) == 28)
    assert recorder.dropped == 16


async def test_what_is_told_again_and_again_leaves_room_for_news(
    server: FakeApiServer, recorder: EventRecorder, clock: SkippingClock
) -> None:
    for _ in range(60):
        recorder.event(CANARY, "Warning", "The metric errors could not be measured")
        await eventually(lambda: not recorder._pending)
        clock.jump(2)
    for number in range(10):
        recorder.event(CANARY, "Normal", f"news {number}")
    await eventually(lambda: len(events(server)) == 11)

    again, *_ = events(server)
    assert again["count"] + recorder.dropped == 60
    assert recorder.dropped > 20


async def test_a_full_queue_drops_the_plain_and_never_blocks(client: Client) -> None:
    recorder = EventRecorder(client)
    for number in range(1500):
        recorder.event({"metadata": {"uid": str(number), "name": "x", "namespace": "test"}}, "Normal", "a")
    assert recorder.dropped == 500
    recorder.event(CANARY, "Normal", "promoted", important=True)
    assert recorder.dropped == 500


async def test_a_plain_event_that_fails_is_lost_and_an_important_one_is_tried_again(
    server: FakeApiServer, recorder: EventRecorder
) -> None:
    server.fail(Fault("status", status=503, times=3))
    recorder.event(CANARY, "Normal", "plain")
    recorder.event(CANARY, "Normal", "important", important=True)
    await eventually(lambda: events(server))
    assert [event["message"] for event in events(server)] == ["important"]


async def test_what_waits_at_the_end_is_still_sent(server: FakeApiServer, client: Client) -> None:
    recorder = EventRecorder(client)
    task = asyncio.ensure_future(recorder.run())
    await asyncio.sleep(0)
    recorder.event(CANARY, "Normal", "last words")
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert [event["message"] for event in events(server)] == ["last words"]


async def test_a_long_message_is_shortened_to_what_the_api_takes(
    server: FakeApiServer, recorder: EventRecorder
) -> None:
    recorder.event(CANARY, "Normal", "ä" * 2000)
    await eventually(lambda: events(server))
    message = events(server)[0]["message"]
    assert len(message.encode()) <= 1024
    assert message.endswith("…")


async def test_events_about_objects_of_the_cluster_lie_in_the_default_namespace(
    server: FakeApiServer, recorder: EventRecorder
) -> None:
    recorder.event({"kind": "Namespace", "metadata": {"name": "test", "uid": "u"}}, "Normal", "a")
    await eventually(lambda: events(server))
    assert [ref.namespace for ref in server.objects] == ["default"]
    assert Ref(EVENTS, "default", events(server)[0]["metadata"]["name"]) in server.objects
