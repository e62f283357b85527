"""Workloads that never become ready: in the bootstrap, in the analysis, and in the promotion."""

from __future__ import annotations

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, PODS, SERVICES, Resource
from tests.integration.gateway import Gateway
from tests.integration.objects import blue_green, careful, progressive
from tests.integration.pods import Breaker
from tests.integration.served import always_served
from tests.integration.servers import Hooks
from tests.integration.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")


def quota(pods: int) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "room"},
        "spec": {"hard": {"pods": str(pods)}},
    }


async def test_a_promotion_that_finds_no_room_is_served_by_the_canary_until_there_is_some_w02(
    site: Site, gateway: Gateway, hooks: Hooks
) -> None:
    """A quota leaves the primary no room for a new pod; users stay on the analysed canary, and go back when it has."""
    hooks.close("confirm-promotion")
    async with site.controller():
        await site.apply(careful(), progressive(step=50, most=50, webhooks=[hooks.webhook("confirm-promotion")]))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("WaitingPromotion")
        await site.apply(quota(4))
        await site.until(lambda: _used(site), "a counted quota")

        async with always_served(site):
            hooks.open("confirm-promotion")
            found = await site.phase_is("Failed")
            assert found["status"]["canaryWeight"] == 100
            assert await site.weights() == {"podinfo-primary": 0, "podinfo-canary": 100}
            await site.event("Promotion of podinfo")
            await site.settled()
            assert await site.replicas("podinfo") == 2

            await site.client.delete(site.ref(QUOTAS, "room"))
            await site.phase_is("Succeeded", patience=60)
    assert gateway.shares() == [0, 50, 100, 0]
    assert await site.image("podinfo-primary") == "6.0.1"


async def test_a_fix_is_promoted_into_a_broken_primary_w02(site: Site, gateway: Gateway, pods: Breaker) -> None:
    """The revision works as a canary and not as a primary: the next one is analysed under all traffic and promoted."""
    pods.break_pods("podinfo-primary", "6.0.1")
    async with site.controller():
        await site.apply(careful(), progressive(step=50, most=50))
        await site.phase_is("Initialized")
        async with always_served(site):
            await site.set_image("6.0.1")
            await site.phase_is("Failed")
            assert await site.weights() == {"podinfo-primary": 0, "podinfo-canary": 100}

            await site.set_image("6.0.2")
            await site.phase_is("Succeeded")
            await site.until(lambda: _asleep(site), "sleep of the target")
    assert gateway.shares() == [0, 50, 100, 0]
    assert await site.image("podinfo-primary") == "6.0.2"


async def test_a_bootstrap_that_cannot_finish_leaves_the_target_alone_w03(site: Site, pods: Breaker) -> None:
    pods.break_pods("podinfo-primary")
    async with site.controller():
        await site.apply(careful(), {**blue_green(), "spec": {**blue_green()["spec"], "progressDeadlineSeconds": 2}})
        await site.reason_has("podinfo-primary", patience=20)
        await site.reason_has("did not become ready within 2s")

        assert await site.phase() == "Initializing"
        assert await site.replicas("podinfo") == 2
        assert await site.find(SERVICES, "podinfo") is None

        pods.heal()
        await site.phase_is("Initialized")
        assert await site.selector("podinfo") == {"app": "podinfo-primary"}


async def test_a_canary_that_breaks_during_its_promotion_does_not_undo_it_w15(
    site: Site, gateway: Gateway, pods: Breaker
) -> None:
    async with site.controller():
        await site.apply(careful(), progressive(step=50, most=50, stepWeightPromotion=10))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.until(lambda: _share_below(gateway, 50), "the first step back")
        await site.edit(CANARIES, "podinfo", {"spec": {"progressDeadlineSeconds": 2}})
        pods.break_pods("podinfo")
        await site.phase_is("Succeeded")
        await site.settled()

        assert await site.phase() == "Succeeded"
    assert await site.image("podinfo-primary") == "6.0.1"
    assert gateway.shares()[-1] == 0


async def test_a_canary_that_never_becomes_ready_fails_with_an_event_and_an_alert_w04(
    site: Site, gateway: Gateway, pods: Breaker, hooks: Hooks
) -> None:
    pods.break_pods("podinfo", "6.0.1")
    provider = {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "AlertProvider",
        "metadata": {"name": "chat"},
        "spec": {"type": "slack", "channel": "releases", "username": "flagger", "address": f"{hooks.url}/chat"},
    }
    alerts = [{"name": "on-call", "severity": "error", "providerRef": {"name": "chat"}}]
    async with site.controller():
        await site.apply(provider, careful(), progressive(alerts=alerts))
        await site.phase_is("Initialized")
        # Not before: on a busy machine the primary may take longer, and that is an alert as well.
        await site.edit(CANARIES, "podinfo", {"spec": {"progressDeadlineSeconds": 2}})
        await site.set_image("6.0.1")
        await site.phase_is("Failed")
        await site.event("did not become ready")
        await site.until(lambda: _alerted(hooks), "an alert")
        await site.until(lambda: _asleep(site), "sleep of the target")

    (alert,) = hooks.to("chat")
    (attachment,) = alert.body["attachments"]
    assert (alert.body["channel"], attachment["color"]) == ("releases", "danger")
    assert attachment["author_name"] == f"podinfo.{site.namespace}"
    assert "did not become ready" in attachment["text"]
    assert gateway.shares() == [0]


async def test_a_canary_that_lacks_a_pod_which_its_deployment_does_not_miss_is_rolled_back_too(
    site: Site, gateway: Gateway, pods: Breaker
) -> None:
    """Its conditions are Available and NewReplicaSetAvailable all the time, since it was edited at zero replicas."""
    pods.hold("podinfo", "6.0.1", "ContainerCreating", most=1)
    roll = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": 1}}
    async with site.controller():
        await site.apply(careful(replicas=4, strategy=roll), progressive())
        await site.phase_is("Initialized")
        await site.edit(CANARIES, "podinfo", {"spec": {"progressDeadlineSeconds": 8}})
        async with always_served(site):
            await site.set_image("6.0.1")
            await site.until(lambda: _is_missed_by_nobody(site), "a canary that lacks one pod", patience=30)
            failed = await site.phase_is("Failed", patience=40)
    assert "3 of 4 (readyThreshold 100%) updated replicas are available" in failed["status"]["rollout"]["failing"]
    assert gateway.shares() == [0]


async def _is_missed_by_nobody(site: Site) -> bool:
    status = (await site.get(DEPLOYMENTS, "podinfo"))["status"]
    said = {one["type"]: (one["status"], one["reason"]) for one in status.get("conditions") or ()}
    silent = {"Available": ("True", "MinimumReplicasAvailable"), "Progressing": ("True", "NewReplicaSetAvailable")}
    noted = (await site.canary())["status"]["rollout"].get("targetUnreadySince")
    return said == silent and status.get("availableReplicas") == 3 and noted is not None


async def _used(site: Site) -> bool:
    pods, _ = await site.client.list(PODS, site.namespace)
    used = ((await site.get(QUOTAS, "room")).get("status") or {}).get("used") or {}
    return bool(used.get("pods") == str(len(pods)) == "4")


async def _asleep(site: Site) -> bool:
    return await site.replicas("podinfo") == 0


async def _share_below(gateway: Gateway, share: int) -> bool:
    return 50 in gateway.shares() and gateway.shares()[-1] < share


async def _alerted(hooks: Hooks) -> bool:
    return bool(hooks.to("chat"))
