"""Shares by numbers of pods, through the observer and the executor: one Service, and what becomes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from flaggerpy.api.shares import SHARES
from flaggerpy.controller.world import World
from flaggerpy.kube.client import Client
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, SERVICES, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.rollout.decision import (
    CopyConfigs,
    CreatePrimary,
    DeleteChildren,
    KeepRevision,
    LeaveRoutes,
    ReleaseService,
    ServiceRole,
    SetRoutes,
    WriteService,
)
from flaggerpy.rollout.traffic import ALL_TO_CANARY, ALL_TO_PRIMARY, to_canary
from tests.builders import canary_json
from tests.controller.stage import CANARY, Stage
from tests.kube.fake_apiserver import FakeApiServer
from tests.targets.objects import deployment, user_service

APEX = Ref(SERVICES, "shop", "web")
LABEL = "shop.example.com/serves"
ALONE = {"app": "web-primary"}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        shared = {"trafficByReplicas": {"label": LABEL}}
        server.put(CANARIES, canary_json(spec={"provider": "kubernetes"}, analysis=shared))
        labels = {"app": "web", LABEL: "web"}
        server.put(DEPLOYMENTS, deployment(pod={"metadata": {"labels": labels}, "spec": {"containers": []}}))
        yield Stage(server, Client(transport))


async def bootstrapped(stage: Stage) -> World:
    services = (WriteService(role) for role in (ServiceRole.CANARY, ServiceRole.PRIMARY, ServiceRole.APEX))
    return await stage.do(CopyConfigs({}), CreatePrimary(), *services, SetRoutes(ALL_TO_PRIMARY))


def selector(stage: Stage) -> dict[str, str]:
    return dict(stage.server.objects[APEX]["spec"]["selector"])


def said(stage: Stage) -> dict[str, Any]:
    return dict(stage.server.objects[APEX]["metadata"]["annotations"])


async def test_a_bootstrap_leads_everybody_to_the_primary(stage: Stage) -> None:
    before = await stage.look()
    assert (before.seen.routed, before.seen.problems) == (True, ())
    world = await bootstrapped(stage)
    assert world.seen.route.routes == ALL_TO_PRIMARY
    assert world.seen.services.apex
    assert (selector(stage), SHARES in said(stage)) == (ALONE, False)


async def test_before_a_bootstrap_the_users_own_service_leads_to_the_target(stage: Stage) -> None:
    stage.server.put(SERVICES, {**user_service(), "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}})
    await stage.do(WriteService(ServiceRole.PRIMARY))
    world = await stage.look()
    assert world.seen.route.routes == ALL_TO_CANARY
    assert not world.seen.services.apex


@pytest.mark.parametrize(
    ("weight", "led"), [(10, {LABEL: "web"}), (50, {LABEL: "web"}), (100, {"app": "web"}), (0, ALONE)]
)
async def test_a_share_is_one_write_and_the_service_is_right_with_it(
    stage: Stage, weight: int, led: dict[str, str]
) -> None:
    await bootstrapped(stage)
    writes = len(stage.server.seen("PUT"))
    world = await stage.do(SetRoutes(to_canary(weight)))
    assert (world.seen.route.routes, selector(stage)) == (to_canary(weight), led)
    assert world.seen.services.apex, "nobody mends it"
    assert len(stage.server.seen("PUT")) - writes == (1 if weight else 0)


async def test_a_selector_that_somebody_put_back_is_mended_to_the_primary_and_then_to_the_share(stage: Stage) -> None:
    await bootstrapped(stage)
    await stage.do(SetRoutes(to_canary(10)))
    found = stage.server.objects[APEX]
    stage.server.put(SERVICES, {**found, "spec": {**found["spec"], "selector": {"app": "web"}}})
    await stage.caches.refresh([APEX])
    seen = (await stage.look()).seen
    assert (seen.route.routes, seen.services.apex) == (ALL_TO_CANARY, False)
    world = await stage.do(WriteService(ServiceRole.APEX), SetRoutes(to_canary(10)))
    assert (world.seen.route.routes, world.seen.services.apex) == (to_canary(10), True)


@pytest.mark.parametrize("weight", [0, 10, 100])
async def test_a_release_leads_to_the_target_alone(stage: Stage, weight: int) -> None:
    await bootstrapped(stage)
    await stage.do(SetRoutes(to_canary(weight)))
    world = await stage.do(ReleaseService())
    assert world.seen.services.apex_released
    assert world.seen.route_released
    assert selector(stage) == {"app": "web"}
    assert not [key for key in said(stage) if key.startswith("flaggerpy.dev/")]


async def test_a_target_without_the_label_is_told_before_anything_is_written(stage: Stage) -> None:
    target = stage.server.objects[Ref(DEPLOYMENTS, "shop", "web")]
    del target["spec"]["template"]["metadata"]["labels"][LABEL]
    [problem] = (await stage.look()).seen.problems
    assert problem.startswith(f"Deployment web has no label {LABEL} in its pod template")


async def edited(stage: Stage, *, kept: bool = True, name: str | None = None, **spec: Any) -> World:
    """Edit the Canary, whose status knows where its users came from."""
    shared = {"trafficByReplicas": {"label": LABEL}} if kept else {}
    service = {"gatewayRefs": [{"name": "public"}], "hosts": ["shop.example.com"]} | ({"name": name} if name else {})
    body = canary_json(spec=spec, service=service, analysis=shared)
    del body["metadata"]["resourceVersion"]
    place = {"provider": "kubernetes", "service": "web"}
    stage.server.put(CANARIES, body | {"status": {"phase": "Progressing", "rollout": {"routes": [place]}}})
    await stage.caches.refresh([CANARY])
    return await stage.look()


@pytest.mark.parametrize("weight", [0, 10, 100])
async def test_another_provider_finds_everything_in_its_place_and_the_service_leads_to_the_primary(
    stage: Stage, weight: int
) -> None:
    await bootstrapped(stage)
    await stage.do(SetRoutes(to_canary(weight)))
    made = set(stage.server.objects)
    world = await edited(stage, provider="gatewayapi:v1")
    assert world.seen.left_behind is (weight > 0)
    world = await stage.do(LeaveRoutes())
    assert made <= set(stage.server.objects), "neither a workload nor a Service is a route"
    assert (world.seen.left_behind, world.seen.services.apex) == (False, True)
    assert (selector(stage), SHARES in said(stage)) == (ALONE, False)


async def test_a_service_of_another_name_leaves_the_former_one_to_its_users(stage: Stage) -> None:
    await bootstrapped(stage)
    await stage.do(SetRoutes(ALL_TO_CANARY))
    made = set(stage.server.objects)
    assert (await edited(stage, provider="kubernetes", name="front")).seen.left_behind
    world = await stage.do(LeaveRoutes())
    assert (world.seen.left_behind, selector(stage), made <= set(stage.server.objects)) == (False, ALONE, True)


async def test_a_setting_that_is_taken_away_leaves_the_service_to_be_mended(stage: Stage) -> None:
    await bootstrapped(stage)
    await stage.do(SetRoutes(ALL_TO_CANARY))
    seen = (await edited(stage, provider="kubernetes", kept=False)).seen
    assert (seen.services.apex, seen.services.apex_elsewhere, seen.left_behind) == (False, True, True)
    seen = (await stage.do(WriteService(ServiceRole.APEX))).seen
    assert (seen.services.apex, seen.services.apex_elsewhere, seen.left_behind) == (True, False, False)


async def test_a_deletion_takes_the_primary_last(stage: Stage) -> None:
    await bootstrapped(stage)
    await stage.do(KeepRevision({}), ReleaseService())
    await stage.do(DeleteChildren(serving=True))
    deleted = [request.path for request in stage.server.seen("DELETE")]
    assert any("controllerrevisions" in path for path in deleted)
    assert [path for path in deleted if "deployments" in path] == [deleted[-1]]


async def test_who_begins_to_lead_reads_the_service_itself_by_which_users_are_moved(stage: Stage) -> None:
    await bootstrapped(stage)
    assert APEX in (await edited(stage, provider="kubernetes")).decisive
    assert APEX not in (await edited(stage, provider="kubernetes", kept=False)).decisive
