"""ScaledObjects on their way into an observation, and the pause on its way back: one annotation and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import KubeError
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, SCALED_OBJECTS, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.rollout.decision import DeleteScaler, PauseScaler, Plan, ResumeScaler, WriteScaler
from tests.controller.stage import Stage
from tests.controller.test_autoscalers import named
from tests.kube.fake_apiserver import FakeApiServer
from tests.targets.objects import deployment, scaled_object

NAMED = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "web"}
TARGET, PRIMARY = Ref(SCALED_OBJECTS, "shop", "web"), Ref(SCALED_OBJECTS, "shop", "web-primary")
PAUSE = {"autoscaling.keda.sh/paused-replicas": "0"}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        server.put(CANARIES, named(NAMED))
        server.put(DEPLOYMENTS, deployment(pod={"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}))
        server.put(SCALED_OBJECTS, scaled_object())
        yield Stage(server, Client(transport))


async def test_w37_a_pause_is_seen_at_once_and_writes_one_annotation(stage: Stage) -> None:
    unknown = {"initialCooldownPeriod": 60, "advanced": {"scalingModifiers": {"target": "2"}}}
    stage.server.change(TARGET, lambda obj: obj["spec"].update(unknown))
    before = stage.server.objects[TARGET]
    assert before["spec"].items() >= unknown.items()
    world = await stage.do(PauseScaler("web"))
    assert world.seen.paused == ("web",)
    after = stage.server.objects[TARGET]
    assert after["metadata"]["annotations"] == PAUSE
    assert after["spec"] == before["spec"]
    world = await stage.do(ResumeScaler("web"))
    assert world.seen.paused == ()
    assert stage.server.objects[TARGET]["metadata"].get("annotations", {}) == {}


async def test_what_is_as_wanted_or_somebody_elses_is_not_written(stage: Stage) -> None:
    await stage.look()
    version = stage.server.objects[TARGET]["metadata"]["resourceVersion"]
    await stage.do(ResumeScaler("web"), ResumeScaler("gone"))
    assert stage.server.objects[TARGET]["metadata"]["resourceVersion"] == version
    stage.server.change(TARGET, lambda obj: obj["metadata"].update(annotations={next(iter(PAUSE)): "3"}))
    await stage.caches.refresh([TARGET])
    await stage.do(ResumeScaler("web"))
    assert stage.server.objects[TARGET]["metadata"]["annotations"] == {next(iter(PAUSE)): "3"}


async def test_a_pause_depends_on_what_was_seen(stage: Stage) -> None:
    world = await stage.look()
    stage.server.change(TARGET, lambda obj: obj["metadata"].update(annotations={next(iter(PAUSE)): "3"}))
    with pytest.raises(KubeError):
        await stage.executor.run(Plan(actions=(PauseScaler("web"),)), world)
    assert stage.server.objects[TARGET]["metadata"]["annotations"] == {next(iter(PAUSE)): "3"}


async def test_the_pause_is_seen_where_the_autoscaler_itself_cannot_be_served(stage: Stage) -> None:
    await stage.do(PauseScaler("web"))
    stage.server.put(CANARIES, named(NAMED | {"primaryScalerReplicas": {"minReplicas": 99}}))
    seen = (await stage.look()).seen
    assert (seen.scaler, seen.paused) == (None, ("web",))


async def test_a_former_one_is_known_by_the_record_and_let_go(stage: Stage) -> None:
    await stage.do(WriteScaler(2), PauseScaler("web"))
    record = {"name": "web-primary", "kind": "ScaledObject", "source": "web"}
    stage.server.put(CANARIES, named(None, scaler=record))
    assert (await stage.look()).seen.paused == ("web",)
    world = await stage.do(ResumeScaler("web"), DeleteScaler("web-primary", "ScaledObject"))
    assert world.seen.paused == ()
    assert PRIMARY not in stage.server.objects


@pytest.mark.parametrize("named_now", [True, False])
async def test_a_kind_that_cannot_be_read_is_a_problem_only_where_it_is_asked_for(
    stage: Stage, named_now: bool
) -> None:
    stage.server.forbidden.add(SCALED_OBJECTS)
    record = {"name": "web-primary", "kind": "ScaledObject", "source": "web"}
    stage.server.put(CANARIES, named(NAMED if named_now else None, scaler=record))
    problems = (await stage.look()).seen.problems
    assert [problem for problem in problems if "scaledobjects.keda.sh" in problem] == list(problems)
    assert bool(problems) is named_now
