"""Foreign objects stay JSON: the few questions that are asked of any object, whatever its kind.

No I/O here, and nothing that knows a particular kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

JsonObject = dict[str, Any]
"""A JSON object as `json.loads` gives it; fields that nobody here knows survive in it."""

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def metadata_of(obj: Mapping[str, Any]) -> JsonObject:
    """Return the metadata, empty when there is none."""
    metadata: JsonObject = obj.get("metadata") or {}
    return metadata


def name_of(obj: Mapping[str, Any]) -> str:
    """Return the name, empty when the server has not given one yet."""
    return str(metadata_of(obj).get("name") or "")


def namespace_of(obj: Mapping[str, Any]) -> str:
    """Return the namespace, empty for objects of the cluster."""
    return str(metadata_of(obj).get("namespace") or "")


def uid_of(obj: Mapping[str, Any]) -> str:
    """Return the uid, empty for an object that was never stored."""
    return str(metadata_of(obj).get("uid") or "")


def resource_version_of(obj: Mapping[str, Any]) -> str:
    """Return the resourceVersion as the server wrote it, empty for an object that was never stored."""
    return str(metadata_of(obj).get("resourceVersion") or "")


def version_number(resource_version: str) -> int:
    """Return a resourceVersion as a number that can be compared, 0 when there is none.

    Kubernetes promises since 1.35 what its servers always did: versions of a resource are growing integers.
    """
    return int(resource_version) if resource_version.isdecimal() else 0


def generation_of(obj: Mapping[str, Any]) -> int:
    """Return metadata.generation, which moves only when somebody writes the spec."""
    return int(metadata_of(obj).get("generation") or 0)


def observed_generation_of(obj: Mapping[str, Any]) -> int:
    """Return status.observedGeneration, 0 when the object's own controller has not spoken yet."""
    status: JsonObject = obj.get("status") or {}
    return int(status.get("observedGeneration") or 0)


def labels_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """Return a copy of the labels."""
    return dict(metadata_of(obj).get("labels") or {})


def annotations_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """Return a copy of the annotations."""
    return dict(metadata_of(obj).get("annotations") or {})


def finalizers_of(obj: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the finalizers in their order."""
    return tuple(metadata_of(obj).get("finalizers") or ())


def is_deleting(obj: Mapping[str, Any]) -> bool:
    """Tell whether somebody asked for the deletion of this object."""
    return bool(metadata_of(obj).get("deletionTimestamp"))


def controller_of(obj: Mapping[str, Any]) -> JsonObject:
    """Return the ownerReference to the controller that made the object, empty when none did."""
    owners: list[JsonObject] = metadata_of(obj).get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), {})


def writers_of(obj: Mapping[str, Any]) -> dict[str, datetime]:
    """Return when each field manager last changed the object or its status, to the second, by the server's clock."""
    latest: dict[str, datetime] = {}
    for row in metadata_of(obj).get("managedFields") or ():
        if row.get("time"):
            manager, at = str(row.get("manager")), datetime.fromisoformat(row["time"])
            latest[manager] = max(at, latest.get(manager, at))
    return latest


def with_type(obj: JsonObject, api_version: str, kind: str) -> JsonObject:
    """Return the object with its type written in it: items of a list come without."""
    if obj.get("apiVersion") == api_version and obj.get("kind") == kind:
        return obj
    return {**obj, "apiVersion": api_version, "kind": kind}


def without_noise(obj: JsonObject, *, keep_last_applied: bool = True, keep_writers: bool = False) -> JsonObject:
    """Return the object without managedFields, and without kubectl's copy of it when nobody reads that.

    With ``keep_writers`` it still says who wrote it when. Such an object must not be sent: take that away first.
    """
    metadata = dict(metadata_of(obj))
    rows = metadata.pop("managedFields", None) or ()
    if keep_writers:
        metadata["managedFields"] = [{"manager": row.get("manager"), "time": row.get("time")} for row in rows]
    if not keep_last_applied and LAST_APPLIED in (metadata.get("annotations") or {}):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != LAST_APPLIED}
    return {**obj, "metadata": metadata}


def only_metadata(obj: Mapping[str, Any], annotation_prefixes: tuple[str, ...]) -> JsonObject:
    """Return what may be kept of an object with private content: metadata, and only the annotations named.

    Annotations can repeat the content (kubectl's last-applied does), so all but those with our prefixes go.
    """
    metadata = dict(metadata_of(obj))
    metadata.pop("managedFields", None)
    kept = {k: v for k, v in annotations_of(obj).items() if k.startswith(annotation_prefixes)}
    metadata.pop("annotations", None)
    if kept:
        metadata["annotations"] = kept
    return {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), "metadata": metadata}
