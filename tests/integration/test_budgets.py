"""PodDisruptionBudgets of primaries on a real API server."""

from __future__ import annotations

import pytest

from flaggerpy.kube.resources import BUDGETS, CANARIES
from tests.integration.objects import blue_green, budget, deployment
from tests.integration.site import Site

pytestmark = pytest.mark.integration

PRIMARYS = {"matchLabels": {"app": "podinfo-primary"}}


async def minimum_is(site: Site, wanted: int) -> None:
    async def there() -> bool:
        found = await site.find(BUDGETS, "podinfo-primary")
        return found is not None and found["spec"] == {"minAvailable": wanted, "selector": PRIMARYS}

    await site.until(there, f"a budget of the primary that keeps {wanted}")


async def test_a_primary_is_protected_as_its_target_and_not_for_longer(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(), budget(), blue_green())
        await site.phase_is("Initialized")
        await minimum_is(site, 1)

        await site.edit(BUDGETS, "podinfo", {"spec": {"minAvailable": 2}})
        await minimum_is(site, 2)

        await site.client.delete(site.ref(BUDGETS, "podinfo"))
        await site.gone(BUDGETS, "podinfo-primary")
        await site.apply(budget())
        await minimum_is(site, 1)

        await site.client.delete(site.ref(CANARIES, "podinfo"))
        await site.gone()
        assert await site.find(BUDGETS, "podinfo") is not None
        assert await site.ours() == []


async def test_a_budget_that_covers_the_primary_already_is_not_doubled(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(), budget(), budget("mine", "podinfo-primary"), blue_green())
        await site.phase_is("Initialized")
        await site.settled()
        assert await site.find(BUDGETS, "podinfo-primary") is None
