"""A status that Flagger left: fill in what we would have recorded, without moving traffic or starting a rollout.

Flagger's hashes depend on the Go structs it was built with, so they are not compared with anything. What the primary
runs is read from the primary; nothing is written here that the next tick could not find out again.
"""

from __future__ import annotations

from flaggerpy.api.status import Phase, Step
from flaggerpy.rollout import revision
from flaggerpy.rollout.turn import Turn


def run(turn: Turn) -> None:
    """Fill in the records of a canary that has a phase but none of ours."""
    phase = turn.status.phase
    if turn.status.rollout.applied is not None or phase is Phase.INITIALIZING:
        return
    running = revision.of_primary(turn.seen, turn.target)
    if running is None:
        return
    live = turn.seen.route.routes if turn.seen.routed else None
    # After a failed promotion Flagger leaves all users on the target and says so with weight 100.
    serving = turn.seen.routed and phase is Phase.FAILED and turn.status.canary_weight == 100
    # A failed revision was tried already; in any other phase what the primary does not run is new.
    applied = turn.current_revision() if phase is Phase.FAILED else running
    weight = 100 if serving else (live.canary if live is not None and phase is Phase.PROMOTING else 0)
    turn.note(applied=applied, promoted=running, serving_canary=serving, step=Step(weight=weight))
