"""Pods as the API server shows them: whose they are, what they wait for, and which ReplicaSet is the newest."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import DAEMONSETS, DEPLOYMENTS, Ref
from flaggerpy.rollout.pods import Pod, Waiting
from flaggerpy.targets.deployment import DeploymentTarget
from flaggerpy.targets.pods import OwnedPod, is_newest, is_news, knows_newest, of_newest, owned_pod
from tests.targets.objects import daemon_set, deployment

MADE, STARTED = "2026-11-25T12:00:00Z", "2026-11-25T12:00:02Z"
AT_START = datetime(2026, 11, 25, 12, 0, 2, tzinfo=UTC)
HASH = "6d4cf56db6"
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"web-{HASH}", "uid": "uid-of-set", "controller": True}


def pod(
    *containers: JsonObject, first: tuple[JsonObject, ...] = (), owners: Any = (OWNER,), **changes: Any
) -> JsonObject:
    """Write a pod of web; ``changes`` go to its metadata, those of the status have an underscore before them."""
    status = {"phase": "Pending", "startTime": STARTED} | {k[1:]: v for k, v in changes.items() if k[0] == "_"}
    metadata = {
        "name": f"web-{HASH}-x2x9k",
        "namespace": "shop",
        "creationTimestamp": MADE,
        "labels": {"app": "web", "pod-template-hash": HASH},
        "ownerReferences": list(owners),
    }
    metadata |= {k: v for k, v in changes.items() if k[0] != "_"}
    return {
        "metadata": metadata,
        "status": {**status, "containerStatuses": list(containers), "initContainerStatuses": list(first)},
    }


def waits(why: str, words: str = "", /, *, name: str = "web", restarts: int = 0, **last: Any) -> JsonObject:
    ended = {"lastState": {"terminated": last}} if last else {}
    state = {"waiting": {"reason": why, "message": words}}
    return {"name": name, "state": state, "restartCount": restarts, **ended}


def runs(name: str = "web") -> JsonObject:
    return {"name": name, "state": {"running": {"startedAt": STARTED}}, "ready": True, "restartCount": 0}


def ended(at: str, name: str = "copy") -> JsonObject:
    return {"name": name, "state": {"terminated": {"exitCode": 0, "finishedAt": at}}}


def seen(obj: JsonObject) -> tuple[Waiting, ...]:
    found = owned_pod(obj)
    assert found
    return found[1].pod.waiting


def test_a_pod_is_known_by_its_deployment_and_its_replica_set() -> None:
    found = owned_pod(pod(runs()))
    expected = OwnedPod(Pod(f"web-{HASH}-x2x9k"), f"web-{HASH}", "uid-of-set")
    assert found == (Ref(DEPLOYMENTS, "shop", "web"), expected)


@pytest.mark.parametrize(
    ("title", "obj"),
    [
        ("on its way out", pod(runs(), deletionTimestamp=MADE)),
        ("evicted", pod(_phase="Failed")),
        ("done", pod(_phase="Succeeded")),
        ("made by hand", pod(runs(), owners=())),
        ("adopted by nobody", pod(runs(), owners=[{**OWNER, "controller": False}])),
        ("of a Job", pod(runs(), owners=[{**OWNER, "kind": "Job", "apiVersion": "batch/v1"}])),
        ("of a ReplicaSet of another make", pod(runs(), owners=[{**OWNER, "apiVersion": "example.com/v1"}])),
        ("of a ReplicaSet that belongs to no Deployment", pod(runs(), labels={"app": "web"})),
        ("of a ReplicaSet with a name of its own", pod(runs(), owners=[{**OWNER, "name": "web-blue"}])),
    ],
)
def test_pods_that_no_deployment_can_count_on(title: str, obj: JsonObject) -> None:
    assert owned_pod(obj) is None, title


@pytest.mark.parametrize(
    ("title", "obj", "waiting"),
    [
        ("nothing is known yet", pod(), ()),
        ("it is being made", pod(waits("ContainerCreating"), first=(waits("PodInitializing"),)), ()),
        ("it runs", pod(runs()), ()),
        (
            "an image is missing",
            pod(waits("ErrImagePull", "not\n  found"), runs("proxy")),
            (Waiting("web", "ErrImagePull", "not found", 0, AT_START),),
        ),
        (
            "in an init container",
            pod(waits("PodInitializing"), first=(waits("ImagePullBackOff", name="copy"),)),
            (Waiting("init copy", "ImagePullBackOff", "", 0, AT_START),),
        ),
        (
            "crashes are told by their end, not by the pause",
            pod(waits("CrashLoopBackOff", "back-off 40s", restarts=2, reason="OOMKilled", exitCode=137)),
            (Waiting("web", "CrashLoopBackOff", "OOMKilled, exit code 137", 2, AT_START),),
        ),
        (
            "what a program printed at its end stays its own",
            pod(waits("CrashLoopBackOff", restarts=2, exitCode=1, message="password=hunter2")),
            (Waiting("web", "CrashLoopBackOff", "ended, exit code 1", 2, AT_START),),
        ),
        (
            "a crash of which nothing is known",
            pod(waits("CrashLoopBackOff", "back-off 10s", restarts=1)),
            (Waiting("web", "CrashLoopBackOff", "back-off 10s", 1, AT_START),),
        ),
    ],
)
def test_containers_that_wait_and_why(title: str, obj: JsonObject, waiting: tuple[Waiting, ...]) -> None:
    assert seen(obj) == waiting, title


@pytest.mark.parametrize(
    ("title", "obj", "second"),
    [
        ("since it came to its node", pod(waits("InvalidImageName")), 2),
        ("before that, since it was made", pod(waits("InvalidImageName"), _startTime=None), 0),
        ("not before what comes first ended", pod(waits("ErrImagePull"), first=(ended("2026-11-25T12:00:31Z"),)), 31),
        ("not while it last ran", pod(waits("CrashLoopBackOff", finishedAt="2026-11-25T12:00:47Z")), 47),
        ("an end of which nobody knows the time", pod(waits("CrashLoopBackOff", finishedAt=None, exitCode=1)), 2),
    ],
)
def test_a_reason_is_no_older_than_the_pod_admits(title: str, obj: JsonObject, second: int) -> None:
    (found,) = seen(obj)
    assert found.not_before == datetime(2026, 11, 25, 12, 0, second, tzinfo=UTC), title


def test_a_message_is_cut_where_nobody_reads_on() -> None:
    (found,) = seen(pod(waits("ErrImagePull", "x" * 1000)))
    assert (len(found.message), found.message[-2:]) == (400, "x…")


def owned(*containers: JsonObject) -> OwnedPod:
    found = owned_pod(pod(*containers))
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("title", "before", "after", "news"),
    [
        ("a pod is made", None, owned(), False),
        ("it starts", owned(waits("ContainerCreating")), owned(runs()), False),
        ("it goes", owned(runs()), None, False),
        ("it cannot start", owned(), owned(waits("ErrImagePull")), True),
        ("the same again", owned(waits("ErrImagePull")), owned(waits("ErrImagePull")), False),
        ("in other words", owned(waits("ErrImagePull")), owned(waits("ImagePullBackOff")), True),
        ("it can after all", owned(waits("ErrImagePull")), owned(runs()), True),
        ("it goes although it could not", owned(waits("ErrImagePull")), None, True),
        ("one that cannot start from the beginning", None, owned(waits("InvalidImageName")), True),
    ],
)
def test_only_what_containers_wait_for_is_news(
    title: str, before: OwnedPod | None, after: OwnedPod | None, news: bool
) -> None:
    assert is_news(before, after) is news, title


# Which ReplicaSet has the template

WEB = replace(DeploymentTarget().state(deployment()), generation=7, observed_generation=7, controller_revision="12")


def replica_set(revision: str | None, owner: str = "uid-of-web", *, controller: bool = True) -> JsonObject:
    annotations = {} if revision is None else {"deployment.kubernetes.io/revision": revision}
    owners = [{"kind": "Deployment", "name": "web", "uid": owner, "controller": controller}]
    return {"metadata": {"name": f"web-{HASH}", "annotations": annotations, "ownerReferences": owners}}


@pytest.mark.parametrize(
    ("title", "found", "newest"),
    [
        ("the Deployment's own revision", replica_set("12"), True),
        ("an older one", replica_set("11"), False),
        ("older by number, not by letter", replica_set("9"), False),
        ("newer than what is known of the Deployment", replica_set("13"), None),
        ("of a Deployment that had this name before", replica_set("12", "uid-of-another"), False),
        ("of nobody", replica_set("12", controller=False), False),
        ("without a number", replica_set(None), False),
        ("with nonsense for a number", replica_set("twelve"), False),
    ],
)
def test_the_newest_replica_set_has_the_deployments_revision(
    title: str, found: JsonObject, newest: bool | None
) -> None:
    assert is_newest(WEB, found) is newest, title


@pytest.mark.parametrize(
    ("title", "changes", "known"),
    [
        ("its controller has looked", {}, True),
        ("it has not", {"observed_generation": 6}, False),
        ("it is paused", {"paused": True}, False),
        ("it has no number yet", {"controller_revision": None}, False),
    ],
)
def test_the_newest_is_known_when_the_controller_has_looked(title: str, changes: dict[str, Any], known: bool) -> None:
    assert knows_newest(replace(WEB, **changes)) is known, title


DAEMON = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": "uid-of-web", "controller": True}


def agent(generation: str = "7", uid: str = "uid-of-web") -> OwnedPod:
    """Return what is kept of a pod of a DaemonSet."""
    labels = {"app": "web", "pod-template-generation": generation}
    found = owned_pod(pod(waits("ErrImagePull"), owners=[{**DAEMON, "uid": uid}], labels=labels))
    assert found
    assert found[0] == Ref(DAEMONSETS, "shop", "web")
    return found[1]


def numbered(number: str | None = "7", *, seen: int = 1618) -> JsonObject:
    """Write a DaemonSet whose template has this number."""
    annotations = {} if number is None else {"deprecated.daemonset.template.generation": number}
    made = daemon_set()
    return {
        **made,
        "metadata": {**made["metadata"], "annotations": annotations},
        "status": {"observedGeneration": seen},
    }


@pytest.mark.parametrize(
    ("title", "obj", "owned", "counts"),
    [
        ("made from the present template", numbered(), agent(), True),
        ("made from another one", numbered("8"), agent(), False),
        ("of a DaemonSet of the same name that is gone", numbered(), agent(uid="uid-of-another"), False),
    ],
)
def test_which_pods_of_a_daemon_set_have_its_template(
    title: str, obj: JsonObject, owned: OwnedPod, counts: bool
) -> None:
    assert of_newest(obj, [owned]) == ((owned.pod,) if counts else ()), title


@pytest.mark.parametrize("obj", [numbered(None), numbered(seen=1617)])
def test_pods_of_a_daemon_set_that_has_no_number_or_was_not_looked_at_are_not_known(obj: JsonObject) -> None:
    assert of_newest(obj, [agent()]) is None
