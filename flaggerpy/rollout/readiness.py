"""Is a workload ready, not yet ready, or stuck?

Where Flagger answers otherwise is told in docs/reference/differences.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from flaggerpy.rollout.workload import Workload


@dataclass(frozen=True, slots=True)
class Readiness:
    """The answer, why not, and when a workload that is not ready will count as stuck.

    ``message`` holds counts for an event; the status gets a sentence without them.
    """

    ready: bool
    stuck: bool = False
    message: str = ""
    stuck_at: datetime | None = None


READY = Readiness(ready=True)

_WAITING = "waiting for rollout to finish: "


def readiness(
    workload: Workload, *, percent: int, deadline: timedelta, now: datetime, since: datetime | None = None
) -> Readiness:
    """Judge a workload's rollout.

    Args:
        workload: what the API server says of it.
        percent: how many of its updated pods must be available, rounded up to whole pods; at least one of them.
        deadline: how long too few pods may be available before it counts as stuck.
        now: the time of the decision.
        since: when it was last given something new to run: what it missed before is not counted against that.

    """
    if not workload.looked_at:
        return Readiness(False, message=not_looked_at(workload.noun))
    if workload.deadline_exceeded:
        return Readiness(False, stuck=True, message=f'deployment "{workload.name}" exceeded its progress deadline')
    missing = _missing(workload, percent)
    if not missing:
        return READY
    message = _WAITING + (workload.unready or missing)
    if workload.unavailable_since is None:
        return Readiness(False, message=message)
    stuck_at = max(workload.unavailable_since, since or workload.unavailable_since) + deadline
    return Readiness(False, stuck=now >= stuck_at, message=message, stuck_at=stuck_at)


def missing_since(workload: Workload, noted: datetime | None, now: datetime) -> datetime | None:
    """Since when a workload lacks pods by our own clock, None where another one is looked at.

    Args:
        workload: what the API server says of it.
        noted: since when it was found unready before, at every look.
        now: the time of the decision.

    """
    if workload.paused:
        return None  # nobody expects it to get any further
    return noted or (now if workload.says_nothing else None)


def earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the earlier one of two times, each of which may be unknown."""
    return min((moment for moment in (one, other) if moment), default=None)


def not_looked_at(kind: str) -> str:
    """Say why a workload is not ready whose controller has not seen what was written; the words are Flagger's."""
    return f"{_WAITING}observed {kind} generation less than desired generation"


def enough(pods: int, percent: int) -> int:
    """How many of so many pods a threshold asks for: rounded up, and at least one."""
    return max(math.ceil(pods * percent / 100), min(pods, 1))


def _missing(workload: Workload, percent: int) -> str:
    if workload.updated_replicas < workload.replicas:
        return f"{workload.updated_replicas} out of {workload.replicas} new replicas have been updated"
    if workload.current_replicas > workload.updated_replicas:
        return f"{workload.current_replicas - workload.updated_replicas} old replicas are pending termination"
    if workload.available_replicas < enough(workload.updated_replicas, percent):
        return (
            f"{workload.available_replicas} of {workload.updated_replicas} "
            f"(readyThreshold {percent}%) updated replicas are available"
        )
    return ""
