"""Provider ``traefik``: one weighted TraefikService, named like the apex Service, to which the user's routes lead.

Traefik drops a whole TraefikService for one Service without ready pods, whatever its weight. So only those are named
that somebody is sent to: the canary sleeps between rollouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flaggerpy.api.analysis import Strategy
from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import TRAEFIK_SERVICES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, Acceptance, Capabilities, Routes, RouteState
from flaggerpy.routers import custody
from flaggerpy.routers.base import Live

_HTTP_ONLY = "use a provider that routes by requests, like gatewayapi:v1, which Traefik serves too"


class TraefikRouter:
    """Traefik's TraefikService in version v1alpha1.

    Traefik does not say whether it serves one, so one that is written counts as served.
    """

    capabilities = Capabilities(weights=True, own_route=True)

    def refs(self, canary: Canary) -> tuple[Ref, ...]:
        """Return the TraefikService."""
        return (_ref(canary),)

    def problems(self, canary: Canary) -> tuple[str, ...]:
        """Return the first thing that a TraefikService cannot say."""
        try:
            _spec(canary, ALL_TO_PRIMARY)
        except UserError as error:
            return (str(error),)
        return ()

    def state(self, canary: Canary, live: Live) -> RouteState:
        """Read the shares, and compare everything that we own."""
        obj = live.get(_ref(canary))
        routes = _routes(canary, obj) if obj is not None else None
        if obj is None or routes is None:
            return RouteState(routes=None)
        return RouteState(routes, _drifted(canary, obj, routes), Acceptance.YES)

    def render(self, canary: Canary, live: Live, routes: Routes) -> tuple[JsonObject, ...]:
        """Return the TraefikService with these shares: what we own of it, or one that Flagger made whole."""
        ref = _ref(canary)
        obj = live.get(ref)
        held = obj is not None and _is_held(canary, obj)
        return (custody.taken(canary, ref, obj, _spec(canary, routes), held=held),)

    def restore(self, canary: Canary, live: Live) -> tuple[JsonObject, ...]:
        """Return the user's own TraefikService as it was, or ours with everything going to the apex Service."""
        ref = _ref(canary)
        obj = live.get(ref)
        if obj is None or not _is_held(canary, obj):
            return ()
        before = custody.spec_before(obj)
        # A spec that names our Services cannot stay: they go with the canary.
        spec = before if before and not _names_ours(canary, before) else _all_to_apex(canary, obj)
        return (custody.given_back(ref, obj, spec),)

    def ahead(self, canary: Canary, live: Live, bodies: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        """Return nothing: Traefik makes one configuration of routes and addresses, and takes it as a whole."""
        return ()


def _ref(canary: Canary) -> Ref:
    return Ref(TRAEFIK_SERVICES, canary.namespace, canary.apex_name)


def _spec(canary: Canary, routes: Routes) -> JsonObject:
    service = canary.spec.service
    if service is None:
        raise UserError("spec.service is missing, so there is no port to serve on: add spec.service.port.")
    if canary.analysis.strategy is Strategy.AB_TESTING:
        raise UserError(
            "spec.analysis.match cannot be served by provider traefik, because a TraefikService does not look at "
            f"requests, so that everyone would be part of the A/B test: remove it, or {_HTTP_ONLY}."
        )
    if canary.analysis.session_affinity is not None and canary.analysis.strategy is Strategy.CANARY:
        raise UserError(
            "spec.analysis.sessionAffinity cannot be served by provider traefik, because a TraefikService does not "
            f"look at requests: remove it, or {_HTTP_ONLY}."
        )
    shares = ((canary.primary_service_name, routes.primary), (canary.canary_service_name, routes.canary))
    return {"weighted": {"services": [_service(canary, name, service.port, share) for name, share in shares if share]}}


def _service(canary: Canary, name: str, port: int | str, weight: int) -> JsonObject:
    return {"name": name, "namespace": canary.namespace, "port": port, "weight": weight}


def _services(spec: Mapping[str, Any]) -> list[JsonObject]:
    """Return the weighted Services, with the weight that Traefik gives to one without."""
    given = (spec.get("weighted") or {}).get("services") or ()
    return [{**service, "weight": int(service.get("weight", 1))} for service in given]


def _ours(canary: Canary) -> set[str]:
    return {canary.primary_service_name, canary.canary_service_name}


def _is_ours(canary: Canary, service: Mapping[str, Any]) -> bool:
    here = service.get("namespace") in {None, "", canary.namespace}
    return here and service.get("kind", "Service") == "Service" and service.get("name") in _ours(canary)


def _names_ours(canary: Canary, spec: Mapping[str, Any]) -> bool:
    return any(_is_ours(canary, service) for service in _services(spec))


def _is_held(canary: Canary, obj: JsonObject) -> bool:
    return custody.is_held(canary, obj, names_ours=_names_ours(canary, obj.get("spec") or {}))


def _routes(canary: Canary, obj: JsonObject) -> Routes | None:
    ours = [service for service in _services(obj.get("spec") or {}) if _is_ours(canary, service)]
    total = sum(service["weight"] for service in ours)
    if not total:
        return None
    share = sum(service["weight"] for service in ours if service["name"] == canary.canary_service_name)
    percent = round(100 * share / total)
    return Routes(100 - percent, percent)


def _drifted(canary: Canary, obj: JsonObject, routes: Routes) -> bool:
    if custody.lacks_marks(canary, obj):
        return True
    try:
        wanted = _spec(canary, routes)
    except UserError:
        # What cannot be written cannot be mended either; the sentence comes out of problems().
        return False
    left, right = ({service["name"]: service for service in _services(spec)} for spec in (wanted, obj["spec"]))
    return left != right


def _all_to_apex(canary: Canary, obj: JsonObject) -> JsonObject:
    """Return the live spec with the apex Service in the place of the other two; works on whatever is there."""
    spec: JsonObject = obj.get("spec") or {}
    services = _services(spec)
    ours = [service for service in services if _is_ours(canary, service)]
    if not ours:
        return spec
    others = [one for one in services if one not in ours and one.get("name") != canary.apex_name]
    apex = _service(canary, canary.apex_name, ours[0]["port"], 100)
    return {**spec, "weighted": {**spec["weighted"], "services": [apex, *others]}}
