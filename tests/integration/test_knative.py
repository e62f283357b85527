"""Knative services on a real API server with Knative's own CRD; its controller is played."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flaggerpy.kube.objects import JsonObject, annotations_of
from flaggerpy.kube.resources import CANARIES, KNATIVE_SERVICES
from tests.integration.gateway import watching
from tests.integration.knative import BROKEN, Knative, knative_service, of_knative
from tests.integration.site import IMAGE, Site
from tests.repo.test_mesh_pages import objects

pytestmark = pytest.mark.integration

PRIMARY = "flagger.app/primary-revision"


@pytest.fixture
async def knative(site: Site) -> AsyncIterator[Knative]:
    """Have revisions of the site's services made."""
    async with watching(Knative(site)) as knative:
        yield knative


async def service(site: Site) -> JsonObject:
    return await site.get(KNATIVE_SERVICES, "podinfo")


async def push(site: Site, tag: str) -> None:
    path = "/spec/template/spec/containers/0/image"
    patch = [{"op": "replace", "path": path, "value": f"{IMAGE}:{tag}"}]
    await site.client.json_patch(site.ref(KNATIVE_SERVICES, "podinfo"), patch)


async def initialized(site: Site) -> None:
    await site.apply(knative_service(), of_knative())
    await site.phase_is("Initialized")


async def test_a_rollout_moves_users_from_revision_to_revision(site: Site, knative: Knative) -> None:
    async with site.controller():
        await initialized(site)
        first = await service(site)
        assert annotations_of(first)[PRIMARY] == "podinfo-00001"
        assert first["spec"]["traffic"] == [
            {"latestRevision": True, "percent": 0},
            {"revisionName": "podinfo-00001", "percent": 100},
        ]

        await push(site, "6.0.1")
        await site.phase_is("Succeeded")

        last = await service(site)
        assert annotations_of(last)[PRIMARY] == "podinfo-00002"
        assert last["spec"]["traffic"][1] == {"revisionName": "podinfo-00002", "percent": 100}
        assert knative.shares() == [0, 25, 50, 0]
        assert last["spec"]["template"] == knative_service(tag="6.0.1")["spec"]["template"]
        assert not [text for text in await site.events() if "not ready" in text]


@pytest.mark.usefixtures("knative")
async def test_a_revision_that_is_never_ready_is_left_in_time(site: Site) -> None:
    async with site.controller():
        await site.apply(knative_service(), of_knative(progressDeadlineSeconds=4))
        await site.phase_is("Initialized")

        await push(site, BROKEN)
        await site.phase_is("Failed")

        assert await site.event('did not become ready: waiting for rollout to finish: Revision "podinfo-00002" failed')
        assert (await service(site))["spec"]["traffic"][1] == {"revisionName": "podinfo-00001", "percent": 100}
        assert annotations_of(await service(site))[PRIMARY] == "podinfo-00001"


@pytest.mark.usefixtures("knative")
async def test_a_lost_annotation_is_written_again(site: Site) -> None:
    async with site.controller():
        await initialized(site)

        await site.edit(KNATIVE_SERVICES, "podinfo", {"metadata": {"annotations": {PRIMARY: None}}})

        async def there() -> bool:
            return annotations_of(await service(site)).get(PRIMARY) == "podinfo-00001"

        await site.until(there, "the annotation")
        assert await site.phase() == "Initialized"


@pytest.mark.usefixtures("knative")
async def test_deletion_sends_everybody_to_the_newest_revision_and_leaves_no_mark(site: Site) -> None:
    async with site.controller():
        await site.apply(knative_service(traffic=[{"latestRevision": True, "percent": 100, "tag": "next"}]))
        before = await service(site)
        await site.apply(of_knative())
        await site.phase_is("Initialized")
        assert (await service(site))["spec"]["traffic"][0] == {"latestRevision": True, "percent": 0, "tag": "next"}

        await site.client.delete(site.ref(CANARIES, "podinfo"))
        await site.gone()

        after = await service(site)
        assert after["spec"] == before["spec"]
        assert annotations_of(after) == annotations_of(before)


async def test_the_manifest_of_the_page_is_taken_up(site: Site, knative: Knative) -> None:
    page = objects("knative")
    async with site.controller():
        await site.apply(page["Service"], page["Canary"])

        async def there() -> bool:
            return knative.shares() == [0]

        await site.until(there, "the primary's share")
    assert annotations_of(await service(site))[PRIMARY] == "podinfo-00001"


async def test_a_canary_of_flaggers_goes_on(site: Site, knative: Knative) -> None:
    left = {"revisionName": "podinfo-00001", "percent": 100}
    theirs = knative_service(traffic=[{"latestRevision": True, "percent": 0}, left])
    theirs["metadata"]["annotations"] = {PRIMARY: "podinfo-00001"}
    await site.apply(theirs, of_knative())
    status = {"phase": "Initialized", "canaryWeight": 0, "failedChecks": 0, "iterations": 0}
    hashes = {"lastAppliedSpec": "5498f4fcd6", "lastPromotedSpec": "5498f4fcd6"}
    await site.client.merge_patch(site.ref(CANARIES, "podinfo"), {"status": {**status, **hashes}}, subresource="status")
    async with site.controller():
        await site.event("Taken over from Flagger in phase Initialized: nothing to roll out")
        assert await site.phase() == "Initialized"

        await push(site, "6.0.1")
        await site.phase_is("Succeeded")

    assert annotations_of(await service(site))[PRIMARY] == "podinfo-00002"
    assert knative.shares() == [0, 25, 50, 0]


@pytest.mark.usefixtures("knative")
async def test_a_change_of_mind_begins_again_and_putting_it_back_cancels(site: Site) -> None:
    async with site.controller():
        await initialized(site)
        await push(site, "6.0.1")
        await site.phase_is("Progressing")
        await push(site, "6.0.2")
        await site.event("Restarting analysis")

        await push(site, "6.0.0")
        await site.phase_is("Succeeded")

        assert await site.event("cancelled")
        assert annotations_of(await service(site))[PRIMARY] == "podinfo-00001"
