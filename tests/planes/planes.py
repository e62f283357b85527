"""The data planes that run on one node, as data: what their users write, and where they come in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import (
    DESTINATION_RULES,
    HTTP_PROXIES,
    HTTP_ROUTES,
    SERVICES,
    TRAEFIK_SERVICES,
    VIRTUAL_SERVICES,
    Ref,
    Resource,
)
from flaggerpy.rollout.traffic import Capabilities
from flaggerpy.routers.registry import router_for
from tests.e2e import workloads
from tests.e2e.audiences import COOKIE
from tests.e2e.place import Place
from tests.integration import objects

_ISTIO_GATEWAY = "istio-system/public"
_OF_ISTIO: JsonObject = {"name": "public", "namespace": "istio-system"}
_OF_TRAEFIK: JsonObject = {"name": "public", "namespace": "traefik"}


@dataclass(frozen=True, slots=True)
class Door:
    """The Service through which users come."""

    namespace: str
    service: str
    port: int = 80


@dataclass(frozen=True, slots=True)
class Plane:
    """A provider with a real proxy behind it.

    Attributes:
        door: where users come in; None is the apex Service.
        routes: what the user of a host has before any canary, the last one with the weights.
        resource: the kind of object with the weights; None where Services alone say who serves.
        service: what ``spec.service`` of a Canary says of a host.
        beside: a kind of object that is ours and goes with the Canary.
        apex_weight: the weight that the user's own object gives the apex Service.
        cookie: how an audience's cookie is matched.
        measured: whether the built-in checks find what this proxy counts.
        follows_within: seconds in which the proxy has learned of a new weight.

    """

    name: str
    provider: str
    door: Door | None = None
    routes: Callable[[str], tuple[JsonObject, ...]] = lambda _host: ()
    resource: Resource | None = None
    service: Callable[[str], JsonObject] = lambda _host: {}
    beside: Resource | None = None
    apex_weight: int = 1
    cookie: JsonObject = field(default_factory=lambda: COOKIE)
    measured: bool = False
    follows_within: float = 1.0

    @property
    def can(self) -> Capabilities:
        """What its provider can do."""
        return router_for(self.provider).capabilities

    def canary(self, host: str, **analysis: Any) -> JsonObject:
        """Write a Canary of this provider."""
        return objects.canary("podinfo", analysis, provider=self.provider, service=self.service(host))

    async def url(self, place: Place) -> str:
        """Return the address at which users come in; the apex Service of a place has to be there."""
        if self.door is None:
            return f"http://{await place.cluster_ip()}/"
        service = await place.client.get(Ref(SERVICES, self.door.namespace, self.door.service))
        return f"http://{service['spec']['clusterIP']}:{self.door.port}/"


def _gateway_api(name: str, door: Door, gateway: JsonObject, **more: Any) -> Plane:
    """One provider on the Gateways of several implementations."""
    return Plane(
        name,
        "gatewayapi:v1",
        door,
        lambda host: (workloads.route(host, gateway),),
        HTTP_ROUTES,
        lambda host: {"gatewayRefs": [gateway], "hosts": [host]},
        **more,
    )


def _virtual_service(host: str) -> JsonObject:
    """Write the user's own VirtualService, at the gateway alone: nobody in the cluster has a sidecar."""
    return {
        "apiVersion": "networking.istio.io/v1beta1",
        "kind": "VirtualService",
        "metadata": {"name": "podinfo"},
        "spec": {
            "hosts": [host],
            "gateways": [_ISTIO_GATEWAY],
            "http": [{"route": [{"destination": {"host": "podinfo"}}]}],
        },
    }


def _traefik_routes(host: str) -> tuple[JsonObject, ...]:
    """Write the user's own IngressRoute, and the TraefikService to which it leads."""
    leads_to = {"kind": "TraefikService", "name": "podinfo"}
    route = {"kind": "Rule", "match": f"Host(`{host}`)", "services": [leads_to]}
    return (
        _of_traefik("IngressRoute", {"entryPoints": ["web"], "routes": [route]}),
        _of_traefik("TraefikService", {"weighted": {"services": [{"name": "podinfo", "port": 80}]}}),
    )


def _of_traefik(kind: str, spec: JsonObject) -> JsonObject:
    return {"apiVersion": "traefik.io/v1alpha1", "kind": kind, "metadata": {"name": "podinfo"}, "spec": spec}


_CONTOUR = Door("projectcontour", "envoy")
_ISTIO = Door("istio-system", "gateway")
_TRAEFIK = Door("traefik", "traefik")
_THROTTLED = 3.0
"""Traefik takes new configuration at most every two seconds."""

PLANES: tuple[Plane, ...] = (
    Plane("kubernetes", "kubernetes"),
    _gateway_api("gateway-contour", _CONTOUR, workloads.GATEWAY),
    _gateway_api("gateway-istio", Door("istio-system", "gateway", 81), _OF_ISTIO),
    _gateway_api("gateway-traefik", _TRAEFIK, _OF_TRAEFIK, follows_within=_THROTTLED),
    Plane(
        "contour",
        "contour",
        _CONTOUR,
        lambda host: (workloads.root_proxy(host), workloads.own_proxy()),
        HTTP_PROXIES,
        cookie={"suffix": "canary=always"},
        measured=True,
    ),
    Plane(
        "istio",
        "istio",
        _ISTIO,
        lambda host: (_virtual_service(host),),
        VIRTUAL_SERVICES,
        lambda host: {"gateways": [_ISTIO_GATEWAY], "hosts": [host]},
        beside=DESTINATION_RULES,
        apex_weight=100,
    ),
    Plane(
        "traefik",
        "traefik",
        _TRAEFIK,
        _traefik_routes,
        TRAEFIK_SERVICES,
        measured=True,
        follows_within=_THROTTLED,
    ),
)
