"""Run by test_apart.py in a cluster of its own: the controller meets CRDs that it cannot work with."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from flaggerpy.api.crds import definitions
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import NotFound
from flaggerpy.kube.objects import JsonObject, resource_version_of
from flaggerpy.kube.resources import CANARIES, CRDS, ref_of
from flaggerpy.kube.transport import connect
from tests.builders import flagger_crd
from tests.cluster.api import Cluster
from tests.integration.gateway import serving_routes
from tests.integration.objects import blue_green, deployment, progressive
from tests.integration.process import Account, Process, new_account, running
from tests.integration.servers import receiving
from tests.integration.site import Site, new_site

COMMAND = "run `flaggerpy crds apply`"


@pytest.fixture
async def site(control_plane: Cluster) -> AsyncIterator[Site]:
    """Make a namespace in a cluster whose CRDs are the test's business."""
    async with new_site() as site:
        yield site


@pytest.fixture
def account(site: Site, control_plane: Cluster, tmp_path: Path) -> Account:
    return new_account(site, control_plane, tmp_path, "controller")


async def put(*crds: JsonObject) -> None:
    """Create CRDs, or put them in the place of those that are there."""
    async with await connect() as transport:
        client = Client(transport, field_manager="helm")
        for crd in crds:
            ref = ref_of(CRDS, crd)
            try:
                live = await client.get(ref)
            except NotFound:
                await client.create(CRDS, crd)
            else:
                metadata = {**crd["metadata"], "resourceVersion": resource_version_of(live)}
                await client.replace(ref, {**crd, "metadata": metadata})


async def remove() -> None:
    """Remove all our CRDs and with them every object of their kinds."""
    async with await connect() as transport:
        client = Client(transport)
        for canary in (await client.list(CANARIES))[0]:
            # Nobody is there any more to take our finalizer off.
            await client.merge_patch(ref_of(CANARIES, canary), {"metadata": {"finalizers": None}})
        installed, _ = await client.list(CRDS)
        refs = [ref_of(CRDS, crd) for crd in installed if crd["spec"]["group"] == "flagger.app"]
        for ref in refs:
            await client.delete(ref)
        while {ref_of(CRDS, crd) for crd in (await client.list(CRDS))[0]} & set(refs):  # noqa: ASYNC110 -- elsewhere
            await asyncio.sleep(0.2)


def upgrade() -> None:
    """Run the command that the sentence names."""
    run("flaggerpy", "crds", "apply")


def run(*words: str) -> None:
    """Run a module of ours."""
    subprocess.run([sys.executable, "-m", *words], check=True, timeout=60)


async def ready(process: Process) -> tuple[int, str]:
    """Ask the readiness probe."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{process.port}/readyz") as answer,
    ):
        return answer.status, await answer.text()


def written(account: Account, cluster: Cluster, offset: int = 0) -> list[str]:
    verbs = {"create", "update", "patch", "delete"}
    asked = [event["requestURI"] for event in account.requests(cluster, offset) if event["verb"] in verbs]
    return [uri for uri in asked if "/events" not in uri and "dryRun=All" not in uri]


async def acting(site: Site, process: Process) -> None:
    """Wait until the running process has begun to act."""
    found = await site.phase_is("Initialized", patience=90)
    assert found["status"]["rollout"]["promoted"]
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    assert process.child.returncode is None
    assert await ready(process) == (200, "OK")


async def test_flaggers_schema_stops_the_controller_until_it_is_upgraded(
    site: Site, account: Account, control_plane: Cluster
) -> None:
    await put(flagger_crd(), *definitions()[1:])
    await site.until(lambda: _served(site), "the kind")
    await site.apply(deployment(), blue_green())
    async with running(site, account) as process:
        await site.until(lambda: _says(process, COMMAND), "the sentence in the log", patience=60)
        status, sentence = await ready(process)
        assert status == 503
        assert sentence.startswith("The CRD canaries.flagger.app is not flaggerpy's")
        assert COMMAND in sentence
        await asyncio.sleep(3)
        assert written(account, control_plane) == []
        assert "status" not in await site.canary()

        upgrade()
        await acting(site, process)
    await remove()


def older_crd() -> JsonObject:
    """Write our CRD of canaries without a field that came later."""
    crd = definitions()[0]
    status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    del status["properties"]["rollout"]["properties"]["step"]["properties"]["readyAt"]
    return crd


@pytest.mark.parametrize("crd", [flagger_crd(), older_crd()], ids=["Flagger's", "an older one of ours"])
async def test_who_may_not_read_crds_does_nothing_on_an_old_schema_until_it_is_upgraded(
    site: Site, control_plane: Cluster, tmp_path: Path, crd: JsonObject
) -> None:
    await put(crd, *definitions()[1:])
    await site.until(lambda: _served(site), "the kind")
    await site.apply(deployment(), blue_green())
    confined = new_account(site, control_plane, tmp_path, "confined", everywhere=False)
    async with running(site, confined) as process:
        await site.until(lambda: _says(process, COMMAND), "the sentence in the log", patience=60)
        assert (await ready(process))[0] == 503
        await asyncio.sleep(3)
        assert written(confined, control_plane) == []
        assert "status" not in await site.canary()

        upgrade()
        await acting(site, process)
    await remove()


async def test_a_missing_crd_is_waited_for(site: Site, account: Account, control_plane: Cluster) -> None:
    async with running(site, account) as process:
        await site.until(lambda: _says(process, COMMAND), "the sentence in the log", patience=60)
        assert await ready(process) == (503, f"The CRD canaries.flagger.app is not installed: {COMMAND}.")
        assert written(account, control_plane) == []

        upgrade()
        await site.apply(deployment(), blue_green())
        await acting(site, process)
    await remove()


async def test_flaggers_schema_put_over_ours_stops_a_running_controller_and_keeps_the_weights(
    site: Site, account: Account, control_plane: Cluster
) -> None:
    upgrade()
    run("tests.cluster", "addons", "gateway-api")
    await site.until(lambda: _served(site), "the kind")
    async with serving_routes(site) as gateway, receiving() as hooks, running(site, account) as process:
        hooks.close("confirm-promotion")
        await site.apply(deployment(), progressive(step=25, most=25, webhooks=[hooks.webhook("confirm-promotion")]))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("WaitingPromotion")

        await put(flagger_crd())
        async with asyncio.timeout(60):
            while (await ready(process))[0] != 503:  # noqa: ASYNC110 -- what is waited for happens elsewhere
                await asyncio.sleep(0.2)
        offset = control_plane.audit_size()
        hooks.open("confirm-promotion")
        await asyncio.sleep(3)
        assert written(account, control_plane, offset) == []
        assert gateway.shares() == [0, 25]

        upgrade()
        await site.phase_is("Succeeded", patience=60)
        assert (await ready(process))[0] == 200
    assert await site.image("podinfo-primary") == "6.0.1"
    await remove()


async def _says(process: Process, words: str) -> bool:
    return process.said(words)


async def _served(site: Site) -> bool:
    try:
        await site.client.list(CANARIES, site.namespace)
    except NotFound:
        return False
    return True
