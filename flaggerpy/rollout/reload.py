"""Pods read their configs when they start, so those that read older ones go before newer ones are analysed.

A target that sleeps has none. Where one runs, in mid-rollout, its users leave it first. Only a target that serves all
users, because the primary cannot, keeps its pods.
"""

from __future__ import annotations

from flaggerpy.rollout import moving, pausing, revision
from flaggerpy.rollout.turn import Turn


def needed(turn: Turn) -> bool:
    """Whether the target's pods may have read other configs than there are now.

    Those of another template count as well: somebody else woke them between rollouts, or made the target again after a
    loss of the cluster; a crash kept it from being recorded what they were to read; or template and configs changed
    between two looks, and nobody knows which of them did so first. Then a config may even be as it was, if somebody
    changed it and put it back: its pods could have started in between.
    """
    applied = turn.status.rollout.applied
    if applied is None or turn.status.rollout.serving_canary:
        return False
    if not revision.same_configs(applied, turn.seen):
        return True
    return revision.rewritten(applied, turn.seen) and not revision.same_template(applied, turn.target)


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
