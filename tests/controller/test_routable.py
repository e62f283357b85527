"""What leaves it clear what a route is meant to be, and what does not, of all that users get wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flaggerpy.kube.client import Client
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, HTTP_PROXIES, INGRESSES, Resource
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.rollout.observation import Observation
from flaggerpy.rollout.traffic import Routes
from flaggerpy.routers.nginx import NginxRouter
from tests.builders import canary_json
from tests.controller.stage import Stage
from tests.kube.clocks import eventually
from tests.kube.fake_apiserver import FakeApiServer
from tests.routers.ingresses import OWN, behind, front, path
from tests.targets.objects import deployment, template

METRIC = {"name": "mood", "query": "mood"}
HOOK = {"name": "gate", "url": "nowhere"}
SCALER = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "web"}


def target(**labels: str) -> dict[str, Any]:
    """Write a target that reads no configs; ``labels`` are those that it selects its pods by."""
    pod = template()
    del pod["spec"]["containers"][0]["envFrom"], pod["spec"]["containers"][0]["env"]
    pod["metadata"]["labels"] = labels or {"app": "web"}
    return deployment(pod=pod, selector={"matchLabels": labels or {"app": "web"}})


@asynccontextmanager
async def observed(
    *missing: Resource,
    workload: dict[str, Any] | None = None,
    ingresses: tuple[dict[str, Any], ...] = (),
    **canary: Any,
) -> AsyncIterator[Observation]:
    """Observe the canary ``web``, of a provider that routes traffic unless another one is named."""
    canary["spec"] = {"provider": "contour", **canary.get("spec", {})}
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        for resource in missing:
            server.served.remove(resource)
        server.put(DEPLOYMENTS, workload or target())
        for ingress in ingresses:
            server.put(INGRESSES, ingress)
        server.put(CANARIES, canary_json(**canary))
        stage = Stage(server, Client(transport))
        task = asyncio.ensure_future(stage.caches.run())
        try:
            await eventually(stage.caches.synced)
            yield (await stage.look()).seen
        finally:
            task.cancel()
            await asyncio.wait({task})


@pytest.mark.parametrize(
    "canary",
    [
        {"analysis": {"metrics": [METRIC]}},
        {"analysis": {"metrics": [{**METRIC, "thresholdRange": {"min": 2, "max": 1}}]}},
        {"analysis": {"metrics": [{**METRIC, "threshold": 1, "interval": "1mfoo"}]}},
        {"analysis": {"metrics": [{"name": "mood", "templateRef": {"name": "mood"}, "threshold": 1}]}},
        {"analysis": {"webhooks": [HOOK]}},
        {"analysis": {"stepWeight": 0}},
        {"analysis": {"stepWeight": 10.5}},
        {"analysis": {"stepWeight": None, "maxWeight": None, "stepWeights": [50, 20]}},
        {"analysis": {"interval": "10mfoo"}},
        {"spec": {"autoscalerRef": SCALER}},
        {"spec": {"progressDeadlineSeconds": 0}},
    ],
    ids=str,
)
async def test_what_says_nothing_of_routes_leaves_them_known(canary: dict[str, Any]) -> None:
    async with observed(**canary) as seen:
        assert seen.problems
        assert seen.routable


@pytest.mark.parametrize(
    "canary",
    [
        {"spec": {"provider": "nonsense"}},
        {"spec": {"service": None}},
        {"service": {"port": 0}},
        {"service": {"timeout": "5mfoo"}},
        {"service": {"targetPort": "80"}},
        {"analysis": {"mirrorWeight": 101}},
        {"analysis": {"stepWeight": None, "iterations": -1}},
        {"analysis": {"sessionAffinity": {"cookieName": "one"}}},
        {"analysis": {"match": [{"headers": {}}], "iterations": 2, "stepWeight": None}},
        {"analysis": {"metrics": [METRIC]}, "service": {"port": 0}},
    ],
    ids=str,
)
async def test_what_says_something_of_routes_leaves_nobody_knowing_them(canary: dict[str, Any]) -> None:
    async with observed(**canary) as seen:
        assert seen.problems
        assert not seen.routable


async def test_without_a_mistake_a_route_is_known() -> None:
    async with observed() as seen:
        assert (seen.problems, seen.routable) == ((), True)


async def test_a_config_that_is_missing_says_nothing_of_routes() -> None:
    async with observed(workload=deployment()) as seen:
        assert "ConfigMap settings, which does not exist" in " ".join(seen.problems)
        assert seen.routable


async def test_a_route_of_a_kind_that_cannot_be_read_may_be_there_all_the_same() -> None:
    async with observed(HTTP_PROXIES, analysis={"metrics": [METRIC]}) as seen:
        assert len(seen.problems) == 2
        assert not seen.routable


async def test_services_that_cannot_be_written_leave_no_route_known() -> None:
    async with observed(workload=target(tier="web")) as seen:
        assert "tier=web" in seen.problems[0]
        assert not seen.routable


async def test_a_mistake_that_only_an_attempt_to_write_finds_is_not_told_beside_another() -> None:
    """Most often it comes from the other one; alone it is told, as ever."""
    ingress = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "front"}
    behind = {"provider": "nginx", "ingressRef": ingress}
    async with observed(spec=behind) as seen:
        assert [text[:28] for text in seen.problems] == ["Ingress front does not exist"]
        assert not seen.routable
    async with observed(spec=behind, analysis={"metrics": [METRIC]}) as seen:
        assert [text[:24] for text in seen.problems] == ["spec.analysis.metrics[0]"]
        assert not seen.routable


@pytest.mark.parametrize("copied", [True, False])
async def test_users_can_return_behind_an_ingress_that_leads_elsewhere_as_long_as_its_copy_is_there(
    copied: bool,
) -> None:
    elsewhere = front(path("maintenance"))
    [copy] = NginxRouter().render(behind("nginx"), {OWN: front(path("web"))}, Routes(50, 50))
    ingress = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "front"}
    there = (elsewhere, copy) if copied else (elsewhere,)
    async with observed(workload=target(), ingresses=there, spec={"provider": "nginx", "ingressRef": ingress}) as seen:
        assert [text[:37] for text in seen.problems] == ["Ingress front leads nobody to Service"]
        assert (seen.routable, seen.returnable) == (False, copied)


@pytest.mark.parametrize(
    ("canary", "returnable"),
    [
        ({}, True),
        ({"analysis": {"metrics": [METRIC]}}, True),
        ({"analysis": {"mirrorWeight": 101}}, True),
        ({"service": {"timeout": "5mfoo"}}, False),
        ({"spec": {"provider": "nonsense"}}, False),
    ],
    ids=str,
)
async def test_users_can_return_unless_the_route_to_the_primary_cannot_be_written(
    canary: dict[str, Any], returnable: bool
) -> None:
    async with observed(**canary) as seen:
        assert seen.returnable is returnable


async def test_nobody_returns_through_a_route_of_a_kind_that_cannot_be_read() -> None:
    async with observed(HTTP_PROXIES) as seen:
        assert not seen.returnable
