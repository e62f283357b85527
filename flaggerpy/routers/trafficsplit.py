"""Providers of the Service Mesh Interface: one TrafficSplit, named like the apex Service.

``linkerd`` is version v1alpha1; ``smi:v1alpha1`` and its like may name the mesh after another colon.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import TRAFFIC_SPLITS, Ref
from flaggerpy.rollout.traffic import Routes
from flaggerpy.routers.weighted import WeightedRouter

GATEWAYS: Final = "VirtualService.v1alpha3.networking.istio.io/spec.gateways"
"""Annotation: the gateways of the VirtualService that SMI's adapter for Istio makes of the TrafficSplit, as JSON."""
_QUANTITIES: Final = "v1alpha1"
"""The version in which weights are quantities; they are integers later."""
_QUANTITY: Final = re.compile(r"(\d+(?:\.\d+)?)(m|k|)")
_SCALE: Final = {"m": Fraction(1, 1000), "": Fraction(1), "k": Fraction(1000)}


class TrafficSplitRouter(WeightedRouter):
    """SMI's TrafficSplit in one of its versions, and the mesh that it is meant for."""

    def __init__(self, version: str, mesh: str = "") -> None:
        self._resource = TRAFFIC_SPLITS[version]
        self._mesh = mesh
        self._quantities = version == _QUANTITIES
        self.nothing = self._number(0)

    def ref(self, canary: Canary) -> Ref:
        """Return the TrafficSplit."""
        return Ref(self._resource, canary.namespace, canary.apex_name)

    def spec(self, canary: Canary, routes: Routes) -> JsonObject:
        """Return the Service that clients ask for, and the two that answer."""
        hosts = canary.spec.service.hosts if canary.spec.service else ()
        shares = {canary.canary_service_name: routes.canary, canary.primary_service_name: routes.primary}
        return {
            "service": hosts[0] if hosts else canary.apex_name,
            "backends": [{"service": service, "weight": self._number(share)} for service, share in shares.items()],
        }

    def backends(self, spec: Mapping[str, Any]) -> list[JsonObject]:
        """Return the backends."""
        return list(spec.get("backends") or ())

    def placed(self, spec: Mapping[str, Any], backends: list[JsonObject]) -> JsonObject:
        """Return the field with these backends."""
        del spec
        return {"backends": backends}

    def called(self, canary: Canary, service: str) -> str:
        """Return the name of the Service."""
        del canary
        return service

    def name(self, backend: Mapping[str, Any]) -> str:
        """Return the name of the backend's Service."""
        return str(backend.get("service"))

    def apex(self, canary: Canary, like: Mapping[str, Any]) -> JsonObject:
        """Return the apex Service with everything; a Service may be a backend of itself."""
        del like
        return {"service": canary.apex_name, "weight": self._number(100)}

    def weight(self, backend: Mapping[str, Any]) -> Fraction:
        """Return the weight, which v1alpha1 writes as a quantity like 500m; 0 for what is none."""
        found = _QUANTITY.fullmatch(str(backend.get("weight") or 0))
        return Fraction(found[1]) * _SCALE[found[2]] if found else Fraction()

    def annotations(self, canary: Canary) -> dict[str, str]:
        """Return the gateways, where Istio is behind the interface."""
        gateways = canary.spec.service.gateways if canary.spec.service else ()
        if self._mesh != "istio" or not gateways:
            return {}
        return {GATEWAYS: json.dumps(list(gateways), separators=(",", ":"))}

    def _number(self, weight: int) -> int | str:
        return str(weight) if self._quantities else weight
