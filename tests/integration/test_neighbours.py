"""Two targets of one namespace whose pods nobody could tell apart, on a real API server."""

from __future__ import annotations

import asyncio

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, SERVICES
from tests.integration.objects import blue_green, canary, deployment
from tests.integration.site import Site

pytestmark = pytest.mark.integration

SAID = "Deployment back selects its pods by app=podinfo, and so does Deployment podinfo of canary podinfo"


def back(app: str = "podinfo") -> JsonObject:
    """Write the Deployment ``back``, whose pods have the label of another one."""
    made = deployment("back")
    labels = {"app": app, "tier": "back"}
    made["spec"]["selector"]["matchLabels"] = made["spec"]["template"]["metadata"]["labels"] = labels
    return made


async def test_w32_the_later_canary_is_told_and_nothing_is_made_for_it_until_its_pods_can_be_told_apart(
    site: Site,
) -> None:
    async with site.controller():
        await site.apply(deployment(), blue_green())
        await site.phase_is("Initialized")
        await site.apply(back(), canary("back", {"iterations": 1}, provider="kubernetes"))
        said = await site.stalled(SAID, "back")
        assert "create Deployment back again with another value" in said
        await site.event(SAID)
        for resource, name in ((DEPLOYMENTS, "back-primary"), (SERVICES, "back"), (SERVICES, "back-canary")):
            assert await site.find(resource, name) is None, name
        assert await site.replicas("back") == 2, "it serves as before"
        assert (await site.condition("Stalled"))["status"] == "False"

        await site.client.delete(site.ref(DEPLOYMENTS, "back"))
        await site.apply(back(app="back"))
        await site.phase_is("Initialized", "back")
        assert await site.selector("podinfo") == {"app": "podinfo-primary"}


async def test_w32_of_two_canaries_that_come_at_once_one_goes_on_and_the_other_when_it_is_gone(site: Site) -> None:
    async with site.controller():
        await asyncio.gather(
            site.apply(deployment(), blue_green()),
            site.apply(back(), canary("back", {"iterations": 1}, provider="kubernetes")),
        )

        async def parted() -> set[str]:
            rows = {name: await site.condition("Stalled", name) for name in ("podinfo", "back")}
            return {name for name, row in rows.items() if "selects its pods by app=podinfo" in row.get("message", "")}

        told = await site.until(parted, "a canary that is told")
        [later] = told
        [first] = {"podinfo", "back"} - told
        await site.phase_is("Initialized", first)
        assert await site.find(DEPLOYMENTS, f"{later}-primary") is None

        await site.client.delete(site.ref(CANARIES, first))
        await site.phase_is("Initialized", later)
