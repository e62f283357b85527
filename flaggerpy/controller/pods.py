"""Pods of rolling workloads: followed while a phase waits for them, and told apart by their ReplicaSets.

A ReplicaSet is read only when one of its pods is blocked, and once a revision of its Deployment: a healthy rollout
reads none. Where pods or ReplicaSets may not be read, the observation says so and everything else goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from flaggerpy.api.status import Phase
from flaggerpy.controller.world import World
from flaggerpy.kube.client import Client
from flaggerpy.kube.dependents import Dependents, Digest
from flaggerpy.kube.errors import Forbidden, NotFound
from flaggerpy.kube.objects import JsonObject, uid_of
from flaggerpy.kube.resources import DAEMONSETS, DEPLOYMENTS, REPLICA_SETS, Ref
from flaggerpy.kube.workqueue import Key
from flaggerpy.rollout.failfast import AWAITED
from flaggerpy.rollout.pods import PodsSeen
from flaggerpy.rollout.workload import Workload
from flaggerpy.targets.pods import OwnedPod, is_newest, is_news, knows_newest, of_newest, owned_pod

FOLLOWED = frozenset({DEPLOYMENTS, DAEMONSETS})
PODS_OF_DEPLOYMENTS = Digest(of=owned_pod, is_news=is_news)


@dataclass(frozen=True, slots=True)
class _Judged:
    """Which ReplicaSets, by uid, have the newest template: settled as long as the Deployment's revision is this one."""

    deployment: str
    revision: str | None
    newest: dict[str, bool] = field(default_factory=dict)


class PodReader:
    """Answers how the pods of the workload that a canary waits for are doing."""

    def __init__(self, client: Client, pods: Dependents[OwnedPod], fail_fast_after: timedelta) -> None:
        self._client = client
        self._pods = pods
        self._used = bool(fail_fast_after)
        self._judged: dict[Key, _Judged] = {}

    async def read(self, world: World) -> PodsSeen:
        """Return what is known of the pods; begin or cease to follow them as the phase demands.

        Raises:
            KubeError: a ReplicaSet could not be read; it is worth another try.

        """
        key, awaited = world.canary.key, self._awaited(world)
        if awaited is None:
            self.forget(key)
            return PodsSeen()
        ref, workload = awaited
        self._pods.follow(key, [ref])
        pods = self._pods.look(ref)
        if pods is not None and ref.resource == DAEMONSETS:
            return PodsSeen(of=workload.uid, pods=of_newest(world.live[ref], pods))
        if pods is None or not knows_newest(workload):
            return PodsSeen(of=workload.uid, trouble=self._pods.trouble(ref.namespace))
        blocked = {pod.uid: Ref(REPLICA_SETS, ref.namespace, pod.replica_set) for pod in pods if pod.pod.blocked}
        try:
            newest = {uid: await self._is_newest(key, workload, uid, blocked[uid]) for uid in blocked}
        except Forbidden as error:
            trouble = f"flaggerpy may not read {REPLICA_SETS.title} in namespace {ref.namespace}: {error.message}"
            return PodsSeen(of=workload.uid, trouble=trouble)
        if None in newest.values():
            return PodsSeen(of=workload.uid)
        return PodsSeen(of=workload.uid, pods=tuple(pod.pod for pod in pods if newest.get(pod.uid)))

    def forget(self, key: Key) -> None:
        """Follow nothing for a canary any more."""
        self._pods.follow(key, ())
        self._judged.pop(key, None)

    def _awaited(self, world: World) -> tuple[Ref, Workload] | None:
        """The workload that the phase waits for, if it is one whose pods can be found."""
        canary, kind = world.canary, world.target_kind
        role = AWAITED.get(canary.status.phase)
        if not self._used or role is None or kind is None:
            return None
        if (canary.spec.suspend or canary.is_deleting) and canary.status.phase is not Phase.TERMINATING:
            return None
        if role == "target":
            ref, workload = kind.ref(canary), world.seen.target
        else:
            ref, workload = kind.primary_ref(canary), world.seen.primary
        return (ref, workload) if workload is not None and ref.resource in FOLLOWED else None

    async def _is_newest(self, key: Key, workload: Workload, uid: str, replica_set: Ref) -> bool | None:
        judged = self._judged.get(key)
        if judged is None or (judged.deployment, judged.revision) != (workload.uid, workload.controller_revision):
            judged = self._judged[key] = _Judged(workload.uid, workload.controller_revision)
        if uid in judged.newest:
            return judged.newest[uid]
        found = await self._read(replica_set)
        newest = is_newest(workload, found) if found is not None and uid_of(found) == uid else False
        if newest is not None:
            judged.newest[uid] = newest
        return newest

    async def _read(self, replica_set: Ref) -> JsonObject | None:
        try:
            return await self._client.get(replica_set, metadata_only=True)
        except NotFound:
            return None
