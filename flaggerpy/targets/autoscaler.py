"""The target's autoscaler, and the primary's, which is made after it; what differs between kinds is in a module a kind.

The whole spec is copied as JSON, so that what this program does not know of (a new kind of metric, say) is copied too.
The target's is the user's: it is read, and of one kind paused while the target sleeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

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
from flaggerpy.kube.resources import Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.observation import Bounds, ScalerSeen
from flaggerpy.targets import scaledobject
from flaggerpy.targets.hpa import HorizontalPodAutoscalers
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.names import copy_name
from flaggerpy.targets.scalers import Facts, Scaler

SCALERS: dict[str, Scaler] = {
    scaler.resource.kind: scaler for scaler in (HorizontalPodAutoscalers(), scaledobject.ScaledObjects())
}


def scaler_ref(canary: Canary) -> Ref | None:
    """Return the reference to the target's autoscaler, None when the canary names none."""
    named = canary.spec.autoscaler_ref
    return ref_of_kind(canary, named.kind, named.name) if named is not None else None


def primary_scaler_ref(canary: Canary) -> Ref | None:
    """Return the reference to the primary's autoscaler, None when the canary names none."""
    named = canary.spec.autoscaler_ref
    return ref_of_kind(canary, named.kind, copy_name(named.name)) if named is not None else None


def made_scaler_refs(canary: Canary) -> list[Ref]:
    """Return the references to what may have been made for the primary: its autoscaler, and one of a former name."""
    record = canary.status.rollout.scaler
    former = ref_of_kind(canary, record.kind, record.name) if record is not None else None
    return _each_once(primary_scaler_ref(canary), former)


def target_scaler_refs(canary: Canary) -> list[Ref]:
    """Return the references to the target's autoscaler, and to a former one, which may still be paused."""
    record = canary.status.rollout.scaler
    former = ref_of_kind(canary, record.kind, record.source) if record is not None and record.source else None
    return _each_once(scaler_ref(canary), former)


def is_former(canary: Canary, ref: Ref) -> bool:
    """Whether an autoscaler is only looked at to be let go: then it is no trouble that its kind is gone."""
    present = {scaler_ref(canary), primary_scaler_ref(canary)}
    return ref in {*target_scaler_refs(canary), *made_scaler_refs(canary)} - present


def paused_scalers(canary: Canary, live: Mapping[Ref, JsonObject]) -> tuple[str, ...]:
    """Return the names of the target's autoscalers that are paused at zero pods."""
    refs = (ref for ref in target_scaler_refs(canary) if ref.resource == scaledobject.ScaledObjects.resource)
    return tuple(ref.name for ref in refs if ref in live and scaledobject.paused_at_zero(live[ref]))


def ref_of_kind(canary: Canary, kind: str, name: str) -> Ref:
    """Return the reference to an autoscaler beside the canary."""
    return Ref(SCALERS[kind].resource, canary.namespace, name)


def scaler_seen(canary: Canary, scaler: JsonObject | None, live: JsonObject | None, rules: LabelRules) -> ScalerSeen:
    """Say what the target's autoscaler asks for and what the primary's, ``live``, is.

    Raises:
        UserError: the target's does not exist or cannot be copied, or the primary's is somebody else's.

    """
    ref = usable_ref(canary)
    if scaler is None:
        raise UserError(
            f"{ref.kind} {ref.name} does not exist in namespace {canary.namespace}: create it, or correct or remove "
            "spec.autoscalerRef."
        )
    facts = SCALERS[ref.kind].facts(canary, scaler)
    primary = _primary_bounds(ref, scaler, facts)
    _refuse(canary, scaler, live, facts)
    minimum = _least(SCALERS[ref.kind].facts(canary, live)) if live is not None else None
    as_it_is = make_primary_scaler(canary, scaler, live, rules, primary.low if minimum is None else minimum)
    return ScalerSeen(
        name=copy_name(ref.name),
        target=facts.bounds,
        primary=primary if _idle(facts, primary) is None else Bounds(facts.idle or 0, primary.high),
        minimum=minimum,
        drifted=live is not None and not _same(as_it_is, live),
        memory=timedelta(seconds=facts.memory),
        kind=ref.kind,
        source=ref.name,
        active=primary.low,
        pausable=facts.pausable,
    )


