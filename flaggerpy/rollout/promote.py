"""Promotion: the primary takes the analysed template, becomes ready, and gets the traffic back.

Users stay where the analysis left them until every pod of the primary runs the new template and is ready, and, where an
autoscaler changes their number, there are enough of them (scaling.py). What is promoted is what was analysed: the
target's template and configs are compared with the record in the tick that copies.

Like a rollback, it is decided in one tick and acted on in the next. ``status.rollout.promoted`` is empty in between, so
whatever happens there, nobody takes a half-written primary for the old revision.
"""

from __future__ import annotations

from flaggerpy.api.status import Phase
from flaggerpy.rollout import audience, children, down, failfast, kept, revision, rollback, scaling, sizing
from flaggerpy.rollout.decision import CopyConfigs, CreatePrimary, ScalePrimary, SetRoutes, UpdatePrimary
from flaggerpy.rollout.traffic import NOTHING
from flaggerpy.rollout.turn import Turn


def begin(turn: Turn) -> None:
    """Decide that the analysed revision is to be copied to the primary."""
    turn.set(phase=Phase.PROMOTING)
    anew = {"started_at": turn.now, "checked_at": None, "attempt": 0, "growth": None}
    step = turn.status.rollout.step.model_copy(update=anew)
    wish = turn.status.rollout.advance if turn.advance == "full" else None
    turn.note(step=step, promoted=None, advance=wish, recall=None, asked_whole_at=None)
    scaling.forget(turn)
    turn.say(f"Copying {turn.target_name} template spec to {turn.primary_name}")
    turn.wake_now()


def run(turn: Turn) -> None:
    """Wait for the primary, then move the traffic back, at once or in steps."""
    unchanged = revision.same(turn.status.rollout.applied, turn.seen, turn.target)
    if unchanged and _leave_primary(turn):
        return
    if not _primary_has_it(turn, unchanged=unchanged):
        _write_primary(turn, unchanged=unchanged)
        return
    if not unchanged and leave_changed_canary(turn):
        return
    if down.leaves_promotion(turn):
        return
    state = turn.primary_readiness()
    enough = scaling.enough(turn, state)
    if not _route_stands(turn, enough=enough):
        return
    if enough:
        _move_traffic(turn)
    elif state.stuck:
        fail(turn, state.message)
    elif hopeless := _hopeless(turn):
        fail(turn, hopeless)
    else:
        scaling.wait(turn, state, failfast.blind(turn, turn.primary_name))


def fail(turn: Turn, why: str) -> None:
    """The primary cannot take the new template: serve from the canary, which was analysed and is ready."""
    message = f"Promotion of {turn.target_name} failed, primary not ready: {why}"
    stay = turn.seen.routed and (_canary_serves(turn) or turn.only_canary_serves())
    if stay and not sizing.takes_everybody(turn):
        return
    rollback.fail(turn, message, stay=stay)
    turn.warn(message)
    turn.alert("error", message)


def _canary_serves(turn: Turn) -> bool:
    """Whether the target still is what was analysed, and ready."""
    return revision.same(turn.status.rollout.applied, turn.seen, turn.target) and sizing.readiness(turn).ready


def _hopeless(turn: Turn) -> str:
    """Why the primary's new pods cannot start, where users can stay on the canary; empty when it is waited for.

    They go back by themselves if the primary becomes ready after all. Elsewhere a failure would only take the time from
    it in which it may.
    """
    primary = turn.seen.primary
    if primary is None or not turn.seen.routed or not _canary_serves(turn):
        return ""
    return failfast.why(turn, primary, turn.canary.analysis.primary_ready_threshold)


def _primary_has_it(turn: Turn, *, unchanged: bool) -> bool:
    """Whether the analysed template and configs were written, and the template is still there.

    It is written again once. If it does not read back as written even then (an admission webhook, say), it has to do.
    """
    rollout, primary = turn.status.rollout, turn.seen.primary
    if primary is None or rollout.applied is None or not revision.alike(rollout.promoted, rollout.applied):
        return False
    there = primary.template == rollout.applied.template or (unchanged and primary.template == turn.target.template)
    return there or rollout.step.attempt > 0


