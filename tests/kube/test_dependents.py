"""Dependents against a fake API server: followed while they are wanted, told only what is news, quiet otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from flaggerpy.kube.client import Client
from flaggerpy.kube.dependents import PATIENCE, Dependents, Digest
from flaggerpy.kube.objects import JsonObject, labels_of
from flaggerpy.kube.reflector import Pace
from flaggerpy.kube.resources import DEPLOYMENTS, PODS, Ref
from tests.kube.caching import KEY, OTHER_KEY
from tests.kube.clocks import ManualClock, SkippingClock, eventually, settle
from tests.kube.fake_apiserver import FakeApiServer

WEB, API = Ref(DEPLOYMENTS, "test", "web"), Ref(DEPLOYMENTS, "test", "api")
ELSEWHERE = Ref(DEPLOYMENTS, "other", "web")


def state_of(pod: JsonObject) -> tuple[Ref, str] | None:
    """Keep the label ``state`` for the Deployment of the label ``app``; what is gone by this label is gone."""
    labels = labels_of(pod)
    if labels["state"] == "gone":
        return None
    return Ref(DEPLOYMENTS, pod["metadata"]["namespace"], labels["app"]), labels["state"]


def is_news(before: str | None, after: str | None) -> bool:
    return before != after and "bad" in {before, after}


STATES = Digest(of=state_of, is_news=is_news)


def pod(name: str, state: str = "good", *, app: str = "web", namespace: str = "test") -> JsonObject:
    return {"metadata": {"name": name, "namespace": namespace, "labels": {"app": app, "state": state}}}


@asynccontextmanager
async def running(client: Client, **options: object) -> AsyncIterator[tuple[Dependents[str], list[Ref]]]:
    """Follow pods and collect whose owners are told."""
    wanted = {"clock": SkippingClock(), **options}
    pods = Dependents(client, PODS, STATES, **wanted)  # type: ignore[arg-type] # its options
    told: list[Ref] = []
    pods.on_change(told.append)
    task = asyncio.ensure_future(pods.run())
    try:
        yield pods, told
    finally:
        task.cancel()
        await asyncio.wait({task})


async def followed(pods: Dependents[str], server: FakeApiServer, told: list[Ref], *owners: Ref) -> None:
    """Follow owners of one namespace and wait for the first list and the watch after it."""
    pods.follow(KEY, owners)
    await eventually(lambda: set(told) == set(owners), what="the first list is told")
    await eventually(lambda: server.watching(PODS), what="a watch")
    told.clear()


async def test_nothing_is_asked_until_somebody_wants_to_know(client: Client, server: FakeApiServer) -> None:
    server.put(PODS, pod("a"))
    async with running(client) as (pods, told):
        await settle()
        assert (server.requests, pods.look(WEB), told) == ([], None, [])


async def test_what_is_not_urgent_is_asked_for_a_moment_later(client: Client, server: FakeApiServer) -> None:
    clock = ManualClock()
    async with running(client, clock=clock) as (pods, _):
        pods.follow(KEY, [WEB])
        await clock.advance(PATIENCE / 2)
        assert server.requests == []
        await clock.advance(PATIENCE / 2)
        await eventually(lambda: pods.look(WEB) == ())


async def test_one_list_and_one_watch_of_the_namespace_serve_all_its_owners(
    client: Client, server: FakeApiServer
) -> None:
    for one in (pod("b", "bad"), pod("a"), pod("c", app="api"), pod("d", namespace="other"), pod("e", "gone")):
        server.put(PODS, one)
    async with running(client) as (pods, told):
        await followed(pods, server, told, WEB)
        assert pods.look(WEB) == ("good", "bad"), "in the order of their names"

        pods.follow(OTHER_KEY, [API])
        assert pods.look(API) == ("good",), "known at once"
        assert pods.look(ELSEWHERE) is None
        assert [(seen.path, seen.is_watch) for seen in server.requests] == [
            ("/api/v1/namespaces/test/pods", False),
            ("/api/v1/namespaces/test/pods", True),
        ]


async def test_who_is_followed_before_the_start_is_followed_from_the_start(
    client: Client, server: FakeApiServer
) -> None:
    server.put(PODS, pod("a"))
    pods = Dependents(client, PODS, STATES, clock=SkippingClock())
    pods.follow(KEY, [WEB])
    task = asyncio.ensure_future(pods.run())
    await eventually(lambda: pods.look(WEB) == ("good",))
    task.cancel()
    await asyncio.wait({task})


async def test_the_watch_ends_with_the_last_who_wants_it(client: Client, server: FakeApiServer) -> None:
    server.put(PODS, pod("a", "bad"))
    async with running(client) as (pods, told):
        await followed(pods, server, told, WEB)
        pods.follow(OTHER_KEY, [API])
        pods.follow(KEY, [])
        assert pods.look(API) == ()
        assert len(pods.ages()) == 1

        pods.follow(OTHER_KEY, [])
        await eventually(lambda: not server.watching(PODS), what="end of the watch")
        assert (pods.look(WEB), pods.ages()) == (None, {})
        server.requests.clear()
        server.put(PODS, pod("a"))
        await settle()
        assert (server.requests, told) == ([], [])

        await followed(pods, server, told, WEB)
        assert pods.look(WEB) == ("good",)


async def test_going_from_one_owner_to_another_keeps_the_watch(client: Client, server: FakeApiServer) -> None:
    server.put(PODS, pod("a", app="api"))
    async with running(client) as (pods, told):
        await followed(pods, server, told, WEB)
        server.requests.clear()
        pods.follow(KEY, [API])
        assert pods.look(API) == ("good",)
        await settle()
        assert server.requests == []


async def test_who_stops_leading_follows_nothing(client: Client, server: FakeApiServer) -> None:
    async with running(client) as (pods, told):
        await followed(pods, server, told, WEB)
        pods.clear()
        await eventually(lambda: not server.watching(PODS), what="end of the watch")
        pods.follow(KEY, [WEB])
        await eventually(lambda: server.watching(PODS), what="a watch again")


async def test_only_news_wake_and_only_those_whose_they_are(client: Client, server: FakeApiServer) -> None:
    async with running(client) as (pods, told):
        await followed(pods, server, told, WEB)
        for one in (pod("a"), pod("b", "bad", app="api"), pod("b", app="api")):
            server.put(PODS, one)
        server.put(PODS, pod("c", "bad"))
        await eventually(lambda: told == [WEB])
        assert pods.look(WEB) == ("good", "bad")

        server.put(PODS, pod("c", "bad"))
        server.change(Ref(PODS, "test", "c"), lambda obj: obj["metadata"]["labels"].update(state="gone"))
        await eventually(lambda: told == [WEB, WEB], what="a pod that counts as gone")
        assert pods.look(WEB) == ("good",)

        server.put(PODS, pod("d", "bad"))
        server.remove(Ref(PODS, "test", "d"))
        await eventually(lambda: told == [WEB] * 4, what="a pod that is gone")


@pytest.mark.parametrize("fault", ["expired", "broken"])
async def test_what_happened_while_the_watch_was_gone_is_learnt(
    client: Client, server: FakeApiServer, fault: str
) -> None:
    for one in (pod("a", "bad"), pod("b")):
        server.put(PODS, one)
    async with running(client) as (pods, told):
        await followed(pods, server, told, WEB)
        server.silence_watches()
        server.remove(Ref(PODS, "test", "a"))
        server.put(PODS, pod("b", "bad"))
        {"expired": server.expire_watches, "broken": server.break_watches}[fault]()
        await eventually(lambda: pods.look(WEB) == ("bad",))
        assert told == [WEB, WEB]


async def test_a_kind_that_may_not_be_read_says_so_once_and_heals(client: Client, server: FakeApiServer) -> None:
    server.put(PODS, pod("a"))
    server.forbidden.add(PODS)
    async with running(client, pace=Pace(first_delay=0.02)) as (pods, told):
        pods.follow(KEY, [WEB])
        await eventually(lambda: len(server.requests) > 2, what="asked again")
        assert told == [WEB], "once, however often it is asked again"
        assert pods.look(WEB) is None
        assert pods.trouble("test").startswith("flaggerpy may not list and watch pods in namespace test: ")
        assert pods.trouble("other") == ""

        server.forbidden.remove(PODS)
        await eventually(lambda: told == [WEB, WEB])
        assert (pods.look(WEB), pods.trouble("test")) == (("good",), "")


async def test_a_right_that_is_taken_away_leaves_no_stale_pods(client: Client, server: FakeApiServer) -> None:
    server.put(PODS, pod("a", "bad"))
    async with running(client, pace=Pace(first_delay=0.02)) as (pods, told):
        await followed(pods, server, told, WEB)
        server.forbidden.add(PODS)
        server.end_watches()
        await eventually(lambda: told == [WEB])
        assert pods.look(WEB) is None
