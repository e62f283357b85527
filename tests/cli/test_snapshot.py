"""From Kubernetes objects to what is shown: why pods are not ready, events, selectors."""

from __future__ import annotations

from typing import Any

import pytest

from flaggerpy.cli.snapshot import happenings, selector_text, troubles
from flaggerpy.kube.objects import JsonObject

READY = {"type": "Ready", "status": "True"}


def pod(*containers: JsonObject, phase: str = "Running", ready: bool = False, **status: Any) -> JsonObject:
    conditions = status.pop("conditions", [READY] if ready else [{"type": "Ready", "status": "False"}])
    return {
        "metadata": {"name": "web-1"},
        "status": {"phase": phase, "conditions": conditions, "containerStatuses": list(containers), **status},
    }


def waiting(reason: str, message: str = "", **more: Any) -> JsonObject:
    return {"state": {"waiting": {"reason": reason, "message": message}}, **more}


CRASHED = waiting(
    "CrashLoopBackOff", "back-off 10s", lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
)
PULLING = waiting("ImagePullBackOff", "Back-off pulling image web:2")
NO_NODE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}


@pytest.mark.parametrize(
    ("title", "pods", "said"),
    [
        ("a ready pod is no trouble", [pod(ready=True)], []),
        ("nor one that has ended well", [pod(phase="Succeeded")], []),
        ("why a container waits", [pod(PULLING)], ["1 × ImagePullBackOff: Back-off pulling image web:2"]),
        ("how it ended before", [pod(CRASHED)], ["1 × CrashLoopBackOff: ended with exit code 137 (OOMKilled)"]),
        (
            "an init container counts",
            [pod(waiting("PodInitializing"), initContainerStatuses=[PULLING])],
            ["1 × ImagePullBackOff: Back-off pulling image web:2"],
        ),
        (
            "what says more is told first",
            [pod(waiting("ContainerCreating"), PULLING)],
            ["1 × ImagePullBackOff: Back-off pulling image web:2"],
        ),
        (
            "an exit code says more than Error",
            [pod(waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 1, "reason": "Error"}}))],
            ["1 × CrashLoopBackOff: ended with exit code 1"],
        ),
        ("a young pod", [pod(waiting("ContainerCreating"), phase="Pending")], ["1 × ContainerCreating"]),
        (
            "no node for it",
            [pod(phase="Pending", conditions=[NO_NODE])],
            ["1 × Unschedulable: no room"],
        ),
        ("a probe that does not pass", [pod({"state": {"running": {}}})], ["1 × running, but not ready"]),
        ("not even looked at", [pod(phase="Pending")], ["1 × Pending"]),
        ("evicted", [pod(phase="Failed", reason="Evicted", message="disk")], ["1 × Evicted: disk"]),
        (
            "a container that ended",
            [pod({"state": {"terminated": {"exitCode": 2, "reason": "Error"}}})],
            ["1 × Error: exit code 2"],
        ),
        (
            "the most frequent first",
            [pod(CRASHED), pod(PULLING), pod(PULLING)],
            [
                "2 × ImagePullBackOff: Back-off pulling image web:2",
                "1 × CrashLoopBackOff: ended with exit code 137 (OOMKilled)",
            ],
        ),
    ],
)
def test_why_pods_are_not_ready(title: str, pods: list[JsonObject], said: list[str]) -> None:
    assert list(troubles({}, pods)) == said, title


def test_a_pod_on_its_way_out_is_no_trouble() -> None:
    leaving = pod(PULLING)
    leaving["metadata"]["deletionTimestamp"] = "2031-05-17T08:30:15Z"
    assert troubles({}, [leaving]) == ()


def test_pods_that_cannot_even_be_made() -> None:
    row = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: small"}
    assert troubles({"status": {"conditions": [row]}}, []) == ("pods cannot be made: exceeded quota: small",)


def test_events_are_in_the_order_of_their_times_whichever_field_has_them() -> None:
    seen = happenings(
        [
            {"metadata": {"uid": "a"}, "message": "last", "lastTimestamp": "2031-05-17T08:30:17Z", "count": 3},
            {
                "metadata": {"uid": "b"},
                "message": "first",
                "eventTime": "2031-05-17T08:30:15.250009Z",
                "type": "Warning",
            },
            {"metadata": {"uid": "c", "creationTimestamp": "2031-05-17T08:30:16Z"}, "message": "second"},
            {
                "metadata": {"uid": "d"},
                "message": "series",
                "eventTime": "2031-05-17T08:00:00.000000Z",
                "series": {"count": 7, "lastObservedTime": "2031-05-17T08:31:00.000000Z"},
            },
        ]
    )
    assert [(one.message, one.type, one.mark) for one in seen] == [
        ("first", "Warning", "b/1"),
        ("second", "Normal", "c/1"),
        ("last", "Normal", "a/3"),
        ("series", "Normal", "d/7"),
    ]


def test_a_selector_is_written_as_kubectl_takes_it() -> None:
    selector = {
        "matchLabels": {"tier": "front", "app": "web"},
        "matchExpressions": [
            {"key": "zone", "operator": "NotIn", "values": ["a", "b"]},
            {"key": "track", "operator": "Exists"},
            {"key": "legacy", "operator": "DoesNotExist"},
        ],
    }
    assert selector_text({"spec": {"selector": selector}}) == "app=web,tier=front,zone notin (a,b),track,!legacy"
