"""What each phase means in words: the conditions that people and tools wait for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from flaggerpy.api.status import Condition, Phase

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
    Phase.FAILED: ("False", "Canary analysis failed, all traffic is on the primary."),
    Phase.TERMINATING: ("Unknown", "Giving the traffic back to {kind} {target}."),
    Phase.TERMINATED: ("Unknown", "Released: {kind} {target} serves its users itself."),
}
"""Phase → status and text of Flagger's ``Promoted`` condition; its reason is the phase."""

IDLE = frozenset({Phase.INITIALIZED, Phase.SUCCEEDED, Phase.FAILED})
"""Phases in which nothing happens until somebody changes something."""

ROLLING = frozenset({Phase.PROGRESSING, Phase.WAITING_PROMOTION, Phase.PROMOTING, Phase.FINALISING})
"""Phases in which the target may get traffic."""

NEXT: dict[Phase, frozenset[Phase]] = {
    Phase.NEW: frozenset({Phase.INITIALIZING}),
    Phase.INITIALIZING: frozenset({Phase.INITIALIZED}),
    Phase.INITIALIZED: frozenset({Phase.WAITING, Phase.PROGRESSING}),
    Phase.WAITING: frozenset({Phase.PROGRESSING, Phase.SUCCEEDED}),
    Phase.PROGRESSING: frozenset(
        {Phase.WAITING_PROMOTION, Phase.PROMOTING, Phase.FAILED, Phase.SUCCEEDED, Phase.FINALISING}
    ),
    Phase.WAITING_PROMOTION: frozenset(
        {Phase.PROGRESSING, Phase.PROMOTING, Phase.FAILED, Phase.SUCCEEDED, Phase.FINALISING}
    ),
    Phase.PROMOTING: frozenset({Phase.FINALISING, Phase.FAILED, Phase.PROGRESSING}),
    Phase.FINALISING: frozenset({Phase.SUCCEEDED}),
    Phase.SUCCEEDED: frozenset({Phase.WAITING, Phase.PROGRESSING}),
    Phase.FAILED: frozenset({Phase.WAITING, Phase.PROGRESSING}),
    Phase.TERMINATING: frozenset({Phase.TERMINATED}),
    Phase.TERMINATED: frozenset({Phase.INITIALIZING}),
}
"""The phases that may follow each phase; every phase may also become Terminating."""


@dataclass(frozen=True, slots=True)
class Words:
    """What the texts of conditions name: the target, and the generation of the Canary that was looked at."""

    kind: str
    target: str
    generation: int


def conditions(
    old: list[Condition], phase: Phase, now: datetime, *, words: Words, problem: str, reason: str
) -> list[Condition]:
    """Compute the conditions of a phase: Flagger's ``Promoted`` and kstatus' Ready, Reconciling and Stalled.

    Args:
        old: the conditions as they are, whose times are kept where nothing changed.
        phase: the phase they describe.
        now: the time of the decision.
        words: what the texts name.
        problem: what a user must mend, empty when nothing.
        reason: why the canary waits, empty when it does not.

    """
    truth, text = PROMOTED[phase]
    text = text.format(kind=words.kind, target=words.target)
    settled = phase in IDLE or phase is Phase.TERMINATED
    ready: Truth = "False" if problem or phase is Phase.FAILED else ("True" if settled else "Unknown")
    wanted = [
        ("Promoted", truth, phase.value, text),
        ("Ready", ready, "Stalled" if problem else phase.value, problem or reason or text),
        ("Reconciling", "False" if settled or problem else "True", phase.value, reason or text),
        ("Stalled", "True" if problem else "False", "UserError" if problem else "AsExpected", problem),
    ]
    by_type = {condition.type: condition for condition in old}
    foreign = [condition for condition in old if condition.type not in {row[0] for row in wanted}]
    return [_merge(by_type.get(row[0]), row, words.generation, now) for row in wanted] + foreign


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
