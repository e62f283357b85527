"""Provider ``contour``: one HTTPProxy, named like the apex Service, whose routes carry the shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject, generation_of
from flaggerpy.kube.resources import HTTP_PROXIES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, Acceptance, Capabilities, Routes, RouteState
from flaggerpy.routers import custody, signs
from flaggerpy.routers.base import Live
from flaggerpy.routers.httpproxy import is_mirror, proxy_spec, same_routes, service_of, weights_of, with_unused_services
from flaggerpy.routers.signs import Sign


class ContourRouter:
    """Contour's HTTPProxy in version v1; the ingress class is written when there is one."""

    capabilities = Capabilities(
        weights=True, match=True, mirror=True, mirror_weight=True, grpc=True, own_route=True, answers=True
    )

    def __init__(self, ingress_class: str = "") -> None:
        self._ingress_class = ingress_class

    def refs(self, canary: Canary) -> tuple[Ref, ...]:
        """Return the HTTPProxy."""
        return (_ref(canary),)

    def problems(self, canary: Canary) -> tuple[str, ...]:
        """Return the first thing that an HTTPProxy cannot say."""
        try:
            proxy_spec(canary, ALL_TO_PRIMARY, self._ingress_class)
        except UserError as error:
            return (str(error),)
        return ()

    def state(self, canary: Canary, live: Live) -> RouteState:
        """Read the shares, compare everything that we own, and ask Contour what it thinks of it."""
        proxy = live.get(_ref(canary))
        if proxy is None:
            return RouteState(routes=None)
        accepted, note = _acceptance(proxy)
        routes = _routes(canary, proxy)
        if routes is None:
            return RouteState(routes=None, accepted=accepted, note=note)
        return RouteState(routes, self._drifted(canary, proxy, routes), accepted, note)

    def render(self, canary: Canary, live: Live, routes: Routes) -> tuple[JsonObject, ...]:
        """Return the HTTPProxy with these shares: what we own of it, or one that Flagger made whole."""
        ref = _ref(canary)
        proxy = live.get(ref)
        held = proxy is not None and _is_held(canary, proxy)
        return (custody.taken(canary, ref, proxy, proxy_spec(canary, routes, self._ingress_class), held=held),)

    def restore(self, canary: Canary, live: Live) -> tuple[JsonObject, ...]:
        """Return the user's own HTTPProxy as it was, or ours with everything going to the apex Service."""
        ref = _ref(canary)
        proxy = live.get(ref)
        if proxy is None or not _is_held(canary, proxy):
            return ()
        before = custody.spec_before(proxy)
        # A spec that names our Services cannot stay: they go with the canary.
        spec = before if before and not _names_ours(canary, before) else _all_to_apex(canary, proxy)
        return (custody.given_back(ref, proxy, spec),)

    def ahead(self, canary: Canary, live: Live, bodies: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        """Return the HTTPProxy with Services at weight 0 that it is about to name, or to name no longer.

        Envoy gets routes, Services and their addresses from Contour separately.
        """
        proxy = live.get(_ref(canary))
        if proxy is None:
            return ()
        return tuple(step for body in bodies if (step := _step_ahead(canary, proxy, body)) is not None)

    def _drifted(self, canary: Canary, proxy: JsonObject, routes: Routes) -> bool:
        if custody.lacks_marks(canary, proxy):
            return True
        try:
            wanted = proxy_spec(canary, routes, self._ingress_class)
        except UserError:
            # What cannot be written cannot be mended either; the sentence comes out of problems().
            return False
        spec = proxy["spec"]
        another_class = bool(self._ingress_class) and spec.get("ingressClassName") != self._ingress_class
        return another_class or not same_routes(wanted, spec)


def _ref(canary: Canary) -> Ref:
    return Ref(HTTP_PROXIES, canary.namespace, canary.apex_name)


def _step_ahead(canary: Canary, proxy: JsonObject, body: JsonObject) -> JsonObject | None:
    """Return the live routes with the Services to come, then the coming routes with those that are left."""
    live, coming = _routes_of(proxy.get("spec") or {}), _routes_of(body["spec"])
    routes = with_unused_services(live, coming) or with_unused_services(coming, live)
    return None if routes is None else custody.on_the_way(canary, proxy, body, routes=routes)


def _routes_of(spec: Mapping[str, Any]) -> list[JsonObject]:
    return list(spec.get("routes") or ())


def _ours(canary: Canary) -> set[str]:
    return {canary.primary_service_name, canary.canary_service_name}


def _names(route: Mapping[str, Any]) -> set[str]:
    return {service["name"] for service in route.get("services") or ()}


def _names_ours(canary: Canary, spec: Mapping[str, Any]) -> bool:
    return any(_names(route) & _ours(canary) for route in _routes_of(spec))


def _is_held(canary: Canary, proxy: JsonObject) -> bool:
    return custody.is_held(canary, proxy, names_ours=_names_ours(canary, proxy.get("spec") or {}))


def _routes(canary: Canary, proxy: JsonObject) -> Routes | None:
    """Read the shares from the first route that names both of our Services, or else one of them.

    Where an audience comes first, everybody else's shares are the canary's: those of the last route.
    """
    ours = _ours(canary)
    naming = [route["services"] for route in _routes_of(proxy.get("spec") or {}) if _names(route) & ours]
    if canary.analysis.audience_first:
        naming.reverse()
    naming.sort(key=lambda services: not ours <= {service["name"] for service in services})
    mirrored = any(is_mirror(service, canary) for services in naming for service in services)
    for services in naming:
        weights = Counter[str]()
        for service, weight in zip(services, weights_of(services), strict=True):
            weights[service["name"]] += weight
        primary, share = weights[canary.primary_service_name], weights[canary.canary_service_name]
        if primary + share:
            percent = round(100 * share / (primary + share))
            return Routes(100 - percent, percent, mirrored)
    return None


def _acceptance(proxy: JsonObject) -> Sign:
    """Say whether Contour serves the HTTPProxy in its present generation."""
    conditions: list[JsonObject] = (proxy.get("status") or {}).get("conditions") or []
    valid = next((condition for condition in conditions if condition.get("type") == "Valid"), {})
    if not signs.is_current(valid, generation_of(proxy)):
        return signs.silence([valid]), ""
    if valid.get("status") == "True":
        return Acceptance.YES, ""
    errors = valid.get("errors") or ()
    if any(error.get("type") == "Orphaned" for error in errors):
        # Nobody comes through it, so there is nobody to keep from moving on; one that includes it may come any time.
        return Acceptance.UNKNOWN, "no HTTPProxy with a virtualhost includes it"
    if valid.get("status") != "False":
        return Acceptance.UNKNOWN, ""
    return Acceptance.NO, f"Contour does not serve the route: {signs.words_of(errors[0] if errors else valid)}"


def _all_to_apex(canary: Canary, proxy: JsonObject) -> JsonObject:
    """Return the live spec with the apex Service in the place of the other two; works on whatever is there."""
    spec: JsonObject = proxy.get("spec") or {}
    return {**spec, "routes": list(_released_routes(canary, _routes_of(spec)))}


def _released_routes(canary: Canary, routes: list[JsonObject]) -> Iterator[JsonObject]:
    ours = _ours(canary)
    for_everyone = any(_names(route) & ours and not _is_for_an_audience(route) for route in routes)
    for route in routes:
        if not _names(route) & ours:
            yield route
        elif not (for_everyone and _is_for_an_audience(route)):
            # The audience of an A/B test needs no route of its own any more.
            yield _released_route(canary, route)


def _is_for_an_audience(route: Mapping[str, Any]) -> bool:
    return any("header" in part or "queryParameter" in part for part in route.get("conditions") or ())


def _released_route(canary: Canary, route: JsonObject) -> JsonObject:
    services = route["services"]
    port = next(service["port"] for service in services if service["name"] in _ours(canary))
    others = [service for service in services if service["name"] not in {*_ours(canary), canary.apex_name}]
    return {**route, "services": [service_of(canary, canary.apex_name, port, 100), *others]}
