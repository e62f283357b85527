"""Rollback hooks when the analysis is over.

While the primary takes the revision over (Promoting) they are asked once an interval, the first time before any user is
moved. One that passes does what ``abort`` does: the primary gets back what it ran (undo.py). Where that cannot be done,
and when all users are on the primary (Finalising, where they are asked once, at its end), it comes too late: people are
told, once, and nothing else happens.
"""

from __future__ import annotations

from flaggerpy.api.analysis import HookType
from flaggerpy.api.status import Phase, Recall
from flaggerpy.rollout import finalize, gates, promote, revision, rollback, undo
from flaggerpy.rollout.decision import NeedChecks
from flaggerpy.rollout.turn import Turn


def run(turn: Turn) -> NeedChecks | None:
    """Go on with a promotion, unless a rollback hook wants it back."""
    if turn.status.phase is Phase.PROMOTING and turn.status.rollout.failing:
        undo.run(turn)
        return None
    if _is_due(turn):
        signal = gates.rollback_signal(turn)
        if isinstance(signal, NeedChecks):
            return signal
        turn.note(recall=Recall(asked_at=turn.now))
        turn.wake(turn.now + turn.interval)
        if signal and _called_back(turn, signal):
            return None
    (promote if turn.status.phase is Phase.PROMOTING else finalize).run(turn)
    return None


def _is_due(turn: Turn) -> bool:
    """Whether the hooks are to be asked now; not again after one that came too late."""
    rollout = turn.status.rollout
    recall, began = rollout.recall or Recall(), rollout.step.started_at or turn.now
    asked = recall.asked_at
    if recall.too_late or not gates.hooks_of(turn, HookType.ROLLBACK):
        return False
    if turn.status.phase is Phase.FINALISING:
        # Whoever could still be served by the canary has left it by then.
        end = (rollout.moved_at or began) + turn.settle
        return turn.now >= end and (asked is None or asked < end)
    return (asked is None and _users_are_next(turn)) or turn.passed((asked or began) + turn.interval)


def _users_are_next(turn: Turn) -> bool:
    """Whether the primary has the revision and is ready for its users."""
    written = revision.alike(turn.status.rollout.promoted, turn.status.rollout.applied)
    return written and turn.primary_readiness().ready


def _called_back(turn: Turn, hook: str) -> bool:
    """Begin to undo the promotion; False where it is too late for that."""
    users_are_back = turn.status.phase is Phase.FINALISING
    obstacle = f"all users are on {turn.primary_name}" if users_are_back else undo.obstacle(turn)
    if not obstacle:
        turn.warn(f"Rollback check {hook} passed")
        rollback.decide(turn, f"manual webhook invoked: {hook}", severity="warn")
        return True
    text = (
        f"Rollback check {hook} passed too late: {obstacle}; put the template that you want back into "
        f"{turn.target_name} to roll that out"
    )
    turn.note(recall=Recall(asked_at=turn.now, too_late=hook))
    turn.warn(text)
    turn.alert("warn", text)
    return False
