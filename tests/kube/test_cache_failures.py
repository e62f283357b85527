"""The caches when the server fails, and when a kind is missing or forbidden."""

from __future__ import annotations

import asyncio

import pytest

from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import Forbidden, ServerError
from flaggerpy.kube.reflector import Pace
from flaggerpy.kube.resources import (
    CANARIES,
    DEPLOYMENTS,
    HTTP_ROUTES,
    Ref,
)
from flaggerpy.kube.store import Absent, NotFollowed, Present
from tests.kube.caching import CANARY, KEY, TARGET, obj, ready, running
from tests.kube.clocks import SkippingClock, eventually
from tests.kube.fake_apiserver import FakeApiServer, Fault

# When the server fails


async def test_a_failing_get_is_raised_as_it_is(client: Client, server: FakeApiServer) -> None:
    async with running(client) as (caches, _):
        caches.follow(KEY, [TARGET])
        await ready(caches, server, DEPLOYMENTS)
        other = Ref(DEPLOYMENTS, "test", "other")
        caches.follow(KEY, [TARGET, other])
        server.fail(Fault("status", path="/deployments/other", status=500))
        with pytest.raises(ServerError):
            await caches.ensure([TARGET, other])
        assert caches.get(other) == NotFollowed()


@pytest.mark.parametrize("fault", ["expired", "broken", "ended"])
async def test_what_happened_while_the_watch_was_gone_is_learnt(
    client: Client, server: FakeApiServer, fault: str
) -> None:
    server.put(DEPLOYMENTS, obj())
    extra = Ref(DEPLOYMENTS, "test", "extra")
    async with running(client) as (caches, told):
        caches.follow(KEY, [TARGET, extra])
        await caches.ensure([TARGET, extra])
        await ready(caches, server, DEPLOYMENTS)
        told.clear()
        server.silence_watches()
        server.remove(TARGET)
        server.put(DEPLOYMENTS, obj(name="extra"))
        {"expired": server.expire_watches, "broken": server.break_watches, "ended": server.end_watches}[fault]()

        await eventually(lambda: set(told) == {TARGET, extra})
        assert caches.get(TARGET) == Absent()
        assert isinstance(caches.get(extra), Present)
        await eventually(lambda: server.watching(DEPLOYMENTS))


async def test_a_half_open_watch_is_noticed_and_opened_anew(client: Client, server: FakeApiServer) -> None:
    server.put(CANARIES, obj(spec={}))
    async with running(client, pace=Pace(inactivity=0.05)) as (caches, told):
        await ready(caches, server)
        told.clear()
        server.silence_watches()
        server.change(CANARY, lambda o: o["spec"].update(a=2))
        await eventually(lambda: told == [CANARY])


async def test_a_server_that_has_just_started_and_refuses_is_asked_again_soon(
    client: Client, server: FakeApiServer
) -> None:
    """Until it has read the roles it refuses everything, whatever the rights are."""
    clock = SkippingClock()
    async with running(client, clock=clock) as (caches, _):
        await ready(caches, server)
        server.fail(Fault("status", path="/deployments", status=503, reason="ServiceUnavailable", times=7))
        server.fail(Fault("status", path="/deployments", status=403, reason="Forbidden", times=2))
        clock.slept.clear()
        caches.follow(KEY, [TARGET])
        await ready(caches, server, DEPLOYMENTS)
    assert len(clock.slept) >= 9
    assert max(clock.slept[:7]) > 10
    assert clock.slept[7] <= 0.5
    assert clock.slept[8] <= 1


async def test_a_server_that_goes_away_and_comes_back_is_followed_again(client: Client, server: FakeApiServer) -> None:
    server.put(CANARIES, obj(spec={}))
    async with running(client) as (caches, told):
        await ready(caches, server)
        told.clear()
        await server.stop()
        server.change(CANARY, lambda o: o["spec"].update(a=2))
        server.compact()
        await server.start()
        await eventually(lambda: told == [CANARY])
        assert caches.synced()


async def test_a_list_that_expires_in_the_middle_is_begun_again(client: Client, server: FakeApiServer) -> None:
    for number in range(150):
        server.put(CANARIES, obj(name=f"c{number}"))
    server.fail(Fault("status", path="continue=", status=410, reason="Expired"))
    async with running(client) as (caches, _):
        await eventually(caches.synced)
        assert len(caches.all(CANARIES)) == 150


