"""Session affinity in an HTTPRoute: rules for users with a cookie, and headers that give one and take it back.

The rules and their texts are Flagger's, so that a rollout may change hands. One is different on purpose: a cookie is
taken back with the attributes that it was given with, because a browser knows it by these.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from flaggerpy.api.analysis import SessionAffinity, Strategy
from flaggerpy.api.canary import Canary
from flaggerpy.api.service import CanaryService
from flaggerpy.kube.objects import JsonObject
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Cookies
from flaggerpy.routers.cookies import GONE, SET_COOKIE, given_in, holders_pattern, set_cookie

_MODIFIER = "ResponseHeaderModifier"
_MOST_CONDITIONS = 42
"""For users of the canary, of the primary and everybody else: an HTTPRoute takes 128 in all."""


def affinity_of(canary: Canary, service: CanaryService) -> SessionAffinity | None:
    """Return the settings of the cookies, None where there are to be none.

    Raises:
        UserError: an HTTPRoute cannot tell users by their cookies beside something else that the canary asks for.

    """
    affinity = canary.analysis.session_affinity
    if affinity is None or canary.analysis.strategy is not Strategy.CANARY:
        return None
    where = "spec.analysis.sessionAffinity"
    if canary.analysis.match:
        raise UserError(
            f"{where} and spec.analysis.match both say who sees the canary, which an HTTPRoute cannot combine: remove "
            f"one of them, or add iterations for an A/B test."
        )
    for index, match in enumerate(service.match):
        for name in match.headers or {}:
            if name.lower() == "cookie":
                raise UserError(
                    f"{where} needs the header Cookie for itself, and an HTTPRoute takes one condition a header: "
                    f"remove spec.service.match[{index}].headers.{name}."
                )
    if len(service.match) > _MOST_CONDITIONS:
        raise UserError(
            f"{where} repeats the {len(service.match)} conditions of spec.service.match for users with a cookie, and "
            f"an HTTPRoute takes {_MOST_CONDITIONS} of them then: write fewer."
        )
    response = service.headers.response if service.headers else None
    if response and any(name.lower() == SET_COOKIE.lower() for name in response.add or {}):
        raise UserError(
            f"{where} needs the header {SET_COOKIE} for itself, and an HTTPRoute adds a header once: remove it from "
            f"spec.service.headers.response.add."
        )
    return affinity


def for_holders(matches: Iterable[Mapping[str, Any]], cookie: str) -> list[JsonObject]:
    """Return the conditions, narrowed to users who have the cookie."""
    condition = {"type": "RegularExpression", "name": "Cookie", "value": holders_pattern(cookie)}
    return [{**match, "headers": [*(match.get("headers") or ()), condition]} for match in matches]


def giving(backend: JsonObject, cookie: str, affinity: SessionAffinity, seconds: float) -> JsonObject:
    """Return the backend so that whoever is served by it gets the cookie for so long; unchanged without a cookie."""
    if not cookie:
        return backend
    text = set_cookie(cookie, affinity, max(math.ceil(seconds), 1))
    return {**backend, "filters": [_adding(text)]}


def taking(rule: JsonObject, cookie: str, affinity: SessionAffinity) -> JsonObject:
    """Return the rule so that its answers take the cookie back; a rule changes the headers of answers in one place."""
    added = _adding(set_cookie(cookie, affinity, GONE))
    filters = list(rule.get("filters") or ())
    for index, part in enumerate(filters):
        if part["type"] == _MODIFIER:
            before = part["responseHeaderModifier"]
            both = [*before.get("add", ()), *added["responseHeaderModifier"]["add"]]
            merged = {**part, "responseHeaderModifier": {**before, "add": both}}
            return {**rule, "filters": [*filters[:index], merged, *filters[index + 1 :]]}
    return {**rule, "filters": [*filters, added]}


def cookies_of(rules: Iterable[Mapping[str, Any]], split: Mapping[str, Any], names: tuple[str, str]) -> Cookies:
    """Read the cookies that rules know; ``split`` is the one that shares users among the Services of ``names``."""
    given = {one.get("name"): _given(one) for one in split.get("backendRefs") or ()}
    weights = {one.get("name"): int(one.get("weight", 1)) for one in split.get("backendRefs") or ()}
    primary, canary = names
    if not weights.get(canary, 0):
        holders = (rule for rule in rules if _is_for_holders(rule))
        return Cookies(expired=next((text for rule in holders if (text := _given(rule, expired=True))), ""))
    held = given.get(canary, "")
    return Cookies(canary=held, primary=given.get(primary, "") if held and weights.get(primary, 0) else "")


def gives_cookies(rule: Mapping[str, Any]) -> bool:
    """Tell whether somebody who is served by this rule gets a cookie of ours."""
    return any(_given(backend) for backend in rule.get("backendRefs") or ())


def _is_for_holders(rule: Mapping[str, Any]) -> bool:
    headers = [header for match in rule.get("matches") or () for header in match.get("headers") or ()]
    return any(header.get("name") == "Cookie" and header.get("type") == "RegularExpression" for header in headers)


def _adding(text: str) -> JsonObject:
    return {"type": _MODIFIER, "responseHeaderModifier": {"add": [{"name": SET_COOKIE, "value": text}]}}


def _given(part: Mapping[str, Any], *, expired: bool = False) -> str:
    """Return the cookie that a rule or a backend gives or, if ``expired``, takes; empty when it does not."""
    for one in part.get("filters") or ():
        for header in (one.get("responseHeaderModifier") or {}).get("add") or ():
            cookie = given_in(str(header.get("value")), expired=expired)
            if header.get("name") == SET_COOKIE and cookie:
                return cookie
    return ""
