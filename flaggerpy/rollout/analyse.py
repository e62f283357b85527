"""Progressing and WaitingPromotion: judge the canary at every due step, then raise its share or hand over to promotion.

A step is due one interval after it began or was last judged. The first one is due as soon as the canary is ready.
"""

from __future__ import annotations

from datetime import datetime

from flaggerpy.api.analysis import HookType, Strategy
from flaggerpy.api.status import Phase
from flaggerpy.rollout import (
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
    scaling,
    sizing,
    strategy,
    thresholds,
    verdicts,
)
from flaggerpy.rollout.decision import NeedChecks, ScaleTarget, SetRoutes
from flaggerpy.rollout.thresholds import Judged, Judgement
from flaggerpy.rollout.traffic import Routes
from flaggerpy.rollout.turn import UNREADY, Turn


def run(turn: Turn) -> NeedChecks | None:
    """Take the next step of the analysis."""
    if turn.seen.primary is None:
        kept.interrupt(turn)
        return None
    kept.mend(turn)
    applied = turn.status.rollout.applied
    if not revision.same(applied, turn.seen, turn.target):
        if revision.unclear(applied, turn.seen, turn.target):
            turn.wait_for_controller()
        else:
            restart.change_of_mind(turn)
        return None
    turn.complete_record()
    if not turn.canary.spec.skip_analysis and _gets_cookies(turn):
        return None
    if not _workloads_ready(turn) or not _traffic_as_intended(turn):
        return None
    if turn.canary.spec.skip_analysis or turn.advance == "full":
        turn.wait(turn.paused) if turn.paused else promote.begin(turn)
        return None
    if turn.advance and _moved_live(turn):
        return _advance(turn)
    if turn.paused and not restart.started(turn):
        # The hooks before a rollout prepare it: they are called when it is about to begin.
        turn.wait(turn.paused)
        return None
    if _comes_late(turn):
        return None
    if not turn.passed(_due(turn)):
        return _between(turn)
    return _judge(turn)


def _between(turn: Turn) -> NeedChecks | None:
    """Wait until the step is due; a share that was earned follows as soon as it has its pods."""
    if sizing.approved(turn) and not turn.paused and _moved_live(turn):
        return _advance(turn)
    _keep_waiting(turn)
    return None


def _gets_cookies(turn: Turn) -> bool:
    """Give a rollout that lacks them its cookies; True when it had to, and routes with them wait for the next tick."""
    fresh = affinity.assigned(turn.seen, turn.status, turn.now)
    if fresh:
        turn.set(**fresh)
        turn.wake_now()
    return bool(fresh)


def _workloads_ready(turn: Turn) -> bool:
    """Whether the canary is ready, and the primary is ready or beyond waiting for."""
    primary = turn.primary_readiness()
    if primary.ready or primary.stuck:
        return _canary_ready(turn)
    turn.wait_until_ready(turn.primary_name, primary)
    return False


def _canary_ready(turn: Turn) -> bool:
    if turn.target.replicas == 0:
        _scale_up_again(turn)
        return False
    canary = sizing.readiness(turn)
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
    ours = live is not None and live.traffic != turn.intended.traffic and live.traffic == _own_next_traffic(turn)
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


def _own_next_traffic(turn: Turn) -> tuple[int, bool] | None:
    """What we would have given the canary last, had a crash kept us from recording it."""
    analysis = turn.canary.analysis
    if turn.status.rollout.serving_canary:
        return None
    over = turn.status.iterations >= strategy.iterations(analysis, routed=turn.seen.routed)
    progressive = strategy.is_progressive(analysis, routed=turn.seen.routed)
    if _mirrors_next(turn) and (progressive or not over):
        return 0, True
    if progressive:
        weight = strategy.next_weight(analysis, turn.intended.canary)
        return None if weight is None else (weight, False)
    return (100, False) if over or analysis.strategy is Strategy.AB_TESTING else None


def _mirrors_next(turn: Turn) -> bool:
    """Whether copies are what the canary gets next; it gets none any more once it has had users."""
    step = turn.status.rollout.step
    return strategy.is_mirrored(turn.canary.analysis, turn.seen.capabilities) and step.weight == 0 and not step.mirrored


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
    return _advance(turn)


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
    _leave_unstarted(turn)


def _leave_unstarted(turn: Turn) -> None:
    """What was taken for a first step of ours may be somebody else's."""
    if not restart.started(turn):
        children.mend_route(turn)


def _advance(turn: Turn) -> NeedChecks | None:
    if strategy.is_progressive(turn.canary.analysis, routed=turn.seen.routed):
        return _next_weight(turn)
    return _next_iteration(turn)


