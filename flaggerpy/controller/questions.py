"""What a metric has to be asked, of whom, and with which Secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from flaggerpy.api.analysis import CanaryMetric
from flaggerpy.api.canary import Canary
from flaggerpy.api.templates import MetricTemplate
from flaggerpy.controller.credentials import ReadSecret
from flaggerpy.controller.served import measured_of
from flaggerpy.kube.wire import Transport
from flaggerpy.metrics import judge
from flaggerpy.metrics.base import ProviderSettings
from flaggerpy.metrics.configured import queries_for, settings_of
from flaggerpy.metrics.counters import NO_COUNTERS, Counters, counters_of, grown
from flaggerpy.metrics.judge import Measure
from flaggerpy.metrics.queries import Queries, queries_of
from flaggerpy.rollout.checks import MetricSource
from flaggerpy.rollout.errors import UserError

Server = tuple[str, str, str]
"""Type, address and region of a metrics server."""

FindTemplate = Callable[[str, str], MetricTemplate | None]
"""Finds a MetricTemplate by namespace and name; a UserError says why it is none, a KubeError why it was not read."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where answers come from besides the canary itself.

    Attributes:
        metrics_server: address of the Prometheus of canaries that name none.
        mesh_provider: provider of canaries that name none.
        cluster: the API server, which serves metrics of others.
        confined: nothing may be asked about another namespace than the canary's.

    """

    find_template: FindTemplate
    read_secret: ReadSecret
    metrics_server: str
    mesh_provider: str
    cluster: Transport | None = None
    confined: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """Queries ready to be sent, and what their results mean.

    Attributes:
        settings: whom to ask about the canary.
        primary: whom to ask about the primary; the server is the same, and what is filled in may not be.
        template: what the question is from, None where it is the canary's own.

    """

    settings: ProviderSettings
    primary: ProviderSettings
    queries: Queries
    measure: Measure
    template: MetricTemplate | None = None

    @property
    def server(self) -> Server:
        """Who is asked."""
        return self.settings.type, self.settings.address, self.settings.region


@dataclass(frozen=True, slots=True)
class Span:
    """What a measurement looks at: the time before a moment."""

    length: timedelta
    until: datetime


def _growth(counters: Counters, span: Span) -> Queries:
    """Ask how far the counters went; the primary was there at the beginning, if the server read counters then."""
    asked = (counters.good, counters.total, counters.primary_good, counters.primary_total)
    since, known = span.until - span.length, counters.primary_total
    good, total, primary_good, primary_total = (grown(each, since, span.until, known) for each in asked)
    return Queries(good, total, primary_good, primary_total)


class Questions:
    """Puts together what is to be asked."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def draft(self, canary: Canary, metric: CanaryMetric, source: MetricSource, span: Span) -> Question:
        """Say what is to be asked of whom; what only the API server knows is still missing.

        Of a sequential test the value counts good requests, and the samples all of them.

        Raises:
            UserError: a template is missing or wrong, or a query cannot be filled in or is forbidden.
            KubeError: the template could not be read.

        """
        measured = measured_of(canary, metric, self._sources.mesh_provider)
        whose = measured.within(metric, span.length)
        match source:
            case MetricSource.BUILTIN:
                server, measure = self._server(canary), judge.measure_of(metric, builtin=True)
                return Question(server, server, queries_of(metric, whose, None), measure)
            case MetricSource.QUERY:
                server = self._server(canary)
                return Question(server, server, queries_of(metric, whose, metric.query or ""), Measure.PLAIN)
            case MetricSource.TEMPLATE:
                template = self._template(canary, metric)
                queries = queries_for(template.spec, metric, whose, confined=self._sources.confined)
                of_canary, of_primary = (
                    settings_of(template.spec.provider, None, names) for names in (whose.canary, whose.primary)
                )
                return Question(of_canary, of_primary, queries, Measure.PLAIN, template)
            case MetricSource.COUNTERS:
                return self._of_counters(canary, metric, _growth(counters_of(metric, measured), span))
            case _:
                assert_never(source)

    def _of_counters(self, canary: Canary, metric: CanaryMetric, queries: Queries) -> Question:
        """Ask the Prometheus that has the counters of a metric: that of its template, if there is one."""
        if metric.template_ref is None:
            server = self._server(canary)
            return Question(server, server, queries, Measure.PLAIN)
        template = self._template(canary, metric)
        settings = settings_of(template.spec.provider, None, measured_of(canary, metric).canary)
        if settings.type != "prometheus":
            raise UserError(f"Metric template {template.metadata.name} cannot be used: {NO_COUNTERS}")
        settings = replace(settings, range_query=None)
        return Question(settings, settings, queries, Measure.PLAIN, template)

    def _server(self, canary: Canary) -> ProviderSettings:
        return ProviderSettings("prometheus", canary.spec.metrics_server or self._sources.metrics_server)

    def _template(self, canary: Canary, metric: CanaryMetric) -> MetricTemplate:
        if metric.template_ref is None:
            raise UserError(f"The metric {metric.name} has no templateRef.")
        namespace = metric.template_ref.namespace or canary.namespace
        template = self._sources.find_template(namespace, metric.template_ref.name)
        if template is None:
            raise UserError(
                f"Metric template {metric.template_ref.name}.{namespace} error: there is no such MetricTemplate."
            )
        return template

    async def complete(self, draft: Question) -> Question:
        """Add what does not stand in a template: its Secret, and the API server.

        Raises:
            UserError: there is no such Secret.
            KubeError: it could not be read.

        """
        if draft.template is None:
            return draft
        secret, cluster = await self._secret(draft.template), self._sources.cluster
        settings, primary = (replace(side, secret=secret, cluster=cluster) for side in (draft.settings, draft.primary))
        return replace(draft, settings=settings, primary=primary)

    async def _secret(self, template: MetricTemplate) -> Mapping[str, str] | None:
        ref, namespace = template.spec.provider.secret_ref, template.metadata.namespace
        if ref is None:
            return None
        secret = await self._sources.read_secret(namespace, ref.name)
        if secret is None:
            raise UserError(
                f"Metric template {template.metadata.name}.{namespace} error: there is no Secret {ref.name} in its "
                "namespace: create it, or correct spec.provider.secretRef."
            )
        return secret
