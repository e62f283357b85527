"""Deletion and release: users go back to the target before anything of ours goes away.

The order keeps users served: target at the primary's size and ready → apex Service to the target → route to the apex →
users have left the primary → delete what we made → let the Canary go. The apex Service and the route stay, since users
come through them. Where the target is gone as well, nothing is left to serve and everything we made is deleted.
Waiting is bounded: a target that does not become ready leaves the primary serving.
"""

from __future__ import annotations

from flaggerpy.api.constants import RELEASE
from flaggerpy.api.status import Phase, Step
from flaggerpy.rollout.decision import (
    DeleteChildren,
    ReleaseRoute,
    ReleaseService,
    RemoveFinalizer,
    ScaleTarget,
)
from flaggerpy.rollout.readiness import readiness
from flaggerpy.rollout.turn import Turn
from flaggerpy.rollout.workload import Workload


def wanted(turn: Turn) -> bool:
    """Whether the Canary is being deleted, or its release was asked for."""
    return turn.canary.is_deleting or turn.canary.metadata.annotations.get(RELEASE) == "true"


def run(turn: Turn) -> None:
    """Take the next step of giving the traffic back."""
    if not turn.canary.has_finalizer:
        _finished_before(turn)
        return
    if turn.status.phase is not Phase.TERMINATING:
        turn.set(phase=Phase.TERMINATING)
        turn.note(step=Step(weight=turn.status.rollout.step.weight, started_at=turn.now), moved_at=None)
        turn.say(f"Terminating canary {turn.name}")
        turn.wake_now()
        return
    target = turn.seen.target
    if target is None or target.deleting:
        turn.do(DeleteChildren(serving=False))
        _finish(turn)
        return
    if _target_serves(turn, target):
        _give_back(turn)


def _finished_before(turn: Turn) -> None:
    if not turn.canary.is_deleting and turn.status.phase is not Phase.TERMINATED:
        turn.set(phase=Phase.TERMINATED, canary_weight=0)


def _target_serves(turn: Turn, target: Workload) -> bool:
    """Whether the target has the primary's size and is ready; gives up on it when its time is over."""
    began = turn.status.rollout.step.started_at or turn.now
    size = max(turn.seen.primary.replicas if turn.seen.primary else 1, 1)
    if target.replicas < size:
        turn.do(ScaleTarget(size))
        turn.wait(f"waiting for {turn.target_name} to become ready before the primary goes")
        turn.wake(began + turn.deadline)
        return False
    state = readiness(target, percent=100, deadline=turn.deadline, now=turn.now)
    if state.ready:
        return True
    if state.stuck or turn.now >= began + turn.deadline:
        turn.warn(
            f"{turn.target_name} did not become ready: {turn.primary_name}, its Services and its route stay "
            "as they are and go on serving; delete them by hand once the target serves"
        )
        _finish(turn)
        return False
    turn.wait(f"waiting for {turn.target_name} to become ready before the primary goes")
    turn.wake(began + turn.deadline)
    return False


def _give_back(turn: Turn) -> None:
    if not turn.seen.services.apex_released:
        turn.do(ReleaseService())
        _users_move(turn)
        return
    if not turn.traffic_left():
        turn.wait("letting users move to the target")
        return
    if not turn.seen.route_released:
        turn.do(ReleaseRoute())
        _users_move(turn)
        return
    turn.do(DeleteChildren(serving=True))
    _finish(turn)


def _users_move(turn: Turn) -> None:
    turn.note(moved_at=turn.now)
    turn.wait("letting users move to the target")
    turn.wake(turn.now + turn.settle)


def _finish(turn: Turn) -> None:
    turn.do(RemoveFinalizer())
    turn.say(f"Terminated canary {turn.name}")
    if not turn.canary.is_deleting:
        turn.set(phase=Phase.TERMINATED, canary_weight=0)
