"""What an apex Service says while it leads to pods of primary and canary, where their numbers are the shares.

The weight that was asked for is nowhere in a Service, so it is written beside the selector, in the same write, together
with what selects the target's own pods alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject, annotations_of, metadata_of

SHARES: Final = "flaggerpy.dev/shares"
"""Annotation of an apex Service that leads to more than the primary, as JSON."""
ALL: Final = 100
"""Percent of the users."""


@dataclass(frozen=True, slots=True)
class Shares:
    """The canary's weight in percent, and what selects the target's own pods alone."""

    weight: int
    target: Mapping[str, str]

    def annotation(self) -> dict[str, str]:
        """Return the annotation that says so."""
        value = {"weight": self.weight, "target": dict(self.target)}
        return {SHARES: json.dumps(value, sort_keys=True, separators=(",", ":"))}


def read_shares(service: Mapping[str, Any]) -> Shares | None:
    """Read what a Service says, None where it says nothing or nothing that we wrote."""
    try:
        found = json.loads(annotations_of(service).get(SHARES, ""))
        weight, target = found["weight"], found["target"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(weight, int) or not 0 < weight <= ALL or not isinstance(target, dict) or not target:
        return None
    return Shares(weight, {str(key): str(value) for key, value in target.items()})


def shared_selector(canary: Canary, service: Mapping[str, Any]) -> JsonObject | None:
    """Return the selector of an apex Service that leads to the canary as it says; None where it should not."""
    shared, shares = canary.analysis.traffic_by_replicas, read_shares(service)
    selector: JsonObject = (service.get("spec") or {}).get("selector") or {}
    if shared is None or shares is None:
        return None
    right = selector == shares.target if shares.weight == ALL else set(selector) == {shared.label}
    return selector if right else None


def without_shares(service: JsonObject) -> JsonObject:
    """Return a Service that says nothing of shares any more."""
    annotations = {key: value for key, value in annotations_of(service).items() if key != SHARES}
    return {**service, "metadata": {**metadata_of(service), "annotations": annotations}}
