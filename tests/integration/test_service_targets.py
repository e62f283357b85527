"""Plain Services as targets on a real API server, which refuses copies with addresses of others."""

from __future__ import annotations

from typing import Any

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, HTTP_ROUTES, SERVICES
from tests.integration.gateway import Gateway
from tests.integration.objects import progressive
from tests.integration.site import Site

pytestmark = pytest.mark.integration


def service(version: str = "1", **spec: Any) -> JsonObject:
    """Write a Service of pods that somebody else looks after; ``spec`` replaces fields of its spec."""
    ports = [{"name": "http", "port": 80, "targetPort": 9898}]
    selector = {"app": "podinfo", "version": version}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "podinfo"},
        "spec": {"selector": selector, "ports": ports, **spec},
    }


def of_service() -> JsonObject:
    made = progressive()
    target = {"apiVersion": "v1", "kind": "Service", "name": "podinfo"}
    return {**made, "spec": {**made["spec"], "targetRef": target}}


@pytest.mark.parametrize(
    ("title", "spec", "edit", "field"),
    [
        ("an address", {}, {"selector": {"version": "2"}}, "selector"),
        ("headless", {"clusterIP": "None"}, {"selector": {"version": "2"}}, "selector"),
        ("node ports", {"type": "NodePort"}, {"selector": {"version": "2"}}, "selector"),
        (
            "another name",
            {"type": "ExternalName", "externalName": "one.example.com", "selector": {}},
            {"externalName": "two.example.com"},
            "externalName",
        ),
    ],
)
async def test_w38_traffic_moves_between_two_states_of_a_service(
    site: Site, gateway: Gateway, title: str, spec: dict[str, Any], edit: dict[str, Any], field: str
) -> None:
    async with site.controller():
        await site.apply(service(**spec), of_service())
        await site.phase_is("Initialized")
        before = (await site.get(SERVICES, "podinfo"))["spec"]
        assert (await site.get(SERVICES, "podinfo-primary"))["spec"].get(field) == before[field], title

        changed = (await site.edit(SERVICES, "podinfo", {"spec": edit}))["spec"]
        await site.phase_is("Progressing")
        assert (await site.get(SERVICES, "podinfo-canary"))["spec"].get(field) == changed[field], title
        await site.phase_is("Succeeded")

        assert (await site.get(SERVICES, "podinfo-primary"))["spec"].get(field) == changed[field], title
        assert (await site.get(SERVICES, "podinfo"))["spec"] == changed, "the user's Service is the user's"
        assert gateway.shares() == [0, 25, 50, 0]


@pytest.mark.usefixtures("gateway")
async def test_deletion_leaves_the_service_and_the_route_to_it(site: Site) -> None:
    async with site.controller():
        await site.apply(service(), of_service())
        await site.phase_is("Initialized")
        mine = (await site.get(SERVICES, "podinfo"))["spec"]

        await site.client.delete(site.ref(CANARIES, "podinfo"))
        await site.gone()

        assert (await site.get(SERVICES, "podinfo"))["spec"] == mine
        assert await site.ours() == []
        rule = (await site.get(HTTP_ROUTES, "podinfo"))["spec"]["rules"][-1]
        assert [backend["name"] for backend in rule["backendRefs"]] == ["podinfo"]
