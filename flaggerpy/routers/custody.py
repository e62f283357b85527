"""Taking a routing object over and giving it back: whose it is, what it was before, and steps without a gap.

What a provider's spec says is the provider's business; here a spec is only kept, put in and given back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import HANDS_OFF
from flaggerpy.api.marks import (
    MARK_LABELS,
    has_canary_owner,
    is_annotated,
    last_applied,
    owned_through_flagger,
    owner_annotation,
    refusal,
    without_canary_owners,
    without_marks,
)
from flaggerpy.kube.objects import JsonObject, annotations_of, labels_of, metadata_of
from flaggerpy.kube.resources import Ref
from flaggerpy.rollout.errors import UserError

ORIGINAL_ROUTE = "flaggerpy.dev/original-route"
"""Annotation: a user's own route as it was before it was taken over, as JSON."""
NO_MORE: Final[Mapping[str, str]] = MappingProxyType({})


def lacks_marks(canary: Canary, route: JsonObject, *, more: Mapping[str, str] = NO_MORE) -> bool:
    """Tell whether a route has not the labels and annotations that one in our hands has, ``more`` annotations too."""
    labels, annotations = _own_metadata(canary, more)
    return not (labels.items() <= labels_of(route).items() and annotations.items() <= annotations_of(route).items())


def is_held(canary: Canary, route: JsonObject, *, names_ours: bool) -> bool:
    """Tell whether a route is in our hands or in Flagger's; ``names_ours`` is whether its spec names our Services."""
    return (
        is_annotated(route, canary)
        or owned_through_flagger(route, canary)
        or (names_ours and refusal(route, canary) is None)
    )


def taken(
    canary: Canary,
    ref: Ref,
    live: JsonObject | None,
    spec: JsonObject,
    *,
    held: bool,
    more: Mapping[str, str] = NO_MORE,
) -> JsonObject:
    """Return the body that gives a route this spec: what we own of it, or the whole of one that Flagger made.

    ``more`` are annotations beside our own, which the provider reads.

    Raises:
        UserError: the route belongs to another canary.

    """
    labels, annotations = _own_metadata(canary, more)
    if live is not None:
        if reason := refusal(live, canary):
            raise UserError(reason)
        annotations |= _backup(live, labels, annotations, held=held)
    namespace = {"namespace": ref.namespace} if ref.resource.namespaced else {}
    body = {
        "apiVersion": ref.resource.api_version,
        "kind": ref.resource.kind,
        "metadata": {"name": ref.name, **namespace, "labels": labels, "annotations": annotations},
        "spec": spec,
    }
    return body if live is None or not has_canary_owner(live) else whole(live, body)


def spec_before(route: JsonObject) -> JsonObject:
    """Return the spec that a user's own route had; empty where there was none or nobody knows."""
    spec: JsonObject = _original(route).get("spec") or last_applied(route).get("spec") or {}
    return spec


def given_back(ref: Ref, route: JsonObject, spec: JsonObject) -> JsonObject:
    """Return the whole route with this spec, without marks of ours, and with the metadata that they had hidden."""
    original = _original(route)
    metadata = without_marks(metadata_of(route))
    for field in ("labels", "annotations"):
        hidden = original.get(field) or {}
        kept = {key: value for key, value in metadata[field].items() if key not in hidden}
        metadata[field] = kept | {key: value for key, value in hidden.items() if value is not None}
    body = {**route, "apiVersion": ref.resource.api_version, "kind": ref.resource.kind}
    return body | {"metadata": metadata, "spec": spec}


def on_the_way(canary: Canary, live: JsonObject, body: JsonObject, **fields: Any) -> JsonObject:
    """Return a step on the way to a body: it, but with these fields in its spec."""
    if "resourceVersion" not in metadata_of(body):
        return {**body, "spec": {**body["spec"], **fields}}
    # A route that is given back keeps our marks until the last step.
    metadata = body["metadata"] if is_annotated(body, canary) else live["metadata"]
    return {**body, "metadata": metadata, "spec": {**(live.get("spec") or {}), **fields}}


def _own_metadata(canary: Canary, more: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    extra = canary.spec.service.apex if canary.spec.service else None
    labels = (extra and extra.labels) or {}
    annotations = (extra and extra.annotations) or {}
    return {**labels, **MARK_LABELS}, {**annotations, **more, **HANDS_OFF, **owner_annotation(canary)}


def whole(route: JsonObject, body: JsonObject) -> JsonObject:
    """Return the whole of a route that somebody else made, with what we want of it, so that no deletion collects it.

    A server-side apply cannot take an ownerReference away that somebody else wrote, nor anything else.
    """
    metadata = without_canary_owners(metadata_of(route)) | {
        "labels": labels_of(route) | body["metadata"]["labels"],
        "annotations": annotations_of(route) | body["metadata"]["annotations"],
    }
    return {**route, **body, "metadata": metadata, "spec": {**(route.get("spec") or {}), **body["spec"]}}


def _backup(
    route: JsonObject, labels: Mapping[str, str], annotations: Mapping[str, str], *, held: bool
) -> dict[str, str]:
    """Return the annotation that keeps a user's own route: its spec, and what our metadata hides of its own."""
    original = _original(route)
    if not original:
        if held:
            return {}
        original = {"spec": route.get("spec") or {}, "labels": {}, "annotations": {}}
    for field, ours, theirs in (
        ("labels", labels, labels_of(route)),
        ("annotations", annotations, annotations_of(route)),
    ):
        hidden = {key: theirs.get(key) for key in ours}
        original[field] = hidden | (original.get(field) or {})
    return {ORIGINAL_ROUTE: json.dumps(original, sort_keys=True, separators=(",", ":"))}


def _original(route: JsonObject) -> JsonObject:
    try:
        value: Any = json.loads(annotations_of(route).get(ORIGINAL_ROUTE, ""))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
