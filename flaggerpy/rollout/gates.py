"""Hooks as questions: which to ask now, and what their answers mean.

Hooks of one type are asked in list order and the first that does not pass ends the round.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from flaggerpy.api.analysis import CanaryWebhook, HookType
from flaggerpy.api.status import Phase
from flaggerpy.rollout.checks import HookCheck
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
    """Whether the hooks of one type all passed, and which one did not."""

    open: bool
    hook: str = ""
    muted: bool = False
    error: str = ""


def hooks_of(turn: Turn, kind: HookType) -> list[tuple[int, CanaryWebhook]]:
    """The hooks of one type with their index in ``analysis.webhooks``."""
    return [(i, hook) for i, hook in enumerate(turn.canary.analysis.webhooks) if hook.type is kind]


def ask(turn: Turn, kind: HookType, phase: Phase) -> NeedChecks | Gate:
    """Ask all hooks of one type; open when every one passes, or when a person wants to go on without them."""
    if turn.advance:
        return Gate(open=True)
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


def rollback_signal(turn: Turn) -> NeedChecks | str:
    """Ask the rollback hooks; the name of the first that wants a rollback, or an empty string.

    One by one, if not all at the same time: one that is refused keeps nobody from asking the next.
    """
    hooks = hooks_of(turn, HookType.ROLLBACK)
    checks = tuple(HookCheck(i, HookType.ROLLBACK, turn.status.phase, _key(turn, i, hook)) for i, hook in hooks)
    for number, (check, (_, hook)) in enumerate(zip(checks, hooks, strict=True)):
        answer = turn.seen.answers.get(check)
        if answer is None:
            last = None if turn.canary.analysis.webhooks_parallel else number + 1
            return NeedChecks(checks[number:last])
        if answer.passed:
            return hook.name
    return ""


def _key(turn: Turn, index: int, hook: CanaryWebhook) -> str:
    """Name the question: it stays the same over a crash, and is new for every step and every attempt.

    It is named by what was recorded before this tick: what the tick itself decides may bear its time, and a question
    that has another name whenever it is asked is never answered.
    """
    before, revision = turn.before, turn.current_revision()
    step = before.rollout.step
    parts = [
        turn.canary.metadata.uid,
        revision.template,
        sorted(revision.configs.items()),
        step.weight,
        str(step.started_at),
        before.iterations,
        step.attempt,
        index,
        hook.name,
        *([str(before.rollout.recall.asked_at)] if before.rollout.recall else []),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
