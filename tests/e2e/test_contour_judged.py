"""Releases behind Contour, judged by what Envoy measured: one passes, one that is slow for its load test does not."""

from __future__ import annotations

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import HTTP_PROXIES
from tests.e2e import own, stage
from tests.e2e.conftest import Figures
from tests.e2e.place import Place, assert_served, new_place, tally
from tests.e2e.workloads import own_proxy, proxied, root_proxy, says_token, task
from tests.routers.cases import references

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

METRICS: list[JsonObject] = [
    {"name": "request-success-rate", "interval": "20s", "threshold": 99},
    {"name": "request-duration", "interval": "20s", "threshold": 500},
]
"""Bounds as older manifests have them."""
UNTIL_MEASURED = 15
"""Failed checks, one every two seconds: Prometheus needs two scrapes of the canary's share before it tells a rate."""
UNTIL_SLOW = 4
"""Failed checks, one every four seconds: more than those that may tell of too few requests yet."""


def judged(place: Place, path: str, *, interval: str, threshold: int) -> JsonObject:
    """Write a Canary whose load test asks for a path of the proxy; it begins before the canary has its first users."""
    load = f"hey -z 1m -q 4 -c 5 -host {place.host} {stage.ENVOY_INSIDE}{path}"
    canary = says_token(f"http://podinfo-canary.{place.namespace}")
    proxy = says_token(stage.ENVOY_INSIDE, host=place.host)
    return proxied(
        interval=interval,
        stepWeight=10,
        maxWeight=50,
        threshold=threshold,
        metrics=METRICS,
        webhooks=[
            task("pre-rollout", "acceptance-test", canary, type="bash"),
            task("pre-rollout", "acceptance-test-at-the-proxy", proxy, type="bash"),
            *(task(kind, "load-test", load, timeout="5s", type="cmd") for kind in ("pre-rollout", "rollout")),
        ],
    )


async def test_a_release_is_judged_by_what_the_proxy_measured_under_an_ingress_class(figures: Figures) -> None:
    async with new_place("contour-judged", own_controller=True) as place:
        await own.install(place, ingressClass="contour")
        await place.set_up(proxies=(own_proxy(), root_proxy(place.host)))
        async with place.users() as users:
            await place.bootstrap(judged(place, "/", interval="2s", threshold=UNTIL_MEASURED))
            assert (await place.get(HTTP_PROXIES, "podinfo"))["spec"]["ingressClassName"] == "contour"
            await place.roll_out("6.0.1")
            await place.ends("Succeeded")
            await place.all_served_by(users, "6.0.1")

            await place.apply(judged(place, "/delay/1", interval="4s", threshold=UNTIL_SLOW))
            await place.roll_out("6.0.2")
            await place.started()
            failed = await place.ends("Failed")
            await place.all_served_by(users, "6.0.1")
        figures(tally(users.summary()))
        # Users ask for nothing that is slow: only the load test does.
        assert_served(users.summary())
        assert set(users.summary().by_version()) == {"6.0.0", "6.0.1", "6.0.2"}
        assert "request-duration" in failed["status"]["rollout"]["failing"]
        assert await place.image("podinfo-primary") == "6.0.1"
        assert references(await place.get(HTTP_PROXIES, "podinfo"))[0] == ("podinfo-primary", 100)
