"""Finalising: users have moved back to the primary; let the last ones leave, then let the target sleep."""

from __future__ import annotations

from flaggerpy.api.status import Phase
from flaggerpy.rollout import children, kept, moving, pausing, promote, revision, scaling
from flaggerpy.rollout.turn import Turn


def run(turn: Turn) -> None:
    """End a rollout that succeeded; the canary keeps running until it is certain that it is not needed any more."""
    if turn.seen.primary is None:
        turn.set(phase=Phase.PROMOTING)
        turn.wake_now()
        return
    if not children.mend_route(turn):
        return
    state = turn.primary_readiness()
    if scaling.enough(turn, state):
        _end(turn)
    elif state.stuck:
        promote.fail(turn, state.message)
    else:
        scaling.wait(turn, state)


def _end(turn: Turn) -> None:
    turn.wait("letting users move to the primary")
    if moving.traffic_left(turn):
        turn.wait("")
        if pausing.awake(turn) and revision.same(turn.status.rollout.applied, turn.seen, turn.target):
            pausing.sleep(turn)
            turn.note(scaled_at=turn.now)
        kept.prune(turn)
        succeed(turn)


def succeed(turn: Turn) -> None:
    """Say that the rollout is over."""
    skipped = turn.canary.spec.skip_analysis
    turn.set(phase=Phase.SUCCEEDED, failed_checks=0, iterations=0, last_promoted_spec=turn.status.last_applied_spec)
    turn.note(recall=None)
    turn.outcome = "skipped" if skipped else "succeeded"
    if skipped:
        turn.say(f"Promotion completed! Canary analysis was skipped for {turn.target_name}", arrived=True)
        turn.alert("info", "Canary analysis was skipped, promotion finished.")
    else:
        turn.say(f"Promotion completed! Scaling down {turn.target_name}", arrived=True)
        turn.alert("info", "Canary analysis completed successfully, promotion finished.")
    turn.announce("post-rollout", kind="hooks", phase=Phase.SUCCEEDED.value)
    turn.wake_now()
