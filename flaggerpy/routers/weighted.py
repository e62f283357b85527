"""Routing objects that say who gets how much in one list of backends with weights: all of it but how a list is written.

What a provider's object looks like is in its own module, which derives from ``WeightedRouter``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from flaggerpy.api.analysis import Strategy
from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject, resource_version_of
from flaggerpy.kube.resources import Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, Acceptance, Capabilities, Routes, RouteState
from flaggerpy.routers import custody
from flaggerpy.routers.base import Live


class WeightedRouter(ABC):
    """One object whose data plane says nothing of it: what is stored counts as served."""

    capabilities = Capabilities(weights=True, grpc=True, own_route=True)
    nothing: Any = 0
    """The weight 0 as the provider writes it."""

    @abstractmethod
    def ref(self, canary: Canary) -> Ref:
        """Return the object."""

    @abstractmethod
    def spec(self, canary: Canary, routes: Routes) -> JsonObject:
        """Return what we own of the spec, so that it spreads traffic like this.

        Raises:
            UserError: something in the canary cannot be said.

        """

    @abstractmethod
    def backends(self, spec: Mapping[str, Any]) -> list[JsonObject]:
        """Return the list of a spec, empty where there is none."""

    @abstractmethod
    def placed(self, spec: Mapping[str, Any], backends: list[JsonObject]) -> JsonObject:
        """Return the field of a spec that holds the list, with another list."""

    @abstractmethod
    def called(self, canary: Canary, service: str) -> str:
        """Return what a Service of the canary's namespace is called in a list, whatever its port."""

    @abstractmethod
    def name(self, backend: Mapping[str, Any]) -> str:
        """Return what a backend is called."""

    @abstractmethod
    def apex(self, canary: Canary, like: Mapping[str, Any]) -> JsonObject:
        """Return the apex Service with everything, in the place of a backend like this."""

    def weight(self, backend: Mapping[str, Any]) -> Fraction:
        """Return the weight of a backend, 0 where it has none."""
        return Fraction(backend.get("weight") or 0)

    def around(self, canary: Canary) -> JsonObject:
        """Return what the provider wants beside metadata and spec."""
        del canary
        return {}

    def annotations(self, canary: Canary) -> dict[str, str]:
        """Return the annotations that the provider reads on its object."""
        del canary
        return {}

    def refs(self, canary: Canary) -> tuple[Ref, ...]:
        """Return the object."""
        return (self.ref(canary),)

    def problems(self, canary: Canary) -> tuple[str, ...]:
        """Return the first thing that the object cannot say."""
        if canary.analysis.strategy is Strategy.AB_TESTING:
            return (
                f"spec.analysis.match cannot be served, because a {self.ref(canary).resource.kind} does not look at "
                "requests, so that everyone would be part of the A/B test: remove it, or use a provider that routes by "
                "requests, like gatewayapi:v1.",
            )
        try:
            self.spec(canary, ALL_TO_PRIMARY)
        except UserError as error:
            return (str(error),)
        return ()

    def state(self, canary: Canary, live: Live) -> RouteState:
        """Read the shares, and compare everything that we own."""
        obj = live.get(self.ref(canary))
        routes = self._routes(canary, obj) if obj is not None else None
        if obj is None or routes is None:
            return RouteState(routes=None)
        return RouteState(routes, self._drifted(canary, obj, routes), Acceptance.YES)

    def render(self, canary: Canary, live: Live, routes: Routes) -> tuple[JsonObject, ...]:
        """Return the object with these shares: what we own of it, or one that Flagger made whole."""
        ref = self.ref(canary)
        obj = live.get(ref)
        held = obj is not None and self._is_held(canary, obj)
        spec, more = self.spec(canary, routes), self.annotations(canary)
        return ({**custody.taken(canary, ref, obj, spec, held=held, more=more), **self.around(canary)},)

    def restore(self, canary: Canary, live: Live) -> tuple[JsonObject, ...]:
        """Return the user's own object as it was, or ours with everything going to the apex Service."""
        ref = self.ref(canary)
        obj = live.get(ref)
        if obj is None or not self._is_held(canary, obj):
            return ()
        before = custody.spec_before(obj)
        # A spec that names our Services cannot stay: they go with the canary.
        spec = before if before and not self._names_ours(canary, before) else self._all_to_apex(canary, obj)
        return (custody.given_back(ref, obj, spec),)

    def ahead(self, canary: Canary, live: Live, bodies: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        """Return the object with Services at weight 0 that it is about to name, or to name no longer."""
        obj = live.get(self.ref(canary))
        if obj is None:
            return ()
        return tuple(step for body in bodies if (step := self._step_ahead(canary, obj, body)) is not None)

    def _step_ahead(self, canary: Canary, obj: JsonObject, body: JsonObject) -> JsonObject | None:
        """Return the live list with the Services to come, then the coming list with those that are left."""
        spec: JsonObject = obj.get("spec") or {}
        live, coming = self.backends(spec), self.backends(body["spec"])
        backends = self._with_unused(live, coming) or self._with_unused(coming, live)
        if backends is None:
            return None
        around = spec if resource_version_of(body) else body["spec"]
        return custody.on_the_way(canary, obj, body, **self.placed(around, backends))

    def _with_unused(self, backends: list[JsonObject], others: Iterable[JsonObject]) -> list[JsonObject] | None:
        named = {self.name(backend) for backend in backends}
        unused = {
            self.name(other): {**other, "weight": self.nothing}
            for other in others
            if self.weight(other) and self.name(other) not in named
        }
        return [*backends, *unused.values()] if unused and any(map(self.weight, backends)) else None

    def _drifted(self, canary: Canary, obj: JsonObject, routes: Routes) -> bool:
        if custody.lacks_marks(canary, obj, more=self.annotations(canary)):
            return True
        try:
            wanted = self.spec(canary, routes)
        except UserError:
            # What cannot be written cannot be mended either; the sentence comes out of problems().
            return False
        beside = any(obj.get(field) != value for field, value in self.around(canary).items())
        return beside or self._plain(wanted, wanted) != self._plain(obj.get("spec") or {}, wanted)

    def _plain(self, spec: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[object, ...]:
        """Return what a spec says of the fields that we own; the list has no order, and no weight is none."""
        listed = self.placed(wanted, [])
        rest = {field: spec.get(field) for field in wanted if field not in listed}
        backends = [(str({**backend, "weight": 0}), self.weight(backend)) for backend in self.backends(spec)]
        return rest, sorted(backends)

    def _names_ours(self, canary: Canary, spec: Mapping[str, Any]) -> bool:
        ours = self._ours(canary)
        return any(self.name(backend) in ours for backend in self.backends(spec))

    def _ours(self, canary: Canary) -> tuple[str, str]:
        services = canary.primary_service_name, canary.canary_service_name
        return self.called(canary, services[0]), self.called(canary, services[1])

    def _is_held(self, canary: Canary, obj: JsonObject) -> bool:
        return custody.is_held(canary, obj, names_ours=self._names_ours(canary, obj.get("spec") or {}))

    def _routes(self, canary: Canary, obj: JsonObject) -> Routes | None:
        backends = self.backends(obj.get("spec") or {})
        primary, share = (
            sum(self.weight(backend) for backend in backends if self.name(backend) == name)
            for name in self._ours(canary)
        )
        if not primary + share:
            return None
        percent = round(100 * share / (primary + share))
        return Routes(100 - percent, percent)

    def _all_to_apex(self, canary: Canary, obj: JsonObject) -> JsonObject:
        """Return the live spec with the apex Service in the place of the other two; works on whatever is there."""
        spec: JsonObject = obj.get("spec") or {}
        backends = self.backends(spec)
        like = next((backend for backend in backends if self.name(backend) in self._ours(canary)), {})
        gone = {*self._ours(canary), self.called(canary, canary.apex_name)}
        others = [backend for backend in backends if self.name(backend) not in gone]
        return {**spec, **self.placed(spec, [self.apex(canary, like), *others])}
