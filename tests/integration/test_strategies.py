"""Copies of requests and users' cookies over real routing objects: what a data plane is told, one after the other."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pytest

from flaggerpy.api.canary import parse_canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.rollout.traffic import Cookies, Routes
from flaggerpy.routers.registry import router_for
from tests.integration.contour import Contour
from tests.integration.gateway import Gateway
from tests.integration.objects import deployment, proxied, routed
from tests.integration.site import Site

pytestmark = pytest.mark.integration

AFFINITY = {"cookieName": "seen", "primaryCookieName": "old", "path": "/"}


async def told(site: Site, provider: str, written: list[JsonObject]) -> list[Routes]:
    """Return what the routes that were written meant, without repetitions."""
    router, owner = router_for(provider), parse_canary(await site.canary())
    [ref] = router.refs(owner)
    found = [router.state(owner, {ref: route}).routes for route in written]
    return [routes for routes, _ in groupby(found) if routes is not None]


@pytest.mark.parametrize(
    ("analysis", "traffic"),
    [
        ({"iterations": 2, "mirror": True}, [(0, False), (0, True), (100, False), (0, False)]),
        ({"stepWeights": [25, 50], "mirror": True}, [(0, False), (0, True), (25, False), (50, False), (0, False)]),
    ],
    ids=["Blue/Green", "weights"],
)
@pytest.mark.parametrize("provider", ["gatewayapi:v1", "contour"])
async def test_copies_come_before_users_and_end_when_these_come(
    site: Site, gateway: Gateway, contour: Contour, provider: str, analysis: dict[str, Any], traffic: list[Any]
) -> None:
    async with site.controller():
        await site.apply(deployment(), proxied(analysis) if provider == "contour" else routed("podinfo", analysis))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")
        await site.settled()

    written = contour.written if provider == "contour" else gateway.written
    assert [routes.traffic for routes in await told(site, provider, written)] == traffic
    assert (await site.canary())["status"]["rollout"]["step"]["mirrored"] is False


async def test_every_rollout_gives_its_own_cookie_and_takes_it_back(site: Site, gateway: Gateway) -> None:
    analysis = {"stepWeights": [25, 50], "sessionAffinity": AFFINITY}
    given = []
    async with site.controller():
        await site.apply(deployment(), routed("podinfo", analysis))
        await site.phase_is("Initialized")
        for tag in ("6.0.1", "6.0.2"):
            await site.set_image(tag)
            await site.phase_is("Progressing")
            await site.phase_is("Succeeded")
            await site.settled()
            status = (await site.canary())["status"]
            assert "sessionAffinityCookie" not in status
            given.append((status["previousSessionAffinityCookie"], status["primarySessionAffinityCookie"]))

    (first, _), (second, _) = given
    assert first.startswith("seen=")
    assert second.startswith("seen=")
    assert first != second
    known = [(routes.canary, routes.cookies) for routes in await told(site, "gatewayapi:v1", gateway.written)]
    assert known == [
        (0, Cookies()),
        *(
            step
            for canary, primary in given
            for step in (
                (25, Cookies(canary=canary, primary=primary)),
                (50, Cookies(canary=canary, primary=primary)),
                (0, Cookies(expired=canary)),
            )
        ),
    ]
