"""What each phase means in words: the conditions that people and tools wait for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from flaggerpy.api.status import CanaryStatus, Condition, Phase

Truth = Literal["True", "False", "Unknown"]

PROMOTED: dict[Phase, tuple[Truth, str]] = {
    Phase.INITIALIZING: ("Unknown", "New {kind} detected, starting initialization."),
    Phase.INITIALIZED: ("True", "{kind} initialization completed."),
    Phase.WAITING: ("Unknown", "Waiting for approval to start the rollout."),
    Phase.PROGRESSING: ("Unknown", "New revision detected, progressing canary analysis."),
    Phase.WAITING_PROMOTION: ("Unknown", "Waiting for approval to promote the canary."),
    Phase.PROMOTING: ("Unknown", "Canary analysis completed, starting primary rolling update."),
    Phase.FINALISING: ("Unknown", "Canary analysis completed, routing all traffic to primary."),
    Phase.SUCCEEDED: ("True", "Canary analysis completed successfully, promotion finished."),
    Phase.FAILED: ("False", "The rollout failed, all traffic is on the primary."),
    Phase.TERMINATING: ("Unknown", "Giving the traffic back to {kind} {target}."),
    Phase.TERMINATED: ("Unknown", "Released: {kind} {target} serves its users itself."),
}
"""Phase → status and text of Flagger's ``Promoted`` condition; its reason is the phase."""

SERVING_CANARY = "The rollout failed, {kind} {target} serves all users because the primary cannot."
"""Text of ``Failed`` where the traffic is on the target."""

FAILED = Phase.FAILED.value
"""Reason of ``Stalled`` where the last rollout failed and nothing else is wrong."""

ALERTS_DELIVERED = "AlertsDelivered"
"""A condition that is there, and ``False``, only while alerts of the canary do not reach anybody."""

PRIMARY_UNAVAILABLE = "PrimaryUnavailable"
"""Reason of ``Ready`` where nothing is rolled out, and the primary that all users are on has yet to come back."""

BOOTSTRAP = frozenset({Phase.NEW, Phase.INITIALIZING, Phase.TERMINATING, Phase.TERMINATED})
"""Phases before the first rollout; the last two only where a released canary is taken back."""

IDLE = frozenset({Phase.INITIALIZED, Phase.SUCCEEDED, Phase.FAILED})
"""Phases in which nothing happens until somebody changes something."""

ANALYSIS = frozenset({Phase.PROGRESSING, Phase.WAITING_PROMOTION})
"""Phases in which the canary is judged."""

ROLLING = ANALYSIS | {Phase.WAITING, Phase.PROMOTING, Phase.FINALISING}
"""Phases of a rollout, from the new revision to its end."""

NEXT: dict[Phase, frozenset[Phase]] = {
    Phase.NEW: frozenset({Phase.INITIALIZING, Phase.INITIALIZED}),
    Phase.INITIALIZING: frozenset({Phase.INITIALIZED}),
    Phase.INITIALIZED: frozenset({Phase.WAITING, Phase.PROGRESSING}),
    Phase.WAITING: frozenset({Phase.PROGRESSING, Phase.SUCCEEDED, Phase.FAILED}),
    Phase.PROGRESSING: frozenset(
        {Phase.WAITING_PROMOTION, Phase.PROMOTING, Phase.FAILED, Phase.SUCCEEDED, Phase.WAITING}
    ),
    Phase.WAITING_PROMOTION: frozenset(
        {Phase.PROGRESSING, Phase.PROMOTING, Phase.FAILED, Phase.SUCCEEDED, Phase.WAITING}
    ),
    Phase.PROMOTING: frozenset({Phase.FINALISING, Phase.FAILED, Phase.PROGRESSING}),
    Phase.FINALISING: frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.PROMOTING}),
    Phase.SUCCEEDED: frozenset({Phase.WAITING, Phase.PROGRESSING}),
    # Only a bootstrap that Flagger gave up begins again.
    Phase.FAILED: frozenset({Phase.WAITING, Phase.PROGRESSING, Phase.SUCCEEDED, Phase.INITIALIZING}),
    Phase.TERMINATING: frozenset({Phase.TERMINATED, Phase.INITIALIZING, Phase.INITIALIZED}),
    Phase.TERMINATED: frozenset({Phase.INITIALIZING, Phase.INITIALIZED}),
}
"""The phases that may follow each phase; every phase may also become Terminating."""


