"""What the core knows of a target or a primary, whatever kind of workload it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload as its API server describes it; counts are pods.

    Attributes:
        template: our versioned identity of its pod template, after the inverse of the primary translation for a
            primary, so that a target and its primary compare equal when they run the same thing.
        controller_revision: the workload controller's own revision number, None while it has none.
        unrestarted: the identity without kubectl's mark of a restart by hand, empty where there is no such mark.
        unavailable_since: when its own controller last said that it has too few pods (a Deployment's Available
            condition turned False); None too where it never says so, or may lack some pods without saying so.
        tells_when_stuck: whether its own controller will say that it gets no further: a Deployment's expects no
            progress any more once the pods of its template were there, as they are when it is edited at zero.
        per_node: the nodes give its number of pods (a DaemonSet): it sleeps or is awake, and no other size can be asked
            for. Its ``replicas`` are 0 asleep and the nodes that it is meant for awake, 1 at least.
        sleeps: whether it can be sent to sleep; a Service's pods are somebody else's business.
        images: name and image of each container, init containers first; empty where nobody looks.
        slept_at: the newest generation of this object at which it was seen without any pod, None where it never was.
        noun: what its kind is called in sentences about its readiness.
        unready: why it is not ready, where its own controller says that in words; else pods are counted.
        has_revision: whether there is something that a primary could be made of; a Knative service may have none yet.

    """

    name: str
    uid: str
    generation: int
    observed_generation: int
    template: str
    controller_revision: str | None
    paused: bool
    replicas: int
    current_replicas: int
    updated_replicas: int
    available_replicas: int
    deadline_exceeded: bool
    unavailable_since: datetime | None
    deleting: bool = False
    tells_when_stuck: bool = False
    unrestarted: str = ""
    per_node: bool = False
    sleeps: bool = True
    images: tuple[tuple[str, str], ...] = ()
    slept_at: int | None = None
    noun: str = "deployment"
    unready: str = ""
    has_revision: bool = True

    def of_size(self, pods: int, *, since: int) -> Workload:
        """Describe it as if no more pods had been asked for; it has been scaled only since this generation."""
        updated = min(self.updated_replicas, pods)
        seen = self.observed_generation
        return replace(
            self,
            observed_generation=self.generation if seen >= since else seen,
            replicas=min(self.replicas, pods),
            current_replicas=self.current_replicas - self.updated_replicas + updated,
            updated_replicas=updated,
            deadline_exceeded=self.deadline_exceeded and self.replicas <= pods,
        )

    @property
    def looked_at(self) -> bool:
        """Whether its controller has seen what was written last."""
        return self.observed_generation >= self.generation

    @property
    def says_nothing(self) -> bool:
        """Whether nobody else looks at the clock when pods are missing."""
        return self.looked_at and self.unavailable_since is None and not self.tells_when_stuck

    @property
    def runs_one_template(self) -> bool:
        """Whether it has pods of its present template only."""
        return self.looked_at and self.current_replicas <= self.updated_replicas

    @property
    def asleep(self) -> bool:
        """Whether it was scaled to zero, and its controller has seen that and says that it has no pod."""
        return self.replicas == 0 and self.current_replicas == 0 and self.looked_at

    @property
    def falling_asleep(self) -> bool:
        """Whether it was scaled to zero and still has pods, or may have: scaled up now, those would count as ready."""
        return self.replicas == 0 and not self.asleep and not self._sleeps_on

    @property
    def _sleeps_on(self) -> bool:
        """Whether a single edit came since it slept, which left it at zero: pods were not asked for in between."""
        return self.current_replicas == 0 and self.slept_at is not None and self.generation == self.slept_at + 1
