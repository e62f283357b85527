"""Fail fast: a workload whose pods cannot start is not waited for until its deadline.

Told in docs/design/0003-fail-fast.md. Since when it is hopeless is kept in ``status.rollout.hopelessSince``, which
every tick says again or lets go, so that only what stood without a break counts.
"""

from __future__ import annotations

from typing import Literal

from flaggerpy.api.status import Phase
from flaggerpy.rollout.pods import hopeless
from flaggerpy.rollout.turn import UNREADY, Turn
from flaggerpy.rollout.workload import Workload

AWAITED: dict[Phase, Literal["target", "primary"]] = {
    Phase.INITIALIZING: "primary",
    Phase.PROGRESSING: "target",
    Phase.WAITING_PROMOTION: "target",
    Phase.PROMOTING: "primary",
    Phase.TERMINATING: "target",
}
"""Whose pods each phase wants to know of; in the others nobody is waited for."""


def why(turn: Turn, workload: Workload, percent: int) -> str:
    """Say why a workload that is not ready cannot become so, once that has stood for long enough; empty until then."""
    limit, seen, since = turn.seen.limits.fail_fast_after, turn.seen.pods, turn.before.rollout.hopeless_since
    if not limit or seen.of != workload.uid:
        return ""
    if seen.pods is None:
        turn.hopeless(since)
        return ""
    found = hopeless(workload, seen.pods, percent)
    if found is None:
        return ""
    since = since or turn.now
    turn.hopeless(since)
    return found.why if turn.passed(max(since, found.not_before) + limit) else ""


def blind(turn: Turn, who: str) -> str:
    """Say why the pods cannot be looked at, as the reason to wait for a workload; empty when they can."""
    trouble = turn.seen.pods.trouble
    return f"{trouble}; so whatever its pods say, waiting for {who} {UNREADY}" if trouble else ""
