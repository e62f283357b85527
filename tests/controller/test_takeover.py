"""Whether Flagger still runs, and since when a target has its template: what an observation says of both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from flaggerpy.api.canary import parse_canary
from flaggerpy.api.status import Phase
from flaggerpy.controller.takeover import Takeover
from flaggerpy.controller.world import World
from flaggerpy.kube.client import Client
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CONTROLLER_REVISIONS, REPLICA_SETS
from flaggerpy.kube.transport import HttpTransport, Server
from flaggerpy.rollout.observation import History
from flaggerpy.targets.base import Recipe, Target, TargetFacts
from flaggerpy.targets.daemonset import DaemonSetTarget
from flaggerpy.targets.deployment import DeploymentTarget
from tests.builders import canary_json
from tests.controller.stage import seen_of
from tests.kube.clocks import START, ManualClock
from tests.kube.fake_apiserver import FakeApiServer
from tests.targets.objects import daemon_set, deployment, template

KINDS: dict[str, Target] = {"Deployment": DeploymentTarget(), "DaemonSet": DaemonSetTarget()}
REVISION = "deployment.kubernetes.io/revision"


def world(
    *,
    wrote: datetime | None = None,
    uid: str = "uid-of-web",
    manager: str = "flagger",
    phase: Phase = Phase.SUCCEEDED,
    kind: str = "Deployment",
) -> World:
    """Build the world of a canary that a manager wrote last at some time."""
    ref = {"apiVersion": "apps/v1", "kind": kind, "name": "web"}
    raw = canary_json(spec={"targetRef": ref}) | {"status": {"phase": phase.value}}
    raw["metadata"]["uid"] = uid
    if wrote is not None:
        raw["metadata"]["managedFields"] = [{"manager": manager, "time": wrote.strftime("%Y-%m-%dT%H:%M:%SZ")}]
    written, made = KINDS[kind], daemon_set if kind == "DaemonSet" else deployment
    canary, target, primary = parse_canary(raw), made(), made("web-primary")
    target["metadata"]["annotations"] = {REVISION: "2"}
    seen = seen_of(canary, target=written.state(target), primary=written.primary_state(canary, primary, Recipe()))
    facts = TargetFacts("app", "web", "web-primary")
    return World(raw, seen, {written.ref(canary): target}, target_kind=written, facts=facts)


@asynccontextmanager
async def taking_over(clock: ManualClock) -> AsyncIterator[tuple[FakeApiServer, Takeover]]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        yield server, Takeover(Client(transport), clock)


async def noticed(takeover: Takeover, **seen: Any) -> datetime | None:
    return (await takeover.observe(world(**seen))).seen.flagger_wrote_at


async def test_what_flagger_wrote_before_we_began_is_no_alarm() -> None:
    async with taking_over(ManualClock()) as (_, takeover):
        takeover.leadership_began()
        for wrote in (START - timedelta(hours=1), START - timedelta(hours=1)):
            assert await noticed(takeover, wrote=wrote) is None
        # Seen late, and from before all the same.
        assert await noticed(takeover, wrote=START - timedelta(seconds=2)) is None


@pytest.mark.parametrize("skew", [timedelta(), timedelta(minutes=1)], ids=["clocks agree", "the server's is ahead"])
async def test_a_write_that_was_there_at_the_first_look_is_no_alarm_whatever_the_clocks_say(skew: timedelta) -> None:
    async with taking_over(ManualClock()) as (_, takeover):
        takeover.leadership_began()
        assert await noticed(takeover, wrote=START + skew) is None


async def test_a_newer_write_is_noticed_by_our_own_clock_and_remembered() -> None:
    clock = ManualClock()
    async with taking_over(clock) as (_, takeover):
        takeover.leadership_began()
        await noticed(takeover, wrote=START - timedelta(minutes=1))
        clock.jump(10)
        assert await noticed(takeover, wrote=START + timedelta(seconds=9)) == START + timedelta(seconds=10)
        clock.jump(10)
        assert await noticed(takeover, wrote=START + timedelta(seconds=9)) == START + timedelta(seconds=10)
        # Our own writes take fields from Flagger, at last all of them.
        assert await noticed(takeover) == START + timedelta(seconds=10)
        assert await noticed(takeover, wrote=START + timedelta(seconds=20)) == START + timedelta(seconds=20)


async def test_the_first_write_of_a_canary_that_flagger_had_not_seen_is_noticed() -> None:
    async with taking_over(ManualClock()) as (_, takeover):
        takeover.leadership_began()
        await noticed(takeover)
        assert await noticed(takeover, wrote=START) == START


@pytest.mark.parametrize("manager", ["flaggerpy", "kubectl-edit", "flagger-loadtester"])
async def test_others_may_write(manager: str) -> None:
    async with taking_over(ManualClock()) as (_, takeover):
        takeover.leadership_began()
        await noticed(takeover)
        assert await noticed(takeover, wrote=START, manager=manager) is None


async def test_a_new_leader_and_a_canary_made_anew_begin_without_suspicion() -> None:
    async with taking_over(ManualClock()) as (_, takeover):
        takeover.leadership_began()
        await noticed(takeover)
        assert await noticed(takeover, wrote=START) is not None
        assert await noticed(takeover, wrote=START, uid="another") is None
        takeover.leadership_began()
        assert await noticed(takeover, wrote=START + timedelta(seconds=5)) is None


def replica_set(name: str, revision: str, labels: dict[str, str]) -> JsonObject:
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": labels,
            "annotations": {REVISION: revision},
            "creationTimestamp": f"2026-11-27T12:0{revision}:00Z",
            "ownerReferences": [{"kind": "Deployment", "uid": "uid-of-web", "controller": True}],
        },
    }


async def test_replica_sets_are_read_only_when_a_rollout_in_flight_is_taken_over() -> None:
    async with taking_over(ManualClock()) as (server, takeover):
        server.put(REPLICA_SETS, replica_set("web-1", "1", {"app": "web"}))
        server.put(REPLICA_SETS, replica_set("web-2", "2", {"app": "web"}))
        server.put(REPLICA_SETS, replica_set("other", "2", {"app": "other"}))
        for phase in (Phase.INITIALIZED, Phase.SUCCEEDED, Phase.WAITING, Phase.PROMOTING, Phase.FINALISING):
            assert (await takeover.observe(world(phase=phase))).seen.history is None
        assert server.seen("GET") == []
        seen = (await takeover.observe(world(phase=Phase.PROGRESSING))).seen
        assert seen.history == History(datetime.fromisoformat("2026-11-27T12:02:00Z"))
        assert len(server.seen("GET")) == 1


async def test_without_the_right_to_look_nothing_is_known() -> None:
    async with taking_over(ManualClock()) as (server, takeover):
        server.put(REPLICA_SETS, replica_set("web-2", "2", {"app": "web"}))
        server.forbidden.add(REPLICA_SETS)
        assert (await takeover.observe(world(phase=Phase.PROGRESSING))).seen.history is None
        server.forbidden.clear()
        assert (await takeover.observe(world(phase=Phase.PROGRESSING))).seen.history is not None


def controller_revision(name: str, number: int, **pod: str) -> JsonObject:
    recorded = template(**pod)
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": recorded["metadata"]["labels"],
            "creationTimestamp": f"2026-11-27T12:0{number}:00Z",
            "ownerReferences": [{"kind": "DaemonSet", "uid": "uid-of-web", "controller": True}],
        },
        "revision": number,
        "data": {"spec": {"template": {**recorded, "$patch": "replace"}}},
    }


async def test_a_daemon_sets_controller_revisions_are_read_where_a_deployments_replica_sets_are() -> None:
    async with taking_over(ManualClock()) as (server, takeover):
        server.put(CONTROLLER_REVISIONS, controller_revision("web-1", 1))
        server.put(CONTROLLER_REVISIONS, controller_revision("web-2", 2, priorityClassName="new"))
        server.put(REPLICA_SETS, replica_set("web-9", "9", {"app": "web"}))
        assert (await takeover.observe(world(kind="DaemonSet"))).seen.history is None
        assert server.seen("GET") == []
        seen = (await takeover.observe(world(kind="DaemonSet", phase=Phase.PROGRESSING))).seen
        assert seen.history == History(datetime.fromisoformat("2026-11-27T12:02:00Z"))
