"""A routed canary under exactly the rights that the chart gives in each mode: nothing is refused, no Secret is read."""

from __future__ import annotations

import pytest

from flaggerpy.kube.resources import CANARIES, HTTP_ROUTES
from tests.charts.under_rights import Install, install
from tests.integration.gateway import Gateway
from tests.integration.objects import config_map, deployment, progressive
from tests.integration.site import Site

__all__ = ["install"]
pytestmark = pytest.mark.integration

HERE = {"watchNamespaces": "the site's"}
UNTRACKED = {"configTracking": {"enabled": False}}
LOOK_AT_SCHEMA = {"get customresourcedefinitions"}


@pytest.mark.parametrize(
    ("title", "values", "refused"),
    [
        ("the whole cluster", {}, set()),
        ("listed namespaces", HERE, LOOK_AT_SCHEMA),
        ("no config tracking", UNTRACKED, set()),
        ("listed namespaces without config tracking", {**HERE, **UNTRACKED}, LOOK_AT_SCHEMA),
    ],
)
async def test_a_routed_canary_lives_and_dies_under_the_rights_of_each_mode(
    install: Install,
    site: Site,
    gateway: Gateway,
    title: str,
    values: dict[str, object],
    refused: set[str],
) -> None:
    tracked = "configTracking" not in values
    reads = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "token", "optional": True}}]
    installed = install(meshProvider="gatewayapi:v1", **values)
    async with installed.controller():
        await site.apply(config_map("settings", {"color": "red"}))
        await site.apply(deployment(container={"envFrom": reads}), progressive(step=50, most=50))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")
        await site.client.delete(site.ref(HTTP_ROUTES, "podinfo"))
        await site.event("is missing or unreadable: written again at 0%")
        await site.client.delete(site.ref(CANARIES, "podinfo"))
        await site.gone()

    assert gateway.shares() == [0, 50, 0], title
    assert installed.refused() == refused, title
    about_secrets = [verb for _, verb, _, where in installed.requests("flaggerpy") if where == "secrets"]
    about_configs = [verb for _, verb, _, where in installed.requests("flaggerpy") if where == "configmaps"]
    assert bool(about_secrets) == bool(about_configs) == tracked, title
    assert await site.ours() == []
