"""Workloads with a pod template and a selector: what Deployments and DaemonSets have in common as targets."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.api.marks import MARK_LABELS, is_annotated, owner_annotation, refusal, without_canary_owners
from flaggerpy.kube.objects import JsonObject, annotations_of, labels_of, metadata_of
from flaggerpy.kube.resources import Ref, Resource
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.workload import Workload
from flaggerpy.targets.base import Recipe, TargetFacts
from flaggerpy.targets.configs import config_refs, refuse_collisions
from flaggerpy.targets.identity import images_of, template_identity, unrestarted_identity
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.names import primary_value, target_value
from flaggerpy.targets.ports import pod_ports
from flaggerpy.targets.template import Translation

_LONGEST_VALUE = 63


class PoddedTarget(ABC):
    """The translations of one such kind; a subclass says what is special about it.

    Attributes:
        resource: the kind.
        followed: fields of the spec that the primary takes from the target, beside the pod template.

    """

    resource: Resource
    followed: tuple[str, ...]

    # What is special about a kind

    @abstractmethod
    def describe(self, obj: Mapping[str, Any], template: str) -> Workload:
        """Say how far an object is that runs the template of this identity."""

    def template(self, obj: Mapping[str, Any]) -> JsonObject:
        """Return the pod template of an object, as its user means it."""
        return template_of(obj)

    def first_spec(self, target: Mapping[str, Any]) -> JsonObject:
        """Return what a new primary gets besides its selector, its template and what is followed."""
        del target
        return {}

    def flagger_keys(self, rules: LabelRules) -> tuple[str, ...]:
        """Return the keys of affinity terms in which Flagger exchanges the workload's name."""
        return rules.selector_labels

    def check(self, canary: Canary, target: JsonObject) -> None:
        """Look for settings of the target with which it and a primary could not work: there are none."""
        del canary, target

    # What is not

    def ref(self, canary: Canary) -> Ref:
        """Return the reference to the user's workload."""
        return Ref(self.resource, canary.namespace, canary.target_name)

    def primary_ref(self, canary: Canary) -> Ref:
        """Return the reference to the primary."""
        return Ref(self.resource, canary.namespace, canary.primary_name)

    def state(self, target: Mapping[str, Any]) -> Workload:
        """Say what the target runs and how far it is."""
        return self._described(target, self.template(target))

    def primary_state(self, canary: Canary, primary: Mapping[str, Any], recipe: Recipe) -> Workload:
        """Say what the primary runs, translated back, and how far it is."""
        label, value = _primary_selector(primary) or ("", "")
        translation = self._translation(canary, label, target_value(value), recipe)
        translation = replace(translation, by_flagger=not is_annotated(primary, canary))
        return self._described(primary, translation.to_target(self.template(primary)))

    def _described(self, obj: Mapping[str, Any], template: JsonObject) -> Workload:
        workload = self.describe(obj, template_identity(template))
        return replace(workload, unrestarted=unrestarted_identity(template), images=images_of(template))

    def facts(self, canary: Canary, target: JsonObject, rules: LabelRules, primary: JsonObject | None) -> TargetFacts:
        """Return what Services need to know; a live primary's selector is read back, never recomputed."""
        self.check(canary, target)
        label, value = _selector(canary, target, rules, primary)
        return TargetFacts(
            selector_label=label,
            selector_value=value,
            primary_value=primary_value(value),
            ports=tuple(pod_ports(template_of(target))),
            primary_ports=tuple(pod_ports(template_of(primary if primary is not None else target))),
        )

    def make_primary(
        self, canary: Canary, target: JsonObject, primary: JsonObject | None, recipe: Recipe
    ) -> JsonObject:
        """Return the primary whole: its pod template replaced, the rest of a live one kept."""
        label, value = _selector(canary, target, recipe.rules, primary)
        template = self.template(target)
        refuse_collisions(config_refs(template), recipe.tracked)
        translation = self._translation(canary, label, value, recipe)
        selector = {"matchLabels": {label: primary_value(value)}}
        wanted = target.get("spec") or {}
        live = (primary or {}).get("spec") or {**self.first_spec(target), "selector": selector}
        spec = {key: copy.deepcopy(part) for key, part in live.items() if key not in self.followed}
        spec |= {key: copy.deepcopy(wanted[key]) for key in self.followed if key in wanted}
        spec["template"] = translation.to_primary(template, recipe.promotion_id)
        return {
            **(primary or {}),
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            "metadata": _metadata(canary, target, primary, recipe.rules)
            | {"name": canary.primary_name, "namespace": canary.namespace}
            | {"labels": _labels(target, primary, recipe.rules) | selector["matchLabels"] | MARK_LABELS},
            "spec": spec,
        }

    def _translation(self, canary: Canary, label: str, value: str, recipe: Recipe) -> Translation:
        keys = self.flagger_keys(recipe.rules)
        return Translation(label, value, canary.target_name, keys, recipe.tracked)


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
    kind, match_labels = canary.spec.target_ref.kind, _selector_of(target).get("matchLabels") or {}
    if primary is not None:
        return _selector_of_live(canary, match_labels, primary)
    label = rules.selector_label(match_labels)
    if label is None:
        raise UserError(
            f"{kind} {canary.target_name} selects its pods by {_words(match_labels)}, but by none of "
            f"{', '.join(rules.selector_labels)}: give it one of these labels in spec.selector.matchLabels and in "
            f"its pod template, or start the controller with --selector-labels naming one that it has."
        )
    value = str(match_labels[label])
    if len(primary_value(value)) > _LONGEST_VALUE:
        raise UserError(
            f"{kind} {canary.target_name} has the label {label}={value}; with -primary added for the primary's "
            f"pods that is longer than the {_LONGEST_VALUE} characters a label may have: choose a shorter value."
        )
    return label, value


def _selector_of_live(canary: Canary, match_labels: Mapping[str, str], primary: JsonObject) -> tuple[str, str]:
    if reason := refusal(primary, canary):
        raise UserError(reason)
    kind, selector = canary.spec.target_ref.kind, _primary_selector(primary)
    if selector is not None:
        label, value = selector
        if label in match_labels and primary_value(match_labels[label]) == value:
            return label, match_labels[label]
    raise UserError(
        f"{kind} {canary.primary_name} selects its pods by {_words(_selector_of(primary).get('matchLabels'))}, "
        f"which no longer goes with {_words(match_labels)} of {canary.target_name}. A selector cannot be changed "
        f"while it serves: put the labels of {canary.target_name} back, or delete the Canary and create it again."
    )


def _primary_selector(primary: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the one label by which a primary selects; None for one that nobody made as a primary."""
    selector = _selector_of(primary)
    labels = selector.get("matchLabels") or {}
    if len(labels) != 1 or selector.get("matchExpressions"):
        return None
    [(label, value)] = labels.items()
    return label, value


def template_of(obj: Mapping[str, Any]) -> JsonObject:
    """Return the pod template of an object as it is."""
    template: JsonObject = (obj.get("spec") or {}).get("template") or {}
    return template


def _selector_of(obj: Mapping[str, Any]) -> JsonObject:
    selector: JsonObject = (obj.get("spec") or {}).get("selector") or {}
    return selector


def _words(labels: Mapping[str, str] | None) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "no label"
