"""Which metric providers exist; a name that is not here is the user's mistake, never a fallback."""

from __future__ import annotations

from collections.abc import Callable

from flaggerpy.metrics.base import MetricProvider, ProviderSettings
from flaggerpy.metrics.cloudwatch import CloudWatch, queries_of
from flaggerpy.metrics.datadog import Datadog
from flaggerpy.metrics.discreet import Discreet
from flaggerpy.metrics.dynatrace import Dynatrace
from flaggerpy.metrics.externalmetrics import ExternalMetrics, stay_within, wanted_by
from flaggerpy.metrics.graphite import Graphite, parameters_of
from flaggerpy.metrics.influxdb import InfluxDb
from flaggerpy.metrics.newrelic import NewRelic
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.prometheus import Prometheus
from flaggerpy.metrics.splunk import Splunk
from flaggerpy.metrics.stackdriver import Stackdriver
from flaggerpy.metrics.web import Web, checked_path
from flaggerpy.rollout.errors import UserError

PROVIDERS: dict[str, Callable[[ProviderSettings, Outbound], MetricProvider]] = {
    "cloudwatch": CloudWatch,
    "datadog": Datadog,
    "dynatrace": Dynatrace,
    "externalmetrics": ExternalMetrics,
    "graphite": Graphite,
    "influxdb": InfluxDb,
    "newrelic": NewRelic,
    "prometheus": Prometheus,
    "splunk": Splunk,
    "stackdriver": Stackdriver,
    "web": Web,
}

QUERIES: dict[str, Callable[[str], object]] = {
    "cloudwatch": queries_of,
    "externalmetrics": wanted_by,
    "graphite": parameters_of,
    "web": checked_path,
}
"""What sees that a query is none before it is sent, and says so in a UserError."""

CONFINED: dict[str, Callable[[str, str], None]] = {"externalmetrics": stay_within}
"""What sees that a query asks for what a namespace does not have, and says so in a UserError."""

NEED_VALUES = frozenset({"cloudwatch"})
"""Whose queries can be looked at only with a canary's own values in them, as some of these may be numbers in JSON."""

ENDED = frozenset({"keptn"})


def provider_for(settings: ProviderSettings, outbound: Outbound) -> MetricProvider:
    """Make the client for a provider.

    Raises:
        UserError: the type is unknown or at its end, or its settings cannot be used.

    """
    return Discreet(maker_of(settings.type)(settings, outbound), settings)


def check_query(kind: str, query: str, within: str = "") -> None:
    """Look at a rendered query as far as that is possible without its server.

    ``within`` is the only namespace that it may ask about, empty where any may be asked about.

    Raises:
        UserError: it is none for this type of provider, or asks about another namespace.

    """
    if kind in QUERIES:
        QUERIES[kind](query)
    if within and kind in CONFINED:
        CONFINED[kind](query, within)


def maker_of(kind: str) -> Callable[[ProviderSettings, Outbound], MetricProvider]:
    """Return what makes the clients for a type of provider.

    Raises:
        UserError: the type is unknown or at its end.

    """
    if kind in PROVIDERS:
        return PROVIDERS[kind]
    if kind in ENDED:
        raise UserError(
            f'The metric provider "{kind}" is not built into flaggerpy, as its project has ended: ask the server '
            f"that {kind} itself asks."
        )
    known = ", ".join(sorted(PROVIDERS))
    raise UserError(f'The metric provider "{kind}" does not exist; known are: {known}.')
