"""Between rollouts: keep the stable state true, and notice a new revision.

Initialized, Succeeded and Failed are stable: users are on the primary (or, after a failed promotion, on the target) and
the target sleeps. Waiting is a new revision before a closed gate.
"""

from __future__ import annotations

from datetime import timedelta

from flaggerpy.api.analysis import HookType
from flaggerpy.api.constants import SCALE_TO_ZERO
from flaggerpy.api.status import Phase, Step
from flaggerpy.rollout import children, down, gates, kept, moving, pausing, reload, revision, rollback, scaling, telling
from flaggerpy.rollout.decision import NeedChecks, ScaleTarget
from flaggerpy.rollout.turn import Turn

FIGHT_REMEMBERED = timedelta(minutes=1)
"""How long the status names a fight at least after it was last answered; short intervals would make it flicker."""


def run(turn: Turn) -> NeedChecks | None:
    """Keep what is stable, or start a rollout."""
    rollout, phase = turn.status.rollout, turn.status.phase
    turn.wait(rollout.failing)
    _look_at_primary(turn)
    if turn.seen.primary is None:
        kept.bring_back(turn)
        return None
    if rollout.serving_canary and (scaling.enough(turn, turn.primary_readiness()) or _target_is_down(turn)):
        return_to_primary(turn)
        return None
    children.mend_route(turn)
    kept.mend(turn)
    if revision.promoted(turn.seen, turn.target):
        _nothing_new(turn)
    elif phase is not Phase.WAITING and revision.same(rollout.applied, turn.seen, turn.target):
        kept.complete_record(turn)
        _let_target_sleep(turn)
    elif revision.unclear(rollout.applied, turn.seen, turn.target):
        turn.wait_for_controller()
    else:
        return _begin(turn)
    return None


def _look_at_primary(turn: Turn) -> None:
    """Say that the primary, which serves all users, has no pod that can: it was made again, say."""
    primary, rollout = turn.seen.primary, turn.status.rollout
    asked_for = primary is None or primary.replicas > 0
    turn.primary_down = not rollout.serving_canary and asked_for and (primary is None or not primary.available_replicas)
    if turn.primary_down and not rollout.failing:
        turn.wait(f"waiting for {turn.primary_name} to become ready")


def _nothing_new(turn: Turn) -> None:
    """The target asks for what the primary runs: withdraw what waits, forget what failed."""
    rollout, phase = turn.status.rollout, turn.status.phase
    put_back = not revision.same(rollout.applied, turn.seen, turn.target)
    if put_back:
        turn.note(applied=turn.current_revision())
    over = not rollout.serving_canary and (put_back or not rollout.failing or turn.primary_readiness().ready)
    if phase is Phase.WAITING:
        turn.set(phase=Phase.SUCCEEDED if over else Phase.FAILED)
        _ended(turn, f"The new revision of {turn.target_name} was withdrawn before it started")
    elif phase is Phase.FAILED and over and put_back:
        turn.set(phase=Phase.SUCCEEDED)
        _ended(turn, f"The revision of {turn.target_name} that failed was withdrawn: the promoted one was put back")
    elif phase is Phase.FAILED and over and rollout.failing:
        turn.set(phase=Phase.SUCCEEDED)
        _ended(turn, _after_all(turn))
    if turn.status.phase is Phase.SUCCEEDED and phase is not Phase.SUCCEEDED:
        _forget_failure(turn, put_back=put_back)
    _let_target_sleep(turn)


def _ended(turn: Turn, message: str) -> None:
    """Tell how a rollout came to an end that no check and no hook decided."""
    turn.say(message)
    turn.alert("info", message)


def _after_all(turn: Turn) -> str:
    return f"{turn.primary_name} became ready after all: the promotion of {turn.target_name} is finished"


def _forget_failure(turn: Turn, *, put_back: bool) -> None:
    """What failed is not asked for any more, or its promotion has come to its end."""
    status = turn.status
    if put_back:
        turn.set(last_applied_spec=status.last_promoted_spec)
    else:
        turn.set(last_promoted_spec=status.last_applied_spec)
    turn.note(failing="")
    turn.wait("")


