"""From a canary's settings to the routes of Gloo's RouteTable, and from its routes to what they send where.

As in Flagger the RouteTable has no host of its own: a VirtualService delegates to it, and the path is that one's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from flaggerpy.api.canary import Canary
from flaggerpy.api.matching import AudienceMatch, StringMatch
from flaggerpy.kube.objects import JsonObject
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Routes
from flaggerpy.routers.audience import shares_of
from flaggerpy.routers.re2 import check_re2

PRIMARY: Final = "primaryupstream"
CANARY: Final = "canaryupstream"


def table_spec(canary: Canary, routes: Routes) -> JsonObject:
    """Return what we own of the spec, so that it spreads traffic like this.

    Raises:
        UserError: something in the canary cannot be said in a RouteTable.

    """
    if canary.spec.service is None:
        raise UserError("spec.service is missing, so there is no port to serve on: add spec.service.port.")
    audience, others = shares_of(canary, routes)
    matchers = {"matchers": _audience(canary.analysis.match)}
    chosen = [_route(canary, audience) | matchers] if audience is not None else []
    return {"routes": [*chosen, _route(canary, others)]}


def upstream_name(canary: Canary, side: str) -> str:
    """Return the name of the Upstream of the primary or of the canary; it has the port in it."""
    port = canary.spec.service.port if canary.spec.service else ""
    return f"{canary.namespace}-{canary.apex_name}-{side}-{port}"


def side_of(canary: Canary, destination: Mapping[str, Any]) -> str | None:
    """Return whose Upstream a destination is, whatever its port, which may have been edited; None for all others."""
    kind, namespace, name = key_of(destination)
    here = canary.spec.service is not None and (kind, namespace) == ("upstream", canary.namespace)
    for side in (PRIMARY, CANARY) if here else ():
        before, _, port = name.rpartition("-")
        if port.isdecimal() and before == f"{canary.namespace}-{canary.apex_name}-{side}":
            return side
    return None


def to_apex(canary: Canary) -> JsonObject:
    """Return the destination of everybody once the canary is gone; it needs no Upstream."""
    service = {"name": canary.apex_name, "namespace": canary.namespace}
    port = canary.spec.service.port if canary.spec.service else 80
    return {"destination": {"kube": {"ref": service, "port": port}}, "weight": 100}


def destinations_of(route: Mapping[str, Any]) -> list[JsonObject]:
    """Return who gets the requests of a route; the only one of a route gets all of them."""
    action = route.get("routeAction") or {}
    only = [{"destination": action["single"], "weight": 1}] if action.get("single") else []
    return list((action.get("multi") or {}).get("destinations") or only)


def with_destinations(route: JsonObject, destinations: list[JsonObject]) -> JsonObject:
    """Return a route that sends its requests somewhere else."""
    rest = {key: value for key, value in (route.get("routeAction") or {}).items() if key != "single"}
    multi = {**(rest.get("multi") or {}), "destinations": destinations}
    return {**route, "routeAction": {**rest, "multi": multi}}


def key_of(destination: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what tells one destination from another: its kind, namespace and name."""
    inner = destination.get("destination") or {}
    kind = "kube" if inner.get("kube") else "upstream"
    named = (inner.get("kube") or {}).get("ref") or inner.get("upstream") or {}
    return kind, str(named.get("namespace")), str(named.get("name"))


def weight_of(destination: Mapping[str, Any]) -> int:
    """Return the weight of a destination; none is 0."""
    return int(destination.get("weight") or 0)


def with_unused(routes: list[JsonObject], others: list[JsonObject]) -> list[JsonObject] | None:
    """Return the routes with the destinations to which only the others send somebody, without weight; None without any.

    They go to the first route that sends somebody somewhere.
    """
    named = {key_of(one) for route in routes for one in destinations_of(route)}
    unused = {
        key_of(one): {"destination": one["destination"]}
        for route in others
        for one in destinations_of(route)
        if weight_of(one) and key_of(one) not in named
    }
    for index, route in enumerate(routes if unused else ()):
        destinations = destinations_of(route)
        if any(map(weight_of, destinations)):
            widened = with_destinations(route, [*destinations, *unused.values()])
            return [*routes[:index], widened, *routes[index + 1 :]]
    return None


def _route(canary: Canary, routes: Routes) -> JsonObject:
    shares = {PRIMARY: routes.primary, CANARY: routes.canary}
    destinations = [_destination(canary, side, share) for side, share in shares.items()]
    return {"inheritablePathMatchers": True, "routeAction": {"multi": {"destinations": destinations}}}


def _destination(canary: Canary, side: str, weight: int) -> JsonObject:
    """Return an Upstream with its share; 0 is left out, as in Flagger's objects."""
    upstream = {"name": upstream_name(canary, side), "namespace": canary.namespace}
    chosen: JsonObject = {"destination": {"upstream": upstream}}
    return chosen | ({"weight": weight} if weight else {})


def _audience(matches: tuple[AudienceMatch, ...]) -> list[JsonObject]:
    """Return a matcher for each part of the audience; one of them must hold, and all of its conditions."""
    parts: list[JsonObject] = []
    for index, match in enumerate(matches):
        place = f"spec.analysis.match[{index}]"
        headers = list(_values(f"{place}.headers", match.headers or {}))
        parameters = list(_values(f"{place}.queryParams", match.query_params or {}))
        if not headers and not parameters:
            raise UserError(
                f"{place} has neither headers nor queryParams, so that everyone would be part of the A/B test: a "
                f"RouteTable can choose users by these two only."
            )
        parts.append(
            ({"headers": headers} if headers else {}) | ({"queryParameters": parameters} if parameters else {})
        )
    return parts


def _values(place: str, values: Mapping[str, StringMatch]) -> Iterator[JsonObject]:
    for name, value in sorted(values.items()):
        yield {"name": name, **_value(f"{place}.{name}", value)}


def _value(place: str, value: StringMatch) -> JsonObject:
    """Say how a value is compared; what is only its beginning or its end becomes a regular expression."""
    if value.exact:
        return {"value": value.exact}
    if value.regex:
        check_re2(f"{place}.regex", value.regex)
        return {"value": value.regex, "regex": True}
    suffix = getattr(value, "suffix", None)
    if not value.prefix and not suffix:
        raise UserError(f"{place} is empty, so that everyone would be part of the A/B test: write what it must be.")
    text = f"{re.escape(value.prefix)}.*" if value.prefix else f".*{re.escape(suffix or '')}"
    return {"value": text, "regex": True}
