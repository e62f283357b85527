"""Several controllers, and one after the other: only the leader writes, and who comes next finds nothing to do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic

import pytest

from flaggerpy.kube.resources import DEPLOYMENTS
from tests.cluster.api import Cluster
from tests.integration.gateway import Gateway
from tests.integration.objects import blue_green, deployment, progressive
from tests.integration.process import TAKEOVER, Process, kubectl, leads, new_account, pair
from tests.integration.servers import Hooks
from tests.integration.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


async def test_only_the_leader_writes_and_a_killed_one_is_followed_soon(
    site: Site, control_plane: Cluster, tmp_path: Path
) -> None:
    accounts = [new_account(site, control_plane, tmp_path, name) for name in ("one", "two")]
    async with pair(site, accounts) as (leader, follower):
        await site.apply(deployment(), blue_green(iterations=1))
        await site.phase_is("Initialized")
        assert leader.account.writes(control_plane) != []
        assert follower.account.writes(control_plane) == []

        killed = monotonic()
        await leader.kill()
        await site.set_image("6.0.1")
        await leads(site, follower)
        assert monotonic() - killed < TAKEOVER
        await site.phase_is("Succeeded")

        assert follower.account.writes(control_plane) != []
        assert await site.image("podinfo-primary") == "6.0.1"


async def test_a_leader_that_is_stopped_hands_over_at_once(site: Site, control_plane: Cluster, tmp_path: Path) -> None:
    accounts = [new_account(site, control_plane, tmp_path, name) for name in ("one", "two")]
    async with pair(site, accounts) as (leader, follower):
        leader.child.terminate()
        await site.until(lambda: _says(follower, "leading"), "takeover", patience=8)
        assert await leader.child.wait() == 0


async def test_the_next_controller_writes_nothing_for_idle_canaries(site: Site, gateway: Gateway, hooks: Hooks) -> None:
    hooks.close("pre-rollout")
    bad = blue_green("failed", threshold=1, webhooks=[hooks.webhook("pre-rollout")])
    async with site.controller():
        await site.apply(deployment("fresh"), blue_green("fresh"))
        await site.apply(deployment("routed"), progressive("routed", step=50, most=50))
        await site.apply(deployment("failed"), bad)
        for name in ("fresh", "routed", "failed"):
            await site.phase_is("Initialized", name)
        for name in ("routed", "failed"):
            await site.set_image("6.0.1", name)
        await site.phase_is("Succeeded", "routed")
        await site.phase_is("Failed", "failed")
        for name in ("fresh", "routed", "failed"):
            await site.settled(name)

    async with site.controller() as second:
        await site.until(lambda: _has_looked(second.seen, site), "looks at all canaries")
        await asyncio.sleep(2)
        assert second.writes == []


async def test_scaling_and_labelling_an_idle_target_start_no_rollout(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(), blue_green())
        await site.phase_is("Initialized")
        before = await site.settled()

        kubectl("scale", "deployment/podinfo", "--replicas=3", "--namespace", site.namespace)
        await site.until(lambda: _replicas_are(site, 0), "sleep of the target")
        kubectl("label", "deployment/podinfo", "team=payments", "--namespace", site.namespace)
        kubectl("annotate", "deployment/podinfo", "example.com/note=hello", "--namespace", site.namespace)
        kubectl("scale", "deployment/podinfo-primary", "--replicas=3", "--namespace", site.namespace)
        after = await site.settled()

        assert after["status"]["phase"] == before["status"]["phase"] == "Initialized"
        assert after["status"]["rollout"]["applied"] == before["status"]["rollout"]["applied"]
        assert await site.replicas("podinfo-primary") == 3
        assert not any("New revision" in text for text in await site.events())


async def test_a_restart_in_the_middle_of_a_rollout_goes_on_where_it_was(
    site: Site, gateway: Gateway, hooks: Hooks
) -> None:
    hooks.close("confirm-promotion")
    async with site.controller() as first:
        webhooks = [hooks.webhook("pre-rollout"), hooks.webhook("confirm-promotion")]
        await site.apply(deployment(), progressive(step=25, most=50, webhooks=webhooks))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("WaitingPromotion")
        await first.kill()
    hooks.open("confirm-promotion")
    async with site.controller():
        await site.phase_is("Succeeded")
    assert gateway.shares() == [0, 25, 50, 0]
    assert hooks.asked("pre-rollout") == 1


async def _says(process: Process, words: str) -> bool:
    return process.said(words)


async def _has_looked(seen: list[str], site: Site) -> bool:
    return all(
        any(path.endswith(f"/namespaces/{site.namespace}/deployments/{name}-primary") for path in seen)
        for name in ("fresh", "routed", "failed")
    )


async def _replicas_are(site: Site, replicas: int) -> bool:
    return int((await site.get(DEPLOYMENTS, "podinfo"))["spec"]["replicas"]) == replicas
