"""From a target's pod template to its primary's and back; nothing else is translated here.

The way back is exact: ``to_target(to_primary(t))`` has the identity of ``t``. That is why the values in affinity terms
are exchanged rather than only suffixed, and why a template that reads both a config and its copy is refused.

Terms that select the workload's own pods, which they do by the selector label, select the primary's in the primary.
Flagger looks for the workload's name instead, under any of the labels that it knows, and not in podAffinity; so a
primary that it wrote is read by its rule, or taking it over would look like a change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flaggerpy.api.constants import POD_TEMPLATE_ID
from flaggerpy.kube.objects import JsonObject
from flaggerpy.targets.configs import TrackedConfigs, config_key, mentions
from flaggerpy.targets.labels import without_toolkit
from flaggerpy.targets.names import copy_name, primary_value


@dataclass(frozen=True, slots=True)
class Translation:
    """What the way between a target's template and its primary's depends on.

    Attributes:
        label: the selector label.
        value: its value on the target's pods.
        workload: name of the target.
        affinity_labels: keys of affinity terms under which Flagger looks for that name; none for a DaemonSet.
        tracked: configs that the primary reads as copies.
        by_flagger: whether the primary's template is one that Flagger wrote.

    """

    label: str
    value: str
    workload: str
    affinity_labels: tuple[str, ...]
    tracked: TrackedConfigs
    by_flagger: bool = False

    def to_primary(self, template: Mapping[str, Any], promotion_id: str) -> JsonObject:
        """Return the primary's template; a new ``promotion_id`` makes its pods start anew."""
        result: JsonObject = _unshared(template)
        metadata = dict(result.get("metadata") or {})
        labels = without_toolkit(metadata.get("labels") or {})
        annotations = without_toolkit(metadata.get("annotations") or {})
        result["metadata"] = {
            **metadata,
            "labels": {**labels, self.label: primary_value(self.value)},
            "annotations": {**annotations, POD_TEMPLATE_ID: promotion_id},
        }
        spec = result.get("spec") or {}
        for mention in mentions(spec):
            if config_key(mention.resource.kind, mention.name) in self.tracked:
                mention.holder[mention.field] = copy_name(mention.name)
        self._exchange_names(spec)
        return result

    def to_target(self, template: Mapping[str, Any]) -> JsonObject:
        """Return the target's template that this template of a primary was made from."""
        result: JsonObject = _unshared(template)
        metadata = dict(result.get("metadata") or {})
        labels = dict(metadata.get("labels") or {})
        annotations = dict(metadata.get("annotations") or {})
        annotations.pop(POD_TEMPLATE_ID, None)
        result["metadata"] = {
            **metadata,
            "labels": {**labels, self.label: self.value},
            "annotations": annotations,
        }
        spec = result.get("spec") or {}
        originals = self._originals()
        for mention in mentions(spec):
            key = config_key(mention.resource.kind, mention.name)
            mention.holder[mention.field] = originals.get(key, mention.name)
        self._exchange_names(spec)
        return result

    def _originals(self) -> dict[str, str]:
        pairs = (key.split("/", 1) for key in self.tracked)
        return {f"{kind}/{copy_name(name)}": name for kind, name in pairs}

    def _exchange_names(self, spec: JsonObject) -> None:
        """Let terms about the workload itself speak of its other half, in both directions."""
        own = self.workload if self.by_flagger else self.value
        keys = set(self.affinity_labels if self.by_flagger else [self.label])
        names = {own: primary_value(own), primary_value(own): own}
        for selector in _selectors(spec, near=not self.by_flagger):
            labels = selector.get("matchLabels") or {}
            for key in labels.keys() & keys:
                labels[key] = names.get(labels[key], labels[key])
            for expression in selector.get("matchExpressions") or ():
                if expression.get("key") in keys and expression.get("values"):
                    expression["values"] = [names.get(value, value) for value in expression["values"]]


def _unshared(value: Any) -> Any:
    """Copy JSON so that no two places share an object: what is changed in one place must not change in another."""
    if isinstance(value, Mapping):
        return {key: _unshared(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_unshared(part) for part in value]
    return value


def _selectors(spec: Mapping[str, Any], *, near: bool) -> Iterator[JsonObject]:
    """Find the label selectors by which pods keep away from each other, and with ``near`` seek each other."""
    terms = list(spec.get("topologySpreadConstraints") or ())
    for kind in ("podAntiAffinity", "podAffinity") if near else ("podAntiAffinity",):
        affinity = (spec.get("affinity") or {}).get(kind) or {}
        preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [weighted.get("podAffinityTerm") or {} for weighted in preferred]
        terms += affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    for term in terms:
        if term.get("labelSelector"):
            yield term["labelSelector"]
