"""Run by test_apart.py in a cluster of its own: a provider whose kinds nobody has installed yet."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from tests.cluster.api import Cluster
from tests.integration.beside import another_goes_on, touched
from tests.integration.gateway import serving_routes
from tests.integration.objects import blue_green, deployment, progressive, scaled_object, under_keda
from tests.integration.site import Site, new_site

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("calm")]


@pytest.fixture
async def site(control_plane: Cluster) -> AsyncIterator[Site]:
    """Make a namespace in a cluster that has our CRDs and no others."""
    await run("flaggerpy", "crds", "apply")
    async with new_site() as site:
        yield site


async def run(*words: str) -> None:
    """Run a module of ours."""
    await asyncio.to_thread(subprocess.run, [sys.executable, "-m", *words], check=True, timeout=120)


async def test_a_provider_whose_kinds_are_missing_is_told_and_begins_when_they_are_installed(site: Site) -> None:
    async with site.controller() as controller:
        await site.apply(deployment("late"), progressive("late", step=50, most=50))
        words = "the cluster does not serve httproutes.gateway.networking.k8s.io in version v1"
        sentence = await site.stalled(words, "late")
        assert "install its CustomResourceDefinition" in sentence
        assert await site.event(words) == sentence
        await another_goes_on(site)
        assert touched(controller.writes, "late") == {"canaries"}
        assert await site.replicas("late") == 2

        await run("tests.cluster", "addons", "gateway-api")
        async with serving_routes(site) as gateway:
            await site.phase_is("Initialized", "late", patience=90)
            assert (await site.condition("Stalled", "late"))["status"] == "False"
            await site.set_image("6.0.1", "late")
            await site.phase_is("Progressing", "late")
            await site.phase_is("Succeeded", "late")
        assert gateway.shares("late") == [0, 50, 0]


async def test_keda_may_come_later_than_a_canary_that_asks_for_it(site: Site) -> None:
    async with site.controller() as controller:
        await site.apply(deployment("late"), under_keda(blue_green("late")))
        words = "the cluster does not serve scaledobjects.keda.sh in version v1alpha1"
        assert "install its CustomResourceDefinition" in await site.stalled(words, "late")
        await another_goes_on(site)
        assert touched(controller.writes, "late") == {"canaries"}

        await run("tests.cluster", "addons", "keda-crds")
        await site.stalled("ScaledObject podinfo does not exist", "late", patience=90)
        await site.apply(scaled_object(scaleTargetRef={"name": "late"}))
        await site.phase_is("Initialized", "late")
        assert await site.replicas("late") == 0
