"""What a controller did with one namespace, told so that two controllers can be compared line by line.

Both tales are told by the same functions: Flagger's from a recording, ours from what was watched. Times, repeats,
random numbers, hashes and what the API server fills in are left out of both.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.replay.alerts import said

JsonObject = dict[str, Any]
Name = tuple[str, str]
"""Kind and name of an object."""

NAMESPACE, SERVER = "{namespace}", "{server}"
"""What stands for the namespace of a tale, and for the address of everything that the controller calls."""
ROUTERS = frozenset({"HTTPRoute", "HTTPProxy"})
_WORKLOADS = frozenset({"Deployment", "DaemonSet"})
_SCALERS = frozenset({"HorizontalPodAutoscaler", "ScaledObject"})
TOLD = frozenset({"Canary", "Service", "ConfigMap", "Secret"}) | _WORKLOADS | _SCALERS | ROUTERS
"""Kinds whose objects are compared."""
_PASSING = {
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
}
"""Annotations that neither controller writes."""
_OF_THE_CLUSTER = frozenset({"kube-root-ca.crt", "istio-ca-root-cert", "istio-ca-crl"})
"""ConfigMaps that appear in every namespace of a cluster."""
_METADATA = ("labels", "annotations", "owners", "finalizers")
_RANDOM = {"flagger-id": "<id>"}
_COOKIE = re.compile(r"(?<=[a-z]-cookie=)\w+|(?<=[a-z]-cookie\.\*)\w+")
"""A value in what gives a cookie, or takes it back, and in what asks for it."""
_FOR_AN_INTERVAL = re.compile(r"(?<=primary-cookie=<random>; Max-Age=)\d+")
"""How long the primary's cookie lasts: an interval, which is shorter in a replay."""
_BUILT_IN = re.compile(r"\b(istio|envoy|http_request_duration_seconds)_")
"""What a question about the traffic of a mesh is known by."""
_SERVED = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
"""What the API server chooses for a Service."""
_STARTING = "not ready: waiting for rollout to finish"
"""Whether somebody looks while a workload is still starting is chance."""


@dataclass(frozen=True, slots=True)
class Change:
    """An object as it was from a moment on, None when it was gone."""

    kind: str
    name: str
    obj: JsonObject | None


@dataclass(frozen=True, slots=True)
class Call:
    """One request that the controller sent to its surroundings."""

    to: str
    """``hook``, ``alert``, ``event-webhook`` or ``prometheus``."""
    path: str
    """What follows ``/hook/`` or ``/alert/``; the query of a question to Prometheus."""
    body: JsonObject


