"""Routed canaries under exactly the rights that the chart gives in each mode: nothing is refused, no Secret is read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from flaggerpy.kube.resources import CANARIES, GATEWAY_ROUTES, KNATIVE_SERVICES, Ref
from tests.charts.under_rights import Install, install
from tests.integration.beside import another_goes_on
from tests.integration.contour import Contour
from tests.integration.gateway import Gateway, watching
from tests.integration.ingresses import PORTS, behind, front
from tests.integration.knative import Knative, knative_service, of_knative
from tests.integration.objects import config_map, deployment, progressive, proxied
from tests.integration.site import Site
from tests.integration.ways import bringing, way
from tests.kube.real import ROLES

__all__ = ["install"]
pytestmark = pytest.mark.integration

ACCOUNT = "system:serviceaccount:"
HERE = {"watchNamespaces": "the site's"}
UNTRACKED = {"configTracking": {"enabled": False}}
LOOK_AT_SCHEMA = {"get customresourcedefinitions"}


@pytest.fixture
def planes(gateway: Gateway, contour: Contour) -> dict[str, Gateway]:
    """Say which data plane serves which canary."""
    return {"podinfo": gateway, "front": contour}


@pytest.mark.parametrize(
    ("title", "values", "refused"),
    [
        ("the whole cluster", {}, set()),
        ("listed namespaces", HERE, LOOK_AT_SCHEMA),
        ("no config tracking", UNTRACKED, set()),
        ("listed namespaces without config tracking", {**HERE, **UNTRACKED}, LOOK_AT_SCHEMA),
    ],
)
async def test_routed_canaries_live_and_die_under_the_rights_of_each_mode(
    install: Install,
    site: Site,
    planes: dict[str, Gateway],
    title: str,
    values: dict[str, object],
    refused: set[str],
) -> None:
    tracked = "configTracking" not in values
    reads = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "token", "optional": True}}]
    installed = install(meshProvider="gatewayapi:v1", rbac={"providers": ["contour"]}, **values)
    async with installed.controller():
        await site.apply(config_map("settings", {"color": "red"}))
        await site.apply(deployment(container={"envFrom": reads}), progressive(step=50, most=50))
        await site.apply(deployment("front"), proxied({"stepWeight": 50, "maxWeight": 50}, "front"))
        for name in planes:
            await site.phase_is("Initialized", name)
            await site.set_image("6.0.1", name)
        for name, plane in planes.items():
            await site.phase_is("Succeeded", name)
            await site.client.delete(site.ref(plane.resource, name))
            await site.event(f"The route of {name}.{site.namespace} is missing or unreadable: written again at 0%")
            await site.client.delete(site.ref(CANARIES, name))
            await site.gone(name=name)

    assert [plane.shares(name) for name, plane in planes.items()] == [[0, 50, 0], [0, 50, 0]], title
    assert installed.refused() == refused, title
    about_secrets = [verb for _, verb, _, where in installed.requests("flaggerpy") if where == "secrets"]
    about_configs = [verb for _, verb, _, where in installed.requests("flaggerpy") if where == "configmaps"]
    assert bool(about_secrets) == bool(about_configs) == tracked, title
    assert await site.ours() == []


@pytest.mark.parametrize("provider", PORTS)
async def test_canaries_behind_an_ingress_live_and_die_under_their_rights(
    install: Install, site: Site, provider: str
) -> None:
    installed = install(meshProvider=provider, **HERE)
    async with installed.controller():
        await site.apply(front(provider), deployment(), behind(provider))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Succeeded")
        await site.client.delete(site.ref(CANARIES, "podinfo"))
        await site.gone()

    assert installed.refused() == LOOK_AT_SCHEMA
    assert await site.ours() == []


async def test_a_knative_service_lives_under_its_rights_and_uses_each(install: Install, site: Site) -> None:
    installed = install(meshProvider="knative", **HERE)
    async with watching(Knative(site)) as knative, installed.controller():
        await site.apply(knative_service(), of_knative())
        await site.phase_is("Initialized")
        await site.edit(KNATIVE_SERVICES, "podinfo", knative_service(tag="6.0.1"))
        await site.phase_is("Succeeded")
        await site.client.delete(site.ref(CANARIES, "podinfo"))
        await site.gone()

    assert knative.shares() == [0, 25, 50, 0]
    assert installed.refused() == LOOK_AT_SCHEMA
    used = {verb for _, verb, group, _ in installed.requests("flaggerpy") if group == KNATIVE_SERVICES.group}
    assert used == {"get", "list", "watch", "update"}


@pytest.mark.parametrize("kind", GATEWAY_ROUTES)
async def test_canaries_that_bring_a_route_along_live_and_die_under_their_rights(
    install: Install, site: Site, kind: str
) -> None:
    installed = install(meshProvider="gatewayapi:v1", **HERE)
    async with installed.controller():
        await site.apply(way(kind), deployment(), bringing(kind))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Succeeded")
        await site.client.delete(site.ref(CANARIES, "podinfo"))
        await site.gone()

    assert installed.refused() == LOOK_AT_SCHEMA
    plural = GATEWAY_ROUTES[kind]
    used = {verb for _, verb, _, where in installed.requests("flaggerpy") if where == plural}
    assert used == {"get", "list", "watch", "patch"}
    assert await site.ours() == []


@pytest.mark.usefixtures("calm")
async def test_a_right_that_is_taken_away_in_mid_rollout_holds_it_until_it_is_given_back(
    install: Install, site: Site, gateway: Gateway
) -> None:
    installed = install(meshProvider="gatewayapi:v1", **HERE)
    async with installed.controller():
        await site.apply(deployment(), progressive(step=25, most=50, interval="5s"))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.until(lambda: _share_is(gateway, 25), "the first step")

        async with only_reading(site, "httproutes"):
            sentence = await site.stalled("cannot patch resource")
            assert f'httproutes.gateway.networking.k8s.io "podinfo" is forbidden: User "{ACCOUNT}' in sentence
            assert await site.event("cannot patch resource") == sentence
            await another_goes_on(site)
            assert await site.phase() == "Progressing"
            assert gateway.shares() == [0, 25]

        await site.phase_is("Succeeded", patience=90)
        assert (await site.condition("Stalled"))["status"] == "False"

    assert gateway.shares() == [0, 25, 50, 0]
    assert installed.refused() == LOOK_AT_SCHEMA | {"patch httproutes"}


@asynccontextmanager
async def only_reading(site: Site, resource: str) -> AsyncIterator[None]:
    """Take the controller's rights to write a resource away while the block lasts."""
    ref = Ref(ROLES, site.namespace, "flaggerpy")
    role = await site.client.get(ref)
    reading = [
        {**rule, "verbs": ["get", "list", "watch"]} if resource in rule["resources"] else rule for rule in role["rules"]
    ]
    await site.client.merge_patch(ref, {"rules": reading})
    try:
        yield
    finally:
        await site.client.merge_patch(ref, {"rules": role["rules"]})


async def _share_is(gateway: Gateway, share: int) -> bool:
    return gateway.shares()[-1:] == [share]
