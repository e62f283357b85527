"""What happened in one run, in the order in which it happened: writes, checks, and what the user did."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import (
    BUDGETS,
    CANARIES,
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    DAEMONSETS,
    DEPLOYMENTS,
    EVENTS,
    HPAS,
    HTTP_ROUTES,
    LEASES,
    SCALED_OBJECTS,
    SECRETS,
    SERVICES,
    Resource,
)
from flaggerpy.kube.wire import Request

_KINDS = {
    kind.plural: kind
    for kind in (
        BUDGETS,
        CANARIES,
        CONFIG_MAPS,
        CONTROLLER_REVISIONS,
        DAEMONSETS,
        DEPLOYMENTS,
        EVENTS,
        HPAS,
        HTTP_ROUTES,
        LEASES,
        SCALED_OBJECTS,
        SECRETS,
        SERVICES,
    )
}
_UNCOUNTED = frozenset({EVENTS.plural, LEASES.plural})
"""A lost event hurts nobody, and leases have tests of their own."""


def now() -> datetime:
    """The time, as the controller reads it."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Place:
    """What a request is about."""

    resource: Resource
    name: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """What made a write: the action of the core (empty for a status), and the function of the shell."""

    action: str = ""
    writer: str = ""


@dataclass(frozen=True, slots=True)
class Wrote:
    """One write as the API server answered it; ``status`` is 0 when it gave no answer."""

    title: str
    place: Place
    method: str
    life: int
    sent: datetime
    answered: datetime
    status: int
    answer: JsonObject
    origin: Origin = Origin()

    @property
    def done(self) -> bool:
        """Whether the server did it."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to a hook or to the metrics server, and the answer."""

    kind: str
    passed: bool
    at: datetime
    key: str = ""
    checksum: str = ""
    phase: str = ""


@dataclass(frozen=True, slots=True)
class Did:
    """What the user did: ``image`` (with the tag), ``config``, ``delete``; the clock was read when it was done."""

    what: str
    tag: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Requested:
    """What the user asked of a rollout, and when that was in the API server."""

    verb: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Lost:
    """The primary, which the user deleted."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Died:
    """The controller died around a write, or the answer of that write was lost."""

    title: str
    mode: str
    at: datetime


Entry = Wrote | Asked | Did | Requested | Lost | Died


@dataclass(slots=True)
class Journal:
    """Everything of one run."""

    entries: list[Entry] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        """Append an entry."""
        self.entries.append(entry)

    def writes(self) -> list[Wrote]:
        """The writes that the server answered, whether anybody saw the answer or not."""
        return [entry for entry in self.entries if isinstance(entry, Wrote)]

    def asked(self, kind: str = "") -> list[Asked]:
        """The questions, of one kind or all."""
        return [entry for entry in self.entries if isinstance(entry, Asked) and kind in ("", entry.kind)]

    def did(self) -> list[Did]:
        """The user's deeds."""
        return [entry for entry in self.entries if isinstance(entry, Did)]

    def requested(self) -> list[Requested]:
        """What the user asked of a rollout."""
        return [entry for entry in self.entries if isinstance(entry, Requested)]

    def lost_primary(self) -> bool:
        """Whether the user took the primary away."""
        return any(isinstance(entry, Lost) for entry in self.entries)

    def story(self) -> str:
        """All of it for people, one line an entry, with seconds since the beginning."""
        start = min((_when(entry) for entry in self.entries), default=now())
        return "\n".join(f"  {(_when(entry) - start).total_seconds():7.3f}  {_line(entry)}" for entry in self.entries)


def is_counted(request: Request) -> bool:
    """Tell whether dying around this request is part of the suite."""
    return request.is_write and place_of(request).resource.plural not in _UNCOUNTED


def place_of(request: Request) -> Place:
    """Read kind, name and subresource from a request."""
    parts = request.path.strip("/").split("/")
    after = parts[3 if parts[0] == "apis" else 2 :]  # behind /apis/GROUP/VERSION or /api/VERSION
    if after[0] == "namespaces" and len(after) > 2:
        after = after[2:]
    name = after[1] if len(after) > 1 else str((_body(request).get("metadata") or {}).get("name") or "")
    return Place(_KINDS[after[0]], name, after[2] if len(after) > 2 else "")


