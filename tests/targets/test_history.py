"""Since when a Deployment has its pod template."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.rollout.observation import History
from flaggerpy.targets.history import template_history
from tests.targets.objects import deployment

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
    assert template_history(target(), replica_sets) == history, title


def test_a_deployment_without_a_revision_has_no_history() -> None:
    made = target()
    del made["metadata"]["annotations"]
    assert template_history(made, [replica_set("3", 5)]) is None


def test_without_a_time_of_progress_the_replica_sets_own_time_has_to_do() -> None:
    made = target()
    del made["status"]
    assert template_history(made, [replica_set("3", 1, earlier="1")]) == History(time(1), put_back=True)
