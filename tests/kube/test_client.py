"""The client over real HTTP: verbs, errors, time-outs, the fence, and what happens to a write that is cancelled."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest

from flaggerpy import __version__
from flaggerpy.kube.client import Client, Only
from flaggerpy.kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Expired,
    Fenced,
    Forbidden,
    Invalid,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from flaggerpy.kube.fence import Fence
from flaggerpy.kube.objects import JsonObject, generation_of, labels_of, resource_version_of, uid_of
from flaggerpy.kube.resources import CANARIES, CONFIG_MAPS, DEPLOYMENTS, HTTP_ROUTES, Ref, Resource
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.kube.throttle import Throttle
from tests.kube.clocks import ManualClock, SkippingClock, eventually, settle
from tests.kube.fake_apiserver import FakeApiServer, Fault

PODINFO = Ref(DEPLOYMENTS, "test", "podinfo")
DEPLOYMENT: JsonObject = {"metadata": {"name": "podinfo", "namespace": "test"}, "spec": {"replicas": 3}}


async def test_what_was_created_can_be_read_with_its_type(client: Client) -> None:
    created = await client.create(DEPLOYMENTS, DEPLOYMENT)
    read = await client.get(PODINFO)

    assert read == created
    assert (read["apiVersion"], read["kind"]) == ("apps/v1", "Deployment")


async def test_the_server_knows_who_asks(client: Client, server: FakeApiServer) -> None:
    await client.create(DEPLOYMENTS, DEPLOYMENT)

    assert server.requests[-1].headers["User-Agent"] == f"flaggerpy/{__version__}"
    assert server.requests[-1].query["fieldManager"] == "flaggerpy"


async def test_a_list_comes_in_pages_and_its_items_know_their_type(client: Client, server: FakeApiServer) -> None:
    for number in range(7):
        server.put(DEPLOYMENTS, {"metadata": {"name": f"d{number}", "namespace": "test"}, "spec": {}})

    items, version = await client.list(DEPLOYMENTS, page=3)

    assert [o["metadata"]["name"] for o in items] == [f"d{n}" for n in range(7)]
    assert {o["kind"] for o in items} == {"Deployment"}
    assert version == str(server.version)
    assert [s.query["limit"] for s in server.requests] == ["3", "3", "3"]


@pytest.mark.parametrize(
    ("only", "names"),
    [
        (Only(labels="app=web"), ["a", "b"]),
        (Only(labels="app=web,tier in (front,back)"), ["a"]),
        (Only(fields="metadata.name=b"), ["b"]),
        (Only(labels="app=api", fields="metadata.name=b"), []),
        (Only(), ["a", "b", "c"]),
    ],
)
async def test_a_list_shows_what_was_selected_on_every_page(
    client: Client, server: FakeApiServer, only: Only, names: list[str]
) -> None:
    for name, labels in (("a", {"app": "web", "tier": "front"}), ("b", {"app": "web"}), ("c", {"app": "api"})):
        server.put(DEPLOYMENTS, {"metadata": {"name": name, "namespace": "test", "labels": labels}, "spec": {}})

    items, _ = await client.list(DEPLOYMENTS, "test", only=only, page=1)

    assert [obj["metadata"]["name"] for obj in items] == names


async def test_one_object_is_watched_and_nothing_is_heard_of_others(client: Client, server: FakeApiServer) -> None:
    made = await client.create(DEPLOYMENTS, DEPLOYMENT)
    async with aclosing(client.watch_one(PODINFO, resource_version=resource_version_of(made))) as events:
        assert (await anext(events)).type == "OPENED"
        server.put(DEPLOYMENTS, {"metadata": {"name": "other", "namespace": "test"}, "spec": {}})
        server.change(PODINFO, lambda obj: obj["spec"].update(replicas=5))
        changed = await anext(events)
        server.remove(PODINFO)
        gone = await anext(events)

    assert (changed.type, changed.object["spec"], changed.object["kind"]) == ("MODIFIED", {"replicas": 5}, "Deployment")
    assert (gone.type, gone.object["metadata"]["name"]) == ("DELETED", "podinfo")


async def test_a_list_whose_token_expires_between_pages_raises_expired(client: Client, server: FakeApiServer) -> None:
    for number in range(4):
        server.put(DEPLOYMENTS, {"metadata": {"name": f"d{number}", "namespace": "test"}, "spec": {}})
    async with aclosing(client.pages(DEPLOYMENTS, page=3)) as pages:
        await anext(pages)
        server.put(DEPLOYMENTS, {"metadata": {"name": "other", "namespace": "test"}, "spec": {}})
        server.compact()

        with pytest.raises(Expired):
            await anext(pages)


async def test_metadata_only_never_transfers_the_content(client: Client, server: FakeApiServer) -> None:
    server.put(CONFIG_MAPS, {"metadata": {"name": "c", "namespace": "test"}, "data": {"key": "private"}})

    one = await client.get(Ref(CONFIG_MAPS, "test", "c"), metadata_only=True)
    (listed,), _ = await client.list(CONFIG_MAPS, "test", metadata_only=True)

    assert one == listed
    assert one["kind"] == "ConfigMap"
    assert "private" not in json.dumps(one)


async def test_replace_with_an_old_version_is_a_conflict(client: Client, server: FakeApiServer) -> None:
    old = await client.create(DEPLOYMENTS, DEPLOYMENT)
    server.change(PODINFO, lambda o: o["spec"].update(replicas=5))

    with pytest.raises(Conflict):
        await client.replace(PODINFO, {**old, "spec": {"replicas": 1}})
    assert server.objects[PODINFO]["spec"]["replicas"] == 5


async def test_replace_status_changes_nothing_but_the_status(client: Client, server: FakeApiServer) -> None:
    ref = Ref(CANARIES, "test", "podinfo")
    made = server.put(CANARIES, {"metadata": {"name": "podinfo", "namespace": "test"}, "spec": {"a": 1}})

    written = await client.replace_status(ref, {**made, "spec": {"a": 2}, "status": {"phase": "Progressing"}})

    assert (written["spec"], written["status"]) == ({"a": 1}, {"phase": "Progressing"})


async def test_patches(client: Client, server: FakeApiServer) -> None:
    await client.create(DEPLOYMENTS, DEPLOYMENT)

    await client.merge_patch(PODINFO, {"metadata": {"labels": {"one": "1"}}})
    await client.json_patch(PODINFO, [{"op": "test", "path": "/spec/replicas", "value": 3}])
    with pytest.raises(Invalid):
        await client.json_patch(PODINFO, [{"op": "test", "path": "/spec/replicas", "value": 4}])

    assert labels_of(server.objects[PODINFO]) == {"one": "1"}


async def test_apply_creates_takes_and_gives_up_fields(client: Client, server: FakeApiServer) -> None:
    ref = Ref(HTTP_ROUTES, "test", "podinfo")
    metadata = {"name": "podinfo", "namespace": "test"}

    await client.apply(ref, {"metadata": {**metadata, "labels": {"a": "1", "b": "2"}}})
    server.change(ref, lambda o: o["metadata"]["labels"].update(theirs="3"))
    await client.apply(ref, {"metadata": {**metadata, "labels": {"a": "1"}}})

    assert labels_of(server.objects[ref]) == {"a": "1", "theirs": "3"}
    assert server.requests[-1].query == {"force": "true", "fieldManager": "flaggerpy"}


async def test_scale_moves_only_the_replicas_and_returns_the_objects_version(
    client: Client, server: FakeApiServer
) -> None:
    made = await client.create(DEPLOYMENTS, DEPLOYMENT)

    scale = await client.scale(PODINFO, 5, resource_version=resource_version_of(made))
    with pytest.raises(Conflict):
        await client.scale(PODINFO, 7, resource_version=resource_version_of(made))

    stored = server.objects[PODINFO]
    assert (stored["spec"]["replicas"], generation_of(stored)) == (5, 2)
    assert resource_version_of(scale) == resource_version_of(stored)


async def test_delete_only_the_object_that_is_meant(client: Client, server: FakeApiServer) -> None:
    made = await client.create(DEPLOYMENTS, DEPLOYMENT)

    with pytest.raises(Conflict):
        await client.delete(PODINFO, uid="somebody-else")
    await client.delete(PODINFO, uid=uid_of(made), resource_version=resource_version_of(made))

    assert PODINFO not in server.objects


async def test_a_missing_object_is_told_from_a_missing_kind(client: Client, server: FakeApiServer) -> None:
    server.served.remove(HTTP_ROUTES)

    with pytest.raises(NotFound) as missing_object:
        await client.get(PODINFO)
    with pytest.raises(NotFound) as missing_kind:
        await client.get(Ref(HTTP_ROUTES, "test", "podinfo"))

    assert not missing_object.value.kind_is_missing
    assert missing_kind.value.kind_is_missing


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        (400, "BadRequest", Invalid),
        (401, "Unauthorized", Unauthorized),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (410, "Expired", Expired),
        (410, "Gone", Expired),
        (422, "Invalid", Invalid),
        (500, "InternalError", ServerError),
        (503, "ServiceUnavailable", ServerError),
        (504, "Timeout", ServerError),
        (418, "Teapot", ApiError),
    ],
)
async def test_each_answer_has_its_error(
    client: Client, server: FakeApiServer, status: int, reason: str, error: type[ApiError]
) -> None:
    server.fail(Fault("status", status=status, reason=reason))

    with pytest.raises(error) as caught:
        await client.get(PODINFO)

    assert type(caught.value) is error
    assert (caught.value.status, caught.value.reason) == (status, reason)
    assert caught.value.body["message"] == "a fault was arranged"


async def test_a_server_that_asks_to_come_back_is_asked_again_twice_after_its_pause(
    transport: HttpTransport, server: FakeApiServer
) -> None:
    clock = SkippingClock()
    client = Client(transport, throttle=Throttle(clock))
    server.put(DEPLOYMENTS, DEPLOYMENT)
    server.fail(Fault("status", status=429, retry_after=3, times=2))

    await client.get(PODINFO)

    assert clock.slept == [3, 3]


@pytest.mark.parametrize(("retry_after", "times", "asked"), [(1, 9, 3), (3600, 1, 1)], ids=["for ever", "for an hour"])
async def test_a_server_that_keeps_asking_to_come_back_is_an_error(
    transport: HttpTransport, server: FakeApiServer, retry_after: int, times: int, asked: int
) -> None:
    client = Client(transport, throttle=Throttle(SkippingClock()))
    server.fail(Fault("status", status=429, retry_after=retry_after, times=times))

    with pytest.raises(TooManyRequests) as caught:
        await client.get(PODINFO)

    assert caught.value.retry_after == retry_after
    assert len(server.requests) == asked


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "POST"])
async def test_a_broken_connection_is_unreachable_and_nothing_is_sent_twice(
    client: Client, server: FakeApiServer, method: str
) -> None:
    made = await client.create(DEPLOYMENTS, DEPLOYMENT)  # the connection is used a second time below
    server.fail(Fault("reset", method=method, applied=method != "POST", times=9))
    sent = len(server.requests)

    with pytest.raises(Unreachable):
        await _call(client, method, made)

    assert len(server.requests) == sent + 1


async def _call(client: Client, method: str, made: JsonObject) -> None:
    match method:
        case "GET":
            await client.get(PODINFO)
        case "PUT":
            await client.replace(PODINFO, {**made, "spec": {"replicas": 9}})
        case "DELETE":
            await client.delete(PODINFO)
        case "PATCH":
            await client.merge_patch(PODINFO, {"spec": {"replicas": 9}})
        case _:
            await client.create(DEPLOYMENTS, {"metadata": {"name": "other", "namespace": "test"}})


async def test_a_hanging_server_is_unreachable_after_the_time_out(
    transport: HttpTransport, server: FakeApiServer
) -> None:
    server.fail(Fault("hang"))

    with pytest.raises(Unreachable, match="GET /apis/apps/v1/namespaces/test/deployments/podinfo"):
        await Client(transport, timeout=0.05).get(PODINFO)


async def test_nobody_listening_is_unreachable() -> None:
    async with HttpTransport(Server("http://127.0.0.1:1")) as transport:
        with pytest.raises(Unreachable):
            await Client(transport).get(PODINFO)


async def test_an_answer_that_is_no_json_is_unreachable(client: Client, server: FakeApiServer) -> None:
    server.fail(Fault("status", status=200, reason="OK"))
    assert (await client.get(PODINFO))["reason"] == "OK"  # a Status is JSON; a proxy's page is not

    async with _Proxy() as proxy, HttpTransport(Server(proxy.url)) as transport:
        with pytest.raises(Unreachable):
            await Client(transport).get(PODINFO)


class _Proxy:
    """Something between us and the API server that answers everything with a page."""

    url = ""

    async def __aenter__(self) -> _Proxy:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n<html>hi\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        self._server = await asyncio.start_server(answer, "127.0.0.1", 0)
        self.url = "http://{}:{}".format(*self._server.sockets[0].getsockname())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()


async def test_requests_above_the_limit_wait_their_turn(transport: HttpTransport, server: FakeApiServer) -> None:
    clock = SkippingClock()
    client = Client(transport, throttle=Throttle(clock, qps=4, burst=2))
    server.put(DEPLOYMENTS, DEPLOYMENT)

    for _ in range(4):
        await client.get(PODINFO)

    assert clock.slept == pytest.approx([0.25, 0.25])


# The fence


def _fenced(transport: HttpTransport) -> tuple[Client, Fence, ManualClock]:
    clock = ManualClock()
    fence = Fence(clock)
    return Client(transport, fence=fence), fence, clock


async def test_without_the_lease_everything_can_be_read_and_nothing_written(
    transport: HttpTransport, server: FakeApiServer
) -> None:
    client, fence, clock = _fenced(transport)
    server.put(DEPLOYMENTS, DEPLOYMENT)
    fence.renewed(clock.monotonic(), renew_deadline=10, duration=15)
    clock.jump(10)

    await client.get(PODINFO)
    for write in (
        client.create(DEPLOYMENTS, DEPLOYMENT),
        client.replace(PODINFO, DEPLOYMENT),
        client.replace_status(PODINFO, DEPLOYMENT),
        client.merge_patch(PODINFO, {}),
        client.json_patch(PODINFO, []),
        client.apply(PODINFO, DEPLOYMENT),
        client.scale(PODINFO, 1),
        client.delete(PODINFO),
    ):
        with pytest.raises(Fenced):
            await write

    assert [s.method for s in server.requests] == ["GET"]


async def test_a_leader_that_was_paused_while_its_write_waited_sends_nothing(
    transport: HttpTransport, server: FakeApiServer
) -> None:
    """The pause falls between the first look at the fence and the first byte."""
    clock = ManualClock()
    fence = Fence(clock)
    client = Client(transport, fence=fence, throttle=Throttle(clock, qps=1, burst=1))
    await client._throttle.admit()
    server.put(DEPLOYMENTS, DEPLOYMENT)
    fence.renewed(clock.monotonic(), renew_deadline=10, duration=15)
    writing = asyncio.ensure_future(client.scale(PODINFO, 9))
    await eventually(lambda: clock.sleepers)

    clock.jump(30)

    with pytest.raises(Fenced):
        await writing
    assert server.requests == []


async def test_the_fence_is_asked_when_the_connection_is_there(transport: HttpTransport, server: FakeApiServer) -> None:
    """The last look is after the connection was made: opening one may take longer than the lease has left."""
    client, fence, clock = _fenced(transport)
    server.put(DEPLOYMENTS, DEPLOYMENT)
    fence.renewed(clock.monotonic(), renew_deadline=10, duration=15)
    looks = 0
    check = fence.check

    def paused_after_two_looks() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            clock.jump(30)
        check()

    fence.check = paused_after_two_looks  # type: ignore[method-assign] # the pause must fall on the last look

    with pytest.raises(Fenced):
        await client.scale(PODINFO, 9)
    assert server.requests == []
    await client.get(PODINFO)  # and the connections still work


async def test_a_write_ends_before_the_lease_can_be_anothers(transport: HttpTransport, server: FakeApiServer) -> None:
    client, fence, clock = _fenced(transport)
    fence.renewed(clock.monotonic(), renew_deadline=10, duration=10.05)
    clock.jump(9.99)
    server.fail(Fault("hang"))

    async with asyncio.timeout(2):
        with pytest.raises(Unreachable):
            await client.scale(PODINFO, 9)


async def test_a_write_in_flight_is_finished_when_its_caller_is_cancelled(
    client: Client, server: FakeApiServer
) -> None:
    server.put(DEPLOYMENTS, DEPLOYMENT)
    server.fail(Fault("hold"))
    writing = asyncio.ensure_future(client.scale(PODINFO, 9))
    await eventually(lambda: server.requests)

    writing.cancel()
    await settle()
    server.let_go()
    with pytest.raises(asyncio.CancelledError):
        await writing

    assert server.objects[PODINFO]["spec"]["replicas"] == 9


# Watching


async def test_a_watch_shows_what_happened_since_and_ends_with_the_server(
    client: Client, server: FakeApiServer
) -> None:
    since = str(server.version)
    server.put(DEPLOYMENTS, DEPLOYMENT)
    server.put(CONFIG_MAPS, {"metadata": {"name": "c", "namespace": "test"}})
    got: list[tuple[str, str]] = []

    async with aclosing(client.watch(DEPLOYMENTS, resource_version=since)) as events:
        async for event in events:
            got.append((event.type, event.object.get("kind", "")))
            if event.type == "OPENED":
                server.change(PODINFO, lambda o: o["spec"].update(replicas=5))
                server.remove(PODINFO)
                server.bookmark()
                server.end_watches()

    assert got == [
        ("OPENED", ""),
        ("ADDED", "Deployment"),
        ("MODIFIED", "Deployment"),
        ("DELETED", "Deployment"),
        ("BOOKMARK", "Deployment"),
    ]
    assert server.requests[0].query["allowWatchBookmarks"] == "true"


async def _drain(client: Client, since: str, resource: Resource = DEPLOYMENTS, inactivity: float = 5) -> None:
    async with aclosing(client.watch(resource, resource_version=since, inactivity=inactivity)) as events:
        async for _ in events:
            pass


async def test_a_watch_from_too_long_ago_is_expired(client: Client, server: FakeApiServer) -> None:
    server.put(DEPLOYMENTS, DEPLOYMENT)
    server.compact()

    with pytest.raises(Expired):
        await _drain(client, "1009")


async def test_a_watch_that_expires_in_the_middle_is_expired(client: Client, server: FakeApiServer) -> None:
    watching = asyncio.ensure_future(_drain(client, str(server.version)))
    await eventually(lambda: server.watchers)

    server.expire_watches()

    with pytest.raises(Expired):
        await watching


async def test_a_watch_that_is_not_allowed_says_so(client: Client, server: FakeApiServer) -> None:
    server.forbidden.add(DEPLOYMENTS)

    with pytest.raises(Forbidden):
        await _drain(client, str(server.version))


@pytest.mark.parametrize("how", ["silent", "broken"])
async def test_a_dead_watch_is_unreachable(client: Client, server: FakeApiServer, how: str) -> None:
    watching = asyncio.ensure_future(_drain(client, str(server.version), inactivity=0.1))
    await eventually(lambda: server.watchers)

    if how == "broken":
        server.break_watches()

    with pytest.raises(Unreachable):
        await watching


async def test_lines_of_any_length_arrive_whole(client: Client, server: FakeApiServer) -> None:
    since = str(server.version)
    big = "x" * 3_000_000
    server.put(CONFIG_MAPS, {"metadata": {"name": "c", "namespace": "test"}, "data": {"k": big}})

    async with aclosing(client.watch(CONFIG_MAPS, resource_version=since)) as events:
        assert (await anext(events)).type == "OPENED"
        assert (await anext(events)).object["data"]["k"] == big


async def test_watches_never_starve_a_write(client: Client, server: FakeApiServer) -> None:
    """More watches than any pool has connections for requests; the write goes through at once."""
    server.put(DEPLOYMENTS, DEPLOYMENT)
    watches = [asyncio.ensure_future(_drain(client, str(server.version), inactivity=60)) for _ in range(110)]
    await eventually(lambda: len(server.watchers) == 110)

    async with asyncio.timeout(2):
        await client.scale(PODINFO, 4)

    for watch in watches:
        watch.cancel()
    await asyncio.wait(watches)
