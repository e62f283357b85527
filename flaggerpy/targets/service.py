"""Plain Services as targets: workloads that nobody here looks after, only the traffic between two states of a Service.

The Service is the canary itself, and what clients name. ``NAME-primary`` is a copy of the promoted state,
``NAME-canary`` one of the present state, and a route splits users between them. Nothing ever sleeps, and everything is
always ready.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject, is_deleting, name_of
from flaggerpy.kube.resources import SERVICES, Ref
from flaggerpy.rollout.decision import ServiceRole
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.workload import Workload
from flaggerpy.targets.base import Recipe, TargetFacts
from flaggerpy.targets.identity import template_identity
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.services import cloned_service

_COPIED = (
    "selector",
    "externalName",
    "sessionAffinity",
    "sessionAffinityConfig",
    "publishNotReadyAddresses",
    "internalTrafficPolicy",
    "trafficDistribution",
)
"""Where its users go, without what makes the Service reachable: a copy gets addresses of its own inside the cluster."""


class ServiceTarget:
    """The translations of a plain Service."""

    copied = False

    def ref(self, canary: Canary) -> Ref:
        """Return the reference to the user's Service."""
        return Ref(SERVICES, canary.namespace, canary.target_name)

    def primary_ref(self, canary: Canary) -> Ref:
        """Return the reference to the copy of its promoted state."""
        return Ref(SERVICES, canary.namespace, canary.primary_name)

    def state(self, target: Mapping[str, Any]) -> Workload:
        """Say what the Service leads to.

        Services have no generation, so the identity alone decides; an empty uid says so.
        """
        return Workload(
            name=name_of(target),
            uid="",
            generation=0,
            observed_generation=0,
            template=template_identity({"spec": _clone(target)}),
            controller_revision=None,
            paused=False,
            replicas=1,
            current_replicas=1,
            updated_replicas=1,
            available_replicas=1,
            deadline_exceeded=False,
            unavailable_since=None,
            deleting=is_deleting(target),
            sleeps=False,
        )

    def primary_state(self, canary: Canary, primary: Mapping[str, Any], recipe: Recipe) -> Workload:
        """Say what the copy leads to."""
        del canary, recipe
        return self.state(primary)

    def facts(self, canary: Canary, target: JsonObject, rules: LabelRules, primary: JsonObject | None) -> TargetFacts:
        """Return what the canary's Service is copied from."""
        del rules
        self.check(canary, target)
        clone = _clone(target)
        if primary is not None:
            cloned_service(canary, ServiceRole.PRIMARY, clone, primary)  # refuses one that is somebody else's
        return TargetFacts("", "", "", clone=clone)

    def check(self, canary: Canary, target: JsonObject) -> None:
        """Look for a Service whose copies would lead nowhere, or that clients do not name."""
        spec = target.get("spec") or {}
        if canary.apex_name != canary.target_name:
            raise UserError(
                f"spec.service.name is {canary.apex_name}, but where the target is a Service, clients name that: "
                "remove spec.service.name."
            )
        if not spec.get("selector") and spec.get("type") != "ExternalName":
            raise UserError(
                f"Service {canary.target_name} has no selector, so copies of it would lead nowhere: give it "
                "spec.selector, or type ExternalName."
            )

    def size_patch(self, live: JsonObject, replicas: int) -> list[JsonObject]:
        """Return nothing to change: a Service has no size."""
        del live, replicas
        return []

    def make_primary(
        self, canary: Canary, target: JsonObject, primary: JsonObject | None, recipe: Recipe
    ) -> JsonObject:
        """Return the copy to create, or the whole body to put in the place of the live one."""
        del recipe
        body = cloned_service(canary, ServiceRole.PRIMARY, _clone(target), primary)
        return body if body is not None else primary or {}


def _clone(service: Mapping[str, Any]) -> JsonObject:
    """Return the spec of a copy; one of a load balancer or node port is reached from inside the cluster only."""
    spec = service.get("spec") or {}
    clone = {key: copy.deepcopy(spec[key]) for key in _COPIED if key in spec}
    clone["type"] = "ExternalName" if spec.get("type") == "ExternalName" else "ClusterIP"
    if spec.get("ports"):
        clone["ports"] = [{key: part for key, part in port.items() if key != "nodePort"} for port in spec["ports"]]
    if spec.get("clusterIP") == "None":
        clone["clusterIP"] = "None"
    return clone
