"""Provider ``kuma``: one TrafficRoute of the whole cluster, named like the apex Service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import KUMA_MESH, OWNER
from flaggerpy.api.marks import owner_key, owners_in
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import TRAFFIC_ROUTES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Capabilities, Routes
from flaggerpy.routers.base import Live
from flaggerpy.routers.weighted import WeightedRouter

_SERVICE: Final = "kuma.io/service"
_DEFAULT_MESH: Final = "default"
_ANYBODY: Final = "*"


class KumaRouter(WeightedRouter):
    """Kuma's TrafficRoute; ``kuma.io/mesh`` on the Canary names the mesh."""

    capabilities = Capabilities(weights=True, tcp=True, grpc=True, own_route=True)

    def ref(self, canary: Canary) -> Ref:
        """Return the TrafficRoute, which has no namespace."""
        return Ref(TRAFFIC_ROUTES, "", canary.apex_name)

    def spec(self, canary: Canary, routes: Routes) -> JsonObject:
        """Return who is spread, over whom."""
        service = canary.spec.service
        if service is None:
            raise UserError("spec.service is missing, so there is no port to serve on: add spec.service.port.")
        shares = {canary.primary_service_name: routes.primary, canary.canary_service_name: routes.canary}
        split = [
            {"destination": {_SERVICE: f"{self.called(canary, name)}_{service.port}"}, "weight": share}
            for name, share in shares.items()
        ]
        return {
            "sources": [{"match": {_SERVICE: _ANYBODY}}],
            "destinations": [{"match": {_SERVICE: f"{self.called(canary, canary.apex_name)}_{service.port}"}}],
            "conf": {"split": split},
        }

    def around(self, canary: Canary) -> JsonObject:
        """Return the mesh, which stands beside the spec."""
        return {"mesh": canary.metadata.annotations.get(KUMA_MESH) or _DEFAULT_MESH}

    def backends(self, spec: Mapping[str, Any]) -> list[JsonObject]:
        """Return the destinations of the split."""
        return list((spec.get("conf") or {}).get("split") or ())

    def placed(self, spec: Mapping[str, Any], backends: list[JsonObject]) -> JsonObject:
        """Return what is done with requests, with this split."""
        return {"conf": {**(spec.get("conf") or {}), "split": backends}}

    def called(self, canary: Canary, service: str) -> str:
        """Return what Kuma calls the Service, without its port."""
        return f"{service}_{canary.namespace}_svc"

    def name(self, backend: Mapping[str, Any]) -> str:
        """Return what Kuma calls the Service, without its port, and all tags that choose among its pods."""
        tags = backend.get("destination") or {}
        service, _, _ = str(tags.get(_SERVICE)).rpartition("_")
        others = sorted(f"{tag}={value}" for tag, value in tags.items() if tag != _SERVICE)
        return " ".join([service, *others])

    def apex(self, canary: Canary, like: Mapping[str, Any]) -> JsonObject:
        """Return the apex Service with everything, on the port of a destination like this."""
        _, _, port = str((like.get("destination") or {}).get(_SERVICE)).rpartition("_")
        return {"destination": {_SERVICE: f"{self.called(canary, canary.apex_name)}_{port}"}, "weight": 100}

    def render(self, canary: Canary, live: Live, routes: Routes) -> tuple[JsonObject, ...]:
        """Return the TrafficRoute with these shares.

        Raises:
            UserError: a canary of another namespace has it, or the user's own one cannot be split.

        """
        route = live.get(self.ref(canary))
        if route is not None:
            self._check(canary, route)
        return super().render(canary, live, routes)

    def _check(self, canary: Canary, route: JsonObject) -> None:
        name, strangers = canary.apex_name, [one for one in owners_in(route) if one != owner_key(canary)]
        spec = route.get("spec") or {}
        others = [
            tags[_SERVICE]
            for destination in spec.get("destinations") or ()
            if (tags := destination.get("match") or {}).get(_SERVICE, _ANYBODY) != _ANYBODY
            and tags[_SERVICE].rpartition("_")[0] != self.called(canary, name)
        ]
        mesh, wanted = route.get("mesh") or _DEFAULT_MESH, self.around(canary)["mesh"]
        if mesh != wanted:
            raise UserError(
                f"TrafficRoute {name} is of mesh {mesh}, but the canary of mesh {wanted}: correct the annotation "
                f"{KUMA_MESH} of the Canary, or delete the TrafficRoute."
            )
        if strangers:
            raise UserError(
                f"TrafficRoute {name} belongs to canary {strangers[0]}, and TrafficRoutes have no namespaces: give one "
                f"of the two canaries another spec.service.name, or remove its annotation {OWNER} if "
                f"{strangers[0]} is gone."
            )
        if others:
            raise UserError(
                f"TrafficRoute {name} is for {others[0]}, not for {self.called(canary, name)}, and TrafficRoutes have "
                f"no namespaces: rename it, or choose another spec.service.name."
            )
        if (spec.get("conf") or {}).get("destination"):
            raise UserError(
                f"TrafficRoute {name} sends everyone to conf.destination, and Kuma takes no split beside it: write it "
                f"as conf.split with one destination, or delete the TrafficRoute."
            )
