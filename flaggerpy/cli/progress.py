"""How far a rollout is and what comes next, for people: steps, when the next one is due, why it waits.

Only what the Canary itself says is used: it is shown, never acted on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from flaggerpy.api.canary import Canary
from flaggerpy.api.status import CheckResult, Phase
from flaggerpy.rollout import strategy
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.transition import ANALYSIS, to_mend
from flaggerpy.rollout.verdicts import pace
from flaggerpy.routers.registry import router_of


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the analysis is.

    Attributes:
        percent: the canary's share of traffic, or of the iterations those that are done.
        steps: where the steps end, in the same measure, ascending.
        unit: what the steps count.
        copied: whether the canary gets copies of requests.

    """

    percent: int
    steps: tuple[int, ...]
    unit: str
    done: int
    copied: bool = False

    @property
    def words(self) -> str:
        """Say it in words."""
        return f"{self.unit} {self.done} of {len(self.steps)}" + (" with copies of requests" if self.copied else "")


def progress(canary: Canary) -> Progress:
    """Say how far the analysis is, by weights where traffic grows and by iterations elsewhere."""
    analysis, status, routed = canary.analysis, canary.status, is_routed(canary)
    copied = status.rollout.step.mirrored
    if strategy.is_progressive(analysis, routed=routed):
        weight = status.canary_weight
        return Progress(weight, analysis.steps, "step", sum(step <= weight for step in analysis.steps), copied)
    total = strategy.iterations(analysis, routed=routed)
    done = min(status.iterations, total)
    steps = tuple(100 * n // total for n in range(1, total + 1))
    return Progress(100 * done // total, steps, "iteration", done, copied)


def is_routed(canary: Canary) -> bool:
    """Tell whether the provider shifts weights; one that the controller chose is taken for one that does."""
    try:
        return router_of(canary, canary.spec.provider or "").capabilities.weights
    except UserError:
        return True


def due(canary: Canary) -> datetime | None:
    """Return when the controller looks next for its own sake; None when only a change can make it.

    An interval below the controller's minimum is raised there, which cannot be seen from here.
    """
    rollout, interval = canary.status.rollout, canary.analysis.interval
    step, pause = rollout.step, rollout.paused
    if canary.spec.suspend or (pause and not pause.reason):
        return None
    match canary.status.phase:
        case Phase.PROGRESSING | Phase.WAITING_PROMOTION if _under_traffic(canary):
            sooner = interval - pace(rollout.checks, step, interval)
            moments = [step.started_at] if step.started_at else []
            moments += [step.checked_at - sooner] if step.checked_at else []
        case Phase.PROGRESSING | Phase.WAITING_PROMOTION | Phase.WAITING:
            moments = [step.checked_at] if step.checked_at else []
        case Phase.PROMOTING if canary.analysis.step_weight_promotion > 0:
            moments = [step.checked_at] if step.checked_at else []
        case _:
            moments = []
    return max(moments) + interval if moments else None


def finding(check: CheckResult) -> str:
    """Give the reason of a verdict, and of a sequential test how often it has asked for more time in this rollout."""
    asked = check.sequential.asked if check.sequential is not None else 0
    if asked == 0 or "asked for more time" in check.reason:
        return check.reason
    return f"{check.reason}; asked for more time {'once' if asked == 1 else f'{asked} times'}"


def what_is_due(phase: Phase) -> str:
    """Name what happens when the time has come."""
    match phase:
        case Phase.WAITING | Phase.WAITING_PROMOTION:
            return "the gate is asked again"
        case Phase.PROMOTING:
            return "next shift of traffic"
        case _:
            return "next check"


def why(canary: Canary) -> str:
    """Say why the canary stands where it does: a pause, what it waits for or what is to be mended, or its condition."""
    status = canary.status
    reason = status.rollout.reason
    if pause := status.rollout.paused:
        held = pause.words
        measured = any(check.verdict != "Passed" for check in status.rollout.checks)
        beside = f"the last check: {reason}" if measured and status.phase in ANALYSIS else reason
        return held if reason in {"", held} else f"{held}; {beside}"
    messages = {row.type: row.message for row in status.conditions}
    return reason or messages.get("Ready") or messages.get("Promoted") or ""


def untold(trouble: str, said: str) -> str:
    """Leave the details of a pod's trouble away where they have been said already; ``2 × ImagePullBackOff`` stays."""
    what, _, details = trouble.partition(": ")
    return what if details and details.rpartition(": ")[2] in said else trouble


def problem(canary: Canary) -> str:
    """Return what a user must mend before anything can go on; empty when nothing."""
    return to_mend(canary.status)


def span(length: timedelta) -> str:
    """Write an age as kubectl does: two units at most, none for the future."""
    seconds = max(0, int(length.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    return f"{hours}h" if days < 2 else f"{days}d"


def _under_traffic(canary: Canary) -> bool:
    status = canary.status
    started = status.canary_weight > 0 or status.iterations > 0 or status.rollout.step.mirrored
    return status.phase in ANALYSIS and started
