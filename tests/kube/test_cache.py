"""The caches against a fake API server: who is told what, and how many requests that takes."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest

from flaggerpy.kube.cache import Caches, Scope
from flaggerpy.kube.client import Client
from flaggerpy.kube.objects import LAST_APPLIED, annotations_of, generation_of
from flaggerpy.kube.resources import (
    CANARIES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    HPAS,
    METRIC_TEMPLATES,
    SECRETS,
    SERVICES,
    Ref,
)
from flaggerpy.kube.sessions import HttpTransport
from flaggerpy.kube.store import Absent, NotFollowed, Present
from tests.kube.caching import CANARY, KEY, OTHER_KEY, TARGET, obj, ready, running
from tests.kube.clocks import ManualClock, SkippingClock, eventually, settle
from tests.kube.fake_apiserver import FakeApiServer, Fault


async def test_own_kinds_are_kept_whole_and_every_change_is_told(client: Client, server: FakeApiServer) -> None:
    server.put(CANARIES, obj(spec={"a": 1}))
    async with running(client) as (caches, told):
        assert not caches.synced()
        assert caches.get(CANARY) == NotFollowed()
        await ready(caches, server)
        assert [o["spec"] for o in caches.all(CANARIES)] == [{"a": 1}]

        server.change(CANARY, lambda o: o["spec"].update(a=2))
        await eventually(lambda: len(told) == 2)
        found = caches.get(CANARY)
        assert isinstance(found, Present)
        assert found.obj["spec"] == {"a": 2}

        server.remove(CANARY)
        await eventually(lambda: len(told) == 3)
        assert told == [CANARY] * 3
        assert caches.get(CANARY) == Absent()
        assert caches.all(CANARIES) == []


async def test_an_own_object_that_was_never_there_is_absent_once_the_kind_was_listed(
    client: Client, server: FakeApiServer
) -> None:
    async with running(client) as (caches, _):
        await ready(caches, server)
        assert caches.get(CANARY) == Absent()


async def test_the_first_reference_costs_one_get_and_the_watch_keeps_it_current(
    client: Client, server: FakeApiServer
) -> None:
    server.put(DEPLOYMENTS, obj(spec={"replicas": 1}))
    async with running(client) as (caches, told):
        caches.follow(OTHER_KEY, [Ref(DEPLOYMENTS, "test", "unrelated")])
        await ready(caches, server, DEPLOYMENTS)
        server.requests.clear()

        caches.follow(KEY, [TARGET])
        assert caches.get(TARGET) == NotFollowed()
        await caches.ensure([TARGET])
        await caches.ensure([TARGET])

        assert isinstance(caches.get(TARGET), Present)
        assert [(s.method, s.path) for s in server.requests] == [("GET", TARGET.path())]
        server.change(TARGET, lambda o: o["spec"].update(replicas=2))
        await eventually(lambda: told == [TARGET])
        assert caches.owners(TARGET) == {KEY}


async def test_a_missing_object_is_absent_until_it_appears(client: Client, server: FakeApiServer) -> None:
    async with running(client) as (caches, told):
        caches.follow(KEY, [TARGET])
        await caches.ensure([TARGET])
        assert caches.get(TARGET) == Absent()
        await ready(caches, server, DEPLOYMENTS)

        server.put(DEPLOYMENTS, obj())
        await eventually(lambda: told == [TARGET])
        assert isinstance(caches.get(TARGET), Present)


async def test_what_nobody_follows_is_dropped_and_wakes_nobody(client: Client, server: FakeApiServer) -> None:
    for number in range(250):
        server.put(DEPLOYMENTS, obj(name=f"d{number}"))
    async with running(client) as (caches, told):
        caches.follow(KEY, [TARGET])
        await ready(caches, server, DEPLOYMENTS)
        server.put(DEPLOYMENTS, obj(name="another"))
        server.put(DEPLOYMENTS, obj())
        await eventually(lambda: told == [TARGET])

        pages = [s for s in server.seen("GET", "/deployments") if "limit" in s.query]
        assert [s.query["limit"] for s in pages] == ["100"] * 3
        with pytest.raises(ValueError, match="must be followed"):
            await caches.ensure([Ref(DEPLOYMENTS, "test", "another")])


async def test_what_is_no_longer_followed_is_dropped(client: Client, server: FakeApiServer) -> None:
    server.put(DEPLOYMENTS, obj())
    async with running(client) as (caches, told):
        caches.follow(KEY, [TARGET])
        caches.follow(OTHER_KEY, [TARGET])
        await caches.ensure([TARGET])
        await ready(caches, server, DEPLOYMENTS)
        caches.forget(KEY)
        assert isinstance(caches.get(TARGET), Present)
        caches.follow(OTHER_KEY, [])
        assert caches.get(TARGET) == NotFollowed()
        assert caches.owners(TARGET) == frozenset()
        told.clear()

        server.change(TARGET, lambda o: o["metadata"].update(labels={"a": "1"}))
        caches.follow(KEY, [TARGET])
        await caches.ensure([TARGET])
        found = caches.get(TARGET)
        assert isinstance(found, Present)
        assert found.obj["metadata"]["labels"] == {"a": "1"}


def _watches_opened(server: FakeApiServer, number: int) -> bool:
    return len(server.requests) == number and len(server.watchers) == 4


async def test_a_watch_that_nobody_needs_has_no_age_and_grows_none(client: Client, server: FakeApiServer) -> None:
    def subjects(caches: Caches) -> set[str]:
        return {str(subject) for subject in caches.ages()}

    server.put(DEPLOYMENTS, obj())
    clock = SkippingClock()
    async with running(client, clock=clock) as (caches, _):
        await ready(caches, server)
        caches.follow(KEY, [TARGET])
        await ready(caches, server, DEPLOYMENTS)
        assert "deployments.apps" in subjects(caches)

        caches.forget(KEY)
        server.expire_watches()
        await eventually(lambda: "deployments.apps" not in subjects(caches), what="rest")
        clock.jump(3600)
        caches.follow(KEY, [TARGET])
        await eventually(lambda: "deployments.apps" in subjects(caches), what="work")
        ages = {str(subject): age for subject, age in caches.ages().items()}
        assert ages["deployments.apps"] < 3600


async def test_an_idle_cluster_costs_no_request_but_watches(client: Client, server: FakeApiServer) -> None:
    server.put(CANARIES, obj())
    server.put(DEPLOYMENTS, obj())
    async with running(client) as (caches, _):
        caches.follow(KEY, [TARGET])
        await caches.ensure([TARGET])
        await ready(caches, server, DEPLOYMENTS)
        server.requests.clear()

        for _ in range(3):
            server.bookmark()
            await settle()
            opened = len(server.requests)
            server.end_watches()
            await eventually(partial(_watches_opened, server, opened + 4))

        assert server.requests
        assert all(s.is_watch for s in server.requests)


# Our own writes


async def test_our_write_is_seen_at_once_and_its_echo_wakes_nobody(client: Client, server: FakeApiServer) -> None:
    server.put(DEPLOYMENTS, obj(spec={"replicas": 1}))
    async with running(client) as (caches, told):
        caches.follow(KEY, [TARGET])
        await caches.ensure([TARGET])
        await ready(caches, server, DEPLOYMENTS)
        told.clear()

        with caches.writing(TARGET):
            caches.record(TARGET, await client.merge_patch(TARGET, {"spec": {"paused": True}}))
        found = caches.get(TARGET)
        assert isinstance(found, Present)
        assert found.obj["spec"]["paused"]
        server.change(TARGET, lambda o: o.update(status={"readyReplicas": 1}))
        await eventually(lambda: told)
        await settle()
        assert told == [TARGET]


async def test_what_an_autoscaler_measures_is_not_kept_and_wakes_nobody(client: Client, server: FakeApiServer) -> None:
    scaler = Ref(HPAS, "test", "podinfo")
    server.put(HPAS, obj(spec={"maxReplicas": 3}, status={"currentReplicas": 1}))
    async with running(client) as (caches, told):
        caches.follow(KEY, [scaler])
        await caches.ensure([scaler])
        await ready(caches, server, HPAS)
        told.clear()

        server.change(scaler, lambda o: o.update(status={"currentReplicas": 2}))
        server.change(scaler, lambda o: o["spec"].update(maxReplicas=4))
        await eventually(lambda: told)
        await settle()
        assert told == [scaler]
        found = caches.get(scaler)
        assert isinstance(found, Present)
        assert (found.obj["spec"], "status" in found.obj) == ({"maxReplicas": 4}, False)
        assert int(found.obj["metadata"]["resourceVersion"]) == server.version


async def test_an_echo_that_overtakes_the_answer_wakes_nobody_but_a_strangers_write_does(
    client: Client, server: FakeApiServer
) -> None:
    server.put(DEPLOYMENTS, obj(spec={"replicas": 1}))
    async with running(client) as (caches, told):
        caches.follow(KEY, [TARGET])
        await caches.ensure([TARGET])
        await ready(caches, server, DEPLOYMENTS)
        told.clear()

        for stranger in (False, True):
            with caches.writing(TARGET):
                answer = await client.merge_patch(TARGET, {"spec": {"replicas": 8 + stranger}})
                if stranger:
                    server.change(TARGET, lambda o: o.update(status={"readyReplicas": 1}))
                await eventually(lambda: _version(caches) == server.version)
                caches.record(TARGET, answer)
            assert told == ([TARGET] if stranger else [])


def _version(caches: Caches) -> int:
    found = caches.get(TARGET)
    return int(found.obj["metadata"]["resourceVersion"]) if isinstance(found, Present) else 0


async def test_a_deletion_whose_echo_overtakes_the_answer_wakes_nobody(client: Client, server: FakeApiServer) -> None:
    server.put(DEPLOYMENTS, obj())
    async with running(client) as (caches, told):
        caches.follow(KEY, [TARGET])
        await caches.ensure([TARGET])
        await ready(caches, server, DEPLOYMENTS)
        told.clear()
        with caches.writing(TARGET):
            await client.delete(TARGET)
            await eventually(lambda: caches.get(TARGET) == Absent())
            caches.record(TARGET, None)
        assert told == []


@pytest.mark.parametrize("first", ["the answer", "the echo"])
async def test_our_write_wakes_the_others_who_share_the_object(
    client: Client, server: FakeApiServer, first: str
) -> None:
    server.put(DEPLOYMENTS, obj(spec={"replicas": 1}))
    async with running(client) as (caches, told):
        caches.follow(KEY, [TARGET])
        caches.follow(OTHER_KEY, [TARGET])
        await caches.ensure([TARGET])
        await ready(caches, server, DEPLOYMENTS)
        told.clear()
        if first == "the answer":
            server.silence_watches()

        with caches.writing(TARGET):
            answer = await client.merge_patch(TARGET, {"spec": {"paused": True}})
            if first == "the echo":
                await eventually(lambda: _version(caches) == server.version)
            caches.record(TARGET, answer)
        assert told == [TARGET]


async def test_a_new_watch_goes_on_where_the_last_one_stopped(client: Client, server: FakeApiServer) -> None:
    server.put(CANARIES, obj(spec={}))
    async with running(client) as (caches, told):
        await ready(caches, server)
        server.change(CANARY, lambda o: o["spec"].update(a=2))
        await eventually(lambda: len(told) == 2)
        server.end_watches()
        await eventually(lambda: len([s for s in server.seen("GET", "/canaries") if s.is_watch]) == 2)
        assert server.seen("GET", "/canaries")[-1].query["resourceVersion"] == str(server.version)


async def test_after_a_scale_the_generation_is_the_servers_before_the_watch_says_so(
    client: Client, server: FakeApiServer
) -> None:
    server.put(DEPLOYMENTS, obj(spec={"replicas": 1}))
    async with running(client) as (caches, _):
        caches.follow(KEY, [TARGET])
        await caches.ensure([TARGET])
        await ready(caches, server, DEPLOYMENTS)
        server.silence_watches()
        for replicas in (5, 5, 0):
            caches.record_scale(TARGET, await client.scale(TARGET, replicas))
            found = caches.get(TARGET)
            assert isinstance(found, Present)
            assert found.obj == server.objects[TARGET]


async def test_a_scale_is_seen_at_once_with_the_generation_that_the_server_gave(
    client: Client, server: FakeApiServer
) -> None:
    server.put(DEPLOYMENTS, obj(spec={"replicas": 1}, status={"observedGeneration": 1}))
    async with running(client) as (caches, told):
        caches.follow(KEY, [TARGET])
        await caches.ensure([TARGET])
        await ready(caches, server, DEPLOYMENTS)
        told.clear()

        for replicas in (5, 5, 0):
            with caches.writing(TARGET):
                caches.record_scale(TARGET, await client.scale(TARGET, replicas))
            found = caches.get(TARGET)
            assert isinstance(found, Present)
            assert found.obj == server.objects[TARGET] | {"status": {"observedGeneration": 1}}
        assert generation_of(server.objects[TARGET]) == 3
        await settle()
        assert told == []


async def test_our_deletion_is_seen_at_once(client: Client, server: FakeApiServer) -> None:
    server.put(DEPLOYMENTS, obj())
    async with running(client) as (caches, _):
        caches.follow(KEY, [TARGET])
        await caches.ensure([TARGET])
        await client.delete(TARGET)
        caches.record(TARGET, None)
        assert caches.get(TARGET) == Absent()


async def test_refresh_asks_although_everything_is_known(client: Client, server: FakeApiServer) -> None:
    server.put(DEPLOYMENTS, obj(spec={"replicas": 1}))
    server.put(CANARIES, obj())
    async with running(client) as (caches, _):
        caches.follow(KEY, [TARGET])
        await caches.ensure([TARGET])
        await ready(caches, server, DEPLOYMENTS)
        server.silence_watches()
        server.change(TARGET, lambda o: o["spec"].update(replicas=7))
        server.remove(CANARY)

        await caches.refresh([TARGET, CANARY])

        found = caches.get(TARGET)
        assert isinstance(found, Present)
        assert found.obj["spec"]["replicas"] == 7
        assert caches.get(CANARY) == Absent()


async def test_what_was_listed_since_is_not_asked_for_again(client: Client, server: FakeApiServer) -> None:
    clock = ManualClock()
    server.put(DEPLOYMENTS, obj())
    server.put(CANARIES, obj())
    async with running(client, clock=clock) as (caches, _):
        await ready(caches, server)
        clock.jump(1)
        leads_since = clock.monotonic()
        clock.jump(1)
        caches.follow(KEY, [TARGET])
        await ready(caches, server, DEPLOYMENTS)
        server.requests.clear()

        await caches.refresh([CANARY, TARGET], since=leads_since)
        assert [seen.path for seen in server.requests] == [CANARY.path()]

        clock.jump(1)
        await caches.refresh([TARGET], since=clock.monotonic())
        assert [seen.path for seen in server.requests] == [CANARY.path(), TARGET.path()]


async def test_a_list_that_was_begun_before_does_not_count_when_it_ends(client: Client, server: FakeApiServer) -> None:
    clock = ManualClock()
    server.put(DEPLOYMENTS, obj())
    async with running(client, clock=clock) as (caches, _):
        server.fail(Fault("hold", "GET", DEPLOYMENTS.path()))
        caches.follow(KEY, [TARGET])
        await eventually(lambda: server.seen("GET", DEPLOYMENTS.path()))
        clock.jump(1)
        leads_since = clock.monotonic()
        server.let_go()
        await ready(caches, server, DEPLOYMENTS)

        await caches.refresh([TARGET], since=leads_since)
        assert server.seen("GET", TARGET.path())


# Listed namespaces


async def test_in_listed_namespaces_nothing_else_is_asked_for(client: Client, server: FakeApiServer) -> None:
    for namespace in ("one", "two", "three"):
        server.put(CANARIES, obj(namespace=namespace))
        server.put(DEPLOYMENTS, obj(namespace=namespace))
    async with running(client, scope=Scope(("one", "two"))) as (caches, _):
        target = Ref(DEPLOYMENTS, "one", "podinfo")
        caches.follow(("one", "podinfo"), [target])
        await caches.ensure([target])
        await ready(caches, server, DEPLOYMENTS)

        assert {o["metadata"]["namespace"] for o in caches.all(CANARIES)} == {"one", "two"}
        assert caches.get(Ref(CANARIES, "one", "nobody")) == Absent()
        assert caches.get(Ref(CANARIES, "three", "podinfo")) == NotFollowed()
        assert isinstance(caches.get(target), Present)
        assert not [s for s in server.requests if "/namespaces/" not in s.path or "three" in s.path]


async def test_a_reference_out_of_the_listed_namespaces_is_followed_there(
    client: Client, server: FakeApiServer
) -> None:
    template = Ref(METRIC_TEMPLATES, "shared", "latency")
    server.put(METRIC_TEMPLATES, obj("latency", "shared", spec={"query": "a"}))
    async with running(client, scope=Scope(("one",))) as (caches, told):
        caches.follow(("one", "podinfo"), [template])
        await caches.ensure([template])
        assert isinstance(caches.get(template), Present)
        await eventually(lambda: len(server.watching(METRIC_TEMPLATES)) == 2)
        told.clear()
        server.change(template, lambda o: o["spec"].update(query="b"))
        await eventually(lambda: told == [template])


# What is kept


async def test_of_configs_only_metadata_and_our_annotations_are_kept(client: Client, server: FakeApiServer) -> None:
    annotations = {LAST_APPLIED: '{"data":"private"}', "flagger.app/config-tracking": "disabled"}
    for resource in (CONFIG_MAPS, SECRETS):
        made = obj(data={"key": "private"})
        made["metadata"]["annotations"] = annotations
        server.put(resource, made)
    refs = [Ref(CONFIG_MAPS, "test", "podinfo"), Ref(SECRETS, "test", "podinfo")]
    async with running(client) as (caches, _):
        caches.follow(KEY, refs)
        await caches.ensure(refs)
        await ready(caches, server, CONFIG_MAPS, SECRETS)
        for ref in refs:
            found = caches.get(ref)
            assert isinstance(found, Present)
            assert annotations_of(found.obj) == {"flagger.app/config-tracking": "disabled"}
            assert "private" not in json.dumps(found.obj)
        assert all("PartialObjectMetadata" in s.headers["Accept"] for s in server.seen("GET", "/secrets"))


async def test_services_keep_what_restores_them_and_deployments_do_not(client: Client, server: FakeApiServer) -> None:
    for resource in (SERVICES, DEPLOYMENTS):
        made = obj()
        made["metadata"] |= {"annotations": {LAST_APPLIED: "{}"}, "managedFields": [{"manager": "kubectl"}]}
        server.put(resource, made)
    service = Ref(SERVICES, "test", "podinfo")
    async with running(client) as (caches, _):
        caches.follow(KEY, [TARGET, service])
        await caches.ensure([TARGET, service])
        kept = {ref: caches.get(ref) for ref in (TARGET, service)}
        for ref, found in kept.items():
            assert isinstance(found, Present)
            assert "managedFields" not in found.obj["metadata"]
            assert (LAST_APPLIED in annotations_of(found.obj)) == (ref == service)


async def test_gets_of_a_big_tick_are_bounded(transport: HttpTransport, server: FakeApiServer) -> None:
    client = Client(transport)
    refs = [Ref(DEPLOYMENTS, "test", f"d{n}") for n in range(40)]
    for _ in range(20):
        server.fail(Fault("hold", path="/deployments/d"))
    async with running(client) as (caches, _):
        caches.follow(KEY, refs)
        await ready(caches, server, DEPLOYMENTS)
        caches.follow(KEY, [*refs, *(Ref(DEPLOYMENTS, "test", f"dd{n}") for n in range(40))])
        asking = asyncio.ensure_future(caches.ensure([Ref(DEPLOYMENTS, "test", f"dd{n}") for n in range(40)]))
        await eventually(lambda: len(server.seen("GET", "/deployments/dd")) == 16)
        await settle()
        assert len(server.seen("GET", "/deployments/dd")) == 16
        server.let_go()
        await asking
        assert len(server.seen("GET", "/deployments/dd")) == 40
