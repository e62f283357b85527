"""A route of the Gateway API that its user brings along: only the weights of primary and canary in it are ours.

``spec.routeRef`` names it. Where one of its rules leads to the apex Service, primary and canary take that place, with
all that is written beside it (port, filters), and give it back when the Canary goes; where both are named already, only
their weights change. Every other rule, backend, filter and field stays the user's, and no mark of ours is left on the
route, so that several canaries can share one. The audience of an A/B test gets rules of ours in front of the user's.

What is written is a JSON Patch that tests the names at which it aims: whoever changes something else at the same moment
is not in the way, and whoever moves a rule is noticed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from flaggerpy.api.analysis import Strategy
from flaggerpy.api.canary import Canary
from flaggerpy.api.marks import is_annotated, owned_through_flagger, refusal, without_marks
from flaggerpy.kube.objects import JsonObject, metadata_of
from flaggerpy.kube.resources import GATEWAY_ROUTES, SERVICES, Ref, gateway_route
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Capabilities, Routes, RouteState, to_canary
from flaggerpy.routers.audience import shares_of
from flaggerpy.routers.base import PATCH, Live
from flaggerpy.routers.brought_audience import (
    additions,
    for_audience,
    is_for_audience,
    refuse_twin,
    removals,
    staying,
)
from flaggerpy.routers.brought_rules import (
    Rules,
    backends_of,
    is_shared,
    lacks_ports,
    leads_to_apex_alone,
    leads_to_us,
    our_weights,
    refuse_ports,
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
        self.capabilities = Capabilities(
            weights=True, match=not connections, tcp=connections, grpc=not connections, own_route=True, answers=True
        )

    def refs(self, canary: Canary) -> tuple[Ref, ...]:
        """Return the user's route."""
        ref = _ref(canary)
        return () if ref is None else (ref,)

    def problems(self, canary: Canary) -> tuple[str, ...]:
        """Say what would need more of the route than weights, and conditions on requests."""
        if canary.spec.service is None:
            return ("spec.service is missing, so there is no port to serve on: add spec.service.port.",)
        return tuple(_unserved(canary))

    def state(self, canary: Canary, live: Live) -> RouteState:
        """Read the shares of the first rule that has some, and ask the Gateways what they think of the route."""
        route = _route(canary, live)
        if route is None:
            return RouteState(routes=None)
        accepted, note = acceptance(canary, route)
        shares = (_share(canary, live, rule) for rule in _shared_rules(canary, route))
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
        try:
            rules = _arranged(canary, route, routes)
        except UserError:
            if routes.canary:
                raise
            rules = _arranged(canary, route, routes, audience=False)
        return _bodies(canary, route, rules)

    def restore(self, canary: Canary, live: Live) -> tuple[JsonObject, ...]:
        """Return the route with the apex Service in the place of the other two, and without rules of ours."""
        route = _route(canary, live)
        if route is None:
            return ()
        return _bodies(canary, route, [to_apex(canary, rule) for rule in _users(canary, rules_of(route))])

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


def _users(canary: Canary, rules: Rules) -> Rules:
    """Return the rules that are the user's."""
    return [rule for rule in rules if not is_for_audience(canary, rule)]


def _is_chosen(canary: Canary, rule: Mapping[str, Any]) -> bool:
    """Tell whether the users of a rule are shared: of all that lead to us, or of one of them by its name.

    Those of another port of the apex Service than primary and canary have stay with it, and so with the primary.
    """
    return _is_meant(canary, rule) and not lacks_ports(canary, rule)


def _is_meant(canary: Canary, rule: Mapping[str, Any]) -> bool:
    section = canary.spec.route_ref and canary.spec.route_ref.section_name
    return leads_to_us(canary, rule) and section in {None, rule.get("name")}


def _shared_rules(canary: Canary, route: Mapping[str, Any]) -> Rules:
    """Return the rules that tell the shares: those of the audience, where nobody else has any."""
    rules = rules_of(route)
    ours = [rule for rule in rules if is_for_audience(canary, rule)]
    if canary.analysis.match and not canary.analysis.audience_first and ours:
        return ours
    return [rule for rule in _users(canary, rules) if _is_chosen(canary, rule)]


def _title(canary: Canary, index: int, rule: Mapping[str, Any]) -> str:
    named = canary.spec.route_ref
    return f"{named.kind if named else 'route'} {named.name if named else ''}, rule {rule.get('name') or index + 1}"


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
    rules = rules_of(route)
    idle = not routes.canary and _apex_is_held(canary, live) and rules == _users(canary, rules)
    try:
        return _is_marked(canary, route) or rules != _arranged(canary, route, routes, idle=idle)
    except UserError:
        return False  # what cannot be written cannot be mended either; the sentence comes out of the observation


# What is written


