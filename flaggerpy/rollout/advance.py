"""What follows a good judgement: the next weight or iteration, all users, or the promotion, each behind its gate."""

from __future__ import annotations

from flaggerpy.api.analysis import HookType, Strategy
from flaggerpy.api.status import Phase
from flaggerpy.rollout import children, gates, promote, restart, sizing, strategy, verdicts
from flaggerpy.rollout.decision import NeedChecks, SetRoutes
from flaggerpy.rollout.turn import Turn


def step(turn: Turn) -> NeedChecks | None:
    """Take the next step of the canary's strategy."""
    if strategy.is_progressive(turn.canary.analysis, routed=turn.seen.routed):
        return _next_weight(turn)
    return _next_iteration(turn)


def _next_weight(turn: Turn) -> NeedChecks | None:
    mirrored = mirrors_next(turn)
    weight = 0 if mirrored else strategy.next_weight(turn.canary.analysis, turn.status.rollout.step.weight)
    share = sizing.copies(turn) if mirrored else weight or 0
    if turn.status.phase is not Phase.WAITING_PROMOTION and not sizing.approved(turn, share):
        gate = gates.ask(turn, HookType.CONFIRM_TRAFFIC_INCREASE, Phase.PROGRESSING)
        if isinstance(gate, NeedChecks):
            return gate
        if not gate.open:
            _wait_for_increase(turn, gate)
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
    _halt(turn, gate, "waiting for promotion approval")


def _wait_for_increase(turn: Turn, gate: gates.Gate) -> None:
    step = turn.status.rollout.step
    if not gate.muted and not step.held:
        turn.alert("warn", "Canary traffic increase is waiting for approval.")
        turn.note(step=step.model_copy(update={"held": True}))
    _halt(turn, gate, "waiting for traffic increase approval")


def _halt(turn: Turn, gate: gates.Gate, why: str) -> None:
    """Hold at a closed gate: not a failed check, asked again in one interval."""
    reason = f"{why} {gate.hook}"
    turn.judged()
    sizing.disapprove(turn)
    turn.wait(reason, event=f"Halt {turn.name} advancement {reason}")
    turn.wake(turn.now + turn.interval)
    leave_unstarted(turn)


def mirrors_next(turn: Turn) -> bool:
    """Whether copies are what the canary gets next; it gets none any more once it has had users."""
    step = turn.status.rollout.step
    return strategy.is_mirrored(turn.canary.analysis, turn.seen.capabilities) and step.weight == 0 and not step.mirrored


def leave_unstarted(turn: Turn) -> None:
    """What was taken for a first step of ours may be somebody else's."""
    if not restart.started(turn):
        children.mend_route(turn)


def own_next_traffic(turn: Turn) -> tuple[int, bool] | None:
    """What we would have given the canary last, had a crash kept us from recording it."""
    analysis = turn.canary.analysis
    if turn.status.rollout.serving_canary:
        return None
    over = turn.status.iterations >= strategy.iterations(analysis, routed=turn.seen.routed)
    progressive = strategy.is_progressive(analysis, routed=turn.seen.routed)
    if mirrors_next(turn) and (progressive or not over):
        return 0, True
    if progressive:
        weight = strategy.next_weight(analysis, turn.intended.canary)
        return None if weight is None else (weight, False)
    return (100, False) if over or analysis.strategy is Strategy.AB_TESTING else None
