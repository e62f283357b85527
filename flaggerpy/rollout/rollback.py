"""Rollback in two ticks: the decision is written first, then acted on.

So a crash between the route and the status cannot forget that the canary was found bad: the next controller reads
``status.rollout.failing`` and goes on with the rollback instead of putting the canary's weight back.
"""

from __future__ import annotations

from typing import Literal

from flaggerpy.api.status import Phase
from flaggerpy.rollout.decision import ScaleTarget, SetRoutes
from flaggerpy.rollout.traffic import ALL_TO_CANARY, ALL_TO_PRIMARY
from flaggerpy.rollout.turn import Turn


def decide(turn: Turn, why: str, *, severity: Literal["warn", "error"] = "error") -> None:
    """Record that the rollout is to be rolled back, and why; the next tick, at once, does it."""
    turn.note(failing=why)
    turn.warn(f"Rolling back {turn.name} {why}")
    turn.alert(severity, f"Rolling back {turn.name}: {why}")
    turn.wake_now()


def run(turn: Turn) -> None:
    """Move users off the canary, then report; the target is scaled down once they have left."""
    stay = _primary_is_down(turn)
    weight = 100 if stay else 0
    safe = ALL_TO_CANARY if stay else ALL_TO_PRIMARY
    if turn.seen.routed and turn.seen.route.routes != safe:
        turn.do(SetRoutes(safe))
    if not turn.seen.routed and turn.target.replicas > 0:
        turn.do(ScaleTarget(0))
        turn.note(scaled_at=turn.now)
    why = turn.status.rollout.failing
    turn.set(phase=Phase.FAILED, failed_checks=0, iterations=0)
    turn.begin_step(weight)
    turn.note(failing="", serving_canary=stay, moved_at=turn.now)
    turn.wait(why)
    turn.outcome = "failed"
    turn.warn(f"Canary failed! Scaling down {turn.name}")
    turn.announce("post-rollout", kind="hooks", phase=Phase.FAILED.value)
    turn.wake(turn.now + turn.settle)


def _primary_is_down(turn: Turn) -> bool:
    """Whether only the canary has pods that can serve: a bad answer from it beats none from the primary."""
    primary = turn.seen.primary
    return (
        turn.seen.routed and (primary is None or primary.available_replicas == 0) and turn.target.available_replicas > 0
    )


def target_is_gone(turn: Turn) -> None:
    """The target was deleted in mid-rollout: nobody may be sent where nothing answers."""
    if turn.seen.primary is None:
        return
    if turn.seen.routed and turn.seen.route.routes != ALL_TO_PRIMARY:
        turn.do(SetRoutes(ALL_TO_PRIMARY))
    turn.set(phase=Phase.FAILED, failed_checks=0, iterations=0)
    turn.begin_step(0)
    turn.note(failing="", serving_canary=False, moved_at=turn.now)
    turn.outcome = "failed"
    message = f"{turn.target_name} was deleted during its rollout: all traffic is on the primary"
    turn.warn(message)
    turn.alert("error", message)
    turn.announce("post-rollout", kind="hooks", phase=Phase.FAILED.value)
