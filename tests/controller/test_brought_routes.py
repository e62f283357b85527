"""A route that its user brings along, as one tick sees and changes it beside others who write it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from flaggerpy.kube.client import JSON_PATCH, Client
from flaggerpy.kube.errors import Conflict
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, HTTP_ROUTES, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.rollout.decision import DeleteChildren, Plan, ReleaseRoute, SetRoutes
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, to_canary
from tests.builders import canary_json
from tests.controller.stage import Stage
from tests.kube.fake_apiserver import FakeApiServer
from tests.routers.cases import brought
from tests.targets.objects import deployment

WAY = Ref(HTTP_ROUTES, "shop", "way")
Route = dict[str, Any]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        server.put(CANARIES, canary_json(spec={"provider": "gatewayapi:v1", **brought("HTTPRoute")}))
        server.put(DEPLOYMENTS, deployment(pod={"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}))
        server.put(HTTP_ROUTES, route({"name": "web", "port": 80, "weight": 1}))
        yield Stage(server, Client(transport))


def route(*backends: Route) -> Route:
    metadata = {"name": "way", "namespace": "shop"}
    rules = [{"matches": [{"path": {"value": "/a"}}], "backendRefs": list(backends)}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata,
        "spec": {"rules": rules},
    }


def weights(stage: Stage) -> list[tuple[str, int]]:
    [rule] = stage.server.objects[WAY]["spec"]["rules"]
    return [(backend["name"], backend["weight"]) for backend in rule["backendRefs"]]


async def arrive(stage: Stage, *actions: Any) -> None:
    for _ in range(3):  # Services are named ahead, and one last time
        await stage.do(*actions)


async def test_the_route_is_patched_and_neither_applied_nor_replaced(stage: Stage) -> None:
    await arrive(stage, SetRoutes(ALL_TO_PRIMARY))
    await stage.do(SetRoutes(to_canary(20)))

    assert weights(stage) == [("web-primary", 80), ("web-canary", 20)]
    assert stage.server.seen("PUT") == []
    assert {seen.headers["Content-Type"] for seen in stage.server.seen("PATCH")} == {JSON_PATCH}


async def test_what_others_change_at_the_same_moment_survives(stage: Stage) -> None:
    await arrive(stage, SetRoutes(ALL_TO_PRIMARY))
    world = await stage.look()
    limits = {"type": "ExtensionRef", "extensionRef": {"group": "example.com", "kind": "Limit", "name": "slow"}}
    stage.server.change(WAY, lambda obj: obj["spec"]["rules"][0].update(filters=[limits]))

    await stage.executor.run(Plan(actions=(SetRoutes(to_canary(20)),)), world)

    assert weights(stage) == [("web-primary", 80), ("web-canary", 20)]
    assert stage.server.objects[WAY]["spec"]["rules"][0]["filters"] == [limits]


async def test_a_rule_that_was_moved_is_noticed_and_read_again(stage: Stage) -> None:
    await arrive(stage, SetRoutes(ALL_TO_PRIMARY))
    world = await stage.look()
    other = {"backendRefs": [{"name": "other", "port": 80, "weight": 1}, {"name": "more", "port": 80, "weight": 1}]}
    stage.server.change(WAY, lambda obj: obj["spec"]["rules"].insert(0, other))

    with pytest.raises(Conflict, match="HTTPRoute shop/way was changed by somebody else"):
        await stage.executor.run(Plan(actions=(SetRoutes(to_canary(20)),)), world)
    await stage.do(SetRoutes(to_canary(20)))

    first, second = stage.server.objects[WAY]["spec"]["rules"]
    assert first == other
    assert [backend["weight"] for backend in second["backendRefs"]] == [80, 20]


async def test_the_apex_service_comes_back_and_the_route_is_never_deleted(stage: Stage) -> None:
    await arrive(stage, SetRoutes(to_canary(20)))

    await arrive(stage, ReleaseRoute())
    assert (await stage.look()).seen.route_released
    await stage.do(DeleteChildren(serving=True))
    await stage.do(DeleteChildren(serving=False))

    [rule] = stage.server.objects[WAY]["spec"]["rules"]
    assert [backend["name"] for backend in rule["backendRefs"]] == ["web"]


async def test_a_missing_route_and_one_that_leads_elsewhere_are_told(stage: Stage) -> None:
    stage.server.change(WAY, lambda obj: obj["spec"]["rules"][0]["backendRefs"][0].update(name="other"))
    assert any(
        "HTTPRoute way has no rule that leads to Service web" in one for one in (await stage.look()).seen.problems
    )

    del stage.server.objects[WAY]
    await stage.caches.refresh([WAY])
    missing = "HTTPRoute way does not exist in namespace shop: create it, or correct spec.routeRef."
    assert missing in (await stage.look()).seen.problems
    assert not [seen for seen in stage.server.seen("PATCH") if "httproutes" in seen.path]
