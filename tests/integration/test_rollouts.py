"""Whole rollouts on a real API server with the real Deployment controller; pods only look ready."""

from __future__ import annotations

import pytest

from flaggerpy.kube.resources import CANARIES, CONFIG_MAPS, DEPLOYMENTS
from tests.integration.objects import blue_green, config_map, deployment
from tests.integration.site import Site

pytestmark = pytest.mark.integration


async def test_a_canary_bootstraps_is_promoted_and_sleeps(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(), blue_green())
        await site.phase_is("Initialized")
        assert await site.replicas("podinfo") == 0
        assert await site.replicas("podinfo-primary") == 2
        assert await site.selector("podinfo") == {"app": "podinfo-primary"}

        await site.set_image("6.0.1")
        await site.phase_is("Succeeded")

        assert await site.image("podinfo-primary") == "6.0.1"
        assert await site.replicas("podinfo") == 0


async def test_a_config_with_binary_data_is_copied_and_its_change_is_a_rollout_w30(site: Site) -> None:
    volumes = [{"name": "config", "configMap": {"name": "settings"}}]
    async with site.controller():
        await site.apply(
            config_map("settings", {"color": "red"}, {"logo": "AAEC"}), deployment(volumes=volumes), blue_green()
        )
        await site.phase_is("Initialized")

        await site.apply(config_map("settings", {"color": "red"}, {"logo": "AwQF"}))
        await site.phase_is("Succeeded")

        copy = await site.get(CONFIG_MAPS, "settings-primary")
        assert copy["data"] == {"color": "red"}
        assert copy["binaryData"] == {"logo": "AwQF"}


async def test_reverting_to_the_promoted_template_cancels_w06(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(), blue_green(iterations=50))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")

        await site.set_image("6.0.0")
        await site.phase_is("Succeeded")

        assert await site.image("podinfo-primary") == "6.0.0"
        await site.event(f"Rollout of podinfo.{site.namespace} cancelled: the promoted revision was put back")


async def test_deletion_leaves_the_target_serving_and_nothing_of_ours(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(), blue_green())
        await site.phase_is("Initialized")

        await site.client.delete(site.ref(CANARIES, "podinfo"))
        await site.until(lambda: _gone(site), "end of the Canary")

        target = await site.get(DEPLOYMENTS, "podinfo")
        assert target["spec"]["replicas"] == 2
        assert target["status"]["readyReplicas"] == 2
        assert await site.selector("podinfo") == {"app": "podinfo"}
        assert await site.find(DEPLOYMENTS, "podinfo-primary") is None
        assert await site.ours() == []


async def _gone(site: Site) -> bool:
    return await site.find(CANARIES, "podinfo") is None
