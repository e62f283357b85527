"""From a canary's settings to what we own of an HTTPProxy: its routes, and its ingress class where one is chosen.

As in Flagger it has no host of its own: an HTTPProxy with a ``virtualhost`` includes it. One that has a host keeps it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from flaggerpy.api.analysis import Strategy
from flaggerpy.api.canary import Canary
from flaggerpy.api.matching import AudienceMatch, HeaderMatch, StringMatch
from flaggerpy.api.service import CanaryService, Retries
from flaggerpy.durations import InvalidDuration, parse_duration
from flaggerpy.kube.objects import JsonObject
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Routes
from flaggerpy.routers.audience import shares_of
from flaggerpy.routers.re2 import check_re2

_UNSIGNED = re.compile(r"(([0-9]+(\.[0-9]*)?|\.[0-9]+)(h|m|s|ms|us|µs|ns))+")
_NO_LIMIT = ("infinity", "infinite")
_IDLE = "5m"
"""How long a stream may be idle where spec.service.timeout is set: Flagger's choice."""
_RETRIED = (
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
)
"""Failures that the CRD of HTTPProxy admits in retryPolicy.retryOn."""


def proxy_spec(canary: Canary, routes: Routes, ingress_class: str) -> JsonObject:
    """Return what we own of the spec, so that it spreads traffic like this.

    Raises:
        UserError: something in the canary cannot be said in an HTTPProxy.

    """
    service = canary.spec.service
    if service is None:
        raise UserError("spec.service is missing, so there is no port to serve on: add spec.service.port.")
    if canary.analysis.session_affinity is not None and canary.analysis.strategy is Strategy.CANARY:
        raise UserError(
            "spec.analysis.sessionAffinity cannot be served by provider contour, because an HTTPProxy can only replace "
            "the cookies of an answer: remove it, or use provider gatewayapi:v1."
        )
    spec: JsonObject = {"routes": list(_routes(canary, service, routes))}
    return spec | ({"ingressClassName": ingress_class} if ingress_class else {})


def service_of(canary: Canary, name: str, port: int, weight: int) -> JsonObject:
    """Return a Service with its share of the traffic, and the header that tells Linkerd which of them was chosen.

    A share of 0 is left out, as it is in Flagger's objects.
    """
    header = {"name": "l5d-dst-override", "value": f"{name}.{canary.namespace}.svc.cluster.local:{port}"}
    chosen: JsonObject = {"name": name, "port": port, "requestHeadersPolicy": {"set": [header]}}
    return chosen | ({"weight": weight} if weight else {})


def is_mirror(service: Mapping[str, Any], canary: Canary) -> bool:
    """Tell whether a Service of a route is the canary's, and gets copies only."""
    return bool(service.get("mirror")) and service["name"] == canary.canary_service_name


def weights_of(services: list[JsonObject]) -> list[int]:
    """Return what each Service of a route gets, as Contour reads it: where none has a weight, all get the same.

    Mirrors get copies and no share.
    """
    given = [0 if service.get("mirror") else int(service.get("weight") or 0) for service in services]
    return given if any(given) else [0 if service.get("mirror") else 1 for service in services]


def with_unused_services(routes: list[JsonObject], others: list[JsonObject]) -> list[JsonObject] | None:
    """Return the routes with the Services to which only the others send somebody, at weight 0; None without any.

    They go to the first route that leads to Services. Its other Services are given the weights that they have by
    default: beside a weight, having none would mean nothing.
    """
    named = {service["name"] for route in routes for service in route.get("services") or ()}
    unused = {
        service["name"]: {"name": service["name"], "port": service["port"], "weight": 0}
        for route in others
        for service, weight in _weighted(route.get("services") or [])
        if weight and service["name"] not in named
    }
    for index, route in enumerate(routes if unused else ()):
        weighted = _weighted(route.get("services") or [])
        if any(weight for _, weight in weighted):
            kept = [service if service.get("mirror") else {**service, "weight": weight} for service, weight in weighted]
            return [*routes[:index], {**route, "services": [*kept, *unused.values()]}, *routes[index + 1 :]]
    return None


