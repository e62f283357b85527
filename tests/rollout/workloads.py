"""Idealised controllers of Deployments and DaemonSets (no pod is lost, new ones surge, old ones go when new are ready).

And a route, and the Services.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from flaggerpy.api.analysis import CanaryAnalysis
from flaggerpy.rollout.decision import ServiceRole
from flaggerpy.rollout.observation import ServicesSeen
from flaggerpy.rollout.pods import Pod as PodSeen
from flaggerpy.rollout.pods import PodsSeen, Waiting
from flaggerpy.rollout.traffic import ALL_TO_CANARY, Routes
from flaggerpy.rollout.workload import Workload


@dataclass
class Pod:
    version: str
    started: datetime
    number: int = 0
    reads: str = ""


@dataclass
class Deployment:
    """A workload whose pods of version ``template|stamp`` become ready after a delay, or never when it is broken."""

    name: str
    template: str
    replicas: int
    now: datetime
    uid: str = "uid-1"
    ready_after: timedelta = timedelta(seconds=3)
    deadline: timedelta = timedelta(seconds=60)
    broken: set[str] = field(default_factory=set)
    blocked: dict[str, str] = field(default_factory=dict)
    """Why containers of a template cannot start."""
    blocked_pods: int = 99
    """How many pods of such a template; the others are on better nodes."""
    stamp: str = ""
    generation: int = 1
    observed_generation: int = 0
    paused: bool = False
    deleting: bool = False
    asleep: bool = False
    """The deployment controller does not look."""
    room: int = 1000
    """For how many of its pods the cluster has room."""
    may_lack: int = 0
    """How many pods may be missing without a word of it: maxUnavailable, as a number."""
    reads: str = ""
    """What pods that start now read of the tracked configs."""
    default: str = ""
    """What a newer API server adds to every template."""
    pods: list[Pod] = field(default_factory=list)
    rolled: str = ""
    revision: int = 0
    progressed: datetime | None = None
    arrived: bool = False
    """Whether all pods of the newest template were there once; from then on no progress is expected."""
    unavailable_since: datetime | None = None

    @property
    def version(self) -> str:
        return f"{self.template}|{self.stamp}"

    def edit(self, template: str | None = None, *, stamp: str | None = None, replicas: int | None = None) -> None:
        """Write the spec; the generation moves only when something changes."""
        wanted = (template or self.template, self.stamp if stamp is None else stamp)
        size = self.replicas if replicas is None else replicas
        if (*wanted, size) != (self.template, self.stamp, self.replicas):
            (self.template, self.stamp), self.replicas = wanted, size
            self.generation += 1

    def is_ready(self, pod: Pod) -> bool:
        return self.can_start(pod) and self.now >= pod.started + self.ready_after

    def can_start(self, pod: Pod) -> bool:
        template = pod.version.split("|")[0]
        return template not in self.broken and not (template in self.blocked and pod.number < self.blocked_pods)

    @property
    def available(self) -> int:
        return min(sum(map(self.is_ready, self.pods)), self.room)

    @property
    def updated(self) -> list[Pod]:
        return [pod for pod in self.pods if pod.version == self.version]

    def complete(self) -> bool:
        return len(self.updated) == len(self.pods) == self.replicas == self.available

    def sync(self, now: datetime) -> None:
        """Let the controller look at the Deployment at this time."""
        self.now = now
        if self.asleep:
            return
        before = (self.generation, [(pod.version, self.is_ready(pod)) for pod in self.pods], self.rolled)
        if self.observed_generation != self.generation:
            self.progressed = now
        self.observed_generation = self.generation
        if not self.paused and self.rolled != self.version:
            self.rolled, self.revision, self.arrived = self.version, self.revision + 1, False
        self._create()
        self._remove()
        after = (self.generation, [(pod.version, self.is_ready(pod)) for pod in self.pods], self.rolled)
        if before != after or self.complete():
            self.progressed = now
        self.arrived = self.arrived or self.complete()
        if self.available >= self.replicas - self.may_lack:
            self.unavailable_since = None
        else:
            self.unavailable_since = self.unavailable_since or now

    def _create(self) -> None:
        new = [pod for pod in self.pods if pod.version == self.rolled]
        free = [number for number in range(self.replicas) if number not in {pod.number for pod in new}]
        self.pods += [
            Pod(self.rolled, self.now, number, self.reads) for number in free[: max(self.replicas - len(new), 0)]
        ]

    def _remove(self) -> None:
        new = sorted((pod for pod in self.pods if pod.version == self.rolled), key=self.is_ready, reverse=True)
        new = new[: self.replicas]
        spare = self.replicas - sum(map(self.is_ready, new))
        old = sorted((pod for pod in self.pods if pod.version != self.rolled), key=self.is_ready, reverse=True)
        self.pods = new + old[:spare]

    def exceeded(self) -> bool:
        late = self.progressed is not None and self.now >= self.progressed + self.deadline
        return late and not self.arrived and not self.complete() and not self.paused

    def moments(self) -> Iterator[datetime]:
        """When something will change by itself."""
        for pod in self.pods:
            if not self.is_ready(pod) and self.can_start(pod):
                yield pod.started + self.ready_after
        waits = not self.arrived and not self.complete() and not self.paused
        if waits and self.progressed is not None and not self.exceeded():
            yield self.progressed + self.deadline

    def seen(self) -> Workload:
        return Workload(
            name=self.name,
            uid=self.uid,
            generation=self.generation,
            observed_generation=self.observed_generation,
            template=self.template + self.default,
            controller_revision=str(self.revision) if self.revision else None,
            paused=self.paused,
            replicas=self.replicas,
            current_replicas=len(self.pods),
            updated_replicas=len(self.updated),
            available_replicas=self.available,
            deadline_exceeded=self.exceeded(),
            unavailable_since=self.unavailable_since,
            deleting=self.deleting,
            tells_when_stuck=not self.arrived,
            images=(("app", self.template),),
        )

    def seen_pods(self) -> PodsSeen:
        """What is known of the pods of the newest template."""
        if self.observed_generation < self.generation or self.paused:
            return PodsSeen(self.uid)
        return PodsSeen(self.uid, tuple(self._seen_pod(pod) for pod in self.pods if pod.version == self.rolled))

    def _seen_pod(self, pod: Pod) -> PodSeen:
        reason = self.blocked.get(pod.version.split("|")[0])
        waits = reason is not None and not self.can_start(pod)
        waiting = (Waiting("app", str(reason), "it is not there", 2, pod.started),) if waits else ()
        return PodSeen(f"{self.name}-{pod.number}", waiting)


NODES = 2


@dataclass
class DaemonSet(Deployment):
    """One pod on each node, or none while it sleeps; sleeping and waking move the generation like an edit."""

    def __post_init__(self) -> None:
        self.replicas = NODES

    def edit(self, template: str | None = None, *, stamp: str | None = None, replicas: int | None = None) -> None:
        """Write the spec; whoever asks for pods wakes it."""
        super().edit(template, stamp=stamp, replicas=replicas and NODES)

    def exceeded(self) -> bool:
        return False

    def seen(self) -> Workload:
        """Say what a DaemonSet says: no number for its template, and not since when it lacks pods."""
        return replace(
            super().seen(), controller_revision=None, unavailable_since=None, tells_when_stuck=False, per_node=True
        )

    def moments(self) -> Iterator[datetime]:
        """When something will change by itself: no deadline ever comes from a DaemonSet."""
        for pod in self.pods:
            if not self.is_ready(pod) and self.can_start(pod):
                yield pod.started + self.ready_after


@dataclass
class PlainService(Deployment):
    """A Service as a target: it has neither pods nor generations, never sleeps and always serves."""

    @property
    def available(self) -> int:
        return 1

    def sync(self, now: datetime) -> None:
        self.now = now

    def moments(self) -> Iterator[datetime]:
        yield from ()

    def seen_pods(self) -> PodsSeen:
        return PodsSeen()

    def seen(self) -> Workload:
        """Say what a Service says: one thing that is always there, whose identity alone tells."""
        told = replace(super().seen(), uid="", generation=0, observed_generation=0, controller_revision=None)
        always = replace(told, replicas=1, current_replicas=1, updated_replicas=1, available_replicas=1)
        return replace(always, deadline_exceeded=False, unavailable_since=None, sleeps=False)


@dataclass
class Autoscaler:
    """Keeps a workload within bounds and at the size that its load asks for; only KEDA wakes one that sleeps."""

    low: int
    high: int
    wants: int = 0
    """What the metrics ask for, 0 while there are none."""
    keda: bool = False
    paused: bool = False
    """Whether it is paused at zero pods."""
    paused_otherwise: bool = False

    def look(self, workload: Deployment) -> None:
        """Scale, as far as there is something to scale."""
        if self.keda and self.paused:
            workload.edit(replicas=0)
        elif self.paused_otherwise:
            return
        elif workload.replicas or (self.keda and self.low):
            workload.edit(replicas=min(max(self.wants or workload.replicas, self.low), self.high))


@dataclass(frozen=True)
class Kept:
    """A promoted revision as it is kept."""

    template: str
    configs: dict[str, str]
    replicas: int


@dataclass
class Route:
    """What is written, and what the data plane serves of it."""

    written: Routes
    served: Routes | None
    accept_at: datetime
    accepted: bool = False
    drifted: bool = False
    released: bool = False
    refused: bool = False
    served_since: datetime | None = None
    users: str = ""
    """Who can be among the canary's users; empty where it has none."""


WIDER = {("audience", "everybody"), ("audience", "audienceFirst"), ("everybody", "audienceFirst")}
"""Whose share is one of fewer users than whose."""


def users_of(analysis: CanaryAnalysis) -> str:
    """Whose share the canary gets: of all users, of an audience only, or of all users and the whole audience."""
    if not analysis.match:
        return "everybody"
    return "audienceFirst" if analysis.match_first and analysis.iterations < 1 else "audience"


def as_written(routes: Routes, analysis: CanaryAnalysis, *, whole: bool) -> tuple[Routes, str]:
    """What a provider writes, and whom it is about; some give the canary all of an audience, or nobody."""
    users = users_of(analysis) if routes.canary else ""
    return (ALL_TO_CANARY if whole and users == "audience" else routes), users


def services_seen(target: Deployment | None, services: set[ServiceRole], apex: str | None) -> ServicesSeen:
    """Return what is known of the Services: how they should be is only known of a target that is there."""
    released = apex != "primary"
    if target is None:
        return ServicesSeen(apex_released=released)
    return ServicesSeen(
        canary=ServiceRole.CANARY in services,
        primary=ServiceRole.PRIMARY in services,
        apex=not released,
        apex_released=released,
        apex_elsewhere=apex == "target",
    )
