"""Sentences about settings that decide how many pods a canary has; ``validation`` says them with all others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flaggerpy.api.analysis import Strategy
from flaggerpy.api.canary import Canary

_SCALE: Final = "spec.analysis.canaryScale"
_UNSCALED: Final = {
    "DaemonSet": "which has one pod on each of its nodes",
    "Service": "whose pods are somebody else's business",
}


def size_problems(canary: Canary) -> Iterator[str]:
    """Say why nobody can give the canary the size that is asked for."""
    scale, kind = canary.analysis.canary_scale, canary.spec.target_ref.kind
    if scale is None:
        return
    if scale.min_replicas < 1:
        yield f"{_SCALE}.minReplicas: {scale.min_replicas} is less than one pod: write 1 or more."
    if not scale.match_traffic_weight:
        return
    if kind in _UNSCALED:
        yield f"{_SCALE} goes with no {kind}, {_UNSCALED[kind]}: remove it."
    elif canary.spec.autoscaler_ref is not None:
        yield (
            f"{_SCALE}.matchTrafficWeight: the autoscaler in spec.autoscalerRef decides how many pods the canary has,"
            " by what its users ask of it: remove one of the two."
        )


def size_remarks(canary: Canary) -> Iterator[str]:
    """Find settings of sizes that mean nothing."""
    scale = canary.analysis.canary_scale
    if scale is None:
        return
    if not scale.match_traffic_weight:
        yield f"{_SCALE} has no effect without matchTrafficWeight: true."
    elif canary.analysis.strategy is Strategy.AB_TESTING:
        yield (
            f"{_SCALE} has no effect in an A/B test, because nobody knows how many users match describes: the canary"
            " gets as many pods as the primary. Remove it."
        )
