"""The three Services of a canary, and the apex as it is handed back.

Selector and ports are replaced whole; everything else of a live Service (addresses, type, node ports, fields that
nobody here knows) stays. A Service that was there before the canary keeps its own metadata and its other ports, and its
selector and ports are written down on it before they are changed for the first time.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import HANDS_OFF, PRIMARY_SUFFIX
from flaggerpy.api.marks import (
    MARK_LABELS,
    is_annotated,
    last_applied,
    made_by_us,
    owned_through_flagger,
    owner_annotation,
    refusal,
    without_canary_owners,
    without_marks,
)
from flaggerpy.api.service import CanaryService, ServiceMetadata
from flaggerpy.api.shares import read_shares, shared_selector, without_shares
from flaggerpy.kube.objects import JsonObject, annotations_of, labels_of, metadata_of, name_of
from flaggerpy.kube.resources import SERVICES, Ref
from flaggerpy.rollout.decision import ServiceRole
from flaggerpy.rollout.errors import UserError
from flaggerpy.targets.base import TargetFacts
from flaggerpy.targets.names import service_name, target_value
from flaggerpy.targets.ports import same_ports, wanted_ports, with_live_name, with_node_ports, with_other_ports

ORIGINAL_SERVICE = "flaggerpy.dev/original-service"
"""Annotation: selector and ports of a Service as they were before it was taken over, as JSON."""
WRITTEN_KEYS = "flaggerpy.dev/metadata"
"""Annotation: which of the labels and annotations came from spec.service, so that they can be taken away again."""
_ADDRESSES = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
"""What the API server gives to a Service, which can be neither copied nor changed."""


def service_ref(canary: Canary, role: ServiceRole) -> Ref:
    """Return the reference to one of the three Services."""
    return Ref(SERVICES, canary.namespace, service_name(canary, role))


def desired_service(
    canary: Canary, role: ServiceRole, facts: TargetFacts, live: JsonObject | None
) -> JsonObject | None:
    """Return the Service to create or to put in the place of the live one; None when it is right as it is.

    Raises:
        UserError: spec.service is missing, or the live Service belongs to another canary.

    """
    if not facts.served:
        return None
    service = _settings(canary)
    if facts.clone is not None:
        # The apex is the user's own, and the primary is written by promotions only.
        return cloned_service(canary, role, facts.clone, live) if role is ServiceRole.CANARY else None
    if live is None:
        return _new(canary, role, facts)
    if reason := refusal(live, canary):
        raise UserError(reason)
    spec = _mended_spec(canary, role, facts, live)
    kept = live if role is ServiceRole.APEX and shared_selector(canary, live) else without_shares(live)
    if made_by_us(live, canary):
        spec.pop("trafficDistribution", None)
        if service.traffic_distribution:
            spec["trafficDistribution"] = service.traffic_distribution
        metadata = _own_metadata(canary, role, facts, kept)
    elif spec == live.get("spec") and not is_annotated(live, canary):
        return None
    else:
        metadata = _taken_over_metadata(canary, facts, kept)
    body = {**live, "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    return None if _same(body, live) else body


def cloned_service(canary: Canary, role: ServiceRole, clone: JsonObject, live: JsonObject | None) -> JsonObject | None:
    """Return a Service of a target that is a Service itself; None when the live one is right as it is.

    Raises:
        UserError: the live one is not ours.

    """
    name = service_name(canary, role)
    if live is not None and not made_by_us(live, canary):
        raise UserError(
            refusal(live, canary)
            or f"Service {name} was not made for a canary, so it is not overwritten by the copy of Service "
            f"{canary.target_name}: rename or delete it."
        )
    kept: JsonObject = live if live is not None else {"metadata": {"name": name, "namespace": canary.namespace}}
    addresses = {key: part for key, part in (kept.get("spec") or {}).items() if key in _ADDRESSES}
    metadata = {
        **without_canary_owners(metadata_of(kept)),
        "labels": {**labels_of(kept), **MARK_LABELS},
        "annotations": {**annotations_of(kept), **HANDS_OFF, **owner_annotation(canary)},
    }
    spec = {**addresses, **copy.deepcopy(clone)}
    body = {**kept, "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    return None if live is not None and _same(body, live) else body


def leads_elsewhere(facts: TargetFacts, apex: JsonObject | None) -> bool:
    """Tell whether an apex Service leads to others than the primary's pods alone."""
    selector = ((apex or {}).get("spec") or {}).get("selector")
    return apex is not None and selector != _selector(ServiceRole.APEX, facts)


