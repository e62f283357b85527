"""Since when a workload has its pod template."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flaggerpy.api.constants import SCALE_TO_ZERO
from flaggerpy.kube.objects import JsonObject
from flaggerpy.rollout.observation import History
from flaggerpy.targets.history import daemon_set_history, deployment_history
from tests.targets.objects import daemon_set, deployment, template

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"


def at(minute: int) -> str:
    return f"2026-11-27T12:{minute:02}:00Z"


def time(minute: int) -> datetime:
    return datetime(2026, 11, 27, 12, minute, tzinfo=UTC)


def target(revision: str = "3", progressed: int = 30) -> JsonObject:
    made = deployment()
    made["metadata"] |= {"uid": "uid-of-web", "annotations": {REVISION: revision}}
    made["status"] = {"conditions": [{"type": "Progressing", "lastUpdateTime": at(progressed)}]}
    return made


def replica_set(revision: str, minute: int, *, owner: str = "uid-of-web", earlier: str = "") -> JsonObject:
    annotations = {REVISION: revision} | ({HISTORY: earlier} if earlier else {})
    owners = [{"kind": "Deployment", "uid": owner, "controller": True}]
    return {"metadata": {"creationTimestamp": at(minute), "annotations": annotations, "ownerReferences": owners}}


@pytest.mark.parametrize(
    ("title", "replica_sets", "history"),
    [
        ("the newest counts", [replica_set("1", 1), replica_set("3", 5), replica_set("2", 3)], History(time(5))),
        ("another Deployment's does not", [replica_set("3", 9, owner="other"), replica_set("3", 5)], History(time(5))),
        (
            "one that was put back is as young as the Deployment's progress",
            [replica_set("2", 5), replica_set("3", 1, earlier="1")],
            History(time(30), put_back=True),
        ),
        ("none has the Deployment's revision yet", [replica_set("2", 5)], None),
        ("there are none", [], None),
    ],
)
def test_history(title: str, replica_sets: list[JsonObject], history: History | None) -> None:
    assert deployment_history(target(), replica_sets) == history, title


def test_a_deployment_without_a_revision_has_no_history() -> None:
    made = target()
    del made["metadata"]["annotations"]
    assert deployment_history(made, [replica_set("3", 5)]) is None


def test_without_a_time_of_progress_the_replica_sets_own_time_has_to_do() -> None:
    made = target()
    del made["status"]
    assert deployment_history(made, [replica_set("3", 1, earlier="1")]) == History(time(1), put_back=True)


NEW: JsonObject = {"priorityClassName": "new"}
ASLEEP: JsonObject = {"nodeSelector": {SCALE_TO_ZERO: "true"}}


def kept(
    number: int, minute: int, *, written: int = 0, owner: str = "uid-of-web", null: bool = False, **pod: Any
) -> JsonObject:
    """Build the ControllerRevision of a template, as the controller of DaemonSets makes it, and writes it later."""
    recorded = template(**pod)
    if null:
        recorded["metadata"]["creationTimestamp"] = None
    metadata: JsonObject = {
        "creationTimestamp": at(minute),
        "ownerReferences": [{"kind": "DaemonSet", "uid": owner, "controller": True}],
        "managedFields": [{"manager": "kube-controller-manager", "time": at(written or minute)}],
    }
    return {
        "metadata": metadata,
        "revision": number,
        "data": {"spec": {"template": {**recorded, "$patch": "replace"}}},
    }


@pytest.mark.parametrize(
    ("title", "revisions", "history"),
    [
        ("the newest counts", [kept(1, 1), kept(2, 5, **NEW)], History(time(5))),
        ("by its number and not its place", [kept(2, 5, **NEW), kept(1, 1)], History(time(5))),
        ("another DaemonSet's does not", [kept(3, 9, owner="other"), kept(2, 5, **NEW)], History(time(5))),
        (
            "one that was woken later is as old as when it came asleep",
            [kept(1, 1), kept(2, 2, **ASLEEP), kept(3, 5, **NEW, **ASLEEP), kept(4, 8, **NEW)],
            History(time(5)),
        ),
        (
            "one that was sent to sleep once more too, though its object was written again",
            [kept(1, 1), kept(5, 5, written=9, **NEW, **ASLEEP), kept(4, 8, **NEW)],
            History(time(5)),
        ),
        (
            "one that was put back is as young as the last write of its object",
            [kept(3, 1, written=9), kept(2, 5, **NEW)],
            History(time(9), put_back=True),
        ),
        (
            "one that was put back asleep and woken since came with the first of these",
            [kept(4, 2, written=9, **ASLEEP), kept(5, 1, written=12), kept(3, 5, **NEW)],
            History(time(9), put_back=True),
        ),
        ("what a server writes as null is no difference", [kept(1, 1), kept(2, 5, null=True)], History(time(1))),
        ("there are none", [], None),
    ],
)
def test_history_of_a_daemon_set(title: str, revisions: list[JsonObject], history: History | None) -> None:
    assert daemon_set_history(daemon_set(), revisions) == history, title
