"""Which metric providers exist; a name that is not here is the user's mistake, never a fallback."""

from __future__ import annotations

from collections.abc import Callable

from flaggerpy.metrics.base import MetricProvider, ProviderSettings
from flaggerpy.metrics.cloudwatch import CloudWatch
from flaggerpy.metrics.discreet import Discreet
from flaggerpy.metrics.externalmetrics import ExternalMetrics
from flaggerpy.metrics.graphite import Graphite
from flaggerpy.metrics.influxdb import InfluxDb
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.prometheus import Prometheus
from flaggerpy.metrics.stackdriver import Stackdriver
from flaggerpy.rollout.errors import UserError

PROVIDERS: dict[str, Callable[[ProviderSettings, Outbound], MetricProvider]] = {
    "prometheus": Prometheus,
    "graphite": Graphite,
    "influxdb": InfluxDb,
    "cloudwatch": CloudWatch,
    "stackdriver": Stackdriver,
    "externalmetrics": ExternalMetrics,
}

NOT_BUILT_YET = frozenset(
    {
        "datadog",
        "dynatrace",
        "keptn",
        "newrelic",
        "splunk",
    }
)


def provider_for(settings: ProviderSettings, outbound: Outbound) -> MetricProvider:
    """Make the client for a provider.

    Raises:
        UserError: the type is unknown or not built yet, or its settings cannot be used.

    """
    return Discreet(maker_of(settings.type)(settings, outbound), settings)


def maker_of(kind: str) -> Callable[[ProviderSettings, Outbound], MetricProvider]:
    """Return what makes the clients for a type of provider.

    Raises:
        UserError: the type is unknown or not built yet.

    """
    known = ", ".join(sorted(PROVIDERS))
    if kind in PROVIDERS:
        return PROVIDERS[kind]
    if kind in NOT_BUILT_YET:
        raise UserError(
            f'The metric provider "{kind}" is not built yet in this version of flaggerpy; built are: {known}.'
        )
    raise UserError(f'The metric provider "{kind}" does not exist; known are: {known}.')
