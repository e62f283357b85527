"""Rollouts behind real Ingresses: users are served at every step, and the user's own is as it was afterwards."""

from __future__ import annotations

import pytest

from flaggerpy.kube.objects import annotations_of, labels_of
from flaggerpy.kube.resources import CANARIES, INGRESSES
from tests.integration.ingresses import PORTS, behind, front
from tests.integration.objects import deployment
from tests.integration.served import always_served
from tests.integration.site import Site

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("provider", PORTS)
async def test_users_are_served_from_the_bootstrap_to_the_deletion(site: Site, provider: str) -> None:
    await site.apply(front(provider))
    before = await site.get(INGRESSES, "front")
    async with site.controller():
        await site.apply(deployment(), behind(provider))
        await site.phase_is("Initialized")
        async with always_served(site):
            await site.set_image("6.0.1")
            await site.phase_is("Progressing")
            await site.phase_is("Succeeded")
            await site.settled()
            assert await site.image("podinfo-primary") == "6.0.1"

            await site.client.delete(site.ref(CANARIES, "podinfo"))
            await site.gone()

    after = await site.get(INGRESSES, "front")
    assert after["spec"] == before["spec"]
    assert (labels_of(after), annotations_of(after)) == (labels_of(before), annotations_of(before))
    assert await site.find(INGRESSES, "front-canary") is None
    assert await site.ours() == []


async def test_an_ingress_that_is_missing_is_waited_for(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(), behind("nginx"))
        await site.reason_has(f"Ingress front does not exist in namespace {site.namespace}")
        assert await site.find(INGRESSES, "front-canary") is None

        await site.apply(front("nginx"))
        await site.phase_is("Initialized")
