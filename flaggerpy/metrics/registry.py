"""Which metric providers exist; a name that is not here is the user's mistake, never a fallback."""

from __future__ import annotations

from collections.abc import Callable

from flaggerpy.metrics.base import MetricProvider, ProviderSettings
from flaggerpy.metrics.datadog import Datadog
from flaggerpy.metrics.discreet import Discreet
from flaggerpy.metrics.dynatrace import Dynatrace
from flaggerpy.metrics.newrelic import NewRelic
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.prometheus import Prometheus
from flaggerpy.metrics.splunk import Splunk
from flaggerpy.metrics.web import Web, checked_path
from flaggerpy.rollout.errors import UserError

PROVIDERS: dict[str, Callable[[ProviderSettings, Outbound], MetricProvider]] = {
    "datadog": Datadog,
    "dynatrace": Dynatrace,
    "newrelic": NewRelic,
    "prometheus": Prometheus,
    "splunk": Splunk,
    "web": Web,
}

QUERIES: dict[str, Callable[[str], object]] = {
    "web": checked_path,
}
"""What sees that a query is none before it is sent, and says so in a UserError."""

NOT_BUILT_YET = frozenset({"cloudwatch", "externalmetrics", "graphite", "influxdb", "stackdriver"})

ENDED = frozenset({"keptn"})


def provider_for(settings: ProviderSettings, outbound: Outbound) -> MetricProvider:
    """Make the client for a provider.

    Raises:
        UserError: the type is unknown or not built yet, or its settings cannot be used.

    """
    return Discreet(maker_of(settings.type)(settings, outbound), settings)


def check_query(kind: str, query: str) -> None:
    """Look at a rendered query as far as that is possible without its server.

    Raises:
        UserError: it is none for this type of provider.

    """
    if kind in QUERIES:
        QUERIES[kind](query)


def maker_of(kind: str) -> Callable[[ProviderSettings, Outbound], MetricProvider]:
    """Return what makes the clients for a type of provider.

    Raises:
        UserError: the type is unknown, at its end or not built yet.

    """
    if kind in PROVIDERS:
        return PROVIDERS[kind]
    if kind in ENDED:
        raise UserError(
            f'The metric provider "{kind}" is not built into flaggerpy, as its project has ended: ask the server '
            f"that {kind} itself asks."
        )
    known = ", ".join(sorted(PROVIDERS))
    if kind in NOT_BUILT_YET:
        raise UserError(
            f'The metric provider "{kind}" is not built yet in this version of flaggerpy; built are: {known}.'
        )
    raise UserError(f'The metric provider "{kind}" does not exist; known are: {known}.')
