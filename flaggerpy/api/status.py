"""Canary.status: Flagger's fields with Flagger's meaning, and ours beside them under ``rollout``.

Flagger's fields stay because dashboards and ``kubectl wait`` read them. Everything that Flagger lacks lives
in ``status.rollout`` (and ``observedGeneration``): one look tells whose field it is. Nothing here acts.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from flaggerpy.api.base import ApiModel, MicroTime, Number, Timestamp
from flaggerpy.api.places import RoutePlace
from flaggerpy.api.refs import ScalerKind
from flaggerpy.api.sequential import SequentialRecord


class Phase(StrEnum):
    """Where a canary stands; the words are Flagger's."""

    NEW = ""
    INITIALIZING = "Initializing"
    INITIALIZED = "Initialized"
    WAITING = "Waiting"
    PROGRESSING = "Progressing"
    WAITING_PROMOTION = "WaitingPromotion"
    PROMOTING = "Promoting"
    FINALISING = "Finalising"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    TERMINATING = "Terminating"
    TERMINATED = "Terminated"


class Condition(ApiModel):
    """One entry of ``status.conditions``: Flagger's ``Promoted`` or kstatus' Ready, Reconciling, Stalled."""

    type: str
    """Promoted, Ready, Reconciling or Stalled."""
    status: Literal["True", "False", "Unknown"] = Field(json_schema_extra={"enum": None})
    """True, False or Unknown."""
    reason: str
    """One word for programs."""
    message: str = ""
    """One sentence for people."""
    last_update_time: Timestamp | None = None
    """When the condition was last written."""
    last_transition_time: Timestamp | None = None
    """When its status last changed."""
    observed_generation: int | None = None
    """Generation of the spec that the condition speaks of."""


class Revision(ApiModel):
    """The identity of what a target ran: its pod template and the configs it read.

    ``template`` is ours (versioned, see docs/design/0001-which-revision.md). The uid, generation and
    controller revision let a later tick tell a user's edit from a default that a newer API server added.
    """

    template: str
    """Identity of the pod template."""
    configs: dict[str, str] = Field(default_factory=dict)
    """Checksum of each config it read, by configmap/<name> or secret/<name>."""
    config_writes: str = ""
    """Which writes of those configs it read: a digest of their resourceVersions, empty where nobody looked."""
    uid: str = ""
    """Identity of the workload object."""
    generation: int = 0
    """Generation of the workload object."""
    controller_revision: str | None = None
    """The workload controller's own revision number."""


class Growth(ApiModel):
    """Pods that a canary gets before its share grows, where the share says how many it has."""

    share: int
    """The share of users, in percent, that they are for."""
    since: MicroTime
    """When they were asked for."""
    approved: bool = True
    """Whether the share follows as soon as they are ready: every check and gate has passed since the last failure."""


Whose = Literal["everybody", "audience", "audienceFirst"]
"""Whose users a share is of: all, those whom ``match`` describes, or all with the whole audience beside."""


class Step(ApiModel):
    """The step clock: the weight that is wanted, since when, and when it was last judged."""

    weight: int = 0
    """The canary's share that is wanted, in percent."""
    whose: Whose | None = None
    """Whose users it is a share of, as analysis had it when the step began; absent where that is not on record."""
    started_at: MicroTime | None = None
    """Since when it is wanted."""
    checked_at: MicroTime | None = None
    """When it was last judged."""
    attempt: int = 0
    """How often it has been judged."""
    ready_at: MicroTime | None = None
    """Since when the canary has been ready, where hooks are to be called before it gets users."""
    mirrored: bool = False
    """Whether the canary gets copies of requests."""
    growth: Growth | None = None
    """Pods that the next share waits for."""
    held: bool = False
    """Whether people were told that a gate keeps the share from growing; once is enough for each share."""


