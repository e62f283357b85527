"""A canary of which no pod can serve any more while it has users: they go back to the primary at once.

Where it goes from there is up to what it is waited for then: it becomes ready again, or it is rolled back by its
deadline, by what the kubelet says, or because it went down too often.
"""

from __future__ import annotations

from flaggerpy.rollout import restart, rollback, scaling
from flaggerpy.rollout.decision import SetRoutes
from flaggerpy.rollout.turn import Turn


def leaves_analysis(turn: Turn) -> bool:
    """Take users off a canary that went down in its analysis, which starts again; it counts as a failed check."""
    if not _has_users_and_cannot_serve(turn):
        return False
    failed = turn.status.failed_checks + 1
    restart.back_to_the_start(turn)
    turn.set(failed_checks=failed)
    why = f"no pod of {turn.target_name} can serve any more: its users go back to the primary"
    turn.warn(why)
    turn.wake_now()
    if failed >= turn.canary.analysis.threshold:
        rollback.decide(turn, f"failed checks threshold reached {failed}: {why}")
    return True


def leaves_promotion(turn: Turn) -> bool:
    """Take users off a canary that went down before the primary was ready; what serves of the primary serves them."""
    if not _has_users_and_cannot_serve(turn):
        return False
    turn.do(SetRoutes(turn.routes_at(0)))
    scaling.hurry(turn)
    turn.begin_step(0)
    turn.moved()
    turn.warn(f"no pod of {turn.target_name} can serve any more: routing all traffic to primary")
    turn.wake_now()
    return True


def _has_users_and_cannot_serve(turn: Turn) -> bool:
    """Whether users are sent to a canary without a pod that can serve, though the primary has one."""
    primary, live = turn.seen.primary, turn.seen.route.routes
    serves = primary is not None and primary.available_replicas > 0
    given = turn.status.rollout.step.weight > 0 or (live is not None and live.canary > 0)
    down = turn.target.available_replicas == 0 and not turn.status.rollout.serving_canary
    return turn.seen.routed and serves and given and down
