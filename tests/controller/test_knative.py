"""A Knative service is target, primary and route at once: it is written, and never deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flaggerpy.api.canary import parse_canary
from flaggerpy.controller.served import kind_of_target, query_context
from flaggerpy.kube.client import Client
from flaggerpy.kube.resources import CANARIES, KNATIVE_SERVICES, SERVICES, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.metrics.mesh import builtin_query
from flaggerpy.rollout.decision import CopyConfigs, CreatePrimary, DeleteChildren, ReleaseRoute, ScalePrimary, SetRoutes
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, to_canary
from tests.builders import canary_json, metric
from tests.controller.stage import Stage
from tests.kube.fake_apiserver import FakeApiServer
from tests.targets.test_knative import NAMED, service

REF = Ref(KNATIVE_SERVICES, "shop", "web")
READS = {"envFrom": [{"configMapRef": {"name": "settings"}}], "image": "web:1"}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        server.put(CANARIES, canary_json(spec={"provider": "knative", "targetRef": NAMED, "service": None}))
        made = service()
        made["spec"]["template"]["spec"]["containers"] = [READS]
        server.put(KNATIVE_SERVICES, made)
        yield Stage(server, Client(transport))


async def test_it_is_served_as_it_is(stage: Stage) -> None:
    world = await stage.look()

    assert world.seen.problems == ()
    assert world.seen.notes == ()
    assert world.seen.target is not None
    assert world.seen.primary is None
    assert (world.seen.services.canary, world.seen.services.primary, world.seen.services.apex) == (True, True, True)
    assert world.seen.configs.ours == {}, "a revision reads what it was made with"
    assert not world.seen.kept.usable, "Knative keeps revisions"


async def test_a_bootstrap_writes_the_service_alone(stage: Stage) -> None:
    world = await stage.do(CopyConfigs({}), CreatePrimary(), ScalePrimary(3), SetRoutes(ALL_TO_PRIMARY))

    assert world.seen.primary is not None
    assert world.seen.primary.template == world.seen.target.template if world.seen.target else ""
    assert world.seen.route.routes == ALL_TO_PRIMARY
    assert not world.seen.route.drifted
    written = [
        seen.path for seen in [*stage.server.seen("PUT"), *stage.server.seen("PATCH"), *stage.server.seen("POST")]
    ]
    assert set(written) == {REF.path()}


@pytest.mark.parametrize("serving", [True, False])
async def test_deletion_gives_it_back_and_deletes_nothing(stage: Stage, *, serving: bool) -> None:
    stage.server.put(SERVICES, {"metadata": {"name": "web", "namespace": "shop"}, "spec": {"type": "ExternalName"}})
    await stage.do(CreatePrimary(), SetRoutes(to_canary(20)))

    world = await stage.do(ReleaseRoute(), DeleteChildren(serving=serving))

    assert world.seen.route_released
    assert world.seen.primary is None
    assert stage.server.objects[REF]["spec"]["traffic"] == [{"latestRevision": True, "percent": 100}]
    assert stage.server.seen("DELETE") == []


async def test_it_is_not_even_deleted_while_it_is_in_use(stage: Stage) -> None:
    await stage.do(CreatePrimary(), SetRoutes(to_canary(20)))

    await stage.do(DeleteChildren(serving=False))

    assert REF in stage.server.objects


def test_metrics_are_those_of_the_revision_that_is_analysed() -> None:
    made = canary_json(spec={"provider": "knative", "targetRef": NAMED, "service": None})
    made["status"] = {"rollout": {"applied": {"template": "v2", "controllerRevision": "web-00002"}}}
    owner = parse_canary(made)
    kind, context = kind_of_target(owner), query_context(owner, metric())
    query = builtin_query("request-success-rate", "knative", kind, context).text
    assert 'envoy_cluster_name=~"shop/web-00002"' in query
