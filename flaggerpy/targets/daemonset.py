"""DaemonSets as targets. They have no replicas: asleep is a node selector that no node matches, as with Flagger.

The key is part of the pod template, so everything that looks at templates looks past it: sleeping and waking is no new
revision, and the key never reaches the primary. The DaemonSet controller numbers templates, but counts sleeping and
waking too, so its number tells nothing (docs/design/0001-which-revision.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import SCALE_TO_ZERO
from flaggerpy.kube.objects import (
    JsonObject,
    generation_of,
    is_deleting,
    name_of,
    observed_generation_of,
    uid_of,
)
from flaggerpy.kube.resources import DAEMONSETS
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.workload import Workload
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.podded import PoddedTarget, template_of

_NODE_SELECTOR = "/spec/template/spec/nodeSelector"
_ASLEEP = "true"


class DaemonSetTarget(PoddedTarget):
    """The translations of a DaemonSet."""

    resource = DAEMONSETS
    followed = ("minReadySeconds", "revisionHistoryLimit", "updateStrategy")

    def describe(self, obj: Mapping[str, Any], template: str) -> Workload:
        """Say how far a DaemonSet is that runs the template of this identity.

        Asleep, the pods that are still there are on nodes that it is no longer meant for.
        """
        status, asleep = obj.get("status") or {}, SCALE_TO_ZERO in _node_selector(obj)
        there = int(status.get("currentNumberScheduled") or 0)
        leaving = int(status.get("numberMisscheduled") or 0) if asleep else 0
        return Workload(
            name=name_of(obj),
            uid=uid_of(obj),
            generation=generation_of(obj),
            observed_generation=observed_generation_of(obj),
            template=template,
            controller_revision=None,
            paused=False,
            replicas=0 if asleep else max(int(status.get("desiredNumberScheduled") or 0), 1),
            current_replicas=there + leaving,
            updated_replicas=int(status.get("updatedNumberScheduled") or 0),
            available_replicas=int(status.get("numberAvailable") or 0),
            deadline_exceeded=False,
            unavailable_since=None,
            deleting=is_deleting(obj),
            per_node=True,
            noun="daemonset",
        )

    def template(self, obj: Mapping[str, Any]) -> JsonObject:
        """Return the pod template without the key that makes it sleep; no node selector and an empty one are equal."""
        template = template_of(obj)
        spec = dict(template.get("spec") or {})
        selector = {key: value for key, value in (spec.pop("nodeSelector", None) or {}).items() if key != SCALE_TO_ZERO}
        return {**template, "spec": {**spec, "nodeSelector": selector} if selector else spec}

    def flagger_keys(self, rules: LabelRules) -> tuple[str, ...]:
        """Return nothing: Flagger leaves the terms of a DaemonSet as they are."""
        del rules
        return ()

    def check(self, canary: Canary, target: JsonObject) -> None:
        """Look for what keeps target and primary from running side by side, or the primary from being replaced."""
        strategy = ((target.get("spec") or {}).get("updateStrategy") or {}).get("type") or "RollingUpdate"
        if strategy != "RollingUpdate":
            raise UserError(
                f"DaemonSet {canary.target_name} has updateStrategy.type {strategy}, so the pods of its primary would "
                "keep running the old revision after a promotion: write RollingUpdate."
            )
        if port := _host_port(template_of(target)):
            raise UserError(
                f"DaemonSet {canary.target_name} takes port {port} of its nodes, which only one of target and primary "
                "could have: remove hostPort and hostNetwork, or roll it out without a Canary."
            )

    def size_patch(self, live: JsonObject, replicas: int) -> list[JsonObject] | None:
        """Return the change that sends a DaemonSet to sleep, or wakes it; nobody else's keys are touched."""
        key = f"{_NODE_SELECTOR}/{SCALE_TO_ZERO.replace('/', '~1')}"
        selector = _node_selector(live)
        if replicas:
            return [{"op": "remove", "path": key}] if SCALE_TO_ZERO in selector else []
        if selector:
            return [{"op": "add", "path": key, "value": _ASLEEP}]
        return [{"op": "add", "path": _NODE_SELECTOR, "value": {SCALE_TO_ZERO: _ASLEEP}}]


def _node_selector(obj: Mapping[str, Any]) -> Mapping[str, str]:
    selector: Mapping[str, str] = (template_of(obj).get("spec") or {}).get("nodeSelector") or {}
    return selector


def _host_port(template: Mapping[str, Any]) -> int | None:
    """Return a port that the pods take of their node, the first of several."""
    spec = template.get("spec") or {}
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        for port in container.get("ports") or ():
            if taken := port.get("hostPort") or (spec.get("hostNetwork") and port.get("containerPort")):
                return int(taken)
    return None
