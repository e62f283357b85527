"""Progressive rollouts over a real HTTPRoute: the steps, and what becomes of a route that somebody else changes."""

from __future__ import annotations

from typing import Any

import pytest

from flaggerpy.kube.objects import annotations_of, generation_of, labels_of
from flaggerpy.kube.resources import DEPLOYMENTS, HTTP_ROUTES, SERVICES
from tests.integration.gateway import Gateway
from tests.integration.objects import deployment, progressive, routed
from tests.integration.servers import Hooks
from tests.integration.site import Site

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("title", "analysis", "shares"),
    [
        ("equal steps up to the maximum", {"stepWeight": 25, "maxWeight": 50}, [0, 25, 50, 0]),
        ("the last equal step may overshoot", {"stepWeight": 30, "maxWeight": 50}, [0, 30, 60, 0]),
        ("a list of steps", {"stepWeights": [1, 10, 80]}, [0, 1, 10, 80, 0]),
        (
            "the primary gets its traffic back in steps",
            {"stepWeight": 50, "maxWeight": 50, "stepWeightPromotion": 20},
            [0, 50, 30, 10, 0],
        ),
        (
            "Blue/Green: everybody at the end of the iterations",
            {"iterations": 2},
            [0, 100, 0],
        ),
        (
            "A/B test: the audience at once",
            {
                "iterations": 2,
                "match": [{"headers": {"x-canary": {"exact": "insider"}}}],
            },
            [0, 100, 0],
        ),
    ],
)
async def test_traffic_moves_in_the_steps_that_were_asked_for(
    site: Site, gateway: Gateway, title: str, analysis: dict[str, Any], shares: list[int]
) -> None:
    async with site.controller():
        await site.apply(deployment(), routed("podinfo", analysis))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")
        await site.settled()

    assert gateway.shares() == shares, title
    assert await site.image("podinfo-primary") == "6.0.1"
    assert await site.replicas("podinfo") == 0
    status = (await site.canary())["status"]
    assert status["canaryWeight"] == status["failedChecks"] == status["iterations"] == 0


async def test_every_weight_is_held_for_an_interval(site: Site, gateway: Gateway) -> None:
    async with site.controller():
        await site.apply(deployment(), progressive(step=25, most=50, interval="2s"))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")

    _, first, second = gateway.stays()
    # What this process sees comes a little late, now more and now less.
    assert min(first, second) > 1.8


async def test_weights_changed_by_hand_are_put_back_and_told(site: Site, gateway: Gateway) -> None:
    async with site.controller():
        await site.apply(deployment(), progressive())
        await site.phase_is("Initialized")
        await site.settled()

        await site.set_weights(60, 40)
        await site.event("were changed from outside to 40%: put back to 0%")

        await site.until(lambda: _weights_are(site, 0), "the old weights")
        assert gateway.shares() == [0, 40, 0]
        assert await site.phase() == "Initialized"


async def test_other_drift_of_the_route_is_mended_and_keeps_the_weights(
    site: Site, gateway: Gateway, hooks: Hooks
) -> None:
    hooks.close("confirm-traffic-increase")
    async with site.controller():
        await site.apply(deployment(), progressive(webhooks=[hooks.webhook("confirm-traffic-increase")]))
        await site.phase_is("Initialized")
        hooks.open("confirm-traffic-increase")
        await site.set_image("6.0.1")
        await site.until(lambda: _weights_are(site, 25), "the first step")
        hooks.close("confirm-traffic-increase")

        await site.edit(HTTP_ROUTES, "podinfo", {"spec": {"hostnames": ["elsewhere.local"]}})

        async def mended() -> bool:
            return bool((await site.get(HTTP_ROUTES, "podinfo"))["spec"]["hostnames"] == ["podinfo.local"])

        await site.until(mended, "hostnames as the Canary asks for")
        assert gateway.shares() == [0, 25]
        hooks.open("confirm-traffic-increase")
        await site.phase_is("Succeeded")


async def test_a_deleted_route_comes_back_with_the_weights_of_the_step(
    site: Site, gateway: Gateway, hooks: Hooks
) -> None:
    async with site.controller():
        await site.apply(deployment(), progressive(webhooks=[hooks.webhook("confirm-traffic-increase")]))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.until(lambda: _weights_are(site, 25), "the first step")
        hooks.close("confirm-traffic-increase")
        await site.reason_has("waiting for traffic increase approval")
        old = await site.get(HTTP_ROUTES, "podinfo")

        await site.client.delete(site.ref(HTTP_ROUTES, "podinfo"))
        await site.event("is missing or unreadable: written again at 25%")

        new = await site.get(HTTP_ROUTES, "podinfo")
        assert new["metadata"]["uid"] != old["metadata"]["uid"]
        assert await site.weights() == {"podinfo-primary": 75, "podinfo-canary": 25}
        assert gateway.shares() == [0, 25]


async def test_what_others_write_on_our_objects_survives_and_is_no_drift(site: Site, gateway: Gateway) -> None:
    mark = {"metadata": {"annotations": {"example.com/team": "payments"}, "labels": {"team": "payments"}}}
    async with site.controller() as controller:
        await site.apply(deployment(), progressive(step=50, most=50))
        await site.phase_is("Initialized")
        await site.settled()
        ours = [
            (HTTP_ROUTES, "podinfo"),
            (DEPLOYMENTS, "podinfo-primary"),
            *((SERVICES, name) for name in ("podinfo", "podinfo-primary", "podinfo-canary")),
        ]
        before, generation = len(controller.writes), generation_of(await site.get(HTTP_ROUTES, "podinfo"))
        for resource, name in ours:
            await site.edit(resource, name, mark)
        await site.settled()
        assert controller.writes[before:] == []
        assert generation_of(await site.get(HTTP_ROUTES, "podinfo")) == generation

        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")

    for resource, name in ours:
        obj = await site.get(resource, name)
        assert annotations_of(obj).get("example.com/team") == "payments", (resource, name)
        assert labels_of(obj).get("team") == "payments", (resource, name)


async def test_services_changed_by_hand_are_put_back(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(), progressive())
        await site.phase_is("Initialized")
        await site.settled()

        await site.edit(SERVICES, "podinfo", {"spec": {"selector": {"app": "podinfo"}}})
        await site.client.delete(site.ref(SERVICES, "podinfo-canary"))

        async def mended() -> bool:
            there = await site.find(SERVICES, "podinfo-canary")
            return there is not None and await site.selector("podinfo") == {"app": "podinfo-primary"}

        await site.until(mended, "the Services as they should be")


async def _weights_are(site: Site, canary: int) -> bool:
    return await site.weights() == {"podinfo-primary": 100 - canary, "podinfo-canary": canary}
