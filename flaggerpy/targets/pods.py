"""Pods of Deployments and DaemonSets: whose they are, what their containers wait for, and which are the newest.

The last can only be read from a ReplicaSet: neither a pod nor a Deployment says it. A DaemonSet and its pods have a
number in common. See docs/design/0003-fail-fast.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from flaggerpy.kube.objects import (
    JsonObject,
    annotations_of,
    controller_of,
    generation_of,
    is_deleting,
    labels_of,
    metadata_of,
    name_of,
    namespace_of,
    observed_generation_of,
    uid_of,
)
from flaggerpy.kube.resources import DAEMONSETS, DEPLOYMENTS, REPLICA_SETS, Ref
from flaggerpy.rollout.pods import Pod, Waiting
from flaggerpy.rollout.workload import Workload
from flaggerpy.targets.deployment import REVISION

_TEMPLATE_HASH = "pod-template-hash"
_POD_GENERATION = "pod-template-generation"
_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
"""Deprecated since 2017 and written ever since; without it nothing is known of the pods."""
_OVER = frozenset({"Succeeded", "Failed"})
_STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})
"""What the kubelet says of containers of which it has nothing to report."""
_CRASHES = "CrashLoopBackOff"
_LONGEST_MESSAGE = 400
"""Characters; the cause of a failed pull comes last, after three times the name of the image."""
_ALWAYS = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class OwnedPod:
    """A pod, and the ReplicaSet that made it, by name and uid; or the DaemonSet, and which of its templates it has."""

    pod: Pod
    replica_set: str
    uid: str
    generation: str = ""


def owned_pod(pod: JsonObject) -> tuple[Ref, OwnedPod] | None:
    """Return a pod and its Deployment or DaemonSet; None when it belongs to none or is on its way out.

    A ReplicaSet of a Deployment is named after it and the hash that its pods have as a label; whether it is indeed its
    own has to be read from it.
    """
    if is_deleting(pod) or (pod.get("status") or {}).get("phase") in _OVER:
        return None
    owner, seen = controller_of(pod), Pod(name_of(pod), tuple(_waiting(pod)))
    if (owner.get("apiVersion"), owner.get("kind")) == (DAEMONSETS.api_version, DAEMONSETS.kind):
        name = str(owner.get("name") or "")
        owned = OwnedPod(seen, "", str(owner.get("uid")), labels_of(pod).get(_POD_GENERATION, ""))
        return Ref(DAEMONSETS, namespace_of(pod), name), owned
    name, suffix = str(owner.get("name") or ""), f"-{labels_of(pod).get(_TEMPLATE_HASH, '')}"
    is_replica_set = (owner.get("apiVersion"), owner.get("kind")) == (REPLICA_SETS.api_version, REPLICA_SETS.kind)
    if not is_replica_set or len(suffix) == 1 or not name.endswith(suffix):
        return None
    return Ref(DEPLOYMENTS, namespace_of(pod), name.removesuffix(suffix)), OwnedPod(seen, name, str(owner.get("uid")))


def is_news(before: OwnedPod | None, after: OwnedPod | None) -> bool:
    """Tell whether a change of a pod is worth a look: its Deployment's status tells all the rest."""
    return (before.pod.waiting if before else ()) != (after.pod.waiting if after else ())


def knows_newest(deployment: Workload) -> bool:
    """Tell whether the Deployment's controller has looked at its template and given it a revision."""
    seen = deployment.observed_generation >= deployment.generation and not deployment.paused
    return seen and deployment.controller_revision is not None


def is_newest(deployment: Workload, replica_set: JsonObject) -> bool | None:
    """Tell whether a ReplicaSet has the Deployment's template; None when what is known of the Deployment is older."""
    if controller_of(replica_set).get("uid") != deployment.uid:
        return False
    theirs, ours = _number(annotations_of(replica_set).get(REVISION)), _number(deployment.controller_revision)
    return None if theirs > ours else theirs == ours


def of_newest(daemon_set: JsonObject, pods: Iterable[OwnedPod]) -> tuple[Pod, ...] | None:
    """Return the pods of a DaemonSet that have its present template, None when that cannot be told."""
    newest = annotations_of(daemon_set).get(_TEMPLATE_GENERATION)
    if newest is None or observed_generation_of(daemon_set) < generation_of(daemon_set):
        return None
    return tuple(pod.pod for pod in pods if (pod.uid, pod.generation) == (uid_of(daemon_set), newest))


def _number(revision: str | None) -> int:
    return int(revision) if revision and revision.isdecimal() else 0


def _waiting(pod: JsonObject) -> Iterator[Waiting]:
    """Every container that waits for something else than its turn, in the order in which they start."""
    status = pod.get("status") or {}
    first: list[JsonObject] = status.get("initContainerStatuses") or []
    begun = _latest(metadata_of(pod).get("creationTimestamp"), status.get("startTime"), *map(_end, first))
    for one in first:
        yield from _of_container(one, f"init {one.get('name')}", begun)
    for one in status.get("containerStatuses") or []:
        yield from _of_container(one, str(one.get("name")), begun)


def _of_container(status: JsonObject, name: str, begun: datetime) -> Iterator[Waiting]:
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason = str(waiting.get("reason") or "")
    if reason in _STARTING:
        return
    last: JsonObject = (status.get("lastState") or {}).get("terminated") or {}
    message = _crash(last) if reason == _CRASHES and last else str(waiting.get("message") or "")
    yield Waiting(
        container=name,
        reason=reason,
        message=_short(message),
        restarts=int(status.get("restartCount") or 0),
        not_before=max(begun, _latest(last.get("finishedAt"))),
    )


def _end(status: JsonObject) -> str | None:
    ended: JsonObject = (status.get("state") or {}).get("terminated") or {}
    return ended.get("finishedAt")


def _latest(*times: str | None) -> datetime:
    return max((datetime.fromisoformat(time) for time in times if time), default=_ALWAYS)


def _crash(last: JsonObject) -> str:
    """How a container ended: the kubelet's own sentence tells only how long it waits. What it printed stays its own."""
    return f"{last.get('reason') or 'ended'}, exit code {last.get('exitCode')}"


def _short(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 1] + "…"
