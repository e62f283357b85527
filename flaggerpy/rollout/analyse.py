"""Progressing and WaitingPromotion: judge the canary at every due step, then raise its share or hand over to promotion.

A step is due one interval after it began or was last judged. The first one is due as soon as the canary is ready; if
hooks are called before it, a moment later.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from flaggerpy.api.analysis import HookType
from flaggerpy.rollout import (
    advance,
    affinity,
    children,
    down,
    failfast,
    gates,
    kept,
    moving,
    pausing,
    promote,
    restart,
    revision,
    rollback,
    safety,
    scaling,
    sizing,
    thresholds,
    verdicts,
)
from flaggerpy.rollout.decision import NeedChecks, ScaleTarget, SetRoutes
from flaggerpy.rollout.thresholds import Judged, Judgement
from flaggerpy.rollout.traffic import Routes
from flaggerpy.rollout.turn import UNREADY, Turn

NODES_KNOW_AFTER = timedelta(seconds=2)
"""How long the proxies of all nodes may take to lead a Service to a new pod; kube-proxy writes once a second."""


def run(turn: Turn) -> NeedChecks | None:
    """Take the next step of the analysis."""
    if turn.seen.primary is None:
        kept.interrupt(turn)
        return None
    kept.mend(turn)
    applied = turn.status.rollout.applied
    if not revision.same(applied, turn.seen, turn.target):
        if revision.unclear(applied, turn.seen, turn.target):
            safety.look_after(turn)
            turn.wait_for_controller()
        else:
            restart.change_of_mind(turn)
        return None
    kept.complete_record(turn)
    if not turn.canary.spec.skip_analysis and _gets_cookies(turn):
        return None
    if restart.outgrown(turn) or not _step_stands(turn):
        return None
    if turn.canary.spec.skip_analysis or turn.advance == "full":
        turn.wait(turn.paused) if turn.paused else promote.begin(turn)
        return None
    if turn.advance and _moved_live(turn):
        return advance.step(turn)
    if turn.paused and not restart.started(turn):
        # The hooks before a rollout prepare it: they are called when it is about to begin.
        turn.wait(turn.paused)
        return None
    if _comes_late(turn) or not _services_know(turn):
        return None
    if not turn.passed(_due(turn)):
        return _between(turn)
    return _judge(turn)


def _between(turn: Turn) -> NeedChecks | None:
    """Wait until the step is due; a share that was earned follows as soon as it has its pods."""
    if sizing.approved(turn) and not turn.paused and _moved_live(turn):
        return advance.step(turn)
    _keep_waiting(turn)
    return None


def _gets_cookies(turn: Turn) -> bool:
    """Give a rollout that lacks them its cookies; True when it had to, and routes with them wait for the next tick."""
    fresh = affinity.assigned(turn.seen, turn.status, turn.now)
    if fresh:
        turn.set(**fresh)
        turn.wake_now()
    return bool(fresh)


def _step_stands(turn: Turn) -> bool:
    """Whether both workloads are ready, and users are spread over them as the step asks for."""
    if _workloads_ready(turn):
        return _traffic_as_intended(turn)
    _mend_route_meanwhile(turn)
    return False


def _workloads_ready(turn: Turn) -> bool:
    """Whether the canary is ready, and the primary is ready or beyond waiting for."""
    primary = turn.primary_readiness()
    if primary.ready or primary.stuck:
        return _canary_ready(turn)
    if not down.leaves_analysis(turn):
        turn.wait_until_ready(turn.primary_name, primary)
    return False


def _canary_ready(turn: Turn) -> bool:
    if turn.target.replicas == 0:
        _scale_up_again(turn)
        return False
    canary = sizing.readiness(turn)
    if not canary.ready:
        _note_ready(turn, None)
    if late := sizing.trouble(turn):
        rollback.decide(turn, late)
        return False
    if canary.ready:
        return True
    if down.leaves_analysis(turn):
        return False
    if canary.stuck:
        rollback.decide(turn, f"{turn.target_name} did not become ready: {canary.message}")
        return False
    if hopeless := failfast.why(turn, turn.target, turn.canary.analysis.canary_ready_threshold):
        rollback.decide(turn, f"{turn.target_name} cannot become ready: {hopeless}")
        return False
    who = f"canary {turn.canary.spec.target_ref.kind.lower()} {turn.target_name}"
    turn.wait_until_ready(who, canary, failfast.blind(turn, who))
    return False


def _services_know(turn: Turn) -> bool:
    """Whether pods that hooks before the first step are to meet have been ready for so long that every node knows.

    A Service leads to a new pod when the proxy of each node has its rules, of which nobody tells.
    """
    if restart.started(turn) or not gates.hooks_of(turn, HookType.PRE_ROLLOUT):
        return True
    ready_at = turn.status.rollout.step.ready_at
    if ready_at is None:
        _note_ready(turn, turn.now)
    known = turn.passed((ready_at or turn.now) + min(turn.interval, NODES_KNOW_AFTER))
    if not known:
        turn.wait(f"waiting for Services to lead to the new pods of {turn.target_name}")
    return known


def _note_ready(turn: Turn, since: datetime | None) -> None:
    step = turn.status.rollout.step
    if step.ready_at != since:
        turn.note(step=step.model_copy(update={"ready_at": since}))


def _mend_route_meanwhile(turn: Turn) -> None:
    """Put back a route that somebody else took away or turned, whatever pods are waited for.

    Not where it would lead to none that can serve, nor what may be a step of ours that a crash left unrecorded.
    """
    live, wanted = turn.seen.route.routes, turn.intended
    wrong = live is None or live.traffic not in {wanted.traffic, advance.own_next_traffic(turn)}
    serves = wanted.canary == 0 or turn.target.available_replicas > 0
    settled = turn.status.rollout.failing or turn.does(SetRoutes(wanted))
    if turn.seen.routed and wrong and serves and not settled:
        children.mend_route(turn)


def _scale_up_again(turn: Turn) -> None:
    """Somebody scaled the canary to zero: users leave it at once, it is scaled up at most once an interval."""
    rollout = turn.status.rollout
    if rollout.step.weight > 0 and not rollout.serving_canary:
        restart.back_to_the_start(turn)
        turn.warn(f"{turn.target_name} was scaled to zero by somebody else: its analysis starts again")
    turn.wait(f"{turn.target_name} was scaled to zero by somebody else during its analysis")
    if rollout.scaled_at and not turn.passed(rollout.scaled_at + turn.interval):
        return
    pausing.resume(turn)
    turn.do(ScaleTarget(scaling.first_size(turn)))
    turn.note(scaled_at=turn.now)


def _traffic_as_intended(turn: Turn) -> bool:
    """Whether the live weights are the intended ones; a step that a crash left unrecorded is recorded now.

    Before it was due nobody but a stranger can have taken it, and his way around the checks is not ours.
    """
    live = turn.seen.route.routes if turn.seen.routed else None
    could_be_ours = turn.now >= _due(turn) or turn.advance is not None
    ours = live is not None and live.traffic != turn.intended.traffic and live.traffic == advance.own_next_traffic(turn)
    if live is None or not ours or not could_be_ours:
        return children.mend_route(turn)
    if restart.started(turn):
        _record_step(turn, live)
    # Were it not a step of ours, a first one would bypass the pre-rollout hooks: they are asked (again) for it.
    return not restart.started(turn)


def _record_step(turn: Turn, live: Routes) -> None:
    """Record a step that a crash left unrecorded; whoever wanted everything meanwhile wants more than this step."""
    wish = turn.status.rollout.advance if turn.advance == "full" else None
    verdicts.begin_step(turn, live.canary, mirrored=live.mirrored)
    turn.say(f"Advance {turn.name} canary weight {live.canary}")
    turn.wake(turn.now + turn.interval)
    if wish is not None:
        turn.note(advance=wish)
        turn.wake_now()


def _due(turn: Turn) -> datetime:
    step = turn.status.rollout.step
    if not restart.started(turn):
        return step.checked_at + turn.interval if step.checked_at else turn.now
    began = _began(turn)
    due = began + turn.interval
    return due if step.checked_at is None else max(due, step.checked_at + verdicts.pace_of(turn))


def _keep_waiting(turn: Turn) -> None:
    """Between two due ticks the reason of the last one still stands, unless it was about readiness."""
    reason = turn.status.rollout.reason
    if turn.status.rollout.step.checked_at is not None and not reason.endswith(UNREADY):
        turn.wait(reason)


def _judge(turn: Turn) -> NeedChecks | None:
    if not _moved_live(turn):
        return None
    signal = gates.rollback_signal(turn)
    if isinstance(signal, NeedChecks):
        return signal
    if signal:
        turn.warn(f"Rollback check {signal} passed")
        rollback.decide(turn, f"manual webhook invoked: {signal}", severity="warn")
        return None
    turn.analysed = True
    judged = thresholds.under_traffic(turn) if restart.started(turn) else thresholds.before_traffic(turn)
    if isinstance(judged, NeedChecks):
        return judged
    if judged.judgement is not Judgement.GOOD:
        _count(turn, judged)
        return None
    if turn.paused:
        # A canary that gets worse while somebody looks at it is rolled back all the same.
        turn.judged()
        turn.wait(turn.paused)
        turn.wake(turn.now + turn.interval)
        return None
    return advance.step(turn)


def _moved_live(turn: Turn) -> bool:
    """Whether the data plane serves the step that is about to be judged or left."""
    return not restart.started(turn) or moving.route_is_live(turn, _began(turn))


def _comes_late(turn: Turn) -> bool:
    """Whether the data plane takes the step so late that what is measured now would be of the one before."""
    return restart.started(turn) and moving.came_late(turn, _began(turn))


def _began(turn: Turn) -> datetime:
    return turn.status.rollout.step.started_at or turn.now


def _count(turn: Turn, judged: Judged) -> None:
    """Hold the weight; a bad judgement counts, one that could not be made does not."""
    turn.judged()
    sizing.disapprove(turn)
    turn.wait((verdicts.unjudged(turn) if judged.judgement is Judgement.UNKNOWN else "") or judged.reason)
    turn.wake(turn.now + verdicts.pace_of(turn))
    if judged.judgement is Judgement.OVER:
        rollback.decide(turn, judged.reason)
        return
    if judged.judgement is Judgement.BAD:
        failed = turn.status.failed_checks + 1
        turn.set(failed_checks=failed)
        if failed >= turn.canary.analysis.threshold:
            why = f"failed checks threshold reached {failed}: {judged.reason}"
            rollback.decide(turn, why, f"Failed checks threshold reached {failed}")
            return
    advance.leave_unstarted(turn)