def same_routes(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether the routes of two specs mean the same: sets have no order, and 0 is as good as nothing."""
    left, right = ([_plain(route) for route in spec.get("routes") or ()] for spec in (one, other))
    return left == right


def _weighted(services: list[JsonObject]) -> list[tuple[JsonObject, int]]:
    return list(zip(services, weights_of(services), strict=True))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item}
    if isinstance(value, list):
        return sorted(json.dumps(_plain(item), sort_keys=True) for item in value)
    return value


def _routes(canary: Canary, service: CanaryService, routes: Routes) -> Iterator[JsonObject]:
    """Return a route for every part of the audience, then the one for everybody else; without an audience, one."""
    prefix = _prefix(service)
    audience, others = shares_of(canary, routes)
    if audience is not None:
        for first, *more in _audience(canary.analysis.match):
            # A route takes one condition on the path, so the others go without.
            yield _route(canary, service, [{"prefix": prefix, **first}, *more], audience)
    yield _route(canary, service, [{"prefix": prefix}], others)


def _route(canary: Canary, service: CanaryService, conditions: list[JsonObject], routes: Routes) -> JsonObject:
    services = [
        service_of(canary, canary.primary_service_name, service.port, routes.primary),
        service_of(canary, canary.canary_service_name, service.port, routes.canary),
    ]
    if routes.mirrored:
        # Without a weight all requests are copied.
        copied = canary.analysis.mirror_weight
        services.append({**service_of(canary, canary.canary_service_name, service.port, copied), "mirror": True})
    return {"conditions": conditions, "services": services, **_policies(service)}


def _prefix(service: CanaryService) -> str:
    """Return the path of the first condition; other conditions do not count, as in Flagger."""
    uri = service.match[0].uri if service.match else None
    prefix = (uri and uri.prefix) or "/"
    if not prefix.startswith("/"):
        raise UserError(f"spec.service.match[0].uri.prefix is {prefix}, but paths begin with a slash: write /{prefix}.")
    return prefix


def _policies(service: CanaryService) -> JsonObject:
    result: JsonObject = {}
    if service.timeout:
        result["timeoutPolicy"] = {"response": _duration("spec.service.timeout", service.timeout), "idle": _IDLE}
    if service.retries is not None:
        result["retryPolicy"] = _retry_policy(service.retries)
    return result


def _retry_policy(retries: Retries) -> JsonObject:
    place = "spec.service.retries"
    attempts = retries.attempts or 1  # what Contour makes of none
    if attempts < 0:
        raise UserError(f"{place}.attempts is {attempts}: write how often a request is repeated.")
    result: JsonObject = {"count": attempts}
    if retries.per_try_timeout:
        result["perTryTimeout"] = _duration(f"{place}.perTryTimeout", retries.per_try_timeout)
    words = [word.strip() for word in (retries.retry_on or "").split(",") if word.strip()]
    if unknown := [word for word in words if word not in _RETRIED]:
        raise UserError(f"{place}.retryOn names {unknown[0]}, but an HTTPProxy knows only {', '.join(_RETRIED)}.")
    return result | ({"retryOn": words} if words else {})


def _duration(place: str, text: str) -> str:
    if text in _NO_LIMIT:
        return text
    try:
        parse_duration(text)
    except InvalidDuration as error:
        raise UserError(f"{place}: {error}") from error
    if not _UNSIGNED.fullmatch(text):
        raise UserError(
            f"{place} is {text}, which an HTTPProxy does not take: write it like 15s or 1m30s, or infinity for none."
        )
    return text


def _audience(matches: tuple[AudienceMatch, ...]) -> list[list[JsonObject]]:
    """Return for each part of the audience its conditions, all of which must hold."""
    parts: list[list[JsonObject]] = []
    for index, match in enumerate(matches):
        place = f"spec.analysis.match[{index}]"
        conditions = [*_headers(f"{place}.headers", match), *_query_params(f"{place}.queryParams", match)]
        if not conditions:
            raise UserError(
                f"{place} has neither headers nor queryParams, so that everyone would be part of the A/B test: an "
                f"HTTPProxy can choose users by these two only."
            )
        if conditions not in parts:
            parts.append(conditions)
    return parts


def _headers(place: str, match: AudienceMatch) -> Iterator[JsonObject]:
    for name, value in sorted((match.headers or {}).items()):
        yield {"header": {"name": name, **_header_value(f"{place}.{name}", value)}}


def _header_value(place: str, value: HeaderMatch) -> dict[str, str]:
    """Say how a header is compared: a prefix or suffix may be anywhere in it, as in Flagger.

    Users rely on it: a cookie that is asked for by its suffix need not be the last one in the header.
    """
    contained = {"contains": value.prefix or value.suffix}
    return _one_way(place, {"exact": value.exact, **contained, "regex": value.regex})


def _query_params(place: str, match: AudienceMatch) -> Iterator[JsonObject]:
    for name, value in sorted((match.query_params or {}).items()):
        yield {"queryParameter": {"name": name, **_query_value(f"{place}.{name}", value)}}


def _query_value(place: str, value: StringMatch) -> dict[str, str]:
    return _one_way(place, {"exact": value.exact, "prefix": value.prefix, "regex": value.regex})


def _one_way(place: str, ways: Mapping[str, str | None]) -> dict[str, str]:
    """Return the way that is given; an empty text would hold for everyone."""
    given = {way: text for way, text in ways.items() if text}
    if not given:
        raise UserError(f"{place} is empty, so that everyone would be part of the A/B test: write what it must be.")
    if "regex" in given:
        check_re2(f"{place}.regex", given["regex"])
    return given
