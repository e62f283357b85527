"""What lint can find: the rules, and one fault as it is reported. No rule is checked here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum

from flaggerpy.api.reading import Place


class Level(StrEnum):
    """Whether a fault makes lint fail (a warning does with ``--strict`` only)."""

    ERROR = "error"
    WARNING = "warning"


class Rule(Enum):
    """One kind of fault: its name in the output, its level, and what it is about."""

    UNREADABLE = ("unreadable", Level.ERROR, "The file is no YAML or JSON, or no object can be made of it.")
    DUPLICATE = ("duplicate", Level.ERROR, "A field is written twice; the first of the two is lost.")
    KIND = ("kind", Level.ERROR, "The object is meant for `flagger.app`, but its kind or version does not exist.")
    SCHEMA = (
        "schema",
        Level.ERROR,
        "The API server refuses the object: the CRD admits no such value, or misses one.",
    )
    UNKNOWN_FIELD = (
        "unknown-field",
        Level.WARNING,
        "The CRD has no such field: `kubectl apply` refuses it; clients that do not validate have it dropped without a"
        " word.",
    )
    MISTAKE = (
        "mistake",
        Level.ERROR,
        "The CRD admits it and nobody can mean it: the controller would set the condition `Stalled`, in these words.",
    )
    REMARK = (
        "remark",
        Level.WARNING,
        "It works and was probably meant differently: the controller would say so in an event.",
    )
    NOT_SERVED = (
        "not-served",
        Level.ERROR,
        "The provider, the kind of workload or the metric provider is unknown, or cannot do what the canary asks for.",
    )
    NO_EFFECT = ("no-effect", Level.WARNING, "The provider does nothing with this field.")
    NAMESPACE = (
        "namespace",
        Level.ERROR,
        "A reference, or the query of an external metric, leaves the namespace. Only with `--no-cross-namespace-refs`,"
        " as the controller's flag.",
    )
    QUERY = ("query", Level.ERROR, "The query of a metric cannot be filled in.")
    METRIC_TEMPLATE = (
        "metric-template",
        Level.ERROR,
        "The MetricTemplate of a metric does not exist. Looked for only where the input has MetricTemplates of the"
        " namespace, or one of that name elsewhere.",
    )
    ALERT_PROVIDER = (
        "alert-provider",
        Level.WARNING,
        "The AlertProvider of an alert does not exist, so the alert is never sent. Looked for as MetricTemplates are.",
    )
    INGRESS = (
        "ingress",
        Level.ERROR,
        "The Ingress that the canary names leads nobody to it. Only where the input has it.",
    )
    ROUTE = (
        "route",
        Level.ERROR,
        "The route of the Gateway API that the canary names leads nobody to it, or its users cannot be shared. Only"
        " where the input has it.",
    )
    ROUTE_WEIGHT = (
        "route-weight",
        Level.WARNING,
        "The route that the canary names gives the canary users by itself. Only where the input has it.",
    )
    SECRET = ("secret", Level.ERROR, "The Secret lacks what it is read for. Only where the input has it.")
    ADDRESS = ("address", Level.ERROR, "The address of a metrics server or of a receiver of alerts cannot be called.")
    LOAD_TEST = (
        "load-test",
        Level.ERROR,
        "A webhook calls a Service at a port or under a name that it does not have, so that the canary gets no load"
        " and looks idle. Services are those of the canaries and those in the input.",
    )
    LOAD_TASK = (
        "load-task",
        Level.WARNING,
        "The load tester refuses the task of a webhook, so that every check fails. Asked are webhooks that call a"
        " Service `flagger-loadtester` or `loadtester` at `/`.",
    )
    SHARED = (
        "shared",
        Level.ERROR,
        "Two canaries of the input have the same workload or Service, the same host at one Gateway, or targets whose"
        " pods cannot be told apart; or another workload has the label of `trafficByReplicas`.",
    )
    TARGET = (
        "target",
        Level.WARNING,
        "The input has no workload of the target's name, but one with a similar name, or one only, that is no other"
        " canary's. The target may be in the cluster already; faults that follow from a wrong name are not told.",
    )
    WORKLOAD = ("workload", Level.ERROR, "The workload in the input cannot be a target as it is.")
    CONTAINER_PORT = (
        "container-port",
        Level.WARNING,
        "The Services would lead to a port that no container of the workload in the input declares.",
    )
    AUTOSCALER = (
        "autoscaler",
        Level.WARNING,
        "A HorizontalPodAutoscaler or ScaledObject in the input and `spec.autoscalerRef` do not go together.",
    )

    def __init__(self, title: str, level: Level, about: str) -> None:
        self.title = title
        self.level = level
        self.about = about


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault at its place; faults are ordered as a reader meets them.

    Attributes:
        line: counted from 1, as the column is.
        sentence: what is wrong, where, and what to write instead.
        place: the field in the object.

    """

    file: str
    line: int
    column: int
    sentence: str
    rule: Rule = field(compare=False)
    place: Place = field(default=(), compare=False)

    @property
    def level(self) -> Level:
        """Whether it makes lint fail."""
        return self.rule.level
