"""What a generic webhook is told of an alert; ``docs/reference/alert.schema.json`` is made from this model."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from flaggerpy.api.analysis import Severity
from flaggerpy.api.base import ApiModel, MicroTime


class _Part(ApiModel):
    """Whatever receivers read: each field is always there."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class MetricPayload(_Part):
    """The last measurement of one metric."""

    name: str
    """Name of the metric."""
    verdict: str
    """How it was judged: Passed, Failed, Inconclusive or Error."""
    value: str = ""
    """What was measured; empty when nothing was."""
    bound: str = ""
    """What is accepted; empty when everything is."""
    reason: str = ""
    """One sentence for people."""
    dry_run: bool = False
    """Nothing follows from its verdict."""


class RevisionPayload(_Part):
    """What the rollout changes."""

    before: list[str] = Field(default_factory=list)
    """Images that the primary ran when the rollout began, each as container=image."""
    after: list[str] = Field(default_factory=list)
    """Images of the new revision."""
    checksum: str = ""
    """The checksum that webhooks of this revision are told."""


class FieldPayload(_Part):
    """One line of details, as chats show it."""

    name: str
    """What it is about."""
    value: str
    """What it says."""


class AlertPayload(_Part):
    """One alert; every field is always there, and empty where nothing is known."""

    version: Literal["v1"] = "v1"
    """Version of this format; fields may be added to it, none is taken away or changes its meaning."""
    kind: Literal["alert", "summary"] = "alert"
    """``summary`` tells how many alerts this receiver was spared, and is about no canary."""
    id: str = ""
    """Identity of the alert, the same when a crash or a lost answer has it sent again."""
    at: MicroTime | None = None
    """When it was sent for the first time by this process."""
    cluster: str = ""
    """The controller's --cluster-name."""
    namespace: str = ""
    """Namespace of the canary."""
    name: str = ""
    """Name of the canary."""
    target: str = ""
    """Kind and name of the target, such as Deployment/web."""
    severity: Severity
    """How bad it is."""
    message: str
    """What happened, in one sentence."""
    reason: str = ""
    """Why, or what is waited for."""
    phase: str = ""
    """Phase of the canary."""
    weight: int = 0
    """Share of the users that the canary has, in percent."""
    failed_checks: int = 0
    """How many checks have failed in this rollout."""
    revision: RevisionPayload = Field(default_factory=RevisionPayload)
    """What the rollout changes."""
    metrics: list[MetricPayload] = Field(default_factory=list)
    """The last measurement of each metric of this rollout."""
    link: str = ""
    """Where to look, as --alert-link or the AlertProvider's link say."""
    fields: list[FieldPayload] = Field(default_factory=list)
    """The lines that chats show below the message."""
