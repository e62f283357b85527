"""Shares by numbers of pods: one Service on a real API server, and the endpoints that Kubernetes keeps behind it."""

from __future__ import annotations

from collections import Counter

import pytest

from flaggerpy.kube.objects import JsonObject, annotations_of
from flaggerpy.kube.resources import CANARIES, SERVICES, Resource
from tests.integration.objects import canary, deployment
from tests.integration.servers import Hooks
from tests.integration.site import Site

pytestmark = pytest.mark.integration

PODS = 8
LABEL = "shop.example.com/serves"
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
BY_REPLICAS = {"trafficByReplicas": {"label": LABEL}, "stepWeights": [10, 50]}
ALONE = {"app": "podinfo-primary"}


def labelled(**labels: str | None) -> JsonObject:
    """Write a Deployment whose pods have a label in common with those of its primary."""
    made = deployment(replicas=PODS)
    wanted = {**made["spec"]["template"]["metadata"]["labels"], LABEL: "podinfo", **labels}
    made["spec"]["template"]["metadata"]["labels"] = {key: value for key, value in wanted.items() if value is not None}
    return made


def split(hooks: Hooks) -> JsonObject:
    """Write a Canary whose users are spread over pods, and whose every share somebody approves."""
    analysis = {**BY_REPLICAS, "webhooks": [hooks.webhook("confirm-traffic-increase")]}
    return canary("podinfo", analysis, provider="kubernetes")


async def test_users_are_spread_over_the_pods_of_both(site: Site, hooks: Hooks) -> None:
    async with site.controller():
        await site.apply(labelled(), split(hooks))
        await site.phase_is("Initialized")
        assert await site.selector("podinfo") == ALONE
        hooks.close("confirm-traffic-increase")
        await site.set_image("6.0.1")
        await site.reason_has("waiting for traffic increase approval")
        await _behind(site, {"podinfo-primary": PODS})

        hooks.open("confirm-traffic-increase")
        await site.event("asked 10 %, 1 of 9 pods = 11.1 %")
        hooks.close("confirm-traffic-increase")
        assert await site.selector("podinfo") == {LABEL: "podinfo"}
        await _behind(site, {"podinfo": 1, "podinfo-primary": PODS})

        hooks.open("confirm-traffic-increase")
        await site.event("asked 50 %, 8 of 16 pods = 50 %")
        await site.phase_is("Succeeded")
        await site.settled()
        assert await site.selector("podinfo") == ALONE
        await _behind(site, {"podinfo-primary": PODS})
        assert not (await site.canary())["status"]["rollout"]["share"]


async def test_a_selector_that_somebody_puts_back_is_mended_with_the_share(site: Site, hooks: Hooks) -> None:
    async with site.controller():
        await site.apply(labelled(), split(hooks))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.event("asked 10 %, 1 of 9 pods = 11.1 %")
        hooks.close("confirm-traffic-increase")

        await site.edit(SERVICES, "podinfo", {"spec": {"selector": {"app": "podinfo", LABEL: None}}})

        await site.event("were changed from outside to 100%: put back to 10%")
        await _behind(site, {"podinfo": 1, "podinfo-primary": PODS})


async def test_a_deletion_in_mid_rollout_leaves_the_target_with_all_pods_and_all_users(
    site: Site, hooks: Hooks
) -> None:
    async with site.controller():
        await site.apply(labelled(), split(hooks))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.event("asked 10 %, 1 of 9 pods = 11.1 %")
        hooks.close("confirm-traffic-increase")
        await site.client.delete(site.ref(CANARIES, "podinfo"), propagation="Background")
        await site.gone()

        assert await site.selector("podinfo") == {"app": "podinfo"}
        await _behind(site, {"podinfo": PODS})
        service = await site.get(SERVICES, "podinfo")
        assert not [key for key in annotations_of(service) if key.startswith("flaggerpy.dev/")]


async def test_pods_without_a_label_in_common_are_told_to_their_author(site: Site, hooks: Hooks) -> None:
    async with site.controller():
        await site.apply(labelled(**{LABEL: None}), split(hooks))
        await site.stalled(f"Deployment podinfo has no label {LABEL} in its pod template")
        await site.apply(labelled())
        await site.phase_is("Initialized")


async def _behind(site: Site, wanted: dict[str, int]) -> None:
    """Wait until so many ready pods of each workload are behind the Service."""

    async def there() -> bool:
        items, _ = await site.client.list(SLICES, site.namespace)
        mine = [item for item in items if item["metadata"]["labels"].get("kubernetes.io/service-name") == "podinfo"]
        pods = [
            endpoint["targetRef"]["name"]
            for item in mine
            for endpoint in item.get("endpoints") or ()
            if endpoint["conditions"].get("ready")
        ]
        return Counter(_workload(name) for name in pods) == wanted

    await site.until(there, f"pods behind the Service: {wanted}")


def _workload(pod: str) -> str:
    """Return whose pod it is: its name begins with that of its Deployment, and ends with two parts."""
    return pod.rsplit("-", 2)[0]
