"""Flagger itself, still at work: two controllers would undo each other's routes, so we stand back until it is silent.

That it runs shows in what it writes after we began. A Flagger that was stopped writes no more, so this ends by itself;
and what we had recorded is forgotten, since Flagger went on meanwhile: the canary is taken over anew.
"""

from __future__ import annotations

from flaggerpy.api.status import RolloutStatus
from flaggerpy.rollout.turn import Turn

SILENT_INTERVALS = 5
"""For how many intervals of the analysis Flagger must have written nothing before it counts as stopped."""


def still_runs(turn: Turn) -> bool:
    """Whether Flagger wrote this Canary only lately; says so to people and forgets what was recorded."""
    wrote = turn.seen.flagger_wrote_at
    if wrote is None or turn.passed(wrote + SILENT_INTERVALS * turn.interval):
        return False
    old = turn.status.rollout
    turn.set(
        rollout=RolloutStatus(
            pending=old.pending, reason=old.reason, request=old.request, paused=old.paused, routes=old.routes
        )
    )
    turn.stall(
        f"Flagger still runs: it goes on writing canary {turn.name}. Stop it, for instance by scaling its Deployment "
        f"to 0; flaggerpy moves no traffic until Flagger has been silent for {SILENT_INTERVALS} intervals"
    )
    return True
