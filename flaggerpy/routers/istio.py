"""Provider ``istio``: a VirtualService, named like the apex Service, and a DestinationRule for either version."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject, annotations_of, generation_of
from flaggerpy.kube.resources import VIRTUAL_SERVICES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, Acceptance, Capabilities, Cookies, Routes, RouteState
from flaggerpy.routers import custody, destinationrule, signs
from flaggerpy.routers.base import Live
from flaggerpy.routers.signs import Sign
from flaggerpy.routers.virtualservice import is_tcp, virtual_service_spec
from flaggerpy.routers.virtualservice_compare import same_part
from flaggerpy.routers.virtualservice_cookies import cookies_of, gives_cookies, host_of

FLAGGERS_BACKUP = "flagger.kubernetes.io/original-configuration"
"""Annotation of Flagger: the spec that the VirtualService had before its last change, its own as well."""
_PROTOCOLS = ("http", "tcp")


class IstioRouter:
    """Istio's networking API in version v1beta1, which is Flagger's.

    Istio does not say of a VirtualService whether it serves it, so one that is written counts as served. Older versions
    can be told to count the proxies that have it (``PILOT_ENABLE_STATUS``).
    """

    capabilities = Capabilities(
        weights=True,
        match=True,
        mirror=True,
        mirror_weight=True,
        affinity=True,
        tcp=True,
        grpc=True,
        own_route=True,
    )

    def refs(self, canary: Canary) -> tuple[Ref, ...]:
        """Return the VirtualService, and the DestinationRules of canary and primary."""
        return (_route_ref(canary), *destinationrule.rule_refs(canary))

    def problems(self, canary: Canary) -> tuple[str, ...]:
        """Return the first thing that a VirtualService cannot say."""
        try:
            virtual_service_spec(canary, ALL_TO_PRIMARY)
            destinationrule.check_policy(canary)
        except UserError as error:
            return (str(error),)
        return ()

    def state(self, canary: Canary, live: Live) -> RouteState:
        """Read the shares, and compare everything that we own."""
        route = live.get(_route_ref(canary))
        routes = _routes(canary, route.get("spec") or {}) if route is not None else None
        if route is None or routes is None:
            return RouteState(routes=None)
        drifted = _drifted(canary, route, routes) or destinationrule.drifted(canary, live)
        accepted, note = _acceptance(route)
        return RouteState(routes, drifted, accepted, note)

    def render(self, canary: Canary, live: Live, routes: Routes) -> tuple[JsonObject, ...]:
        """Return the DestinationRules, then the VirtualService that sends somebody to their Services."""
        ref = _route_ref(canary)
        route = live.get(ref)
        held = route is not None and _is_held(canary, route)
        written = custody.taken(canary, ref, route, virtual_service_spec(canary, routes), held=held)
        return (*destinationrule.rules(canary, live), written)

    def restore(self, canary: Canary, live: Live) -> tuple[JsonObject, ...]:
        """Return the user's own objects as they were; of ours the VirtualService stays, and leads to the apex Service.

        Our DestinationRules go with the Services that they are about.
        """
        route = live.get(_route_ref(canary))
        released = (_released(canary, route),) if route is not None and _is_held(canary, route) else ()
        return (*released, *destinationrule.given_back(canary, live))

    def ahead(self, canary: Canary, live: Live, bodies: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        """Return the VirtualService with Services at weight 0 that it is about to name, or to name no longer.

        A gateway may be told only of the Services that its routes name, and of these apart from the routes.
        """
        route = live.get(_route_ref(canary))
        if route is None:
            return ()
        ours = (body for body in bodies if body["kind"] == VIRTUAL_SERVICES.kind)
        return tuple(step for body in ours if (step := _step_ahead(canary, route, body)) is not None)


def _route_ref(canary: Canary) -> Ref:
    return Ref(VIRTUAL_SERVICES, canary.namespace, canary.apex_name)


def _drifted(canary: Canary, route: JsonObject, routes: Routes) -> bool:
    if custody.lacks_marks(canary, route):
        return True
    try:
        wanted = virtual_service_spec(canary, routes)
    except UserError:
        # What cannot be written cannot be mended either; the sentence comes out of problems().
        return False
    return any(not same_part(part, route["spec"].get(field)) for field, part in wanted.items())


def _routes_of(spec: Mapping[str, Any]) -> list[JsonObject]:
    return [route for protocol in _PROTOCOLS for route in spec.get(protocol) or ()]


def _ours(canary: Canary) -> set[str]:
    return {canary.primary_service_name, canary.canary_service_name}


def _hosts(route: Mapping[str, Any]) -> set[str]:
    return {host_of(one) for one in route.get("route") or ()}


def _shares(route: Mapping[str, Any]) -> list[tuple[JsonObject, int]]:
    """Return the destinations of a route with their weights; one alone gets everything, whatever its weight."""
    destinations = list(route.get("route") or ())
    alone = len(destinations) == 1
    return [(one, 100 if alone else int(one.get("weight") or 0)) for one in destinations]


def _names_ours(canary: Canary, spec: Mapping[str, Any]) -> bool:
    return any(_hosts(route) & _ours(canary) for route in _routes_of(spec))


def _is_held(canary: Canary, route: JsonObject) -> bool:
    return custody.is_held(canary, route, names_ours=_names_ours(canary, route.get("spec") or {}))


def _split_route(canary: Canary, routes: list[JsonObject]) -> JsonObject | None:
    """Return the route that splits traffic, or else the first that names one of our Services.

    Routes of users with a cookie come before it and name both Services too.
    """
    ours = _ours(canary)
    naming = [route for route in routes if _hosts(route) & ours]
    both = [route for route in naming if ours <= _hosts(route)]
    giving = [route for route in both if gives_cookies(route)]
    return next(iter((*giving, *both[-1:], *naming)), None)


def _routes(canary: Canary, spec: Mapping[str, Any]) -> Routes | None:
    own, other = ("tcp", "http") if is_tcp(canary) else ("http", "tcp")
    # The other protocol has the shares only until the routes are written for the one that was chosen now.
    routes: list[JsonObject] = next(
        (spec[one] for one in (own, other) if _names_ours(canary, {one: spec.get(one)})), []
    )
    split = _split_route(canary, routes)
    if split is None:
        return None
    weights = {host_of(one): weight for one, weight in _shares(split) if host_of(one) in _ours(canary)}
    total = sum(weights.values())
    if not total:
        return None
    share = round(100 * weights.get(canary.canary_service_name, 0) / total)
    mirrored = any((route.get("mirror") or {}).get("host") == canary.canary_service_name for route in routes)
    cookies = cookies_of(routes, split, (canary.primary_service_name, canary.canary_service_name))
    return Routes(100 - share, share, mirrored, cookies if share else Cookies(expired=cookies.expired))


def _acceptance(route: JsonObject) -> Sign:
    """Say whether proxies have yet to get the VirtualService, where Istio counts them.

    It may count those of an earlier generation, which it has not always told apart: that says nothing.
    """
    status: JsonObject = route.get("status") or {}
    conditions = [condition for condition in status.get("conditions") or () if condition.get("type") == "Reconciled"]
    counted = int(status.get("observedGeneration") or 0) >= generation_of(route)
    for condition in conditions if counted else ():
        if condition.get("status") == "False":
            return Acceptance.UNKNOWN, f"Istio says {signs.words_of(condition)}"
    return Acceptance.YES, ""


def _step_ahead(canary: Canary, route: JsonObject, body: JsonObject) -> JsonObject | None:
    """Return the live routes with the Services to come, then the coming routes with those that are left."""
    for protocol in _PROTOCOLS:
        live, coming = (list((one.get("spec") or {}).get(protocol) or ()) for one in (route, body))
        steps = _with_unused(live, coming) or _with_unused(coming, live)
        if steps is not None:
            return custody.on_the_way(canary, route, body, **{protocol: steps})
    return None


def _with_unused(routes: list[JsonObject], others: list[JsonObject]) -> list[JsonObject] | None:
    """Return the routes with the Services to which only the others send somebody, at weight 0; None without any.

    They go to the first route that leads to Services; where none does, nothing can be done.
    """
    named = {host for route in routes for host in _hosts(route)}
    unused = {
        host_of(one): {"destination": one["destination"], "weight": 0}
        for route in others
        for one, weight in _shares(route)
        if weight and host_of(one) not in named
    }
    for index, route in enumerate(routes if unused else ()):
        if destinations := [{**one, "weight": weight} for one, weight in _shares(route)]:
            return [*routes[:index], {**route, "route": [*destinations, *unused.values()]}, *routes[index + 1 :]]
    return None


# Giving it back


def _released(canary: Canary, route: JsonObject) -> JsonObject:
    """Return the user's own VirtualService as it was, or the live one with everything going to the apex Service."""
    for before in (custody.spec_before(route), _flaggers_backup(route)):
        # A spec that names our Services cannot stay: they go with the canary.
        if before and not _names_ours(canary, before):
            break
    else:
        before = _all_to_apex(canary, route.get("spec") or {})
    body = custody.given_back(_route_ref(canary), route, before)
    body["metadata"]["annotations"].pop(FLAGGERS_BACKUP, None)
    return body