@dataclass(slots=True)
class Told:
    """An object: how it began, and what changed one after the other."""

    first: list[str] = field(default_factory=list)
    """Empty for what a user applied: both controllers found the same."""
    then: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Story:
    """All that is compared."""

    phases: dict[str, list[str]] = field(default_factory=dict)
    """By canary: each phase with the canary's weight."""
    iterations: dict[str, list[str]] = field(default_factory=dict)
    failed_checks: dict[str, list[str]] = field(default_factory=dict)
    promoted: dict[str, list[str]] = field(default_factory=dict)
    """By canary: status, reason and message of its condition Promoted."""
    objects: dict[str, Told] = field(default_factory=dict)
    hooks: list[str] = field(default_factory=list)
    """Each hook with its phase, in the order in which they were first asked; events are told beside them."""
    payloads: dict[str, list[str]] = field(default_factory=dict)
    """By hook: the bodies."""
    alerts: dict[str, list[str]] = field(default_factory=dict)
    """By receiver, and by canary where there are several: the bodies."""
    events: list[str] = field(default_factory=list)
    """Type and text of every event, sorted."""
    queries: list[str] = field(default_factory=list)
    """What Prometheus was asked, sorted."""

    def as_json(self) -> JsonObject:
        """Return what ``from_json`` reads."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Story:
        """Read what ``as_json`` wrote."""
        told = {name: Told(**parts) for name, parts in written.get("objects", {}).items()}
        return cls(**{**written, "objects": told})


def tell(
    changes: Iterable[Change], calls: Sequence[Call], *, given: frozenset[Name], routers: bool, canaries: Sequence[str]
) -> Story:
    """Tell a story from what was seen; ``given`` is what the user applied, ``routers`` whether routes are compared."""
    story, states, gone = Story(), dict[Name, dict[str, str]](), dict[Name, dict[str, str]]()
    for change in changes:
        if change.kind == "Canary" and change.obj and change.name in canaries:
            _tell_status(story, change.name, change.obj.get("status") or {})
        compared = change.kind in TOLD and change.name not in _OF_THE_CLUSTER
        if compared and (routers or change.kind not in ROUTERS):
            _tell_object(story, change, given, states, gone)
    _tell_calls(story, calls, canaries)
    if not routers:
        story.queries = [query for query in story.queries if not _BUILT_IN.search(query)]
    return story


def _tell_status(story: Story, name: str, status: JsonObject) -> None:
    if not status.get("phase"):
        return
    _add(story.phases, name, f"{status['phase']} {status.get('canaryWeight', 0)}%")
    _add(story.iterations, name, str(status.get("iterations", 0)))
    _add(story.failed_checks, name, str(status.get("failedChecks", 0)))
    for row in status.get("conditions") or ():
        if row["type"] == "Promoted":
            _add(story.promoted, name, f"{row['status']} {row['reason']}: {row['message']}")


def _tell_object(
    story: Story,
    change: Change,
    given: frozenset[Name],
    states: dict[Name, dict[str, str]],
    gone: dict[Name, dict[str, str]],
) -> None:
    name = (change.kind, change.name)
    before = states.get(name)
    if change.obj is None:
        if before is not None:
            gone[name] = states.pop(name)
            _told(story, name).then.append("deleted")
        return
    after = leaves(_plain(change.kind, change.obj))
    states[name] = after
    if before is None:
        lines = sorted(f"{path}: {value}" for path, value in after.items())
        if name in given:
            return
        told = _told(story, name)
        if told.then or told.first:
            told.then += ["created again", *_difference(gone.get(name, {}), after)]
        else:
            told.first = lines
    elif changed := list(_difference(before, after)):
        _told(story, name).then.extend(changed)


def _told(story: Story, name: Name) -> Told:
    return story.objects.setdefault(" ".join(name), Told())


def _difference(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Say what changed, a line for metadata and a line for what they describe."""
    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    for part in (_METADATA, ("spec", "data", "binaryData", "type")):
        if mine := [path for path in paths if path.startswith(part)]:
            yield "; ".join(f"{path}: {after.get(path, 'gone')}" for path in mine)


def _plain(kind: str, obj: JsonObject) -> JsonObject:
    """Return what is compared of an object."""
    metadata = obj.get("metadata") or {}
    annotations = {key: _RANDOM.get(key, value) for key, value in (metadata.get("annotations") or {}).items()}
    plain: JsonObject = {
        "labels": metadata.get("labels") or {},
        "annotations": {key: value for key, value in annotations.items() if key not in _PASSING},
        "owners": [f"{owner['kind']} {owner['name']}" for owner in metadata.get("ownerReferences") or ()],
        "finalizers": metadata.get("finalizers") or [],
    }
    if kind == "Canary":
        return plain
    plain |= {part: obj[part] for part in ("spec", "data", "binaryData", "type") if part in obj}
    if kind == "Service":
        spec = dict(plain["spec"])
        headless = spec.get("clusterIP") == "None"
        for part in _SERVED:
            spec.pop(part, None)
        # Ports have names, and those that were discovered come in random order.
        ports = {port.get("name", ""): port for port in spec.pop("ports", None) or ()}
        plain["spec"] = {**spec, "ports": ports} | ({"clusterIP": "None"} if headless else {})
    if kind in _WORKLOADS:
        plain["spec"] = json.loads(_without_id(json.dumps(plain["spec"])))
    if kind in ROUTERS:
        without_values = _COOKIE.sub("<random>", json.dumps(plain["spec"]))
        plain["spec"] = json.loads(_FOR_AN_INTERVAL.sub("<interval>", without_values))
    return plain


def _without_id(text: str) -> str:
    return re.sub(r'"flagger-id": "[^"]*"', '"flagger-id": "<id>"', text)


