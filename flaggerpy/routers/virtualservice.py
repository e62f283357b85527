"""From a canary's settings to what we own of a VirtualService: hosts, gateways, and its HTTP or TCP routes.

What has a meaning to Istio is passed on as it was written; spec.service was modelled after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from flaggerpy.api.base import ApiModel
from flaggerpy.api.canary import Canary
from flaggerpy.api.matching import AudienceMatch
from flaggerpy.api.service import CanaryService
from flaggerpy.durations import InvalidDuration, parse_duration
from flaggerpy.kube.objects import JsonObject
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Cookies, Routes
from flaggerpy.routers.audience import shares_of
from flaggerpy.routers.re2 import check_re2
from flaggerpy.routers.virtualservice_compare import MATCH_MAPS, entries, maps_in
from flaggerpy.routers.virtualservice_cookies import affinity_of, for_holders, giving, taking

MESH = "mesh"
"""The gateway that stands for all sidecars."""
_SHORTEST = timedelta(milliseconds=1)
"""The shortest duration that Istio's CRDs admit."""


def virtual_service_spec(canary: Canary, routes: Routes) -> JsonObject:
    """Return what we own of the spec, so that it spreads traffic like this.

    Raises:
        UserError: something in the canary cannot be said in a VirtualService.

    """
    service = canary.spec.service
    if service is None:
        raise UserError("spec.service is missing, so there is no port to serve on: add spec.service.port.")
    spec = _reached_by(canary, service)
    if is_tcp(canary):
        _check_tcp(canary, service)
        return spec | {"tcp": [_tcp_route(canary, service, routes)]}
    return spec | {"http": list(_http_routes(canary, service, routes))}


def _reached_by(canary: Canary, service: CanaryService) -> JsonObject:
    """Return for which hosts, and at which gateways, the routes count."""
    if not service.delegation:
        own = () if {"*", canary.apex_name} & set(service.hosts) else (canary.apex_name,)
        return {"hosts": [*service.hosts, *own], "gateways": list(service.gateways) or [MESH]}
    for field, given in (("hosts", service.hosts), ("gateways", service.gateways)):
        if given:
            raise UserError(
                f"spec.service.delegation and spec.service.{field} exclude each other, because the VirtualService that "
                f"delegates has them: remove one of the two."
            )
    # Written out even when empty: an apply cannot remove a list that it does not name and another manager wrote.
    return {"hosts": [], "gateways": []}


def _check_tcp(canary: Canary, service: CanaryService) -> None:
    analysis = canary.analysis
    only_http = {
        "spec.service.delegation": service.delegation,
        "spec.analysis.match": bool(analysis.match),
        "spec.analysis.mirror": analysis.mirror,
        "spec.analysis.sessionAffinity": analysis.session_affinity is not None,
    }
    for place, given in only_http.items():
        if given:
            raise UserError(
                f"{place} is for HTTP, but spec.service.appProtocol is tcp, where Istio sees connections and no "
                f"requests: remove one of the two."
            )


def _tcp_route(canary: Canary, service: CanaryService, routes: Routes) -> JsonObject:
    ports = [{"port": match.port} for match in service.match if match.port]
    return ({"match": ports} if ports else {}) | {"route": _split(canary, service, routes.canary)}


def _http_routes(canary: Canary, service: CanaryService, routes: Routes) -> Iterator[JsonObject]:
    everyone = [_checked(f"spec.service.match[{index}]", _written(match)) for index, match in enumerate(service.match)]
    affinity, copies = affinity_of(canary, service), _copies(canary, service) if routes.mirrored else {}
    audience, others = shares_of(canary, routes)
    if audience is not None:
        parts = [_audience(index, match) for index, match in enumerate(canary.analysis.match)]
        yield _route(service, _narrowed(everyone, parts), _split(canary, service, audience.canary)) | copies
        if not canary.analysis.audience_first:
            yield _route(service, everyone, [_weighted(service, canary.primary_service_name, 100)])
            return
    split = _split(canary, service, others.canary)
    if affinity is not None:
        yield from _sticky_routes(canary, service, everyone, routes.cookies)
        if routes.cookies.expired:
            holders = for_holders(everyone, routes.cookies.expired)
            yield taking(_route(service, holders, split) | copies, routes.cookies.expired, affinity)
        seconds = (canary.analysis.interval.total_seconds(), affinity.max_age)
        given = zip(split, (routes.cookies.primary, routes.cookies.canary), seconds, strict=True)
        split = [giving(one, cookie, affinity, age) for one, cookie, age in given]
    yield _route(service, everyone, split) | copies


def _sticky_routes(
    canary: Canary, service: CanaryService, everyone: list[JsonObject], cookies: Cookies
) -> Iterator[JsonObject]:
    """Return the routes of users who stay where they are, those of the canary first."""
    for cookie, share in ((cookies.canary, 100), (cookies.primary, 0)):
        if cookie:
            yield _route(service, for_holders(everyone, cookie), _split(canary, service, share))


def _split(canary: Canary, service: CanaryService, share: int) -> list[JsonObject]:
    return [
        _weighted(service, canary.primary_service_name, 100 - share),
        _weighted(service, canary.canary_service_name, share),
    ]


