"""A data plane that does not take the route: what it says, how long that is waited for, and what a person must mend.

It refuses the route, or it is behind: it spoke of the route before, and not of what was written last. Neither is ever
believed to serve it. Since when that stands is kept in ``status.rollout.refusedSince`` until it has taken the route.
What goes by, of a Gateway that has not heard of a new Service yet, stalls nothing.
"""

from __future__ import annotations

from datetime import datetime

from flaggerpy.rollout.traffic import Acceptance
from flaggerpy.rollout.transition import ANALYSIS
from flaggerpy.rollout.turn import Turn

_ADVICE = "mend what it complains of, here in spec.service or in the route that stands in the way"
_BEHIND_ADVICE = "see to its controller, which took earlier versions of this route"


def stands(turn: Turn) -> bool:
    """Whether the data plane does not take the route as it is written, by its own word."""
    return turn.seen.routed and turn.seen.route.accepted in {Acceptance.NO, Acceptance.BEHIND}


def ended(turn: Turn) -> None:
    """Let what runs from when the data plane takes the route, run from now if it has: users' way, and a step's time."""
    rollout = turn.status.rollout
    if rollout.refused_since is None or turn.seen.route.accepted is not Acceptance.YES:
        return
    if rollout.moved_at is not None:
        turn.note(moved_at=turn.now)
    if turn.status.phase in ANALYSIS and rollout.step.started_at is not None:
        turn.note(step=rollout.step.model_copy(update={"started_at": turn.now}))


def words(turn: Turn) -> str:
    """Say what is not taken, and why in the data plane's own words."""
    if _is_behind(turn):
        return f"the data plane has not taken {_route(turn)} as it was written last{_note(turn)}"
    return f"the data plane refuses {_route(turn)}{_note(turn)}"


def hold(turn: Turn, outlook: str = "") -> None:
    """Wait for a route that is not taken; once that has stood for as long as silence may last, it stalls the canary.

    Args:
        turn: the decision in the making, with the reason to wait that this adds to.
        outlook: what comes of it if nobody does anything.

    """
    stalled = turn.passed(remember(turn) + turn.seen.limits.accept_within)
    advice = _BEHIND_ADVICE if _is_behind(turn) else _ADVICE
    said = (turn.reason, words(turn), advice if stalled else "", outlook)
    text = "; ".join(part for part in said if part)
    if stalled:
        turn.stall(text, "RouteNotTaken" if _is_behind(turn) else "RouteRefused")
    else:
        turn.wait(text)


def remember(turn: Turn) -> datetime:
    """Keep in mind that the data plane has not taken the route; return since when."""
    turn.refused_since = turn.before.rollout.refused_since or turn.now
    return turn.refused_since


def silence(turn: Turn, until: datetime) -> str:
    """Say that the data plane has not answered, and until when that is waited for."""
    waiting = f"waiting for the data plane to accept {_route(turn)}{_note(turn)}"
    return f"{waiting}; goes on without its answer at {clock(until)}"


def unanswered(turn: Turn) -> str:
    """Say that the data plane has not answered in time."""
    return f"The data plane says nothing of {_route(turn)}{_note(turn)}: going on without its answer"


def clock(moment: datetime) -> str:
    """Write a time of day for people, in UTC as everything that a controller writes."""
    return f"{moment:%H:%M:%S} UTC"


def _is_behind(turn: Turn) -> bool:
    return turn.seen.route.accepted is Acceptance.BEHIND


def _note(turn: Turn) -> str:
    return f": {turn.seen.route.note}" if turn.seen.route.note else ""


def _route(turn: Turn) -> str:
    service = turn.canary.spec.service
    hosts = ", ".join(service.hosts) if service else ""
    return f"the route for {hosts}" if hosts else "the route"
