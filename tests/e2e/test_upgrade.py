"""A `helm upgrade` in mid-rollout replaces every controller: users notice nothing, idle canaries are not written."""

from __future__ import annotations

import asyncio

import pytest

from flaggerpy.kube.resources import DEPLOYMENTS
from tests.cluster.api import Cluster
from tests.e2e import own, stage
from tests.e2e.conftest import Figures
from tests.e2e.place import Place, assert_served, new_place, tally
from tests.e2e.workloads import progressive
from tests.integration.objects import blue_green, deployment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


async def test_an_upgrade_in_mid_rollout_is_noticed_by_nobody(figures: Figures, full_node: Cluster) -> None:
    async with new_place("upgraded", own_controller=True) as place:
        controller = await own.install(place)
        await place.set_up()
        await place.apply(deployment("idle", replicas=1), blue_green("idle"))
        async with place.users(rate=25) as users:
            await place.bootstrap(progressive(place.host, step=10, most=50, interval="4s"))
            await place.phase_is("Initialized", "idle", patience=90)
            idle = await place.settled("idle")
            await place.roll_out("6.0.1")
            await place.weight_is(20)

            offset, leader = full_node.audit_size(), await controller.leader()
            await asyncio.to_thread(_upgrade, place)
            await controller.leader(after=leader)
            await place.ends("Succeeded")
            await place.all_served_by(users, "6.0.1")

        writes = _writes_about(full_node, offset, controller.account, "idle")
        figures(tally(users.summary()))
        assert_served(users.summary())
        assert writes == []
        assert (await place.canary("idle"))["metadata"]["resourceVersion"] == idle["metadata"]["resourceVersion"]
        found = await place.get(DEPLOYMENTS, own.RELEASE)
        assert found["spec"]["template"]["metadata"]["annotations"]["example.com/release"] == "next"


def _upgrade(place: Place) -> None:
    """Upgrade as a user does: other values, and with them other Pods."""
    values = {"watchNamespaces": [place.namespace], "replicaCount": 2}
    stage.install_controller(place.namespace, own.RELEASE, **values, podAnnotations={"example.com/release": "next"})


def _writes_about(cluster: Cluster, offset: int, user: str, name: str) -> list[str]:
    """Return what an account asked to change of the objects around a canary; a dry run changes nothing."""
    changes = {"create", "update", "patch", "delete"}
    return [
        f"{event['verb']} {event['requestURI']}"
        for event in cluster.audit_events(offset)
        if event["user"].get("username") == user
        and event["verb"] in changes
        and "dryRun=All" not in event["requestURI"]
        and str((event.get("objectRef") or {}).get("name", "")).partition("-")[0] == name
    ]
