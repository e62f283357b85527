"""Bootstrap: build the primary beside the serving target, move users over, then let the target sleep.

The order keeps users served at every instant: Services → primary ready at the target's size → apex Service and route to
the primary → users have left the target → target to zero.
"""

from __future__ import annotations

from flaggerpy.api.status import Phase, Revision
from flaggerpy.rollout import children
from flaggerpy.rollout.decision import (
    CopyConfigs,
    ScalePrimary,
    ScaleTarget,
    ServiceRole,
    SetRoutes,
    UpdatePrimary,
    WriteService,
)
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY
from flaggerpy.rollout.turn import Turn


def run(turn: Turn) -> None:
    """Take the next step of the bootstrap."""
    if turn.status.phase is Phase.NEW:
        turn.set(phase=Phase.INITIALIZING)
    primary, target = turn.seen.primary, turn.target
    if primary is None:
        children.clone_target(turn)
        turn.wait(f"waiting for {turn.primary_name} to become ready")
        return
    taken_over = turn.seen.services.apex
    if not taken_over and primary.template != target.template:
        turn.do(CopyConfigs(dict(turn.seen.configs.ours)), UpdatePrimary())
        return
    if not taken_over and primary.replicas < target.replicas:
        turn.do(ScalePrimary(target.replicas))
        return
    if not _primary_serves(turn):
        return
    if not taken_over:
        turn.do(WriteService(ServiceRole.APEX))
        turn.note(moved_at=turn.now)
        turn.wait("letting users move to the primary")
    if not _route_stands(turn) or not taken_over:
        turn.wake(turn.now + turn.settle)
        return
    if target.replicas > 0 and not turn.traffic_left():
        turn.wait("letting users move to the primary")
        return
    _finish(turn)


def _primary_serves(turn: Turn) -> bool:
    state = turn.primary_readiness()
    if state.ready:
        return True
    reason = f"waiting for {turn.primary_name} to become ready"
    if state.stuck:
        within = f"{turn.deadline.total_seconds():g}s"
        reason = f"{turn.primary_name} did not become ready within {within}: mend the template of {turn.target_name}"
        if turn.status.rollout.reason != reason:
            turn.alert("error", f"{turn.primary_name} did not become ready: {state.message}")
    turn.wait(reason, event=f"{turn.primary_name} not ready: {state.message}")
    if state.stuck_at and not state.stuck:
        turn.wake(state.stuck_at)
    return False


def _route_stands(turn: Turn) -> bool:
    """Whether the routing object exists as wanted; writing it starts the wait for users to move."""
    if not turn.seen.routed:
        return True
    route = turn.seen.route
    if route.routes == ALL_TO_PRIMARY and not route.drifted:
        return True
    turn.do(SetRoutes(ALL_TO_PRIMARY))
    turn.note(moved_at=turn.now)
    turn.wait("letting users move to the primary")
    return False


def _finish(turn: Turn) -> None:
    target = turn.target
    if target.replicas > 0:
        turn.do(ScaleTarget(0))
        turn.note(scaled_at=turn.now)
    revision = _running(turn)
    turn.set(
        phase=Phase.INITIALIZED,
        last_applied_spec=revision.template,
        last_promoted_spec=revision.template,
        tracked_configs=dict(turn.seen.configs.flagger),
        canary_weight=0,
    )
    turn.note(applied=revision, promoted=revision)
    turn.say(f"Initialization done! {turn.name}")
    turn.alert("info", f"New {turn.canary.spec.target_ref.kind} detected, initialization completed.", fields=True)


def _running(turn: Turn) -> Revision:
    """The revision of the primary: an older one than the target's when the primary served before us."""
    now = turn.current_revision()
    primary = turn.seen.primary
    if primary is None or primary.template == now.template:
        return now
    return Revision(template=primary.template, configs=now.configs)