def leaves(value: Any, path: str = "") -> dict[str, str]:
    """Return every value of a tree by its path; nothing is as good as an empty one."""
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for key, part in value.items():
            found |= leaves(part, f"{path}.{_step(key)}" if path else _step(key))
        return found
    if isinstance(value, list):
        return {key: leaf for at, part in enumerate(value) for key, leaf in leaves(part, f"{path}[{at}]").items()}
    return {} if value is None else {path: json.dumps(value, ensure_ascii=False)}


def _step(key: str) -> str:
    return f"'{key}'" if "." in key else key


def _tell_calls(story: Story, calls: Sequence[Call], canaries: Sequence[str]) -> None:
    events, queries = set[str](), set[str]()
    for call in calls:
        if call.to == "prometheus":
            queries.add("".join(call.path.split()).replace(",}", "}"))
        elif call.to == "event-webhook":
            about = call.body["metadata"]
            if _STARTING not in about["eventMessage"]:
                events.add(f"{about['eventType']}: {about['eventMessage']}")
            _add(story.payloads, "event-webhook", _fields(call.body))
        elif call.to == "alert":
            flat = said(call.body).flaggers()
            story.alerts.setdefault(_receiver(call.path, flat, canaries), []).append(flat)
        elif _STARTING not in str((call.body.get("metadata") or {}).get("eventMessage")):
            asked = f"{call.path} in {call.body.get('phase')}"
            if asked not in story.hooks and "eventMessage" not in (call.body.get("metadata") or {}):
                story.hooks.append(asked)
            _add(story.payloads, call.path, _flat(call.body))
    story.events, story.queries = sorted(events), sorted(queries)


def _receiver(name: str, alert: str, canaries: Sequence[str]) -> str:
    """Tell canaries that share a receiver apart: which of them alerts first is chance."""
    about = [canary for canary in canaries if f"{canary}.{NAMESPACE}" in alert]
    return name if len(canaries) == 1 else " ".join([name, "of", *about])


def _fields(body: JsonObject) -> str:
    """Say what a payload consists of, not what it says: there are too many of them."""
    return " ".join(sorted(f"{path}: {type(json.loads(value)).__name__}" for path, value in leaves(body).items()))


def _flat(body: JsonObject) -> str:
    """Write a body with its hashes and times left out."""
    flat = leaves(body)
    for path in ("checksum", "metadata.timestamp"):
        if path in flat:
            flat[path] = f"<{type(json.loads(flat[path])).__name__}>"
    return "; ".join(f"{path}: {value}" for path, value in sorted(flat.items()))


def _add(lists: dict[str, list[str]], name: str, line: str) -> None:
    """Write a line down unless it repeats the last one."""
    lines = lists.setdefault(name, [])
    if lines[-1:] != [line]:
        lines.append(line)


def compare(flagger: Story, ours: Story) -> list[str]:
    """Return every difference: a line with ``-`` is only in Flagger's story, one with ``+`` only in ours."""
    found: list[str] = []
    for section in ("phases", "iterations", "failed_checks", "promoted", "payloads", "alerts"):
        theirs, our = getattr(flagger, section), getattr(ours, section)
        for name in sorted(theirs.keys() | our.keys()):
            found += _lines(f"{section} {name}", theirs.get(name, []), our.get(name, []))
    for section in ("hooks", "events", "queries"):
        found += _lines(section, getattr(flagger, section), getattr(ours, section))
    for name in sorted(flagger.objects.keys() | ours.objects.keys()):
        found += _of_object(name, flagger.objects.get(name), ours.objects.get(name))
    return found


def _of_object(name: str, theirs: Told | None, ours: Told | None) -> Iterator[str]:
    begun, began = bool(theirs and theirs.first), bool(ours and ours.first)
    if begun != began:
        yield f"{'-' if begun else '+'} {name}"
    theirs, ours = theirs or Told(), ours or Told()
    if theirs.first and ours.first:
        yield from _lines(name, theirs.first, ours.first)
    yield from _lines(f"{name} then", theirs.then, ours.then)


def _lines(title: str, theirs: Sequence[str], ours: Sequence[str]) -> list[str]:
    found: list[str] = []
    matcher = difflib.SequenceMatcher(None, theirs, ours, autojunk=False)
    for what, a, b, c, d in matcher.get_opcodes():
        if what != "equal":
            found += [f"- {title}: {line}" for line in theirs[a:b]]
            found += [f"+ {title}: {line}" for line in ours[c:d]]
    return found
