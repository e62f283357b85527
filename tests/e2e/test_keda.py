"""A canary under the real KEDA: asleep while paused, grown by its own requests, and asleep again."""

from __future__ import annotations

import pytest

from flaggerpy.kube.objects import annotations_of
from flaggerpy.kube.resources import HPAS, SCALED_OBJECTS
from tests.e2e.conftest import Figures
from tests.e2e.place import Place, assert_served, new_place, tally
from tests.e2e.workloads import blue_green, task
from tests.integration.objects import scaled_object, under_keda

pytestmark = [pytest.mark.keda, pytest.mark.timeout(600)]

PAUSED = "autoscaling.keda.sh/paused-replicas"
OF_THE_TARGET = '{kubernetes_namespace="under-keda",kubernetes_pod_name=~"podinfo-[0-9a-z]+-[0-9a-z]+"}'
LOAD = "hey -z 40s -c 2 -q 15 http://podinfo-canary.under-keda/"


async def pause_is(place: Place, pause: str | None) -> None:
    async def there() -> bool:
        return annotations_of(await place.get(SCALED_OBJECTS, "podinfo")).get(PAUSED) == pause

    await place.until(there, f"a pause of {pause}", patience=60)


async def ready(place: Place, name: str) -> None:
    """Wait until KEDA has taken a ScaledObject on."""

    async def there() -> bool:
        rows = ((await place.get(SCALED_OBJECTS, name)).get("status") or {}).get("conditions") or ()
        return any(row["type"] == "Ready" and row["status"] == "True" for row in rows)

    await place.until(there, f"{name} ready", patience=120)


async def test_a_scaled_object_sleeps_and_wakes_with_its_target(figures: Figures) -> None:
    async with new_place("under-keda") as place:
        query = f"sum(rate(http_requests_total{OF_THE_TARGET}[30s]))"
        mine = scaled_object(query, low=1, high=3, pollingInterval=5, cooldownPeriod=10)
        await place.apply(mine)
        await place.set_up(routed=False)
        await ready(place, "podinfo")
        load = task("rollout", "load-test", LOAD, type="cmd")
        async with place.users(url=f"http://{await place.cluster_ip()}/", rate=5) as users:
            canary = blue_green(iterations=8, interval="10s", webhooks=[load])
            await place.bootstrap(under_keda(canary), patience=180)
            spec = (await place.get(SCALED_OBJECTS, "podinfo-primary"))["spec"]
            assert 'kubernetes_pod_name=~"podinfo-primary-[0-9a-z]' in spec["triggers"][0]["metadata"]["query"]
            await ready(place, "podinfo-primary")
            await place.exists(HPAS, "keda-hpa-podinfo-primary")
            await pause_is(place, "0")
            await place.gone(HPAS, "keda-hpa-podinfo", patience=60)

            await place.roll_out("6.0.1")
            await place.phase_is("Progressing", patience=60)
            await pause_is(place, None)

            async def grown() -> bool:
                return await place.replicas("podinfo") == 3

            await place.until(grown, "a canary of three pods", patience=120)
            await place.ends("Succeeded", patience=240)
            await pause_is(place, "0")
            await place.all_served_by(users, "6.0.1")
        summary = users.summary()
        figures(tally(summary))
        assert_served(summary)
        assert await place.replicas("podinfo") == 0, "KEDA leaves it asleep"
        assert (await place.get(SCALED_OBJECTS, "podinfo"))["spec"] == mine["spec"]