def _flaggers_backup(route: JsonObject) -> JsonObject:
    try:
        value: Any = json.loads(annotations_of(route).get(FLAGGERS_BACKUP, ""))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _all_to_apex(canary: Canary, spec: JsonObject) -> JsonObject:
    """Return the live spec with the apex Service in the place of the other two; works on whatever is there."""
    parts = {protocol: list(_released_routes(canary, spec[protocol])) for protocol in _PROTOCOLS if spec.get(protocol)}
    return {**spec, **parts}


def _released_routes(canary: Canary, routes: list[JsonObject]) -> Iterator[JsonObject]:
    ours = _ours(canary)
    for_everyone = any(_hosts(route) & ours and canary.canary_service_name not in _hosts(route) for route in routes)
    split = _split_route(canary, routes)
    for route in routes:
        if not _hosts(route) & ours:
            yield route
        elif canary.canary_service_name not in _hosts(route) or (route is split and not for_everyone):
            # The audience of an A/B test and users with a cookie need no routes of their own any more.
            yield _released_route(canary, route)


def _released_route(canary: Canary, route: JsonObject) -> JsonObject:
    destinations = route["route"]
    destination = next(one["destination"] for one in destinations if host_of(one) in _ours(canary))
    others = [one for one in destinations if host_of(one) not in {*_ours(canary), canary.apex_name}]
    apex = {"destination": {**destination, "host": canary.apex_name}, "weight": 100}
    copied = (route.get("mirror") or {}).get("host") == canary.canary_service_name
    dropped = {"mirror", "mirrorPercentage"} if copied else set()
    return {field: part for field, part in route.items() if field not in dropped} | {"route": [apex, *others]}
