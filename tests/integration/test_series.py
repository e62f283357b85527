"""Series through a takeover: who leads shows every canary as it is, and nobody else shows any."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from flaggerpy.kube.resources import CANARIES
from tests.cluster.api import Cluster
from tests.integration.gateway import Gateway
from tests.integration.objects import deployment, progressive
from tests.integration.process import Process, new_account, running
from tests.integration.servers import Hooks
from tests.integration.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

Samples = dict[str, float]


async def scraped(process: Process) -> Samples:
    """Read the series of a controller, nothing while it does not listen yet."""
    async with httpx.AsyncClient(trust_env=False) as http:
        try:
            text = (await http.get(f"http://127.0.0.1:{process.port}/metrics")).text
        except httpx.TransportError:
            return {}
    samples = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in samples}


def of_canaries(samples: Samples) -> list[str]:
    return [name for name in samples if name.startswith(("flagger_canary_", "flaggerpy_canary_"))]


async def becomes(site: Site, process: Process, what: str, true: Callable[[Samples], object]) -> Samples:
    """Scrape until it is so, and return what was seen then."""

    async def look() -> Samples | None:
        samples = await scraped(process)
        return samples if samples and true(samples) else None

    found: Samples = await site.until(look, what, patience=60)
    return found


async def test_series_are_right_again_after_a_takeover_and_gone_with_their_canary(
    site: Site, control_plane: Cluster, gateway: Gateway, hooks: Hooks, tmp_path: Path
) -> None:
    hooks.close("confirm-promotion")
    name, namespace = "podinfo", site.namespace
    whose = f'name="{name}",namespace="{namespace}"'
    share = f'flagger_canary_weight{{namespace="{namespace}",workload="{name}"}}'
    outcome = f'analysis_status="completed",deployment_strategy="canary",{whose}'
    promoted = f"flagger_canary_successes_total{{{outcome}}}"
    waiting = f'flaggerpy_canary_phase{{{whose},phase="WaitingPromotion"}}'
    status = f"flagger_canary_status{{{whose}}}"
    began = f"flaggerpy_canary_rollout_start_timestamp_seconds{{{whose}}}"
    accounts = [new_account(site, control_plane, tmp_path, account) for account in ("one", "two")]
    async with AsyncExitStack() as stack:
        pair = [
            await stack.enter_async_context(running(site, account, enable_leader_election="true"))
            for account in accounts
        ]

        async def leads() -> Process | None:
            return next((one for one in pair if one.said("leading")), None)

        leader: Process = await site.until(leads, "a leader", patience=60)
        (follower,) = (one for one in pair if one is not leader)
        await site.apply(deployment(), progressive(step=25, most=50, webhooks=[hooks.webhook("confirm-promotion")]))
        await site.phase_is("Initialized")
        await becomes(site, leader, "canary that is initialized", lambda seen: seen.get(status) == 1)
        await site.set_image("6.0.1")
        await site.phase_is("WaitingPromotion")

        before = await becomes(site, leader, "waiting canary", lambda seen: seen.get(waiting) == 1)
        assert before[share] == 50
        assert before[promoted] == 0
        assert before[f'flagger_canary_total{{namespace="{namespace}"}}'] == 1
        assert before["flaggerpy_leader"] == 1
        idle = await becomes(site, follower, "caches of the follower", lambda seen: any("watch_age" in n for n in seen))
        assert idle["flaggerpy_leader"] == idle["flaggerpy_queue_depth"] == 0
        assert of_canaries(idle) == []

        await leader.kill()
        after = await becomes(site, follower, "takeover", lambda seen: seen.get(waiting) == 1)
        assert (after[share], after[status]) == (before[share], before[status])
        assert after[began] == before[began], "the rollout's, not the process's"
        lost = set(of_canaries(before)) - set(of_canaries(after))
        assert all(sample.startswith("flagger_canary_duration_seconds") for sample in lost), "until the next round"

        hooks.open("confirm-promotion")
        await site.phase_is("Succeeded")
        done = await becomes(site, follower, "promotion", lambda seen: seen.get(promoted) == 1)
        assert began not in done
        assert done['flaggerpy_rollout_duration_seconds_count{deployment_strategy="canary",result="succeeded"}'] == 1

        await site.client.delete(site.ref(CANARIES, name))
        await site.gone()
        gone = await becomes(site, follower, "end of its series", lambda seen: not of_canaries(seen))
        assert gone["flaggerpy_leader"] == 1