def _write_primary(turn: Turn, *, unchanged: bool) -> None:
    """Write what was analysed; if the target asks for something else by now, analyse that instead."""
    applied, primary = turn.status.rollout.applied, turn.seen.primary
    held = bool(turn.paused) and turn.status.rollout.promoted is None
    if unchanged and held and primary is not None:
        turn.wait(turn.paused)
        return
    turn.wake_now()
    if not unchanged or held or applied is None:
        turn.set(phase=Phase.PROGRESSING)
        return
    if primary is not None and revision.alike(turn.status.rollout.promoted, applied):
        turn.judged()
    sized = turn.canary.spec.autoscaler_ref is None and primary is not None and not primary.per_node
    if sized and primary is not None and primary.replicas < turn.target.replicas:
        turn.do(ScalePrimary(turn.target.replicas))
    turn.do(CopyConfigs(dict(applied.configs)))
    kept.keep(turn, applied)
    turn.do(UpdatePrimary() if primary is not None else CreatePrimary())
    turn.note(promoted=applied)
    turn.wait_for_new_pods()


def _leave_primary(turn: Turn) -> bool:
    """Take users off a primary that has no pod to serve them, before anything else: the canary was analysed and has.

    It was deleted, its old pods were killed before there were new ones, or all of them broke.
    """
    if not turn.only_canary_serves() or turn.status.rollout.step.weight == 100:
        return False
    if turn.seen.route.routes != turn.routes_at(100):
        turn.do(SetRoutes(turn.routes_at(100)))
    wish = turn.status.rollout.advance
    turn.begin_step(100)
    turn.note(advance=wish)  # a person's request is not served by this
    turn.moved()
    turn.warn(f"no pod of {turn.primary_name} can serve: routing all traffic to {turn.target_name}, which was analysed")
    turn.wake_now()
    return True


def leave_changed_canary(turn: Turn) -> bool:
    """The target runs something else by now: nobody may reach it, the primary has what was analysed."""
    live, outgrown = turn.seen.route.routes, audience.outgrown(turn.seen, turn.status)
    nobody = live is None or (live.traffic == turn.intended.traffic == NOTHING and not outgrown)
    if not turn.seen.routed or nobody:
        return False  # nobody does; what is not on record, because of a crash, would be taken back as drift
    if turn.status.rollout.serving_canary or turn.only_canary_serves():
        return False
    down.send_back(turn)
    turn.warn(f"{turn.target_name} changed during its promotion: routing all traffic to primary")
    return True


def next_weight(turn: Turn) -> int:
    """The canary's share after the next shift; one without a pod has no share to keep, and some audiences have none."""
    increment = turn.canary.analysis.step_weight_promotion
    at_once = increment <= 0 or turn.advance == "full" or turn.status.rollout.serving_canary
    undivided = audience.is_whole(turn.seen) or audience.outgrown(turn.seen, turn.status)
    if at_once or undivided or turn.target.available_replicas == 0:
        return 0
    return max(turn.status.rollout.step.weight - increment, 0)


def _route_stands(turn: Turn, *, enough: bool) -> bool:
    """Whether the live weights are the intended ones, or a shift of ours that a crash left unrecorded.

    As long as the primary cannot take its users, nobody but a stranger can have sent them there. What an edit made a
    share of more users is not written again: users stay where they are until they can return.
    """
    live = turn.seen.route.routes
    if live is not None and audience.outgrown(turn.seen, turn.status):
        return True
    if enough and live is not None and live.canary in {0, next_weight(turn)}:
        return True
    return children.mend_route(turn)


def _move_traffic(turn: Turn) -> None:
    """Give the primary one more increment, once an interval; the first as soon as it is ready."""
    # What was written for an audience may read as nothing where there is none.
    live = None if audience.outgrown(turn.seen, turn.status) else turn.seen.route.routes
    wanted = next_weight(turn)
    if not turn.seen.routed or (live is not None and live.traffic == NOTHING):
        _done(turn)
        return
    unrecorded = live is not None and live.traffic == (wanted, False)
    if not unrecorded and turn.target.available_replicas > 0 and not _shift_is_due(turn):
        return
    if not unrecorded:
        turn.do(SetRoutes(turn.routes_at(wanted)))
    turn.begin_step(wanted)
    turn.judged()
    if turn.canary.analysis.step_weight_promotion > 0:
        turn.say(f"Advance {turn.name} primary weight {100 - wanted}")
    else:
        turn.say("Routing all traffic to primary")
    if wanted == 0:
        _done(turn)
    else:
        turn.wake(turn.now + turn.interval)


def _shift_is_due(turn: Turn) -> bool:
    """Whether the canary, which can serve, has kept its share for long enough."""
    if turn.paused:
        turn.wait(turn.paused)
        return False
    since = turn.status.rollout.step.checked_at
    return turn.advance is not None or since is None or turn.passed(since + turn.interval)


def _done(turn: Turn) -> None:
    turn.set(phase=Phase.FINALISING)
    turn.begin_step(0)
    turn.note(serving_canary=False)
    turn.moved()
    turn.wake_now()
