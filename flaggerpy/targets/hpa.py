"""HorizontalPodAutoscalers: while the target sleeps at zero replicas Kubernetes itself disables the target's."""

from __future__ import annotations

import copy

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import HPAS
from flaggerpy.rollout.observation import Bounds
from flaggerpy.targets.scalers import Facts, memory


class HorizontalPodAutoscalers:
    """Kubernetes' own autoscaler."""

    resource = HPAS
    own: frozenset[str] = frozenset()

    def facts(self, canary: Canary, scaler: JsonObject) -> Facts:
        """Say what matters of a HorizontalPodAutoscaler."""
        spec = scaler.get("spec") or {}
        low, scaled = spec.get("minReplicas"), spec.get("scaleTargetRef") or {}
        return Facts(
            bounds=Bounds(1 if low is None else int(low), int(spec.get("maxReplicas") or 1)),
            scales=(str(scaled.get("kind")), str(scaled.get("name"))),
            memory=memory(spec.get("behavior") or {}),
        )

    def spec(self, canary: Canary, scaler: JsonObject, bounds: Bounds) -> JsonObject:
        """Return the spec of the primary's."""
        target = canary.spec.target_ref
        return {
            **copy.deepcopy(scaler.get("spec") or {}),
            "scaleTargetRef": {"apiVersion": target.api_version, "kind": target.kind, "name": canary.primary_name},
            "minReplicas": bounds.low,
            "maxReplicas": bounds.high,
        }
