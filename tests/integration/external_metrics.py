"""A canary judged by a metric that an adapter serves through the API server, under the rights that the chart gives.

The adapter serves the whole cluster, so tests/integration/test_apart.py gives it one of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from flaggerpy.kube.objects import JsonObject
from flaggerpy.metrics.externalmetrics import GROUP
from tests.charts.under_rights import Install, install, kubectl
from tests.integration.objects import blue_green, deployment
from tests.integration.site import Site
from tests.metrics.faults.case import says
from tests.metrics.faults.externalmetrics import status, values
from tests.metrics.loopback import Asked, Loopback, Say, loopback, self_signed

__all__ = ["install"]
pytestmark = pytest.mark.integration

API = f"/apis/{GROUP}/v1beta1"
METRIC: JsonObject = {"name": "queue", "templateRef": {"name": "queue"}, "thresholdRange": {"max": 10}}


@dataclass(slots=True)
class Adapter:
    """What serves the metric, as the API server sees it."""

    server: Loopback
    value: str = "2500m"

    async def answer(self, asked: Asked) -> Say:
        if asked.path == API:
            return says(
                {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/v1beta1", "resources": []}
            )
        if asked.path.endswith("/queue"):
            return says(values(self.value))
        return says(status(404, "not found"), 404)

    def questions(self) -> set[tuple[str, str]]:
        """Return the paths and selectors that the metric was asked with."""
        asked = [one for one in self.server.asked if one.path.endswith("/queue")]
        return {(one.path, one.query["labelSelector"]) for one in asked}


@pytest.fixture
async def adapter(site: Site, tmp_path: Path) -> AsyncIterator[Adapter]:
    async with loopback(self_signed(tmp_path)) as server:
        made = Adapter(server)
        server.says(made.answer)
        objects = registered(site.namespace, int(server.url.rpartition(":")[2]))
        await asyncio.to_thread(kubectl, "apply", "--filename", "-", given=yaml.safe_dump_all(objects))
        name = f"apiservice/v1beta1.{GROUP}"
        await asyncio.to_thread(kubectl, "wait", "--for=condition=Available", name, "--timeout=30s")
        yield made
        await asyncio.to_thread(kubectl, "delete", name)


def registered(namespace: str, port: int) -> list[JsonObject]:
    """Lead the API server to a port of this machine, where no Service has an address of its own."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "adapter", "namespace": namespace},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    api = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"v1beta1.{GROUP}"},
        "spec": {
            "group": GROUP,
            "version": "v1beta1",
            "service": {"name": "adapter", "namespace": namespace, "port": port},
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
    return [service, api]


def template() -> JsonObject:
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "MetricTemplate",
        "metadata": {"name": "queue"},
        "spec": {
            "provider": {"type": "externalmetrics"},
            "query": "{{ namespace }}/queue?labelSelector=app%3D{{ target }}",
        },
    }


async def test_a_metric_of_the_api_server_is_read_as_the_controller(
    install: Install, site: Site, adapter: Adapter
) -> None:
    installed = install(meshProvider="kubernetes", rbac={"externalMetrics": ["queue"]})
    async with installed.controller():
        await site.apply(template(), deployment(), blue_green(metrics=[METRIC]))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        passed = await site.phase_is("Succeeded")
        adapter.value = "11"
        await site.set_image("6.0.2")
        await site.phase_is("Failed")

    (check,) = passed["status"]["rollout"]["checks"]
    assert (check["verdict"], check["value"]) == ("Passed", "2.50")
    assert adapter.questions() == {(f"{API}/namespaces/{site.namespace}/queue", "app=podinfo")}
    assert installed.refused() == set()


async def test_an_adapter_that_is_away_holds_the_rollout(install: Install, site: Site, adapter: Adapter) -> None:
    async def away(asked: Asked) -> Say:
        return await adapter.answer(asked) if asked.path == API else says(status(503, "adapter is away"), 503)

    installed = install(meshProvider="kubernetes", rbac={"externalMetrics": ["queue"]})
    async with installed.controller():
        await site.apply(template(), deployment(), blue_green(metrics=[METRIC]))
        await site.phase_is("Initialized")
        adapter.server.says(away)
        await site.set_image("6.0.1")
        told = await site.event("The metric queue could not be measured")
        adapter.server.says(adapter.answer)
        await site.phase_is("Succeeded")

    assert "The external metrics API at kubernetes.default.svc: it answered 503: adapter is away" in told
