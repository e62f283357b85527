"""Blue/Green without a router behind a Service that was there before under its own name, with an autoscaler."""

from __future__ import annotations

import pytest

from flaggerpy.api.constants import HANDS_OFF
from flaggerpy.kube.objects import JsonObject, annotations_of, labels_of
from flaggerpy.kube.resources import DEPLOYMENTS, HPAS, SERVICES
from tests.e2e import own, workloads
from tests.e2e.conftest import Figures
from tests.e2e.place import Place, assert_served, new_place, tally
from tests.e2e.workloads import blue_green, builtin_metrics, gate, says_token, task
from tests.integration.objects import autoscaler, scaled

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

SERVICE = "podinfo-svc"
PREFIX = "app.kubernetes.io/"
UNTIL_MEASURED = 15
"""Failed checks, one every two seconds: Prometheus needs two scrapes of the canary's pods before it tells a rate."""


def deployment() -> JsonObject:
    """Write podinfo with a label and an annotation that its primary is to have too, and one of each that it is not."""
    made = workloads.deployment()
    made["metadata"]["labels"] |= {f"{PREFIX}part-of": "shop", "team": "payments"}
    made["metadata"]["annotations"] = {f"{PREFIX}contact": "alice", "example.com/contact": "bob"}
    return made


def service() -> JsonObject:
    return {**workloads.service(), "metadata": {"name": SERVICE}}


def utilization(most: int) -> list[JsonObject]:
    target = {"type": "Utilization", "averageUtilization": most}
    return [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def canary(place: Place) -> JsonObject:
    """Write a Canary with a gate that is open, an acceptance test and a load test of the canary's Service."""
    address = f"http://{SERVICE}-canary.{place.namespace}"
    made = blue_green(
        iterations=5,
        interval="2s",
        threshold=UNTIL_MEASURED,
        metrics=builtin_metrics(),
        webhooks=[
            gate("confirm-rollout", "gate/approve"),
            task("pre-rollout", "acceptance-test", says_token(address), type="bash"),
            task("rollout", "load-test", f"hey -z 1m -q 10 -c 2 {address}/", timeout="5s"),
        ],
    )
    made["spec"]["service"] |= {"name": SERVICE, "portDiscovery": True}
    return scaled(made)


async def test_a_release_behind_a_service_of_another_name_takes_labels_and_autoscaler_along(figures: Figures) -> None:
    async with new_place("named-service", own_controller=True) as place:
        await own.install(place, includeLabelPrefix=PREFIX)
        await place.apply(deployment(), service(), autoscaler(low=2, high=4, metrics=utilization(99)))
        await place.available()
        address = f"http://{await place.cluster_ip(SERVICE)}/"
        await place.answers(address)
        async with place.users(url=address) as users:
            await place.bootstrap(canary(place))
            taken, primary = await place.get(SERVICES, SERVICE), await place.get(DEPLOYMENTS, "podinfo-primary")
            assert HANDS_OFF.items() <= annotations_of(taken).items()
            assert taken["spec"]["selector"] == {"app": "podinfo-primary"}
            assert f"http://{taken['spec']['clusterIP']}/" == address
            assert labels_of(primary)[f"{PREFIX}part-of"] == "shop"
            assert annotations_of(primary)[f"{PREFIX}contact"] == "alice"
            assert "team" not in labels_of(primary)
            assert "example.com/contact" not in annotations_of(primary)

            copy = (await place.exists(HPAS, "podinfo-primary"))["spec"]
            assert (copy["minReplicas"], copy["maxReplicas"]) == (2, 4)
            await place.edit(HPAS, "podinfo", {"spec": {"metrics": utilization(50)}})
            await place.roll_out("6.0.1")
            await place.ends("Succeeded")
            await place.all_served_by(users, "6.0.1")
        figures(tally(users.summary()))
        assert_served(users.summary())
        assert await place.image("podinfo-primary") == "6.0.1"
        assert (await place.get(HPAS, "podinfo-primary"))["spec"]["metrics"] == utilization(50)
        steps = [message for message in await place.events() if "canary iteration" in message]
        assert steps == [f"Advance podinfo.named-service canary iteration {step}/5" for step in range(1, 6)]
