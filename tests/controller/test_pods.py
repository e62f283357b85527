"""Pods for one tick: when they are followed, which of them count, and how little is asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.api.status import Phase
from flaggerpy.controller.pods import PODS_OF_DEPLOYMENTS, PodReader
from flaggerpy.controller.world import World
from flaggerpy.kube.client import Client
from flaggerpy.kube.dependents import Dependents
from flaggerpy.kube.errors import ServerError
from flaggerpy.kube.resources import DAEMONSETS, DEPLOYMENTS, PODS, REPLICA_SETS, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.rollout.pods import PodsSeen
from flaggerpy.rollout.workload import Workload
from flaggerpy.targets.daemonset import DaemonSetTarget
from flaggerpy.targets.deployment import DeploymentTarget
from flaggerpy.targets.pods import OwnedPod
from tests.builders import canary, with_metadata, with_spec, with_status
from tests.controller.stage import seen_of
from tests.kube.clocks import SkippingClock, eventually
from tests.kube.fake_apiserver import FakeApiServer, Fault
from tests.targets.objects import daemon_set, deployment, stored

TARGET, PRIMARY = Ref(DEPLOYMENTS, "shop", "web"), Ref(DEPLOYMENTS, "shop", "web-primary")
AFTER = timedelta(seconds=30)


def workload(name: str = "web", revision: str | None = "2", **changes: Any) -> Workload:
    made = replace(DeploymentTarget().state(deployment(name)), observed_generation=1618, controller_revision=revision)
    return replace(made, **changes)


def rolling(phase: Phase = Phase.PROGRESSING, *, subject: Canary | None = None, **workloads: Workload | None) -> World:
    """Write a world in a phase; the target and the primary are there unless told otherwise."""
    given = {"target": workload(), "primary": workload("web-primary"), **workloads}
    return World({}, seen_of(with_status(subject or canary(), phase), **given), target_kind=DeploymentTarget())


@dataclass
class Stage:
    """A reader of pods on an API server whose pods tests choose."""

    server: FakeApiServer
    reader: PodReader
    pods: Dependents[OwnedPod]
    client: Client

    def replica_set(self, template: str, revision: str, owner: str = "web") -> None:
        """Make a ReplicaSet, or number it anew."""
        ref = {"kind": "Deployment", "name": owner, "uid": f"uid-of-{owner}", "controller": True}
        metadata = {"name": f"{owner}-{template}", "namespace": "shop", "ownerReferences": [ref]}
        numbered = {"annotations": {"deployment.kubernetes.io/revision": revision}}
        self.server.put(REPLICA_SETS, {"metadata": {**metadata, **numbered}})

    def pod(self, name: str, template: str, reason: str = "", *, owner: str = "web") -> None:
        """Make a pod of a ReplicaSet, whose container waits for a reason."""
        found = self.server.objects[Ref(REPLICA_SETS, "shop", f"{owner}-{template}")]["metadata"]
        ref = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": found["name"], "uid": found["uid"]}
        metadata = {
            "name": name,
            "namespace": "shop",
            "labels": {"pod-template-hash": template},
            "ownerReferences": [{**ref, "controller": True}],
            "creationTimestamp": "2026-11-25T12:00:00Z",
        }
        state = {"waiting": {"reason": reason}} if reason else {"running": {}}
        self.server.put(
            PODS, {"metadata": metadata, "status": {"containerStatuses": [{"name": "web", "state": state}]}}
        )

    async def known(self, world: World, owner: Ref = TARGET) -> PodsSeen:
        """Read when the pods have been listed."""
        await self.reader.read(world)
        await eventually(lambda: self.pods.look(owner) is not None, what="a list of pods")
        return await self.reader.read(world)

    def sets_read(self) -> list[str]:
        return [seen.path.rpartition("/")[2] for seen in self.server.seen("GET", "/replicasets/")]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        client = Client(transport)
        pods = Dependents(client, PODS, PODS_OF_DEPLOYMENTS, clock=SkippingClock())
        task = asyncio.ensure_future(pods.run())
        yield Stage(server, PodReader(client, pods, AFTER), pods, client)
        task.cancel()
        await asyncio.wait({task})


def names(seen: PodsSeen) -> list[str] | None:
    return None if seen.pods is None else [pod.name for pod in seen.pods]


async def test_pods_of_the_newest_template_count_and_no_others(stage: Stage) -> None:
    stage.replica_set("old", "1")
    stage.replica_set("new", "2")
    for name, template, reason in (
        ("a", "old", "ImagePullBackOff"),
        ("b", "new", "ImagePullBackOff"),
        ("c", "new", ""),
        ("d", "old", ""),
    ):
        stage.pod(name, template, reason)
    world = rolling()
    assert await stage.reader.read(world) == PodsSeen("uid-of-web"), "nothing is known before the list"
    found = await stage.known(world)
    assert (found.of, names(found), found.trouble) == ("uid-of-web", ["b", "c"], "")


async def test_blocked_pods_of_an_old_template_are_nobodys_business(stage: Stage) -> None:
    stage.replica_set("old", "1")
    stage.pod("a", "old", "ImagePullBackOff")
    assert names(await stage.known(rolling())) == []


async def test_a_healthy_rollout_reads_no_replica_set(stage: Stage) -> None:
    stage.replica_set("new", "2")
    stage.pod("a", "new")
    stage.pod("b", "new", "ContainerCreating")
    assert names(await stage.known(rolling())) == []
    assert stage.sets_read() == []


async def test_a_replica_set_is_read_once_a_revision(stage: Stage) -> None:
    stage.replica_set("old", "1")
    stage.replica_set("new", "2")
    stage.pod("a", "old", "ImagePullBackOff")
    stage.pod("b", "new", "ImagePullBackOff")
    for _ in range(3):
        assert names(await stage.known(rolling())) == ["b"]
    assert sorted(stage.sets_read()) == ["web-new", "web-old"]

    # The old template is put back: its ReplicaSet gets a new number before the Deployment does.
    stage.replica_set("old", "3")
    lagging = rolling(target=workload(observed_generation=1617))
    assert names(await stage.reader.read(lagging)) is None
    assert names(await stage.reader.read(rolling(target=workload(revision="3")))) == ["a"]


async def test_a_replica_set_that_is_ahead_of_the_deployment_is_asked_again(stage: Stage) -> None:
    stage.replica_set("new", "3")
    stage.pod("a", "new", "ImagePullBackOff")
    assert names(await stage.known(rolling())) is None
    assert names(await stage.reader.read(rolling(target=workload(revision="3")))) == ["a"]


async def test_a_replica_set_that_is_gone_or_was_made_again_is_not_the_newest(stage: Stage) -> None:
    stage.replica_set("new", "2")
    stage.pod("a", "new", "ImagePullBackOff")
    stage.server.remove(Ref(REPLICA_SETS, "shop", "web-new"))
    assert names(await stage.known(rolling())) == []
    stage.reader.forget(("shop", "web"))
    stage.replica_set("new", "2")
    assert names(await stage.known(rolling())) == []


@pytest.mark.parametrize(
    ("phase", "of"),
    [
        (Phase.NEW, ""),
        (Phase.INITIALIZING, "uid-of-web-primary"),
        (Phase.INITIALIZED, ""),
        (Phase.WAITING, ""),
        (Phase.PROGRESSING, "uid-of-web"),
        (Phase.WAITING_PROMOTION, "uid-of-web"),
        (Phase.PROMOTING, "uid-of-web-primary"),
        (Phase.FINALISING, ""),
        (Phase.SUCCEEDED, ""),
        (Phase.FAILED, ""),
        (Phase.TERMINATING, "uid-of-web"),
        (Phase.TERMINATED, ""),
    ],
)
async def test_pods_are_looked_at_in_the_phases_that_wait_for_them(stage: Stage, phase: Phase, of: str) -> None:
    assert (await stage.reader.read(rolling(phase))).of == of
    assert bool(stage.pods.ages()) is bool(of)


@pytest.mark.parametrize(
    "subject",
    [
        with_spec(canary(), suspend=True),
        with_metadata(canary(), deletion_timestamp="2026-11-25T12:00:00Z"),
    ],
    ids=["suspended", "deleted"],
)
async def test_a_target_that_users_return_to_is_looked_at_however_the_canary_goes(
    stage: Stage, subject: Canary
) -> None:
    assert (await stage.reader.read(rolling(Phase.TERMINATING, subject=subject))).of == "uid-of-web"


@pytest.mark.parametrize(
    "world",
    [
        rolling(subject=with_spec(canary(), suspend=True)),
        rolling(subject=with_metadata(canary(), deletion_timestamp="2026-11-25T12:00:00Z")),
        rolling(target=None),
        rolling(Phase.INITIALIZING, primary=None),
        replace(rolling(), target_kind=None),
        rolling(Phase.SUCCEEDED),
    ],
    ids=["suspended", "deleted", "no target", "no primary yet", "another kind", "over"],
)
async def test_the_watch_ends_when_nobody_is_waited_for_any_more(stage: Stage, world: World) -> None:
    await stage.known(rolling())
    await eventually(lambda: stage.server.watching(PODS))
    assert await stage.reader.read(world) == PodsSeen()
    await eventually(lambda: not stage.server.watching(PODS))


async def test_fail_fast_that_is_off_costs_nothing(stage: Stage) -> None:
    reader = PodReader(stage.client, stage.pods, timedelta())
    assert await reader.read(rolling()) == PodsSeen()
    assert stage.server.requests == []


async def test_pods_that_may_not_be_read_are_told_of(stage: Stage) -> None:
    stage.server.forbidden.add(PODS)
    await stage.reader.read(rolling())
    await eventually(lambda: stage.pods.trouble("shop"))
    found = await stage.reader.read(rolling())
    assert (found.of, found.pods) == ("uid-of-web", None)
    assert found.trouble.startswith("flaggerpy may not list and watch pods in namespace shop: ")


async def test_replica_sets_that_may_not_be_read_are_told_of(stage: Stage) -> None:
    stage.replica_set("new", "2")
    stage.pod("a", "new", "ImagePullBackOff")
    stage.server.forbidden.add(REPLICA_SETS)
    found = await stage.known(rolling())
    assert (found.of, found.pods) == ("uid-of-web", None)
    assert found.trouble.startswith("flaggerpy may not read replicasets.apps in namespace shop: ")


async def test_a_server_that_fails_is_worth_another_try(stage: Stage) -> None:
    stage.replica_set("new", "2")
    stage.pod("a", "new", "ImagePullBackOff")
    stage.server.fail(Fault("status", path="/replicasets/", status=500))
    with pytest.raises(ServerError):
        await stage.known(rolling())
    assert names(await stage.reader.read(rolling())) == ["a"]


async def test_pods_of_a_daemon_set_are_told_apart_without_reading_anything_else(stage: Stage) -> None:
    body = stored(daemon_set(), uid="uid-of-web", annotations={"deprecated.daemonset.template.generation": "7"})
    body["status"] = {"observedGeneration": body["metadata"]["generation"]}
    ref = Ref(DAEMONSETS, "shop", "web")
    for name, generation in (("new", "7"), ("old", "6")):
        metadata = {
            "name": name,
            "namespace": "shop",
            "labels": {"pod-template-generation": generation},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": "uid-of-web", "controller": True}
            ],
        }
        status = {"containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "ErrImagePull"}}}]}
        stage.server.put(PODS, {"metadata": metadata, "status": status})
    of_daemon_set = canary(spec={"targetRef": {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web"}})
    world = rolling(subject=of_daemon_set, target=DaemonSetTarget().state(body))
    world = replace(world, target_kind=DaemonSetTarget(), live={ref: body})

    assert names(await stage.known(world, ref)) == ["new"]
    assert stage.sets_read() == []
