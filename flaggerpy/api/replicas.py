"""Sentences about settings that decide how many pods a canary has; ``validation`` says them with all others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flaggerpy.api.analysis import CanaryAnalysis, Strategy
from flaggerpy.api.canary import Canary
from flaggerpy.api.shares import ALL

_SCALE: Final = "spec.analysis.canaryScale"
_SHARES: Final = "spec.analysis.trafficByReplicas"
_MOST: Final = 50
"""Percent of the users that the canary can have beside a primary that keeps all its pods."""
UNSCALED: Final = {
    "DaemonSet": "which has one pod on each of its nodes",
    "Service": "whose pods are somebody else's business",
}
"""Kinds of targets whose pods nobody here counts, and why."""


def size_problems(canary: Canary) -> Iterator[str]:
    """Say why nobody can give the canary the size that is asked for."""
    scale, kind = canary.analysis.canary_scale, canary.spec.target_ref.kind
    if scale is None:
        return
    if scale.min_replicas < 1:
        yield f"{_SCALE}.minReplicas: {scale.min_replicas} is less than one pod: write 1 or more."
    if not scale.match_traffic_weight:
        return
    if kind in UNSCALED:
        yield f"{_SCALE} goes with no {kind}, {UNSCALED[kind]}: remove it."
    elif canary.spec.autoscaler_ref is not None:
        yield (
            f"{_SCALE}.matchTrafficWeight: the autoscaler in spec.autoscalerRef decides how many pods the canary has,"
            " by what its users ask of it: remove one of the two."
        )


def size_remarks(canary: Canary) -> Iterator[str]:
    """Find settings of sizes that mean nothing, or less than they seem to."""
    analysis, scale = canary.analysis, canary.analysis.canary_scale
    if scale is None:
        return
    if not scale.match_traffic_weight:
        yield f"{_SCALE} has no effect without matchTrafficWeight: true."
    elif analysis.strategy is Strategy.AB_TESTING or analysis.audience_first:
        where = "with matchFirst" if analysis.audience_first else "in an A/B test"
        yield (
            f"{_SCALE} has no effect {where}, because nobody knows how many users match describes: the canary gets as"
            " many pods as the primary. Remove it."
        )
    elif _draws_again(analysis):
        yield (
            "spec.analysis.sessionAffinity without primaryCookieName: users of the canary stay on it while all others"
            f" are drawn again with every request, so it gets more of them than the share for which {_SCALE} gives it"
            " pods: add primaryCookieName."
        )


def _draws_again(analysis: CanaryAnalysis) -> bool:
    """Whether the users of a held share become more and more: they are kept, and others come to them by chance."""
    affinity = analysis.session_affinity
    return analysis.strategy is Strategy.CANARY and affinity is not None and not affinity.primary_cookie_name


def replica_problems(canary: Canary) -> Iterator[str]:
    """Say why numbers of pods cannot be the shares that are asked for."""
    analysis, kind = canary.analysis, canary.spec.target_ref.kind
    if kind in UNSCALED:
        yield f"{_SHARES} goes with no {kind}, {UNSCALED[kind]}: remove it."
    elif canary.spec.autoscaler_ref is not None:
        yield (
            f"{_SHARES}: the autoscaler in spec.autoscalerRef would change the shares with every pod that it adds or"
            " takes away: remove one of the two."
        )
    if canary.spec.service is not None and canary.spec.service.traffic_distribution:
        yield (
            f"{_SHARES}: with spec.service.trafficDistribution users reach the pods that are near to them, whatever"
            " the shares: remove one of the two."
        )
    if analysis.step_weight_promotion:
        yield (
            f"spec.analysis.stepWeightPromotion: {analysis.step_weight_promotion} % cannot return at a time with"
            " trafficByReplicas, because the canary's pods are the share: remove it."
        )
    if analysis.strategy is Strategy.CANARY:
        yield from _progressive_problems(canary)


def _progressive_problems(canary: Canary) -> Iterator[str]:
    analysis = canary.analysis
    field = "stepWeights" if analysis.step_weight < 1 else "stepWeight"
    for weight in analysis.steps:
        if _MOST < weight < ALL:
            yield (
                f"spec.analysis.{field}: {weight} % of the users would need more pods of the canary than of the"
                f" primary, which keeps all of its own with trafficByReplicas: write shares up to {_MOST}, and 100 for"
                " everybody."
            )
    if analysis.sized_by_share:
        yield f"{_SCALE} has no place beside trafficByReplicas, where shares are numbers of pods: remove it."
