"""Provider ``skipper``: a second Ingress that leads to primary and canary, and goes before the user's own.

The annotation ``zalando.org/backend-weights`` carries the shares. Skipper prefers the second Ingress by its predicate
``Weight(100)``; with ``False()`` in the same place it takes nobody, and the user's Ingress serves, which leads to the
apex Service and so to the primary. There is no answer from Skipper on which to wait: what is written counts as taken.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject, annotations_of
from flaggerpy.kube.resources import Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, Acceptance, Capabilities, Routes, RouteState, to_canary
from flaggerpy.routers import ingress
from flaggerpy.routers.base import Live

_PREFIX = "zalando.org"
_PREDICATE = f"{_PREFIX}/skipper-predicate"
_WEIGHTS = f"{_PREFIX}/backend-weights"
_PREFERRED = "Weight(100)"
_OFF = "False()"
_OURS = re.compile(r"(?:(?:Weight\(100\)|False\(\))\s*(?:&&\s*|$))+")


class SkipperRouter:
    """Zalando's Skipper as an Ingress controller."""

    capabilities = Capabilities(weights=True, own_route=True)

    def refs(self, canary: Canary) -> tuple[Ref, ...]:
        """Return the second Ingress and the user's."""
        return ingress.copy_refs(canary)

    def problems(self, canary: Canary) -> tuple[str, ...]:
        """Say what is missing."""
        return ingress.missing_settings(canary, "skipper")

    def state(self, canary: Canary, live: Live) -> RouteState:
        """Read the shares from the annotations, and compare everything that we own."""
        copy = ingress.held_copy(canary, live)
        routes = None if copy is None else _routes(canary, copy)
        if copy is None or routes is None:
            return RouteState(routes=None)
        return RouteState(routes, self._drifted(canary, live, copy, routes), Acceptance.YES)

    def render(self, canary: Canary, live: Live, routes: Routes) -> tuple[JsonObject, ...]:
        """Return the second Ingress with these shares."""
        copy = ingress.held_copy(canary, live)
        names = (canary.primary_service_name, canary.canary_service_name)
        try:
            own = ingress.own_ingress(canary, live)
            spec = ingress.copied_spec(
                canary, own, lambda paths: [ingress.leading_to(name, path) for name in names for path in paths]
            )
        except UserError:
            if routes.canary or copy is None:
                raise
            # There is nothing to copy any more, but nobody must be kept on the way back.
            return (_body(canary, live, copy.get("spec") or {}, copy, routes),)
        return (_body(canary, live, spec, own, routes),)

    def restore(self, canary: Canary, live: Live) -> tuple[JsonObject, ...]:
        """Return the second Ingress switched off; then nobody misses it when it is deleted."""
        copy = ingress.held_copy(canary, live)
        if copy is None or _is_off(copy):
            return ()
        return (_body(canary, live, copy.get("spec") or {}, copy, ALL_TO_PRIMARY),)

    def ahead(self, canary: Canary, live: Live, bodies: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        """Return nothing: Skipper reads Ingresses and the addresses of Services together."""
        return ()

    def _drifted(self, canary: Canary, live: Live, copy: JsonObject, routes: Routes) -> bool:
        if ingress.lacks_marks(canary, copy):
            return True
        try:
            [wanted] = self.render(canary, live, routes)
        except UserError:
            # What cannot be written cannot be mended either; the sentence comes out of the observation.
            return False
        reads = [ingress.followed(one, _PREFIX) for one in (copy, wanted)]
        return reads[0] != reads[1] or copy.get("spec") != wanted["spec"]


def _body(canary: Canary, live: Live, spec: JsonObject, source: JsonObject, routes: Routes) -> JsonObject:
    theirs = ingress.followed(source, _PREFIX)
    switch = _PREFERRED if routes.canary else _OFF
    predicate = " && ".join(part for part in (switch, _OURS.sub("", theirs.get(_PREDICATE, ""), count=1)) if part)
    weights = {canary.primary_service_name: routes.primary, canary.canary_service_name: routes.canary}
    ours = {_PREDICATE: predicate, _WEIGHTS: json.dumps(weights, sort_keys=True, separators=(",", ":"))}
    return ingress.copy_body(canary, live, spec, theirs | ours, prefix=_PREFIX)


def _is_off(copy: JsonObject) -> bool:
    predicate: str = annotations_of(copy).get(_PREDICATE, "")
    return predicate.lstrip().startswith(_OFF)


def _routes(canary: Canary, copy: JsonObject) -> Routes | None:
    """Return the shares as Skipper reads them: weights count in relation to each other."""
    try:
        weights: Any = json.loads(annotations_of(copy).get(_WEIGHTS, ""))
        primary = float(weights[canary.primary_service_name])
        share = float(weights[canary.canary_service_name])
    except (ValueError, KeyError, TypeError):
        return None
    if min(primary, share) < 0 or not 0 < primary + share < math.inf:
        return None
    return ALL_TO_PRIMARY if _is_off(copy) else to_canary(round(100 * share / (primary + share)))
