"""What is made after a target's autoscaler, and what is seen of it, whichever kind it is."""

from __future__ import annotations

from flaggerpy.api.canary import Canary
from flaggerpy.rollout.observation import ScalerSeen
from flaggerpy.targets.autoscaler import make_primary_scaler, scaler_seen
from flaggerpy.targets.labels import LabelRules
from tests.targets.objects import RULES, JsonObject, stored


def made(owner: Canary, target: JsonObject, minimum: int = 2, rules: LabelRules = RULES) -> JsonObject:
    """Build the primary's autoscaler as the API server serves it."""
    return stored(make_primary_scaler(owner, target, None, rules, minimum))


def seen(owner: Canary, target: JsonObject | None, live: JsonObject | None = None) -> ScalerSeen:
    """Look at the autoscalers of target and primary."""
    return scaler_seen(owner, target, live, RULES)
