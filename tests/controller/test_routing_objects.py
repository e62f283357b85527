"""Routing objects of a provider that has several: which are written in what order, and which go with a canary."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from flaggerpy.kube.client import Client
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, ROUTE_TABLES, UPSTREAMS, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.rollout.decision import DeleteChildren, ReleaseRoute, SetRoutes
from flaggerpy.rollout.traffic import to_canary
from tests.builders import canary_json
from tests.controller.stage import Stage
from tests.kube.fake_apiserver import FakeApiServer
from tests.targets.objects import deployment

TABLE = Ref(ROUTE_TABLES, "shop", "web")
PRIMARY, CANARY = (Ref(UPSTREAMS, "shop", f"shop-web-{side}upstream-80") for side in ("primary", "canary"))
LIMITS = Ref(UPSTREAMS, "shop", "limits")
NAMED = {"apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "name": "limits"}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        server.put(CANARIES, canary_json(spec={"provider": "gloo", "upstreamRef": NAMED}))
        server.put(DEPLOYMENTS, deployment(pod={"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}))
        server.put(UPSTREAMS, upstream("limits", connectionConfig={"connectTimeout": "1s"}))
        yield Stage(server, Client(transport))


def upstream(name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": metadata, "spec": spec}


async def test_all_are_written_and_what_they_name_comes_first(stage: Stage) -> None:
    world = await stage.do(SetRoutes(to_canary(20)))

    assert world.seen.route.routes == to_canary(20)
    assert not world.seen.route.drifted
    written = [seen.path for seen in stage.server.seen("PATCH")]
    assert [path.rpartition("/")[2] for path in written] == [PRIMARY.name, CANARY.name, TABLE.name]


async def test_what_users_come_through_stays_and_what_only_we_needed_goes(stage: Stage) -> None:
    await stage.do(SetRoutes(to_canary(20)))
    for _ in range(3):  # Services are named ahead, and one last time
        world = await stage.do(ReleaseRoute())
    assert world.seen.route_released

    await stage.do(DeleteChildren(serving=True))

    assert TABLE in stage.server.objects
    assert LIMITS in stage.server.objects
    assert not {PRIMARY, CANARY} & stage.server.objects.keys()


async def test_while_users_come_through_them_none_goes(stage: Stage) -> None:
    await stage.do(SetRoutes(to_canary(20)))

    await stage.do(DeleteChildren(serving=True))

    assert {TABLE, PRIMARY, CANARY, LIMITS} <= stage.server.objects.keys()


async def test_where_nobody_is_served_all_that_we_made_goes(stage: Stage) -> None:
    await stage.do(SetRoutes(to_canary(20)))

    await stage.do(DeleteChildren(serving=False))

    assert LIMITS in stage.server.objects
    assert not {TABLE, PRIMARY, CANARY} & stage.server.objects.keys()


async def test_what_a_route_needs_and_is_missing_is_a_problem_before_anything_is_written(stage: Stage) -> None:
    del stage.server.objects[LIMITS]

    world = await stage.look()

    missing = "Upstream limits does not exist in namespace shop: create it, or correct spec.upstreamRef."
    assert missing in world.seen.problems
