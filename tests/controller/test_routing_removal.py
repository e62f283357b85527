"""Which routing objects go with a canary: users come through some, others are about Services that go too."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flaggerpy.kube.client import Client
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, DESTINATION_RULES, VIRTUAL_SERVICES, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.rollout.decision import DeleteChildren, ReleaseRoute, SetRoutes
from flaggerpy.rollout.traffic import Routes
from tests.builders import canary_json
from tests.controller.stage import Stage
from tests.kube.fake_apiserver import FakeApiServer
from tests.targets.objects import deployment

ROUTE = Ref(VIRTUAL_SERVICES, "shop", "web")
RULES = {Ref(DESTINATION_RULES, "shop", f"web-{side}") for side in ("primary", "canary")}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        server.put(CANARIES, canary_json(spec={"provider": "istio"}))
        server.put(DEPLOYMENTS, deployment())
        yield Stage(server, Client(transport))


def routing(stage: Stage) -> set[Ref]:
    return {ref for ref in stage.server.objects if ref.resource in {VIRTUAL_SERVICES, DESTINATION_RULES}}


async def test_rules_go_with_the_services_once_the_route_is_given_back(stage: Stage) -> None:
    await stage.do(SetRoutes(Routes(80, 20)))
    while not (world := await stage.look()).seen.route_released:
        assert routing(stage) == {ROUTE, *RULES}
        await stage.do(ReleaseRoute())
    assert world.seen.route.routes is None

    await stage.do(DeleteChildren(serving=True))

    assert routing(stage) == {ROUTE}, "users come through it"


async def test_a_route_that_still_leads_to_our_services_keeps_its_rules(stage: Stage) -> None:
    await stage.do(SetRoutes(Routes(80, 20)))
    await stage.do(DeleteChildren(serving=True))
    assert routing(stage) == {ROUTE, *RULES}


async def test_where_nobody_is_served_all_of_it_goes(stage: Stage) -> None:
    await stage.do(SetRoutes(Routes(80, 20)))
    await stage.do(DeleteChildren(serving=False))
    assert routing(stage) == set()