class CheckResult(ApiModel):
    """The last measurement of one metric, as a person wants to read it."""

    name: str
    """Name of the metric."""
    verdict: Literal["Passed", "Failed", "Inconclusive", "Error"]
    """Passed, Failed, Inconclusive when it is too early or too little to say, or Error when nobody answered."""
    value: str | None = None
    """What was measured."""
    bound: str | None = None
    """What was accepted."""
    reason: str = ""
    """One sentence for people."""
    at: MicroTime | None = None
    """When it was measured."""
    dry_run: bool = False
    """Whether nothing follows from it."""
    failures: int = 0
    """How often it has failed in this analysis."""
    failures_in_a_row: int = 0
    """How often it has failed since it last passed."""
    unanswered_in_a_row: int = 0
    """How often it was measured since it last passed or failed, warm-up apart."""
    sequential: SequentialRecord | None = None
    """The evidence of its sequential test, of this analysis."""


class Pending(ApiModel):
    """An announcement that was decided and not yet made; a crash may repeat it, never lose it."""

    id: str
    """Identity of the announcement; a repeated one has the same."""
    kind: Literal["event", "alert", "hooks"]
    """What is to be made."""
    severity: Literal["info", "warn", "error"] = "info"
    """How bad it is."""
    message: str = ""
    """What it says."""
    phase: str = ""
    """Phase that it speaks of."""
    fields: bool = False
    """Whether an alert carries the details of the analysis."""


class Change(ApiModel):
    """What a rollout changes: the images of the containers, init containers first, each as container=image."""

    before: list[str] = Field(default_factory=list)
    """Images that the primary ran when it began; empty where the workload has none."""
    after: list[str] = Field(default_factory=list)
    """Images of the new revision."""


class AnsweredRequest(ApiModel):
    """The last request of a person that was answered."""

    id: str
    """Identity of the request."""
    verb: str = ""
    """What was asked for: pause, resume, promote, promote-full, abort or retry."""
    by: str = ""
    """Who asked."""
    at: MicroTime | None = None
    """When it was asked."""
    answered_at: MicroTime | None = None
    """When it was answered."""
    accepted: bool = True
    """Whether it is done; a request that makes no sense in the phase is refused."""
    answer: str = ""
    """What came of it, in one sentence."""


class Pause(ApiModel):
    """Somebody holds the rollout."""

    by: str
    """Who asked for it."""
    at: MicroTime | None = None
    """Since when."""
    reason: str = ""
    """Why, where nobody asked for it: a metric gives no verdict. It ends by itself when the metric gives one."""

    @property
    def words(self) -> str:
        """Say who holds the rollout, and why if nobody asked for it."""
        return f"paused by {self.by}" + (f": {self.reason}" if self.reason else "")


class Advance(ApiModel):
    """Somebody wants to go on without waiting for checks and gates."""

    mode: Literal["step", "full"]
    """One step, or everything up to the promotion."""
    revision: Revision
    """For which revision; it does not hold for another."""


class Recall(ApiModel):
    """Rollback hooks when the analysis is over."""

    asked_at: MicroTime | None = None
    """When they were last asked."""
    too_late: str = ""
    """Which of them passed when nothing could be rolled back any more; they are not asked again."""


class PrimaryScaler(ApiModel):
    """The primary's autoscaler: which object it is, and the floor under it while users come to the primary."""

    name: str
    """Name of the autoscaler that was made for the primary."""
    kind: ScalerKind = "HorizontalPodAutoscaler"
    """Its kind, which is that of the target's."""
    source: str = ""
    """Name of the target's autoscaler, which it was made after."""
    floor: int = 0
    """Pods that it leaves the primary at least, until its metrics show the users who came; 0 when users are settled."""
    since: MicroTime | None = None
    """When the floor was asked for, or given up."""


