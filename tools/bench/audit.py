"""What the audit log tells: how many requests, of what kind, and when each rollout took which step.

Pure functions over events of audit.k8s.io/v1. All times are those at which the API server received a request, so
they are of one clock, and nothing that the bench itself does is in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from flaggerpy.kube.objects import JsonObject
from tests.integration.gateway import canary_share

Key = tuple[str, str]
"""Namespace and name of a canary, whose target and route have the same name."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Requests of the controller, those that come with time alone set apart."""

    watches: int
    """Watches that ended; a controller renews them every few minutes."""
    leases: int
    others: Counter[str]
    """All the rest by verb and resource, events included."""

    @classmethod
    def of(cls, counted: Counter[str]) -> Tally:
        """Sort requests that were counted by verb and resource."""
        watches = sum(count for what, count in counted.items() if what.startswith("watch "))
        leases = sum(count for what, count in counted.items() if what.endswith(" leases"))
        aside = {what for what in counted if what.startswith("watch ") or what.endswith(" leases")}
        return cls(watches, leases, Counter({what: n for what, n in counted.items() if what not in aside}))


@dataclass(slots=True)
class Rollout:
    """One rollout by its writes; None for what did not happen."""

    key: Key
    patched: datetime
    """A user changed the target's template."""
    scaled: datetime | None = None
    """The controller scaled the target up."""
    shifted: datetime | None = None
    """The controller gave the canary its first share."""
    promoted: datetime | None = None
    """The controller gave the primary everything again."""

    @property
    def reaction_s(self) -> float | None:
        """Seconds from the user's patch to the scale-up."""
        return None if self.scaled is None else (self.scaled - self.patched).total_seconds()

    @property
    def rollout_s(self) -> float | None:
        """Seconds from the user's patch until the primary, which runs the new revision, has 100 %."""
        return None if self.promoted is None else (self.promoted - self.patched).total_seconds()


def rollouts(events: Iterable[JsonObject], controller: str) -> list[Rollout]:
    """Return the rollouts that users began by patching Deployments, in the order of their patches.

    ``controller`` is the controller's user name: its writes are the steps, everybody else's patches the beginnings.
    """
    found: list[Rollout] = []
    latest: dict[Key, Rollout] = {}
    for event in sorted(filter(_matters, events), key=_received):
        reference, at = event["objectRef"], _received(event)
        key = reference["namespace"], reference["name"]
        if event["user"].get("username") == controller:
            if key in latest:
                _note(latest[key], event, at)
        elif (event["verb"], reference["resource"], reference.get("subresource")) == ("patch", "deployments", None):
            latest[key] = Rollout(key, at)
            found.append(latest[key])
    return found


def _matters(event: JsonObject) -> bool:
    """Whether an event is a write that succeeded, to a workload or a route."""
    return (
        event["stage"] == "ResponseComplete"
        and event["verb"] in {"create", "patch", "update"}
        and (event.get("objectRef") or {}).get("resource") in {"deployments", "httproutes"}
        and "name" in event["objectRef"]
        and 200 <= (event.get("responseStatus") or {}).get("code", 0) < 300
    )


def _received(event: JsonObject) -> datetime:
    return datetime.fromisoformat(event["requestReceivedTimestamp"])


def _note(rollout: Rollout, event: JsonObject, at: datetime) -> None:
    """Record a write of the controller as the step that it is; each step counts the first time."""
    match event["objectRef"]["resource"], event["objectRef"].get("subresource"):
        case "deployments", "scale":
            rollout.scaled = rollout.scaled or at
        case "httproutes", None:
            share = _share(event)
            if share and rollout.shifted is None:
                rollout.shifted = at
            elif share == 0 and rollout.shifted is not None and rollout.promoted is None:
                rollout.promoted = at


def _share(event: JsonObject) -> int | None:
    """Return the canary's share that a write to a route asked for, None when it asked for none."""
    body = event.get("requestObject")
    return canary_share(body) if isinstance(body, dict) and body.get("spec") else None
