"""HorizontalPodAutoscalers: the primary's is made after the target's, which is read and never written.

The whole spec is copied as JSON, so that what this program does not know of (a new kind of metric, say) is copied too.
While the target sleeps at zero replicas Kubernetes itself disables the target's.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.api.marks import (
    MARK_LABELS,
    made_by_us,
    owned_through_flagger,
    owner_annotation,
    refusal,
    without_canary_owners,
)
from flaggerpy.api.refs import AutoscalerRef
from flaggerpy.kube.objects import JsonObject, annotations_of, labels_of, metadata_of, name_of
from flaggerpy.kube.resources import HPAS, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.observation import Bounds, ScalerSeen
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.names import copy_name

_GROUP = "autoscaling/"
_WINDOW = 300
"""For how many seconds Kubernetes goes by the highest recommendation, where behavior.scaleDown says nothing."""
_METRICS_LATE = 60
"""In how many seconds metrics show a load that has come: the rate of two scrapes, and the autoscaler's next look."""


def scaler_ref(canary: Canary) -> Ref | None:
    """Return the reference to the target's autoscaler, None when the canary names none of this kind."""
    named = _named(canary)
    return Ref(HPAS, canary.namespace, named.name) if named else None


def primary_scaler_ref(canary: Canary) -> Ref | None:
    """Return the reference to the primary's autoscaler, None when the canary names none of this kind."""
    named = _named(canary)
    return Ref(HPAS, canary.namespace, copy_name(named.name)) if named else None


def made_scaler_refs(canary: Canary) -> list[Ref]:
    """Return the references to what may have been made for the primary: its autoscaler, and one of a former name."""
    record = canary.status.rollout.scaler
    former = Ref(HPAS, canary.namespace, record.name) if record is not None else None
    return list(dict.fromkeys(ref for ref in (primary_scaler_ref(canary), former) if ref is not None))


def scaler_seen(canary: Canary, scaler: JsonObject | None, live: JsonObject | None, rules: LabelRules) -> ScalerSeen:
    """Say what the target's autoscaler asks for and what the primary's, ``live``, is.

    Raises:
        UserError: the target's does not exist or cannot be copied, or the primary's is somebody else's.

    """
    ref = usable_ref(canary)
    if scaler is None:
        raise UserError(
            f"HorizontalPodAutoscaler {ref.name} does not exist in namespace {canary.namespace}: create it, or correct "
            "or remove spec.autoscalerRef."
        )
    target, primary = _bounds(scaler), _primary_bounds(ref, scaler)
    _refuse(canary, scaler, live)
    body = make_primary_scaler(canary, scaler, live, rules, primary.low)
    minimum = _bounds(live).low if live is not None else None
    as_it_is = {**body, "spec": {**body["spec"], "minReplicas": minimum}}
    return ScalerSeen(
        name=copy_name(ref.name),
        target=target,
        primary=primary,
        minimum=minimum,
        drifted=live is not None and not _same(as_it_is, live),
        memory=timedelta(seconds=max(_window(scaler), _METRICS_LATE)),
    )


def make_primary_scaler(
    canary: Canary, scaler: JsonObject, live: JsonObject | None, rules: LabelRules, minimum: int
) -> JsonObject:
    """Return the primary's autoscaler: to create, or whole to put in the place of the live one."""
    ref, target_ref = usable_ref(canary), canary.spec.target_ref
    kept = live if live is not None else {}
    # Flagger copies all labels. One by which Argo CD knows its objects has it prune what has no ownerReference.
    labels = {} if owned_through_flagger(kept, canary) else labels_of(kept)
    metadata = {
        **without_canary_owners(metadata_of(kept)),
        "name": copy_name(ref.name),
        "namespace": canary.namespace,
        "labels": _merged(labels, labels_of(scaler), rules) | MARK_LABELS,
        "annotations": _merged(annotations_of(kept), annotations_of(scaler), rules) | owner_annotation(canary),
    }
    spec = {
        **copy.deepcopy(scaler.get("spec") or {}),
        "scaleTargetRef": {
            "apiVersion": target_ref.api_version,
            "kind": target_ref.kind,
            "name": canary.primary_name,
        },
        "minReplicas": minimum,
        "maxReplicas": _primary_bounds(ref, scaler).high,
    }
    return {**kept, "apiVersion": HPAS.api_version, "kind": HPAS.kind, "metadata": metadata, "spec": spec}


