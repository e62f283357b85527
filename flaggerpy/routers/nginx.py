"""Provider ``nginx``: a second Ingress, with the annotations that make it a canary of the user's own.

NGINX sends a share of what the user's Ingress would get, or the users of an A/B test, to the second one, which leads to
the Service of the canary. The user's leads to the apex Service and so to the primary. There is no answer from NGINX on
which to wait: what is written counts as taken.
"""

from __future__ import annotations

from collections.abc import Mapping

from flaggerpy.api.analysis import Strategy
from flaggerpy.api.canary import Canary
from flaggerpy.api.matching import AudienceMatch, HeaderMatch
from flaggerpy.kube.objects import JsonObject, annotations_of
from flaggerpy.kube.resources import Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import (
    ALL_TO_CANARY,
    Acceptance,
    Capabilities,
    Routes,
    RouteState,
    to_canary,
)
from flaggerpy.routers import ingress
from flaggerpy.routers.base import DEFAULTS, Live


class NginxRouter:
    """The Ingress controller of NGINX (ingress-nginx); its annotations may begin with a prefix of the operator's."""

    capabilities = Capabilities(weights=True, match=True, whole_audience=True, grpc=True, own_route=True)

    def __init__(self, prefix: str = DEFAULTS.ingress_annotations_prefix) -> None:
        self._prefix = prefix

    def refs(self, canary: Canary) -> tuple[Ref, ...]:
        """Return the second Ingress and the user's."""
        return ingress.copy_refs(canary)

    def problems(self, canary: Canary) -> tuple[str, ...]:
        """Return the first thing that a canary's annotations cannot say."""
        if missing := ingress.missing_settings(canary, "nginx"):
            return missing
        try:
            _audience(canary)
        except UserError as error:
            return (str(error),)
        return ()

    def state(self, canary: Canary, live: Live) -> RouteState:
        """Read the share from the annotations, and compare everything that we own."""
        copy = ingress.held_copy(canary, live)
        routes = None if copy is None else self._routes(canary, copy)
        if copy is None or routes is None:
            return RouteState(routes=None)
        return RouteState(routes, self._drifted(canary, live, copy, routes), Acceptance.YES)

    def render(self, canary: Canary, live: Live, routes: Routes) -> tuple[JsonObject, ...]:
        """Return the second Ingress with this share."""
        copy = ingress.held_copy(canary, live)
        try:
            own = ingress.own_ingress(canary, live)
            spec = ingress.copied_spec(
                canary, own, lambda paths: [ingress.leading_to(canary.canary_service_name, path) for path in paths]
            )
        except UserError:
            if routes.canary or copy is None:
                raise
            # NGINX goes by hosts and paths, whatever the user's Ingress leads to: nobody must be kept on the way back.
            return self._without_users(canary, live, copy)
        return (self._body(canary, live, spec, own, self._share(canary, routes)),)

    def restore(self, canary: Canary, live: Live) -> tuple[JsonObject, ...]:
        """Return the second Ingress with no share; without one nobody misses it when it is deleted."""
        copy = ingress.held_copy(canary, live)
        if copy is None or self._canary_annotations(copy) == self._named(_NOBODY):
            return ()
        return self._without_users(canary, live, copy)

    def ahead(self, canary: Canary, live: Live, bodies: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        """Return nothing: NGINX reads Ingresses and the addresses of Services together."""
        return ()

    def _without_users(self, canary: Canary, live: Live, copy: JsonObject) -> tuple[JsonObject, ...]:
        return (self._body(canary, live, copy.get("spec") or {}, copy, _NOBODY),)

    def _body(
        self, canary: Canary, live: Live, spec: JsonObject, source: JsonObject, share: Mapping[str, str]
    ) -> JsonObject:
        theirs = {
            key: value
            for key, value in ingress.followed(source, self._prefix).items()
            if not key.startswith(f"{self._prefix}/canary")
        }
        return ingress.copy_body(canary, live, spec, theirs | self._named(share), prefix=self._prefix)

    def _drifted(self, canary: Canary, live: Live, copy: JsonObject, routes: Routes) -> bool:
        if ingress.lacks_marks(canary, copy):
            return True
        try:
            [wanted] = self.render(canary, live, routes)
        except UserError:
            # What cannot be written cannot be mended either; the sentence comes out of the observation.
            return False
        reads = [ingress.followed(one, self._prefix) for one in (copy, wanted)]
        return reads[0] != reads[1] or copy.get("spec") != wanted["spec"]

    def _share(self, canary: Canary, routes: Routes) -> Mapping[str, str]:
        """Return the annotations of a share, without the prefix."""
        others = {**_NOBODY, "canary-weight": str(routes.canary)}
        audience = _audience(canary) if routes.canary else {}
        return {**(others if canary.analysis.audience_first or not audience else _NOBODY), **audience}

    def _routes(self, canary: Canary, copy: JsonObject) -> Routes | None:
        given = {key.removeprefix(f"{self._prefix}/"): value for key, value in self._canary_annotations(copy).items()}
        if given.get("canary") != "true":
            return None
        chosen = bool(canary.analysis.match) and not canary.analysis.audience_first
        if chosen and not given.keys().isdisjoint({"canary-by-header", "canary-by-cookie"}):
            return ALL_TO_CANARY
        weight, total = given.get("canary-weight", "0"), given.get("canary-weight-total", "100")
        if not (weight.isdecimal() and total.isdecimal() and int(weight) <= int(total) and int(total)):
            return None
        return to_canary(round(100 * int(weight) / int(total)))

    def _canary_annotations(self, copy: JsonObject) -> dict[str, str]:
        return {key: value for key, value in annotations_of(copy).items() if key.startswith(f"{self._prefix}/canary")}

    def _named(self, share: Mapping[str, str]) -> dict[str, str]:
        return {f"{self._prefix}/{key}": value for key, value in share.items()}


_NOBODY: Mapping[str, str] = {"canary": "true", "canary-weight": "0"}
"""Annotations of a second Ingress that gets nobody, without the prefix."""


def _audience(canary: Canary) -> dict[str, str]:
    """Return the annotations that choose the users of an A/B test: a header, a cookie, or either of them."""
    analysis = canary.analysis
    if analysis.match and analysis.strategy is not Strategy.AB_TESTING and not analysis.audience_first:
        raise UserError(
            "spec.analysis.match without iterations cannot be served by provider nginx, which sends all of the users "
            "it describes to the canary, and never a share of them: write iterations in the place of stepWeight, "
            "add matchFirst: true, or remove match."
        )
    chosen: dict[str, str] = {}
    for index, match in enumerate(canary.analysis.match):
        place = f"spec.analysis.match[{index}]"
        wanted = _condition(place, match)
        if any(chosen.get(key, value) != value for key, value in wanted.items()):
            raise UserError(
                f"{place} asks for another header than an item before it, and NGINX compares one header and one "
                "cookie only: remove one of the two items."
            )
        chosen |= wanted
    return chosen


def _condition(place: str, match: AudienceMatch) -> dict[str, str]:
    headers = match.headers or {}
    if match.query_params or len(headers) != 1:
        raise UserError(
            f"{place} must have exactly one header and nothing else, as NGINX sends a user to the canary for a header "
            "or for a cookie: write what else shall do in an item of its own."
        )
    [(name, value)] = headers.items()
    where = f"{place}.headers.{name}"
    return _cookie(where, value) if name.lower() == "cookie" else _header(where, name, value)


def _cookie(where: str, value: HeaderMatch) -> dict[str, str]:
    if not value.exact:
        raise UserError(
            f"{where} must be exact: it is the name of a cookie, and NGINX sends to the canary whoever has it with the "
            "value always."
        )
    return {"canary-by-cookie": value.exact}


def _header(where: str, name: str, value: HeaderMatch) -> dict[str, str]:
    if value.exact:
        return {"canary-by-header": name, "canary-by-header-value": value.exact}
    if value.regex:
        return {"canary-by-header": name, "canary-by-header-pattern": value.regex}
    raise UserError(f"{where} is compared by NGINX as a whole or by a pattern: write exact or regex.")
