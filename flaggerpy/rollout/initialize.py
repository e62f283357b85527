"""Bootstrap: build the primary beside the serving target, move users over, then let the target sleep.

The order keeps users served at every instant: Services → primary ready at the target's size → apex Service and route to
the primary → users have left the target → target to zero.
"""

from __future__ import annotations

from flaggerpy.api.status import Phase, RolloutStatus, Step
from flaggerpy.rollout import children, failfast, kept, moving, pausing, revision, scaling
from flaggerpy.rollout.decision import (
    Action,
    CopyConfigs,
    ServiceRole,
    SetRoutes,
    UpdatePrimary,
    WriteService,
)
from flaggerpy.rollout.readiness import Readiness
from flaggerpy.rollout.turn import Turn


def enter(turn: Turn) -> None:
    """Begin to take a workload over; what is recorded of an earlier life no longer holds."""
    old = turn.status.rollout
    turn.set(
        phase=Phase.INITIALIZING,
        failed_checks=0,
        iterations=0,
        rollout=RolloutStatus(
            pending=old.pending, reason=old.reason, request=old.request, paused=old.paused, routes=old.routes
        ),
    )


def run(turn: Turn) -> None:
    """Take the next step of the bootstrap."""
    if _primary_is_as_wanted(turn) and _primary_serves(turn) and _users_moved(turn):
        _finish(turn)


def _primary_is_as_wanted(turn: Turn) -> bool:
    """Whether the primary is what the target asks for; once users are on it, it stays what it is."""
    primary, target = turn.seen.primary, turn.target
    if primary is not None and _users_on_primary(turn):
        return True
    begun = kept.precedes(turn)
    if begun and not kept.is_in_place(turn):
        return False
    if primary is None:
        children.clone_target(turn)
    elif not begun and not revision.same(turn.status.rollout.applied, turn.seen, target):
        turn.do(CopyConfigs(dict(turn.seen.configs.ours)), UpdatePrimary())
        turn.wait_for_new_pods()
        turn.wake_now()
    elif not scaling.has_size(turn, target.replicas):
        turn.wait(f"waiting for {turn.primary_name} to become ready")
        return False
    else:
        return True
    turn.note(applied=turn.current_revision(), step=Step(started_at=turn.now))
    return False


def _users_on_primary(turn: Turn) -> bool:
    live = turn.seen.route.routes if turn.seen.routed else None
    return live.primary > 0 if live is not None else turn.seen.services.apex


def _primary_serves(turn: Turn) -> bool:
    state = turn.primary_readiness()
    if state.ready:
        return True
    turn.wait_until_ready(turn.primary_name, state, _given_up(turn, state))
    return False


def _given_up(turn: Turn, state: Readiness) -> str:
    """Say why the primary cannot become ready, or that it is late; empty until then.

    Nothing comes of it but one alert: users are on the target, and a corrected template is taken up, unless what was
    promoted before comes first.
    """
    advice = kept.way_out(turn) or f"mend the template of {turn.target_name}"
    cannot = f"{turn.primary_name} cannot become ready: "
    if hopeless := _hopeless(turn):
        _alert(turn, cannot + hopeless)
        # While it is hopeless, the kubelet says the same in changing words.
        before = turn.before.rollout.reason
        return before if before.startswith(cannot) else f"{cannot}{hopeless}: {advice}"
    if state.stuck:
        _alert(turn, f"{turn.primary_name} did not become ready: {state.message}")
        return f"{turn.primary_name} did not become ready within {turn.deadline.total_seconds():g}s: {advice}"
    return ""


def _hopeless(turn: Turn) -> str:
    primary = turn.seen.primary
    return failfast.why(turn, primary, turn.canary.analysis.primary_ready_threshold) if primary is not None else ""


def _alert(turn: Turn, message: str) -> None:
    """Alert once a template, however often its pods seem to start."""
    if turn.status.rollout.step.attempt == 0:
        turn.judged()
        turn.alert("error", message)


def _users_moved(turn: Turn) -> bool:
    """Whether users have moved to the primary and had time to leave the target."""
    moved = turn.status.rollout.moved_at
    writes: list[Action] = []
    if not turn.seen.services.apex:
        writes.append(WriteService(ServiceRole.APEX))
    if turn.seen.routed and (turn.seen.route.routes != turn.routes_at(0) or turn.seen.route.drifted):
        writes.append(SetRoutes(turn.routes_at(0)))
    if not writes and turn.target.replicas == 0:
        return True
    turn.wait("letting users move to the primary")
    if moved is not None and not writes:
        return moving.traffic_left(turn)
    if turn.paused and moved is None:
        turn.wait(turn.paused)
        return False
    # Not moved yet; or moved by a tick that died before it could say so, and the wait starts now; or undone by somebody
    # else, or written in two steps by the router, and written again after a while.
    if moved is None or children.may_write_again(turn):
        turn.do(*writes)
        turn.moved()
        turn.note(mended_at=turn.now)
        turn.wake_now()
    return False


def _finish(turn: Turn) -> None:
    target, applied = turn.target, turn.status.rollout.applied
    running = applied or revision.of_primary(turn.seen, target) or turn.current_revision()
    kept.keep(turn, running, of_primary=not revision.same(running, turn.seen, target))
    if pausing.awake(turn):
        pausing.sleep(turn)
        turn.note(scaled_at=turn.now)
    turn.set(
        phase=Phase.INITIALIZED,
        last_applied_spec=running.template,
        last_promoted_spec=running.template,
        tracked_configs=dict(turn.seen.configs.flagger),
    )
    turn.begin_step(0)
    turn.wait("")
    turn.note(applied=running, promoted=running)
    turn.say(f"Initialization done! {turn.name}", arrived=True)
    turn.alert("info", f"New {turn.canary.spec.target_ref.kind} detected, initialization completed.", fields=True)
    turn.wake_now()
