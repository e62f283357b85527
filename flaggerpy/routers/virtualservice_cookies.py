"""Session affinity in a VirtualService: routes for users with a cookie, and headers that give one and take it back.

The routes and their texts are Flagger's, but for the attributes of a cookie that is taken back, see cookies.
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

_COOKIE = "Cookie"


def affinity_of(canary: Canary, service: CanaryService) -> SessionAffinity | None:
    """Return the settings of the cookies, None where there are to be none.

    Raises:
        UserError: users cannot be told by their cookies beside something else that the canary asks for.

    """
    affinity = canary.analysis.session_affinity
    if affinity is None or canary.analysis.strategy is not Strategy.CANARY:
        return None
    where = "spec.analysis.sessionAffinity"
    if canary.analysis.match:
        raise UserError(
            f"{where} and spec.analysis.match both say who sees the canary: remove one of them, or add iterations for "
            f"an A/B test."
        )
    for index, match in enumerate(service.match):
        if _COOKIE in (match.headers or {}):
            raise UserError(
                f"{where} needs the header {_COOKIE} for itself, and a VirtualService takes one condition a header: "
                f"write spec.service.match[{index}].headers.{_COOKIE} in lower case."
            )
    response = service.headers.response if service.headers else None
    if response and any(name.lower() == SET_COOKIE.lower() for name in response.add or {}):
        raise UserError(
            f"{where} needs the header {SET_COOKIE} for itself, and a VirtualService adds a header once: remove it "
            f"from spec.service.headers.response.add."
        )
    return affinity


def for_holders(matches: list[JsonObject], cookie: str) -> list[JsonObject]:
    """Return the conditions, narrowed to users who have the cookie."""
    condition = {_COOKIE: {"regex": holders_pattern(cookie)}}
    return [{**match, "headers": {**match.get("headers", {}), **condition}} for match in matches or [{}]]


def giving(destination: JsonObject, cookie: str, affinity: SessionAffinity, seconds: float) -> JsonObject:
    """Return the destination so that whoever is served by it gets the cookie for so long; unchanged without one."""
    if not cookie:
        return destination
    return _adding(destination, set_cookie(cookie, affinity, max(math.ceil(seconds), 1)))


def taking(route: JsonObject, cookie: str, affinity: SessionAffinity) -> JsonObject:
    """Return the route so that its answers take the cookie back."""
    return _adding(route, set_cookie(cookie, affinity, GONE))


def cookies_of(routes: Iterable[Mapping[str, Any]], split: Mapping[str, Any], names: tuple[str, str]) -> Cookies:
    """Read the cookies that routes know; ``split`` is the one that shares users among the Services of ``names``."""
    given = {host_of(one): (_given(one), int(one.get("weight") or 0)) for one in split.get("route") or ()}
    (kept, left), (held, share) = (given.get(name, ("", 0)) for name in names)
    if not share:
        holders = (route for route in routes if _is_for_holders(route))
        return Cookies(expired=next((text for route in holders if (text := _given(route, expired=True))), ""))
    return Cookies(canary=held, primary=kept if held and left else "")


def gives_cookies(route: Mapping[str, Any]) -> bool:
    """Tell whether somebody who is served by this route gets a cookie of ours."""
    return any(_given(one) for one in route.get("route") or ())


def host_of(destination: Mapping[str, Any]) -> str:
    """Return the Service that a weighted destination names."""
    return str((destination.get("destination") or {}).get("host") or "")


def _is_for_holders(route: Mapping[str, Any]) -> bool:
    return any("regex" in ((match.get("headers") or {}).get(_COOKIE) or {}) for match in route.get("match") or ())


def _adding(part: JsonObject, cookie: str) -> JsonObject:
    headers = part.get("headers", {})
    response = headers.get("response", {})
    added = {**response, "add": {**response.get("add", {}), SET_COOKIE: cookie}}
    return {**part, "headers": {**headers, "response": added}}


def _given(part: Mapping[str, Any], *, expired: bool = False) -> str:
    """Return the cookie that a route or a destination gives or, if ``expired``, takes; empty when it does not."""
    added = ((part.get("headers") or {}).get("response") or {}).get("add") or {}
    return given_in(str(added.get(SET_COOKIE) or ""), expired=expired)
