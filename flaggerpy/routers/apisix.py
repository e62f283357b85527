"""Provider ``apisix``: a copy of the rules of the user's own ApisixRoute, which comes first and carries the shares.

The user's own route is only read: it leads to the apex Service, and does so again when the copy is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flaggerpy.api.analysis import Strategy
from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import CANARY_SUFFIX
from flaggerpy.kube.objects import JsonObject, annotations_of, generation_of
from flaggerpy.kube.resources import APISIX_ROUTES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Acceptance, Capabilities, Routes, RouteState
from flaggerpy.routers import custody, signs
from flaggerpy.routers.base import Live
from flaggerpy.routers.ports import lacking_port, lacks_port
from flaggerpy.routers.signs import Sign

_AHEAD: Final = 10000
"""What is added to the priority of a rule, so that its copy comes first: Flagger's number."""
_DEFAULT_WEIGHT: Final = 100
_SERVED: Final = ("ResourcesAvailable", "Accepted")
"""Conditions by which the ingress controller says that it serves a route: in its version 1, and since version 2."""
_READ_BY_APISIX: Final = ("k8s.apisix.apache.org/", "apisix.apache.org/", "kubernetes.io/ingress.class")


class ApisixRouter:
    """APISIX's ApisixRoute in version v2."""

    capabilities = Capabilities(weights=True, grpc=True, own_route=True, answers=True)

    def refs(self, canary: Canary) -> tuple[Ref, ...]:
        """Return the copy, and the user's own route."""
        own = _own_ref(canary)
        return () if own is None else (_copy_ref(canary, own), own)

    def problems(self, canary: Canary) -> tuple[str, ...]:
        """Return the first thing that an ApisixRoute cannot say."""
        if canary.spec.route_ref is None:
            return (
                "spec.routeRef is missing: name the ApisixRoute that leads to the apex Service, as provider apisix "
                "copies its rules.",
            )
        if canary.analysis.strategy is Strategy.AB_TESTING:
            return (
                "spec.analysis.match cannot be served, because provider apisix copies the conditions of your own "
                "ApisixRoute, so that everyone would be part of the A/B test: remove it, or use a provider that routes "
                "by requests, like gatewayapi:v1.",
            )
        return ()

    def state(self, canary: Canary, live: Live) -> RouteState:
        """Read the shares, compare the copy with the user's own route, and ask APISIX what it thinks of it."""
        own = _own_ref(canary)
        copy = live.get(_copy_ref(canary, own)) if own else None
        if own is None or copy is None:
            return RouteState(routes=None)
        accepted, note = _acceptance(copy)
        routes = _routes(canary, copy)
        if routes is None:
            return RouteState(routes=None, accepted=accepted, note=note)
        return RouteState(routes, _drifted(canary, live, own, routes), accepted, note)

    def render(self, canary: Canary, live: Live, routes: Routes) -> tuple[JsonObject, ...]:
        """Return the copy with these shares.

        Raises:
            UserError: the user's own route cannot be copied, and was not copied before.

        """
        own = _own_ref(canary)
        if own is None:
            raise UserError(self.problems(canary)[0])
        ref = _copy_ref(canary, own)
        copy = live.get(ref)
        held = copy is not None and _is_held(canary, copy)
        more = _annotations(live.get(own) or {})
        return (custody.taken(canary, ref, copy, _spec(canary, live, own, routes), held=held, more=more),)

    def restore(self, canary: Canary, live: Live) -> tuple[JsonObject, ...]:
        """Return a copy that leads to the apex Service, or what a user had under its name.

        The copy keeps its marks: without it the user's own route does the same.
        """
        own = _own_ref(canary)
        ref = _copy_ref(canary, own) if own else None
        copy = live.get(ref) if ref else None
        if ref is None or copy is None or not _is_held(canary, copy):
            return ()
        if custody.ORIGINAL_ROUTE in annotations_of(copy):
            return (custody.given_back(ref, copy, custody.spec_before(copy)),)
        if not _names_ours(canary, copy.get("spec") or {}):
            return ()
        spec = {**copy["spec"], "http": [_to_apex(canary, rule) for rule in _rules(copy["spec"])]}
        return ({**copy, "apiVersion": ref.resource.api_version, "kind": ref.resource.kind, "spec": spec},)

    def ahead(self, canary: Canary, live: Live, bodies: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        """Return the copy with Services at weight 0 that it is about to name, or to name no longer.

        Where there is none yet, it begins as the user's own route: with the apex Service.
        """
        own = _own_ref(canary)
        copy = live.get(_copy_ref(canary, own)) if own else None
        return tuple(step for body in bodies if (step := _step_ahead(canary, copy, body)) is not None)


def _own_ref(canary: Canary) -> Ref | None:
    named = canary.spec.route_ref
    return Ref(APISIX_ROUTES, canary.namespace, named.name) if named else None


def _copy_ref(canary: Canary, own: Ref) -> Ref:
    return Ref(APISIX_ROUTES, canary.namespace, f"{own.name}-{canary.apex_name}{CANARY_SUFFIX}")


def _ours(canary: Canary) -> set[str]:
    return {canary.primary_service_name, canary.canary_service_name}


def _rules(spec: Mapping[str, Any]) -> list[JsonObject]:
    return list(spec.get("http") or ())


def _backends(rule: Mapping[str, Any]) -> list[JsonObject]:
    return list(rule.get("backends") or ())


def _weight(backend: Mapping[str, Any]) -> int:
    """Return the weight of a backend; APISIX gives one without any 100."""
    return int(backend.get("weight", _DEFAULT_WEIGHT))


def _names(rule: Mapping[str, Any]) -> set[str]:
    return {str(backend.get("serviceName")) for backend in _backends(rule)}


def _names_ours(canary: Canary, spec: Mapping[str, Any]) -> bool:
    return any(_names(rule) & _ours(canary) for rule in _rules(spec))


def _is_held(canary: Canary, copy: JsonObject) -> bool:
    return custody.is_held(canary, copy, names_ours=_names_ours(canary, copy.get("spec") or {}))


def _spec(canary: Canary, live: Live, own: Ref, routes: Routes) -> JsonObject:
    """Return the spec of the copy; where the user's own route cannot be copied any more, that of the last one."""
    route, copy = live.get(own), live.get(_copy_ref(canary, own))
    try:
        spec, rules = _copied(canary, own, route)
    except UserError:
        if copy is None or not _is_held(canary, copy):
            raise
        spec, rules = copy["spec"], _rules(copy["spec"])
    rest = {field: value for field, value in spec.items() if field not in {"http", "stream"}}
    return {**rest, "http": [_shared(canary, rule, routes) for rule in rules]}


def _copied(canary: Canary, own: Ref, route: JsonObject | None) -> tuple[JsonObject, list[JsonObject]]:
    """Return the spec of the user's own route, and those of its rules that lead to the apex Service, put first."""
    if route is None:
        raise UserError(
            f"ApisixRoute {own.name} does not exist in namespace {own.namespace}: create it, or correct spec.routeRef."
        )
    spec: JsonObject = route.get("spec") or {}
    leading = [rule for rule in _rules(spec) if canary.apex_name in _names(rule)]
    if not leading:
        raise UserError(
            f"ApisixRoute {own.name} has no rule that leads to Service {canary.apex_name}: add it to the backends of "
            f"one, or correct spec.routeRef."
        )
    # Where primary and canary have no such port, the user's own rule goes on leading to the apex Service.
    shared = [rule for rule in leading if not all(lacks_port(canary, port) for port in _ports(canary, rule))]
    if not shared:
        where = f"ApisixRoute {own.name}, rule {leading[0].get('name')}"
        raise UserError(lacking_port(canary, where, _ports(canary, leading[0])[0]))
    for rule in shared:
        if len(_backends(rule)) > 1:
            raise UserError(
                f"ApisixRoute {own.name} has a rule {rule.get('name')} with several backends: leave only Service "
                f"{canary.apex_name}, as its users are shared between primary and canary."
            )
    return spec, [{**rule, "priority": int(rule.get("priority") or 0) + _AHEAD} for rule in shared]


def _ports(canary: Canary, rule: Mapping[str, Any]) -> list[int | str | None]:
    return [one.get("servicePort") for one in _backends(rule) if one.get("serviceName") == canary.apex_name]


def _shared(canary: Canary, rule: JsonObject, routes: Routes) -> JsonObject:
    """Return a rule of which primary and canary get their shares; everything else is as the user wrote it."""
    like = _backends(rule)[0]
    shares = {canary.primary_service_name: routes.primary, canary.canary_service_name: routes.canary}
    return {**rule, "backends": [{**like, "serviceName": name, "weight": weight} for name, weight in shares.items()]}


def _to_apex(canary: Canary, rule: JsonObject) -> JsonObject:
    like = next((backend for backend in _backends(rule) if backend.get("serviceName") in _ours(canary)), None)
    if like is None:
        return rule
    return {**rule, "backends": [{**like, "serviceName": canary.apex_name, "weight": _DEFAULT_WEIGHT}]}


def _annotations(route: JsonObject) -> dict[str, str]:
    """Return what APISIX reads on the user's own route; other marks on it are for other tools, which would prune us."""
    return {key: value for key, value in annotations_of(route).items() if key.startswith(_READ_BY_APISIX)}


def _drifted(canary: Canary, live: Live, own: Ref, routes: Routes) -> bool:
    copy = live[_copy_ref(canary, own)]
    if custody.lacks_marks(canary, copy, more=_annotations(live.get(own) or {})):
        return True
    wanted = _spec(canary, live, own, routes)
    spec: JsonObject = copy["spec"]
    same = all(spec.get(field) == value for field, value in wanted.items() if field != "http")
    return not same or [_plain(rule) for rule in _rules(spec)] != [_plain(rule) for rule in wanted["http"]]


def _plain(rule: JsonObject) -> JsonObject:
    """Return a rule without the fields that are as good as left out."""
    return {key: value for key, value in rule.items() if value not in (None, False)}


def _step_ahead(canary: Canary, copy: JsonObject | None, body: JsonObject) -> JsonObject | None:
    """Return the live rules with the Services to come, then the coming rules with those that are left."""
    coming = _rules(body["spec"])
    if copy is None:
        return {**body, "spec": {**body["spec"], "http": [_beginning(canary, rule) for rule in coming]}}
    live = _rules(copy.get("spec") or {})
    rules = _with_unused(live, coming) or _with_unused(coming, live)
    return None if rules is None else custody.on_the_way(canary, copy, body, http=rules)


def _beginning(canary: Canary, rule: JsonObject) -> JsonObject:
    backends = _backends(rule)
    apex = {**backends[0], "serviceName": canary.apex_name, "weight": _DEFAULT_WEIGHT}
    return {**rule, "backends": [apex, *({**backend, "weight": 0} for backend in backends)]}


def _with_unused(rules: list[JsonObject], others: list[JsonObject]) -> list[JsonObject] | None:
    """Return the rules with the Services to which only the others send somebody, at weight 0; None without any."""
    named = {name for rule in rules for name in _names(rule)}
    unused = {
        backend["serviceName"]: {**backend, "weight": 0}
        for rule in others
        for backend in _backends(rule)
        if _weight(backend) and backend["serviceName"] not in named
    }
    if not unused or not rules:
        return None
    first = rules[0]
    backends = [{**backend, "weight": _weight(backend)} for backend in _backends(first)]
    return [{**first, "backends": [*backends, *unused.values()]}, *rules[1:]]


def _routes(canary: Canary, copy: JsonObject) -> Routes | None:
    """Read the shares from the first rule that leads to one of our Services."""
    for rule in _rules(copy.get("spec") or {}):
        weights = {str(backend.get("serviceName")): _weight(backend) for backend in _backends(rule)}
        primary, share = (weights.get(name, 0) for name in (canary.primary_service_name, canary.canary_service_name))
        if primary + share:
            percent = round(100 * share / (primary + share))
            return Routes(100 - percent, percent)
    return None


def _acceptance(copy: JsonObject) -> Sign:
    """Say whether APISIX serves the copy in its present generation."""
    conditions = (copy.get("status") or {}).get("conditions") or ()
    spoken = [condition for condition in conditions if condition.get("type") in _SERVED]
    current = [condition for condition in spoken if signs.is_current(condition, generation_of(copy))]
    for condition in current:
        if condition.get("status") == "True":
            return Acceptance.YES, ""
        if condition.get("status") == "False":
            return Acceptance.NO, f"APISIX does not serve the route: {signs.words_of(condition)}"
    return (Acceptance.UNKNOWN if current else signs.silence(spoken)), ""
