"""A route of the Gateway API that its user brings along: only the weights of primary and canary in it are ours.

``spec.routeRef`` names it. Where one of its rules leads to the apex Service, primary and canary take that place, with
all that is written beside it (port, filters), and give it back when the Canary goes; where both are named already, only
their weights change. Every other rule, backend, filter and field stays the user's, and no mark of ours is left on the
route, so that several canaries can share one.

What is written is a JSON Patch that tests the names at which it aims: whoever changes something else at the same moment
is not in the way, and whoever moves a rule is noticed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from flaggerpy.api.analysis import Strategy
from flaggerpy.api.canary import Canary
from flaggerpy.api.marks import is_annotated, refusal, without_marks
from flaggerpy.kube.objects import JsonObject, metadata_of
from flaggerpy.kube.resources import GATEWAY_ROUTES, SERVICES, Ref, gateway_route
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Capabilities, Routes, RouteState, to_canary
from flaggerpy.routers.base import PATCH, Live
from flaggerpy.routers.brought_rules import (
    Rules,
    backends_of,
    leads_to_us,
    our_weights,
    refuse_rule,
    rules_of,
    shared,
    to_apex,
    with_unused,
)
from flaggerpy.routers.gatewayapi import acceptance

_CONNECTIONS: Final = ("TLSRoute", "TCPRoute")


class BroughtRouter:
    """A route of the user's, of one of the kinds of the Gateway API that know weights."""

    def __init__(self, kind: str) -> None:
        connections = kind in _CONNECTIONS
        self.capabilities = Capabilities(weights=True, tcp=connections, grpc=not connections, own_route=True)

    def refs(self, canary: Canary) -> tuple[Ref, ...]:
        """Return the user's route."""
        ref = _ref(canary)
        return () if ref is None else (ref,)

    def problems(self, canary: Canary) -> tuple[str, ...]:
        """Say what would need more of the route than the weights in it."""
        if canary.spec.service is None:
            return ("spec.service is missing, so there is no port to serve on: add spec.service.port.",)
        return tuple(_unserved(canary))

    def state(self, canary: Canary, live: Live) -> RouteState:
        """Read the shares of the first rule that has some, and ask the Gateways what they think of the route."""
        route = _route(canary, live)
        if route is None:
            return RouteState(routes=None)
        accepted, note = acceptance(canary, route)
        shares = (_share(canary, live, rule) for _, rule in _chosen(canary, route))
        share = next((share for share in shares if share is not None), None)
        if share is None:
            return RouteState(routes=None, accepted=accepted, note=note)
        routes = to_canary(share)
        return RouteState(routes, _drifted(canary, live, route, routes), accepted, note)

    def render(self, canary: Canary, live: Live, routes: Routes) -> tuple[JsonObject, ...]:
        """Return the route with these shares; nothing where it has them.

        Raises:
            UserError: the canary is to get users, and there is no such route, or none whose users can be shared.

        """
        route = _route(canary, live)
        if routes.canary:
            _refuse(canary, route)
        if route is None:
            return ()
        rules = rules_of(route)
        for index, rule in _chosen(canary, route):
            rules[index] = shared(canary, rule, routes)
        return _bodies(canary, route, rules)

    def restore(self, canary: Canary, live: Live) -> tuple[JsonObject, ...]:
        """Return the route with the apex Service in the place of the other two, whoever named them."""
        route = _route(canary, live)
        if route is None:
            return ()
        return _bodies(canary, route, [to_apex(canary, rule) for rule in rules_of(route)])

    def ahead(self, canary: Canary, live: Live, bodies: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        """Return the live rules with the Services to come, then the coming rules with those that are left, at weight 0.

        A proxy that gets its routes and its addresses separately knows every Service that a route names at either time.
        """
        route = _route(canary, live)
        return () if route is None else tuple(step for body in bodies for step in _steps_ahead(canary, route, body))


def _ref(canary: Canary) -> Ref | None:
    named = canary.spec.route_ref
    if named is None or named.kind not in GATEWAY_ROUTES:
        return None
    return Ref(gateway_route(named.kind, named.api_version), canary.namespace, named.name)


def _route(canary: Canary, live: Live) -> JsonObject | None:
    ref = _ref(canary)
    return None if ref is None else live.get(ref)


def _chosen(canary: Canary, route: Mapping[str, Any]) -> list[tuple[int, JsonObject]]:
    """Return the rules whose users are shared, with their places: those that lead to us, or one of them by its name."""
    section = canary.spec.route_ref and canary.spec.route_ref.section_name
    return [
        (index, rule)
        for index, rule in enumerate(rules_of(route))
        if leads_to_us(canary, rule) and section in {None, rule.get("name")}
    ]


def _share(canary: Canary, live: Live, rule: Mapping[str, Any]) -> int | None:
    """Return the canary's share of our users in a rule, None where nobody can say."""
    weights = our_weights(canary, rule)
    if not _apex_is_held(canary, live):
        weights.pop(canary.apex_name, None)
    total = sum(weights.values())
    return round(100 * weights.get(canary.canary_service_name, 0) / total) if total else None


def _apex_is_held(canary: Canary, live: Live) -> bool:
    """Tell whether the apex Service is in our hands, so that whoever comes through it is on the primary."""
    apex = live.get(Ref(SERVICES, canary.namespace, canary.apex_name))
    return apex is not None and is_annotated(apex, canary)


def _drifted(canary: Canary, live: Live, route: JsonObject, routes: Routes) -> bool:
    """Tell whether the route is not as we would write it.

    A tool that puts the user's manifest back, with the apex Service alone, sends everybody to the primary. While that
    is what is wanted there is nothing to fight about.
    """
    wanted = [rule for _, rule in _chosen(canary, route)]
    if not routes.canary and _apex_is_held(canary, live):
        wanted = [rule for rule in wanted if our_weights(canary, rule).keys() != {canary.apex_name}]
    return is_annotated(route, canary) or any(rule != shared(canary, rule, routes) for rule in wanted)


# What is written


def _steps_ahead(canary: Canary, route: JsonObject, body: JsonObject) -> Iterator[JsonObject]:
    """Yield the next step on the way to a body; none when it is the last."""
    live, coming = rules_of(route), rules_of(body)
    pairs = list(zip(live, coming, strict=True))
    first, second = [with_unused(old, new) for old, new in pairs], [with_unused(new, old) for old, new in pairs]
    if first != live:
        yield from _bodies(canary, route, first)
    elif second != coming:
        yield from _bodies(canary, route, second)


def _bodies(canary: Canary, route: JsonObject, rules: Rules) -> tuple[JsonObject, ...]:
    """Return what the route is to be and the patch that makes it so; nothing where it is so."""
    metadata = metadata_of(route)
    # It may have been made for this canary, before its user brought it along.
    kept = without_marks(metadata) if is_annotated(route, canary) else metadata
    patch = [*_patch_of_metadata(metadata, kept), *_patch_of_rules(rules_of(route), rules)]
    if not patch:
        return ()
    return ({**route, "metadata": kept, "spec": {**(route.get("spec") or {}), "rules": rules}, PATCH: patch},)


def _patch_of_metadata(before: JsonObject, after: JsonObject) -> Iterator[JsonObject]:
    for field in ("labels", "annotations"):
        for key, value in (before.get(field) or {}).items():
            if key not in (after.get(field) or {}):
                path = f"/metadata/{field}/{key.replace('~', '~0').replace('/', '~1')}"
                yield {"op": "test", "path": path, "value": value}
                yield {"op": "remove", "path": path}


def _patch_of_rules(before: Rules, after: Rules) -> Iterator[JsonObject]:
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        if old != new:
            yield from _patch_of_backends(f"/spec/rules/{index}/backendRefs", backends_of(old), backends_of(new))


def _patch_of_backends(path: str, old: list[JsonObject], new: list[JsonObject]) -> Iterator[JsonObject]:
    """Change the weights of those who stay in their places, or else the list, if it still is the one that was seen."""
    if [backend.get("name") for backend in old] != [backend.get("name") for backend in new]:
        yield {"op": "test", "path": path, "value": old}
        yield {"op": "replace", "path": path, "value": new}
        return
    for place, (one, other) in enumerate(zip(old, new, strict=True)):
        if one != other:
            yield {"op": "test", "path": f"{path}/{place}/name", "value": other["name"]}
            yield {"op": "add", "path": f"{path}/{place}/weight", "value": other["weight"]}


# What is refused


def _unserved(canary: Canary) -> Iterator[str]:
    analysis = canary.analysis
    only = "with spec.routeRef, as only the weights of your own route are changed"
    if analysis.match:
        yield (
            f"spec.analysis.match cannot be served {only}: write the conditions into a rule of the route that leads to "
            f"Service {canary.apex_name}, and its name into spec.routeRef.sectionName."
        )
    if analysis.session_affinity is not None and analysis.strategy is Strategy.CANARY:
        yield f"spec.analysis.sessionAffinity cannot be served {only}: remove it."
    if analysis.mirror:
        yield f"spec.analysis.mirror cannot be served {only}: remove it."


def _refuse(canary: Canary, route: JsonObject | None) -> None:
    """Refuse a route that does not lead to us, or whose users cannot be shared."""
    named = canary.spec.route_ref
    if named is None or _ref(canary) is None:
        raise UserError(f"spec.routeRef is missing: name a route of kind {' or '.join(GATEWAY_ROUTES)}.")
    title = f"{named.kind} {named.name}"
    if route is None:
        raise UserError(f"{title} does not exist in namespace {canary.namespace}: create it, or correct spec.routeRef.")
    if reason := refusal(route, canary):
        raise UserError(reason)
    chosen = _chosen(canary, route)
    if not chosen:
        section = named.section_name
        rule, field = (f"rule {section}", "spec.routeRef.sectionName") if section else ("rule", "spec.routeRef")
        raise UserError(
            f"{title} has no {rule} that leads to Service {canary.apex_name}: name this Service in the backendRefs of "
            f"{'it' if section else 'one'}, or correct {field}."
        )
    for index, found in chosen:
        refuse_rule(canary, f"{title}, rule {found.get('name') or index + 1}", found)
