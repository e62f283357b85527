"""Routes that their users bring along, on the real kinds of the Gateway API: whatever is not a weight stays theirs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, GATEWAY_ROUTES, HTTP_ROUTES, gateway_route
from tests.integration.beside import touched
from tests.integration.gateway import Gateway, canary_share
from tests.integration.gitops import syncing
from tests.integration.objects import deployment
from tests.integration.served import always_served, is_reachable
from tests.integration.site import Controller, Site
from tests.integration.ways import V1, bringing, full, service, way

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("calm"), pytest.mark.timeout(300)]

FOUGHT = "something else keeps changing the route of podinfo"


def without_backends(route: JsonObject) -> JsonObject:
    """Return everything of a route that is its user's."""
    rules = [{key: value for key, value in rule.items() if key != "backendRefs"} for rule in route["spec"]["rules"]]
    return {**route["spec"], "rules": rules}


def shares(route: JsonObject) -> list[tuple[str, int]]:
    """Return the backends of the last rule."""
    return [(one["name"], one.get("weight", 1)) for one in route["spec"]["rules"][-1]["backendRefs"]]


async def test_every_rule_filter_and_field_survives_a_rollout_and_a_deletion(site: Site, gateway: Gateway) -> None:
    async with site.controller() as controller:
        await site.apply(deployment(), service(), full())
        await site.until(lambda: is_reachable(site, "podinfo"), "pods behind podinfo")
        before = await site.get(HTTP_ROUTES, "podinfo")
        async with always_served(site):
            await site.apply(bringing())
            await site.phase_is("Initialized")
            await site.set_image("6.0.1")
            await site.phase_is("Progressing")
            await site.phase_is("Succeeded")
            assert shares(await site.get(HTTP_ROUTES, "podinfo")) == [("podinfo-primary", 100), ("podinfo-canary", 0)]
            await site.client.delete(site.ref(CANARIES, "podinfo"))
            await site.gone()

    after = await site.get(HTTP_ROUTES, "podinfo")
    assert after["spec"] == before["spec"]
    assert after["metadata"]["labels"] == before["metadata"]["labels"]
    assert "annotations" not in after["metadata"]
    assert gateway.shares() == [0, 25, 50, 0]
    assert [without_backends(one) for one in gateway.written] == [without_backends(before)] * len(gateway.written)
    assert all(len(one["spec"]["rules"][-1]["backendRefs"][0]["filters"]) == 1 for one in gateway.written)
    at_routes = [request for request in controller.writes if "httproutes" in request.path]
    assert {(request.method, request.content_type) for request in at_routes} == {
        ("PATCH", "application/json-patch+json")
    }


@pytest.mark.parametrize("kind", [kind for kind in GATEWAY_ROUTES if kind != "HTTPRoute"])
async def test_the_other_kinds_go_the_same_way(site: Site, kind: str) -> None:
    resource = gateway_route(kind, V1)
    async with site.controller():
        await site.apply(deployment(), service(), way(kind))
        before = await site.get(resource, "podinfo")
        await site.apply(bringing(kind, interval="2s"))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        for share in (25, 50):
            await site.until(_share(site, kind, share), f"{share} % in the {kind}")
        await site.phase_is("Succeeded")
        await site.client.delete(site.ref(CANARIES, "podinfo"))
        await site.gone()
    after = await site.get(resource, "podinfo")
    assert after["spec"] == before["spec"]


async def test_a_tool_that_applies_the_manifest_by_force_costs_no_user_a_pod(site: Site, gateway: Gateway) -> None:
    """It names the apex Service and no weights; docs/providers/bring-your-own.md says what to tell it."""
    made, interval = bringing(interval="5s"), 5.0
    written = deployment()
    del written["spec"]["replicas"]
    await site.apply(service())
    async with site.controller() as controller, syncing(site, "argocd-controller", written, made, full()) as tool:
        await site.phase_is("Initialized", patience=90)
        async with always_served(site):
            at_rest = len(controller.writes)
            await tool.goes_round(4)
            assert _at_routes(controller, at_rest) == 0, "between rollouts there is nothing to fight about"

            tool.push("6.0.1")
            await site.reason_has(FOUGHT, patience=90)
            fought, rounds = len(controller.writes), 4
            await tool.goes_round(rounds)
            assert 1 <= _at_routes(controller, fought) <= rounds * 3 / interval + 2
            assert await site.phase() == "Progressing"

            tool.heals_route = False
            tool.route = full()
            tool.route["spec"]["rules"][1]["timeouts"] = {"request": "7s"}
            await site.phase_is("Succeeded", patience=120)

    after = await site.get(HTTP_ROUTES, "podinfo")
    assert after["spec"]["rules"][1]["timeouts"] == {"request": "7s"}, "a rule that changed in Git has changed"
    assert after["spec"]["rules"][1]["filters"] == full()["spec"]["rules"][1]["filters"]
    assert gateway.shares()[-2:] == [50, 0]
    assert await site.image("podinfo-primary") == "6.0.1"


async def test_a_route_may_come_later_than_a_canary_that_brings_it(site: Site, gateway: Gateway) -> None:
    async with site.controller() as controller:
        await site.apply(deployment(), service(), bringing())
        sentence = await site.stalled("HTTPRoute podinfo does not exist")
        assert "create it, or correct spec.routeRef" in sentence
        assert touched(controller.writes, "podinfo") == {"canaries"}

        elsewhere = way()
        elsewhere["spec"]["rules"][0]["backendRefs"][0]["name"] = "other"
        await site.apply(elsewhere)
        await site.stalled("HTTPRoute podinfo has no rule that leads to Service podinfo")
        assert touched(controller.writes, "podinfo") == {"canaries"}

        await site.apply(way())
        await site.phase_is("Initialized")
    assert gateway.shares()[-1:] == [0]


async def test_a_version_that_is_not_served_is_told_and_nothing_is_touched(site: Site) -> None:
    made = bringing("TCPRoute")
    made["spec"]["routeRef"]["apiVersion"] = "gateway.networking.k8s.io/v1alpha2"
    async with site.controller() as controller:
        await site.apply(deployment(), service(), made)
        sentence = await site.stalled("does not serve tcproutes.gateway.networking.k8s.io in version v1alpha2")
        assert "install its CustomResourceDefinition" in sentence
        assert touched(controller.writes, "podinfo") == {"canaries"}


def _at_routes(controller: Controller, since: int) -> int:
    return len([request for request in controller.writes[since:] if "httproutes" in request.path])


def _share(site: Site, kind: str, share: int) -> Callable[[], Awaitable[bool]]:
    async def there() -> bool:
        route = await site.get(gateway_route(kind, V1), "podinfo")
        return canary_share(route) == share and len(shares(route)) == 2

    return there
