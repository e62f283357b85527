"""Autoscalers on their way from the API server into an observation, and from a plan back to the API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import KubeError
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, HPAS, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.rollout.decision import DeleteChildren, DeleteScaler, Plan, WriteScaler
from flaggerpy.rollout.observation import Bounds
from tests.builders import canary_json
from tests.controller.stage import KEY, Stage
from tests.kube.fake_apiserver import FakeApiServer
from tests.targets.objects import JsonObject, autoscaler, deployment

TARGET = Ref(HPAS, *KEY)
PRIMARY = Ref(HPAS, "shop", "web-primary")
NAMED = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "web"}


class Scaled(Stage):
    """A stage whose user edits the target's autoscaler."""

    def edit(self, **spec: Any) -> None:
        """The user writes the target's autoscaler, and the watch has told of it."""
        self.server.change(TARGET, lambda obj: obj["spec"].update(spec))
        self.caches.record(TARGET, self.server.objects[TARGET])


@pytest.fixture
async def stage() -> AsyncIterator[Scaled]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        server.put(CANARIES, named(NAMED))
        server.put(DEPLOYMENTS, deployment(pod={"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}))
        yield Scaled(server, Client(transport))


def named(ref: JsonObject | None, **status: Any) -> JsonObject:
    canary = canary_json(spec={"autoscalerRef": ref})
    del canary["metadata"]["resourceVersion"]
    return canary | {"status": {"phase": "Succeeded", "rollout": status}}


async def test_a_missing_autoscaler_is_a_problem_until_it_is_there(stage: Scaled) -> None:
    seen = (await stage.look()).seen
    assert seen.scaler is None
    assert any("HorizontalPodAutoscaler web does not exist" in problem for problem in seen.problems)
    stage.server.put(HPAS, autoscaler())
    await stage.caches.refresh([TARGET])
    seen = (await stage.look()).seen
    assert (seen.scaler is not None, seen.problems) == (True, ())


async def test_a_kind_that_must_not_be_read_is_one_problem(stage: Scaled) -> None:
    stage.server.forbidden.add(HPAS)
    seen = (await stage.look()).seen
    assert seen.scaler is None
    (problem,) = seen.problems
    assert "horizontalpodautoscalers.autoscaling" in problem


async def test_it_is_made_followed_and_mended_and_the_users_is_not_touched(stage: Scaled) -> None:
    stage.server.put(HPAS, autoscaler())
    seen = (await stage.look()).seen.scaler
    assert seen is not None
    assert (seen.minimum, seen.target) == (None, Bounds(2, 10))

    seen = (await stage.do(WriteScaler(7))).seen.scaler
    assert seen is not None
    assert (seen.minimum, seen.drifted) == (7, False)
    made = stage.server.objects[PRIMARY]
    assert made["spec"]["scaleTargetRef"]["name"] == "web-primary"

    stage.edit(maxReplicas=30)
    seen = (await stage.look()).seen.scaler
    assert seen is not None
    assert (seen.minimum, seen.drifted) == (7, True)
    seen = (await stage.do(WriteScaler(2))).seen.scaler
    assert seen is not None
    assert (seen.minimum, seen.drifted) == (2, False)
    assert stage.server.objects[PRIMARY]["spec"]["maxReplicas"] == 30
    assert {one.method for one in stage.server.seen(path=TARGET.path()) if one.path == TARGET.path()} == {"GET"}


async def test_a_write_depends_on_what_was_seen(stage: Scaled) -> None:
    stage.server.put(HPAS, autoscaler())
    await stage.do(WriteScaler(2))
    world = await stage.look()
    stage.server.change(PRIMARY, lambda obj: obj["spec"].update(maxReplicas=99))
    with pytest.raises(KubeError):
        await stage.executor.run(Plan(actions=(WriteScaler(3),)), world)
    seen = (await stage.do(WriteScaler(3))).seen.scaler
    assert seen is not None
    assert (seen.minimum, seen.drifted) == (3, False)


async def test_one_of_a_former_name_is_found_by_the_record_and_deleted(stage: Scaled) -> None:
    stage.server.put(HPAS, autoscaler())
    await stage.do(WriteScaler(2))
    stage.server.put(CANARIES, named(None, scaler={"name": "web-primary"}))
    assert (await stage.look()).seen.scaler is None
    await stage.do(DeleteScaler("web-primary"))
    assert PRIMARY not in stage.server.objects
    assert TARGET in stage.server.objects


@pytest.mark.parametrize("mine", [True, False])
async def test_with_the_children_goes_what_was_made_and_nothing_else(stage: Scaled, mine: bool) -> None:
    stage.server.put(HPAS, autoscaler())
    if mine:
        await stage.do(WriteScaler(2))
    else:
        stage.server.put(HPAS, autoscaler("web-primary", "web-primary"))
    await stage.do(DeleteChildren(serving=True))
    assert (PRIMARY in stage.server.objects) is not mine
    assert TARGET in stage.server.objects
