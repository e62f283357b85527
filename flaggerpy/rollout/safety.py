"""Users are looked after while a rollout may not go on.

A user's mistake holds a rollout where it is, and so does an edit of a paused Deployment, since nobody can say yet what
it asks for. What is held is the advance: there is no step, check, hook or promotion, and nothing is scaled. But users
must not pay for it. Two things are done for them, as they are done without a mistake:

- a canary that has no pod left to serve them loses them to the primary, and its analysis starts again;
- a route that somebody deleted or turned is written again as it is meant to be.

Whether a canary that went down is rolled back is decided once the mistake is mended, as everything else is. Traffic is
never touched where the mistake is about the route itself: then nobody knows what it is meant to be.
"""

from __future__ import annotations

from flaggerpy.api.status import Phase
from flaggerpy.rollout import advance, audience, children, down, promote, revision
from flaggerpy.rollout.traffic import NOTHING, Routes
from flaggerpy.rollout.transition import ANALYSIS, BOOTSTRAP
from flaggerpy.rollout.turn import Turn


def look_after(turn: Turn) -> None:
    """Take users off a canary that cannot serve them, or put their route back; nothing where the route is unknown.

    Comes before it is said what holds the rollout: what is said last is what people read.
    """
    if _route_is_known(turn) and not _leave_canary_that_is_down(turn):
        _put_route_back(turn)


def _route_is_known(turn: Turn) -> bool:
    """Whether there is a route that was written before, for this spec, and can be written again.

    One that the Canary's edit has just taken elsewhere has to be put on record first, and Flagger's records to be
    understood. Without a primary users have nowhere to go, and a mistake may be what keeps it from being made.
    """
    seen, rollout = turn.seen, turn.status.rollout
    ours = turn.canary.has_finalizer and rollout.applied is not None and turn.status.phase not in BOOTSTRAP
    recorded = seen.place is None or seen.place in rollout.routes
    return seen.routed and seen.routable and ours and recorded and seen.primary is not None


def _leave_canary_that_is_down(turn: Turn) -> bool:
    if turn.status.rollout.serving_canary:
        return down.leaves_everybody(turn)
    if turn.status.phase in ANALYSIS:
        return bool(down.starts_again(turn))
    return turn.status.phase is Phase.PROMOTING and down.leaves_promotion(turn)


def _put_route_back(turn: Turn) -> None:
    """Write the route as it is meant to be, unless it may be so by a write of ours that a crash left unrecorded."""
    live, wanted = turn.seen.route.routes, turn.intended
    if live is not None and live.traffic in {wanted.traffic, *_own_traffic(turn)}:
        return
    if live is not None and audience.outgrown(turn.seen, turn.status):
        return  # an edit made it a share of more users: the way that it leads is the former one
    if wanted.traffic != NOTHING and _nobody_analyses(turn):
        _give_to_primary(turn)
    elif _is_served(turn, wanted):
        children.mend_route(turn)


def _own_traffic(turn: Turn) -> set[tuple[int, bool]]:
    """What we may have given the canary last without a record of it."""
    if turn.status.phase in ANALYSIS:
        step = advance.own_next_traffic(turn)
        return set() if step is None else {step}
    if turn.status.phase is Phase.PROMOTING and turn.primary_readiness().ready:
        return {NOTHING, (promote.next_weight(turn), False)}
    return set()


def _nobody_analyses(turn: Turn) -> bool:
    """Whether the target asks for something else by now than what users are meant to meet in this rollout."""
    seen, rollout = turn.seen, turn.status.rollout
    rolling = turn.status.phase in ANALYSIS or turn.status.phase is Phase.PROMOTING
    changed = not revision.same(rollout.applied, seen, turn.target)
    return (
        rolling and changed and not rollout.serving_canary and not revision.unclear(rollout.applied, seen, turn.target)
    )


def _give_to_primary(turn: Turn) -> None:
    """A route that has to be written anyway leads nobody to what is not analysed."""
    if not _primary_serves(turn):
        return
    down.send_back(turn)
    turn.warn(
        f"The route of {turn.name} is missing or was changed from outside, and {turn.target_name} asks for something "
        "else by now: routing all traffic to primary"
    )


def _is_served(turn: Turn, wanted: Routes) -> bool:
    """Whether all who are sent somewhere by this route find a pod; a missing one leads nobody anywhere."""
    missing = turn.seen.route.routes is None
    by_canary = wanted.canary == 0 or turn.target.available_replicas > 0
    by_primary = wanted.primary == 0 or missing or _primary_serves(turn)
    return by_canary and by_primary


def _primary_serves(turn: Turn) -> bool:
    return turn.seen.primary is not None and turn.seen.primary.available_replicas > 0
