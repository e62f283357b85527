"""The core's front door: what to do next for one canary.

Read this first. A decision is a short chain of guards, then the room that belongs to the phase:

    Flagger still runs            → predecessor.py
    a person's new request        → requests.py
    deletion or release           → release.py      Initializing                → initialize.py
    suspension                    → nothing         Initialized, Waiting,
    the target is gone            → rollback.py       Succeeded, Failed         → start.py
    found bad, not yet acted on   → rollback.py     Progressing,
    a user's mistake              → safety.py         WaitingPromotion          → analyse.py
    a status that Flagger left    → adopt.py        Promoting                   → recall.py, promote.py
    routes of a former provider   → leaving.py      Finalising                  → recall.py, finalize.py

and last, whatever the phase, the canary's size → sizing.py, the primary's autoscaler → scaling.py, disruption
budgets → children.py and a pause that nobody asked for → verdicts.py

A mistake stops the advance and nothing else: users leave a canary that is down, and their route is put back.

Everything is pure: the same observation and time give the same decision.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from flaggerpy.api.status import Phase
from flaggerpy.api.validation import raised_interval
from flaggerpy.rollout import (
    adopt,
    analyse,
    children,
    finalize,
    initialize,
    leaving,
    predecessor,
    recall,
    refusal,
    release,
    requests,
    rollback,
    safety,
    scaling,
    sizing,
    start,
    telling,
    verdicts,
)
from flaggerpy.rollout.decision import AddFinalizer, Decision, DisownPrimary, NeedChecks
from flaggerpy.rollout.observation import Observation
from flaggerpy.rollout.transition import ANALYSIS
from flaggerpy.rollout.turn import Turn


def decide(seen: Observation, now: datetime) -> Decision:
    """Decide what to do for one canary.

    Args:
        seen: everything the decision may depend on.
        now: the time, aware and in UTC.

    Returns:
        The checks to run first, or the plan.

    """
    turn = Turn(seen, now)
    question = _decide(turn)
    if question is not None:
        return question
    verdicts.settle(turn)
    telling.halt(turn)
    return turn.plan()


def _decide(turn: Turn) -> NeedChecks | None:
    refusal.ended(turn)
    if predecessor.still_runs(turn) or requests.answer(turn):
        return None
    if release.wanted(turn):
        release.run(turn)
        return None
    telling.undelivered(turn)
    _explain_settings(turn)
    if turn.status.phase in (Phase.NEW, Phase.TERMINATING, Phase.TERMINATED):
        initialize.enter(turn)
    if _goes_no_further(turn) or adopt.run(turn):
        return None
    if not turn.canary.has_finalizer:
        turn.do(AddFinalizer())
    if turn.seen.primary_is_owned:
        turn.do(DisownPrimary())
    if leaving.run(turn):
        return None
    children.mend_services(turn)
    if turn.seen.primary is None and not turn.target.has_revision:
        turn.wait_for_controller()
        return None
    question = _dispatch(turn)
    sizing.keep(turn)
    sizing.tell(turn)
    scaling.keep(turn)
    children.mend_budgets(turn)
    leaving.explain(turn)
    return question


def _goes_no_further(turn: Turn) -> bool:
    """Suspended, without its target, on its way back, or with a mistake to mend: what is done then, and no more."""
    if turn.canary.spec.suspend:
        turn.freeze()
    elif turn.seen.target is None or turn.seen.target.deleting:
        _without_target(turn)
    elif turn.status.rollout.failing and turn.status.phase in ANALYSIS and rollback.possible(turn):
        rollback.run(turn)
    elif turn.seen.problems:
        safety.look_after(turn)
        turn.stall(" ".join(turn.seen.problems))
    else:
        return False
    return True


def _dispatch(turn: Turn) -> NeedChecks | None:
    match turn.status.phase:
        case Phase.NEW | Phase.INITIALIZING | Phase.TERMINATING | Phase.TERMINATED:
            initialize.run(turn)
        case Phase.INITIALIZED | Phase.SUCCEEDED | Phase.FAILED | Phase.WAITING:
            return start.run(turn)
        case Phase.PROGRESSING | Phase.WAITING_PROMOTION:
            return analyse.run(turn)
        case Phase.PROMOTING | Phase.FINALISING:
            return recall.run(turn)
        case _ as unreachable:
            assert_never(unreachable)
    return None


def _without_target(turn: Turn) -> None:
    primary_serves = turn.seen.primary is not None and turn.seen.primary.available_replicas > 0
    if turn.status.phase is Phase.FINALISING:
        # All users are on the promoted primary already, and nothing is left to be scaled down.
        finalize.succeed(turn)
    elif rollback.possible(turn) and (turn.status.phase in ANALYSIS or turn.status.phase is Phase.PROMOTING):
        rollback.target_is_gone(turn)
    elif rollback.possible(turn) and turn.status.rollout.serving_canary and primary_serves:
        start.return_to_primary(turn)
    missing = f"{turn.canary.spec.target_ref.kind} {turn.target_name} does not exist"
    turn.stall(" ".join(turn.seen.problems) or missing, "TargetMissing")


def _explain_settings(turn: Turn) -> None:
    """Say once per edit of the Canary which settings are served differently from how they read."""
    if turn.status.observed_generation == turn.canary.metadata.generation:
        return
    if raised := raised_interval(turn.canary, turn.seen.limits.min_interval):
        turn.warn(raised)
    for note in turn.seen.notes:
        turn.warn(note)