def title_of(request: Request) -> str:
    """Name a write so that the same write of another run has the same name."""
    place = place_of(request)
    where = f"{place.resource.kind} {place.name}" + (f"/{place.subresource}" if place.subresource else "")
    detail = _detail(place, _body(request))
    return f"{request.method} {where}" + (f" {detail}" if detail else "")


def shares_in(route: JsonObject) -> list[dict[str, int]]:
    """The weights of every rule, by Service."""
    return [_shares(rule) for rule in _rules(route)]


def weights_in(route: JsonObject) -> dict[str, int]:
    """The weights of the rule by which a canary gets its users, by Service: the last one with a choice."""
    shares = shares_in(route) or [{}]
    return next((share for share in reversed(shares) if len(share) > 1), shares[-1])


def _rules(route: JsonObject) -> list[JsonObject]:
    return list((route.get("spec") or {}).get("rules") or ())


def _shares(rule: JsonObject) -> dict[str, int]:
    return {backend["name"]: int(backend.get("weight", 1)) for backend in rule.get("backendRefs") or ()}


def image_in(workload: JsonObject) -> str:
    """The tag of the image that a workload runs, or the version that a Service selects."""
    template = workload["spec"].get("template")
    if template is None:
        return str(workload["spec"]["selector"].get("version", ""))
    return str(template["spec"]["containers"][0]["image"]).rpartition(":")[2]


def _detail(place: Place, body: Any) -> str:
    if place.subresource == "status":
        return _status(body.get("status") or {})
    if place.subresource == "scale":
        return f"to {next(op['value'] for op in body if op['op'] == 'add')}"
    if place.resource == HTTP_ROUTES:
        return _route(body)
    if place.resource == CANARIES and "finalizers" in (body.get("metadata") or {}):
        return f"with {len(body['metadata']['finalizers'])} finalizer(s)"
    return ""


def _status(status: JsonObject) -> str:
    rollout = status.get("rollout") or {}
    request, pending = rollout.get("request") or {}, [item["id"] for item in rollout.get("pending") or ()]
    notes = {
        "with copies": (rollout.get("step") or {}).get("mirrored"),
        "asking for pods": (rollout.get("step") or {}).get("growth"),
        "with a cookie": status.get("sessionAffinityCookie"),
        "on the canary": rollout.get("servingCanary"),
        "failing": rollout.get("failing"),
        "paused": rollout.get("paused"),
        f"answers {request.get('verb')}": any(one.endswith(f"request-{request.get('id')}") for one in pending),
    }
    return ", ".join(
        [f"{status.get('phase')} at {status.get('canaryWeight', 0)}%", *(note for note, told in notes.items() if told)]
    )


def _route(body: JsonObject) -> str:
    rules = _rules(body)
    copied = any(part["type"] == "RequestMirror" for rule in rules for part in rule.get("filters") or ())
    told = ["/".join(str(weight) for weight in weights_in(body).values())]
    return ", ".join([*told, *["with copies"] * copied, *[f"{len(rules)} rules"] * (len(rules) > 1)])


def _body(request: Request) -> Any:
    return json.loads(request.body) if request.body else {}


def _when(entry: Entry) -> datetime:
    return entry.answered if isinstance(entry, Wrote) else entry.at


def _line(entry: Entry) -> str:
    match entry:
        case Wrote(title=title, status=status, life=life, sent=sent, answered=answered):
            took = (answered - sent).total_seconds() * 1000
            return f"life {life}: {title} → {status or 'no answer'} ({took:.0f} ms)"
        case Asked(kind=kind, passed=passed, phase=phase):
            return f"asked {kind} {phase}: {'passed' if passed else 'failed'}"
        case Did(what=what, tag=tag):
            return f"the user: {what} {tag}"
        case Requested(verb=verb):
            return f"the user asks: {verb}"
        case Lost():
            return "the user: deletes the primary"
        case Died(title=title, mode=mode):
            return f"*** {mode}: {title}"
