"""Since when a workload has its pod template, as the objects tell in which Kubernetes keeps its templates.

A Deployment has a ReplicaSet for each of them, a DaemonSet a ControllerRevision. One that is put back gets its old
object again, with a younger number: then the Deployment's own progress bounds the time, or the last write of the
ControllerRevision tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any

from flaggerpy.kube.objects import JsonObject, annotations_of, controller_of, metadata_of, uid_of, writers_of
from flaggerpy.kube.resources import CONTROLLER_REVISIONS, DAEMONSETS, DEPLOYMENTS, REPLICA_SETS, Resource
from flaggerpy.rollout.observation import History
from flaggerpy.targets.daemonset import DaemonSetTarget
from flaggerpy.targets.deployment import REVISION
from flaggerpy.targets.identity import template_identity

_EARLIER_REVISIONS = "deployment.kubernetes.io/revision-history"
_PATCH = "$patch"
"""Key by which the recorded template says how it would be put back; no part of the template."""


@dataclass(frozen=True, slots=True)
class Chronicle:
    """Where the templates of a kind of workload are kept, and how to read since when the present one is there.

    Attributes:
        metadata_only: whether the objects' metadata say enough.

    """

    resource: Resource
    read: Callable[[JsonObject, Iterable[JsonObject]], History | None]
    metadata_only: bool = True


def deployment_history(deployment: JsonObject, replica_sets: Iterable[JsonObject]) -> History | None:
    """Return the history of a Deployment's template; None where its ReplicaSets do not tell."""
    revision = annotations_of(deployment).get(REVISION)
    own = _own(deployment, replica_sets)
    newest = next((one for one in own if revision and annotations_of(one).get(REVISION) == revision), None)
    if newest is None:
        return None
    made = _made(newest)
    if made is None or not annotations_of(newest).get(_EARLIER_REVISIONS):
        return History(made) if made is not None else None
    return History(max(made, _progressed(deployment) or made), put_back=True)


def daemon_set_history(daemon_set: JsonObject, revisions: Iterable[JsonObject]) -> History | None:
    """Return the history of a DaemonSet's template; None where its ControllerRevisions do not tell.

    The controller of DaemonSets counts sleeping and waking as templates of their own, so neighbours that differ in
    nothing else are one template here: it came with the first of them.
    """
    newest_first = sorted(_own(daemon_set, revisions), key=_number, reverse=True)
    times = [(made, max([made, *writers_of(one).values()])) for one in newest_first if (made := _made(one))]
    if not times or len(times) < len(newest_first):
        return None
    templates = [_recorded_identity(one) for one in newest_first]
    present = len(list(takewhile(lambda template: template == templates[0], templates)))
    came = min(made for made, _ in times[:present])
    if any(made > came for made, _ in times[present:]):
        return History(min(written for _, written in times[:present]), put_back=True)
    return History(came)


CHRONICLES: Mapping[Resource, Chronicle] = {
    DEPLOYMENTS: Chronicle(REPLICA_SETS, deployment_history),
    DAEMONSETS: Chronicle(CONTROLLER_REVISIONS, daemon_set_history, metadata_only=False),
}
"""By the kind of workload; of others nothing is known."""


def _own(workload: JsonObject, objects: Iterable[JsonObject]) -> list[JsonObject]:
    return [one for one in objects if controller_of(one).get("uid") == uid_of(workload)]


def _made(obj: JsonObject) -> datetime | None:
    return _time(metadata_of(obj).get("creationTimestamp"))


def _number(controller_revision: JsonObject) -> int:
    return int(controller_revision.get("revision") or 0)


def _recorded_identity(controller_revision: JsonObject) -> str:
    spec = (controller_revision.get("data") or {}).get("spec") or {}
    template = {key: part for key, part in (spec.get("template") or {}).items() if key != _PATCH}
    return template_identity(DaemonSetTarget().template({"spec": {"template": template}}))


def _progressed(deployment: Mapping[str, Any]) -> datetime | None:
    """Return when the Deployment last got anywhere; it did when it took up the template that was put back."""
    rows = (deployment.get("status") or {}).get("conditions") or ()
    return next((_time(row.get("lastUpdateTime")) for row in rows if row.get("type") == "Progressing"), None)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
