"""What people are told of beside the steps of a rollout: that it is halted, and that alerts do not reach them.

A halt is told once, when it begins: a gate, an outage or a pause tells of itself where it is decided, and what somebody
has to mend is told here. That an alert cannot be delivered never holds anything up: it is an event and a condition.
"""

from __future__ import annotations

from flaggerpy.api.status import Change, Condition, Phase
from flaggerpy.rollout.transition import ALERTS_DELIVERED, ROLLING, to_mend, without
from flaggerpy.rollout.turn import Turn

MISTAKE, FAILURE = "Misconfigured", "NotDelivered"
"""Reasons of the condition: a setting that no alert can be sent with, and a receiver that took none."""


def change(turn: Turn) -> Change:
    """Say what the rollout that begins changes."""
    primary = turn.seen.primary
    before = primary.images if primary is not None else ()
    return Change(before=_images(before), after=_images(turn.target.images))


def halt(turn: Turn) -> None:
    """Alert of a rollout that stops until somebody mends something, or takes back spec.suspend."""
    if turn.before.phase not in ROLLING or turn.status.phase not in ROLLING or turn.status.rollout.failing:
        return
    if turn.problem and not to_mend(turn.before):
        turn.alert("error", f"Rollout of {turn.target_name} is halted: {turn.problem}")
    elif turn.suspended and turn.before.rollout.reason != turn.reason:
        turn.alert("warn", f"Rollout of {turn.target_name} is halted: {turn.reason}")


def pause(turn: Turn, by: str) -> None:
    """Alert of a rollout that a person holds."""
    if turn.status.phase in ROLLING - {Phase.FINALISING}:
        turn.alert("warn", f"Rollout of {turn.target_name} is paused by {by}.")


def undelivered(turn: Turn) -> None:
    """Say in a condition, and once in an event, that alerts do not reach anybody; the condition goes with the fault."""
    if turn.status.phase is Phase.NEW:
        return
    known = next((row for row in turn.before.conditions if row.type == ALERTS_DELIVERED), None)
    reason, message = _trouble(turn, known)
    if not message:
        turn.set(conditions=without(turn.status.conditions, ALERTS_DELIVERED))
        return
    if known is not None and (known.reason, known.message) == (reason, message):
        return
    turn.warn(message)
    row = Condition(
        type=ALERTS_DELIVERED,
        status="False",
        reason=reason,
        message=message,
        last_update_time=turn.now,
        last_transition_time=known.last_transition_time if known is not None else turn.now,
        observed_generation=turn.canary.metadata.generation,
    )
    turn.set(conditions=[*without(turn.status.conditions, ALERTS_DELIVERED), row])


def _trouble(turn: Turn, known: Condition | None) -> tuple[str, str]:
    """Reason and message of what is wrong now; what this process has not tried yet stands as it was found."""
    seen = turn.seen.alerts
    if seen.mistake:
        return MISTAKE, seen.mistake
    if seen.failure is not None:
        return FAILURE, seen.failure
    return (FAILURE, known.message) if known is not None and known.reason == FAILURE else ("", "")


def _images(pairs: tuple[tuple[str, str], ...]) -> list[str]:
    return [f"{container}={image}" for container, image in pairs]
