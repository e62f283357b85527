"""Which provider is which router. An unknown name is a user's mistake, never a guess."""

from __future__ import annotations

from collections.abc import Callable

from flaggerpy.api.canary import Canary
from flaggerpy.kube.resources import GATEWAY_ROUTES
from flaggerpy.rollout.errors import UserError
from flaggerpy.routers.alb import AlbRouter
from flaggerpy.routers.apisix import ApisixRouter
from flaggerpy.routers.base import DEFAULTS, Options, Router
from flaggerpy.routers.brought import BroughtRouter
from flaggerpy.routers.contour import ContourRouter
from flaggerpy.routers.gatewayapi import GatewayApiRouter
from flaggerpy.routers.gloo import GlooRouter
from flaggerpy.routers.istio import IstioRouter
from flaggerpy.routers.knative import KnativeRouter
from flaggerpy.routers.kubernetes import KubernetesRouter
from flaggerpy.routers.nginx import NginxRouter
from flaggerpy.routers.replicas import ReplicaRouter
from flaggerpy.routers.skipper import SkipperRouter
from flaggerpy.routers.traefik import TraefikRouter
from flaggerpy.routers.trafficroute import KumaRouter
from flaggerpy.routers.trafficsplit import TrafficSplitRouter

ROUTERS: dict[str, Callable[[Options], Router]] = {
    "kubernetes": lambda _: KubernetesRouter(),
    "gatewayapi:v1": lambda options: GatewayApiRouter(mirror_percent=options.gateway_mirror_percent),
    "gatewayapi:v1beta1": lambda _: GatewayApiRouter(beta=True),
    "contour": lambda options: ContourRouter(options.ingress_class),
    "istio": lambda _: IstioRouter(),
    "traefik": lambda _: TraefikRouter(),
    "apisix": lambda _: ApisixRouter(),
    "gloo": lambda _: GlooRouter(),
    "kuma": lambda _: KumaRouter(),
    "linkerd": lambda _: TrafficSplitRouter("v1alpha1"),
    "smi:v1alpha1": lambda _: TrafficSplitRouter("v1alpha1"),
    "smi:v1alpha2": lambda _: TrafficSplitRouter("v1alpha2"),
    "smi:v1alpha3": lambda _: TrafficSplitRouter("v1alpha3"),
    "knative": lambda _: KnativeRouter(),
    "nginx": lambda options: NginxRouter(options.ingress_annotations_prefix),
    "skipper": lambda _: SkipperRouter(),
    "alb": lambda _: AlbRouter(),
}

END_OF_LIFE = {
    "appmesh": "AWS ended the support of App Mesh on 30 September 2026",
    "osm": "Open Service Mesh is archived and gets no fixes since 2023",
}
"""Providers that Flagger has and we shall not have, and why."""


def router_for(provider: str, options: Options = DEFAULTS) -> Router:
    """Return the router of a provider.

    Raises:
        UserError: there is none.

    """
    if provider in ROUTERS:
        return ROUTERS[provider](options)
    kind, _, mesh = provider.rpartition(":")
    if kind.startswith("smi:") and kind in ROUTERS and mesh:
        return TrafficSplitRouter(kind.removeprefix("smi:"), mesh)
    choice = f"choose one of {', '.join(ROUTERS)} in spec.provider or with --mesh-provider"
    if not provider:
        raise UserError(f"No provider is named: {choice}.")
    if reason := next((why for name, why in END_OF_LIFE.items() if _is(provider, name)), None):
        raise UserError(f"Provider {provider} is known to Flagger and not built into flaggerpy, as {reason}: {choice}.")
    raise UserError(f"Provider {provider} is unknown: {choice}.")


def router_of(canary: Canary, provider: str, options: Options = DEFAULTS) -> Router:
    """Return the router of a canary: that of its provider, of numbers of pods, or of the route that it brings along.

    Raises:
        UserError: there is no such provider, or it changes no weights in a route of that kind.

    """
    if provider == "kubernetes" and canary.analysis.traffic_by_replicas is not None:
        return ReplicaRouter()
    router, named = router_for(provider, options), canary.spec.route_ref
    if named is None or named.kind not in GATEWAY_ROUTES:
        return router
    if not router.capabilities.brings:
        others = [name for name in ROUTERS if router_for(name).capabilities.brings]
        raise UserError(
            f"spec.routeRef names kind {named.kind}, of which provider {provider} changes nothing: use provider "
            f"{' or '.join(others)}, or remove routeRef."
        )
    return BroughtRouter(named.kind)


def _is(provider: str, name: str) -> bool:
    return provider == name or provider.startswith(f"{name}:")
