"""Providers ``gatewayapi:v1`` and ``gatewayapi:v1beta1``: one HTTPRoute, named like the apex Service.

What v1beta1 had when there was no v1 yet has neither timeouts nor CORS; an API server would drop them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.api.marks import is_annotated
from flaggerpy.kube.objects import JsonObject, generation_of
from flaggerpy.kube.resources import HTTP_ROUTES, HTTP_ROUTES_V1BETA1, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, Acceptance, Capabilities, Cookies, Routes, RouteState
from flaggerpy.routers import custody, signs
from flaggerpy.routers.base import Live
from flaggerpy.routers.httproute import backend, route_spec, with_unused_backends
from flaggerpy.routers.httproute_compare import parent_key, same_spec
from flaggerpy.routers.httproute_cookies import cookies_of, gives_cookies
from flaggerpy.routers.httproute_parents import kept_parents
from flaggerpy.routers.signs import Conditions, Sign


class GatewayApiRouter:
    """The Gateway API in version v1 or, if ``beta``, v1beta1.

    Copies of a share of the requests (``percent``) came with version 1.3 of v1; CRDs without it refuse the route, and
    not every proxy heeds it. Who runs both says so with ``mirror_percent``.
    """

    capabilities = Capabilities(
        weights=True, match=True, mirror=True, affinity=True, grpc=True, own_route=True, answers=True, brings=True
    )

    def __init__(self, *, beta: bool = False, mirror_percent: bool = False) -> None:
        self._beta = beta
        self.capabilities = replace(self.capabilities, mirror_weight=mirror_percent)

    def refs(self, canary: Canary) -> tuple[Ref, ...]:
        """Return the HTTPRoute."""
        return (self._ref(canary),)

    def problems(self, canary: Canary) -> tuple[str, ...]:
        """Return the first thing that an HTTPRoute cannot say."""
        try:
            self._spec(canary, ALL_TO_PRIMARY)
        except UserError as error:
            return (str(error),)
        return ()

    def state(self, canary: Canary, live: Live) -> RouteState:
        """Read the shares, compare everything else, and ask the Gateways what they think of it."""
        route = live.get(self._ref(canary))
        if route is None:
            return RouteState(routes=None)
        accepted, note = acceptance(canary, route)
        routes = _routes(canary, route.get("spec") or {})
        if routes is None:
            return RouteState(routes=None, accepted=accepted, note=note)
        return RouteState(routes, self._drifted(canary, route, routes), accepted, note)

    def render(self, canary: Canary, live: Live, routes: Routes) -> tuple[JsonObject, ...]:
        """Return the HTTPRoute with these shares: what we own of it, or one that Flagger made whole."""
        ref = self._ref(canary)
        route = live.get(ref)
        held = route is not None and _is_held(canary, route)
        return (custody.taken(canary, ref, route, self._spec(canary, routes), held=held),)

    def restore(self, canary: Canary, live: Live) -> tuple[JsonObject, ...]:
        """Return the user's own route as it was, or ours with everything going to the apex Service."""
        ref = self._ref(canary)
        route = live.get(ref)
        if route is None or not _is_held(canary, route):
            return ()
        before = custody.spec_before(route)
        # A spec that names our Services cannot stay: they go with the canary.
        spec = before if before and not _names_ours(canary, before) else _all_to_apex(canary, route)
        return (custody.given_back(ref, route, spec),)

    def ahead(self, canary: Canary, live: Live, bodies: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        """Return the route with Services at weight 0 that it is about to name, or to name no longer."""
        route = live.get(self._ref(canary))
        return tuple(step for body in bodies if (step := _step_ahead(canary, route, body)) is not None)

    def _ref(self, canary: Canary) -> Ref:
        return Ref(HTTP_ROUTES_V1BETA1 if self._beta else HTTP_ROUTES, canary.namespace, canary.apex_name)

    def _spec(self, canary: Canary, routes: Routes) -> JsonObject:
        known = canary if self.capabilities.mirror_weight else _copying_all(canary)
        return route_spec(_without_what_is_new(known) if self._beta else known, routes)

    def _drifted(self, canary: Canary, route: JsonObject, routes: Routes) -> bool:
        if custody.lacks_marks(canary, route):
            return True
        try:
            wanted = self._spec(canary, routes)
        except UserError:
            # What cannot be written cannot be mended either; the sentence comes out of problems().
            return False
        parents = wanted.get("parentRefs") or []
        kept = kept_parents(route, parents, canary.namespace)
        return not same_spec(wanted | {"parentRefs": [*parents, *kept]}, route.get("spec") or {})


def _without_what_is_new(canary: Canary) -> Canary:
    """Return the canary as one who knows only the first v1beta1 reads it."""
    if canary.spec.service is None:
        return canary
    service = canary.spec.service.model_copy(update={"timeout": None, "backend_timeout": None, "cors_policy": None})
    return canary.model_copy(update={"spec": canary.spec.model_copy(update={"service": service})})


def _copying_all(canary: Canary) -> Canary:
    """Return the canary as one who cannot copy a share of the requests reads it."""
    analysis = canary.analysis.model_copy(update={"mirror_weight": 0})
    return canary.model_copy(update={"spec": canary.spec.model_copy(update={"analysis": analysis})})


def _step_ahead(canary: Canary, route: JsonObject | None, body: JsonObject) -> JsonObject | None:
    """Return the live rules with the Services to come, then the coming rules with those that are left, at weight 0.

    A proxy that gets its routes and its addresses separately knows every Service that a route names at either time. And
    a Gateway that the route leaves keeps it until the new one has it; one that is given back is its user's business.
    """
    if route is None:
        return None
    live, coming = (route.get("spec") or {}).get("rules") or [], body["spec"]["rules"]
    parents = body["spec"].get("parentRefs") or []
    kept = kept_parents(route, parents, canary.namespace) if is_annotated(body, canary) else []
    rules = with_unused_backends(live, coming) or with_unused_backends(coming, live)
    if rules is None and not kept:
        return None
    both = {"parentRefs": [*parents, *kept]} if kept else {}
    return custody.on_the_way(canary, route, body, rules=coming if rules is None else rules, **both)


def _weights(canary: Canary, rule: Mapping[str, Any]) -> dict[str, int]:
    """Return the weights of our Services in a rule."""
    ours = {canary.primary_service_name, canary.canary_service_name}
    return {
        reference["name"]: int(reference.get("weight", 1))
        for reference in rule.get("backendRefs") or ()
        if reference.get("name") in ours
    }


def _split_rule(canary: Canary, spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the rule that splits traffic, or else the first that names one of our Services.

    Rules of users with a cookie come before it and name both Services too.
    """
    naming = [(rule, len(_weights(canary, rule))) for rule in spec.get("rules") or ()]
    both = [rule for rule, count in naming if count == 2]
    giving = [rule for rule in both if gives_cookies(rule)]
    return next((rule for rule in (*giving, *both[-1:], *(rule for rule, count in naming if count))), None)


def _routes(canary: Canary, spec: Mapping[str, Any]) -> Routes | None:
    split = _split_rule(canary, spec)
    weights = _weights(canary, split) if split is not None else {}
    total = sum(weights.values())
    if split is None or not total:
        return None
    share = round(100 * weights.get(canary.canary_service_name, 0) / total)
    names = (canary.primary_service_name, canary.canary_service_name)
    cookies = cookies_of(spec.get("rules") or (), split, names)
    return Routes(100 - share, share, _mirrored(canary, spec), cookies if share else Cookies(expired=cookies.expired))


def _mirrored(canary: Canary, spec: Mapping[str, Any]) -> bool:
    """Tell whether the canary gets more copies than its user wants it to have at all times."""
    permanent = [mirror.backend_ref.name for mirror in canary.spec.service.mirror] if canary.spec.service else []
    copies = [
        sum(_copies_to_canary(canary, part) for part in rule.get("filters") or ()) for rule in spec.get("rules") or ()
    ]
    return max(copies, default=0) > permanent.count(canary.canary_service_name)


def _copies_to_canary(canary: Canary, part: Mapping[str, Any]) -> bool:
    reference = (part.get("requestMirror") or {}).get("backendRef") or {}
    return reference.get("name") == canary.canary_service_name


def acceptance(canary: Canary, route: JsonObject) -> Sign:
    """Say whether every Gateway serves the route in its present generation; of several that do not, the worst."""
    answers = (route.get("status") or {}).get("parents") or ()
    references = (route.get("spec") or {}).get("parentRefs") or ()
    signs = [_sign_of_parent(reference, answers, generation_of(route), canary.namespace) for reference in references]
    return min(signs, key=lambda sign: _WORST_FIRST.index(sign[0]), default=(Acceptance.YES, ""))


_WORST_FIRST = (Acceptance.NO, Acceptance.BEHIND, Acceptance.UNKNOWN, Acceptance.YES)
_GOOD = ("Accepted", "ResolvedRefs", "Programmed")
"""Conditions that are true where a Gateway serves a route; the last one is said by few, of the proxy itself."""
_BAD = (("Accepted", "False"), ("ResolvedRefs", "False"), ("PartiallyInvalid", "True"))


def _sign_of_parent(
    reference: Mapping[str, Any], answers: Iterable[Mapping[str, Any]], generation: int, namespace: str
) -> Sign:
    """Say whether one Gateway serves the route; what a controller said that it had before does not count."""
    key = parent_key(reference, namespace)
    given = [answer for answer in answers if parent_key(answer.get("parentRef") or {}, namespace) == key]
    verdicts = dict(_verdict(answer.get("conditions") or (), generation) for answer in reversed(given))
    gateway = f"Gateway {reference.get('name')}"
    if Acceptance.NO in verdicts:
        return Acceptance.NO, f"{gateway} does not serve the route: {verdicts[Acceptance.NO]}"
    if Acceptance.BEHIND in verdicts and Acceptance.YES not in verdicts:
        words = verdicts[Acceptance.BEHIND]
        return Acceptance.BEHIND, f"{gateway}: {words}" if words else gateway
    return (Acceptance.YES if Acceptance.YES in verdicts else Acceptance.UNKNOWN), ""


def _verdict(conditions: Conditions, generation: int) -> Sign:
    current = signs.current(conditions, generation)
    for kind, bad in _BAD:
        condition = current.get(kind) or {}
        if condition.get("status") == bad:
            return Acceptance.NO, signs.words_of(condition)
    named = [condition for condition in conditions if condition.get("type") in _GOOD]
    late = [condition for condition in named if not signs.is_current(condition, generation)]
    programmed = current.get("Programmed") or {}
    if late or programmed.get("status") == "False":
        return signs.silence([*late, programmed]), signs.words_of({} if late else programmed)
    accepted = (current.get("Accepted") or {}).get("status") == "True"
    return (Acceptance.YES if accepted else Acceptance.UNKNOWN), ""


def _is_held(canary: Canary, route: JsonObject) -> bool:
    return custody.is_held(canary, route, names_ours=_names_ours(canary, route.get("spec") or {}))


def _names_ours(canary: Canary, spec: Mapping[str, Any]) -> bool:
    return _split_rule(canary, spec) is not None


def _all_to_apex(canary: Canary, route: JsonObject) -> JsonObject:
    """Return the live spec with the apex Service in the place of the other two; works on whatever is there."""
    spec = copy.deepcopy(route.get("spec") or {})
    spec["rules"] = list(_released_rules(canary, spec.get("rules") or []))
    return spec


def _released_rules(canary: Canary, rules: list[JsonObject]) -> Iterator[JsonObject]:
    ours = {canary.primary_service_name, canary.canary_service_name}
    named = [{reference.get("name") for reference in rule.get("backendRefs") or ()} for rule in rules]
    for_everyone = any(canary.canary_service_name not in names and names & ours for names in named)
    split = _split_rule(canary, {"rules": rules})
    for rule, names in zip(rules, named, strict=True):
        if not names & ours:
            yield rule
        elif canary.canary_service_name not in names or (rule is split and not for_everyone):
            # The audience of an A/B test and users with a cookie need no rules of their own any more.
            yield _released_rule(canary, rule, ours)


def _released_rule(canary: Canary, rule: JsonObject, ours: set[str]) -> JsonObject:
    references = rule["backendRefs"]
    port = next(reference.get("port") for reference in references if reference.get("name") in ours)
    others = [reference for reference in references if reference.get("name") not in {*ours, canary.apex_name}]
    filters = [part for part in rule.get("filters") or () if not _copies_to_canary(canary, part)]
    released = {key: value for key, value in rule.items() if key != "filters"}
    released["backendRefs"] = [backend(canary.apex_name, port, 100), *others]
    return {**released, "filters": filters} if filters else released