def _target_is_down(turn: Turn) -> bool:
    """Whether the target, which serves all users, has no pod that can, and the primary has."""
    primary = turn.seen.primary
    return turn.target.available_replicas == 0 and primary is not None and primary.available_replicas > 0


def return_to_primary(turn: Turn) -> None:
    """The primary became ready after all, or is better than nothing: give it the traffic back."""
    rollout = turn.status.rollout
    down.give_back(turn)
    recovered = turn.primary_readiness().ready and revision.alike(rollout.promoted, rollout.applied)
    if turn.status.phase is Phase.FAILED and recovered:
        turn.set(phase=Phase.SUCCEEDED, last_promoted_spec=turn.status.last_applied_spec)
        turn.alert("info", _after_all(turn))
        turn.note(failing="")
        turn.wait("")


def _let_target_sleep(turn: Turn) -> None:
    """Scale an unused target to zero, at most once an interval however often somebody scales it up."""
    rollout = turn.status.rollout
    if rollout.serving_canary or not turn.target.sleeps:
        return
    if turn.target.replicas == 0 and not pausing.missing(turn):
        if rollout.moved_at and (not _was_asleep(turn) or _answer_is_due(turn)):
            # The record of the tick that put it to sleep was refused: whoever wakes it from now on is somebody else,
            # or does it once more.
            turn.note(scaled_at=turn.now)
        _remember_fight(turn)
        return
    if not moving.traffic_left(turn):
        return
    if _was_asleep(turn):
        _answer_fight(turn)
    elif not rollout.scaled_at or turn.passed(rollout.scaled_at + turn.interval):
        pausing.sleep(turn)
        turn.note(scaled_at=turn.now)


def _was_asleep(turn: Turn) -> bool:
    """Whether the target was put to sleep since users left it, so that somebody else must have woken it."""
    scaled, moved = turn.status.rollout.scaled_at, turn.status.rollout.moved_at
    return scaled is not None and (moved is None or scaled > moved)


def _answer_fight(turn: Turn) -> None:
    """Decide in one tick and answer in the next one.

    Whoever scales the target up may write the Canary at the same moment. Then the record of this tick is refused, and
    were the target scaled down already, nobody would know any more that there was a fight.
    """
    scaled = turn.status.rollout.scaled_at
    turn.wait(_fight(turn), event=_fight(turn))
    if _answer_is_due(turn):
        pausing.sleep(turn)
        turn.note(scaled_at=turn.now)
    elif scaled is None or turn.passed(scaled + turn.interval):
        turn.note(mended_at=turn.now)
        turn.wake_now()


def _answer_is_due(turn: Turn) -> bool:
    """Whether an answer was decided on that is not on record as given."""
    scaled, decided = turn.status.rollout.scaled_at, turn.status.rollout.mended_at
    named = turn.before.rollout.reason == _fight(turn)
    return named and scaled is not None and decided is not None and scaled < decided


def _fight(turn: Turn) -> str:
    return pausing.fight(turn) if pausing.missing(turn) else _woken(turn)


def _woken(turn: Turn) -> str:
    if turn.target.per_node:
        return (
            f"something else wakes {turn.target_name} up between rollouts: put back to sleep at most once an interval; "
            f"leave {SCALE_TO_ZERO} in its spec.template.spec.nodeSelector alone"
        )
    return (
        f"something else scales {turn.target_name} up between rollouts: put back to zero at most once an interval; "
        "leave spec.replicas out of what is applied to it"
    )


def _remember_fight(turn: Turn) -> None:
    """Go on naming a fight for a while after an answer: whoever scaled the target up may well do it again."""
    scaled = turn.status.rollout.scaled_at
    named = turn.before.rollout.reason
    known = named in {_woken(turn), pausing.fight(turn)}
    if known and scaled and not turn.passed(scaled + max(turn.interval, FIGHT_REMEMBERED)):
        turn.wait(named)


