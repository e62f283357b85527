"""PodDisruptionBudgets: one that protects the target's pods gets a copy that protects the primary's.

A budget names the pods that it protects by their labels, so nobody refers to it: of all budgets in the namespace those
are looked for whose selector takes in the target's pods. One that takes in the primary's as well needs no copy, and
pods that are in two budgets could not be evicted at all.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.api.marks import MARK_LABELS, made_by_us, owner_annotation
from flaggerpy.kube.objects import JsonObject, annotations_of, labels_of, metadata_of, name_of
from flaggerpy.kube.resources import BUDGETS, Ref
from flaggerpy.targets.base import TargetFacts
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.names import copy_name


@dataclass(frozen=True, slots=True)
class BudgetChanges:
    """What is to be done so that the primary is protected as the target is: bodies to put, objects to delete."""

    writes: tuple[JsonObject, ...] = ()
    deletions: tuple[Ref, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.writes or self.deletions)


def budget_changes(
    canary: Canary, target: JsonObject, facts: TargetFacts, budgets: Iterable[JsonObject], rules: LabelRules
) -> BudgetChanges:
    """Compare the budgets of the namespace with what they should be."""
    ours, others = _parted(canary, budgets)
    pods = labels_of((target.get("spec") or {}).get("template") or {})
    primary_pods = {**pods, facts.selector_label: facts.primary_value}
    protected = any(_selects(budget, primary_pods) for budget in others.values())
    sources = [] if protected else [budget for budget in others.values() if _selects(budget, pods)]
    writes = []
    for source in sources:
        name = copy_name(name_of(source))
        body = _make_copy(canary, source, facts, ours.get(name), rules)
        if name not in others and not _same(body, ours.get(name)):
            writes.append(body)
    stale = ours.keys() - {copy_name(name_of(source)) for source in sources}
    return BudgetChanges(tuple(writes), tuple(Ref(BUDGETS, canary.namespace, name) for name in sorted(stale)))


def _parted(canary: Canary, budgets: Iterable[JsonObject]) -> tuple[dict[str, JsonObject], dict[str, JsonObject]]:
    """Part this canary's budgets from all others, by name; other canaries' protect other primaries."""
    ours: dict[str, JsonObject] = {}
    others: dict[str, JsonObject] = {}
    for budget in sorted(budgets, key=name_of):
        (ours if made_by_us(budget, canary) else others)[name_of(budget)] = budget
    return ours, others


def _make_copy(
    canary: Canary, source: JsonObject, facts: TargetFacts, live: JsonObject | None, rules: LabelRules
) -> JsonObject:
    kept = live if live is not None else {}
    labels = {key: value for key, value in labels_of(kept).items() if not rules.covers(key)}
    annotations = {key: value for key, value in annotations_of(kept).items() if not rules.covers(key)}
    spec = copy.deepcopy(source.get("spec") or {})
    spec["selector"] = {"matchLabels": {facts.selector_label: facts.primary_value}}
    return {
        **kept,
        "apiVersion": BUDGETS.api_version,
        "kind": BUDGETS.kind,
        "metadata": {
            **metadata_of(kept),
            "name": copy_name(name_of(source)),
            "namespace": canary.namespace,
            "labels": labels | rules.copied(labels_of(source)) | MARK_LABELS,
            "annotations": annotations | rules.copied(annotations_of(source)) | owner_annotation(canary),
        },
        "spec": spec,
    }


def _same(body: JsonObject, live: JsonObject | None) -> bool:
    return live is not None and metadata_of(body) == metadata_of(live) and body["spec"] == live.get("spec")


def _selects(budget: Mapping[str, Any], pods: Mapping[str, str]) -> bool:
    """Tell whether a budget takes in pods with these labels: without a selector none, with an empty one all."""
    selector = (budget.get("spec") or {}).get("selector")
    return selector is not None and all(_conditions(selector, pods))


def _conditions(selector: Mapping[str, Any], pods: Mapping[str, str]) -> Iterator[bool]:
    for key, value in (selector.get("matchLabels") or {}).items():
        yield pods.get(key) == value
    for expression in selector.get("matchExpressions") or ():
        key, values = expression.get("key"), expression.get("values") or ()
        match expression.get("operator"):
            case "In":
                yield pods.get(key) in values
            case "NotIn":
                yield pods.get(key) not in values
            case "Exists":
                yield key in pods
            case "DoesNotExist":
                yield key not in pods
            case _:
                yield False
