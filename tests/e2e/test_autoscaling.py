"""A canary that a real load makes grow: its users come back to a primary that has grown as well."""

from __future__ import annotations

import asyncio

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import DEPLOYMENTS, HPAS, HTTP_ROUTES
from tests.e2e.conftest import Figures
from tests.e2e.place import Place, assert_served, load_tester, new_place, tally
from tests.e2e.workloads import autoscaler, gate, progressive
from tests.integration.gateway import canary_share
from tests.integration.objects import scaled

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

RATE = 150.0
OVERRIDES = {"maxReplicas": 8}


async def measured(place: Place, name: str) -> None:
    """Wait until an autoscaler goes by what the metrics server measured."""

    async def there() -> bool:
        rows = ((await place.get(HPAS, name)).get("status") or {}).get("conditions") or ()
        return any(row["type"] == "ScalingActive" and row["status"] == "True" for row in rows)

    await place.until(there, f"metrics for {name}", patience=120)


def available(workload: JsonObject) -> int:
    """How many pods of a Deployment can serve."""
    return int((workload.get("status") or {}).get("availableReplicas") or 0)


async def grown(place: Place) -> int:
    """Wait until the canary's own autoscaler has made it larger than it began, and return its size."""
    size = 0

    async def there() -> bool:
        nonlocal size
        workload = await place.get(DEPLOYMENTS, "podinfo")
        size = int(workload["spec"]["replicas"])
        return size > 2 and available(workload) == size

    await place.until(there, "a canary that has grown under load", patience=180)
    return size


async def test_users_come_back_to_a_primary_that_has_the_pods_of_the_canary(figures: Figures) -> None:
    async with new_place("autoscaled") as place, load_tester(place) as tester:
        await place.apply(autoscaler())
        await place.set_up()
        canary = progressive(place.host, step=50, most=50, webhooks=[gate("confirm-promotion")])
        await place.bootstrap(scaled(canary, primaryScalerReplicas=OVERRIDES))
        await measured(place, "podinfo-primary")
        async with place.users(rate=RATE) as users:
            await place.roll_out("6.0.1")
            await place.phase_is("WaitingPromotion", patience=120)
            needed = await grown(place)
            _, since = await place.client.list(DEPLOYMENTS, place.namespace)
            await tester.open()
            async with asyncio.TaskGroup() as group:
                there = group.create_task(
                    place.version_when(
                        DEPLOYMENTS,
                        "podinfo-primary",
                        lambda one: promoted(one) and available(one) >= needed,
                        since=since,
                        patience=120,
                    )
                )
                returned = group.create_task(
                    place.version_when(
                        HTTP_ROUTES, "podinfo", lambda one: canary_share(one) == 0, since=since, patience=120
                    )
                )
            assert there.result() < returned.result()
            await place.ends("Succeeded")
            after = await place.replicas("podinfo-primary")
            await place.all_served_by(users, "6.0.1")
        summary = users.summary()
        figures(f"a canary of {needed} pods, then a primary of {after}; {tally(summary)}")
        assert_served(summary)
        assert after >= needed, "its autoscaler, which had seen few users, did not take the pods away"

        await place.event("Promotion completed!")
        events = await place.events()
        await place.edit(HPAS, "podinfo", {"spec": {"minReplicas": 3}})

        async def followed() -> bool:
            return int((await place.get(HPAS, "podinfo-primary"))["spec"]["minReplicas"]) >= 3

        await place.until(followed, "the edit at the primary's autoscaler")
        assert [message for message in await place.events() if message not in events] == [], "and nothing was analysed"


def promoted(workload: JsonObject) -> bool:
    """Whether the primary asks for the new revision."""
    return str(workload["spec"]["template"]["spec"]["containers"][0]["image"]).endswith(":6.0.1")
