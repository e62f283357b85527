"""What was promoted is kept: primaries that are lost, primaries that are broken, and clusters that are built again."""

from __future__ import annotations

from functools import partial

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import (
    CANARIES,
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    DEPLOYMENTS,
    HTTP_ROUTES,
    SERVICES,
)
from tests.integration.gateway import Gateway
from tests.integration.objects import blue_green, careful, config_map, deployment, progressive
from tests.integration.pods import Breaker
from tests.integration.served import always_served, is_reachable
from tests.integration.servers import Hooks
from tests.integration.site import Site

pytestmark = pytest.mark.integration

PRIMARY = "podinfo-primary"
READS: JsonObject = {"envFrom": [{"configMapRef": {"name": "settings"}}]}


async def kept(site: Site, number: int = 2) -> JsonObject:
    """Return the deployment's spec that is kept in one of the two objects."""
    spec: JsonObject = (await site.get(CONTROLLER_REVISIONS, f"podinfo-promoted-{number}"))["data"]["spec"]
    return spec


def tag(spec: JsonObject) -> str:
    return str(spec["template"]["spec"]["containers"][0]["image"]).rpartition(":")[2]


async def lose(site: Site, name: str = PRIMARY) -> None:
    await site.client.delete(site.ref(DEPLOYMENTS, name))


async def runs(site: Site, image: str, pods: int) -> bool:
    found = await site.find(DEPLOYMENTS, PRIMARY)
    ready = found is not None and int((found.get("status") or {}).get("availableReplicas") or 0)
    return ready == pods and await site.image(PRIMARY) == image


async def test_the_two_last_promoted_templates_are_kept_and_go_with_the_canary(site: Site) -> None:
    async with site.controller() as controller:
        await site.apply(deployment(), blue_green(iterations=1))
        await site.phase_is("Initialized")
        for image in ("6.0.1", "6.0.2"):
            await site.set_image(image)
            await site.phase_is("Progressing")
            await site.phase_is("Succeeded")
        assert [tag(await kept(site, number)) for number in (2, 1)] == ["6.0.2", "6.0.1"]
        target = await site.get(DEPLOYMENTS, "podinfo")
        assert (await kept(site))["template"] == target["spec"]["template"], "as the user wrote it"

        await site.settled()
        before = len(controller.writes)
        await site.edit(DEPLOYMENTS, "podinfo", {"metadata": {"labels": {"team": "payments"}}})
        await site.settled()
        assert controller.writes[before:] == []

        await site.client.delete(site.ref(CANARIES, "podinfo"))
        await site.gone()
        assert await site.ours() == []


async def test_a_primary_lost_between_rollouts_comes_back_with_all_its_pods(site: Site) -> None:
    async with site.controller():
        await site.apply(config_map("settings", {"color": "red"}))
        await site.apply(deployment(container=READS, replicas=3), blue_green(iterations=1))
        await site.phase_is("Initialized")
        await lose(site)
        await site.until(lambda: runs(site, "6.0.0", 3), "the primary")
        assert await site.phase() == "Initialized"
        await site.event("podinfo-primary." + site.namespace + " is gone: created again from ControllerRevision")
        assert await site.replicas("podinfo") == 0


async def test_a_primary_lost_together_with_a_new_template_and_config_comes_back_as_promoted(
    site: Site, hooks: Hooks
) -> None:
    """A GitOps tool applies all that is new at once, and prunes what it does not know."""
    hooks.close("confirm-promotion")
    async with site.controller() as controller:
        await site.apply(config_map("settings", {"color": "red"}))
        webhooks = [hooks.webhook("confirm-promotion")]
        await site.apply(deployment(container=READS), blue_green(iterations=1, webhooks=webhooks))
        await site.phase_is("Initialized")
        await controller.kill()
    await site.apply(config_map("settings", {"color": "blue"}))
    await site.set_image("6.0.1")
    await lose(site)
    async with site.controller():
        await site.phase_is("WaitingPromotion")
        assert await site.image(PRIMARY) == "6.0.0"
        assert (await site.get(CONFIG_MAPS, "settings-primary"))["data"] == {"color": "red"}
        hooks.open("confirm-promotion")
        await site.phase_is("Succeeded")
        assert await site.image(PRIMARY) == "6.0.1"
        assert (await site.get(CONFIG_MAPS, "settings-primary"))["data"] == {"color": "blue"}


async def test_a_primary_lost_in_mid_analysis_comes_back_while_the_canary_serves(
    site: Site, gateway: Gateway, hooks: Hooks
) -> None:
    hooks.close("confirm-promotion")
    async with site.controller():
        webhooks = [hooks.webhook("confirm-promotion")]
        await site.apply(deployment(), progressive(step=50, most=50, webhooks=webhooks))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("WaitingPromotion")
        await lose(site)
        await site.until(lambda: runs(site, "6.0.0", 2), "the primary")
        await site.event("the analysis of podinfo." + site.namespace + " starts again once it is back")
        hooks.open("confirm-promotion")
        await site.phase_is("Succeeded")
        assert await site.image(PRIMARY) == "6.0.1"
    assert gateway.shares() == [0, 50, 100, 0, 50, 0]


