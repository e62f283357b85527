"""Canary.status: Flagger's fields with Flagger's meaning, and ours beside them under ``rollout``.

Flagger's fields stay because dashboards and ``kubectl wait`` read them. Everything that Flagger lacks lives in
``status.rollout`` (and ``observedGeneration``), so that one look tells whose field it is.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from flaggerpy.api.base import ApiModel


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
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    last_update_time: datetime | None = None
    last_transition_time: datetime | None = None
    observed_generation: int | None = None


class Revision(ApiModel):
    """The identity of what a target ran: its pod template and the configs it read.

    ``template`` is ours (versioned, see docs/design/0001-which-revision.md). The uid, generation and controller
    revision let a later tick tell a user's edit from a default that a newer API server added.
    """

    template: str
    configs: dict[str, str] = Field(default_factory=dict)
    uid: str = ""
    generation: int = 0
    controller_revision: str | None = None


class Step(ApiModel):
    """The step clock: the weight that is wanted, since when, and when it was last judged."""

    weight: int = 0
    started_at: datetime | None = None
    checked_at: datetime | None = None
    attempt: int = 0


class CheckResult(ApiModel):
    """The last measurement of one metric, as a person wants to read it."""

    name: str
    verdict: Literal["Passed", "Failed", "Error"]
    value: str | None = None
    bound: str | None = None
    reason: str = ""
    at: datetime | None = None


class Pending(ApiModel):
    """An announcement that was decided and not yet made; a crash may repeat it, never lose it."""

    id: str
    kind: Literal["event", "alert", "hooks"]
    severity: Literal["info", "warn", "error"] = "info"
    message: str = ""
    phase: str = ""
    fields: bool = False


class RolloutStatus(ApiModel):
    """Everything that Flagger's status has no place for."""

    applied: Revision | None = None
    promoted: Revision | None = None
    step: Step = Field(default_factory=Step)
    gates: list[str] = Field(default_factory=list)
    moved_at: datetime | None = None
    scaled_at: datetime | None = None
    serving_canary: bool = False
    failing: str = ""
    reason: str = ""
    checks: list[CheckResult] = Field(default_factory=list)
    pending: list[Pending] = Field(default_factory=list)


class CanaryStatus(ApiModel):
    """``status`` of a Canary, whole."""

    phase: Phase = Phase.NEW
    failed_checks: int = 0
    canary_weight: int = 0
    iterations: int = 0
    tracked_configs: dict[str, str] | None = None
    last_applied_spec: str | None = None
    last_promoted_spec: str | None = None
    last_transition_time: datetime | None = None
    session_affinity_cookie: str | None = None
    previous_session_affinity_cookie: str | None = None
    primary_session_affinity_cookie: str | None = None
    conditions: list[Condition] = Field(default_factory=list)
    observed_generation: int | None = None
    rollout: RolloutStatus = Field(default_factory=RolloutStatus)
