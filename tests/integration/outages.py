"""Run by test_apart.py in a cluster of its own: a control plane that goes away, and a store that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.cluster.api import Cluster
from tests.integration.gateway import Gateway
from tests.integration.objects import deployment, progressive
from tests.integration.process import TAKEOVER, Process, authors, new_account, pair
from tests.integration.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

STEPS = [0, 10, 20, 30, 40, 50, 0]


@asynccontextmanager
async def controllers(site: Site, cluster: Cluster, folder: Path) -> AsyncIterator[tuple[Process, Process]]:
    """Run two controllers, with a canary at rest."""
    accounts = [new_account(site, cluster, folder, name) for name in ("one", "two")]
    async with pair(site, accounts) as both:
        await site.apply(deployment(), progressive(step=10, most=50, interval="2s"))
        await site.phase_is("Initialized", patience=60)
        yield both


@asynccontextmanager
async def standing_still(cluster: Cluster, name: str) -> AsyncIterator[None]:
    """Freeze a part of the cluster for three seconds in five while the block lasts."""
    enough = asyncio.Event()

    async def disturb() -> None:
        while not enough.is_set():
            await asyncio.to_thread(cluster.component, "freeze", name)
            await asyncio.sleep(3)
            await asyncio.to_thread(cluster.component, "thaw", name)
            await asyncio.sleep(2)

    task = asyncio.create_task(disturb())
    try:
        yield
    finally:
        enough.set()
        await task  # which thaws last


@pytest.mark.parametrize("away", [0.0, 25.0], ids=["a restart", "longer than the lease"])
async def test_a_rollout_goes_on_after_the_api_server_was_away(
    site: Site, gateway: Gateway, control_plane: Cluster, tmp_path: Path, away: float
) -> None:
    offset = control_plane.audit_size()
    async with controllers(site, control_plane, tmp_path) as both:
        await site.set_image("6.0.1")
        await site.until(lambda: _share_reached(gateway, 20), "the second step")
        await asyncio.to_thread(control_plane.stop_apiserver)
        held = gateway.shares()
        await asyncio.sleep(away)
        await asyncio.to_thread(control_plane.start_apiserver)

        await site.until(lambda: _longer(gateway, held), "the next step", patience=TAKEOVER)
        # Kubernetes' own controllers come back later and later, too.
        await site.phase_is("Succeeded", patience=120)
        assert gateway.shares() == STEPS

        # Both have to hear of this from their watches: the one that leads acts on it.
        await site.set_image("6.0.2")
        await site.until(lambda: _runs(site, "6.0.2"), "the next rollout", patience=90)
        await site.phase_is("Succeeded", patience=60)
        assert all(process.child.returncode is None for process in both)

    assert gateway.shares() == [*STEPS, *STEPS[1:]]
    _taken_over_at_most_once(control_plane, offset, both)


async def test_a_rollout_goes_on_while_the_store_stands_still_again_and_again(
    site: Site, gateway: Gateway, control_plane: Cluster, tmp_path: Path
) -> None:
    offset = control_plane.audit_size()
    async with controllers(site, control_plane, tmp_path) as both:
        async with standing_still(control_plane, "etcd"):
            await site.set_image("6.0.1")
            await site.until(lambda: _runs(site, "6.0.1"), "the promotion", patience=120)
            await site.phase_is("Succeeded", patience=60)
        assert all(process.child.returncode is None for process in both)

    assert gateway.shares() == STEPS
    _taken_over_at_most_once(control_plane, offset, both)


def _taken_over_at_most_once(cluster: Cluster, offset: int, both: tuple[Process, Process]) -> None:
    """Nobody wrote while the other led, and no bug was met on the way."""
    names = authors(cluster, offset, *both)
    assert len(names) == len(set(names)), names
    assert not any("stacktrace" in line for process in both for line in process.log)


async def _share_reached(gateway: Gateway, share: int) -> bool:
    return gateway.shares()[-1:] == [share]


async def _longer(gateway: Gateway, shares: list[int]) -> bool:
    return len(gateway.shares()) > len(shares)


async def _runs(site: Site, tag: str) -> bool:
    return await site.image("podinfo-primary") == tag
