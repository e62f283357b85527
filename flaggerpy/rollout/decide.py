"""The core's front door: what to do next for one canary.

Read this first. A decision is a short chain of guards, then the room that belongs to the phase:

    deletion or release → release.py          Progressing, WaitingPromotion → analyse.py
    a user's mistake, suspension → hold       Promoting                     → promote.py
    no status yet, Initializing → initialize  Finalising                    → finalize.py
    Initialized, Succeeded, Failed, Waiting → start.py

Everything is pure: the same observation and time give the same decision.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from flaggerpy.api.status import Phase
from flaggerpy.rollout import analyse, children, finalize, initialize, promote, release, rollback, start
from flaggerpy.rollout.decision import AddFinalizer, Decision, NeedChecks
from flaggerpy.rollout.observation import Observation
from flaggerpy.rollout.transition import ROLLING
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
    return question if question is not None else turn.plan()


def _decide(turn: Turn) -> NeedChecks | None:
    if release.wanted(turn):
        release.run(turn)
        return None
    if turn.status.phase is Phase.TERMINATED:
        turn.set(phase=Phase.INITIALIZING)
    if turn.seen.target is None and turn.status.phase in ROLLING:
        rollback.target_is_gone(turn)
    if turn.seen.problems:
        turn.problem = " ".join(turn.seen.problems)
        if turn.status.phase is Phase.NEW:
            turn.set(phase=Phase.INITIALIZING)
        if turn.status.rollout.reason != turn.problem:
            turn.warn(turn.problem)
        return None
    if turn.canary.spec.suspend:
        turn.wait("suspended by spec.suspend", event="")
        return None
    if not turn.canary.has_finalizer:
        turn.do(AddFinalizer())
    _explain_settings(turn)
    children.mend_services(turn)
    return _dispatch(turn)


def _dispatch(turn: Turn) -> NeedChecks | None:
    match turn.status.phase:
        case Phase.NEW | Phase.INITIALIZING:
            initialize.run(turn)
        case Phase.INITIALIZED | Phase.SUCCEEDED | Phase.FAILED | Phase.WAITING:
            return start.run(turn)
        case Phase.PROGRESSING | Phase.WAITING_PROMOTION:
            return analyse.run(turn)
        case Phase.PROMOTING:
            promote.run(turn)
        case Phase.FINALISING:
            finalize.run(turn)
        case Phase.TERMINATING | Phase.TERMINATED:
            release.run(turn)
        case _ as unreachable:
            assert_never(unreachable)
    return None


def _explain_settings(turn: Turn) -> None:
    """Say once per edit of the Canary which settings are served differently from how they read."""
    if turn.status.observed_generation == turn.canary.metadata.generation:
        return
    wanted = turn.canary.analysis.interval
    if wanted < turn.interval:
        turn.warn(
            f"spec.analysis.interval of {turn.name} is below this controller's minimum: "
            f"{turn.interval.total_seconds():g}s is used instead"
        )
    for note in turn.seen.notes:
        turn.warn(note)
