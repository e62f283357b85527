"""Routes as they were written, perhaps before the Canary was edited: for another provider, or under another name."""

from __future__ import annotations

from dataclasses import dataclass, field

from flaggerpy.api.canary import Canary
from flaggerpy.api.marks import made_by_us
from flaggerpy.api.places import NamedRoute, RoutePlace
from flaggerpy.api.refs import IngressRef, RouteRef
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import HTTP_ROUTES, VIRTUAL_SERVICES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import NOTHING, Acceptance
from flaggerpy.routers import custody
from flaggerpy.routers.base import Live, Options, Router
from flaggerpy.routers.gloo import GlooRouter
from flaggerpy.routers.registry import router_of
from flaggerpy.routers.replicas import ReplicaRouter

CLAIM_HOSTS = frozenset({HTTP_ROUTES.kind, VIRTUAL_SERVICES.kind})
"""Kinds whose objects ask for hosts themselves, so that an older one of them keeps the users of a newer one."""

_INGRESS = "networking.k8s.io/v1"

Identity = tuple[str, str, str, str]
"""Group, kind, namespace and name: the same object in all its versions."""


@dataclass(frozen=True, slots=True)
class Former:
    """The routes of a former spec that are not those of the present one, or (with nothing present) of any.

    Attributes:
        canary: the canary as it was, as far as routes go by it.
        present: the objects that carry the present routes.

    """

    canary: Canary
    router: Router
    present: frozenset[Identity] = field(default_factory=frozenset)

    @property
    def refs(self) -> tuple[Ref, ...]:
        """The objects to read, and perhaps to give back."""
        return tuple(ref for ref in self.router.refs(self.canary) if identity(ref) not in self.present)

    def bodies(self, live: Live) -> tuple[JsonObject, ...]:
        """Return the objects as they stay behind, or what has to go ahead of that; empty when they are so."""
        stays = {ref: obj for ref, obj in self._live(live).items() if not self._is_in_the_way(ref, obj)}
        bodies = self.router.restore(self.canary, stays)
        return self.router.ahead(self.canary, stays, bodies) or bodies

    def remains(self, live: Live) -> tuple[Ref, ...]:
        """Return what is to be deleted: what only we need, once the rest is as it stays behind."""
        return () if self.bodies(live) else self.ours(live)

    def ours(self, live: Live) -> tuple[Ref, ...]:
        """Return what we made, and nobody had before; Services and workloads are no route, whoever reads them."""
        if self.router.capabilities.by_replicas:
            return ()
        return tuple(ref for ref, obj in self._live(live).items() if _is_ours_alone(self.canary, obj))

    def of_users(self, live: Live) -> tuple[JsonObject, ...]:
        """Return the objects that users had before, as they were then."""
        ours = self.ours(live)
        return self.router.restore(self.canary, {ref: obj for ref, obj in self._live(live).items() if ref not in ours})

    def is_held(self, live: Live) -> bool:
        """Tell whether any of it is in our hands still."""
        return bool(self.bodies(live) or self.remains(live))

    def leads_to_canary(self, live: Live) -> bool:
        """Tell whether users come to the canary through it, whom giving it back would lead to the primary."""
        there = self._live(live)
        routes = self.router.state(self.canary, there).routes
        deleted = any(self._is_in_the_way(ref, obj) for ref, obj in there.items())
        return self.is_held(live) and routes is not None and routes.traffic != NOTHING and not deleted

    def is_heard(self, live: Live) -> bool:
        """Tell whether the data plane has said what it thinks of it as it is."""
        there = self._live(live)
        return not there or self.router.state(self.canary, there).accepted is not Acceptance.UNKNOWN

    def ref_of(self, body: JsonObject) -> Ref:
        """Return the reference to one of the bodies."""
        name = body["metadata"]["name"]
        return next(ref for ref in self.refs if (ref.resource.kind, ref.name) == (body["kind"], name))

    def _live(self, live: Live) -> dict[Ref, JsonObject]:
        return {ref: live[ref] for ref in self.refs if ref in live}

    def _is_in_the_way(self, ref: Ref, obj: JsonObject) -> bool:
        """Tell whether users would go on coming through this route of ours, whatever the present one says."""
        same_kind = any(identity(ref)[:2] == other[:2] for other in self.present)
        return ref.resource.kind in CLAIM_HOSTS and same_kind and _is_ours_alone(self.canary, obj)


def former_routes(
    canary: Canary, present: Router | None, options: Options, place: RoutePlace | None
) -> tuple[Former, ...]:
    """Return the routes that the status has on record and the spec does not ask for any more."""
    here = frozenset(map(identity, present.refs(canary))) if present is not None else frozenset()
    return tuple(
        Former(before, router, here)
        for one in canary.status.rollout.routes
        if one != place and (router := _router(before := _as_it_was(canary, one), one, options)) is not None
    )


def place_of(canary: Canary, mesh_provider: str, router: Router | None) -> RoutePlace | None:
    """Return what leads to the routes of a canary; None where its provider has no objects, or is unknown."""
    spec = canary.spec
    if router is None or not router.refs(canary):
        return None
    return RoutePlace(
        provider=spec.provider or mesh_provider,
        service=canary.target_name if spec.target_ref.is_knative else canary.apex_name,
        ingress=spec.ingress_ref.name if spec.ingress_ref else None,
        route=NamedRoute.model_validate(spec.route_ref.model_dump()) if spec.route_ref else None,
        port=spec.service.port if spec.service and isinstance(router, GlooRouter) else None,
    )


def identity(ref: Ref) -> Identity:
    """Return what an object is, in whichever version it is read."""
    return ref.resource.group, ref.resource.kind, ref.namespace, ref.name


def _router(before: Canary, place: RoutePlace, options: Options) -> Router | None:
    if place.provider == "kubernetes":
        return ReplicaRouter()  # without shares by numbers of pods it has no place
    try:
        return router_of(before, place.provider, options)
    except UserError:
        return None  # a later version had it, and this one does not


def _as_it_was(canary: Canary, place: RoutePlace) -> Canary:
    spec = canary.spec
    named = spec.target_ref.model_copy(update={"name": place.service})
    service = {"name": place.service} | ({"port": place.port} if place.port else {})
    changes = {
        "provider": place.provider,
        # A Knative service is its own route, and without spec.service routes are named after the target.
        "target_ref": named if place.provider == "knative" or spec.service is None else spec.target_ref,
        "service": spec.service and spec.service.model_copy(update=service),
        "ingress_ref": IngressRef(api_version=_INGRESS, kind="Ingress", name=place.ingress) if place.ingress else None,
        "route_ref": RouteRef.model_validate(place.route.model_dump()) if place.route else None,
    }
    return canary.model_copy(update={"spec": spec.model_copy(update=changes)})


def _is_ours_alone(canary: Canary, obj: JsonObject) -> bool:
    """Tell whether we made an object, and nobody had it before."""
    return made_by_us(obj, canary) and not custody.spec_before(obj)
