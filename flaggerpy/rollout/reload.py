"""Pods read their configs when they start, so those that read older ones go before newer ones are analysed.

A target that sleeps has none. Where one runs, in mid-rollout, its users leave it first. Only a target that serves all
users, because the primary cannot, keeps its pods.
"""

from __future__ import annotations

from flaggerpy.rollout import moving, pausing, revision
from flaggerpy.rollout.turn import Turn


def needed(turn: Turn) -> bool:
    """Whether the target asks for the template that it ran before, with other configs."""
    applied = turn.status.rollout.applied
    if applied is None or turn.status.rollout.serving_canary:
        return False
    return revision.same_template(applied, turn.target) and not revision.same(applied, turn.seen, turn.target)


def woken_before(turn: Turn) -> bool:
    """Whether pods of another template run before its rollout starts, and may have read other configs than now.

    Somebody else woke the target, or made it: after a loss of the cluster, say. Or we did, and a crash kept that from
    being recorded, so that nobody knows what its pods have read.
    """
    applied, target = turn.status.rollout.applied, turn.target
    if applied is None or turn.status.rollout.serving_canary or not target.sleeps or target.replicas == 0:
        return False
    return applied.configs != dict(turn.seen.configs.ours)


def emptied(turn: Turn) -> bool:
    """Whether the last of those pods is gone; until then they are sent away, at most once an interval."""
    target, scaled = turn.target, turn.status.rollout.scaled_at
    if target.replicas == 0 and not target.falling_asleep:
        return True
    turn.wait(f"waiting for the pods of {turn.target_name} to end that read its configs before they changed")
    if target.replicas > 0 and moving.traffic_left(turn) and (scaled is None or turn.passed(scaled + turn.interval)):
        pausing.sleep(turn)
        turn.note(scaled_at=turn.now)
    return False
