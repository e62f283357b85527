"""What an observation says about the provider: its kind, what the operator chose for it, and what it cannot do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flaggerpy.controller.configs import ConfigDigests
from flaggerpy.controller.observe import Observer, Unreadable
from flaggerpy.controller.pods import PODS_OF_DEPLOYMENTS, PodReader
from flaggerpy.controller.sources import Library
from flaggerpy.controller.takeover import Takeover
from flaggerpy.controller.world import World
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.dependents import Dependents
from flaggerpy.kube.objects import JsonObject, generation_of
from flaggerpy.kube.resources import (
    CANARIES,
    DEPLOYMENTS,
    HTTP_PROXIES,
    INGRESSES,
    METRIC_TEMPLATES,
    PODS,
    UPSTREAMS,
    Ref,
)
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.kube.store import Present
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, Routes
from flaggerpy.settings import Settings
from tests.builders import canary_json
from tests.kube.clocks import SkippingClock, eventually
from tests.kube.fake_apiserver import FakeApiServer
from tests.routers.ingresses import OWN, front, path
from tests.targets.objects import deployment

KEY = ("shop", "web")
MISSING = (
    "the cluster does not serve httpproxies.projectcontour.io in version v1: install its CustomResourceDefinition, and "
    "it is picked up"
)


class Stage:
    """An observer on an API server that tests fill."""

    def __init__(self, server: FakeApiServer, client: Client) -> None:
        self.server = server
        self._client = client
        self.caches = Caches(client, clock=SkippingClock())

    def put(self, **canary: Any) -> None:
        self.server.put(DEPLOYMENTS, deployment())
        self.server.put(CANARIES, canary_json(**canary))

    async def observe(self, **settings: Any) -> World:
        await eventually(self.caches.synced)
        library, digests = Library(self._client, self.caches), ConfigDigests(self._client, self.caches)
        chosen = Settings(config_tracking=False, **settings)
        pods = PodReader(self._client, Dependents(self._client, PODS, PODS_OF_DEPLOYMENTS), chosen.fail_fast_after)
        observer = Observer(self.caches, digests, pods, library, chosen, Takeover(self._client, SkippingClock()))
        world = await observer.observe(KEY, frozenset())
        assert world is not None
        return world


@asynccontextmanager
async def running() -> AsyncIterator[Stage]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        stage = Stage(server, Client(transport))
        task = asyncio.ensure_future(stage.caches.run())
        try:
            yield stage
        finally:
            task.cancel()
            await asyncio.wait({task})


async def test_a_providers_kind_that_is_not_installed_is_said_and_picked_up_later() -> None:
    async with running() as stage:
        stage.server.served.remove(HTTP_PROXIES)
        stage.put(spec={"provider": "contour"})
        assert MISSING in (await stage.observe()).seen.problems

        stage.server.served.add(HTTP_PROXIES)
        await eventually(lambda: stage.caches.trouble(HTTP_PROXIES) is None)
        assert (await stage.observe()).seen.problems == ()


async def test_a_missing_kind_is_nobodys_trouble_who_does_not_use_it() -> None:
    async with running() as stage:
        stage.server.served.remove(HTTP_PROXIES)
        stage.put(spec={"provider": "gatewayapi:v1"}, service={"gatewayRefs": [{"name": "public"}]})
        assert (await stage.observe()).seen.problems == ()


@pytest.mark.parametrize("spec", [{"provider": "contour"}, {}])
async def test_the_operators_ingress_class_reaches_the_provider(spec: dict[str, str]) -> None:
    async with running() as stage:
        stage.put(spec=spec)
        world = await stage.observe(mesh_provider="contour", ingress_class="outside")
        assert world.router is not None
        [proxy] = world.router.render(world.canary, {}, ALL_TO_PRIMARY)
        assert proxy["spec"]["ingressClassName"] == "outside"


@pytest.mark.parametrize(("percent", "copied"), [(True, {"percent": 25}), (False, {})])
async def test_who_runs_a_gateway_that_copies_a_share_of_the_requests_says_so(
    percent: bool, copied: dict[str, int]
) -> None:
    async with running() as stage:
        stage.put(
            spec={"provider": "gatewayapi:v1"},
            service={"gatewayRefs": [{"name": "public"}]},
            analysis={"mirror": True, "mirrorWeight": 25},
        )
        world = await stage.observe(gateway_mirror_percent=percent)
        assert world.router is not None
        [route] = world.router.render(world.canary, {}, Routes(100, 0, mirrored=True))
        [mirror] = [part["requestMirror"] for part in route["spec"]["rules"][0]["filters"]]
        assert mirror == {"backendRef": {"group": "", "kind": "Service", "name": "web-canary", "port": 80}} | copied
        assert any("mirrorWeight has no effect" in note for note in world.seen.notes) is not percent


INGRESS = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "front"}


async def test_an_ingress_that_is_missing_is_said_until_it_is_there() -> None:
    async with running() as stage:
        stage.put(spec={"provider": "nginx", "ingressRef": INGRESS})
        [problem] = (await stage.observe()).seen.problems
        assert problem.startswith("Ingress front does not exist in namespace shop")

        stage.server.put(INGRESSES, front(path("web")))
        await eventually(lambda: isinstance(stage.caches.get(OWN), Present))
        assert (await stage.observe()).seen.problems == ()


async def test_the_operators_prefix_of_annotations_reaches_nginx() -> None:
    async with running() as stage:
        stage.put(spec={"provider": "nginx", "ingressRef": INGRESS})
        stage.server.put(INGRESSES, front(path("web")))
        world = await stage.observe(ingress_annotations_prefix="in.example.com")
        assert world.router is not None
        [body] = world.router.render(world.canary, world.live, ALL_TO_PRIMARY)
        assert body["metadata"]["annotations"]["in.example.com/canary-weight"] == "0"


@pytest.mark.parametrize(
    ("provider", "note"),
    [
        ("kubernetes", "Traffic mirroring is not supported when using the kubernetes provider"),
        ("gatewayapi:v1", "spec.analysis.mirrorWeight has no effect when using the gatewayapi:v1 provider"),
        ("contour", None),
    ],
)
async def test_mirroring_that_does_not_come_is_said(provider: str, note: str | None) -> None:
    mirror = {"mirror": True, "mirrorWeight": 20}
    async with running() as stage:
        stage.put(spec={"provider": provider}, service={"gatewayRefs": [{"name": "g"}]}, analysis=mirror)
        said = [text for text in (await stage.observe()).seen.notes if "irror" in text]
        assert [text.startswith(note or "") for text in said] == [True] * (note is not None)


@pytest.mark.parametrize(("provider", "said"), [("kubernetes", True), ("contour", False)])
async def test_an_audience_that_the_provider_cannot_choose_is_said(provider: str, said: bool) -> None:
    match = [{"headers": {"x-canary": {"exact": "insider"}}}]
    async with running() as stage:
        stage.put(spec={"provider": provider}, analysis={"match": match, "iterations": 2, "stepWeight": None})
        notes = (await stage.observe()).seen.notes
        assert any("A/B testing is not supported" in note for note in notes) == said


async def test_w19_a_canary_without_an_analysis_is_unreadable_with_a_sentence() -> None:
    async with running() as stage:
        made = canary_json()
        made["spec"]["canaryAnalysis"] = made["spec"].pop("analysis")
        stage.server.put(DEPLOYMENTS, deployment())
        stage.server.put(CANARIES, made)
        with pytest.raises(Unreadable, match=r"spec\.analysis is missing: add it\."):
            await stage.observe()


async def test_w20_a_reference_into_another_namespace_is_refused_in_canaries_that_were_valid_before() -> None:
    """With one sentence for each, and nothing there is followed, read or kept for those who send alerts."""
    inside, outside = {"name": "here"}, {"name": "there", "namespace": "monitoring"}
    gloo = {"provider": "gloo"}
    upstream = {"apiVersion": "gloo.solo.io/v1", "kind": "Upstream", **outside}
    async with running() as stage:
        stage.put(spec=gloo)
        assert (await stage.observe(no_cross_namespace_refs=True)).seen.problems == ()
        edited = canary_json(
            spec=gloo | {"upstreamRef": upstream},
            analysis={
                "metrics": [{"name": "x", "templateRef": outside, "threshold": 1}],
                "alerts": [{"name": "a", "providerRef": inside}, {"name": "b", "providerRef": outside}],
            },
        )
        edited["metadata"]["generation"] = 2
        stage.server.put(CANARIES, edited)
        await eventually(lambda: _generation(stage) == 2)
        world = await stage.observe(no_cross_namespace_refs=True)
        assert world.seen.problems == tuple(
            f"{where}.namespace: monitoring is another namespace, which this controller forbids "
            "(--no-cross-namespace-refs): move the object to shop."
            for where in (
                "spec.upstreamRef",
                "spec.analysis.metrics[0].templateRef",
                "spec.analysis.alerts[1].providerRef",
            )
        )
        assert [alert.name for alert in world.canary.analysis.alerts] == ["a"]
        assert world.canary.analysis.metrics[0].template_ref is None
        there = [Ref(resource, "monitoring", "there") for resource in (METRIC_TEMPLATES, UPSTREAMS)]
        assert [stage.caches.owners(ref) for ref in there] == [frozenset()] * 2
        assert not [seen.path for seen in stage.server.requests if "namespaces/monitoring" in seen.path]

        allowed = await stage.observe()
        assert [stage.caches.owners(ref) for ref in there] == [frozenset({KEY})] * 2
        assert [alert.name for alert in allowed.canary.analysis.alerts] == ["a", "b"]


async def test_w20_an_external_metric_of_another_namespace_is_refused_at_every_look() -> None:
    """Also where the query of a template that was valid is changed, which is no edit of the canary."""
    metric = {"name": "queue", "templateRef": {"name": "queue"}, "threshold": 1}

    def template(query: str) -> JsonObject:
        spec = {"provider": {"type": "externalmetrics"}, "query": query}
        return {"metadata": {"namespace": "shop", "name": "queue"}, "spec": spec}

    async with running() as stage:
        stage.server.put(METRIC_TEMPLATES, template("{{ namespace }}/queue"))
        stage.put(analysis={"metrics": [metric]})
        confined: dict[str, Any] = {"mesh_provider": "kubernetes", "no_cross_namespace_refs": True}
        assert (await stage.observe(**confined)).seen.problems == ()
        stage.server.put(METRIC_TEMPLATES, template("monitoring/queue"))
        refusal = (
            "MetricTemplate queue cannot be used: The query asks for an external metric of namespace monitoring, which "
            "this controller forbids (--no-cross-namespace-refs): write shop/queue."
        )
        await eventually(lambda: _query(stage) == "monitoring/queue")
        assert (await stage.observe(**confined)).seen.problems == (refusal,)
        assert (await stage.observe(mesh_provider="kubernetes")).seen.problems == ()


def _query(stage: Stage) -> str:
    found = stage.caches.get(Ref(METRIC_TEMPLATES, "shop", "queue"))
    return str(found.obj["spec"]["query"]) if isinstance(found, Present) else ""


def _generation(stage: Stage) -> int:
    found = stage.caches.get(Ref(CANARIES, *KEY))
    return generation_of(found.obj) if isinstance(found, Present) else 0
