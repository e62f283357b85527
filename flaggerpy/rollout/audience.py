"""Whose users a canary's share is of: everybody's, or those whom ``analysis.match`` describes.

A step keeps on record whose share it began with. An edit of the Canary that would make it a share of more users moves
nobody: it takes another step of an analysis to show the canary to them.
"""

from __future__ import annotations

from flaggerpy.api.status import CanaryStatus, Phase, Whose
from flaggerpy.rollout.observation import Observation
from flaggerpy.rollout.transition import ANALYSIS

_ALL = 100
"""Percent of the users."""
_WORDS: dict[Whose | None, str] = {
    "audience": "of the users whom match describes",
    "audienceFirst": "of all users beside everybody whom match describes",
}


def whose(seen: Observation) -> Whose:
    """Return whose share the spec asks for, of a provider that can choose users."""
    analysis = seen.canary.analysis
    if not analysis.match or not seen.capabilities.match:
        return "everybody"
    return "audienceFirst" if analysis.audience_first else "audience"


def is_whole(seen: Observation) -> bool:
    """Whether all who can get the canary get it or none, because the provider knows no share of an audience."""
    return seen.capabilities.whole_audience and whose(seen) == "audience"


def given(seen: Observation, weight: int) -> int:
    """Return the share that a provider gives the canary when it is asked for this one."""
    return _ALL if weight > 0 and is_whole(seen) else weight


def in_words(share: Whose | None) -> str:
    """Say whose share it is, for people."""
    return _WORDS.get(share, "of all users")


def outgrown(seen: Observation, status: CanaryStatus) -> bool:
    """Whether the share on record would be one of more users than it began with.

    Not where the primary has no pod that can serve them: there the canary is better than nothing.
    """
    step, phase, now = status.rollout.step, status.phase, whose(seen)
    rolling = phase in ANALYSIS or phase is Phase.PROMOTING
    if not seen.routed or not rolling or step.weight == 0 or step.whose in {None, now} or status.rollout.serving_canary:
        return False
    all_of_them = now == "audienceFirst" or is_whole(seen)
    wider = step.whose == "audience" or (step.whose == "everybody" and all_of_them and step.weight < _ALL)
    return wider and seen.primary is not None and seen.primary.available_replicas > 0


def meant(seen: Observation, status: CanaryStatus) -> int:
    """Return the share that the canary is to have: the one on record, or none where that would be of more users."""
    return 0 if outgrown(seen, status) else status.rollout.step.weight