def _weighted(service: CanaryService, name: str, weight: int) -> JsonObject:
    return {"destination": _destination(service, name), "weight": weight}


def _destination(service: CanaryService, name: str) -> JsonObject:
    """Return a Service, with its port where requests do not say which one they are for, as in Flagger."""
    at_gateway = bool(service.gateways) and service.gateways[0] != MESH
    if service.port_discovery and (at_gateway or service.delegation):
        return {"host": name, "port": {"number": service.port}}
    return {"host": name}


def _copies(canary: Canary, service: CanaryService) -> JsonObject:
    """Return what sends copies of requests to the canary; without a percentage all of them are copied."""
    mirror = {"mirror": _destination(service, canary.canary_service_name)}
    weight = canary.analysis.mirror_weight
    return mirror | ({"mirrorPercentage": {"value": weight}} if weight else {})


def _route(service: CanaryService, matches: list[JsonObject], destinations: list[JsonObject]) -> JsonObject:
    conditions = {"match": matches} if matches else {}
    return {**conditions, "route": destinations, **_policies(service)}


def _policies(service: CanaryService) -> JsonObject:
    result: JsonObject = {}
    if service.rewrite is not None:
        rewrite = {"uri": service.rewrite.uri, "authority": service.rewrite.authority}
        result["rewrite"] = {field: value for field, value in rewrite.items() if value}
    if service.timeout:
        result["timeout"] = service.timeout
    for field, part in (
        ("retries", service.retries),
        ("corsPolicy", service.cors_policy),
        ("headers", service.headers),
    ):
        if part is not None:
            result[field] = _written(part)
    check_duration("spec.service.timeout", result.get("timeout"))
    check_duration("spec.service.retries.perTryTimeout", result.get("retries", {}).get("perTryTimeout"))
    check_duration("spec.service.corsPolicy.maxAge", result.get("corsPolicy", {}).get("maxAge"))
    for index, origin in enumerate(result.get("corsPolicy", {}).get("allowOrigins", ())):
        _checked(f"spec.service.corsPolicy.allowOrigins[{index}]", origin)
    return {field: part for field, part in result.items() if part}


def is_tcp(canary: Canary) -> bool:
    """Tell whether the canary serves connections instead of HTTP requests."""
    service = canary.spec.service
    return service is not None and (service.app_protocol or "").lower() == "tcp"


def check_duration(place: str, text: str | None) -> None:
    """Make sure that Istio takes a duration; none is fine.

    Raises:
        UserError: it is none, or too short.

    """
    if not text:
        return
    try:
        length = parse_duration(text)
    except InvalidDuration as error:
        raise UserError(f"{place}: {error}") from error
    if length < _SHORTEST:
        raise UserError(f"{place} is {text}, but Istio takes 1ms or more: write more, or remove it for no limit.")


def _audience(index: int, match: AudienceMatch) -> JsonObject:
    """Return one condition on the users of an A/B test."""
    place = f"spec.analysis.match[{index}]"
    result = _written(match)
    if not result:
        raise UserError(
            f"{place} has neither headers, queryParams nor sourceLabels, so that everyone would be part of the A/B "
            f"test: write whom it is for."
        )
    for name, value in result.get("headers", {}).items():
        if "suffix" in value:
            # Istio compares headers in three ways, and this is none of them.
            result["headers"][name] = {"regex": f".*{re.escape(value['suffix'])}"}
    return _checked(place, result)


def _narrowed(everyone: list[JsonObject], audience: list[JsonObject]) -> list[JsonObject]:
    """Return every condition of the service, narrowed to every part of the audience."""
    product = [_both(match, part) for part in audience for match in everyone or [{}]]
    return [match for index, match in enumerate(product) if match not in product[:index]]


def _both(match: Mapping[str, Any], part: Mapping[str, Any]) -> JsonObject:
    """Join two conditions; where both ask for the same header, the audience's counts."""
    return {**match, **{field: {**match.get(field, {}), **conditions} for field, conditions in part.items()}}


def _written(model: ApiModel) -> JsonObject:
    """Write what a model says, without what says nothing; 0 says something, and so does each name of a user's."""
    result: JsonObject = _filled(model.to_json(), MATCH_MAPS)
    return result


def _filled(value: Any, maps: frozenset[str]) -> Any:
    if not isinstance(value, dict):
        return value
    parts = {field: entries(part) if field in maps else _filled(part, maps_in(field)) for field, part in value.items()}
    return {field: part for field, part in parts.items() if part or (part == 0 and part is not False)}


def _checked(place: str, condition: JsonObject) -> JsonObject:
    """Return a condition, after a look at its regular expressions: Istio refuses the whole object for a wrong one."""
    for path, pattern in _patterns(place, condition):
        check_re2(path, pattern)
    return condition


def _patterns(place: str, value: Any) -> Iterator[tuple[str, str]]:
    for field, part in value.items() if isinstance(value, dict) else ():
        if field == "regex" and isinstance(part, str):
            yield f"{place}.{field}", part
        else:
            yield from _patterns(f"{place}.{field}", part)
