"""Whose is this object? The marks on everything that was made for a canary, and on nothing else.

There is no garbage-collector ownerReference on what carries traffic: a foreground deletion would take the primary, the
Services and the route away before the target is back. A label and an annotation say whose an object is instead. Objects
that Flagger made carry a controller reference to their Canary; they count as ours until they are written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import (
    GROUP,
    HANDS_OFF,
    LAST_APPLIED_CONFIGURATION,
    MANAGED_BY,
    MANAGED_BY_VALUE,
    OWNER,
)
from flaggerpy.kube.objects import JsonObject, annotations_of, labels_of, metadata_of, name_of

MARK_LABELS: dict[str, str] = {MANAGED_BY: MANAGED_BY_VALUE}


def owner_key(canary: Canary) -> str:
    """Return what the owner annotation of this canary's objects says."""
    return f"{canary.namespace}/{canary.name}"


def owner_annotation(canary: Canary) -> dict[str, str]:
    """Return the annotation that says for which canary an object was made or changed."""
    return {OWNER: owner_key(canary)}


def is_annotated(obj: Mapping[str, Any], canary: Canary) -> bool:
    """Tell whether the owner annotation names this canary, alone or among others."""
    return owner_key(canary) in owners_in(obj)


def owners_in(obj: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the canaries that the owner annotation names; copies of configs can have several."""
    return tuple(name for name in annotations_of(obj).get(OWNER, "").split(",") if name)


def made_by_us(obj: Mapping[str, Any], canary: Canary) -> bool:
    """Tell whether we or Flagger made this object for this canary, rather than found and changed it."""
    if is_annotated(obj, canary):
        return labels_of(obj).get(MANAGED_BY) == MANAGED_BY_VALUE
    return owned_through_flagger(obj, canary)


def owned_through_flagger(obj: Mapping[str, Any], canary: Canary) -> bool:
    """Tell whether the object has Flagger's controller reference to this canary."""
    return any(
        _is_canary(owner) and owner.get("controller") is True and owner.get("name") == canary.name
        for owner in metadata_of(obj).get("ownerReferences") or ()
    )


def refusal(obj: Mapping[str, Any], canary: Canary) -> str | None:
    """Say why this canary must not touch an object: another canary of the namespace has it; None when it may."""
    holders = {name for name in owners_in(obj) if name.startswith(f"{canary.namespace}/")}
    holders |= {
        f"{canary.namespace}/{owner.get('name')}"
        for owner in metadata_of(obj).get("ownerReferences") or ()
        if _is_canary(owner) and owner.get("controller") is True
    }
    others = holders - {owner_key(canary)}
    if not others or owner_key(canary) in holders:
        return None
    return (
        f"{obj.get('kind', 'Object')} {name_of(obj)} belongs to canary {min(others)}: let only one of the two "
        f"canaries use it, or remove its annotation {OWNER} if {min(others)} is gone."
    )


def has_canary_owner(obj: Mapping[str, Any]) -> bool:
    """Tell whether the garbage collector would delete this object together with some Canary."""
    return any(_is_canary(owner) for owner in metadata_of(obj).get("ownerReferences") or ())


def without_canary_owners(metadata: Mapping[str, Any]) -> JsonObject:
    """Return the metadata without the references to Canaries that Flagger left; other owners stay."""
    rest = [owner for owner in metadata.get("ownerReferences") or () if not _is_canary(owner)]
    kept = {key: value for key, value in metadata.items() if key != "ownerReferences"}
    return {**kept, "ownerReferences": rest} if rest else kept


def adopted(obj: JsonObject, canary: Canary) -> JsonObject:
    """Return an object that Flagger made with our marks in the place of its ownerReference, and else as it is."""
    owners = ",".join(sorted({*owners_in(obj), owner_key(canary)}))
    metadata = without_canary_owners(metadata_of(obj)) | {
        "labels": labels_of(obj) | MARK_LABELS,
        "annotations": annotations_of(obj) | {OWNER: owners},
    }
    return {**obj, "metadata": metadata}


def without_marks(metadata: Mapping[str, Any]) -> JsonObject:
    """Return the metadata of an object that is handed to its user: no marks of ours or of Flagger are left."""
    kept = without_canary_owners(metadata)
    labels = dict(metadata.get("labels") or {})
    if labels.get(MANAGED_BY) == MANAGED_BY_VALUE:
        del labels[MANAGED_BY]
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if not key.startswith("flaggerpy.dev/") and HANDS_OFF.get(key) != value
    }
    return {**kept, "labels": labels, "annotations": annotations}


def last_applied(obj: Mapping[str, Any]) -> JsonObject:
    """Return the object as its user last gave it to ``kubectl apply``; empty when that is not known."""
    try:
        written = json.loads(annotations_of(obj).get(LAST_APPLIED_CONFIGURATION, ""))
    except ValueError:
        return {}
    return written if isinstance(written, dict) else {}


def _is_canary(owner: Mapping[str, Any]) -> bool:
    return owner.get("kind") == "Canary" and str(owner.get("apiVersion", "")).startswith(f"{GROUP}/")
