"""What an alert is, who wants it and what it tells besides its message. No receiver's format lives here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flaggerpy.api.alert import MetricPayload, RevisionPayload
from flaggerpy.api.analysis import CanaryAlert, Severity, Strategy
from flaggerpy.api.canary import Canary

DEFAULT_CHANNEL = "general"
DEFAULT_USERNAME = "flagger"

JsonObject = dict[str, Any]

_RANK = {Severity.INFO: 0, Severity.WARN: 1, Severity.ERROR: 2}


@dataclass(frozen=True, slots=True)
class Field:
    """One line of an alert's details."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the rollout that an alert speaks of, for receivers that are programs.

    Attributes:
        target: kind and name of the target.
        weight: the canary's share of the users, in percent.

    """

    cluster: str = ""
    target: str = ""
    phase: str = ""
    weight: int = 0
    failed_checks: int = 0
    reason: str = ""
    revision: RevisionPayload = field(default_factory=RevisionPayload)
    metrics: tuple[MetricPayload, ...] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """Something a person should hear of.

    Attributes:
        namespace: empty where it is about no canary but about alerts themselves.
        id: the same when it is sent again.
        at: when it was first sent.
        link: where to look; empty without one.

    """

    canary: str
    namespace: str
    severity: Severity
    message: str
    fields: tuple[Field, ...] = ()
    id: str = ""
    at: datetime | None = None
    link: str = ""
    facts: Facts = field(default_factory=Facts)

    @property
    def author(self) -> str:
        """Whose alert it is, as receivers show it."""
        return f"{self.canary}.{self.namespace}" if self.namespace else self.canary

    @property
    def is_error(self) -> bool:
        """Whether it is shown in the colour of errors."""
        return self.severity is Severity.ERROR


@dataclass(frozen=True, slots=True)
class Sender:
    """How the sender is shown, where the receiver lets us choose."""

    channel: str = DEFAULT_CHANNEL
    username: str = DEFAULT_USERNAME


Message = Callable[[Alert, Sender], JsonObject]
"""Writes the body of the POST."""

Headers = tuple[tuple[str, str], ...]


def _unchanged(address: str) -> str:
    return address


def _none(_alert: Alert, _body: bytes, _key: str) -> Headers:
    return ()


@dataclass(frozen=True, slots=True)
class Former:
    """A format that some addresses of a receiver still read."""

    reads: Callable[[str], bool]
    message: Message


@dataclass(frozen=True, slots=True)
class Notifier:
    """One kind of receiver.

    Attributes:
        message: the body of the POST.
        url: the address to POST to, made from what the user wrote.
        takes_token: the receiver reads a bearer token.
        complaint: reads why a receiver that answered 200 did not take the message, empty when it did.
        passing: tells whether such a refusal passes by itself, so that the message is sent again.
        former: the format of addresses that read an older one.
        headers: further headers, made from the alert, the body and the Secret's signing key.

    """

    message: Message
    url: Callable[[str], str] = _unchanged
    takes_token: bool = False
    complaint: Callable[[Mapping[str, Any]], str] = lambda _: ""
    passing: Callable[[Mapping[str, Any]], bool] = lambda _: False
    former: Former | None = None
    headers: Callable[[Alert, bytes, str], Headers] = _none

    def written(self, alert: Alert, sender: Sender, address: str) -> JsonObject:
        """Write the body for the receiver at this address."""
        if self.former is not None and self.former.reads(address):
            return self.former.message(alert, sender)
        return self.message(alert, sender)


def wants(entry: CanaryAlert, severity: Severity) -> bool:
    """Tell whether an entry of ``analysis.alerts`` asks for alerts of this severity."""
    return _RANK[severity] >= _RANK[entry.severity]


def alert_fields(canary: Canary, *, cluster: str, details: bool) -> tuple[Field, ...]:
    """Give the lines below an alert's message: the cluster's name and, with ``details``, the settings."""
    fields = [Field("Cluster", cluster)] if cluster else []
    if details:
        target = canary.spec.target_ref
        fields += [
            Field("Target", f"{target.kind}/{target.name}.{canary.namespace}"),
            Field("Failed checks threshold", str(canary.analysis.threshold)),
            Field("Progress deadline", f"{canary.spec.progress_deadline_seconds}s"),
            *_traffic(canary),
        ]
    return tuple(fields)


def _traffic(canary: Canary) -> tuple[Field, ...]:
    analysis = canary.analysis
    match analysis.strategy:
        case Strategy.AB_TESTING:
            text = "A/B Testing"
        case Strategy.BLUE_GREEN:
            text = "Blue/Green"
        case Strategy.CANARY if analysis.step_weight > 0:
            text = f"Weight step: {analysis.step_weight} max: {analysis.max_weight}"
        case Strategy.CANARY if analysis.step_weights:
            steps = ",".join(str(weight) for weight in analysis.step_weights)
            text = f"Weight steps: {steps} max: {analysis.max_weight}"
        case Strategy.CANARY:
            return ()
    return (Field("Traffic routing", text),)
