"""From a canary's settings to the spec of an HTTPRoute, in one order and with its defaults written out.

Lists that Flagger builds from unordered maps are sorted here, so that one canary always gives one spec.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta

from flaggerpy.api.canary import Canary
from flaggerpy.api.matching import AudienceMatch, RouteMatch, StringMatch
from flaggerpy.api.service import CanaryService, CorsPolicy, HeaderOperations, Rewrite
from flaggerpy.durations import InvalidDuration, parse_duration
from flaggerpy.kube.objects import JsonObject
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Cookies, Routes
from flaggerpy.routers.audience import shares_of
from flaggerpy.routers.httproute_cookies import affinity_of, for_holders, giving, taking

DEFAULT_PATH: JsonObject = {"type": "PathPrefix", "value": "/"}
_DURATION = re.compile(r"^([0-9]{1,5}(h|m|s|ms)){1,4}$")
_MOST_MATCHES = 64
_MOST_BACKENDS = 16


def route_spec(canary: Canary, routes: Routes) -> JsonObject:
    """Return the spec that spreads traffic like this.

    Raises:
        UserError: something in the canary cannot be said in an HTTPRoute.

    """
    service = canary.spec.service
    if service is None:
        raise UserError("spec.service is missing, so there is no port to serve on: add spec.service.port.")
    if not service.gateway_refs:
        raise UserError(
            "spec.service.gatewayRefs is empty: name at least one Gateway, as provider gatewayapi needs a parent "
            "for its HTTPRoute."
        )
    return {
        "parentRefs": [reference.to_json() for reference in service.gateway_refs],
        # Written out even when empty: an apply cannot remove a list that it does not name and another manager wrote.
        "hostnames": list(service.hosts),
        "rules": list(_rules(canary, service, routes)),
    }


def backend(name: str, port: int, weight: int) -> JsonObject:
    """Return a reference to a Service with its share of the traffic."""
    return {"group": "", "kind": "Service", "name": name, "port": port, "weight": weight}


def with_unused_backends(rules: list[JsonObject], others: list[JsonObject]) -> list[JsonObject] | None:
    """Return the rules with the Services to which only the other rules send somebody, at weight 0; None without any.

    They go to the first rule that has a place for them; where none has, nothing can be done.
    """
    named = {reference.get("name") for rule in rules for reference in rule.get("backendRefs") or ()}
    unused = {
        reference["name"]: backend(reference["name"], reference["port"], 0)
        for rule in others
        for reference in rule.get("backendRefs") or ()
        if reference["name"] not in named and reference.get("weight", 1) and "port" in reference
    }
    for index, rule in enumerate(rules if unused else ()):
        references = [*(rule.get("backendRefs") or ()), *unused.values()]
        if len(unused) < len(references) <= _MOST_BACKENDS:
            return [*rules[:index], {**rule, "backendRefs": references}, *rules[index + 1 :]]
    return None


def _rules(canary: Canary, service: CanaryService, routes: Routes) -> Iterator[JsonObject]:
    everyone, affinity = _service_matches(service), affinity_of(canary, service)
    audience, others = shares_of(canary, routes)
    copies = [_copies(canary, service)] if routes.mirrored else []
    if audience is not None:
        matches = _narrowed(everyone, _audience_matches(canary.analysis.match))
        yield _rule(service, matches, _split(canary, service, audience.canary), copies)
        if not canary.analysis.audience_first:
            yield _rule(service, everyone, [backend(canary.primary_service_name, service.port, 100)], [])
            return
    split = _split(canary, service, others.canary)
    if affinity is not None:
        yield from _sticky_rules(canary, service, everyone, routes.cookies)
        if routes.cookies.expired:
            holders = for_holders(everyone, routes.cookies.expired)
            yield taking(_rule(service, holders, split, copies), routes.cookies.expired, affinity)
        seconds = (canary.analysis.interval.total_seconds(), affinity.max_age)
        given = zip(split, (routes.cookies.primary, routes.cookies.canary), seconds, strict=True)
        split = [giving(one, cookie, affinity, age) for one, cookie, age in given]
    yield _rule(service, everyone, split, copies)


def _copies(canary: Canary, service: CanaryService) -> JsonObject:
    """Return what sends copies of requests to the canary; without a percentage all of them are copied."""
    mirror, share = _mirror(backend(canary.canary_service_name, service.port, 0)), canary.analysis.mirror_weight
    if 0 < share < 100:
        mirror["requestMirror"]["percent"] = share
    return mirror


def _split(canary: Canary, service: CanaryService, share: int) -> list[JsonObject]:
    return [
        backend(canary.primary_service_name, service.port, 100 - share),
        backend(canary.canary_service_name, service.port, share),
    ]


def _sticky_rules(
    canary: Canary, service: CanaryService, everyone: list[JsonObject], cookies: Cookies
) -> Iterator[JsonObject]:
    """Return the rules of users who stay where they are, those of the canary first."""
    for cookie, share in ((cookies.canary, 100), (cookies.primary, 0)):
        if cookie:
            yield _rule(service, for_holders(everyone, cookie), _split(canary, service, share), [])


def _rule(
    service: CanaryService, matches: list[JsonObject], backends: list[JsonObject], copies: list[JsonObject]
) -> JsonObject:
    _check_matches(service.rewrite, matches)
    rule: JsonObject = {"matches": matches, "backendRefs": backends}
    filters = [*_filters(service), *copies]
    if filters:
        rule["filters"] = filters
    timeouts = _timeouts(service)
    if timeouts:
        rule["timeouts"] = timeouts
    return rule


def _check_matches(rewrite: Rewrite | None, matches: list[JsonObject]) -> None:
    if len(matches) > _MOST_MATCHES:
        raise UserError(
            f"spec.service.match and spec.analysis.match make {len(matches)} combinations, but a rule of an HTTPRoute "
            f"takes {_MOST_MATCHES}: write fewer."
        )
    if rewrite is None or not rewrite.uri or rewrite.type != "ReplacePrefixMatch":
        return
    if len(matches) != 1 or matches[0]["path"]["type"] != "PathPrefix":
        raise UserError(
            "spec.service.rewrite.type ReplacePrefixMatch works with exactly one match, by uri.prefix, and the API "
            "server refuses an HTTPRoute with more (conditions of an A/B test count): reduce spec.service.match and "
            "spec.analysis.match to one each, or leave rewrite.type away to replace the full path."
        )


def _service_matches(service: CanaryService) -> list[JsonObject]:
    """Return the conditions of spec.service.match; what an HTTPRoute has no words for does not count, as in Flagger."""
    places = ((f"spec.service.match[{index}]", match) for index, match in enumerate(service.match))
    built = [_route_match(place, match) for place, match in places]
    return [{"path": DEFAULT_PATH, **match} for match in built if match] or [{"path": DEFAULT_PATH}]


def _route_match(place: str, match: RouteMatch) -> JsonObject:
    result: JsonObject = {}
    if match.uri is not None and (path := _path(match.uri)):
        result["path"] = path
    result |= _value_matches(place, match.headers or {}, match.query_params or {})
    if match.method is not None:
        if match.method.exact is None:
            raise UserError(
                f"{place}.method is not exact, which an HTTPRoute cannot say: write the method out in full."
            )
        result["method"] = match.method.exact
    return result


def _path(uri: StringMatch) -> JsonObject | None:
    for kind, value in (("RegularExpression", uri.regex), ("Exact", uri.exact), ("PathPrefix", uri.prefix)):
        if value:
            return {"type": kind, "value": value}
    return None


def _audience_matches(matches: tuple[AudienceMatch, ...]) -> list[JsonObject]:
    result = []
    for index, match in enumerate(matches):
        place = f"spec.analysis.match[{index}]"
        built = _value_matches(place, match.headers or {}, match.query_params or {})
        if not built:
            raise UserError(
                f"{place} has neither headers nor queryParams, so that everyone would be part of the A/B test: an "
                f"HTTPRoute can choose users by these two only."
            )
        result.append(built)
    return result


def _narrowed(everyone: list[JsonObject], audience: list[JsonObject]) -> list[JsonObject]:
    """Return every condition of the service, narrowed to every part of the audience."""
    product = [{**match, **part} for part in audience for match in everyone]
    return [match for index, match in enumerate(product) if match not in product[:index]]


def _value_matches(
    place: str, headers: Mapping[str, StringMatch], query_params: Mapping[str, StringMatch]
) -> JsonObject:
    result: JsonObject = {}
    for field, conditions in (("headers", headers), ("queryParams", query_params)):
        if conditions:
            result[field] = [_value_match(f"{place}.{field}", name, conditions[name]) for name in sorted(conditions)]
    return result


def _value_match(place: str, name: str, value: StringMatch) -> JsonObject:
    if value.exact is not None:
        return {"type": "Exact", "name": name, "value": value.exact}
    if value.regex is not None:
        return {"type": "RegularExpression", "name": name, "value": value.regex}
    raise UserError(
        f"{place}.{name} is neither exact nor regex, and an HTTPRoute knows no other way: write it as a regex."
    )


def _filters(service: CanaryService) -> Iterator[JsonObject]:
    if service.headers is not None:
        if operations := _header_operations(service.headers.request):
            yield {"type": "RequestHeaderModifier", "requestHeaderModifier": operations}
        if operations := _header_operations(service.headers.response):
            yield {"type": "ResponseHeaderModifier", "responseHeaderModifier": operations}
    if service.rewrite is not None and (rewrite := _rewrite(service.rewrite)):
        yield {"type": "URLRewrite", "urlRewrite": rewrite}
    for mirror in service.mirror:
        yield _mirror(mirror.backend_ref.to_json())
    if service.cors_policy is not None:
        yield {"type": "CORS", "cors": _cors(service.cors_policy)}


def _header_operations(operations: HeaderOperations | None) -> JsonObject:
    if operations is None:
        return {}
    result: JsonObject = {}
    for field, values in (("add", operations.add), ("set", operations.set)):
        if values:
            result[field] = [{"name": name, "value": values[name]} for name in sorted(values)]
    if operations.remove:
        result["remove"] = sorted(set(operations.remove))
    return result


def _rewrite(rewrite: Rewrite) -> JsonObject:
    result: JsonObject = {}
    if rewrite.authority:
        result["hostname"] = rewrite.authority
    if rewrite.uri:
        prefix = rewrite.type == "ReplacePrefixMatch"
        result["path"] = (
            {"type": "ReplacePrefixMatch", "replacePrefixMatch": rewrite.uri}
            if prefix
            else {"type": "ReplaceFullPath", "replaceFullPath": rewrite.uri}
        )
    return result


def _mirror(reference: JsonObject) -> JsonObject:
    target = {key: value for key, value in reference.items() if key != "weight"}
    return {"type": "RequestMirror", "requestMirror": {"backendRef": target}}


def _cors(policy: CorsPolicy) -> JsonObject:
    """Return the CORS filter; patterns of origins that are not exact have no words in an HTTPRoute and do not count."""
    origins = {*(policy.allow_origin or ()), *(origin.exact for origin in policy.allow_origins or () if origin.exact)}
    lists = {
        "allowOrigins": origins,
        "allowMethods": policy.allow_methods,
        "allowHeaders": policy.allow_headers,
        "exposeHeaders": policy.expose_headers,
    }
    result: JsonObject = {field: sorted(set(values)) for field, values in lists.items() if values}
    if policy.allow_credentials:
        result["allowCredentials"] = True
    if policy.max_age:
        result["maxAge"] = int(_duration("spec.service.corsPolicy.maxAge", policy.max_age).total_seconds())
    return result


def _timeouts(service: CanaryService) -> dict[str, str]:
    given = {
        "request": ("spec.service.timeout", service.timeout),
        "backendRequest": ("spec.service.backendTimeout", service.backend_timeout),
    }
    lengths = {}
    for field, (place, text) in given.items():
        if text:
            lengths[field] = _duration(place, text)
            if not _DURATION.match(text):
                raise UserError(
                    f"{place} is {text}, which the Gateway API does not take: write it with whole numbers of h, m, s "
                    f"and ms."
                )
    if "request" in lengths and timedelta() < lengths["request"] < lengths.get("backendRequest", timedelta()):
        raise UserError("spec.service.backendTimeout is longer than spec.service.timeout: shorten it.")
    return {field: text for field, (_, text) in given.items() if text}


def _duration(place: str, text: str) -> timedelta:
    try:
        return parse_duration(text)
    except InvalidDuration as error:
        raise UserError(f"{place}: {error}") from error


def audience_matches(matches: tuple[AudienceMatch, ...]) -> list[JsonObject]:
    """Return the conditions of an A/B test as an HTTPRoute has them.

    Raises:
        UserError: one of them cannot be said, or would hold for everyone.

    """
    return _audience_matches(matches)
