"""The kinds MetricTemplate and AlertProvider: where metrics come from and where alerts go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field

from flaggerpy.api.base import ApiModel, Duration, Integer
from flaggerpy.api.canary import ObjectMeta
from flaggerpy.api.reading import read
from flaggerpy.api.refs import SecretRef

_ONE_ADDRESS: Final[dict[str, Any]] = {"oneOf": [{"required": ["type", place]} for place in ("address", "secretRef")]}

MetricBackend = Literal[
    "prometheus",
    "influxdb",
    "datadog",
    "externalmetrics",
    "stackdriver",
    "cloudwatch",
    "newrelic",
    "graphite",
    "dynatrace",
    "keptn",
    "splunk",
    "web",
]
AlertService = Literal["slack", "msteams", "discord", "rocket", "gchat", "webhook"]


class RangeQuery(ApiModel):
    """A query over a window of time, of whose points one value is made."""

    window: Duration | None = None
    """Length of time until now; the metric's interval if absent."""
    step: Duration | None = None
    """Distance between two points; a tenth of the window if absent."""
    aggregator: Literal["last", "min", "max", "avg", "sum"] = "last"
    """What is made of the points."""


class WebMetric(ApiModel):
    """A request, and where in its answer the number is."""

    method: Literal["GET", "POST", "PUT"] = "GET"
    """HTTP method."""
    body: str | None = None
    """What is sent along, as JSON if headers has no Content-Type; {{ target }} and the like are filled in."""
    json_path: str = "{$}"
    """Path to the number in the answer; {{ target }} and the like are filled in."""
    timeout_seconds: Integer = 10
    """Limit for the whole exchange in seconds, up to 60."""


class MetricTemplateProvider(ApiModel):
    """Who answers the query."""

    type: MetricBackend
    """Kind of the metrics server."""
    address: str | None = None
    """Base address of its API."""
    headers: dict[str, tuple[str, ...]] | None = None
    """Headers that are sent along (prometheus, graphite and web)."""
    secret_ref: SecretRef | None = None
    """Secret with the credentials, in the template's namespace."""
    region: str | None = None
    """Region (CloudWatch)."""
    insecure_skip_verify: bool = False
    """Whether the server's certificate is taken unseen."""
    range_query: RangeQuery | None = None
    """Asks over a window of time (prometheus); at one moment if absent."""
    web: WebMetric | None = None
    """How the server is asked (web)."""


class MetricTemplateSpec(ApiModel):
    """A query and who answers it."""

    provider: MetricTemplateProvider
    """Who answers the query."""
    query: str
    """The query; {{ namespace }}, {{ target }}, {{ interval }} and the like are filled in. A path for web."""


class MetricTemplate(ApiModel):
    """A query that the metrics of many canaries can share."""

    metadata: ObjectMeta
    spec: MetricTemplateSpec
    faults: tuple[str, ...] = Field(default=(), exclude=True)


class AlertProviderSpec(ApiModel):
    """Where alerts go; either an address or a Secret with it."""

    model_config = ConfigDict(json_schema_extra=_ONE_ADDRESS | {"required": None})

    type: AlertService
    """Kind of the receiver; needed, together with either address or secretRef."""
    channel: str | None = None
    """Channel, for Slack with a token its ID or name; general if absent."""
    username: str | None = None
    """Name of the sender; flagger if absent."""
    address: str | None = None
    """Address to POST to."""
    proxy: str | None = None
    """Address of an HTTP proxy on the way."""
    secret_ref: SecretRef | None = None
    """Secret of its namespace with the key address and, if need be, token (slack, webhook) and signingKey (webhook)."""
    link: str | None = None
    """Where alerts lead to; {{ namespace }}, {{ name }} and {{ target }} are filled in. --alert-link if absent."""


class AlertProvider(ApiModel):
    """Where the alerts of canaries go."""

    metadata: ObjectMeta
    spec: AlertProviderSpec
    faults: tuple[str, ...] = Field(default=(), exclude=True)


def parse_metric_template(obj: Mapping[str, Any]) -> MetricTemplate:
    """Read a MetricTemplate as the API server serves it.

    Raises:
        InvalidObject: it names no provider or no query.

    """
    return read(MetricTemplate, obj)


def parse_alert_provider(obj: Mapping[str, Any]) -> AlertProvider:
    """Read an AlertProvider as the API server serves it.

    Raises:
        InvalidObject: it does not say what kind of receiver it is.

    """
    return read(AlertProvider, obj)
