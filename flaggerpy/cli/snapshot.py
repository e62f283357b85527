"""What a person looks at: one canary and what is around it at one moment, as plain values.

Everything that is drawn, printed or judged on the command line is a function of a `Snapshot`. Reading from JSON is
here; asking the API server is in `look`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject, is_deleting, metadata_of, uid_of
from flaggerpy.rollout.pods import brief
from flaggerpy.rollout.workload import Workload

Role = Literal["canary", "primary"]

MEANT = frozenset({"ContainerCreating", "PodInitializing"})
"""Reasons for waiting that say no more than that a pod is young."""
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Pods:
    """The pods of the target or of the primary.

    Attributes:
        name: name of the workload.
        workload: what its own controller says of it.
        troubles: why pods are not ready, one entry a reason, with how many have it.

    """

    role: Role
    name: str
    workload: Workload
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Happening:
    """An event of the Canary; ``mark`` is another one when the same event happens again."""

    mark: str
    at: datetime
    type: str
    message: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One canary at one moment.

    Attributes:
        now: the time, in the zone in which times are shown.
        pods: of the target and the primary, as far as these exist.
        configs: checksums of the target's configs; empty where nothing depends on them.
        events: of the Canary, oldest first.
        notes: what could not be read, one sentence each.
        stale: what is around the canary is from an earlier look than the canary itself: good to see, not to judge.

    """

    now: datetime
    canary: Canary
    pods: tuple[Pods, ...] = ()
    configs: Mapping[str, str] = field(default_factory=dict)
    events: tuple[Happening, ...] = ()
    notes: tuple[str, ...] = ()
    stale: bool = False

    def workload(self, role: Role) -> Workload | None:
        """Return the target or the primary, None when it does not exist."""
        return next((row.workload for row in self.pods if row.role == role), None)

    @property
    def name(self) -> str:
        """Namespace and name, as kubectl takes them apart."""
        return f"{self.canary.namespace}/{self.canary.name}"


def happenings(events: Iterable[Mapping[str, Any]]) -> tuple[Happening, ...]:
    """Read Kubernetes events, oldest first."""
    return tuple(sorted(map(_happening, events), key=lambda one: one.at))


def _happening(event: Mapping[str, Any]) -> Happening:
    series: JsonObject = event.get("series") or {}
    count = series.get("count") or event.get("count") or 1
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    moment = next((text for text in (*times, metadata_of(event).get("creationTimestamp")) if text), None)
    return Happening(
        mark=f"{uid_of(event)}/{count}",
        at=datetime.fromisoformat(moment) if moment else NEVER,
        type=str(event.get("type") or "Normal"),
        message=str(event.get("message") or ""),
    )


def selector_text(workload: Mapping[str, Any]) -> str:
    """Write a workload's selector as a list of pods takes it."""
    selector: JsonObject = (workload.get("spec") or {}).get("selector") or {}
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression.get("key"), ",".join(expression.get("values") or ())
        match expression.get("operator"):
            case "Exists":
                terms.append(f"{key}")
            case "DoesNotExist":
                terms.append(f"!{key}")
            case operator:
                terms.append(f"{key} {str(operator).lower()} ({values})")
    return ",".join(terms)


def troubles(workload: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Say why pods are not ready or not even made: each reason once, the most frequent first."""
    found = [trouble for pod in pods if not is_deleting(pod) and (trouble := _trouble(pod)) is not None]
    counted = Counter(reason for reason, _ in found)
    messages = dict(reversed(found))
    rows = [_counted(count, reason, messages[reason]) for reason, count in counted.most_common()]
    return (*rows, *_unmade(workload))


def _counted(count: int, reason: str, message: str) -> str:
    return f"{count} × {reason}" + (f": {message}" if message else "")


def _unmade(workload: Mapping[str, Any]) -> Iterator[str]:
    for row in (workload.get("status") or {}).get("conditions") or ():
        if row.get("type") == "ReplicaFailure" and row.get("status") == "True":
            yield f"pods cannot be made: {row.get('message')}"


def _trouble(pod: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return reason and details of a pod that is not ready, None for one that is."""
    status: JsonObject = pod.get("status") or {}
    conditions = {row.get("type"): row for row in status.get("conditions") or ()}
    if (conditions.get("Ready") or {}).get("status") == "True" or status.get("phase") == "Succeeded":
        return None
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return str(scheduled.get("reason") or "Unschedulable"), str(scheduled.get("message") or "")
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    states = [_container_trouble(container) for container in containers]
    found = [state for state in states if state is not None]
    telling = [state for state in found if state[0] not in MEANT]
    if telling or found:
        return (telling or found)[0]
    if status.get("phase") == "Running":
        return "running, but not ready", ""
    return str(status.get("reason") or status.get("phase") or "Pending"), str(status.get("message") or "")


def _container_trouble(container: Mapping[str, Any]) -> tuple[str, str] | None:
    state: JsonObject = container.get("state") or {}
    if waiting := state.get("waiting"):
        before = (container.get("lastState") or {}).get("terminated")
        reason, message = str(waiting.get("reason") or "Waiting"), str(waiting.get("message") or "")
        return reason, f"ended with {_exit(before)}" if before else brief(reason, message)
    ended = state.get("terminated")
    if ended and ended.get("exitCode"):
        return str(ended.get("reason") or "Error"), f"exit code {ended.get('exitCode')}"
    return None


def _exit(ended: Mapping[str, Any]) -> str:
    """Say how a container ended; ``Error`` says no more than its exit code does."""
    reason = ended.get("reason")
    return f"exit code {ended.get('exitCode')}" + (f" ({reason})" if reason not in {None, "Error", "Completed"} else "")
