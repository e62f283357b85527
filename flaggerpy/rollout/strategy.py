"""Which weight comes next."""

from __future__ import annotations

from flaggerpy.api.analysis import CanaryAnalysis, Strategy
from flaggerpy.rollout.traffic import Capabilities

DEFAULT_ITERATIONS = 10
"""Iterations of a provider that cannot shift weights, when the Canary asks only for weights."""


def next_weight(analysis: CanaryAnalysis, weight: int) -> int | None:
    """The weight after this one, None where the steps end.

    A weight that is in no list (the list was edited, someone moved traffic) goes on with the next higher step.
    """
    return next((step for step in analysis.steps if step > weight), None)


def is_mirrored(analysis: CanaryAnalysis, can: Capabilities) -> bool:
    """Whether the canary gets copies of requests before it gets users; an A/B test chooses users for it instead."""
    return analysis.mirror and can.mirror and analysis.strategy is not Strategy.AB_TESTING


def iterations(analysis: CanaryAnalysis, *, routed: bool) -> int:
    """How many times to judge a canary that gets no growing share of traffic."""
    if analysis.iterations > 0:
        return analysis.iterations
    return 0 if routed else DEFAULT_ITERATIONS


def is_progressive(analysis: CanaryAnalysis, *, routed: bool) -> bool:
    """Whether traffic grows in steps."""
    return routed and analysis.strategy is Strategy.CANARY
