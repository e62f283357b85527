"""Deletion in all its ways: users are served at every moment, nothing of ours stays behind, and it always ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Literal

import pytest

from flaggerpy.api.constants import FINALIZER
from flaggerpy.kube.objects import JsonObject, finalizers_of
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, HTTP_ROUTES, NAMESPACES, SERVICES, Ref
from tests.integration.gateway import Gateway
from tests.integration.objects import blue_green, config_map, deployment, progressive
from tests.integration.pods import Breaker
from tests.integration.served import always_served
from tests.integration.servers import Hooks
from tests.integration.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

Write = Callable[[], JsonObject]
Propagation = Literal["Background", "Foreground", "Orphan"]
WRITERS = [pytest.param(blue_green, id="kubernetes"), pytest.param(progressive, id="gatewayapi:v1")]

# The garbage collector, which ends foreground and orphaning deletions, learns of new kinds every 30 seconds.
COLLECTED = 60.0


async def delete(site: Site, propagation: Propagation = "Background") -> None:
    await site.client.delete(site.ref(CANARIES, "podinfo"), propagation=propagation)


async def before_its_promotion(site: Site, hooks: Hooks) -> None:
    """Roll a revision out until it waits, with a quarter of the users, for a gate that stays closed."""
    hooks.close("confirm-promotion")
    webhooks = [hooks.webhook("confirm-promotion")]
    await site.apply(deployment(), progressive(step=25, most=25, webhooks=webhooks))
    await site.phase_is("Initialized")
    await site.set_image("6.0.1")
    await site.phase_is("WaitingPromotion")


async def handed_back(site: Site, *, routed: bool, replicas: int = 2) -> None:
    """Check that the target serves by itself and that nothing of ours is left."""
    target = await site.get(DEPLOYMENTS, "podinfo")
    assert target["spec"]["replicas"] == target["status"]["readyReplicas"] == replicas
    assert await site.selector("podinfo") == {"app": "podinfo"}
    assert await site.find(DEPLOYMENTS, "podinfo-primary") is None
    assert await site.find(SERVICES, "podinfo-primary") is None
    assert await site.find(SERVICES, "podinfo-canary") is None
    assert await site.ours() == []
    if routed:
        assert await site.weights() == {"podinfo": 100}


@pytest.mark.parametrize("propagation", ["Background", "Foreground", "Orphan"])
@pytest.mark.parametrize("write", WRITERS)
async def test_an_idle_canary_hands_its_users_back(
    site: Site, gateway: Gateway, write: Write, propagation: Propagation
) -> None:
    volumes = [{"name": "config", "configMap": {"name": "settings"}}]
    async with site.controller():
        await site.apply(config_map("settings", {"color": "red"}), deployment(replicas=3, volumes=volumes), write())
        await site.phase_is("Initialized")
        async with always_served(site):
            await delete(site, propagation)
            await site.gone(patience=COLLECTED)
        await site.event("Terminated canary")
    await handed_back(site, routed=write is progressive, replicas=3)


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
async def test_a_canary_is_deleted_in_the_middle_of_its_rollout(
    site: Site, gateway: Gateway, hooks: Hooks, propagation: Propagation
) -> None:
    async with site.controller():
        await before_its_promotion(site, hooks)
        async with always_served(site):
            await delete(site, propagation)
            await site.gone(patience=COLLECTED)
    await handed_back(site, routed=True)
    assert await site.image("podinfo") == "6.0.1"


@pytest.mark.parametrize("write", WRITERS)
async def test_a_deletion_waits_for_a_controller_that_is_down(site: Site, gateway: Gateway, write: Write) -> None:
    async with site.controller() as first:
        await site.apply(deployment(), write())
        await site.phase_is("Initialized")
        await site.settled()
        await first.kill()
    async with always_served(site):
        await delete(site)
        assert FINALIZER in finalizers_of(await site.canary())
        await site.settled()
        async with site.controller():
            await site.gone()
    await handed_back(site, routed=write is progressive)


@pytest.mark.parametrize("write", WRITERS)
async def test_without_its_target_everything_we_made_goes(site: Site, gateway: Gateway, write: Write) -> None:
    async with site.controller():
        await site.apply(deployment(), write())
        await site.phase_is("Initialized")
        await site.client.delete(site.ref(DEPLOYMENTS, "podinfo"))
        await site.stalled("Deployment podinfo does not exist")
        await delete(site)
        await site.gone()
    assert await site.ours() == []
    assert await site.find(SERVICES, "podinfo") is None
    assert await site.find(HTTP_ROUTES, "podinfo") is None


@pytest.mark.parametrize("write", WRITERS)
async def test_a_target_that_never_becomes_ready_leaves_the_primary_serving(
    site: Site, gateway: Gateway, pods: Breaker, write: Write
) -> None:
    made, workload = write(), deployment()
    made["spec"]["progressDeadlineSeconds"] = 4
    workload["spec"]["minReadySeconds"] = 2  # kwok's pods are ready at first, until they are broken
    async with site.controller():
        await site.apply(workload, made)
        await site.phase_is("Initialized")
        pods.break_pods("podinfo")
        async with always_served(site):
            await delete(site)
            await site.gone(patience=20)
        await site.event("stay as they are and go on serving")
    assert await site.selector("podinfo") == {"app": "podinfo-primary"}
    assert (await site.get(DEPLOYMENTS, "podinfo-primary"))["status"]["readyReplicas"] == 2


async def test_a_route_that_is_refused_is_named_with_its_host_and_its_canary_can_be_deleted(
    site: Site, gateway: Gateway
) -> None:
    gateway.refusal = "RuleMatchConflict"
    async with site.controller():
        await site.apply(deployment(), progressive())
        said = await site.stalled("the data plane refuses the route for podinfo.local: Gateway contour does not serve")
        assert "RuleMatchConflict: as the test wants it; mend " in said
        assert (await site.condition("Stalled"))["reason"] == "RouteRefused"
        assert await site.replicas("podinfo") == 2
        async with always_served(site):
            await delete(site)
            await site.gone()
        await site.event("serves its users without a route: the data plane refuses the route for podinfo.local")
    await handed_back(site, routed=True)


async def test_a_deletion_says_why_its_target_cannot_start_and_until_when_it_waits(site: Site, pods: Breaker) -> None:
    workload = deployment()
    workload["spec"]["minReadySeconds"] = 2  # kwok's pods are ready at first, until they are held
    async with site.controller(fail_fast_after=timedelta(seconds=1)):
        await site.apply(workload, blue_green())
        await site.phase_is("Initialized")
        pods.hold("podinfo", "6.0.0", "ErrImagePull", "no such image")
        await delete(site)
        said = await site.reason_has("cannot become ready: container podinfod of 2 of 2 pods: ErrImagePull")
        assert "(no such image); gives up at " in said
        assert said.endswith(" UTC and leaves the primary serving")
        pods.heal()
        await site.gone()
    await handed_back(site, routed=False)


async def test_a_canary_is_deleted_before_it_was_ready(site: Site, pods: Breaker) -> None:
    pods.break_pods("podinfo-primary")
    async with site.controller():
        await site.apply(deployment(), blue_green())
        await site.reason_has("podinfo-primary")
        await delete(site)
        await site.gone()
    target = await site.get(DEPLOYMENTS, "podinfo")
    assert target["spec"]["replicas"] == target["status"]["readyReplicas"] == 2
    assert await site.ours() == []


async def test_a_canary_without_a_target_from_the_beginning_can_be_deleted(site: Site) -> None:
    async with site.controller():
        await site.apply(blue_green())
        await site.stalled("does not exist")
        await delete(site)
        await site.gone()


@pytest.mark.parametrize(
    ("title", "spec"),
    [
        ("an analysis that makes no sense", {"analysis": {"iterations": None, "stepWeights": [50, 10]}}),
        ("a metric that cannot be measured", {"analysis": {"metrics": [{"name": "mood"}]}}),
        ("a template that does not exist", {"analysis": {"metrics": [{"name": "x", "templateRef": {"name": "no"}}]}}),
    ],
)
async def test_a_canary_that_became_invalid_can_be_deleted_w26(site: Site, title: str, spec: JsonObject) -> None:
    async with site.controller():
        await site.apply(deployment(), blue_green())
        await site.phase_is("Initialized")
        await site.edit(CANARIES, "podinfo", {"spec": spec})
        await site.stalled("")
        async with always_served(site):
            await delete(site)
            await site.gone()
    await handed_back(site, routed=False)


async def test_a_canary_with_users_whose_route_cannot_be_written_any_more_can_be_deleted_w26(
    site: Site, gateway: Gateway, hooks: Hooks
) -> None:
    """The primary is larger than the canary, which has to grow before it gets everybody."""
    unsaid = {"match": [{"headers": {"x-user": {"prefix": "me"}}}]}
    async with site.controller():
        await before_its_promotion(site, hooks)
        await site.edit(CANARIES, "podinfo", {"spec": {"service": unsaid}})
        await site.stalled("neither exact nor regex")
        await site.edit(DEPLOYMENTS, "podinfo-primary", {"spec": {"replicas": 3}})
        async with always_served(site):
            await delete(site)
            await site.gone(patience=COLLECTED)
    await handed_back(site, routed=True, replicas=3)


async def test_an_abort_waits_for_a_route_that_can_be_written(site: Site, gateway: Gateway, hooks: Hooks) -> None:
    async with site.controller():
        await before_its_promotion(site, hooks)
        await site.edit(CANARIES, "podinfo", {"spec": {"provider": "contuor"}})
        await site.stalled("contuor")
        request = json.dumps({"id": "one", "verb": "abort", "by": "alice"})
        await site.edit(CANARIES, "podinfo", {"metadata": {"annotations": {"flaggerpy.dev/request": request}}})
        await site.event("is aborted as soon as this is mended")
        await site.settled()
        assert await site.phase() == "WaitingPromotion"
        assert await site.weights() == {"podinfo-primary": 75, "podinfo-canary": 25}
        await site.edit(CANARIES, "podinfo", {"spec": {"provider": "gatewayapi:v1"}})
        await site.phase_is("Failed")
    assert gateway.shares() == [0, 25, 0]


async def test_objects_that_are_gone_already_do_not_stop_a_deletion_w26(site: Site, gateway: Gateway) -> None:
    async with site.controller() as first:
        await site.apply(deployment(), progressive())
        await site.phase_is("Initialized")
        await site.settled()
        await first.kill()
    for resource, name in (
        (HTTP_ROUTES, "podinfo"),
        (SERVICES, "podinfo"),
        (SERVICES, "podinfo-primary"),
        (DEPLOYMENTS, "podinfo-primary"),
    ):
        await site.client.delete(site.ref(resource, name))
    await delete(site)
    async with site.controller():
        await site.gone()
    assert (await site.get(DEPLOYMENTS, "podinfo"))["spec"]["replicas"] >= 1
    assert await site.ours() == []


async def test_a_finalizer_of_somebody_else_is_left_to_them(site: Site) -> None:
    async with site.controller() as controller:
        await site.apply(deployment(), blue_green())
        await site.phase_is("Initialized")
        await site.edit(CANARIES, "podinfo", {"metadata": {"finalizers": [FINALIZER, "example.com/theirs"]}})
        await delete(site)

        async def ours_is_gone() -> bool:
            return finalizers_of(await site.canary()) == ("example.com/theirs",)

        await site.until(ours_is_gone, "end of our finalizer")
        await handed_back(site, routed=False)
        await site.settled()
        before = len(controller.writes)
        await site.edit(CANARIES, "podinfo", {"metadata": {"labels": {"touched": "yes"}}})
        await site.settled()
        assert controller.writes[before:] == []
        await site.edit(CANARIES, "podinfo", {"metadata": {"finalizers": []}})
        await site.gone()


@pytest.mark.parametrize("moment", ["idle", "in mid-rollout", "with a target that is not ready"])
async def test_a_namespace_can_always_be_deleted(site: Site, pods: Breaker, hooks: Hooks, moment: str) -> None:
    hooks.close("confirm-promotion")
    here = Ref(NAMESPACES, "", site.namespace)
    async with site.controller():
        await site.apply(deployment(), blue_green(iterations=1, webhooks=[hooks.webhook("confirm-promotion")]))
        await site.phase_is("Initialized")
        if moment == "in mid-rollout":
            await site.set_image("6.0.1")
            await site.phase_is("WaitingPromotion")
        elif moment == "with a target that is not ready":
            pods.break_pods("podinfo")
        await site.client.delete(here)
        await site.gone(patience=60)

        async def ended() -> bool:
            items, _ = await site.client.list(NAMESPACES)
            return all(item["metadata"]["name"] != site.namespace for item in items)

        await site.until(ended, "end of the namespace", patience=60)
