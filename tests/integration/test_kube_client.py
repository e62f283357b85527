"""The client's verbs against the real API server: what the fake server only imitates."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from flaggerpy.kube.client import Client, Only
from flaggerpy.kube.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Unauthorized,
)
from flaggerpy.kube.events import EventRecorder
from flaggerpy.kube.objects import generation_of, labels_of, resource_version_of, uid_of
from flaggerpy.kube.resources import CONFIG_MAPS, DEPLOYMENTS, EVENTS, HTTP_ROUTES, SECRETS, Ref, Resource
from flaggerpy.kube.transport import connect
from tests.cluster.api import Cluster
from tests.kube.real import Place, place

pytestmark = pytest.mark.integration

UNKNOWN = Resource("nobody.example", "v1", "things", "Thing")


@pytest.fixture
async def here(control_plane: Cluster) -> AsyncIterator[Place]:
    async with place() as made:
        yield made


async def test_objects_come_and_go(here: Place) -> None:
    ref = Ref(DEPLOYMENTS, here.namespace, "podinfo")
    made = await here.client.create(DEPLOYMENTS, here.deployment())
    with pytest.raises(AlreadyExists):
        await here.client.create(DEPLOYMENTS, here.deployment())
    assert uid_of(await here.client.get(ref)) == uid_of(made)
    with pytest.raises(Conflict):
        await here.client.delete(ref, uid="somebody-else")
    await here.client.delete(ref, uid=uid_of(made))
    with pytest.raises(NotFound) as gone:
        await here.client.get(ref)
    assert not gone.value.kind_is_missing
    with pytest.raises(NotFound) as unknown:
        await here.client.get(Ref(UNKNOWN, here.namespace, "podinfo"))
    assert unknown.value.kind_is_missing


async def test_lists_show_what_was_selected(here: Place) -> None:
    for name, labels in (("a", {"app": "web", "tier": "front"}), ("b", {"app": "web"}), ("c", {"app": "api"})):
        await here.client.create(CONFIG_MAPS, {"metadata": {**here.meta(name), "labels": labels}})

    async def names(only: Only) -> list[str]:
        items, _ = await here.client.list(CONFIG_MAPS, here.namespace, only=only)
        return [name for name in (obj["metadata"]["name"] for obj in items) if len(name) == 1]

    assert await names(Only(labels="app=web")) == ["a", "b"]
    assert await names(Only(labels="app=web,tier notin (back),tier")) == ["a"]
    assert await names(Only(labels="app in (api,web),!tier")) == ["b", "c"]
    assert await names(Only(fields="metadata.name=b")) == ["b"]
    assert await names(Only(labels="app=api", fields="metadata.name=b")) == []


async def test_one_object_is_watched(here: Place) -> None:
    for name in ("mine", "other"):
        await here.client.create(CONFIG_MAPS, {"metadata": here.meta(name)})
    mine, other = (Ref(CONFIG_MAPS, here.namespace, name) for name in ("mine", "other"))
    version = resource_version_of(await here.client.get(mine))
    async with aclosing(here.client.watch_one(mine, resource_version=version)) as events:
        assert (await anext(events)).type == "OPENED"
        await here.client.merge_patch(other, {"data": {"k": "1"}})
        await here.client.merge_patch(mine, {"data": {"k": "2"}})
        await here.client.delete(mine)
        heard = [await anext(events), await anext(events)]
    assert [(event.type, event.object["metadata"]["name"]) for event in heard] == [
        ("MODIFIED", "mine"),
        ("DELETED", "mine"),
    ]


async def test_lists_in_pages_know_their_type(here: Place) -> None:
    for number in range(5):
        await here.client.create(CONFIG_MAPS, {"metadata": here.meta(f"c{number}"), "data": {"k": "v"}})
    items, version = await here.client.list(CONFIG_MAPS, here.namespace, page=2)
    assert [o["metadata"]["name"] for o in items if o["metadata"]["name"].startswith("c")] == [
        f"c{n}" for n in range(5)
    ]
    assert {(o["apiVersion"], o["kind"]) for o in items} == {("v1", "ConfigMap")}
    assert int(version) >= max(int(resource_version_of(o)) for o in items)


async def test_metadata_only(here: Place) -> None:
    await here.client.create(SECRETS, {"metadata": here.meta("s"), "stringData": {"k": "private"}})
    one = await here.client.get(Ref(SECRETS, here.namespace, "s"), metadata_only=True)
    items, version = await here.client.list(SECRETS, here.namespace, metadata_only=True)
    assert (one["kind"], "data" in one) == ("Secret", False)
    assert [uid_of(o) for o in items] == [uid_of(one)]
    watch = here.client.watch(SECRETS, here.namespace, resource_version=version, metadata_only=True)
    async with aclosing(watch) as events:
        assert (await anext(events)).type == "OPENED"
        await here.client.merge_patch(Ref(SECRETS, here.namespace, "s"), {"stringData": {"k": "private2"}})
        event = await anext(events)
        assert event.type == "MODIFIED"
        assert "data" not in event.object
        assert json.dumps(event.object).find("private") == -1


async def test_conditional_writes(here: Place) -> None:
    ref = Ref(DEPLOYMENTS, here.namespace, "podinfo")
    old = await here.client.create(DEPLOYMENTS, here.deployment())
    patch = [
        {"op": "test", "path": "/spec/template/spec/containers/0/name", "value": "main"},
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "registry.invalid/none:2"},
    ]
    await here.client.json_patch(ref, patch)
    with pytest.raises(Conflict):
        await here.client.replace(ref, old)
    with pytest.raises(Conflict):
        await here.client.merge_patch(ref, {"metadata": {"resourceVersion": resource_version_of(old), "labels": {}}})
    patch[0]["value"] = "other"
    with pytest.raises(Invalid):
        await here.client.json_patch(ref, patch)
    with pytest.raises(Invalid):
        await here.client.merge_patch(ref, {"spec": {"replicas": "many"}})


async def test_apply_owns_what_it_names_and_conflicts_only_when_asked_to(here: Place) -> None:
    ref = Ref(CONFIG_MAPS, here.namespace, "c")
    theirs = Client(here.transport, field_manager="somebody")
    await here.client.apply(ref, {"metadata": {**here.meta("c"), "labels": {"a": "1", "b": "2"}}})
    await theirs.merge_patch(ref, {"metadata": {"labels": {"theirs": "3"}}})
    await here.client.apply(ref, {"metadata": {**here.meta("c"), "labels": {"a": "1"}}})
    assert labels_of(await here.client.get(ref)) == {"a": "1", "theirs": "3"}
    wanted = {"metadata": {**here.meta("c"), "labels": {"a": "9"}}}
    with pytest.raises(Conflict):
        await theirs.apply(ref, wanted, force=False)
    assert labels_of(await theirs.apply(ref, wanted))["a"] == "9"


async def test_scale_is_conditional_and_shows_the_objects_own_version(here: Place) -> None:
    ref = Ref(DEPLOYMENTS, here.namespace, "podinfo")
    made = await here.client.create(DEPLOYMENTS, here.deployment(replicas=0))
    scale = await here.client.scale(ref, 2)
    with pytest.raises(Conflict):
        await here.client.scale(ref, 3, resource_version=resource_version_of(made))
    stored = await here.client.get(ref)
    assert (stored["spec"]["replicas"], generation_of(stored)) == (2, 2)
    assert int(resource_version_of(made)) < int(resource_version_of(scale)) <= int(resource_version_of(stored))


async def test_a_watch_ends_when_its_time_is_over(here: Place) -> None:
    _, version = await here.client.list(DEPLOYMENTS, here.namespace)
    async with aclosing(
        here.client.watch(DEPLOYMENTS, here.namespace, resource_version=version, timeout_seconds=1)
    ) as events:
        got = [event.type async for event in events]
    assert got[0] == "OPENED"
    assert set(got[1:]) <= {"BOOKMARK"}


async def test_a_token_without_rights_is_forbidden_and_one_that_is_wrong_unauthorized(
    here: Place, tmp_path: Path
) -> None:
    config = await here.user(tmp_path)
    async with await connect(config) as guest:
        with pytest.raises(Forbidden, match="cannot get resource"):
            await Client(guest).get(Ref(DEPLOYMENTS, here.namespace, "podinfo"))
    async with await connect(_with_wrong_token(config)) as stranger:
        with pytest.raises(Unauthorized):
            await Client(stranger).get(Ref(DEPLOYMENTS, here.namespace, "podinfo"))


def _with_wrong_token(config: str) -> str:
    path = Path(config)
    wrong = path.with_suffix(".wrong")
    wrong.write_text(path.read_text().replace("token: ", "token: x"))
    return str(wrong)


async def test_events_are_taken_and_counted(here: Place) -> None:
    involved = await here.client.create(CONFIG_MAPS, {"metadata": here.meta("c")})
    recorder = EventRecorder(here.client)
    for _ in range(2):
        recorder.event({**involved, "apiVersion": "v1", "kind": "ConfigMap"}, "Warning", "Halt advancement")
        await recorder.flush()
    items, _ = await here.client.list(EVENTS, here.namespace)
    (event,) = [o for o in items if o["source"] == {"component": "flagger"}]
    assert (event["count"], event["type"], event["reportingComponent"]) == (2, "Warning", "flagger")
    assert event["involvedObject"]["uid"] == uid_of(involved)


async def test_an_unknown_kind_of_a_known_group_is_a_missing_kind(here: Place) -> None:
    old = Resource(HTTP_ROUTES.group, "v1alpha1", "httproutes", "HTTPRoute")
    with pytest.raises(NotFound) as unknown:
        await here.client.list(old)
    assert unknown.value.kind_is_missing
