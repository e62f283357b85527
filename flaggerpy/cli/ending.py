"""Has the rollout of what the target asks for now ended, and how? The answer and its exit code.

The end of an earlier rollout must not be taken for it: what the target asks for is compared with what was rolled out by
the controller's own rule (docs/design/0001-which-revision.md), so nothing here depends on who is faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import RELEASE
from flaggerpy.api.request import Verb, unanswered
from flaggerpy.api.status import Phase
from flaggerpy.cli.progress import why
from flaggerpy.cli.snapshot import Snapshot
from flaggerpy.rollout import revision
from flaggerpy.rollout.observation import ConfigsSeen, Observation, ServicesSeen
from flaggerpy.rollout.readiness import readiness
from flaggerpy.rollout.traffic import Capabilities, RouteState
from flaggerpy.rollout.transition import IDLE
from flaggerpy.rollout.workload import Workload

GOING_ON = frozenset({Verb.RESUME, Verb.PROMOTE, Verb.PROMOTE_FULL})
"""What ends a wait for a person: once it was asked for, the wait is as good as over."""


class Exit(IntEnum):
    """Exit codes; 2 is click's own for a command line that cannot be understood."""

    SUCCEEDED = 0
    ERROR = 1
    FAILED = 3
    PAUSED = 4
    TIMED_OUT = 5


@dataclass(frozen=True, slots=True)
class Ending:
    """Why there is nothing more to wait for, and what the exit code is."""

    code: Exit
    sentence: str


def ending(seen: Snapshot, *, stop_at_pause: bool) -> Ending | None:
    """Say how the rollout of what the target asks for has ended; None while it has not.

    Args:
        seen: what there is; its configs are needed in every phase that `needs_configs` names.
        stop_at_pause: whether a rollout that waits for a person counts as ended.

    """
    canary = seen.canary
    if canary.is_deleting:
        return Ending(Exit.ERROR, f"{seen.name} is being deleted.")
    if canary.metadata.annotations.get(RELEASE) == "true":
        return Ending(Exit.ERROR, f"{seen.name} is released: its target is rolled out by Kubernetes alone.")
    target = seen.workload("canary")
    if target is None or target.deleting or seen.stale:
        return None
    if canary.status.phase in IDLE and (ended := _ended(seen, target)):
        return ended
    sentence = _halted(seen, target) if stop_at_pause else ""
    return Ending(Exit.PAUSED, f"{seen.name} {sentence}") if sentence else None


def needs_configs(canary: Canary) -> bool:
    """Tell whether the answer depends on the content of the target's ConfigMaps and Secrets."""
    return canary.status.phase in IDLE | {Phase.WAITING, Phase.WAITING_PROMOTION}


def _ended(seen: Snapshot, target: Workload) -> Ending | None:
    canary, rollout, world = seen.canary, seen.canary.status.rollout, _observation(seen)
    promoted = revision.promoted(world, target)
    kind, failed = canary.spec.target_ref.kind, canary.status.phase is Phase.FAILED
    serves = f"{canary.primary_name} serves what {kind} {canary.target_name} asks for"
    if failed and promoted and not rollout.serving_canary and _primary_is_ready(seen):
        return Ending(Exit.SUCCEEDED, f"{seen.name}: {serves}; the rollout before failed: {rollout.failing}.")
    if not promoted and not revision.same(rollout.applied, world, target):
        return None
    if failed and _asked(canary) is Verb.RETRY:
        return None
    if failed:
        return Ending(Exit.FAILED, f"{seen.name} failed: {rollout.failing or why(canary)}.")
    return Ending(Exit.SUCCEEDED, f"{seen.name} succeeded: {serves}.")


def _halted(seen: Snapshot, target: Workload) -> str:
    """Say that the rollout waits for a person, who for and what for; empty when it does not."""
    canary, rollout, world = seen.canary, seen.canary.status.rollout, _observation(seen)
    if _asked(canary) in GOING_ON:
        return ""
    if rollout.paused is not None and rollout.paused.reason:
        return f"is {rollout.paused.words}. It goes on by itself when there is one."
    if rollout.paused is not None:
        return f"is paused by {rollout.paused.by}: `flaggerpy resume {canary.name} -n {canary.namespace}` goes on."
    if canary.spec.suspend:
        return "is suspended: set spec.suspend to false to go on."
    match canary.status.phase:
        case Phase.WAITING if not revision.promoted(world, target):
            return f"waits for approval: {why(canary)}."
        case Phase.WAITING_PROMOTION if revision.same(rollout.applied, world, target):
            return f"waits for approval: {why(canary)}."
        case _:
            return ""


def _asked(canary: Canary) -> Verb | None:
    """Return what somebody has just asked for and the controller has not answered yet."""
    request = unanswered(canary)
    return request.verb if request is not None else None


def _primary_is_ready(seen: Snapshot) -> bool:
    primary, canary = seen.workload("primary"), seen.canary
    if primary is None:
        return False
    percent = canary.analysis.primary_ready_threshold
    return readiness(primary, percent=percent, deadline=canary.progress_deadline, now=seen.now).ready


def _observation(seen: Snapshot) -> Observation:
    """Put together what the rule for revisions looks at, and nothing of what it does not."""
    return Observation(
        canary=seen.canary,
        target=seen.workload("canary"),
        primary=seen.workload("primary"),
        services=ServicesSeen(),
        route=RouteState(routes=None),
        capabilities=Capabilities(),
        routed=False,
        configs=ConfigsSeen(ours=seen.configs),
    )
