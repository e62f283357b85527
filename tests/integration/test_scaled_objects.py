"""Canaries with a ScaledObject, on the real kind; KEDA itself is played and wakes whatever is not paused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from flaggerpy.kube.objects import JsonObject, annotations_of
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, HPAS, SCALED_OBJECTS
from tests.integration.gateway import Gateway
from tests.integration.keda import PAUSED, Keda, scaling
from tests.integration.objects import autoscaler, blue_green, deployment, routed, scaled, scaled_object, under_keda
from tests.integration.site import Site

pytestmark = pytest.mark.integration

QUERY = 'sum(rate(http_requests_total{deployment="podinfo",service="podinfo-canary"}[30s]))'
MODIFIERS = {"formula": "requests * 2", "target": "5", "metricType": "AverageValue"}


@pytest.fixture
async def keda(site: Site) -> AsyncIterator[Keda]:
    async with scaling(site) as keda:
        yield keda


async def pause_is(site: Site, pause: str | None, name: str = "podinfo") -> None:
    async def there() -> bool:
        return annotations_of(await site.get(SCALED_OBJECTS, name)).get(PAUSED) == pause

    await site.until(there, f"a pause of {pause}")


async def spec_of(site: Site, name: str = "podinfo-primary") -> JsonObject:
    spec: JsonObject = (await site.get(SCALED_OBJECTS, name))["spec"]
    return spec


def writers(obj: JsonObject) -> dict[str, JsonObject]:
    """Return what each field manager wrote, but for statuses."""
    rows = obj["metadata"]["managedFields"]
    return {row["manager"]: row["fieldsV1"] for row in rows if row.get("subresource") != "status"}


async def test_it_is_paused_exactly_while_the_target_sleeps_and_nothing_else_of_it_is_written(
    site: Site, gateway: Gateway, keda: Keda
) -> None:
    odd = scaled_object(advanced={"scalingModifiers": MODIFIERS}, initialCooldownPeriod=7)
    async with site.controller():
        await site.apply(deployment(), odd, under_keda(routed("podinfo", {"stepWeight": 50, "maxWeight": 50})))
        await site.phase_is("Initialized")
        await pause_is(site, "0")
        assert await site.replicas("podinfo") == 0
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await pause_is(site, None)
        await site.phase_is("Succeeded")
        await pause_is(site, "0")
        await site.until(lambda: asleep(site), "a sleeping target")
        await site.settled()
    assert gateway.shares("podinfo") == [0, 50, 0]
    live = await site.get(SCALED_OBJECTS, "podinfo")
    assert live["spec"]["advanced"]["scalingModifiers"] == MODIFIERS
    assert live["spec"]["initialCooldownPeriod"] == 7
    # The dot stands for the map of annotations itself, which the first of them brings.
    annotation: JsonObject = {"f:metadata": {"f:annotations": {".": {}, f"f:{PAUSED}": {}}}}
    assert writers(live)["flaggerpy"] == annotation


async def asleep(site: Site) -> bool:
    return await site.replicas("podinfo") == 0


async def test_the_primarys_asks_for_the_primary_and_follows_edits(site: Site, keda: Keda) -> None:
    hpa = {"horizontalPodAutoscalerConfig": {"name": "named"}, "restoreToOriginalReplicaCount": True}
    async with site.controller():
        await site.apply(deployment(), scaled_object(QUERY, advanced=hpa), under_keda(blue_green()))
        await site.phase_is("Initialized")
        spec = await spec_of(site)
        assert spec["scaleTargetRef"]["name"] == "podinfo-primary"
        assert spec["triggers"][0]["metadata"]["query"] == QUERY.replace("podinfo-canary", "podinfo-primary").replace(
            '"podinfo"', '"podinfo-primary"'
        )
        config = {"horizontalPodAutoscalerConfig": {"name": "named-primary"}, "restoreToOriginalReplicaCount": False}
        assert spec["advanced"] == config
        await site.edit(SCALED_OBJECTS, "podinfo", {"spec": {"maxReplicaCount": 9}})

        async def followed() -> bool:
            return bool((await spec_of(site))["maxReplicaCount"] == 9)

        await site.until(followed, "the edit at the primary's")
        await site.settled()
        version = (await site.get(SCALED_OBJECTS, "podinfo-primary"))["metadata"]["resourceVersion"]
        await site.settled(quiet=3)
        assert (await site.get(SCALED_OBJECTS, "podinfo-primary"))["metadata"]["resourceVersion"] == version
        assert [size for name, size in keda.scaled if name == "podinfo-primary" and size == 0] == []


async def test_queries_and_bounds_of_the_canary_are_the_primarys(site: Site, keda: Keda) -> None:
    overrides = {"primaryScalerQueries": {"requests": "up"}, "primaryScalerReplicas": {"minReplicas": 3}}
    async with site.controller():
        await site.apply(deployment(), scaled_object(QUERY), under_keda(blue_green(), **overrides))
        await site.phase_is("Initialized")
        spec = await spec_of(site)
        assert (spec["minReplicaCount"], spec["triggers"][0]["metadata"]["query"]) == (3, "up")
        assert await site.replicas("podinfo-primary") == 3


async def test_a_tool_that_takes_the_pause_off_is_answered_and_named(site: Site, keda: Keda) -> None:
    async with site.controller():
        await site.apply(deployment(), scaled_object(), under_keda(blue_green()))
        await site.phase_is("Initialized")
        await pause_is(site, "0")
        for _ in range(3):
            await site.edit(SCALED_OBJECTS, "podinfo", {"metadata": {"annotations": {PAUSED: None}}})
            await site.reason_has("ScaledObject podinfo is not paused while podinfo")
            await pause_is(site, "0")
            await site.until(lambda: asleep(site), "a sleeping target")
        assert await site.phase() == "Initialized"
        assert [message for message in await site.events() if message.startswith("New revision")] == []


async def test_a_pause_of_the_users_own_stays(site: Site) -> None:
    async with site.controller():
        mine = scaled_object()
        mine["metadata"]["annotations"] = {"autoscaling.keda.sh/paused": "true"}
        await site.apply(deployment(), mine, under_keda(blue_green()))
        await site.phase_is("Initialized")
        assert await site.event("is paused by an annotation that is not flaggerpy's")
        await site.until(lambda: asleep(site), "a sleeping target")
        await site.set_image("6.0.1")
        await site.phase_is("Succeeded")
        assert annotations_of(await site.get(SCALED_OBJECTS, "podinfo")).keys() & {PAUSED} == set()


@pytest.mark.parametrize("deleted", [True, False])
async def test_a_canary_that_goes_leaves_it_unpaused_and_the_target_serving(
    site: Site, keda: Keda, deleted: bool
) -> None:
    async with site.controller():
        await site.apply(deployment(), scaled_object(), under_keda(blue_green()))
        await site.phase_is("Initialized")
        await pause_is(site, "0")
        if deleted:
            await site.client.delete(site.ref(CANARIES, "podinfo"))
            await site.gone()
        else:
            await site.edit(CANARIES, "podinfo", {"metadata": {"annotations": {"flaggerpy.dev/release": "true"}}})
            await site.phase_is("Terminated")
        await pause_is(site, None)
        assert await site.replicas("podinfo") >= 2
        assert await site.find(SCALED_OBJECTS, "podinfo-primary") is None
        seen = len(keda.scaled)
        await asyncio.wait_for(_looks(site, 5), 10)
        assert keda.scaled[seen:] == [], "and KEDA leaves it where it is"


async def _looks(site: Site, times: int) -> None:
    for _ in range(times):
        await site.get(SCALED_OBJECTS, "podinfo")


async def test_another_kind_takes_over_and_the_former_is_resumed(site: Site, keda: Keda) -> None:
    async with site.controller():
        await site.apply(deployment(), scaled_object(), under_keda(blue_green()))
        await site.phase_is("Initialized")
        await pause_is(site, "0")
        await site.client.delete(site.ref(SCALED_OBJECTS, "podinfo"))
        await site.apply(autoscaler(), scaled(blue_green()))
        await site.exists(HPAS, "podinfo-primary")
        await site.gone(SCALED_OBJECTS, "podinfo-primary")
        await site.settled()
        assert await site.replicas("podinfo-primary") >= 2
        assert await site.find(DEPLOYMENTS, "podinfo-primary") is not None