def _next_weight(turn: Turn) -> NeedChecks | None:
    mirrored = _mirrors_next(turn)
    weight = 0 if mirrored else strategy.next_weight(turn.canary.analysis, turn.status.rollout.step.weight)
    share = sizing.copies(turn) if mirrored else weight or 0
    if turn.status.phase is not Phase.WAITING_PROMOTION and not sizing.approved(turn, share):
        gate = gates.ask(turn, HookType.CONFIRM_TRAFFIC_INCREASE, Phase.PROGRESSING)
        if isinstance(gate, NeedChecks):
            return gate
        if not gate.open:
            _halt(turn, gate, "waiting for traffic increase approval")
            return None
    if weight is None:
        return _promote(turn)
    if not sizing.ready_for(turn, share):
        return None
    turn.set(phase=Phase.PROGRESSING)
    turn.do(SetRoutes(turn.routes_at(weight, mirrored=mirrored)))
    verdicts.begin_step(turn, weight, mirrored=mirrored)
    turn.say(f"Advance {turn.name} canary weight {weight}")
    turn.wake(turn.now + turn.interval)
    return None


def _next_iteration(turn: Turn) -> NeedChecks | None:
    total = strategy.iterations(turn.canary.analysis, routed=turn.seen.routed)
    done = turn.status.iterations
    if done < total:
        _iterate(turn, f"{done + 1}/{total}")
        return None
    if not turn.seen.routed or turn.status.rollout.step.weight == 100:
        return _promote(turn)
    confirmed = sizing.approved(turn, 100) or _confirmed(turn)
    if isinstance(confirmed, NeedChecks):
        return confirmed
    if confirmed and sizing.ready_for(turn, 100):
        _send_everybody(turn)
    return None


def _send_everybody(turn: Turn) -> None:
    """Give all users of a Blue/Green rollout the canary, to be judged with them once."""
    turn.set(phase=Phase.PROGRESSING, iterations=turn.status.iterations + 1)
    mirrored = turn.status.rollout.step.mirrored
    turn.do(SetRoutes(turn.routes_at(100)))
    verdicts.begin_step(turn, 100)
    turn.note(gates=[HookType.CONFIRM_PROMOTION.value])
    turn.say("Stop traffic mirroring and route all traffic to canary" if mirrored else "Routing all traffic to canary")
    turn.wake(turn.now + turn.interval)


def _iterate(turn: Turn, number: str) -> None:
    """Begin one more iteration; the first one gives an A/B test its users, and Blue/Green its copies."""
    step = turn.status.rollout.step
    weight = step.weight
    mirrored = weight == 0 and strategy.is_mirrored(turn.canary.analysis, turn.seen.capabilities)
    if turn.seen.routed and turn.canary.analysis.strategy is Strategy.AB_TESTING:
        weight = 100
    if not sizing.ready_for(turn, sizing.copies(turn) if mirrored else weight):
        return
    if (weight, mirrored) != (step.weight, step.mirrored):
        turn.do(SetRoutes(turn.routes_at(weight, mirrored=mirrored)))
    verdicts.begin_step(turn, weight, mirrored=mirrored)
    turn.set(phase=Phase.PROGRESSING, iterations=turn.status.iterations + 1)
    turn.say(f"Advance {turn.name} canary iteration {number}")
    turn.wake(turn.now + turn.interval)


def _promote(turn: Turn) -> NeedChecks | None:
    confirmed = HookType.CONFIRM_PROMOTION.value in turn.status.rollout.gates or _confirmed(turn)
    if isinstance(confirmed, NeedChecks):
        return confirmed
    if confirmed:
        promote.begin(turn)
    return None


def _confirmed(turn: Turn) -> NeedChecks | bool:
    gate = gates.ask(turn, HookType.CONFIRM_PROMOTION, Phase.PROGRESSING)
    if isinstance(gate, gates.Gate) and not gate.open:
        _wait_for_promotion(turn, gate)
    return gate if isinstance(gate, NeedChecks) else gate.open


def _wait_for_promotion(turn: Turn, gate: gates.Gate) -> None:
    if turn.status.phase is not Phase.WAITING_PROMOTION:
        turn.set(phase=Phase.WAITING_PROMOTION)
        if not gate.muted:
            turn.alert("warn", "Canary promotion is waiting for approval.")
    _halt(turn, gate, "waiting for promotion approval", alert=False)


def _halt(turn: Turn, gate: gates.Gate, why: str, *, alert: bool = True) -> None:
    """Hold at a closed gate: not a failed check, asked again in one interval."""
    reason = f"{why} {gate.hook}"
    if alert and not gate.muted and turn.status.rollout.reason != reason:
        turn.alert("warn", "Canary traffic increase is waiting for approval.")
    turn.judged()
    turn.wait(reason, event=f"Halt {turn.name} advancement {reason}")
    turn.wake(turn.now + turn.interval)
    _leave_unstarted(turn)
