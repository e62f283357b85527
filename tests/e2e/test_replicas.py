"""Numbers of pods: shares that kube-proxy makes of them without any router, and a canary as large as its share."""

from __future__ import annotations

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import DEPLOYMENTS
from tests.e2e.conftest import Figures
from tests.e2e.counting import SIGNIFICANT, climb, counted
from tests.e2e.place import Place, assert_served, load_tester, new_place, tally
from tests.e2e.workloads import deployment, gate, routed
from tests.integration import objects
from tests.traffic.binomial import two_sided

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PODS = 4
LABEL = "shop.example.com/serves"
MADE = {10: 1, 25: 1, 50: 4}
"""Pods of the canary, beside four of the primary, by the share that is asked for."""
AT_LEAST = 2000
RATE = 200.0


def labelled() -> JsonObject:
    """Write podinfo with a label that its primary's pods will have as well."""
    made = deployment(replicas=PODS)
    made["spec"]["template"]["metadata"]["labels"] = {"app": "podinfo", LABEL: "podinfo"}
    return made


async def test_users_are_spread_over_pods_as_the_status_says(figures: Figures) -> None:
    """Every request is a connection of its own, and kube-proxy chooses a pod for each by chance."""
    analysis = {
        "interval": "2s",
        "threshold": 2,
        "stepWeights": list(MADE),
        "trafficByReplicas": {"label": LABEL},
        "webhooks": [gate("confirm-traffic-increase")],
    }
    async with new_place("by-replicas") as place, load_tester(place) as tester:
        await place.set_up(labelled(), routed=False)
        async with place.users(rate=RATE, url=f"http://{await place.cluster_ip()}/") as users:
            await place.bootstrap(objects.canary("podinfo", analysis, provider="kubernetes"))
            await place.roll_out("6.0.1")
            rows: list[tuple[int, int, int, float]] = []
            for weight, pods in MADE.items():
                await climb(place, tester, weight)
                await _says(place, f"asked {weight} %, {pods} of {pods + PODS} pods")
                seen = await counted(place, users, AT_LEAST)
                total, canary = sum(seen.values()), seen.get("6.0.1", 0)
                rows.append((weight, total, canary, two_sided(canary, total, pods / (pods + PODS))))
            await tester.open()
            await place.ends("Succeeded")
            await place.all_served_by(users, "6.0.1")
        figures("asked   answers   canary    share          p")
        for weight, total, canary, chance in rows:
            figures(f"{weight:4d} % {total:8d} {canary:8d} {100 * canary / total:7.2f} % {chance:10.3g}")
        figures(tally(users.summary()))
        assert_served(users.summary())
        assert [row for row in rows if row[3] < SIGNIFICANT] == []
        assert await place.selector("podinfo") == {"app": "podinfo-primary"}


async def test_a_canary_has_the_pods_of_its_share_before_users_come(figures: Figures) -> None:
    hooks = [gate("confirm-traffic-increase")]
    sized = {"matchTrafficWeight": True}
    async with new_place("sized") as place, load_tester(place) as tester:
        await place.set_up(deployment(replicas=PODS))
        canary = routed(place.host, interval="2s", stepWeights=[25, 50, 100], canaryScale=sized, webhooks=hooks)
        await place.bootstrap(canary)
        async with place.users(rate=RATE) as users:
            await place.roll_out("6.0.1")
            for weight, pods in ((25, 1), (50, 2), (100, PODS)):
                await climb(place, tester, weight)
                workload = await place.get(DEPLOYMENTS, "podinfo")
                assert (workload["spec"]["replicas"], workload["status"].get("availableReplicas")) == (pods, pods)
                assert await place.replicas("podinfo-primary") == PODS
            await tester.open()
            await place.ends("Succeeded")
            await place.all_served_by(users, "6.0.1")
        figures(tally(users.summary()))
        assert_served(users.summary())


async def _says(place: Place, words: str) -> None:
    async def there() -> bool:
        return str((await place.canary())["status"]["rollout"].get("share", "")).startswith(words)

    await place.until(there, f'"{words}" in the status')
