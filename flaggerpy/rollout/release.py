"""Deletion and release: users go back to the target before anything of ours goes away.

The order keeps users served: target at the primary's size and ready → apex Service to the target → route to the apex →
users have left the primary → delete what we made → let the Canary go. The apex Service and the route stay, since users
come through them. Where the target is gone as well, nothing is left to serve and everything we made is deleted.

It never hangs: a target that does not become ready in time, a route that the data plane refuses, or a stranger who
undoes what is written, leaves the primary serving with everything that it needs. Until then the status says how long
that is waited for. A route that was refused from the bootstrap on leads nobody to the primary, which is soon let go.
"""

from __future__ import annotations

from datetime import datetime

from flaggerpy.api.constants import RELEASE
from flaggerpy.api.status import Phase, Step
from flaggerpy.rollout import children, failfast, leaving, moving, pausing, refusal, scaling
from flaggerpy.rollout.decision import (
    Action,
    DeleteChildren,
    ReleaseRoute,
    ReleaseService,
    RemoveFinalizer,
    ScaleTarget,
    ServiceRole,
    SetRoutes,
    WriteService,
)
from flaggerpy.rollout.readiness import Readiness, readiness
from flaggerpy.rollout.traffic import NOTHING
from flaggerpy.rollout.turn import Turn
from flaggerpy.rollout.workload import Workload

_ALL = 100
"""Percent of the target's pods that must be available before it takes over."""


def wanted(turn: Turn) -> bool:
    """Whether the Canary is being deleted, or its release was asked for."""
    return turn.canary.is_deleting or turn.canary.metadata.annotations.get(RELEASE) == "true"


def run(turn: Turn) -> None:
    """Take the next step of giving the traffic back."""
    if not turn.canary.has_finalizer:
        turn.wait(turn.before.rollout.reason)
        if not turn.canary.is_deleting:
            turn.set(phase=Phase.TERMINATED, canary_weight=0)
        return
    if turn.status.phase is not Phase.TERMINATING or turn.status.rollout.step.started_at is None:
        _begin(turn)  # or go on where Flagger began
        return
    _resume(turn)
    target = turn.seen.target
    if target is None or target.deleting:
        turn.do(DeleteChildren(serving=False))
        _finish(turn)
    elif _given_back(turn, target) or _target_serves(turn, target):
        _give_back(turn)


def _begin(turn: Turn) -> None:
    turn.set(phase=Phase.TERMINATING)
    step = Step(weight=turn.status.rollout.step.weight, started_at=turn.now)
    turn.note(step=step, moved_at=None, scaled_at=None, mended_at=None, share="")
    turn.say(f"Terminating canary {turn.name}")
    turn.wake_now()


def _resume(turn: Turn) -> None:
    """Let the target's autoscaler go on, at most once an interval however often somebody pauses it."""
    scaled = turn.before.rollout.scaled_at
    if turn.seen.paused and (scaled is None or turn.passed(scaled + turn.interval)):
        pausing.resume(turn)
        turn.note(scaled_at=turn.now)


def _began(turn: Turn) -> datetime:
    return turn.status.rollout.step.started_at or turn.now


def _given_back(turn: Turn, target: Workload) -> bool:
    """Whether users reach the target; where Service and route are gone it may still sleep."""
    reached = turn.seen.services.apex_released and turn.seen.route_released and target.replicas > 0
    return reached and (target.available_replicas > 0 or not _primary_serves(turn))


def _primary_serves(turn: Turn) -> bool:
    return turn.seen.primary is not None and turn.seen.primary.available_replicas > 0


def _target_serves(turn: Turn, target: Workload) -> bool:
    """Whether the target has the primary's size and is ready; gives up on it when its time is over."""
    state = readiness(target, percent=_ALL, deadline=turn.deadline, now=turn.now, since=_began(turn))
    size = scaling.released_size(turn)
    ready = state.ready or not target.sleeps or _is_on_all_nodes(turn, target)
    if ready and target.replicas >= size and not turn.seen.paused:
        return True
    too_late = _began(turn) + turn.deadline
    if not turn.passed(too_late) and not (state.stuck and target.replicas >= size):
        _wait_for_target(turn, target, until=too_late)
        _scale_target(turn, target, size)  # first, since a route that is refused must not keep it small
        _leave_unready_target(turn)
    elif state.ready and target.replicas > 0 and turn.seen.scaler is not None:
        return True  # its own autoscaler wants no more than this
    else:
        _give_up(turn, f"{turn.target_name} did not become ready: {_why(turn, target, state)}")
    return False


def _wait_for_target(turn: Turn, target: Workload, until: datetime) -> None:
    outlook = f"gives up at {refusal.clock(until)} and leaves the primary serving"
    if not turn.seen.returnable and turn.seen.problems:
        outlook = f"{outlook}; until then its route stays as it is: {' '.join(turn.seen.problems)}"
    cannot = f"{turn.target_name} cannot become ready: "
    hopeless, before = failfast.why(turn, target, _ALL), turn.before.rollout.reason
    if hopeless:
        # While it is hopeless, the kubelet says the same in changing words.
        reason = before if before.startswith(cannot) else f"{cannot}{hopeless}; {outlook}"
        turn.wait(reason, event=reason)
    else:
        turn.wait(f"waiting for {turn.target_name} to become ready before the primary goes; {outlook}")


