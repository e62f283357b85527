"""What canaries cost, by the API server's own log: while nothing happens, nothing but watches and the lease."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from flaggerpy.kube.resources import CANARIES
from tests.cluster.api import Cluster
from tests.integration.gateway import serving_routes
from tests.integration.objects import blue_green, deployment, progressive
from tests.integration.process import new_account, running
from tests.integration.site import Site
from tools.bench.audit import rollouts

pytestmark = pytest.mark.integration

CANARIES_OF_EACH_KIND = 25
WINDOW = 300.0
MOST_A_ROLLOUT = 60


@pytest.mark.timeout(600)
async def test_fifty_idle_canaries_cost_only_watches_and_the_lease(
    site: Site, control_plane: Cluster, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    account = new_account(site, control_plane, tmp_path, "idle")
    async with running(site, account, enable_leader_election="true") as process:
        async with serving_routes(site):
            for index in range(CANARIES_OF_EACH_KIND):
                names = f"plain-{index}", f"routed-{index}"
                await site.apply(*(deployment(name, replicas=1) for name in names))
                await site.apply(blue_green(names[0]), progressive(names[1]))
            await site.until(lambda: _all_initialized(site), "fifty canaries at work", patience=120, pause=1)
            await account.quiet(control_plane)

        # The measured window. Nobody else uses this account.
        offset = control_plane.audit_size()
        await asyncio.sleep(WINDOW)
        counted = account.counted(control_plane, offset)

        figures = f"{process.rss()} MiB resident; in {WINDOW:g} s: {dict(sorted(counted.items()))}"
        record_property("figures", f"50 idle canaries: {figures}")
    own = ("canaries", "metrictemplates", "alertproviders")
    kinds = (*own, "controllerrevisions", "deployments", "services", "httproutes", "poddisruptionbudgets")
    allowed = {f"watch {kind}" for kind in kinds} | {"update leases"}
    assert set(counted) <= allowed
    assert counted["update leases"] >= WINDOW / 4
    # A watch is renewed every five to ten minutes.
    assert all(count <= 2 for what, count in counted.items() if what.startswith("watch "))


async def test_a_rollout_of_five_steps_costs_few_requests(
    site: Site, control_plane: Cluster, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    account = new_account(site, control_plane, tmp_path, "rollout")
    async with running(site, account, enable_leader_election="true"), serving_routes(site):
        await site.apply(deployment(), progressive(step=10, most=50))
        await site.phase_is("Initialized")
        await account.quiet(control_plane)
        offset = control_plane.audit_size()
        await site.set_image("6.0.1")
        await site.phase_is("Succeeded")
        await account.quiet(control_plane)
        counted = account.counted(control_plane, offset)
    del counted["update leases"]
    record_property("figures", f"a rollout of five steps: {counted.total()} requests: {dict(sorted(counted.items()))}")
    # The bench reads its times from the log in the same way.
    begun = rollouts(control_plane.audit_events(offset), account.user)
    (rollout,) = (one for one in begun if one.key == (site.namespace, "podinfo"))
    assert rollout.reaction_s is not None
    assert rollout.rollout_s is not None
    assert 0 < rollout.reaction_s < rollout.rollout_s
    assert rollout.rollout_s >= 5  # five analyses, one a second
    assert counted["update deployments"] == 1
    assert counted.total() <= MOST_A_ROLLOUT


async def _all_initialized(site: Site) -> bool:
    canaries, _ = await site.client.list(CANARIES, site.namespace)
    phases = [(canary.get("status") or {}).get("phase") for canary in canaries]
    return phases == ["Initialized"] * (2 * CANARIES_OF_EACH_KIND)
