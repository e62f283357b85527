"""A Canary whose provider or name is edited: the former route is given back, and an idle canary asks for nothing."""

from __future__ import annotations

from typing import Any

import pytest

from flaggerpy.api.constants import OWNER
from flaggerpy.kube.objects import JsonObject, annotations_of
from flaggerpy.kube.resources import CANARIES, HTTP_ROUTES
from tests.integration.gateway import Gateway
from tests.integration.objects import deployment, progressive
from tests.integration.served import always_served
from tests.integration.servers import Hooks
from tests.integration.site import Site

pytestmark = pytest.mark.integration


def services(route: JsonObject) -> set[str]:
    """Return the Services that a route leads to."""
    return {one["name"] for rule in route["spec"]["rules"] for one in rule["backendRefs"]}


async def records(site: Site) -> list[Any]:
    """Return where routes are, as the status says."""
    return list(((await site.canary())["status"]["rollout"]).get("routes") or ())


async def given_back(site: Site) -> bool:
    """Tell whether the former route leads to the apex Service and is nobody's."""
    route = await site.get(HTTP_ROUTES, "podinfo")
    return services(route) == {"podinfo"} and OWNER not in annotations_of(route)


async def test_a_provider_that_is_taken_away_in_mid_rollout_gives_its_route_back(
    site: Site, gateway: Gateway, hooks: Hooks
) -> None:
    hooks.close("rollout")
    async with site.controller():
        webhooks = [hooks.webhook("rollout")]
        await site.apply(deployment(), progressive(step=25, most=50, threshold=1000, webhooks=webhooks))
        await site.phase_is("Initialized")
        assert await records(site) == [{"provider": "gatewayapi:v1", "service": "podinfo"}]
        async with always_served(site):
            await site.set_image("6.0.1")
            await site.until(lambda: _shares(gateway, 25), "users on the canary")
            await site.edit(CANARIES, "podinfo", {"spec": {"provider": "kubernetes"}})
            await site.until(lambda: given_back(site), "a route that is given back")
            hooks.open("rollout")
            await site.phase_is("Succeeded")
        assert await records(site) == []
        assert await given_back(site)


async def test_another_name_takes_the_old_route_away_once_the_new_one_is_live(site: Site, gateway: Gateway) -> None:
    async with site.controller() as controller:
        await site.apply(deployment(), progressive(step=50, most=50))
        await site.phase_is("Initialized")
        await site.edit(CANARIES, "podinfo", {"spec": {"service": {"name": "front"}}})
        await site.gone(HTTP_ROUTES, "podinfo")
        await site.settled()
        assert services(await site.get(HTTP_ROUTES, "front")) == {"front-primary", "front-canary"}
        assert await records(site) == [{"provider": "gatewayapi:v1", "service": "front"}]
        asked = len(controller.writes)
        await site.settled(quiet=3)
        assert len(controller.writes) == asked


async def _shares(gateway: Gateway, weight: int) -> bool:
    return gateway.shares()[-1:] == [weight]