def _why(turn: Turn, target: Workload, state: Readiness) -> str:
    """Say what kept the target from becoming ready, in the kubelet's words where there are some."""
    return failfast.why(turn, target, _ALL) or state.message or "it has too few pods"


def _is_on_all_nodes(turn: Turn, target: Workload) -> bool:
    """Whether a DaemonSet has as many pods that serve as its primary, though some node may be down."""
    there = turn.seen.primary.available_replicas if turn.seen.primary is not None else 0
    return target.per_node and target.runs_one_template and target.available_replicas >= max(there, 1)


def _leave_unready_target(turn: Turn) -> bool:
    """Nobody stays on a canary that cannot take everybody yet, or on a target that went down once it had everybody.

    Returns whether something had to be written for it. A route that cannot be written stays as it is.
    """
    live, writable = turn.seen.route.routes, turn.seen.routed and turn.seen.returnable
    leaves = writable and live is not None and live.traffic != NOTHING and not turn.only_canary_serves()
    if leaves:
        turn.do(SetRoutes(turn.routes_at(0)))
        turn.set(canary_weight=0)
    given_back = turn.seen.services.apex_released and turn.status.rollout.moved_at is not None
    returns = given_back and turn.target.available_replicas == 0 and _primary_serves(turn)
    if returns:
        turn.do(WriteService(ServiceRole.APEX))
        turn.note(moved_at=None)
    return leaves or returns


def _scale_target(turn: Turn, target: Workload, size: int) -> None:
    scaled = turn.before.rollout.scaled_at
    if target.replicas < size and not target.falling_asleep and (scaled is None or turn.passed(scaled + turn.interval)):
        turn.do(ScaleTarget(size))
        turn.note(scaled_at=turn.now)


def _give_back(turn: Turn) -> None:
    writes: list[Action] = []
    if not turn.seen.services.apex_released:
        writes.append(ReleaseService())
    if not turn.seen.route_released:
        writes.append(ReleaseRoute())
    moved = turn.status.rollout.moved_at
    turn.wait("letting users move to the target")
    leaving.forget(turn)
    if not writes and moved is not None and refusal.stands(turn) and turn.passed(_patience_ends(turn)):
        _go_without_route(turn)
    elif not writes and moved is not None and moving.traffic_left(turn, _outlook(turn)):
        turn.do(DeleteChildren(serving=True))
        _finish(turn)
    elif writes and not turn.seen.routable and turn.passed(_patience_ends(turn)):
        _give_up(turn, " ".join(turn.seen.problems))
    elif turn.passed(_too_long(turn)):
        _give_up(turn, "something else undoes what is written, or it is refused")
    elif moved is None or (writes and children.may_write_again(turn)):
        # Without a record of the move, after a crash say, the wait starts anew.
        turn.do(*writes)
        turn.moved()
        turn.note(mended_at=turn.now)
        turn.wake_now()


def _too_long(turn: Turn) -> datetime:
    """When giving back should have come to its end: the target's time, and all that a route may take after it.

    Services enter and leave a route at weight 0, which makes three writes of it, and a gateway may say nothing.
    """
    steps = 4 * turn.settle + turn.seen.limits.accept_within
    return _began(turn) + 2 * turn.deadline + steps


# A route that the data plane refuses


def _patience_ends(turn: Turn) -> datetime:
    """Until when a refused route is waited for.

    Somebody may mend it within the time that a target has to become ready. Who never came through it need not leave.
    """
    patience = turn.seen.limits.accept_within if _never_served(turn) else turn.deadline
    return min((turn.status.rollout.mended_at or _began(turn)) + patience, _too_long(turn))


def _outlook(turn: Turn) -> str:
    ends = refusal.clock(_patience_ends(turn))
    return (
        f"goes on without it at {ends}" if _never_served(turn) else f"gives up at {ends} and leaves the primary serving"
    )


def _never_served(turn: Turn) -> bool:
    """Whether the bootstrap never ended; a Canary that Flagger began has a record of its template at once."""
    status = turn.status
    return status.rollout.promoted is None and not status.last_applied_spec and not status.last_promoted_spec


def _go_without_route(turn: Turn) -> None:
    if not _never_served(turn):
        _give_up(turn, refusal.words(turn))
        return
    turn.wait(f"{turn.target_name} serves its users without a route: {refusal.words(turn)}")
    turn.warn(turn.reason)
    turn.do(DeleteChildren(serving=True))
    _finish(turn)


def _give_up(turn: Turn, why: str) -> None:
    """Let the Canary go and leave the primary serving.

    Users leave a target that cannot serve them first, and not in the same tick: a write that is refused would keep the
    Canary for ever.
    """
    if not turn.passed(_too_long(turn)) and _leave_unready_target(turn):
        turn.wait(why)
        turn.wake_now()
        return
    advice = (
        f"{why}: {turn.primary_name}, its Services and its route stay as they are and go on serving; "
        "delete them by hand once the target serves"
    )
    turn.warn(advice)
    turn.wait(advice)
    _finish(turn)


def _finish(turn: Turn) -> None:
    pausing.resume(turn)
    turn.do(RemoveFinalizer())
    turn.say(f"Terminated canary {turn.name}")
    if not turn.canary.is_deleting:
        turn.set(phase=Phase.TERMINATED, canary_weight=0)
