"""Promoted revisions on their way to the API server, and a lost primary on its way back from there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from flaggerpy.controller.errors import Outdated
from flaggerpy.controller.world import World
from flaggerpy.kube.client import Client
from flaggerpy.kube.resources import (
    CANARIES,
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    DEPLOYMENTS,
    Ref,
    Resource,
)
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.rollout.decision import (
    CopyConfigs,
    CreatePrimary,
    DeleteChildren,
    DropCopies,
    KeepRevision,
    Plan,
    RestorePrimary,
)
from tests.builders import canary_json
from tests.controller.stage import CANARY, KEY, Stage
from tests.kube.fake_apiserver import FakeApiServer
from tests.targets.objects import JsonObject, config_map, deployment

TARGET, PRIMARY = Ref(DEPLOYMENTS, *KEY), Ref(DEPLOYMENTS, "shop", "web-primary")
FIRST, SECOND = (Ref(CONTROLLER_REVISIONS, "shop", f"web-promoted-{number}") for number in (2, 1))
COPY = Ref(CONFIG_MAPS, "shop", "settings-primary")


class Shop(Stage):
    """What is kept, and who takes it away."""

    async def promote(self) -> World:
        """Make the primary and keep what it was made from, as a bootstrap and a promotion do."""
        configs = dict((await self.look()).seen.configs.ours)
        primary = () if PRIMARY in self.server.objects else (CreatePrimary(),)
        return await self.do(CopyConfigs(configs), *primary, KeepRevision(configs))

    async def put(self, resource: Resource, obj: JsonObject) -> None:
        """Somebody writes an object, and the watch has told of it."""
        self.server.put(resource, obj)
        ref = Ref(resource, obj["metadata"]["namespace"], obj["metadata"]["name"])
        if self.caches.keeps(ref):
            await self.caches.refresh([ref])

    async def push(self, image: str) -> None:
        await self.put(DEPLOYMENTS, deployment(pod=pod(image)))

    async def lose(self, *refs: Ref) -> None:
        """Somebody deletes objects, and the watch has told of it."""
        for ref in refs:
            self.server.delete(ref, {})
        await self.caches.refresh([ref for ref in refs if self.caches.keeps(ref)])

    def image(self) -> str:
        template = self.server.objects[PRIMARY]["spec"]["template"]
        return str(template["spec"]["containers"][0]["image"])


def pod(image: str, *configs: str) -> JsonObject:
    reads = [{"configMapRef": {"name": name}} for name in configs or ("settings",)]
    container = {"name": "web", "image": image, "envFrom": reads}
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}


@pytest.fixture
async def stage() -> AsyncIterator[Shop]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        server.put(CANARIES, canary_json() | {"status": {"phase": "Succeeded"}})
        server.put(CONFIG_MAPS, config_map())
        server.put(DEPLOYMENTS, deployment(pod=pod("web:1"), replicas=3))
        yield Shop(server, Client(transport))


async def test_two_objects_take_turns_and_the_newest_is_what_was_promoted(stage: Shop) -> None:
    assert (await stage.look()).seen.kept.revision is None
    names = []
    for image in ("web:1", "web:2", "web:3"):
        await stage.push(image)
        world = await stage.promote()
        assert world.seen.target is not None
        assert world.seen.kept.revision is not None
        assert world.seen.kept.revision.template == world.seen.target.template
        assert dict(world.seen.kept.revision.configs) == dict(world.seen.configs.ours)
        names.append(world.seen.kept.name)
    assert names == [FIRST.name, SECOND.name, FIRST.name]
    kept = {ref: stage.server.objects[ref]["data"]["spec"]["template"] for ref in (FIRST, SECOND)}
    assert [kept[ref]["spec"]["containers"][0]["image"] for ref in (FIRST, SECOND)] == ["web:3", "web:2"]
    methods = {one.method for one in stage.server.seen(path="/controllerrevisions")}
    assert methods == {"GET", "POST", "DELETE"}, "what it holds can never be changed"


async def test_a_lost_primary_comes_back_as_promoted_whatever_the_target_asks_for(stage: Shop) -> None:
    await stage.promote()
    before = stage.server.objects[PRIMARY]
    await stage.push("web:2")
    await stage.lose(PRIMARY)
    world = await stage.do(RestorePrimary())
    after = stage.server.objects[PRIMARY]
    assert stage.image() == "web:1"
    assert after["spec"]["replicas"] == 3
    assert after["spec"]["template"]["spec"] == before["spec"]["template"]["spec"]
    assert after["spec"]["selector"] == before["spec"]["selector"]
    assert world.seen.primary is not None
    assert world.seen.kept.revision is not None
    assert world.seen.primary.template == world.seen.kept.revision.template


async def test_its_copies_stay_as_promoted_while_the_originals_change(stage: Shop) -> None:
    await stage.promote()
    await stage.put(CONFIG_MAPS, config_map(data={"color": "blue"}))
    await stage.lose(PRIMARY)
    assert (await stage.look()).seen.kept.lacking == ()
    await stage.do(RestorePrimary())
    assert stage.server.objects[COPY]["data"] == {"color": "red"}


async def test_a_lost_copy_is_made_again_while_the_original_is_as_promoted(stage: Shop) -> None:
    await stage.promote()
    await stage.lose(PRIMARY, COPY)
    assert (await stage.look()).seen.kept.lacking == ()
    await stage.do(RestorePrimary())
    assert stage.server.objects[COPY]["data"] == {"color": "red"}


async def test_a_config_that_is_nowhere_as_promoted_is_named_and_nothing_is_made(stage: Shop) -> None:
    await stage.promote()
    await stage.put(CONFIG_MAPS, config_map(data={"color": "blue"}))
    await stage.lose(PRIMARY, COPY)
    world = await stage.look()
    assert world.seen.kept.lacking == ("ConfigMap settings",)
    with pytest.raises(Outdated):
        await stage.executor.run(Plan(actions=(RestorePrimary(),)), world)
    assert PRIMARY not in stage.server.objects
    await stage.put(CONFIG_MAPS, config_map())
    assert (await stage.look()).seen.kept.lacking == ()


async def test_what_a_primary_runs_is_kept_as_the_targets_template_with_what_its_copies_hold(stage: Shop) -> None:
    first = await stage.promote()
    assert first.seen.target is not None
    await stage.lose(FIRST)
    await stage.push("web:2")
    await stage.put(CONFIG_MAPS, config_map(data={"color": "blue"}))
    kept = (await stage.do(KeepRevision({}, of_primary=True))).seen.kept.revision
    assert kept is not None
    assert (kept.template, kept.configs) == (first.seen.target.template, dict(first.seen.configs.ours))


async def test_without_the_right_nothing_is_kept_and_nothing_else_stops(stage: Shop) -> None:
    stage.server.forbidden.add(CONTROLLER_REVISIONS)
    seen = (await stage.look()).seen
    assert (seen.kept.usable, seen.problems) == (False, ())
    assert any("controllerrevisions.apps" in note for note in seen.notes)


async def test_an_object_of_somebody_else_is_left_alone_and_named(stage: Shop) -> None:
    theirs = {"metadata": {"name": FIRST.name, "namespace": "shop"}, "data": {"spec": {}}, "revision": 1}
    await stage.put(CONTROLLER_REVISIONS, theirs)
    seen = (await stage.look()).seen
    assert (seen.kept.usable, seen.problems) == (False, ())
    assert any(f"ControllerRevision {FIRST.name} was not made for this canary" in note for note in seen.notes)
    await stage.do(DeleteChildren(serving=True))
    assert FIRST in stage.server.objects


@pytest.mark.parametrize("mark", ["", "{", "[]", '{"number": 1}'])
async def test_a_mark_that_says_nothing_is_no_revision(stage: Shop, mark: str) -> None:
    await stage.promote()
    stage.server.change(FIRST, lambda obj: obj["metadata"]["annotations"].update({"flaggerpy.dev/kept": mark}))
    await stage.caches.refresh([FIRST])
    assert (await stage.look()).seen.kept.revision is None
    assert (await stage.promote()).seen.kept.name == FIRST.name


async def test_copies_that_are_read_no_more_go_and_shared_ones_stay(stage: Shop) -> None:
    for name in ("mine", "shared"):
        await stage.put(CONFIG_MAPS, config_map(name))
    await stage.put(DEPLOYMENTS, deployment(pod=pod("web:1", "mine", "shared")))
    await stage.promote()
    mine, shared = (Ref(CONFIG_MAPS, "shop", f"{name}-primary") for name in ("mine", "shared"))
    owners = {"flaggerpy.dev/canary": "shop/other,shop/web"}
    stage.server.change(shared, lambda obj: obj["metadata"]["annotations"].update(owners))
    await stage.push("web:2")
    world = await stage.promote()
    assert world.seen.kept.before is not None
    assert world.seen.kept.before.configs.keys() == {"configmap/mine", "configmap/shared"}
    await stage.do(DropCopies(("configmap/mine", "configmap/shared")))
    assert mine not in stage.server.objects
    assert stage.server.objects[shared]["metadata"]["annotations"]["flaggerpy.dev/canary"] == "shop/other"


async def test_what_is_kept_goes_with_the_children(stage: Shop) -> None:
    await stage.promote()
    await stage.push("web:2")
    await stage.promote()
    await stage.do(DeleteChildren(serving=True))
    left = {ref for ref in stage.server.objects if ref.resource in {CONTROLLER_REVISIONS, DEPLOYMENTS, CONFIG_MAPS}}
    assert left == {TARGET, Ref(CONFIG_MAPS, "shop", "settings")}


async def test_many_configs_are_read_once(stage: Shop) -> None:
    names = [f"config-{number}" for number in range(88)]
    for name in names:
        await stage.put(CONFIG_MAPS, config_map(name))
    await stage.put(DEPLOYMENTS, deployment(pod=pod("web:1", *names)))
    world = await stage.promote()
    assert len(world.seen.configs.ours) == 88
    stage.server.requests.clear()
    await stage.look()
    assert [one.path for one in stage.server.requests] == [CANARY.path()]
    mark = json.loads(stage.server.objects[FIRST]["metadata"]["annotations"]["flaggerpy.dev/kept"])
    assert len(mark["configs"]) == 88
