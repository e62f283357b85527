"""A canary of which no pod can serve any more while it has users: they go back to the primary at once.

Where it goes from there is up to what it is waited for then: it becomes ready again, or it is rolled back by its
deadline, by what the kubelet says, or because it went down too often.
"""

from __future__ import annotations

from flaggerpy.rollout import restart, rollback, scaling
from flaggerpy.rollout.decision import ServiceRole, SetRoutes, WriteService
from flaggerpy.rollout.transition import ANALYSIS
from flaggerpy.rollout.turn import Turn


def leaves_analysis(turn: Turn) -> bool:
    """Take users off a canary that went down in its analysis, which starts again; too many times are a rollback."""
    why, failed = starts_again(turn), turn.status.failed_checks
    if why and failed >= turn.canary.analysis.threshold:
        rollback.decide(turn, f"failed checks threshold reached {failed}: {why}")
    return bool(why)


def starts_again(turn: Turn) -> str:
    """Take users off a canary that went down in its analysis, and count that; return why, empty where it did not."""
    if not _has_users_and_cannot_serve(turn):
        return ""
    failed = turn.status.failed_checks + 1
    restart.back_to_the_start(turn)
    turn.set(failed_checks=failed)
    why = f"no pod of {turn.target_name} can serve any more: its users go back to the primary"
    turn.warn(why)
    turn.wake_now()
    return why


def leaves_promotion(turn: Turn) -> bool:
    """Take users off a canary that went down before the primary was ready; what serves of the primary serves them."""
    if not _has_users_and_cannot_serve(turn):
        return False
    send_back(turn)
    turn.warn(f"no pod of {turn.target_name} can serve any more: routing all traffic to primary")
    return True


def leaves_everybody(turn: Turn) -> bool:
    """Take all users off a target that served them alone and went down, once the primary has a pod that can serve."""
    primary = turn.seen.primary
    if turn.target.available_replicas > 0 or primary is None or primary.available_replicas == 0:
        return False
    give_back(turn)
    if turn.status.phase in ANALYSIS:
        restart.forget(turn)
    return True


def send_back(turn: Turn) -> None:
    """Send everybody to the primary in mid-rollout; an analysis starts again."""
    if turn.status.phase in ANALYSIS:
        restart.back_to_the_start(turn)
    else:
        turn.do(SetRoutes(turn.routes_at(0)))
        scaling.hurry(turn)
        turn.begin_step(0)
        turn.moved()
    turn.wake_now()


def give_back(turn: Turn) -> None:
    """End it that the target serves everybody: the primary can, or is better than nothing."""
    if turn.seen.routed:
        turn.do(SetRoutes(turn.routes_at(0)))
    if turn.seen.services.apex_elsewhere:
        turn.do(WriteService(ServiceRole.APEX))  # it was left alone as long as only the target could serve
    turn.begin_step(0)
    turn.note(serving_canary=False)
    turn.moved()
    turn.say("Routing all traffic to primary")
    turn.wake_now()


def _has_users_and_cannot_serve(turn: Turn) -> bool:
    """Whether users are sent to a canary without a pod that can serve, though the primary has one."""
    primary, live = turn.seen.primary, turn.seen.route.routes
    serves = primary is not None and primary.available_replicas > 0
    given = turn.status.rollout.step.weight > 0 or (live is not None and live.canary > 0)
    down = turn.target.available_replicas == 0 and not turn.status.rollout.serving_canary
    return turn.seen.routed and serves and given and down
