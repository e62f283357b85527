"""What a namespace looks like in the end, without what differs from run to run."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from typing import Any

from flaggerpy.kube.objects import JsonObject, name_of
from flaggerpy.kube.resources import (
    BUDGETS,
    CANARIES,
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    DAEMONSETS,
    DEPLOYMENTS,
    HPAS,
    HTTP_ROUTES,
    SCALED_OBJECTS,
    SECRETS,
    SERVICES,
)
from tests.crash.scene import COOKIES, Scene

_KINDS = (
    BUDGETS,
    CANARIES,
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    DAEMONSETS,
    DEPLOYMENTS,
    HPAS,
    HTTP_ROUTES,
    SCALED_OBJECTS,
    SECRETS,
    SERVICES,
)
_METADATA = ("name", "labels", "annotations", "finalizers", "ownerReferences", "deletionTimestamp")
_CLOCKS = frozenset({
    "answeredAt", "attempt", "at", "checkedAt", "checks", "configWrites", "controllerRevision", "exposedAt", "gates",
    "generation", "lastTransitionTime", "lastUpdateTime", "mended", "mendedAt", "movedAt", "primaryUnreadySince",
    "scaledAt", "since", "startedAt", "targetUnreadySince", "uid",
})  # fmt: skip
"""Fields of a status that say when, or that depend on who was faster: we or the workload's controller.

What was mended is what was mended at that time. Gates are asked again where a crash kept it from being recorded that
they had opened; whoever aborts a rollout may do so before or after a measurement.
"""
_COUNTS = ("replicas", "updatedReplicas", "readyReplicas")
_ADDRESSES = frozenset({"clusterIP", "clusterIPs", "nodePort"})
_PASSING = frozenset({"flagger-id", "deployment.kubernetes.io/revision", "deprecated.daemonset.template.generation"})
"""The value of the first names one promotion of one Canary; the others count what the controllers of workloads saw."""
_COOKIE = re.compile(rf"\b({'|'.join(COOKIES.values())})(=|\.\*)\w+")
"""A value names one beginning of one rollout."""

End = dict[str, JsonObject]


async def end_of(scene: Scene) -> End:
    """Read everything in the namespace and strip it."""
    found: End = {}
    for resource in _KINDS:
        items, _ = await scene.site.client.list(resource, scene.site.namespace)
        found |= {f"{resource.kind} {name_of(item)}": _stripped(item) for item in items if not _is_of_daemon_set(item)}
    if any(name.startswith((f"{HPAS.kind} ", f"{SCALED_OBJECTS.kind} ")) for name in found):
        # How many pods there were when a revision was kept depends on whether the autoscaler had spoken already.
        kept = {name: obj for name, obj in found.items() if name.startswith(f"{CONTROLLER_REVISIONS.kind} ")}
        found |= {name: _without(obj, "replicas".__eq__) for name, obj in kept.items()}
    text = json.dumps(found).replace(scene.site.namespace, "NAMESPACE").replace(scene.oracle.url, "ORACLE")
    stripped: End = json.loads(_COOKIE.sub(r"\1\2…", text))
    stripped.pop("ConfigMap kube-root-ca.crt", None)
    return stripped


def _is_of_daemon_set(obj: JsonObject) -> bool:
    """Tell whether an object is a revision of a DaemonSet, which its controller names by a hash of all there is."""
    return obj["kind"] == CONTROLLER_REVISIONS.kind and "ownerReferences" in obj["metadata"]


def difference(wanted: End, found: End) -> str:
    """Say what is different, empty when nothing is."""
    lines = difflib.unified_diff(_lines(wanted), _lines(found), "undisturbed", "disturbed", n=2, lineterm="")
    return "\n".join(lines)


def _lines(end: End) -> list[str]:
    return json.dumps(end, indent=1, sort_keys=True).splitlines()


def _stripped(obj: JsonObject) -> JsonObject:
    kept: JsonObject = {"metadata": {key: obj["metadata"][key] for key in _METADATA if key in obj["metadata"]}}
    kept |= {key: value for key, value in obj.items() if key in ("spec", "data", "binaryData", "type")}
    status = obj.get("status") or {}
    if obj["kind"] == CANARIES.kind:
        kept["status"] = _without(status, _CLOCKS.__contains__)
    elif obj["kind"] == DEPLOYMENTS.kind:
        kept["status"] = {field: status.get(field, 0) for field in _COUNTS}
    masked: JsonObject = _masked(_without(kept, _ADDRESSES.__contains__))
    return masked


def _without(value: Any, unwanted: Callable[[str], bool]) -> Any:
    if isinstance(value, dict):
        return {key: _without(part, unwanted) for key, part in value.items() if not unwanted(key)}
    return [_without(part, unwanted) for part in value] if isinstance(value, list) else value


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "…" if key in _PASSING else _masked(part) for key, part in value.items()}
    return [_masked(part) for part in value] if isinstance(value, list) else value
