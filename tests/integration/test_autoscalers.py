"""Canaries with a HorizontalPodAutoscaler, under Kubernetes' own autoscaling controller.

There is no metrics server here, so autoscalers keep workloads within their bounds and do nothing else.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, HPAS, HTTP_ROUTES
from tests.integration.gateway import Gateway, canary_share
from tests.integration.objects import autoscaler, blue_green, deployment, progressive, routed, scaled
from tests.integration.servers import Hooks
from tests.integration.site import Site

pytestmark = pytest.mark.integration

STARTED = "New revision detected! Scaling up"


async def bounds(site: Site, name: str = "podinfo-primary") -> tuple[int, int]:
    spec = (await site.get(HPAS, name))["spec"]
    return int(spec["minReplicas"]), int(spec["maxReplicas"])


async def bounds_are(site: Site, low: int, high: int) -> None:
    async def there() -> bool:
        return await bounds(site) == (low, high)

    await site.until(there, f"an autoscaler of the primary from {low} to {high}")


async def size_is(site: Site, name: str, replicas: int) -> None:
    async def there() -> bool:
        return await site.replicas(name) == replicas

    await site.until(there, f"{name} of {replicas}")


async def started_nothing(site: Site) -> None:
    assert [message for message in await site.events() if message.startswith(STARTED)] == []


def wish(obj: JsonObject) -> JsonObject:
    """What a user wrote, and who else wrote anything but a status."""
    metadata = obj["metadata"]
    writers = {row["manager"] for row in metadata["managedFields"] if row.get("subresource") != "status"}
    return {"spec": obj["spec"], "annotations": metadata.get("annotations"), "writers": writers}


async def test_the_primary_gets_a_copy_whose_edits_are_taken_over_and_analysed_never(site: Site) -> None:
    async with site.controller():
        behavior = {"scaleDown": {"stabilizationWindowSeconds": 0}}
        await site.apply(deployment(), autoscaler(behavior=behavior), scaled(blue_green(), apiVersion="autoscaling/v1"))
        await site.phase_is("Initialized")
        mine, theirs = await site.get(HPAS, "podinfo"), await site.get(HPAS, "podinfo-primary")
        copied = {key: value for key, value in theirs["spec"].items() if key != "scaleTargetRef"}
        assert copied == {key: value for key, value in mine["spec"].items() if key != "scaleTargetRef"}
        assert theirs["spec"]["scaleTargetRef"]["name"] == "podinfo-primary"
        assert "ownerReferences" not in theirs["metadata"]

        await site.edit(HPAS, "podinfo", {"spec": {"minReplicas": 3, "maxReplicas": 9}})
        await bounds_are(site, 3, 9)
        await size_is(site, "podinfo-primary", 3)
        await site.edit(HPAS, "podinfo-primary", {"spec": {"maxReplicas": 40}})
        await bounds_are(site, 3, 9)
        await site.client.delete(site.ref(HPAS, "podinfo-primary"))
        await site.exists(HPAS, "podinfo-primary")
        await bounds_are(site, 3, 9)

        await site.settled()
        assert await site.phase() == "Initialized"
        await started_nothing(site)
        assert wish(await site.get(HPAS, "podinfo")) == wish(mine) | {
            "spec": mine["spec"] | {"minReplicas": 3, "maxReplicas": 9}
        }


async def test_the_canarys_own_bounds_are_the_primarys(site: Site) -> None:
    async with site.controller():
        overrides = {"minReplicas": 3, "maxReplicas": 9}
        await site.apply(deployment(), autoscaler(), scaled(blue_green(), primaryScalerReplicas=overrides))
        await site.phase_is("Initialized")
        await bounds_are(site, 3, 9)
        await size_is(site, "podinfo-primary", 3)
        assert await bounds(site, "podinfo") == (2, 6)


async def test_an_autoscaler_that_comes_late_is_waited_for(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(), scaled(blue_green()))
        await site.stalled("HorizontalPodAutoscaler podinfo does not exist")
        assert await site.find(DEPLOYMENTS, "podinfo-primary") is None
        await site.apply(autoscaler())
        await site.phase_is("Initialized")
        await site.exists(HPAS, "podinfo-primary")


async def test_scaling_the_target_by_hand_or_by_its_autoscaler_starts_no_rollout(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(), autoscaler(), scaled(blue_green()))
        await site.phase_is("Initialized")
        for replicas in (1, 5, 9):  # below, within and above what the autoscaler admits
            await site.scale(replicas)
            await size_is(site, "podinfo", 0)
        await site.settled()
        assert await site.phase() == "Initialized"
        await started_nothing(site)


@pytest.mark.parametrize("replicas", [1, 4])
async def test_scaling_a_target_without_reference_starts_no_rollout(site: Site, replicas: int) -> None:
    async with site.controller():
        await site.apply(deployment(), autoscaler(), blue_green())
        await site.phase_is("Initialized")
        await site.scale(replicas)
        await size_is(site, "podinfo", 0)
        await site.settled()
        await started_nothing(site)
        assert await site.find(HPAS, "podinfo-primary") is None


async def test_adding_the_reference_to_a_canary_of_ten_leaves_it_at_ten(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(replicas=10), blue_green())
        await site.phase_is("Initialized")
        await site.apply(autoscaler(low=2, high=20), scaled(blue_green()))
        await site.exists(HPAS, "podinfo-primary")

        # The autoscaling controller has looked when it has said something.
        async def looked() -> bool:
            return bool(((await site.get(HPAS, "podinfo-primary")).get("status") or {}).get("conditions"))

        await site.until(looked, "a look at the primary")
        await site.set_image("6.0.1")
        await site.phase_is("Succeeded")
        assert await site.replicas("podinfo-primary") == 10
        assert await site.replicas("podinfo") == 0
        await site.apply(blue_green())
        await site.gone(HPAS, "podinfo-primary")
        assert await site.replicas("podinfo-primary") == 10


@pytest.mark.parametrize(
    ("title", "analysis", "needed"),
    [
        ("half of the users come back", {"stepWeight": 50, "maxWeight": 50}, 2 + 5),
        ("all users come back", {"stepWeights": [100]}, 5),
    ],
)
async def test_users_come_back_to_as_many_pods_as_served_them(
    site: Site, gateway: Gateway, hooks: Hooks, title: str, analysis: dict[str, Any], needed: int
) -> None:
    hooks.close("confirm-promotion")
    canary = routed("podinfo", {**analysis, "webhooks": [hooks.webhook("confirm-promotion")]})
    async with site.controller():
        await site.apply(deployment(), autoscaler(high=9), scaled(canary))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("WaitingPromotion")
        await site.scale(5)
        await site.until(lambda: _available(site, "podinfo", 5), "five pods of the canary")
        _, since = await site.client.list(DEPLOYMENTS, site.namespace)
        hooks.open("confirm-promotion")
        async with asyncio.TaskGroup() as group:
            there = group.create_task(
                site.version_when(DEPLOYMENTS, "podinfo-primary", lambda one: _has(one, needed), since=since)
            )
            returned = group.create_task(
                site.version_when(HTTP_ROUTES, "podinfo", lambda one: canary_share(one) == 0, since=since)
            )
        assert there.result() < returned.result(), title
        await site.phase_is("Succeeded")
    assert await bounds(site) == (needed, 9), "and they stay until the autoscaler knows the users"
    assert await site.replicas("podinfo-primary") == needed
    assert gateway.shares()[-1] == 0


async def test_users_who_come_back_at_once_find_their_pods_on_the_way(
    site: Site, gateway: Gateway, hooks: Hooks
) -> None:
    hooks.close("confirm-promotion", "rollback")
    webhooks = [hooks.webhook("confirm-promotion"), hooks.webhook("rollback")]
    async with site.controller():
        await site.apply(deployment(), autoscaler(high=9), scaled(progressive(step=50, most=50, webhooks=webhooks)))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("WaitingPromotion")
        await site.scale(5)
        await site.until(lambda: _available(site, "podinfo", 5), "five pods of the canary")
        hooks.open("rollback")
        await site.phase_is("Failed")
        await size_is(site, "podinfo-primary", 7)
        await size_is(site, "podinfo", 0)
    assert gateway.shares() == [0, 50, 0]


async def test_deletion_gives_the_target_the_size_of_the_primary_and_leaves_the_users_autoscaler(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(), autoscaler(), scaled(blue_green()))
        await site.phase_is("Initialized")
        before = wish(await site.get(HPAS, "podinfo"))
        await site.scale(4, "podinfo-primary")
        await site.until(lambda: _available(site, "podinfo-primary", 4), "four pods of the primary")
        await site.client.delete(site.ref(CANARIES, "podinfo"))
        await site.gone()
        assert await site.replicas("podinfo") == 4
        assert await site.find(HPAS, "podinfo-primary") is None
        assert wish(await site.get(HPAS, "podinfo")) == before
        assert await site.ours() == []


async def _available(site: Site, name: str, replicas: int) -> bool:
    return _has(await site.get(DEPLOYMENTS, name), replicas)


def _has(workload: JsonObject, replicas: int) -> bool:
    return int((workload.get("status") or {}).get("availableReplicas") or 0) >= replicas
