"""Promotion: the primary takes the analysed template, becomes ready, and gets the traffic back.

Users stay where the analysis left them until every pod of the primary runs the new template and is ready. What is
promoted is what was analysed: the target's template and configs are compared with the record in the tick that copies.
"""

from __future__ import annotations

from flaggerpy.api.status import Phase
from flaggerpy.rollout import children, revision
from flaggerpy.rollout.decision import CopyConfigs, ScalePrimary, SetRoutes, UpdatePrimary
from flaggerpy.rollout.traffic import ALL_TO_CANARY, ALL_TO_PRIMARY, to_canary
from flaggerpy.rollout.turn import Turn


def begin(turn: Turn) -> None:
    """Copy the analysed configs and template to the primary."""
    primary, target = turn.seen.primary, turn.target
    if primary is not None and turn.canary.spec.autoscaler_ref is None and primary.replicas < target.replicas:
        turn.do(ScalePrimary(target.replicas))
    applied = turn.status.rollout.applied
    turn.do(CopyConfigs(dict(applied.configs) if applied else {}), UpdatePrimary())
    turn.set(phase=Phase.PROMOTING)
    turn.note(step=turn.status.rollout.step.model_copy(update={"started_at": turn.now, "checked_at": None}))
    turn.say(f"Copying {turn.target_name} template spec to {turn.primary_name}")


def run(turn: Turn) -> None:
    """Wait for the primary, then move the traffic back, at once or in steps."""
    applied = turn.status.rollout.applied
    primary = turn.seen.primary
    unchanged = revision.same(applied, turn.seen, turn.target)
    if primary is None or (applied is not None and primary.template != applied.template):
        _template_lost(turn, unchanged=unchanged)
        return
    if not unchanged and turn.seen.routed and not turn.status.rollout.serving_canary:
        _leave_changed_canary(turn)
    state = turn.primary_readiness()
    if state.stuck:
        _fail(turn, state.message)
        return
    if not state.ready:
        turn.wait(
            f"waiting for {turn.primary_name} to become ready",
            event=f"{turn.primary_name} not ready: {state.message}",
        )
        if state.stuck_at:
            turn.wake(state.stuck_at)
        return
    if not turn.acts():
        _move_traffic(turn)


def _template_lost(turn: Turn, *, unchanged: bool) -> None:
    """The primary does not run the analysed template: write it again, or analyse what the target asks for now."""
    if unchanged and turn.seen.primary is not None:
        turn.do(CopyConfigs(dict(turn.seen.configs.ours)), UpdatePrimary())
        turn.wait(f"waiting for {turn.primary_name} to take the analysed template")
        return
    if unchanged:
        children.clone_target(turn)
        turn.wait(f"waiting for {turn.primary_name} to become ready")
        return
    turn.set(phase=Phase.PROGRESSING)
    turn.wake_now()


def _leave_changed_canary(turn: Turn) -> None:
    """The target runs something else by now: nobody may reach it, the primary has what was analysed."""
    live = turn.seen.route.routes
    if live is not None and live.canary > 0:
        turn.do(SetRoutes(ALL_TO_PRIMARY))
        turn.begin_step(0)
        turn.note(moved_at=turn.now)
        turn.warn(f"{turn.target_name} changed during its promotion: routing all traffic to primary")


def _move_traffic(turn: Turn) -> None:
    increment = turn.canary.analysis.step_weight_promotion
    live = turn.seen.route.routes
    if not turn.seen.routed or (live is not None and live.canary == 0):
        _done(turn)
        return
    if increment <= 0 or turn.status.rollout.serving_canary:
        turn.say("Routing all traffic to primary")
        turn.do(SetRoutes(ALL_TO_PRIMARY))
        _done(turn)
        return
    _shift(turn, increment)


def _shift(turn: Turn, increment: int) -> None:
    """Give the primary one more increment, once an interval; the first as soon as it is ready."""
    step = turn.status.rollout.step
    live = turn.seen.route.routes
    wanted = max(step.weight - increment, 0)
    if live is not None and live.canary not in (step.weight, wanted):
        children.mend_route(turn)
        turn.wake(turn.now + turn.interval)
        return
    if live is not None and live.canary == wanted:
        _shifted(turn, wanted)
        return
    began = step.checked_at
    if began is not None and turn.now < began + turn.interval:
        turn.wake(began + turn.interval)
        return
    turn.do(SetRoutes(to_canary(wanted)))
    _shifted(turn, wanted)


def _shifted(turn: Turn, weight: int) -> None:
    turn.begin_step(weight)
    turn.judged()
    turn.say(f"Advance {turn.name} primary weight {100 - weight}")
    if weight == 0:
        _done(turn)
        return
    turn.wake(turn.now + turn.interval)


def _done(turn: Turn) -> None:
    turn.set(phase=Phase.FINALISING)
    turn.begin_step(0)
    turn.note(moved_at=turn.now, serving_canary=False)
    turn.wake(turn.now + turn.settle if turn.seen.routed else turn.now)


def _fail(turn: Turn, why: str) -> None:
    """The primary cannot take the new template: serve from the canary, which was analysed and is ready."""
    serve = (
        turn.seen.routed
        and turn.target_readiness().ready
        and revision.same(turn.status.rollout.applied, turn.seen, turn.target)
    )
    if serve:
        turn.do(SetRoutes(ALL_TO_CANARY))
    message = f"Promotion of {turn.target_name} failed, primary not ready: {why}"
    turn.set(phase=Phase.FAILED, failed_checks=0, iterations=0)
    turn.begin_step(100 if serve else 0)
    turn.note(serving_canary=serve, moved_at=turn.now)
    turn.outcome = "failed"
    turn.warn(message)
    turn.alert("error", message)
    turn.announce("post-rollout", kind="hooks", phase=Phase.FAILED.value)