def service_notes(canary: Canary, services: Iterable[JsonObject]) -> tuple[str, ...]:
    """Say which Services are not, or are, headless although spec.service asks for the other: that cannot be changed."""
    wanted = canary.spec.service is not None and canary.spec.service.headless
    return tuple(
        f"Service {name_of(live)} was made {'without' if wanted else 'with'} spec.service.headless and keeps its "
        "address, which Kubernetes does not let anybody change: delete the Service to have it made anew, at a moment "
        "when its users can do without it"
        for live in services
        if made_by_us(live, canary) and ((live.get("spec") or {}).get("clusterIP") == "None") is not wanted
    )


def released_service(canary: Canary, live: JsonObject | None) -> JsonObject | None:
    """Return the apex Service as it stays behind: it selects the user's own pods, and no mark of ours is left.

    None when there is nothing to hand back, because it is gone, was handed back, or never was in our hands.
    """
    if live is None or not _is_held(canary, live):
        return None
    spec = copy.deepcopy(live.get("spec") or {})
    selector = spec.get("selector") or {}
    original, shares = _original(live) or _applied_by_user(live, selector), read_shares(live)
    own = dict(shares.target) if shares else {key: target_value(value) for key, value in selector.items()}
    spec["selector"] = original.get("selector") or own
    if original.get("ports"):
        spec["ports"] = with_node_ports(original["ports"], spec.get("ports") or ())
    metadata = without_marks(metadata_of(live))
    metadata["annotations"] |= original.get("annotations") or {}
    return {**live, "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _settings(canary: Canary) -> CanaryService:
    if canary.spec.service is None:
        raise UserError("spec.service is missing, so there is no port to serve on: add spec.service.port.")
    return canary.spec.service


def _selector(role: ServiceRole, facts: TargetFacts) -> dict[str, str]:
    value = facts.selector_value if role is ServiceRole.CANARY else facts.primary_value
    return {facts.selector_label: value}


def _ports(canary: Canary, role: ServiceRole, facts: TargetFacts) -> list[JsonObject]:
    # What the pods behind a Service listen on is said by their own template, not by the next revision's.
    discovered = facts.ports if role is ServiceRole.CANARY else facts.primary_ports
    return wanted_ports(_settings(canary), discovered)


def _new(canary: Canary, role: ServiceRole, facts: TargetFacts) -> JsonObject:
    service = _settings(canary)
    spec: JsonObject = {
        "type": "ClusterIP",
        "selector": _selector(role, facts),
        "ports": _ports(canary, role, facts),
    }
    if service.headless:
        spec["clusterIP"] = "None"
    if service.traffic_distribution:
        spec["trafficDistribution"] = service.traffic_distribution
    named = {"metadata": {"name": service_name(canary, role), "namespace": canary.namespace}}
    metadata = _own_metadata(canary, role, facts, named)
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _mended_spec(canary: Canary, role: ServiceRole, facts: TargetFacts, live: JsonObject) -> JsonObject:
    spec: JsonObject = copy.deepcopy(live.get("spec") or {})
    there = spec.get("ports") or []
    ports = _ports(canary, role, facts)
    if not made_by_us(live, canary):
        named = "port_name" in _settings(canary).model_fields_set
        ports = with_other_ports(ports if named else with_live_name(ports, there), there)
    ports = with_node_ports(ports, there)
    if not same_ports(ports, there):
        spec["ports"] = ports
    shared = shared_selector(canary, live) if role is ServiceRole.APEX else None
    spec["selector"] = shared or _selector(role, facts)
    return spec


def _own_metadata(canary: Canary, role: ServiceRole, facts: TargetFacts, live: JsonObject) -> JsonObject:
    """Return the metadata of a Service that we made; keys that came from neither us nor spec.service stay."""
    extra = _extra_metadata(canary, role)
    extra_labels, extra_annotations = extra.labels or {}, extra.annotations or {}
    unmanaged = _settings(canary).unmanaged_metadata
    before = _written_keys(live)
    labels = _merged(
        labels_of(live),
        before.get("labels") or (),
        {**extra_labels, facts.selector_label: service_name(canary, role), **MARK_LABELS},
        (unmanaged and unmanaged.labels) or (),
    )
    record = {"labels": sorted(extra_labels), "annotations": sorted(extra_annotations)}
    annotations = _merged(
        annotations_of(live),
        (*(before.get("annotations") or ()), WRITTEN_KEYS),
        extra_annotations
        | HANDS_OFF
        | owner_annotation(canary)
        | ({WRITTEN_KEYS: _text(record)} if extra_labels or extra_annotations else {}),
        (unmanaged and unmanaged.annotations) or (),
    )
    return without_canary_owners(metadata_of(live)) | {"labels": labels, "annotations": annotations}


def _extra_metadata(canary: Canary, role: ServiceRole) -> ServiceMetadata:
    service = _settings(canary)
    match role:
        case ServiceRole.APEX:
            extra = service.apex
        case ServiceRole.PRIMARY:
            extra = service.primary
        case ServiceRole.CANARY:
            extra = service.canary
    return extra or ServiceMetadata()


def _merged(
    live: Mapping[str, str], before: tuple[str, ...], wanted: Mapping[str, str], unmanaged: tuple[str, ...]
) -> dict[str, str]:
    """Put wanted pairs over live ones: what we wrote before and no longer want goes, unmanaged keys stay."""
    kept = {key: value for key, value in live.items() if key in unmanaged or key not in before}
    return kept | {key: value for key, value in wanted.items() if key not in unmanaged or key not in live}


def _taken_over_metadata(canary: Canary, facts: TargetFacts, live: JsonObject) -> JsonObject:
    annotations = annotations_of(live)
    added = HANDS_OFF | owner_annotation(canary)
    selector = (live.get("spec") or {}).get("selector")
    # One that Flagger took over selects the primary already, and what it selected before is not on it.
    if ORIGINAL_SERVICE not in annotations and selector != {facts.selector_label: facts.primary_value}:
        original = {
            "selector": selector,
            "ports": (live.get("spec") or {}).get("ports") or [],
            "annotations": {key: annotations[key] for key in HANDS_OFF if key in annotations},
        }
        added[ORIGINAL_SERVICE] = _text(original)
    return without_canary_owners(metadata_of(live)) | {"annotations": annotations | added}


def _is_held(canary: Canary, live: JsonObject) -> bool:
    if is_annotated(live, canary) or owned_through_flagger(live, canary):
        return True
    if refusal(live, canary):
        return False
    # Flagger leaves no trace on a Service that it took over but the selector and the annotations for Flux.
    selector = (live.get("spec") or {}).get("selector") or {}
    leads_to_primary = any(value.endswith(PRIMARY_SUFFIX) for value in selector.values())
    return leads_to_primary and HANDS_OFF.items() <= annotations_of(live).items()


def _applied_by_user(live: JsonObject, selector: JsonObject) -> JsonObject:
    """Return selector and ports as the user last gave them to kubectl, unless these lead to the primary too."""
    spec = last_applied(live).get("spec") or {}
    return {} if spec.get("selector") == selector else {key: spec[key] for key in ("selector", "ports") if key in spec}


def _original(live: JsonObject) -> JsonObject | None:
    return _parsed(annotations_of(live).get(ORIGINAL_SERVICE))


def _written_keys(live: JsonObject) -> JsonObject:
    return _parsed(annotations_of(live).get(WRITTEN_KEYS)) or {}


def _parsed(text: str | None) -> JsonObject | None:
    try:
        value: Any = json.loads(text or "")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _text(value: JsonObject) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _same(body: JsonObject, live: JsonObject) -> bool:
    """Tell whether nothing would change; an empty map and no map are the same metadata."""
    metadata = {key: value for key, value in metadata_of(body).items() if value}
    before = {key: value for key, value in metadata_of(live).items() if value}
    return metadata == before and body.get("spec") == live.get("spec")
