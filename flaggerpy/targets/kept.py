"""The promoted revision as an object of its own, a ControllerRevision that outlives the primary.

What a ControllerRevision holds can never be changed, so two objects take turns: the next revision is written into the
one that holds the last but one, and at no instant is nothing kept. An annotation says which revision it is, so that
the cache follows metadata only; the pod template is read when it is needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import KEPT
from flaggerpy.api.marks import MARK_LABELS, made_by_us, owner_annotation
from flaggerpy.api.status import Revision
from flaggerpy.kube.objects import JsonObject, annotations_of
from flaggerpy.kube.resources import CONTROLLER_REVISIONS, Ref
from flaggerpy.targets.identity import template_identity
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.names import kept_name
from flaggerpy.targets.template import Translation


@dataclass(frozen=True, slots=True)
class Kept:
    """One kept revision; the highest number is what was promoted last."""

    ref: Ref
    number: int
    revision: Revision


def kept_ref(canary: Canary, number: int) -> Ref:
    """Return the reference to the object that holds the revision of this number."""
    return Ref(CONTROLLER_REVISIONS, canary.namespace, kept_name(canary, number))


def kept_refs(canary: Canary) -> tuple[Ref, Ref]:
    """Return the references to both objects."""
    return kept_ref(canary, 0), kept_ref(canary, 1)


def kept_revisions(canary: Canary, live: Mapping[Ref, JsonObject]) -> tuple[Kept, ...]:
    """Return what is kept for this canary, the newest first; an object that says nothing readable is none."""
    found = (_read(ref, live[ref]) for ref in kept_refs(canary) if ref in live and made_by_us(live[ref], canary))
    return tuple(sorted((kept for kept in found if kept is not None), key=lambda kept: -kept.number))


def foreign(canary: Canary, live: Mapping[Ref, JsonObject]) -> str:
    """Return a sentence about an object that has the name of one of ours; empty when there is none."""
    for ref in kept_refs(canary):
        if ref in live and not made_by_us(live[ref], canary):
            return (
                f"ControllerRevision {ref.name} was not made for this canary, so what is promoted is not kept: "
                "rename or delete it."
            )
    return ""


def make_kept(
    canary: Canary, template: Mapping[str, Any], configs: Mapping[str, str], *, replicas: int, number: int
) -> JsonObject:
    """Return the object to create."""
    mark = {"number": number, "template": template_identity(template), "configs": dict(configs)}
    return {
        "apiVersion": CONTROLLER_REVISIONS.api_version,
        "kind": CONTROLLER_REVISIONS.kind,
        "metadata": {
            "name": kept_name(canary, number),
            "namespace": canary.namespace,
            "labels": dict(MARK_LABELS),
            "annotations": owner_annotation(canary) | {KEPT: json.dumps(mark, sort_keys=True)},
        },
        "revision": number,
        "data": {"spec": {"replicas": replicas, "template": dict(template)}},
    }


def with_kept(target: JsonObject, whole: Mapping[str, Any]) -> JsonObject | None:
    """Return the target as it would be with what is kept; None when nothing is in there."""
    spec = (whole.get("data") or {}).get("spec") or {}
    if not spec.get("template"):
        return None
    return {**target, "spec": {**(target.get("spec") or {}), **spec}}


def template_of_primary(
    canary: Canary, primary: Mapping[str, Any], selector: tuple[str, str], rules: LabelRules, tracked: frozenset[str]
) -> JsonObject:
    """Return the target's template that a primary was made from; ``selector`` is the label and its target's value."""
    translation = Translation(*selector, canary.target_name, rules.selector_labels, tracked)
    return translation.to_target((primary.get("spec") or {}).get("template") or {})


def _read(ref: Ref, obj: JsonObject) -> Kept | None:
    try:
        mark = json.loads(annotations_of(obj).get(KEPT, ""))
        revision = Revision(template=str(mark["template"]), configs=dict(mark["configs"]))
        return Kept(ref, int(mark["number"]), revision)
    except (ValueError, TypeError, KeyError):
        return None
