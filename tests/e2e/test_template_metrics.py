"""MetricTemplates asked of a real Prometheus: a release passes, and one that answers its load test badly does not."""

from __future__ import annotations

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import HTTP_ROUTES
from tests.e2e import stage
from tests.e2e.conftest import Figures
from tests.e2e.place import Place, assert_served, new_place, tally
from tests.e2e.workloads import progressive, task

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

PODS = 'kubernetes_namespace="{{ namespace }}",kubernetes_pod_name=~"{{ target }}-[0-9a-z]+-[0-9a-z]+"'


def rate(series: str, labels: str = PODS) -> str:
    return "sum(rate(" + series + "{" + labels + "}[{{ interval }}]))"


SERIES = "http_request_duration_seconds"
GOOD, ALL = rate(f"{SERIES}_count", f'{PODS},status!~"5.*"'), rate(f"{SERIES}_count")
TEMPLATES = {
    "error-rate": f"100 - {GOOD} / {ALL} * 100",
    "latency": f"histogram_quantile(0.99, {rate(f'{SERIES}_bucket')} by (le))",
}
UNTIL_MEASURED = 15
"""Failed checks, one every two seconds: Prometheus needs two scrapes of the canary's pods before it tells a rate."""


def template(name: str, query: str) -> JsonObject:
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "MetricTemplate",
        "metadata": {"name": name},
        "spec": {"provider": {"type": "prometheus", "address": stage.METRICS_SERVER}, "query": query},
    }


def metric(name: str, most: float) -> JsonObject:
    return {"name": name, "templateRef": {"name": name}, "thresholdRange": {"max": most}, "interval": "20s"}


def judged(place: Place, path: str, *, threshold: int) -> JsonObject:
    """Write a Canary whose load test asks for a path: at the canary before users come, at the Gateway with them."""
    hey = "hey -z {} -q 10 -c 2 {} {}"
    before = hey.format("11s", "", f"http://podinfo-canary.{place.namespace}{path}")
    beside = hey.format("1m", f"-host {place.host}", f"{stage.ENVOY_INSIDE}{path}")
    return progressive(
        place.host,
        step=10,
        interval="2s",
        threshold=threshold,
        metrics=[metric("error-rate", 1), metric("latency", 0.5)],
        webhooks=[
            task("pre-rollout", "load-before-users", before, type="bash"),
            task("rollout", "load-test", beside, timeout="5s"),
        ],
    )


async def test_a_release_is_judged_by_templates_behind_a_route_of_our_own(figures: Figures) -> None:
    async with new_place("template-metrics") as place:
        await place.apply(*(template(name, query) for name, query in TEMPLATES.items()))
        await place.set_up(routed=False)
        await place.bootstrap(judged(place, "/", threshold=UNTIL_MEASURED))
        assert await place.selector("podinfo") == {"app": "podinfo-primary"}
        assert (await place.get(HTTP_ROUTES, "podinfo"))["spec"]["hostnames"] == [place.host]
        await place.answers(stage.ENVOY)
        async with place.users() as users:
            await place.roll_out("6.0.1")
            passed = await place.ends("Succeeded")
            await place.all_served_by(users, "6.0.1")

            await place.apply(judged(place, "/status/500", threshold=2))
            await place.roll_out("6.0.2")
            await place.started()
            failed = await place.ends("Failed")
            await place.all_served_by(users, "6.0.1")
        figures(tally(users.summary()))
        # Users ask for nothing that answers badly: only the load test does.
        assert_served(users.summary())
        checks = passed["status"]["rollout"]["checks"]
        assert {check["name"]: check["verdict"] for check in checks} == {"error-rate": "Passed", "latency": "Passed"}
        assert "error-rate" in failed["status"]["rollout"]["failing"]
        assert await place.image("podinfo-primary") == "6.0.1"
        assert await place.weights() == {"podinfo-primary": 100, "podinfo-canary": 0}
