"""Snapshots for the tests of what is shown: one rollout in the middle, and the same but for what a test is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.api.status import CheckResult, Phase, Step
from flaggerpy.cli.snapshot import Happening, Pods, Role, Snapshot
from flaggerpy.rollout.workload import Workload
from tests.builders import canary, metric, with_analysis, with_rollout, with_status

NOW = datetime(2031, 5, 17, 8, 30, 15, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    """Return a moment before the look."""
    return NOW - timedelta(seconds=seconds)


def pods(role: Role = "canary", *troubles: str, available: int = 2, **changes: Any) -> Pods:
    """Build a workload of two pods that runs what it should; ``changes`` are fields of the workload."""
    name = "web" if role == "canary" else "web-primary"
    fields: dict[str, Any] = {
        "name": name,
        "uid": f"uid-of-{name}",
        "generation": 1618,
        "observed_generation": 1618,
        "template": "v1-1111111111111111",
        "controller_revision": "3",
        "paused": False,
        "replicas": 2,
        "current_replicas": 2,
        "updated_replicas": 2,
        "available_replicas": available,
        "deadline_exceeded": False,
        "unavailable_since": None,
    }
    return Pods(role, name, Workload(**{**fields, **changes}), troubles)


def check(verdict: Any = "Passed", value: str | None = "99.80%", *, age: float = 12, **fields: Any) -> CheckResult:
    """Build the last measurement of the success rate."""
    return CheckResult(
        **{"name": "request-success-rate", "verdict": verdict, "value": value, "bound": ">= 99%", "at": ago(age)}
        | fields
    )


def rolling(weight: int = 20, **rollout: Any) -> Canary:
    """Build a canary in the middle of its analysis: 10 % a step up to 50 %, every 30 s, two metrics."""
    base = with_analysis(
        canary(spec={"provider": "gatewayapi:v1"}), metrics=(metric(low=99), metric("request-duration", high=500))
    )
    began = Step(weight=weight, started_at=ago(42), checked_at=ago(12), attempt=1)
    progressing = with_status(base, Phase.PROGRESSING, canary_weight=weight)
    return with_rollout(progressing, **{"step": began, "checks": [check()], **rollout})


def at_rest(phase: Phase = Phase.SUCCEEDED, **rollout: Any) -> Canary:
    """Build a canary between rollouts."""
    return with_rollout(with_status(rolling(0, checks=[]), phase, last_transition_time=ago(3 * 3600)), **rollout)


def snapshot(of: Canary | None = None, *rows: Pods, **fields: Any) -> Snapshot:
    """Build a look at a canary with two healthy workloads, or those given."""
    return Snapshot(now=NOW, canary=of or rolling(), pods=rows or (pods(), pods("primary")), **fields)


def event(message: str, *, age: float = 0, warning: bool = False, mark: str = "") -> Happening:
    """Build an event of the canary."""
    return Happening(mark or message, ago(age), "Warning" if warning else "Normal", message)