def _arranged(canary: Canary, route: JsonObject, routes: Routes, *, audience: bool = True, idle: bool = False) -> Rules:
    """Return the rules with these shares, for the audience where there is one, and else for everybody.

    Where nobody is on the canary and a rule names the apex Service alone, an ``idle`` route stays as it is. A rule that
    was shared before another one was chosen leads to the apex Service again.
    """
    arranged: Rules = []
    chosen, others = shares_of(canary, routes)
    audiences = 0
    for index, rule in enumerate(_users(canary, rules_of(route))):
        if not _is_chosen(canary, rule):
            arranged.append(to_apex(canary, rule) if is_shared(canary, rule) else rule)
        elif idle and leads_to_apex_alone(canary, rule):
            arranged.append(rule)
        elif audience and chosen is not None:
            kind, where = str(route.get("kind")), _title(canary, index, rule)
            arranged.append(for_audience(canary, kind, where, shared(canary, rule, chosen), audiences))
            refuse_twin(where, arranged[-1], _users(canary, rules_of(route)))
            arranged.append(shared(canary, rule, others))
            audiences += 1
        else:
            arranged.append(shared(canary, rule, routes))
    return arranged


def _steps_ahead(canary: Canary, route: JsonObject, body: JsonObject) -> Iterator[JsonObject]:
    """Yield the next step on the way to a body; none when it is the last."""
    live, coming = rules_of(route), rules_of(body)
    first, second = _with_unused(canary, live, coming), _with_unused(canary, coming, live)
    if first != live:
        yield from _bodies(canary, route, first)
    elif second != coming:
        yield from _bodies(canary, route, second)


def _with_unused(canary: Canary, rules: Rules, others: Rules) -> Rules:
    """Return rules in which the user's own name at weight 0 whom only the others send users to."""
    uses = iter(_uses(canary, others))
    return [rule if is_for_audience(canary, rule) else with_unused(rule, next(uses)) for rule in rules]


def _uses(canary: Canary, rules: Rules) -> Iterator[JsonObject]:
    """Yield for each of the user's rules whom it sends users to, or the one of ours in front of it."""
    waiting: list[JsonObject] = []
    for rule in rules:
        waiting += backends_of(rule)
        if not is_for_audience(canary, rule):
            yield {"backendRefs": waiting}
            waiting = []


def _bodies(canary: Canary, route: JsonObject, rules: Rules) -> tuple[JsonObject, ...]:
    """Return what the route is to be and the patch that makes it so; nothing where it is so."""
    metadata = metadata_of(route)
    kept = without_marks(metadata) if _is_marked(canary, route) else metadata
    patch = [*_patch_of_metadata(metadata, kept), *_patch_of_rules(canary, rules_of(route), rules)]
    if not patch:
        return ()
    return ({**route, "metadata": kept, "spec": {**(route.get("spec") or {}), "rules": rules}, PATCH: patch},)


def _is_marked(canary: Canary, route: JsonObject) -> bool:
    """Tell whether a route was made for this canary, by us or by Flagger, before its user brought it along."""
    return is_annotated(route, canary) or owned_through_flagger(route, canary)


def _patch_of_metadata(before: JsonObject, after: JsonObject) -> Iterator[JsonObject]:
    owners, others = (metadata.get("ownerReferences") or [] for metadata in (before, after))
    if owners != others:
        yield {"op": "test", "path": "/metadata/ownerReferences", "value": owners}
        change: JsonObject = {"op": "replace", "value": others} if others else {"op": "remove"}
        yield {**change, "path": "/metadata/ownerReferences"}
    for field in ("labels", "annotations"):
        for key, value in (before.get(field) or {}).items():
            if key not in (after.get(field) or {}):
                path = f"/metadata/{field}/{key.replace('~', '~0').replace('/', '~1')}"
                yield {"op": "test", "path": path, "value": value}
                yield {"op": "remove", "path": path}


def _patch_of_rules(canary: Canary, before: Rules, after: Rules) -> Iterator[JsonObject]:
    yield from removals(canary, before, after)
    for index, (old, new) in enumerate(staying(canary, before, after)):
        yield from _patch_of_backends(f"/spec/rules/{index}/backendRefs", backends_of(old), backends_of(new))
    yield from additions(canary, before, after)


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
    analysis, named = canary.analysis, canary.spec.route_ref
    kind = named.kind if named else ""
    if analysis.match and kind in _CONNECTIONS:
        yield f"spec.analysis.match cannot be served with a {kind}, which does not look at requests: remove it."
    elif analysis.match:
        try:
            for_audience(canary, kind, kind, {}, 0)
        except UserError as error:
            yield str(error)
    only = "with spec.routeRef, as only the weights of your own route are changed"
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
    meant = [(index, rule) for index, rule in enumerate(_users(canary, rules_of(route))) if _is_meant(canary, rule)]
    chosen = [(index, rule) for index, rule in meant if _is_chosen(canary, rule)]
    for index, found in meant if not chosen else ():
        refuse_ports(canary, _title(canary, index, found), found)
    if not chosen:
        section = named.section_name
        rule, field = (f"rule {section}", "spec.routeRef.sectionName") if section else ("rule", "spec.routeRef")
        raise UserError(
            f"{title} has no {rule} that leads to Service {canary.apex_name}: name this Service in the backendRefs of "
            f"{'it' if section else 'one'}, or correct {field}."
        )
    for index, found in chosen:
        refuse_rule(canary, _title(canary, index, found), found)
