"""Provider ``gloo``: one RouteTable, named like the apex Service, and Upstreams for the other two Services."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import ROUTE_TABLES, UPSTREAMS, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, Acceptance, Capabilities, Routes, RouteState
from flaggerpy.routers import custody
from flaggerpy.routers.base import Live
from flaggerpy.routers.routetable import (
    CANARY,
    PRIMARY,
    destinations_of,
    key_of,
    side_of,
    table_spec,
    to_apex,
    upstream_name,
    weight_of,
    with_destinations,
    with_unused,
)
from flaggerpy.routers.signs import Sign

_COPIED: Final = (
    "labels",
    "sslConfig",
    "circuitBreakers",
    "connectionConfig",
    "loadBalancerConfig",
    "useHttp2",
    "initialStreamWindowSize",
    "initialConnectionWindowSize",
    "httpProxyHostName",
)
"""What an Upstream takes from the one that spec.upstreamRef names, as in Flagger."""
_STATES: Final = ("Pending", "Accepted", "Rejected", "Warning")
"""What Gloo says of a RouteTable; older versions write the number."""


class GlooRouter:
    """Gloo's RouteTable and Upstreams in version v1."""

    capabilities = Capabilities(weights=True, match=True, grpc=True, own_route=True, answers=True)

    def refs(self, canary: Canary) -> tuple[Ref, ...]:
        """Return the RouteTable, the Upstreams, and the one that is their template."""
        template = _template_ref(canary)
        return (_table_ref(canary), *_upstream_refs(canary), *([template] if template else ()))

    def problems(self, canary: Canary) -> tuple[str, ...]:
        """Return the first thing that a RouteTable cannot say."""
        try:
            table_spec(canary, ALL_TO_PRIMARY)
        except UserError as error:
            return (str(error),)
        return ()

    def state(self, canary: Canary, live: Live) -> RouteState:
        """Read the shares, compare everything that we own, and ask Gloo what it thinks of it."""
        table = live.get(_table_ref(canary))
        if table is None:
            return RouteState(routes=None)
        accepted, note = _acceptance(table)
        routes = _routes(canary, table)
        if routes is None:
            return RouteState(routes=None, accepted=accepted, note=note)
        return RouteState(routes, _drifted(canary, live, table, routes), accepted, note)

    def render(self, canary: Canary, live: Live, routes: Routes) -> tuple[JsonObject, ...]:
        """Return the Upstreams, then the RouteTable that names them.

        Raises:
            UserError: the canary has problems, or the template is missing and the Upstreams with it.

        """
        ref = _table_ref(canary)
        table = live.get(ref)
        held = table is not None and _is_held(canary, table)
        upstreams = [
            custody.taken(canary, one, live.get(one), spec, held=_is_ours(canary, live.get(one)))
            for one, spec in _upstreams(canary, live)
        ]
        return (*upstreams, custody.taken(canary, ref, table, table_spec(canary, routes), held=held))

    def restore(self, canary: Canary, live: Live) -> tuple[JsonObject, ...]:
        """Return the user's own objects as they were, or our RouteTable with everything going to the apex Service.

        Upstreams of ours keep their marks and go with their Services.
        """
        return tuple(_restored(canary, live))

    def ahead(self, canary: Canary, live: Live, bodies: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        """Return the RouteTable with destinations without weight that it is about to name, or to name no longer."""
        table = live.get(_table_ref(canary))
        if table is None:
            return ()
        for index, body in enumerate(bodies):
            if body["kind"] == ROUTE_TABLES.kind and (step := _step_ahead(canary, table, body)) is not None:
                # Upstreams come before a RouteTable that begins to name them, and after one that ceases to.
                return (*bodies[:index], step)
        return ()


def _table_ref(canary: Canary) -> Ref:
    return Ref(ROUTE_TABLES, canary.namespace, canary.apex_name)


def _upstream_refs(canary: Canary) -> tuple[Ref, ...]:
    if canary.spec.service is None:
        return ()
    return tuple(Ref(UPSTREAMS, canary.namespace, upstream_name(canary, side)) for side in (PRIMARY, CANARY))


def _template_ref(canary: Canary) -> Ref | None:
    named = canary.spec.upstream_ref
    return Ref(UPSTREAMS, named.namespace or canary.namespace, named.name) if named else None


def _upstreams(canary: Canary, live: Live) -> Iterator[tuple[Ref, JsonObject]]:
    """Say what the Upstreams are to be; without their template those that exist stay as they are."""
    ref = _template_ref(canary)
    template = live.get(ref) if ref else None
    lost = ref is not None and template is None
    services = (canary.primary_service_name, canary.canary_service_name)
    for upstream, service in zip(_upstream_refs(canary), services, strict=False):
        if lost and upstream not in live:
            raise UserError(
                f"Upstream {ref and ref.name} does not exist in namespace {ref and ref.namespace}: create it, or "
                "correct spec.upstreamRef."
            )
        if not lost:
            yield upstream, _upstream_spec(canary, service, template or {})


def _upstream_spec(canary: Canary, service: str, template: JsonObject) -> JsonObject:
    settings = template.get("spec") or {}
    port = canary.spec.service.port if canary.spec.service else 0
    kube = {"serviceName": service, "serviceNamespace": canary.namespace, "servicePort": port}
    return {"kube": kube, **{field: settings[field] for field in _COPIED if field in settings}}


def _drifted(canary: Canary, live: Live, table: JsonObject, routes: Routes) -> bool:
    if custody.lacks_marks(canary, table):
        return True
    try:
        wanted, upstreams = table_spec(canary, routes), list(_upstreams(canary, live))
    except UserError:
        # What cannot be written cannot be mended either; the sentence comes from elsewhere.
        return False
    if any(not _is_right(canary, live.get(ref), spec) for ref, spec in upstreams):
        return True
    return _plain(wanted["routes"]) != _plain((table.get("spec") or {}).get("routes") or [])


def _is_ours(canary: Canary, upstream: JsonObject | None) -> bool:
    return upstream is not None and custody.is_held(canary, upstream, names_ours=False)


def _is_right(canary: Canary, upstream: JsonObject | None, wanted: JsonObject) -> bool:
    if upstream is None or custody.lacks_marks(canary, upstream):
        return False
    spec = upstream.get("spec") or {}
    kube = spec.get("kube") or {}
    owned = [(kube.get(field), value) for field, value in wanted["kube"].items()]
    owned += [(spec.get(field), value) for field, value in wanted.items() if field != "kube"]
    return all(is_now == value for is_now, value in owned)


def _plain(value: Any) -> object:
    """Return a value without what is as good as left out."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _step_ahead(canary: Canary, table: JsonObject, body: JsonObject) -> JsonObject | None:
    """Return the live routes with the destinations to come, then the coming routes with those that are left."""
    live, coming = _routes_of(table.get("spec") or {}), _routes_of(body["spec"])
    routes = with_unused(live, coming) or with_unused(coming, live)
    return None if routes is None else custody.on_the_way(canary, table, body, routes=routes)


def _routes_of(spec: Mapping[str, Any]) -> list[JsonObject]:
    return list(spec.get("routes") or ())


def _leads_to_us(canary: Canary, route: Mapping[str, Any]) -> bool:
    return any(side_of(canary, one) for one in destinations_of(route))


def _names_ours(canary: Canary, spec: Mapping[str, Any]) -> bool:
    return any(_leads_to_us(canary, route) for route in _routes_of(spec))


def _is_held(canary: Canary, table: JsonObject) -> bool:
    return custody.is_held(canary, table, names_ours=_names_ours(canary, table.get("spec") or {}))


def _routes(canary: Canary, table: JsonObject) -> Routes | None:
    """Read the shares from the first route that leads to one of our Upstreams.

    Where an audience comes first, everybody else's shares are the canary's: those of the last route. As long as the
    table names Upstreams of a former port, as after an edit of it, it is not the one of this canary yet: they would be
    deleted under it.
    """
    routes, present = _routes_of(table.get("spec") or {}), {ref.name for ref in _upstream_refs(canary)}
    named = [one for route in routes for one in destinations_of(route) if side_of(canary, one)]
    if any(key_of(one)[-1] not in present for one in named):
        return None
    for route in reversed(routes) if canary.analysis.audience_first else routes:
        weights: Counter[str | None] = Counter()
        for one in destinations_of(route):
            weights[side_of(canary, one)] += weight_of(one)
        primary, share = weights[PRIMARY], weights[CANARY]
        if primary + share:
            percent = round(100 * share / (primary + share))
            return Routes(100 - percent, percent)
    return None


def _acceptance(table: JsonObject) -> Sign:
    """Say what Gloo reports; it does not tell of which generation."""
    status: JsonObject = table.get("status") or {}
    reports = list((status.get("statuses") or {}).values()) or [status]
    states = [_state(report) for report in reports]
    for state, report in zip(states, reports, strict=True):
        if state == "Rejected":
            return Acceptance.NO, f"Gloo does not serve the route: {report.get('reason') or state}"
    return (Acceptance.YES if set(states) & {"Accepted", "Warning"} else Acceptance.UNKNOWN), ""


def _state(report: Mapping[str, Any]) -> str:
    state = report.get("state")
    return _STATES[state] if isinstance(state, int) and 0 <= state < len(_STATES) else str(state)


def _restored(canary: Canary, live: Live) -> Iterator[JsonObject]:
    ref = _table_ref(canary)
    table = live.get(ref)
    if table is not None and _is_held(canary, table):
        before = custody.spec_before(table)
        # A spec that names our Upstreams cannot stay: they go with the canary.
        spec = before if before and not _names_ours(canary, before) else _all_to_apex(canary, table)
        yield custody.given_back(ref, table, spec)
    for one in _upstream_refs(canary):
        upstream = live.get(one)
        if upstream is not None and _is_ours(canary, upstream):
            own = custody.spec_before(upstream)
            if own:
                yield custody.given_back(one, upstream, own)


def _all_to_apex(canary: Canary, table: JsonObject) -> JsonObject:
    """Return the live spec with the apex Service in the place of our Upstreams; works on whatever is there."""
    spec: JsonObject = table.get("spec") or {}
    routes = _routes_of(spec)
    leading = [_leads_to_us(canary, route) for route in routes]
    for_everyone = any(ours_too and not route.get("matchers") for route, ours_too in zip(routes, leading, strict=True))
    released = [
        _released(canary, route) if ours_too else route
        for route, ours_too in zip(routes, leading, strict=True)
        # The audience of an A/B test needs no route of its own any more.
        if not (ours_too and for_everyone and route.get("matchers"))
    ]
    return {**spec, "routes": released}


def _released(canary: Canary, route: JsonObject) -> JsonObject:
    apex = to_apex(canary)
    others = [one for one in destinations_of(route) if not side_of(canary, one) and key_of(one) != key_of(apex)]
    return with_destinations(route, [apex, *others])
