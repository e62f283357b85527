"""Users on their way: whether the data plane has the route that moves them, and whether they had time to leave."""

from __future__ import annotations

from datetime import datetime

from flaggerpy.rollout import refusal
from flaggerpy.rollout.traffic import Acceptance
from flaggerpy.rollout.turn import Turn


def traffic_left(turn: Turn, outlook: str = "") -> bool:
    """Whether users have had time to leave a workload that traffic was moved away from.

    The time begins when the data plane accepts the move; a silent one is believed after a while. False asks for
    another look when the time has come. The outlook says what comes of it if it does not take the move for good.
    """
    moved = turn.status.rollout.moved_at
    if turn.former_routes:
        # Whoever comes through the route of a former provider goes by its weights.
        if refusal.stands(turn):
            refusal.hold(turn, outlook)
        return False
    if moved is None:
        return True
    if refusal.stands(turn):
        refusal.hold(turn, outlook)
        turn.moved()
        return False
    if turn.now < moved and _is_live(turn):
        moved = turn.now
        turn.note(moved_at=moved)
    if turn.now < moved:
        _wait_for_acceptance(turn, moved)
    elif not _is_live(turn) and refusal.silence(turn, moved) in turn.before.rollout.reason:
        turn.warn(refusal.unanswered(turn))
    return turn.passed(moved) and turn.passed(moved + turn.settle)


def route_is_live(turn: Turn, since: datetime) -> bool:
    """Whether the data plane serves the route as written; a silent one is believed after a while."""
    if _is_live(turn):
        return True
    if refusal.stands(turn):
        refusal.hold(turn)
        return False
    until = since + turn.seen.limits.accept_within
    if not turn.passed(until):
        _wait_for_acceptance(turn, until)
        return False
    if turn.status.rollout.step.checked_at is None:
        turn.warn(refusal.unanswered(turn))
    return True


def came_late(turn: Turn, since: datetime) -> bool:
    """Whether the data plane has not taken a step by half of its interval.

    Then the interval begins anew once it has: whatever is judged at the end of it was served for half of it at least.
    """
    if _is_live(turn) or not turn.passed(since + turn.interval / 2):
        return False
    if refusal.stands(turn):
        refusal.hold(turn)
        return True
    until = since + turn.seen.limits.accept_within
    if turn.passed(until):
        return False
    refusal.remember(turn)
    _wait_for_acceptance(turn, until)
    return True


def _is_live(turn: Turn) -> bool:
    return not turn.seen.routed or turn.seen.route.accepted is Acceptance.YES


def _wait_for_acceptance(turn: Turn, until: datetime) -> None:
    """Add to what was said: that a revision failed, say, stays true while its users move back."""
    said = refusal.silence(turn, until)
    turn.wait(f"{turn.reason}; {said}" if turn.reason else said)