class RolloutStatus(ApiModel):
    """Everything that Flagger's status has no place for."""

    applied: Revision | None = None
    """The revision that was last rolled out or is being rolled out."""
    promoted: Revision | None = None
    """The revision that the primary runs."""
    step: Step = Field(default_factory=Step)
    """The step clock."""
    gates: list[str] = Field(default_factory=list)
    """Gates that have passed for this revision."""
    exposed_at: MicroTime | None = None
    """Since when the canary of this analysis has had users, copies of requests or iterations."""
    moved_at: MicroTime | None = None
    """When traffic last moved away from a workload; still to come while the data plane has not said so."""
    scaled_at: MicroTime | None = None
    """When a workload was last scaled."""
    mended_at: MicroTime | None = None
    """When something that somebody else had changed was last put back: Services, the route, an autoscaler, replicas."""
    mended: list[str] = Field(default_factory=list)
    """What was put back then or in the interval before it: the same thing is put back at most once an interval."""
    hopeless_since: MicroTime | None = None
    """Since when pods that cannot start keep the workload that is waited for from becoming ready."""
    refused_since: MicroTime | None = None
    """Since when the data plane has refused the route, or has not taken it as it was written last; until it has."""
    target_unready_since: MicroTime | None = None
    """Since when the target has not been ready although its controller does not say so: a DaemonSet's never does, and a
    Deployment counts as available while no more pods are missing than its `maxUnavailable`."""
    primary_unready_since: MicroTime | None = None
    """The same of the primary."""
    scaler: PrimaryScaler | None = None
    """The primary's autoscaler; absent where the canary has no autoscalerRef."""
    routes: list[RoutePlace] = Field(default_factory=list)
    """Where routes were written: for the present spec, and for former ones until those are given back."""
    full_size: int = 0
    """Pods that serve all users, where the canary's are in proportion to its share; 0 where they are not."""
    asked_whole_at: MicroTime | None = None
    """Since when a primary that somebody made smaller is asked to have these pods before its users return."""
    share: str = ""
    """The share that was asked for and the one that pods make, where their numbers are the shares."""
    serving_canary: bool = False
    """Whether the target serves all users because the primary cannot."""
    failing: str = ""
    """Why the rollout is being rolled back, or was."""
    reason: str = ""
    """Why the canary waits, in one sentence that a person can act on."""
    request: AnsweredRequest | None = None
    """The last request of a person that was answered."""
    paused: Pause | None = None
    """Who holds the rollout, if somebody does."""
    advance: Advance | None = None
    """What is to go on without waiting, if somebody wants it."""
    recall: Recall | None = None
    """Rollback hooks of the promotion under way."""
    checks: list[CheckResult] = Field(default_factory=list)
    """The last measurement of each metric."""
    change: Change | None = None
    """What the rollout that runs, or the last one, changes; for people."""
    pending: list[Pending] = Field(default_factory=list)
    """Announcements that were decided and not yet made."""


class CanaryStatus(ApiModel):
    """``status`` of a Canary, whole."""

    phase: Phase = Phase.NEW
    """Where the canary stands."""
    failed_checks: Number = 0
    """Failed checks of this analysis."""
    canary_weight: Number = 0
    """The canary's share of traffic, in percent."""
    iterations: Number = 0
    """Checks done of an A/B test or of Blue/Green."""
    tracked_configs: dict[str, str] | None = None
    """Flagger's checksum of each config, by configmap/<name> or secret/<name>."""
    last_applied_spec: str | None = None
    """Flagger's hash of the revision that was last rolled out."""
    last_promoted_spec: str | None = None
    """Flagger's hash of the revision that the primary runs."""
    last_transition_time: Timestamp | None = None
    """When the status last changed."""
    session_affinity_cookie: str | None = None
    """Cookie of users of this canary."""
    previous_session_affinity_cookie: str | None = None
    """Cookie of users of the canary before, which is to be deleted."""
    primary_session_affinity_cookie: str | None = None
    """Cookie of users of the primary."""
    conditions: list[Condition] = Field(default_factory=list)
    """Flagger's Promoted, and Ready, Reconciling and Stalled as kstatus reads them."""
    observed_generation: int | None = None
    """Generation of the spec that the status speaks of."""
    rollout: RolloutStatus = Field(default_factory=RolloutStatus)
    """What Flagger has no place for."""