def _begin(turn: Turn) -> NeedChecks | None:
    if turn.target.falling_asleep:
        turn.wait(turn.before.rollout.reason)
        return None
    if reload.needed(turn) and not reload.emptied(turn):
        return None
    primary = turn.primary_readiness()
    if not primary.ready and not primary.stuck and not turn.canary.spec.skip_analysis:
        turn.wait_until_ready(
            turn.primary_name, primary, f"waiting for {turn.primary_name} to become ready before a rollout starts"
        )
        return None
    if turn.status.phase is Phase.WAITING:
        asked = turn.status.rollout.step.checked_at
        if asked is not None and not turn.advance and not turn.passed(asked + turn.interval):
            turn.wait(turn.before.rollout.reason)
            return None
        signal = gates.rollback_signal(turn)
        if isinstance(signal, NeedChecks):
            return signal
        if signal:
            turn.warn(f"Rollback check {signal} passed")
            refuse(turn, f"manual webhook invoked: {signal}")
            return None
    if turn.paused:
        turn.set(phase=Phase.WAITING)
        turn.wait(turn.paused)
        if gates.hooks_of(turn, HookType.ROLLBACK):
            _ask_again(turn)
        return None
    gate = gates.ask(turn, HookType.CONFIRM_ROLLOUT, turn.status.phase)
    if isinstance(gate, NeedChecks):
        return gate
    if gate.open:
        _scale_up(turn)
        return None
    _hold(turn, gate)
    return None


def _hold(turn: Turn, gate: gates.Gate) -> None:
    turn.wait(f"waiting for the gate {gate.hook} to approve the rollout")
    _ask_again(turn)
    if turn.status.phase is Phase.WAITING:
        return
    turn.set(phase=Phase.WAITING)
    turn.note(change=telling.change(turn))
    turn.warn(f"Halt {turn.name} advancement waiting for approval {gate.hook}")
    if not gate.muted:
        turn.alert("warn", "Canary is waiting for approval.")


def _ask_again(turn: Turn) -> None:
    """Ask the hooks again in one interval."""
    turn.judged()
    turn.wake(turn.now + turn.interval)


def refuse(turn: Turn, why: str) -> None:
    """End a rollout that has not started yet: its revision failed, and users never met it."""
    now = turn.current_revision()
    turn.note(applied=now, change=telling.change(turn), checks=[])
    turn.set(last_applied_spec=now.template, tracked_configs=dict(turn.seen.configs.flagger))
    turn.warn(f"Rolling back {turn.name} {why}")
    turn.alert("warn", f"Rolling back {turn.name} {why}")
    rollback.fail(turn, why, stay=turn.status.rollout.serving_canary)


def _scale_up(turn: Turn) -> None:
    pausing.resume(turn)
    if turn.target.replicas == 0:
        turn.do(ScaleTarget(scaling.first_size(turn)))
        # Its controller tells when there is something to see, which is never at once.
        turn.wake(turn.now + turn.interval)
    else:
        turn.wake_now()
    weight = 100 if turn.status.rollout.serving_canary else 0
    now = turn.current_revision()
    turn.end_cookie()
    turn.set(
        phase=Phase.PROGRESSING,
        canary_weight=weight,
        failed_checks=0,
        iterations=0,
        last_applied_spec=now.template,
        tracked_configs=dict(turn.seen.configs.flagger),
    )
    turn.note(
        applied=now,
        step=Step(weight=weight, started_at=turn.now),
        advance=turn.status.rollout.advance if turn.advance == "full" else None,
        gates=[],
        checks=[],
        exposed_at=None,
        failing="",
        scaled_at=turn.now,
        change=telling.change(turn),
    )
    turn.wait("")
    turn.say(f"New revision detected! Scaling up {turn.target_name}", arrived=True)
    turn.alert("info", "New revision detected, progressing canary analysis.", fields=True)
