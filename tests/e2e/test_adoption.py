"""A workload that serves already comes under a canary, is released once, and leaves again; its users notice nothing."""

from __future__ import annotations

import asyncio
import json

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import DEPLOYMENTS, HTTP_ROUTES, SERVICES
from tests.e2e import stage, workloads
from tests.e2e.conftest import Figures
from tests.e2e.handover import AFTERWARDS, delete
from tests.e2e.place import Place, assert_served, kubectl, new_place, tally

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


async def before(place: Place, front: str) -> str:
    """Bring podinfo up behind what its users come through; return their address."""
    await place.set_up(routed=front == "route")
    if front == "service":
        return f"http://{await place.cluster_ip()}/"
    if front == "ingress":
        manifest = json.dumps(workloads.ingress(place.host))
        await asyncio.to_thread(_apply, place.namespace, manifest)
        await place.answers(stage.ENVOY)
    return stage.ENVOY


def _apply(namespace: str, manifest: str) -> None:
    stage.run("bash", "-c", 'printf %s "$1" | kubectl -n "$0" apply -f -', namespace, manifest)


def canary_for(place: Place, front: str) -> JsonObject:
    if front == "route":
        return workloads.progressive(place.host, interval="2s")
    return workloads.blue_green(interval="2s")


@pytest.mark.parametrize("front", ["service", "ingress", "route"])
async def test_a_serving_workload_comes_under_a_canary_and_leaves_it_without_a_lost_request(
    front: str, figures: Figures
) -> None:
    async with new_place(f"adopted-{front}") as place:
        address = await before(place, front)
        service, ingress = await place.get(SERVICES, "podinfo"), ingress_spec(place)
        async with place.users(url=address) as users:
            await place.answers_to(users, 100)
            await place.bootstrap(canary_for(place, front))
            await place.roll_out("6.0.1")
            await place.ends("Succeeded")
            await place.all_served_by(users, "6.0.1")
            await delete(place)
            await place.gone(patience=90)
            await place.answers_to(users, AFTERWARDS)
        figures(f"{front}: {tally(users.summary())}")
        assert_served(users.summary())
        assert await place.find(DEPLOYMENTS, "podinfo-primary") is None
        assert await place.ours() == []
        left = await place.get(SERVICES, "podinfo")
        assert left["spec"]["clusterIP"] == service["spec"]["clusterIP"]
        assert left["spec"]["selector"] == service["spec"]["selector"]
        assert left["metadata"]["labels"] == service["metadata"]["labels"]
        assert ingress_spec(place) == ingress
        if front == "route":
            rules = (await place.get(HTTP_ROUTES, "podinfo"))["spec"]["rules"]
            assert [ref["name"] for rule in rules for ref in rule["backendRefs"]] == ["podinfo"]


def ingress_spec(place: Place) -> str:
    """Return what stands in the user's Ingresses."""
    return kubectl("-n", place.namespace, "get", "ingress", "-o", "jsonpath={.items[*].spec}")
