"""Which label tells pods apart, and which labels and annotations follow a target to its primary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from flaggerpy.api.constants import LAST_APPLIED_CONFIGURATION, TOOLKIT_MARKER

DEFAULT_SELECTOR_LABELS = ("app", "name", "app.kubernetes.io/name")

_NEVER_COPIED = (
    LAST_APPLIED_CONFIGURATION,
    "deployment.kubernetes.io/",
    "deprecated.daemonset.template.generation",
    "flaggerpy.dev/",
    "argocd.argoproj.io/",
)
"""Labels and annotations that belong to one object: kubectl's copy of it, its controller's bookkeeping, our marks, and
those by which Argo CD knows what it manages: it would prune a copy that has them."""


@dataclass(frozen=True, slots=True)
class LabelRules:
    """The operator's choice of labels.

    Attributes:
        selector_labels: candidates for the selector label; the first that a target selects by is taken.
        include_prefixes: beginnings of the keys that are copied to the primary; ``*`` copies all.

    """

    selector_labels: tuple[str, ...] = DEFAULT_SELECTOR_LABELS
    include_prefixes: tuple[str, ...] = ()

    @classmethod
    def from_flags(cls, selector_labels: str, include_label_prefix: str) -> Self:
        """Read the two comma-separated flags; spaces around an item do not count."""
        return cls(_items(selector_labels), _items(include_label_prefix))

    def selector_label(self, match_labels: Mapping[str, str]) -> str | None:
        """Return the label that tells this workload's pods apart, None when it selects by none of ours."""
        return next((label for label in self.selector_labels if label in match_labels), None)

    def copied(self, pairs: Mapping[str, str]) -> dict[str, str]:
        """Return the labels or annotations that follow the target to its primary."""
        return {key: value for key, value in pairs.items() if self.covers(key)}

    def covers(self, key: str) -> bool:
        """Tell whether a label or annotation of this name is the target's to set on its primary."""
        if is_toolkit(key) or key.startswith(_NEVER_COPIED):
            return False
        return any(prefix == "*" or key.startswith(prefix) for prefix in self.include_prefixes)


def is_toolkit(key: str) -> bool:
    """Tell whether a key belongs to Flux: on a copy it would make Flux prune or revert it."""
    return TOOLKIT_MARKER in key


def without_toolkit(pairs: Mapping[str, Any]) -> dict[str, Any]:
    """Return labels or annotations without those of Flux."""
    return {key: value for key, value in pairs.items() if not is_toolkit(key)}


def _items(text: str) -> tuple[str, ...]:
    items: Iterable[str] = (item.strip() for item in text.split(","))
    return tuple(item for item in items if item)
