"""Rollouts over real HTTPProxy objects: steps, audiences, what Contour says, and what a user had before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.kube.objects import JsonObject, annotations_of, labels_of
from flaggerpy.kube.resources import CANARIES, HTTP_PROXIES
from tests.integration.contour import ORPHANED, Contour
from tests.integration.objects import deployment, proxied
from tests.integration.served import always_served, is_reachable
from tests.integration.site import Site
from tests.routers.cases import references

pytestmark = pytest.mark.integration

PATIENT = timedelta(minutes=5)
AUDIENCE = {
    "iterations": 2,
    "match": [{"headers": {"x-canary": {"exact": "insider"}}}, {"headers": {"cookie": {"suffix": "canary=always"}}}],
}


def users_own(host: str) -> JsonObject:
    """Write the HTTPProxy that a user had before any canary."""
    route = {"services": [{"name": "podinfo", "port": 80}], "enableWebsockets": True}
    return {
        "apiVersion": HTTP_PROXIES.api_version,
        "kind": HTTP_PROXIES.kind,
        "metadata": {"name": "podinfo", "labels": {"team": "payments"}},
        "spec": {"virtualhost": {"fqdn": host}, "routes": [route]},
    }


def service() -> JsonObject:
    """Write the Service that a user had before any canary."""
    ports = [{"name": "http", "port": 80, "targetPort": 9898}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "podinfo"},
        "spec": {"selector": {"app": "podinfo"}, "ports": ports},
    }


@pytest.mark.parametrize(
    ("title", "analysis", "shares"),
    [
        ("equal steps up to the maximum", {"stepWeight": 25, "maxWeight": 50}, [0, 25, 50, 0]),
        ("Blue/Green: everybody at the end of the iterations", {"iterations": 2}, [0, 100, 0]),
        ("A/B test: the audience at once", AUDIENCE, [0, 100, 0]),
    ],
)
async def test_traffic_moves_in_the_steps_that_were_asked_for(
    site: Site, contour: Contour, title: str, analysis: dict[str, Any], shares: list[int]
) -> None:
    async with site.controller(ingress_class="outside"):
        await site.apply(deployment(), proxied(analysis))
        await site.phase_is("Initialized")
        async with always_served(site):
            await site.set_image("6.0.1")
            await site.phase_is("Progressing")
            await site.phase_is("Succeeded")
            await site.settled()

    assert contour.shares() == shares, title
    assert await site.image("podinfo-primary") == "6.0.1"
    proxy = await site.get(HTTP_PROXIES, "podinfo")
    assert proxy["spec"]["ingressClassName"] == "outside"
    assert "ownerReferences" not in proxy["metadata"]


async def test_a_proxy_that_nobody_includes_is_waited_for_and_said(site: Site, contour: Contour) -> None:
    contour.trouble = ORPHANED
    async with site.controller(accept_within=PATIENT):
        await site.apply(deployment(), proxied())
        await site.reason_has("no HTTPProxy with a virtualhost includes it")
        assert await site.replicas("podinfo") == 2, "users may still come through the target's own Service"

        await contour.change("")
        await site.phase_is("Initialized")


async def test_a_proxy_that_nobody_includes_does_not_hold_for_ever(site: Site, contour: Contour) -> None:
    contour.trouble = ORPHANED
    async with site.controller():
        await site.apply(deployment(), proxied())
        await site.phase_is("Initialized")


async def test_a_proxy_that_contour_refuses_holds_the_rollout(site: Site, contour: Contour) -> None:
    async with site.controller():
        await site.apply(deployment(), proxied())
        await site.phase_is("Initialized")
        contour.trouble = "PathMatchConditionsNotValid"
        await site.set_image("6.0.1")
        await site.reason_has("Contour does not serve the route: PathMatchConditionsNotValid: as the test wants it")
        await site.settled()
        assert contour.shares() == [0, 25]

        await contour.change("")
        await site.phase_is("Succeeded")


async def test_a_users_own_proxy_keeps_its_host_and_comes_back_as_it_was(site: Site, contour: Contour) -> None:
    host = f"{site.namespace}.example.com"
    await site.apply(deployment(), service(), users_own(host))
    await site.until(lambda: is_reachable(site, "podinfo"), "pods behind podinfo")
    before = await site.get(HTTP_PROXIES, "podinfo")
    async with site.controller(), always_served(site):
        await site.apply(proxied())
        await site.phase_is("Initialized")
        taken = await site.get(HTTP_PROXIES, "podinfo")
        assert taken["spec"]["virtualhost"] == {"fqdn": host}
        assert references(taken) == [("podinfo-primary", 100), ("podinfo-canary", 0)]

        await site.client.delete(site.ref(CANARIES, "podinfo"))
        await site.gone()

    after = await site.get(HTTP_PROXIES, "podinfo")
    assert after["spec"] == before["spec"]
    assert (labels_of(after), annotations_of(after)) == (labels_of(before), annotations_of(before))
    assert await site.ours() == []


async def test_our_own_proxy_stays_and_leads_to_the_apex_service(site: Site, contour: Contour) -> None:
    async with site.controller():
        await site.apply(deployment(), proxied(AUDIENCE))
        await site.phase_is("Initialized")
        async with always_served(site):
            await site.client.delete(site.ref(CANARIES, "podinfo"))
            await site.gone()

    proxy = await site.get(HTTP_PROXIES, "podinfo")
    assert references(proxy) == [("podinfo", 100)]
    assert not [key for key in annotations_of(proxy) if "flagger" in key]
    assert await site.ours() == []
