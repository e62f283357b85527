"""A data plane that does not take the route: what it says, how long that is waited for, and what a person must mend.

Since when it refuses the route is kept in ``status.rollout.refusedSince``, which every tick says again or lets go. A
refusal that goes by, of a Gateway that has not heard of a new Service yet, stalls nothing.
"""

from __future__ import annotations

from datetime import datetime

from flaggerpy.rollout.traffic import Acceptance
from flaggerpy.rollout.turn import Turn

_ADVICE = "mend what it complains of, here in spec.service or in the route that stands in the way"


def stands(turn: Turn) -> bool:
    """Whether the data plane refuses the route as it is written."""
    return turn.seen.routed and turn.seen.route.accepted is Acceptance.NO


def words(turn: Turn) -> str:
    """Say what is refused, and why in the data plane's own words."""
    return f"the data plane refuses {_route(turn)}: {turn.seen.route.note}"


def hold(turn: Turn, outlook: str = "") -> None:
    """Wait for a route that is refused; once that has stood for as long as silence may last, it stalls the canary.

    Args:
        turn: the decision in the making, with the reason to wait that this adds to.
        outlook: what comes of it if nobody does anything.

    """
    turn.refused_since = since = turn.before.rollout.refused_since or turn.now
    stalled = turn.passed(since + turn.seen.limits.accept_within)
    said = (turn.reason, words(turn), _ADVICE if stalled else "", outlook)
    text = "; ".join(part for part in said if part)
    if stalled:
        turn.stall(text, "RouteRefused")
    else:
        turn.wait(text)


def silence(turn: Turn, until: datetime) -> str:
    """Say that the data plane has not answered, and until when that is waited for."""
    note = f": {turn.seen.route.note}" if turn.seen.route.note else ""
    return f"waiting for the data plane to accept {_route(turn)}{note}; goes on without its answer at {clock(until)}"


def clock(moment: datetime) -> str:
    """Write a time of day for people, in UTC as everything that a controller writes."""
    return f"{moment:%H:%M:%S} UTC"


def _route(turn: Turn) -> str:
    service = turn.canary.spec.service
    hosts = ", ".join(service.hosts) if service else ""
    return f"the route for {hosts}" if hosts else "the route"
