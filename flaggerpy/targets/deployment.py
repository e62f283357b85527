"""Deployments as targets: what they say of themselves, and how their primary looks."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.api.marks import MARK_LABELS, owner_annotation, refusal, without_canary_owners
from flaggerpy.kube.objects import (
    JsonObject,
    annotations_of,
    generation_of,
    is_deleting,
    labels_of,
    metadata_of,
    name_of,
    observed_generation_of,
    uid_of,
)
from flaggerpy.kube.resources import DEPLOYMENTS, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.workload import Workload
from flaggerpy.targets.base import Recipe, TargetFacts
from flaggerpy.targets.configs import config_refs, refuse_collisions
from flaggerpy.targets.identity import template_identity, unrestarted_identity
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.names import primary_value, target_value
from flaggerpy.targets.ports import pod_ports
from flaggerpy.targets.template import Translation

REVISION = "deployment.kubernetes.io/revision"
_FOLLOWED = ("progressDeadlineSeconds", "minReadySeconds", "revisionHistoryLimit", "strategy")
"""Fields of the spec that the primary takes from the target, beside the pod template."""
_LONGEST_VALUE = 63


class DeploymentTarget:
    """The translations of a Deployment."""

    def ref(self, canary: Canary) -> Ref:
        """Return the reference to the user's Deployment."""
        return Ref(DEPLOYMENTS, canary.namespace, canary.target_name)

    def primary_ref(self, canary: Canary) -> Ref:
        """Return the reference to the primary."""
        return Ref(DEPLOYMENTS, canary.namespace, canary.primary_name)

    def state(self, target: Mapping[str, Any]) -> Workload:
        """Say what the target runs and how far it is."""
        return _workload(target, _template(target))

    def primary_state(self, canary: Canary, primary: Mapping[str, Any], recipe: Recipe) -> Workload:
        """Say what the primary runs, translated back, and how far it is."""
        label, value = _primary_selector(primary) or ("", "")
        translation = _translation(canary, label, target_value(value), recipe)
        return _workload(primary, translation.to_target(_template(primary)))

    def facts(self, canary: Canary, target: JsonObject, rules: LabelRules, primary: JsonObject | None) -> TargetFacts:
        """Return what Services need to know; a live primary's selector is read back, never recomputed."""
        label, value = _selector(canary, target, rules, primary)
        return TargetFacts(
            selector_label=label,
            selector_value=value,
            primary_value=primary_value(value),
            ports=tuple(pod_ports(_template(target))),
            primary_ports=tuple(pod_ports(_template(primary if primary is not None else target))),
        )

    def make_primary(
        self, canary: Canary, target: JsonObject, primary: JsonObject | None, recipe: Recipe
    ) -> JsonObject:
        """Return the primary whole: its pod template replaced, the rest of a live one kept."""
        label, value = _selector(canary, target, recipe.rules, primary)
        refuse_collisions(config_refs(_template(target)), recipe.tracked)
        translation = _translation(canary, label, value, recipe)
        selector = {"matchLabels": {label: primary_value(value)}}
        wanted = target.get("spec") or {}
        live = (primary or {}).get("spec") or {"replicas": wanted.get("replicas") or 1, "selector": selector}
        spec = {key: copy.deepcopy(part) for key, part in live.items() if key not in _FOLLOWED}
        spec |= {key: copy.deepcopy(wanted[key]) for key in _FOLLOWED if key in wanted}
        spec["template"] = translation.to_primary(_template(target), recipe.promotion_id)
        return {
            **(primary or {}),
            "apiVersion": DEPLOYMENTS.api_version,
            "kind": DEPLOYMENTS.kind,
            "metadata": _metadata(canary, target, primary, recipe.rules)
            | {"name": canary.primary_name, "namespace": canary.namespace}
            | {"labels": _labels(target, primary, recipe.rules) | selector["matchLabels"] | MARK_LABELS},
            "spec": spec,
        }


def _metadata(canary: Canary, target: JsonObject, primary: JsonObject | None, rules: LabelRules) -> JsonObject:
    live = primary if primary is not None else {}
    kept = {key: value for key, value in annotations_of(live).items() if not rules.covers(key)}
    annotations = kept | rules.copied(annotations_of(target)) | owner_annotation(canary)
    return without_canary_owners(metadata_of(live)) | {"annotations": annotations}


