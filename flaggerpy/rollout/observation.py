"""Everything a decision about one canary may depend on, frozen at the start of a tick.

What is not in here cannot influence a rollout: no clock, no client and no earlier observation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flaggerpy.api.canary import Canary
from flaggerpy.api.places import RoutePlace
from flaggerpy.api.refs import ScalerKind
from flaggerpy.api.status import Revision
from flaggerpy.rollout.checks import Answer, Check
from flaggerpy.rollout.pods import PodsSeen
from flaggerpy.rollout.traffic import Acceptance, Capabilities, RouteState
from flaggerpy.rollout.workload import Workload


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that the operator of the controller chose.

    Attributes:
        min_interval: a canary's shorter interval is raised to this.
        settle_at_most: how long traffic that was moved away keeps its workload at most, per interval.
        accept_within: how long a data plane may stay silent about a route before the rollout goes on without it.
        fail_fast_after: how long pods that cannot start must stand in the way before they are not waited for; zero:
            they are waited for until the deadline.

    """

    min_interval: timedelta = timedelta(seconds=10)
    settle_at_most: timedelta = timedelta(seconds=30)
    accept_within: timedelta = timedelta(seconds=60)
    fail_fast_after: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class ServicesSeen:
    """Which of the three Services are as they should be.

    ``apex`` means that the apex exists and selects the primary; ``apex_released`` that it selects the target's own
    pods again (or that there is nothing to give back); ``apex_elsewhere`` that it selects others than the primary.
    """

    canary: bool = False
    primary: bool = False
    apex: bool = False
    apex_released: bool = False
    apex_elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class AlertsSeen:
    """Why alerts of the canary do not reach anybody, as sentences.

    Attributes:
        mistake: settings that no alert can be sent with; empty when there are none.
        failure: what became of the last alert to each receiver; empty when all took it, None where none was sent since
            this process began.

    """

    mistake: str = ""
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class ConfigsSeen:
    """Checksums of the ConfigMaps and Secrets that the target's template reads, by ``configmap/x`` or ``secret/x``.

    ``ours`` covers binaryData too; ``flagger`` is what Flagger would write into ``status.trackedConfigs``. ``writes``
    changes whenever one of them is written, be it with the content that it had.
    """

    ours: Mapping[str, str] = field(default_factory=dict)
    flagger: Mapping[str, str] = field(default_factory=dict)
    writes: str = ""


@dataclass(frozen=True, slots=True)
class KeptSeen:
    """What is kept of promoted revisions, apart from everything that runs them.

    Attributes:
        usable: whether revisions can be kept at all: there is a pod template, and the right to keep it.
        revision: what was promoted last, None while nothing is kept.
        name: the object that holds it.
        before: what was promoted before that, None while it is not kept.
        lacking: configs that are nowhere any more with the content that was promoted; looked for only while there is
            no primary.

    """

    usable: bool = False
    revision: Revision | None = None
    name: str = ""
    before: Revision | None = None
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many pods an autoscaler may ask for."""

    low: int
    high: int

    def clamp(self, replicas: int) -> int:
        """Return the nearest number of pods within the bounds."""
        return min(max(replicas, self.low), self.high)


@dataclass(frozen=True, slots=True)
class ScalerSeen:
    """The target's autoscaler and the primary's, which is made after it.

    Attributes:
        name: what the primary's is called.
        target: bounds of the target's.
        primary: bounds of the primary's while it has no floor.
        minimum: the least that the primary's admits now, None while it does not exist.
        drifted: something else of it is not as it should be.
        memory: for how long an autoscaler goes by what pods did before.
        kind: the kind of both.
        source: what the target's is called.
        active: the fewest pods that the primary's may have once it has to have more than ``primary.low``.
        pausable: the target's would wake a sleeping target unless we pause it, and nobody else has paused it.

    """

    name: str
    target: Bounds
    primary: Bounds
    minimum: int | None = None
    drifted: bool = False
    memory: timedelta = timedelta(minutes=5)
    kind: ScalerKind = "HorizontalPodAutoscaler"
    source: str = ""
    active: int = 0
    pausable: bool = False

    def least(self, pods: int) -> int:
        """Return the minimum that the primary's gets where it has to leave so many pods."""
        if pods <= self.primary.low:
            return self.primary.low
        return min(max(pods, self.active), self.primary.high)


@dataclass(frozen=True, slots=True)
class History:
    """Since when the target has its present pod template, as its ReplicaSets or ControllerRevisions tell.

    Attributes:
        since: the latest time at which it can have come.
        put_back: the target had this template before, and another one in between.

    """

    since: datetime
    put_back: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """One canary and everything around it that matters.

    Attributes:
        target: the user's workload, None when it does not exist.
        primary: our copy of it; its ``template`` is translated back, so that equal means equal.
        pods: those of the workload that this phase waits for.
        budgets: the primary's PodDisruptionBudgets are as the target's (or there are none, or nobody may look).
        scaler: None without autoscalerRef, and while what it refers to cannot be used (then there is a problem).
        paused: autoscalers of the target, the present one and a former one, that are paused at zero pods as we do it.
        routed: the provider has a routing object; False for provider ``kubernetes``.
        route_released: the routing object sends everything to the apex Service (or is the user's original, or gone),
            and so do those of former providers.
        place: which objects carry the routes, None where the provider has none.
        left_behind: routes of a former provider or name are in our hands still.
        left_to_canary: users come to the canary through these, whom giving them back would lead to the primary.
        left_accepted: what their data plane says of them; UNKNOWN where it has yet to say something.
        problems: sentences about what a user must mend first.
        routable: the route can be written as it is meant, whatever the problems; where it is False, nobody moves users
            as long as a mistake stands.
        returnable: a route that leads everybody to the primary can be written.
        notes: sentences about settings that are served differently from how they read.
        announced: ids of pending announcements that this process has already made.
        history: of the target's template; only read where taking a canary over depends on it, None where unknown.
        flagger_wrote_at: when Flagger was last seen writing this Canary while we lead, None if never.
        primary_is_owned: the garbage collector would delete the primary together with the Canary.
        alerts: why alerts do not reach anybody, which holds nothing up.

    """

    canary: Canary
    target: Workload | None
    primary: Workload | None
    services: ServicesSeen
    route: RouteState
    capabilities: Capabilities
    routed: bool
    scaler: ScalerSeen | None = None
    budgets: bool = True
    paused: tuple[str, ...] = ()
    configs: ConfigsSeen = field(default_factory=ConfigsSeen)
    kept: KeptSeen = field(default_factory=KeptSeen)
    limits: Limits = field(default_factory=Limits)
    pods: PodsSeen = field(default_factory=PodsSeen)
    route_released: bool = True
    place: RoutePlace | None = None
    left_behind: bool = False
    left_to_canary: bool = False
    left_accepted: Acceptance = Acceptance.YES
    problems: tuple[str, ...] = ()
    routable: bool = True
    returnable: bool = True
    notes: tuple[str, ...] = ()
    announced: frozenset[str] = frozenset()
    answers: Mapping[Check, Answer] = field(default_factory=dict)
    history: History | None = None
    flagger_wrote_at: datetime | None = None
    primary_is_owned: bool = False
    alerts: AlertsSeen = field(default_factory=AlertsSeen)
