"""By which label a target's pods are told apart from those of its neighbours.

Services select by one label alone, as Flagger's do. So two targets of one namespace must not have the same value of it:
users of the one would be sent to pods of the other, and what is measured of the one would be the other's too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.targets.base import TargetFacts


@dataclass(frozen=True, slots=True)
class Claim:
    """What the pods of a canary's target are found by.

    Attributes:
        kind: of the target, as ``target`` is its name.
        labels: everything that the target selects its pods by, ``label`` with its ``value`` among them.

    """

    canary: str
    kind: str
    target: str
    label: str
    value: str
    labels: Mapping[str, str]

    def collides(self, other: Claim) -> bool:
        """Whether the pods of two targets cannot be told apart; one target of two canaries is another mistake."""
        mine, theirs = (self.label, self.value), (other.label, other.value)
        return mine == theirs and (self.kind, self.target) != (other.kind, other.target)


def claim_of(canary: Canary, target: JsonObject, facts: TargetFacts) -> Claim | None:
    """Return what the pods of a target are found by; None for a Service, whose pods get no label of ours."""
    if facts.clone is not None or not facts.served:
        return None
    labels = ((target.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    kind = canary.spec.target_ref.kind
    return Claim(canary.name, kind, canary.target_name, facts.selector_label, facts.selector_value, labels)


def collision(mine: Claim, other: Claim) -> str:
    """Say that the pods of two targets cannot be told apart, and what to do about it."""
    apart = sorted(key for key, value in mine.labels.items() if other.labels.get(key, value) != value)
    way_out = f"create {mine.kind} {mine.target} again with another value there and in its pod template"
    if apart:
        way_out += (
            f", or start the controller with --selector-labels that begin with {apart[0]}, by which they differ, and "
            "create both Canaries again"
        )
    return (
        f"{mine.kind} {mine.target} selects its pods by {mine.label}={mine.value}, and so does {other.kind} "
        f"{other.target} of canary {other.canary}: Services of the one would lead to pods of the other; {way_out}."
    )
