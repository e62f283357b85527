"""What goes with a canary: what we made and nobody comes through; the rest stays."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flaggerpy.kube.client import Client
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, INGRESSES
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.rollout.decision import DeleteChildren, ReleaseRoute
from flaggerpy.rollout.traffic import Routes
from flaggerpy.routers.registry import router_for
from tests.builders import canary_json
from tests.controller.stage import Stage
from tests.kube.fake_apiserver import FakeApiServer
from tests.routers.ingresses import COPY, OWN, behind, front, path
from tests.targets.objects import deployment


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        yield Stage(server, Client(transport))


@pytest.mark.parametrize("serving", [True, False])
@pytest.mark.parametrize("released", [True, False])
async def test_a_copy_of_an_ingress_goes_once_nobody_comes_through_it(
    stage: Stage, released: bool, serving: bool
) -> None:
    own = front(path("web"))
    ref = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "front"}
    stage.server.put(DEPLOYMENTS, deployment())
    stage.server.put(CANARIES, canary_json(spec={"provider": "skipper", "ingressRef": ref}))
    stage.server.put(INGRESSES, own)
    [copy] = router_for("skipper").render(behind("skipper"), {OWN: own}, Routes(70, 30))
    stage.server.put(INGRESSES, copy)

    if released:
        await stage.do(ReleaseRoute())
    world = await stage.do(DeleteChildren(serving=serving))

    assert OWN in world.live, "the user's own Ingress is never deleted"
    assert (COPY in world.live) is (serving and not released)