@dataclass(frozen=True, slots=True)
class Words:
    """What the texts of conditions speak of.

    Attributes:
        kind: kind of the target.
        target: name of the target.
        generation: generation of the Canary that was looked at.
        serving_canary: the target serves all users, because the primary cannot.
        problem: what a user must mend, empty when nothing.
        reason: why the canary waits, empty when it does not.
        cause: what stalls or holds it, in one word; empty when the phase says it all.
        primary_down: the primary is gone or has no pod that can serve, in a phase in which all users are on it.

    """

    kind: str
    target: str
    generation: int
    serving_canary: bool = False
    problem: str = ""
    reason: str = ""
    cause: str = ""
    primary_down: bool = False


def conditions(old: list[Condition], phase: Phase, now: datetime, *, words: Words) -> list[Condition]:
    """Compute the conditions of a phase: Flagger's ``Promoted`` and kstatus' Ready, Reconciling and Stalled.

    ``Failed`` is stalled, as kstatus means it: nothing goes on until somebody asks for something else, so that whoever
    waits by it (Flux, say) hears of the failure at once. A primary that is made again is under way, as a rollout is: it
    gets there by itself, so that nobody has to be told of a failure. The times of ``old`` are kept where nothing
    changed, and so are conditions that are not ours.
    """
    truth, text = PROMOTED[phase]
    if phase is Phase.FAILED and words.serving_canary:
        text = SERVING_CANARY
    text = text.format(kind=words.kind, target=words.target)
    problem, reason = words.problem, words.reason
    down = words.primary_down and phase in IDLE - {Phase.FAILED}
    settled = (phase in IDLE or phase is Phase.TERMINATED) and not down
    cause = words.cause or (PRIMARY_UNAVAILABLE if down else phase.value)
    stalled, what = (cause, problem) if problem else ("", "")
    if not problem and phase is Phase.FAILED:
        stalled, what = FAILED, reason or text
    ready: Truth = "False" if stalled else ("True" if settled else "Unknown")
    wanted = [
        ("Promoted", truth, phase.value, text),
        ("Ready", ready, cause, problem or reason or text),
        ("Reconciling", "False" if settled or problem else "True", cause, reason or text),
        ("Stalled", "True" if stalled else "False", stalled or "AsExpected", what),
    ]
    by_type = {condition.type: condition for condition in old}
    foreign = [condition for condition in old if condition.type not in {row[0] for row in wanted}]
    return [_merge(by_type.get(row[0]), row, words.generation, now) for row in wanted] + foreign


def to_mend(status: CanaryStatus) -> str:
    """Return what a user must mend before anything can go on; empty when nothing.

    A rollout that failed is no mistake of a setting: the next revision is rolled out all the same.
    """
    rows = (row for row in status.conditions if row.type == "Stalled" and row.status == "True")
    return next((row.message for row in rows if row.reason != FAILED), "")


def without(rows: list[Condition], kind: str) -> list[Condition]:
    """Return the conditions that are of another type."""
    return [row for row in rows if row.type != kind]


def rollout_began(status: CanaryStatus) -> datetime | None:
    """Return when the rollout that runs began, None when none does: ``Promoted`` has been unknown ever since."""
    if status.phase not in ROLLING:
        return None
    return next((row.last_transition_time for row in status.conditions if row.type == "Promoted"), None)


def _merge(old: Condition | None, row: tuple[str, Truth, str, str], generation: int, now: datetime) -> Condition:
    kind, truth, reason, message = row
    if old and (old.status, old.reason, old.message) == (truth, reason, message):
        return (
            old if old.observed_generation == generation else old.model_copy(update={"observed_generation": generation})
        )
    moved = now if old is None or old.status != truth else old.last_transition_time
    return Condition(
        type=kind,
        status=truth,
        reason=reason,
        message=message,
        last_update_time=now,
        last_transition_time=moved,
        observed_generation=generation,
    )


def progress(status: CanaryStatus) -> tuple[object, ...]:
    """Return what ``lastTransitionTime`` is the time of."""
    return (
        status.phase,
        status.canary_weight,
        status.iterations,
        status.failed_checks,
        status.last_applied_spec,
    )