async def test_a_broken_primary_is_fixed_forward_and_gets_no_users_before_it_is_ready_w02(
    site: Site, gateway: Gateway, pods: Breaker
) -> None:
    pods.break_pods(PRIMARY, "6.0.1")
    async with site.controller():
        await site.apply(careful(), progressive(step=50, most=50))
        await site.phase_is("Initialized")
        async with always_served(site):
            await site.set_image("6.0.1")
            await site.phase_is("Failed", patience=60)
            await site.settled()
            assert tag(await kept(site, 1)) == "6.0.1"
            await site.set_image("6.0.2")
            await site.phase_is("Succeeded", patience=60)
        assert await site.image(PRIMARY) == "6.0.2"
        assert tag(await kept(site)) == "6.0.2"
    assert gateway.shares() == [0, 50, 100, 0]


@pytest.mark.parametrize("status", [False, True], ids=["without status", "with its status"])
async def test_a_cluster_that_is_built_again_begins_with_what_was_promoted(
    site: Site, gateway: Gateway, hooks: Hooks, status: bool
) -> None:
    """Everything of Git at once, with a template that nobody analysed; of the rest a backup had what is kept."""
    hooks.close("confirm-promotion")
    canary = progressive(step=50, most=50, webhooks=[hooks.webhook("confirm-promotion")])
    async with site.controller() as controller:
        await site.apply(deployment(), canary)
        await site.phase_is("Initialized")
        await controller.kill()
    before = (await site.canary())["status"]
    await site.edit(CANARIES, "podinfo", {"metadata": {"finalizers": None}})
    lost = [(CANARIES, "podinfo"), (DEPLOYMENTS, "podinfo"), (DEPLOYMENTS, PRIMARY), (HTTP_ROUTES, "podinfo")]
    lost += [(SERVICES, f"podinfo{suffix}") for suffix in ("", "-primary", "-canary")]
    for resource, name in lost:
        await site.client.delete(site.ref(resource, name))
        await site.gone(resource, name)

    await site.apply(deployment(tag="6.0.1"), canary)
    if status:
        await site.client.replace_status(site.ref(CANARIES, "podinfo"), {**await site.canary(), "status": before})
    async with site.controller():
        await site.phase_is("WaitingPromotion", patience=60)
        assert await site.image(PRIMARY) == "6.0.0"
        assert await is_reachable(site, "podinfo")
        hooks.open("confirm-promotion")
        await site.phase_is("Succeeded")
        assert await site.image(PRIMARY) == "6.0.1"


async def test_what_an_earlier_version_promoted_is_kept_by_one_write_of_its_own(site: Site) -> None:
    async with site.controller() as controller:
        await site.apply(deployment(), blue_green())
        await site.phase_is("Initialized")
        await site.settled()
        await controller.kill()
    await site.client.delete(site.ref(CONTROLLER_REVISIONS, "podinfo-promoted-2"))
    async with site.controller() as controller:
        await site.exists(CONTROLLER_REVISIONS, "podinfo-promoted-2")
        await site.settled()
        made = [request for request in controller.writes if "/controllerrevisions" in request.path]
        assert [request.method for request in made] == ["POST"]
        assert len(controller.writes) <= 2
    assert tag(await kept(site)) == "6.0.0"


async def test_a_config_put_back_to_its_promoted_content_is_no_rollout_and_copies_follow_what_is_read_w08_w41(
    site: Site, hooks: Hooks
) -> None:
    async with site.controller():
        await site.apply(config_map("settings", {"color": "red"}), config_map("others", {"color": "red"}))
        await site.apply(deployment(container=READS), blue_green(iterations=1))
        await site.phase_is("Initialized")
        hooks.close("pre-rollout")
        await site.edit(
            CANARIES, "podinfo", {"spec": {"analysis": {"threshold": 1, "webhooks": [hooks.webhook("pre-rollout")]}}}
        )
        await site.apply(config_map("settings", {"color": "blue"}))
        await site.phase_is("Failed")
        await site.apply(config_map("settings", {"color": "red"}))
        await site.phase_is("Succeeded")
        await site.settled()
        asked = hooks.asked("pre-rollout")
        assert await site.replicas("podinfo") == 0
        assert (await site.get(CONFIG_MAPS, "settings-primary"))["data"] == {"color": "red"}

        hooks.open("pre-rollout")
        path = "/spec/template/spec/containers/0/envFrom/0/configMapRef/name"
        await site.client.json_patch(
            site.ref(DEPLOYMENTS, "podinfo"), [{"op": "replace", "path": path, "value": "others"}]
        )
        await site.until(partial(hook_was_asked, hooks, asked + 1), "an analysis")
        await site.phase_is("Succeeded")
        await site.until(partial(absent, site, "settings-primary"), "end of the copy that nobody reads")
        assert await site.find(CONFIG_MAPS, "others-primary") is not None


async def hook_was_asked(hooks: Hooks, times: int) -> bool:
    return hooks.asked("pre-rollout") == times


async def absent(site: Site, name: str) -> bool:
    return await site.find(CONFIG_MAPS, name) is None