async def test_the_age_of_a_watch_is_the_time_since_the_server_said_anything(
    client: Client, server: FakeApiServer
) -> None:
    clock = SkippingClock()
    caches = Caches(client, clock=clock)
    task = asyncio.ensure_future(caches.run())
    await ready(caches, server)
    await eventually(lambda: set(caches.ages().values()) == {0.0})
    clock.jump(90)
    assert set(caches.ages().values()) == {90.0}
    server.bookmark()
    await eventually(lambda: set(caches.ages().values()) == {0.0})
    task.cancel()
    await asyncio.wait({task})


# Kinds in trouble

ROUTE = Ref(HTTP_ROUTES, "test", "podinfo")


@pytest.mark.parametrize("exists", [True, False], ids=["with objects", "without objects"])
@pytest.mark.parametrize("why", ["missing", "forbidden"])
async def test_a_kind_in_trouble_hurts_only_itself_says_why_and_heals(
    client: Client, server: FakeApiServer, why: str, exists: bool
) -> None:
    if exists:
        server.put(HTTP_ROUTES, obj())
    server.put(DEPLOYMENTS, obj())
    if why == "missing":
        server.served.remove(HTTP_ROUTES)
    else:
        server.forbidden.add(HTTP_ROUTES)
    async with running(client, pace=Pace(first_delay=0.02)) as (caches, told):
        caches.follow(KEY, [TARGET, ROUTE])
        await caches.ensure([TARGET, ROUTE])
        await ready(caches, server, DEPLOYMENTS)

        assert isinstance(caches.get(TARGET), Present)
        assert caches.get(ROUTE) == NotFollowed()
        sentence = caches.trouble(HTTP_ROUTES) or ""
        assert "httproutes.gateway.networking.k8s.io" in sentence
        assert ("may not list and watch" in sentence) == (why == "forbidden")
        assert caches.trouble(DEPLOYMENTS) is None
        await eventually(lambda: ROUTE in told)
        told.clear()

        server.served.add(HTTP_ROUTES)
        server.forbidden.clear()
        await eventually(lambda: ROUTE in told)
        assert caches.trouble(HTTP_ROUTES) is None
        assert isinstance(caches.get(ROUTE), Present if exists else Absent)


async def test_a_kind_that_is_taken_away_is_forgotten_and_its_followers_hear_of_it(
    client: Client, server: FakeApiServer
) -> None:
    server.put(HTTP_ROUTES, obj())
    async with running(client) as (caches, told):
        caches.follow(KEY, [ROUTE])
        await caches.ensure([ROUTE])
        await ready(caches, server, HTTP_ROUTES)
        told.clear()

        server.served.remove(HTTP_ROUTES)
        server.end_watches()

        await eventually(lambda: told == [ROUTE])
        assert caches.get(ROUTE) == NotFollowed()


async def test_a_forbidden_object_of_a_kind_that_is_well_is_no_trouble_of_the_kind(
    client: Client, server: FakeApiServer
) -> None:
    async with running(client) as (caches, _):
        caches.follow(KEY, [TARGET])
        await ready(caches, server, DEPLOYMENTS)
        other = Ref(DEPLOYMENTS, "test", "other")
        caches.follow(KEY, [TARGET, other])
        server.fail(Fault("status", path="/deployments/other", status=403, reason="Forbidden"))
        with pytest.raises(Forbidden):
            await caches.ensure([other])
        assert caches.trouble(DEPLOYMENTS) is None


async def test_a_kind_that_nobody_refers_to_is_never_asked_for(client: Client, server: FakeApiServer) -> None:
    async with running(client) as (caches, _):
        await ready(caches, server)
        assert {s.path.rsplit("/", 1)[-1] for s in server.requests} == {
            "canaries",
            "metrictemplates",
            "alertproviders",
        }


async def test_without_the_canaries_crd_nothing_is_ready(client: Client, server: FakeApiServer) -> None:
    server.served.remove(CANARIES)
    async with running(client) as (caches, _):
        await eventually(lambda: caches.trouble(CANARIES))
        assert not caches.synced()
        server.served.add(CANARIES)
        await eventually(caches.synced)
