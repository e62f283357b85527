"""Routes that are live before anybody counts on them, audiences that come first, and copies of a share: as written."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pytest

from flaggerpy.kube.resources import HTTP_ROUTES
from tests.integration.contour import Contour
from tests.integration.gateway import Gateway
from tests.integration.objects import deployment, progressive, proxied, routed
from tests.integration.site import Site

pytestmark = pytest.mark.integration

BEHIND = "the data plane has not taken the route for podinfo.local as it was written last: Gateway contour"
AUDIENCE = [{"headers": {"x-canary": {"exact": "insider"}}}]


async def test_a_step_that_the_data_plane_does_not_take_is_neither_judged_nor_left(
    site: Site, gateway: Gateway
) -> None:
    async with site.controller():
        await site.apply(deployment(), progressive())
        await site.phase_is("Initialized")
        gateway.silent = True
        await site.set_image("6.0.1")
        await site.stalled(f"{BEHIND}; see to its controller")
        assert (await site.condition("Stalled"))["reason"] == "RouteNotTaken"
        await site.settled()
        assert gateway.shares() == [0, 25]

        await gateway.speak()
        await site.phase_is("Succeeded")
        await site.settled()
    assert gateway.shares() == [0, 25, 50, 0]


async def test_a_canary_runs_until_the_data_plane_has_taken_its_users_away(site: Site, gateway: Gateway) -> None:
    async with site.controller():
        await site.apply(deployment(), progressive(step=25, most=100, interval="4s"))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.until(lambda: _accepted(site, 25), "the first step, served")
        gateway.silent = True
        await site.set_image("6.0.0")
        await site.reason_has(BEHIND)
        await site.settled()
        assert (gateway.shares()[-1], await site.replicas("podinfo")) == (0, 2)

        await gateway.speak()
        await site.until(lambda: _asleep(site), "a sleeping target")


@pytest.mark.parametrize("provider", ["gatewayapi:v1", "contour"])
async def test_an_audience_comes_first_and_everybody_else_by_weight(
    site: Site, gateway: Gateway, contour: Contour, provider: str
) -> None:
    analysis = {"stepWeights": [25, 50], "match": AUDIENCE, "matchFirst": True}
    async with site.controller():
        await site.apply(deployment(), proxied(analysis) if provider == "contour" else routed("podinfo", analysis))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Succeeded")
        await site.settled()

    plane = contour if provider == "contour" else gateway
    field, part = ("routes", "services") if provider == "contour" else ("rules", "backendRefs")
    shares = [[_share(rule[part]) for rule in route["spec"][field]] for route in plane.written]
    assert [each for each, _ in groupby(shares)] == [[0, 0], [100, 25], [100, 50], [0, 0]]


async def test_a_gateway_that_can_copies_a_share_of_the_requests(site: Site, gateway: Gateway) -> None:
    async with site.controller(gateway_mirror_percent=True):
        await site.apply(deployment(), routed("podinfo", {"stepWeights": [50], "mirror": True, "mirrorWeight": 25}))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Succeeded")
        await site.settled()

    copied = [
        part["requestMirror"].get("percent")
        for route in gateway.written
        for part in route["spec"]["rules"][0].get("filters") or ()
    ]
    assert copied == [25]
    assert gateway.shares() == [0, 50, 0]


async def _accepted(site: Site, weight: int) -> bool:
    route = await site.get(HTTP_ROUTES, "podinfo")
    seen = route["status"]["parents"][0]["conditions"][0]["observedGeneration"]
    return (await site.weights())["podinfo-canary"] == weight and bool(seen == route["metadata"]["generation"])


async def _asleep(site: Site) -> bool:
    return await site.replicas("podinfo") == 0


def _share(services: list[dict[str, Any]]) -> int:
    return sum(int(one.get("weight", 0)) for one in services if one["name"] == "podinfo-canary")
