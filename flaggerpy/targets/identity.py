"""The identity of a pod template: which templates count as the same one.

Flagger's hash depends on the Go structs it was built with. Ours is a plain hash over the JSON, with a version in front,
and ignores what never reaches a primary: Flux's own keys and Flagger's restart marker.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from flaggerpy.api.constants import POD_TEMPLATE_ID
from flaggerpy.kube.objects import JsonObject
from flaggerpy.targets.labels import without_toolkit

_VERSION = "v1"
_RESTARTED = "kubectl.kubernetes.io/restartedAt"
"""Annotation that ``kubectl rollout restart`` puts into a pod template."""


def template_identity(template: Mapping[str, Any]) -> str:
    """Return ``v1-`` and sixteen hexadecimal digits that are equal for equal pod templates."""
    text = json.dumps(_canonical(template), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{_VERSION}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def images_of(template: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return name and image of each container, init containers first."""
    spec = template.get("spec") or {}
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return tuple((str(container.get("name")), str(container.get("image"))) for container in containers)


def unrestarted_identity(template: Mapping[str, Any]) -> str:
    """Return the identity that the template had before somebody restarted its pods by hand; empty if nobody did."""
    metadata = template.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    if _RESTARTED not in annotations:
        return ""
    kept = {key: value for key, value in annotations.items() if key != _RESTARTED}
    return template_identity({**template, "metadata": {**metadata, "annotations": kept}})


def _canonical(template: Mapping[str, Any]) -> JsonObject:
    metadata = dict(template.get("metadata") or {})
    labels = without_toolkit(metadata.pop("labels", None) or {})
    annotations = without_toolkit(metadata.pop("annotations", None) or {})
    annotations.pop(POD_TEMPLATE_ID, None)
    parts = {**metadata, "labels": labels or None, "annotations": annotations or None}
    canonical: JsonObject = _without_nulls({**template, "metadata": parts})
    return canonical


def _without_nulls(value: Any) -> Any:
    """Drop fields that are null: some servers write ``creationTimestamp: null`` and some leave it out."""
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_without_nulls(part) for part in value]
    return value