def make_primary_scaler(
    canary: Canary, scaler: JsonObject, live: JsonObject | None, rules: LabelRules, minimum: int
) -> JsonObject:
    """Return the primary's autoscaler: to create, or whole to put in the place of the live one."""
    ref = usable_ref(canary)
    kind = SCALERS[ref.kind]
    kept = live if live is not None else {}
    # Flagger copies all labels. One by which Argo CD knows its objects has it prune what has no ownerReference. It also
    # copies the pause, if it makes the primary's again while the target sleeps.
    flaggers = owned_through_flagger(kept, canary)
    labels = {} if flaggers else labels_of(kept)
    inherited = kind.own if flaggers else frozenset()
    annotations = {key: value for key, value in annotations_of(kept).items() if key not in inherited}
    metadata = {
        **without_canary_owners(metadata_of(kept)),
        "name": copy_name(ref.name),
        "namespace": canary.namespace,
        "labels": _merged(labels, labels_of(scaler), rules, kind.own) | MARK_LABELS,
        "annotations": _merged(annotations, annotations_of(scaler), rules, kind.own) | owner_annotation(canary),
    }
    facts = kind.facts(canary, scaler)
    bounds = _primary_bounds(ref, scaler, facts)
    rests = _idle(facts, bounds) == minimum
    spec = kind.spec(canary, scaler, bounds if rests else Bounds(minimum, bounds.high))
    if not rests:
        spec.pop("idleReplicaCount", None)
    return {
        **kept,
        "apiVersion": kind.resource.api_version,
        "kind": kind.resource.kind,
        "metadata": metadata,
        "spec": spec,
    }


def scaler_notes(canary: Canary, scaler: JsonObject | None) -> tuple[str, ...]:
    """Say what works and was probably meant differently."""
    ref = canary.spec.autoscaler_ref
    if ref is None or scaler is None:
        return ()
    facts = SCALERS[ref.kind].facts(canary, scaler)
    if facts.scales == (canary.spec.target_ref.kind, canary.target_name):
        return facts.notes
    return (
        f"{ref.kind} {name_of(scaler)} of spec.autoscalerRef does not scale {canary.target_name}: its copy scales the "
        "primary, and nothing scales the canary",
        *facts.notes,
    )


def usable_ref(canary: Canary) -> AutoscalerRef:
    """Return what the canary says of its autoscaler.

    Raises:
        UserError: it names none, or one in a version that there is not.

    """
    named = canary.spec.autoscaler_ref
    if named is None:
        raise UserError("spec.autoscalerRef is missing: name the autoscaler of the target.")
    resource = SCALERS[named.kind].resource
    if not named.api_version.startswith(f"{resource.group}/"):
        raise UserError(
            f"spec.autoscalerRef.apiVersion is {named.api_version}, which has no {named.kind}: write "
            f"{resource.api_version}."
        )
    return named


def _each_once(*refs: Ref | None) -> list[Ref]:
    return list(dict.fromkeys(ref for ref in refs if ref is not None))


def _primary_bounds(ref: AutoscalerRef, scaler: JsonObject, facts: Facts) -> Bounds:
    own, other = facts.bounds, ref.primary_scaler_replicas
    if other is None:
        return own
    bounds = Bounds(
        own.low if other.min_replicas is None else other.min_replicas,
        own.high if other.max_replicas is None else other.max_replicas,
    )
    if bounds.low > bounds.high:
        raise UserError(
            f"spec.autoscalerRef.primaryScalerReplicas: with {ref.kind} {name_of(scaler)}, of "
            f"{own.low} to {own.high} replicas, the primary would have {bounds.low} at least and {bounds.high} at "
            "most: set minReplicas and maxReplicas so that they fit."
        )
    return bounds


def _idle(facts: Facts, bounds: Bounds) -> int | None:
    """How many pods are left while nothing is going on, where these are fewer than the lower bound."""
    return facts.idle if facts.idle is not None and facts.idle < bounds.low else None


def _least(facts: Facts) -> int:
    idle = _idle(facts, facts.bounds)
    return facts.bounds.low if idle is None else idle


def _refuse(canary: Canary, scaler: JsonObject, live: JsonObject | None, facts: Facts) -> None:
    kind = SCALERS[usable_ref(canary).kind].resource.kind
    if facts.scales == (canary.spec.target_ref.kind, canary.primary_name):
        raise UserError(
            f"{kind} {name_of(scaler)} of spec.autoscalerRef scales {canary.primary_name}: let it scale "
            f"{canary.target_name}; the primary gets a copy of it."
        )
    if live is None or made_by_us(live, canary):
        return
    raise UserError(
        refusal(live, canary)
        or f"{kind} {name_of(live)} was not made for a canary, so it is not overwritten by the copy of "
        f"{name_of(scaler)} for the primary: rename or delete it."
    )


def _merged(
    live: Mapping[str, str], wanted: Mapping[str, str], rules: LabelRules, own: Iterable[str]
) -> dict[str, str]:
    """Put what follows the target's autoscaler over a live one's; what it no longer has goes, others' stay."""
    kept = {key: value for key, value in live.items() if key in own or not rules.covers(key)}
    return kept | {key: value for key, value in rules.copied(wanted).items() if key not in own}


def _same(body: JsonObject, live: JsonObject) -> bool:
    return metadata_of(body) == metadata_of(live) and body["spec"] == live.get("spec")
