"""Hooks as questions: which to ask now, and what their answers mean.

Hooks of one type are asked in list order and the first that does not pass ends the round.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from flaggerpy.api.analysis import CanaryWebhook, HookType
from flaggerpy.api.status import Phase
from flaggerpy.rollout.checks import Answer, HookCheck
from flaggerpy.rollout.decision import NeedChecks
from flaggerpy.rollout.turn import Turn

_PASSED = {
    HookType.CONFIRM_ROLLOUT: "Confirm-rollout",
    HookType.PRE_ROLLOUT: "Pre-rollout",
    HookType.CONFIRM_TRAFFIC_INCREASE: "Confirm-traffic-increase",
    HookType.CONFIRM_PROMOTION: "Confirm-promotion",
}


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether a gate is open; ``asked`` is False when it was too early to ask again."""

    open: bool
    hook: str = ""
    asked: bool = True
    muted: bool = False
    error: str = ""


def hooks_of(turn: Turn, kind: HookType) -> list[tuple[int, CanaryWebhook]]:
    """The hooks of one type with their index in ``analysis.webhooks``."""
    return [(i, hook) for i, hook in enumerate(turn.canary.analysis.webhooks) if hook.type is kind]


def ask(turn: Turn, kind: HookType, phase: Phase) -> NeedChecks | Gate:
    """Ask all hooks of one type; open when every one passes."""
    hooks = hooks_of(turn, kind)
    checks = tuple(HookCheck(i, kind, phase, _key(turn, i, hook)) for i, hook in hooks)
    for check, (_, hook) in zip(checks, hooks, strict=True):
        answer = turn.seen.answers.get(check)
        if answer is None:
            return NeedChecks(checks[checks.index(check) :])
        if not answer.passed:
            return Gate(open=False, hook=hook.name, muted=hook.mute_alert, error=answer.message)
    if kind in _PASSED:
        for _, hook in hooks:
            turn.say(f"{_PASSED[kind]} check {hook.name} passed")
    return Gate(open=True)


def confirm(turn: Turn, kind: HookType) -> NeedChecks | Gate:
    """Ask a gate that holds the rollout back; in Waiting it is asked again once an interval."""
    checked = turn.status.rollout.step.checked_at
    if turn.status.phase is Phase.WAITING and checked is not None:
        due = checked + turn.interval
        if turn.now < due:
            turn.wake(due)
            return Gate(open=False, asked=False)
    return ask(turn, kind, turn.status.phase)


def rollback_signal(turn: Turn) -> NeedChecks | str:
    """Ask the rollback hooks one by one; the name of the first that wants a rollback, or an empty string."""
    for index, hook in hooks_of(turn, HookType.ROLLBACK):
        check = HookCheck(index, HookType.ROLLBACK, turn.status.phase, _key(turn, index, hook))
        answer: Answer | None = turn.seen.answers.get(check)
        if answer is None:
            return NeedChecks((check,))
        if answer.passed:
            return hook.name
    return ""


def _key(turn: Turn, index: int, hook: CanaryWebhook) -> str:
    step = turn.status.rollout.step
    revision = turn.current_revision()
    parts = [
        turn.canary.metadata.uid,
        revision.template,
        sorted(revision.configs.items()),
        step.weight,
        turn.status.iterations,
        step.attempt,
        index,
        hook.name,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