def _labels(target: JsonObject, primary: JsonObject | None, rules: LabelRules) -> dict[str, str]:
    live = labels_of(primary) if primary is not None else {}
    return {key: value for key, value in live.items() if not rules.covers(key)} | rules.copied(labels_of(target))


def _selector(canary: Canary, target: JsonObject, rules: LabelRules, primary: JsonObject | None) -> tuple[str, str]:
    """Return the selector label and its value on the target's pods."""
    match_labels = _selector_of(target).get("matchLabels") or {}
    if primary is not None:
        return _selector_of_live(canary, match_labels, primary)
    label = rules.selector_label(match_labels)
    if label is None:
        raise UserError(
            f"Deployment {canary.target_name} selects its pods by {_words(match_labels)}, but by none of "
            f"{', '.join(rules.selector_labels)}: give it one of these labels in spec.selector.matchLabels and in "
            f"its pod template, or start the controller with --selector-labels naming one that it has."
        )
    value = str(match_labels[label])
    if len(primary_value(value)) > _LONGEST_VALUE:
        raise UserError(
            f"Deployment {canary.target_name} has the label {label}={value}; with -primary added for the primary's "
            f"pods that is longer than the {_LONGEST_VALUE} characters a label may have: choose a shorter value."
        )
    return label, value


def _selector_of_live(canary: Canary, match_labels: Mapping[str, str], primary: JsonObject) -> tuple[str, str]:
    if reason := refusal(primary, canary):
        raise UserError(reason)
    selector = _primary_selector(primary)
    if selector is not None:
        label, value = selector
        if label in match_labels and primary_value(match_labels[label]) == value:
            return label, match_labels[label]
    raise UserError(
        f"Deployment {canary.primary_name} selects its pods by {_words(_selector_of(primary).get('matchLabels'))}, "
        f"which no longer goes with {_words(match_labels)} of {canary.target_name}. A selector cannot be changed "
        f"while it serves: put the labels of {canary.target_name} back, or delete the Canary and create it again."
    )


def _primary_selector(primary: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the one label by which a primary selects; None for a Deployment that nobody made as a primary."""
    selector = _selector_of(primary)
    labels = selector.get("matchLabels") or {}
    if len(labels) != 1 or selector.get("matchExpressions"):
        return None
    [(label, value)] = labels.items()
    return label, value


def _translation(canary: Canary, label: str, value: str, recipe: Recipe) -> Translation:
    return Translation(label, value, canary.target_name, recipe.rules.selector_labels, recipe.tracked)


def _workload(obj: Mapping[str, Any], template: JsonObject) -> Workload:
    spec = obj.get("spec") or {}
    status = obj.get("status") or {}
    conditions = {condition.get("type"): condition for condition in status.get("conditions") or ()}
    replicas = spec.get("replicas")
    return Workload(
        name=name_of(obj),
        uid=uid_of(obj),
        generation=generation_of(obj),
        observed_generation=observed_generation_of(obj),
        template=template_identity(template),
        controller_revision=annotations_of(obj).get(REVISION),
        paused=bool(spec.get("paused")),
        replicas=1 if replicas is None else int(replicas),
        current_replicas=int(status.get("replicas") or 0),
        updated_replicas=int(status.get("updatedReplicas") or 0),
        available_replicas=int(status.get("availableReplicas") or 0),
        deadline_exceeded=(conditions.get("Progressing") or {}).get("reason") == "ProgressDeadlineExceeded",
        unavailable_since=_unavailable_since(conditions.get("Available") or {}),
        deleting=is_deleting(obj),
        unrestarted=unrestarted_identity(template),
    )


def _unavailable_since(available: Mapping[str, Any]) -> datetime | None:
    if available.get("status") != "False" or available.get("reason") != "MinimumReplicasUnavailable":
        return None
    moment = available.get("lastUpdateTime")
    return datetime.fromisoformat(moment) if moment else None


def _template(obj: Mapping[str, Any]) -> JsonObject:
    template: JsonObject = (obj.get("spec") or {}).get("template") or {}
    return template


def _selector_of(obj: Mapping[str, Any]) -> JsonObject:
    selector: JsonObject = (obj.get("spec") or {}).get("selector") or {}
    return selector


def _words(labels: Mapping[str, str] | None) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "no label"