def scaler_notes(canary: Canary, scaler: JsonObject | None) -> tuple[str, ...]:
    """Say what works and was probably meant differently."""
    scaled = _scaled(scaler) if scaler is not None else None
    if scaler is None or scaled in {None, (canary.spec.target_ref.kind, canary.target_name)}:
        return ()
    return (
        f"HorizontalPodAutoscaler {name_of(scaler)} of spec.autoscalerRef does not scale {canary.target_name}: its "
        "copy scales the primary, and nothing scales the canary",
    )


def _named(canary: Canary) -> AutoscalerRef | None:
    named = canary.spec.autoscaler_ref
    return named if named is not None and named.kind == HPAS.kind else None


def usable_ref(canary: Canary) -> AutoscalerRef:
    """Return what the canary says of its autoscaler.

    Raises:
        UserError: it names none that is served.

    """
    named = _named(canary)
    if named is None:
        raise UserError(
            "spec.autoscalerRef cannot be served by this version of flaggerpy: remove it, and give the primary an "
            "autoscaler of your own."
        )
    if not named.api_version.startswith(_GROUP):
        raise UserError(
            f"spec.autoscalerRef.apiVersion is {named.api_version}, which has no HorizontalPodAutoscaler: write "
            f"{HPAS.api_version}."
        )
    return named


def _bounds(scaler: Mapping[str, Any]) -> Bounds:
    spec = scaler.get("spec") or {}
    low = spec.get("minReplicas")
    return Bounds(1 if low is None else int(low), int(spec.get("maxReplicas") or 1))


def _primary_bounds(ref: AutoscalerRef, scaler: JsonObject) -> Bounds:
    own, other = _bounds(scaler), ref.primary_scaler_replicas
    if other is None:
        return own
    bounds = Bounds(
        own.low if other.min_replicas is None else other.min_replicas,
        own.high if other.max_replicas is None else other.max_replicas,
    )
    if bounds.low > bounds.high:
        raise UserError(
            f"spec.autoscalerRef.primaryScalerReplicas: with HorizontalPodAutoscaler {name_of(scaler)}, of "
            f"{own.low} to {own.high} replicas, the primary would have {bounds.low} at least and {bounds.high} at "
            "most: set minReplicas and maxReplicas so that they fit."
        )
    return bounds


def _refuse(canary: Canary, scaler: JsonObject, live: JsonObject | None) -> None:
    if _scaled(scaler) == (canary.spec.target_ref.kind, canary.primary_name):
        raise UserError(
            f"HorizontalPodAutoscaler {name_of(scaler)} of spec.autoscalerRef scales {canary.primary_name}: let it "
            f"scale {canary.target_name}; the primary gets a copy of it."
        )
    if live is None or made_by_us(live, canary):
        return
    raise UserError(
        refusal(live, canary)
        or f"HorizontalPodAutoscaler {name_of(live)} was not made for a canary, so it is not overwritten by the copy "
        f"of {name_of(scaler)} for the primary: rename or delete it."
    )


def _scaled(scaler: Mapping[str, Any]) -> tuple[str, str]:
    scaled = (scaler.get("spec") or {}).get("scaleTargetRef") or {}
    return str(scaled.get("kind")), str(scaled.get("name"))


def _window(scaler: JsonObject) -> int:
    behavior = (scaler.get("spec") or {}).get("behavior") or {}
    window = (behavior.get("scaleDown") or {}).get("stabilizationWindowSeconds")
    return _WINDOW if window is None else int(window)


def _merged(live: Mapping[str, str], wanted: Mapping[str, str], rules: LabelRules) -> dict[str, str]:
    """Put what follows the target's autoscaler over a live one's; what it no longer has goes, others' stay."""
    return {key: value for key, value in live.items() if not rules.covers(key)} | rules.copied(wanted)


def _same(body: JsonObject, live: JsonObject) -> bool:
    return metadata_of(body) == metadata_of(live) and body["spec"] == live.get("spec")
