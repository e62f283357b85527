"""Since when a Deployment has its pod template, as its ReplicaSets tell.

A template gets a ReplicaSet when it is new. One that is put back gets its old ReplicaSet again, with a younger revision
number, and only the Deployment's own progress bounds the time of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from flaggerpy.kube.objects import JsonObject, annotations_of, controller_of, metadata_of, uid_of
from flaggerpy.rollout.observation import History
from flaggerpy.targets.deployment import REVISION

_EARLIER_REVISIONS = "deployment.kubernetes.io/revision-history"


def template_history(deployment: JsonObject, replica_sets: Iterable[JsonObject]) -> History | None:
    """Return the history of a Deployment's template; None where its ReplicaSets do not tell."""
    revision = annotations_of(deployment).get(REVISION)
    own = (one for one in replica_sets if controller_of(one).get("uid") == uid_of(deployment))
    newest = next((one for one in own if revision and annotations_of(one).get(REVISION) == revision), None)
    if newest is None:
        return None
    made = _time(metadata_of(newest).get("creationTimestamp"))
    if made is None or not annotations_of(newest).get(_EARLIER_REVISIONS):
        return History(made) if made is not None else None
    return History(max(made, _progressed(deployment) or made), put_back=True)


def _progressed(deployment: Mapping[str, Any]) -> datetime | None:
    """Return when the Deployment last got anywhere; it did when it took up the template that was put back."""
    rows = (deployment.get("status") or {}).get("conditions") or ()
    return next((_time(row.get("lastUpdateTime")) for row in rows if row.get("type") == "Progressing"), None)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
