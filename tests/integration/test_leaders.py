"""Leaders that are paused or cut off: nobody writes twice, the other takes over in time, the lost one comes back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest

from tests.cluster.api import Cluster
from tests.integration.cable import cable
from tests.integration.gateway import Gateway
from tests.integration.objects import deployment, progressive
from tests.integration.process import TAKEOVER, Process, authors, leads, new_account, pair
from tests.integration.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

OUTAGE = 60.0
STEPS = [0, 10, 20, 30, 40, 50, 0]


async def in_mid_rollout(site: Site, gateway: Gateway) -> None:
    """Begin a rollout whose steps take long enough for a leader to be lost between two of them."""
    await site.apply(deployment(), progressive(step=10, most=50, interval="4s"))
    await site.phase_is("Initialized", patience=60)
    await site.set_image("6.0.1")
    await site.until(lambda: _share_is(gateway, 20), "the second step", patience=60)


@asynccontextmanager
async def paused(process: Process) -> AsyncIterator[None]:
    """Keep a process from running, as a busy machine or a moved virtual one does."""
    os.kill(process.child.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.child.pid, signal.SIGCONT)


async def test_a_leader_that_wakes_up_after_its_lease_has_run_out_writes_nothing_more(
    site: Site, gateway: Gateway, control_plane: Cluster, tmp_path: Path
) -> None:
    accounts = [new_account(site, control_plane, tmp_path, name) for name in ("one", "two")]
    offset = control_plane.audit_size()
    async with pair(site, accounts) as (leader, follower):
        await in_mid_rollout(site, gateway)
        async with paused(leader):
            began = monotonic()
            await leads(site, follower)
            assert monotonic() - began <= TAKEOVER
            await site.until(lambda: _share_is(gateway, 30), "the next step")
        await site.until(lambda: _says(leader, "leadership lost"), "end of the old leadership")
        await site.phase_is("Succeeded", patience=60)
        await asyncio.sleep(5)  # whatever the old one still wants to do
        assert leader.child.returncode is None
        assert await site.phase() == "Succeeded"

    assert gateway.shares() == STEPS
    assert authors(control_plane, offset, leader, follower) == [leader.account.name, follower.account.name], (
        told_of_terms(leader, follower)
    )
    assert not any("stacktrace" in line for line in (*leader.log, *follower.log))


async def test_a_leader_that_is_cut_off_for_a_minute_is_followed_and_comes_back_as_a_follower(
    site: Site, gateway: Gateway, control_plane: Cluster, tmp_path: Path
) -> None:
    accounts = [new_account(site, control_plane, tmp_path, name) for name in ("one", "two")]
    offset = control_plane.audit_size()
    async with AsyncExitStack() as stack:
        cables = {account.name: await stack.enter_async_context(cable(control_plane)) for account in accounts}
        for account in accounts:
            account.reaches(cables[account.name].url)
        leader, follower = await stack.enter_async_context(pair(site, accounts))
        await in_mid_rollout(site, gateway)

        cables[leader.account.name].cut()
        began = monotonic()
        await leads(site, follower)
        assert monotonic() - began <= TAKEOVER
        await site.phase_is("Succeeded", patience=60)
        assert gateway.shares() == STEPS
        await asyncio.sleep(max(0.0, began + OUTAGE - monotonic()))
        assert leader.said("leadership lost")
        assert leader.times("leading") == 1

        cables[leader.account.name].mend()
        mended = control_plane.audit_size()
        await site.until(lambda: _looks_at_the_lease(leader, control_plane, mended), "the lost one's return")
        assert leader.times("leading") == 1
        follower.child.terminate()
        await leads(site, leader, term=2)
        await site.set_image("6.0.2")
        await site.until(lambda: _runs(site, "6.0.2"), "promotion by the one that came back", patience=60)
        await site.phase_is("Succeeded", patience=60)

    assert gateway.shares() == [*STEPS, *STEPS[1:]]
    names = [leader.account.name, follower.account.name, leader.account.name]
    assert authors(control_plane, offset, leader, follower) == names, told_of_terms(leader, follower)
    assert not any("stacktrace" in line for line in (*leader.log, *follower.log))


def told_of_terms(*processes: Process) -> list[str]:
    """Return what the controllers said of who leads, in order: one that could not renew its lease says so."""
    lines = [
        f"{line.get('ts')} {process.account.name}: {line.get('msg')}"
        for process in processes
        for line in process.log
        if "lead" in str(line.get("msg")) or "lease" in str(line.get("msg"))
    ]
    return sorted(lines)


async def _share_is(gateway: Gateway, share: int) -> bool:
    return gateway.shares()[-1:] == [share]


async def _says(process: Process, words: str) -> bool:
    return process.said(words)


async def _runs(site: Site, tag: str) -> bool:
    return await site.image("podinfo-primary") == tag


async def _looks_at_the_lease(process: Process, cluster: Cluster, offset: int) -> bool:
    looks = process.account.requests(cluster, offset)
    return any((event["verb"], (event.get("objectRef") or {}).get("resource")) == ("get", "leases") for event in looks)
