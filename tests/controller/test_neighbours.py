"""Targets of one namespace whose pods nobody could tell apart: who goes first, who is told, and when that ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flaggerpy.api.canary import parse_canary
from flaggerpy.controller.neighbours import Neighbours
from flaggerpy.controller.world import World
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, DAEMONSETS, DEPLOYMENTS, Ref
from flaggerpy.kube.store import Present
from flaggerpy.kube.transport import HttpTransport, Server
from flaggerpy.settings import Settings
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.registry import target_for
from tests.builders import canary_json
from tests.controller.stage import seen_of
from tests.kube.caching import running
from tests.kube.clocks import eventually
from tests.kube.fake_apiserver import FakeApiServer
from tests.targets.objects import daemon_set, deployment


def workload(name: str, app: str = "web", *, kind: str = "Deployment", **labels: str) -> JsonObject:
    made = (daemon_set if kind == "DaemonSet" else deployment)(name)
    made["spec"]["selector"] = {"matchLabels": {"app": app, **labels}}
    return made


def primary_of(name: str, app: str = "web") -> JsonObject:
    made = deployment(f"{name}-primary")
    made["metadata"]["annotations"] = {"flaggerpy.dev/canary": f"shop/{name}"}
    made["spec"]["selector"] = {"matchLabels": {"app": f"{app}-primary"}}
    return made


class Stage:
    """A namespace with canaries, and what each learns of the others."""

    def __init__(self, server: FakeApiServer, client: Client, caches: Caches, told: list[Ref]) -> None:
        self.server = server
        self.caches = caches
        self.told = told
        self.client = client
        self.neighbours = Neighbours(client, caches, Settings())
        self._objects: dict[str, JsonObject] = {}
        self._canaries: dict[str, JsonObject] = {}

    async def canary(self, name: str, *, minute: int, kind: str = "Deployment", **metadata: Any) -> None:
        """Create or replace a Canary; ``minute`` is when it was created."""
        made = canary_json(spec={"targetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name}})
        made["metadata"] |= {"name": name, "creationTimestamp": f"2026-11-27T12:{minute:02}:00Z", **metadata}
        self._canaries[name] = made
        self.server.put(CANARIES, made)
        await eventually(lambda: name in self.caches.names(CANARIES, "shop"))

    def workload(self, obj: JsonObject) -> None:
        """Create a workload."""
        self._objects[obj["metadata"]["name"]] = obj
        self.server.put(DAEMONSETS if obj["kind"] == "DaemonSet" else DEPLOYMENTS, obj)

    def gone(self, name: str) -> None:
        """Take a Deployment away."""
        del self._objects[name]
        self.server.remove(Ref(DEPLOYMENTS, "shop", name))

    async def problems(self, name: str) -> tuple[str, ...]:
        """Give a canary a tick and return what it is told; ``told`` is who has to look again after that."""
        self.told.clear()
        return (await self.neighbours.observe(self._world(name))).seen.problems

    def wakes(self) -> set[str]:
        """Return the names of the Canaries that look again."""
        return {ref.name for ref in self.told if ref.resource == CANARIES}

    def _world(self, name: str) -> World:
        canary = parse_canary(self._canaries[name])
        kind = target_for(canary)
        refs = (kind.ref(canary), kind.primary_ref(canary))
        live = {ref: self._objects[ref.name] for ref in refs if ref.name in self._objects}
        target, primary = (live.get(ref) for ref in refs)
        facts = kind.facts(canary, target, LabelRules(), primary) if target is not None else None
        return World(self._canaries[name], seen_of(canary), live, target_kind=kind, facts=facts)


@asynccontextmanager
async def namespace() -> AsyncIterator[Stage]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        client = Client(transport)
        async with running(client) as (caches, told):
            await eventually(caches.synced)
            yield Stage(server, client, caches, told)


@asynccontextmanager
async def two(*, front: int = 1, back: int = 2) -> AsyncIterator[Stage]:
    """Two canaries, front and back, whose targets select their pods by the same value."""
    async with namespace() as stage:
        for name, minute in (("front", front), ("back", back)):
            stage.workload(workload(name))
            await stage.canary(name, minute=minute)
        yield stage


@pytest.mark.parametrize("order", [("front", "back"), ("back", "front")])
async def test_w32_of_two_targets_with_one_value_the_older_canary_is_rolled_out_and_the_other_told(
    order: tuple[str, str],
) -> None:
    async with two() as stage:
        told = {name: await stage.problems(name) for name in order}
        assert told == {
            "front": (),
            "back": (
                "Deployment back selects its pods by app=web, and so does Deployment front of canary front: Services "
                "of the one would lead to pods of the other; create Deployment back again with another value there "
                "and in its pod template.",
            ),
        }
        assert [await stage.problems(name) for name in order] == [told[name] for name in order], "and it stays so"
        assert {request.method for request in stage.server.seen()} == {"GET"}


@pytest.mark.parametrize("order", [("front", "back"), ("back", "front")])
async def test_w32_one_that_has_a_primary_is_never_told_because_of_one_that_has_none(order: tuple[str, str]) -> None:
    async with two(front=9, back=2) as stage:
        stage.workload(primary_of("front"))
        told = {name: bool(await stage.problems(name)) for name in order}
        assert told == {"front": False, "back": True}


async def test_w32_of_two_that_have_primaries_the_younger_is_told_whoever_is_looked_at_first() -> None:
    async with two() as stage:
        stage.workload(primary_of("front"))
        stage.workload(primary_of("back"))
        assert await stage.problems("back") == (), "nobody has looked at the other yet"
        assert await stage.problems("front") == ()
        assert stage.wakes() == {"back"}
        assert len(await stage.problems("back")) == 1
        assert stage.wakes() == set(), "who is told so changes nothing"


async def test_w32_who_was_first_to_begin_goes_on_though_an_older_one_appears_in_the_same_second() -> None:
    async with two(front=2) as stage:
        await stage.canary("attic", minute=2)
        assert await stage.problems("back") == ()
        stage.workload(workload("attic"))
        assert len(await stage.problems("attic")) == 1
        assert await stage.problems("back") == ()


async def test_w32_a_label_in_which_they_differ_is_named() -> None:
    async with namespace() as stage:
        for minute, name in enumerate(("front", "back")):
            stage.workload(workload(name, **{"app.kubernetes.io/instance": name}))
            await stage.canary(name, minute=minute)
        [said] = await stage.problems("back")
        assert said.endswith(
            ", or start the controller with --selector-labels that begin with app.kubernetes.io/instance, by which "
            "they differ, and create both Canaries again."
        )


@pytest.mark.parametrize("ended", ["the Canary is gone", "it is released", "its target has another value"])
async def test_w32_when_the_first_gives_way_the_other_looks_again_and_is_well(ended: str) -> None:
    async with two() as stage:
        await stage.problems("front")
        assert len(await stage.problems("back")) == 1
        if ended == "the Canary is gone":
            stage.server.remove(Ref(CANARIES, "shop", "front"))
            await eventually(lambda: not isinstance(stage.caches.get(Ref(CANARIES, "shop", "front")), Present))
            stage.told.clear()
            stage.neighbours.forget(("shop", "front"))
        elif ended == "it is released":
            await stage.canary("front", minute=1, annotations={"flaggerpy.dev/release": "true"})
            await stage.problems("front")
        else:
            stage.workload(workload("front", app="shop-front"))
            await stage.problems("front")
        assert "back" in stage.wakes()
        assert await stage.problems("back") == ()


async def test_w32_a_primary_that_serves_keeps_its_value_while_its_target_is_gone() -> None:
    async with two() as stage:
        stage.workload(primary_of("front"))
        await stage.problems("front")
        stage.gone("front")
        assert await stage.problems("front") == ()
        assert len(await stage.problems("back")) == 1


async def test_w32_other_namespaces_other_values_and_services_are_nobodys_trouble() -> None:
    async with namespace() as stage:
        stage.workload(workload("front"))
        stage.workload(workload("back", app="back"))
        stage.workload(workload("agent", kind="DaemonSet", app="agent"))
        await stage.canary("front", minute=1)
        await stage.canary("back", minute=2)
        await stage.canary("agent", minute=3, kind="DaemonSet")
        elsewhere = canary_json()
        elsewhere["metadata"] |= {"name": "front", "namespace": "bar", "creationTimestamp": "2026-11-27T11:00:00Z"}
        stage.server.put(CANARIES, elsewhere)
        await eventually(lambda: bool(stage.caches.names(CANARIES, "bar")))
        assert [await stage.problems(name) for name in ("front", "back", "agent")] == [(), (), ()]


async def test_w32_a_daemon_set_and_a_deployment_may_not_share_a_value_either() -> None:
    async with namespace() as stage:
        stage.workload(workload("front"))
        stage.workload(workload("agent", kind="DaemonSet"))
        await stage.canary("front", minute=1)
        await stage.canary("agent", minute=2, kind="DaemonSet")
        [said] = await stage.problems("agent")
        assert said.startswith("DaemonSet agent selects its pods by app=web, and so does Deployment front of canary")


async def test_neighbours_are_listed_once_and_only_before_a_canary_begins() -> None:
    async with two() as stage:
        before = len(stage.server.seen("GET", "deployments"))
        for _ in range(2):
            await stage.problems("front")
        assert len(stage.server.seen("GET", "deployments")) == before + 1
        await stage.problems("back")
        assert len(stage.server.seen("GET", "deployments")) == before + 1, "both are known by now"
        stage.neighbours.leadership_began()
        stage.workload(primary_of("front"))
        await stage.problems("front")
        assert len(stage.server.seen("GET", "deployments")) == before + 1, "one that has a primary asks for nothing"


async def test_a_neighbour_that_cannot_be_read_is_in_nobodys_way() -> None:
    async with two() as stage:
        broken = canary_json()
        broken["metadata"] |= {"name": "broken"}
        del broken["spec"]["targetRef"]
        stage.server.put(CANARIES, broken)
        await stage.canary("lost", minute=1)
        await eventually(lambda: "broken" in stage.caches.names(CANARIES, "shop"))
        assert await stage.problems("front") == ()
