"""Rollback in two ticks: the decision is written first, then acted on.

So a crash between the route and the status cannot forget that the canary was found bad: the next controller reads
``status.rollout.failing`` and goes on with the rollback instead of putting the canary's weight back.
"""

from __future__ import annotations

from typing import Literal

from flaggerpy.api.status import Phase
from flaggerpy.rollout import scaling
from flaggerpy.rollout.decision import SetRoutes
from flaggerpy.rollout.turn import Turn


def decide(turn: Turn, why: str, alert: str = "", *, severity: Literal["warn", "error"] = "error") -> None:
    """Record that the rollout is to be rolled back, and why; the next tick, at once, does it."""
    turn.note(failing=why)
    turn.wait(why)
    turn.warn(f"Rolling back {turn.name} {why}")
    turn.alert(severity, alert or f"Rolling back {turn.name} {why}")
    turn.wake_now()


def possible(turn: Turn) -> bool:
    """Whether users can be led back: not while a mistake keeps the route to the primary from being written.

    The status must not say meanwhile that they have left the canary.
    """
    return turn.seen.returnable or not turn.seen.problems


def run(turn: Turn) -> None:
    """Move users off the canary, then report; the target is scaled down once they have left."""
    fail(turn, turn.status.rollout.failing, stay=turn.only_canary_serves())
    turn.warn(f"Canary failed! Scaling down {turn.name}", arrived=True)


def fail(turn: Turn, why: str, *, stay: bool) -> None:
    """End the rollout with all users on one workload: the primary, or with ``stay`` the target."""
    weight = 100 if stay else 0
    turn.end_cookie()
    if turn.seen.routed and turn.seen.route.routes != turn.routes_at(weight):
        turn.do(SetRoutes(turn.routes_at(weight)))
    turn.set(phase=Phase.FAILED, failed_checks=0, iterations=0)
    if not stay:
        scaling.hurry(turn)
    turn.begin_step(weight)
    turn.note(failing=why, serving_canary=stay, recall=None)
    turn.hopeless(None)
    turn.moved()
    turn.wait(why)
    turn.outcome = "failed"
    turn.announce("post-rollout", kind="hooks", phase=Phase.FAILED.value)
    turn.wake_now()


def target_is_gone(turn: Turn) -> None:
    """The target was deleted in mid-rollout: nobody may be sent where nothing answers."""
    if turn.seen.primary is None:
        return
    message = f"{turn.target_name} was deleted during its rollout: all traffic is on the primary"
    fail(turn, message, stay=False)
    turn.warn(message)
    turn.alert("error", message)
