"""Canaries as large as their share, on a real API server: pods before users, and all of them before a deletion."""

from __future__ import annotations

from time import monotonic

import pytest

from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS
from tests.integration.gateway import Gateway
from tests.integration.objects import autoscaler, deployment, routed, scaled
from tests.integration.servers import Hooks
from tests.integration.site import Site

pytestmark = pytest.mark.integration

PODS = 8
SIZED = {"canaryScale": {"matchTrafficWeight": True}}


async def test_each_share_waits_for_its_pods(site: Site, gateway: Gateway) -> None:
    made = deployment(replicas=PODS)
    made["spec"]["minReadySeconds"] = 2
    async with site.controller():
        await site.apply(made, routed("podinfo", {"stepWeights": [25, 50, 100], **SIZED}))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        asked = {}
        for pods in (2, 4, PODS):
            await _has_size(site, pods)
            asked[pods] = monotonic()
        await site.event(f"to {PODS} pods before 100% of the users come to it")
        await site.phase_is("Succeeded")
        await site.settled()

    came = {share: seen for _, share, seen in gateway.diary}
    assert gateway.shares() == [0, 25, 50, 100, 0]
    # A pod counts as available two seconds after it is ready.
    assert came[50] - asked[4] > 1.5
    assert came[100] - asked[PODS] > 1.5
    assert (await site.replicas("podinfo"), await site.replicas("podinfo-primary")) == (0, PODS)
    assert "growth" not in (await site.canary())["status"]["rollout"]["step"]


async def test_a_deletion_gives_the_target_all_its_pods_before_its_users(
    site: Site, gateway: Gateway, hooks: Hooks
) -> None:
    analysis = {"stepWeights": [25, 50], **SIZED, "webhooks": [hooks.webhook("confirm-traffic-increase")]}
    async with site.controller():
        await site.apply(deployment(replicas=PODS), routed("podinfo", analysis))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await _weight_is(site, 25)
        hooks.close("confirm-traffic-increase")
        assert await site.replicas("podinfo") == 2
        await site.client.delete(site.ref(CANARIES, "podinfo"), propagation="Background")
        await site.gone()

        assert await site.replicas("podinfo") == PODS
        assert await site.find(DEPLOYMENTS, "podinfo-primary") is None


async def test_a_size_that_an_autoscaler_decides_is_refused(site: Site, gateway: Gateway) -> None:
    async with site.controller():
        await site.apply(deployment(), autoscaler(), scaled(routed("podinfo", {"stepWeight": 50, **SIZED})))
        await site.stalled("spec.analysis.canaryScale.matchTrafficWeight: the autoscaler in spec.autoscalerRef decides")


async def _has_size(site: Site, pods: int) -> None:
    async def there() -> bool:
        return await site.replicas("podinfo") == pods

    await site.until(there, f"{pods} pods of the canary")


async def _weight_is(site: Site, share: int) -> None:
    async def there() -> bool:
        return (await site.weights()).get("podinfo-canary") == share

    await site.until(there, f"{share}% for the canary")
