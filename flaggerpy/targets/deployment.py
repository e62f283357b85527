"""Deployments as targets: what they say of themselves, and how their primary looks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import (
    JsonObject,
    annotations_of,
    generation_of,
    is_deleting,
    name_of,
    observed_generation_of,
    uid_of,
)
from flaggerpy.kube.resources import DEPLOYMENTS
from flaggerpy.rollout.workload import Workload
from flaggerpy.targets.podded import PoddedTarget

REVISION = "deployment.kubernetes.io/revision"


class DeploymentTarget(PoddedTarget):
    """The translations of a Deployment."""

    resource = DEPLOYMENTS
    followed = ("progressDeadlineSeconds", "minReadySeconds", "revisionHistoryLimit", "strategy")

    def describe(self, obj: Mapping[str, Any], template: str) -> Workload:
        """Say how far a Deployment is that runs the template of this identity."""
        spec = obj.get("spec") or {}
        status = obj.get("status") or {}
        conditions = {condition.get("type"): condition for condition in status.get("conditions") or ()}
        progressing = (conditions.get("Progressing") or {}).get("reason")
        replicas = spec.get("replicas")
        return Workload(
            name=name_of(obj),
            uid=uid_of(obj),
            generation=generation_of(obj),
            observed_generation=observed_generation_of(obj),
            template=template,
            controller_revision=annotations_of(obj).get(REVISION),
            paused=bool(spec.get("paused")),
            replicas=1 if replicas is None else int(replicas),
            current_replicas=int(status.get("replicas") or 0),
            updated_replicas=int(status.get("updatedReplicas") or 0),
            available_replicas=int(status.get("availableReplicas") or 0),
            deadline_exceeded=progressing == "ProgressDeadlineExceeded",
            unavailable_since=_unavailable_since(conditions.get("Available") or {}),
            deleting=is_deleting(obj),
            tells_when_stuck=progressing not in {None, "NewReplicaSetAvailable"},
        )

    def check(self, canary: Canary, target: JsonObject) -> None:
        """Look for nothing: a Deployment and its primary get along whatever it says."""
        del canary, target

    def first_spec(self, target: Mapping[str, Any]) -> JsonObject:
        """Return the replicas of a new primary: the target's, or one."""
        return {"replicas": (target.get("spec") or {}).get("replicas") or 1}

    def size_patch(self, live: JsonObject, replicas: int) -> None:
        """Return nothing: a Deployment is scaled through its scale subresource."""
        del live, replicas


def _unavailable_since(available: Mapping[str, Any]) -> datetime | None:
    if available.get("status") != "False" or available.get("reason") != "MinimumReplicasUnavailable":
        return None
    moment = available.get("lastUpdateTime")
    return datetime.fromisoformat(moment) if moment else None
