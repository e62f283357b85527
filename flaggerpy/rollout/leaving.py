"""An edit of the Canary that takes its routes elsewhere: to another provider, or to objects of another name.

Where routes are to be is on record before they are written, so that no edit leaves any behind. Former ones go on
serving until the data plane has the present one or, where the provider has none, until the primary can take everybody
through the apex Service. A canary that shall meet nobody any more is no reason to wait for the present one. Then they
are given back, as after a deletion. Without a former one nothing is looked at.
"""

from __future__ import annotations

from flaggerpy.api.status import Phase
from flaggerpy.rollout import children, refusal, restart
from flaggerpy.rollout.decision import LeaveRoutes
from flaggerpy.rollout.traffic import NOTHING, Acceptance
from flaggerpy.rollout.transition import ANALYSIS
from flaggerpy.rollout.turn import Turn


def run(turn: Turn) -> bool:
    """Record where the routes are to be, and give back where they were; True when that is all for this tick."""
    known, place = turn.status.rollout.routes, turn.seen.place
    if place is not None and place not in known:
        turn.note(routes=[*known, place])
        if known:
            _begin_anew(turn)
        return bool(known)
    if turn.seen.left_behind:
        return _others_serve(turn) and _give_back(turn)
    forget(turn)
    return False


def forget(turn: Turn) -> None:
    """Forget former routes that were given back, once their data plane has heard of it; a silent one is believed."""
    if not turn.former_routes or turn.seen.left_behind:
        return
    place, given_back = turn.seen.place, turn.status.rollout.mended_at or turn.now
    if turn.seen.left_accepted is Acceptance.UNKNOWN:
        turn.note(mended_at=given_back)  # a crash may have kept it from being recorded
        if not turn.passed(given_back + turn.seen.limits.accept_within):
            return
    turn.note(routes=[place] if place is not None else [])
    if _has_lost_its_users(turn):
        restart.back_to_the_start(turn)
    if turn.status.rollout.moved_at is not None:
        turn.moved()
    turn.wake_now()


def _has_lost_its_users(turn: Turn) -> bool:
    """Whether an analysis counts with users whom nothing sends to the canary any more."""
    rollout = turn.status.rollout
    unrouted = not turn.seen.routed and rollout.step.weight > 0 and not rollout.serving_canary
    return unrouted and turn.status.phase in ANALYSIS


def explain(turn: Turn) -> None:
    """Say why former routes stay, where nothing more important is said."""
    if not turn.seen.left_behind or turn.reason or turn.problem:
        return
    if refusal.stands(turn):
        turn.wait(f"{_names(turn)} stays in use: {refusal.words(turn)}")
    elif turn.before.rollout.reason == _given_back(turn):
        turn.wait(turn.before.rollout.reason)  # in several steps
    else:
        heard = turn.seen.routed and not turn.only_target_serves()
        what = "the data plane has its new route" if heard else f"{turn.primary_name} can serve everybody"
        turn.wait(f"{_names(turn)} stays in use until {what}")


def _names(turn: Turn) -> str:
    """Name the former routes by what was edited."""
    provider = turn.seen.place.provider if turn.seen.place is not None else ""
    others = list(dict.fromkeys(place.provider for place in turn.former_routes if place.provider != provider))
    return f"the former route of {turn.name}" + (f" with provider {' and '.join(others)}" if others else "")


def _given_back(turn: Turn) -> str:
    return f"{_names(turn)} is given back"


def _others_serve(turn: Turn) -> bool:
    """Whether nobody needs the former routes any more: whoever still comes through one is led to the primary then."""
    if turn.only_target_serves():
        return False
    if not turn.seen.routed or _shall_meet_nobody(turn):
        return turn.seen.services.apex and turn.primary_readiness().ready
    route, began = turn.seen.route, turn.status.rollout.step.started_at or turn.now
    if route.routes is None or refusal.stands(turn):
        return False
    return route.accepted is Acceptance.YES or turn.passed(began + turn.seen.limits.accept_within)


def _shall_meet_nobody(turn: Turn) -> bool:
    """Whether users come to the canary through a former route alone, who are to leave it: it failed, say."""
    return turn.seen.left_to_canary and turn.intended.traffic == NOTHING


def _give_back(turn: Turn) -> bool:
    """Write the former routes as they stay behind; a router may take several steps, which the data plane follows."""
    if not children.may_write_again(turn):
        return False
    if not turn.seen.routed and turn.status.phase in ANALYSIS:
        restart.back_to_the_start(turn)
    turn.do(LeaveRoutes())
    turn.moved()
    turn.note(mended_at=turn.now)
    text = _given_back(turn)
    _only_that(turn, text)
    if turn.before.rollout.reason != text:
        turn.say(text[0].upper() + text[1:])
    return True


def _begin_anew(turn: Turn) -> None:
    """Let time count from when users can have the new route, whatever a crash keeps from being recorded.

    So does the time that a data plane has for a route which is right already, because its user made it.
    In a bootstrap and in a promotion it names what is written into the primary, which is not to be written again.
    """
    if turn.status.phase not in {Phase.INITIALIZING, Phase.PROMOTING}:
        turn.note(step=turn.status.rollout.step.model_copy(update={"started_at": turn.now}))
    _only_that(turn, turn.before.rollout.reason)


def _only_that(turn: Turn, reason: str) -> None:
    turn.wait(reason)
    turn.wake_now()
