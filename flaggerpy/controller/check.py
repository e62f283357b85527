"""Check: put the core's questions to webhooks and metrics servers and bring back answers.

Hooks that cannot be reached have failed, as they do in Flagger. With metrics there is one
deliberate difference: a server that cannot answer is an Error, which is not counted and holds the
rollout; no data, a value out of range and a user's mistake (a missing template, a query that cannot
be rendered or is refused) are failed checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import assert_never

from flaggerpy.api.analysis import CanaryMetric
from flaggerpy.api.canary import Canary
from flaggerpy.api.payloads import WebhookPayload
from flaggerpy.api.templates import MetricTemplate
from flaggerpy.clock import Clock, SystemClock
from flaggerpy.controller.credentials import ReadSecret
from flaggerpy.controller.hooks import WebhookClient, in_order
from flaggerpy.controller.series import labels_of
from flaggerpy.controller.served import measured_of, provider_of
from flaggerpy.kube.errors import KubeError
from flaggerpy.kube.wire import Transport
from flaggerpy.metrics import judge
from flaggerpy.metrics.base import BadQuery, MetricProvider, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.configured import queries_for, settings_of
from flaggerpy.metrics.judge import Measure
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.queries import Queries, queries_of, window_of
from flaggerpy.metrics.registry import provider_for
from flaggerpy.metrics.verdict import About, Measurements, verdict_of
from flaggerpy.rollout.checks import Answer, Check, HookCheck, MetricCheck, MetricSource, Verdict, ends_round
from flaggerpy.rollout.errors import UserError
from flaggerpy.telemetry.controller import QueryOutcome
from flaggerpy.telemetry.recorder import METRIC, CheckName, Recorder

_Server = tuple[str, str, str]
"""Type, address and region of a metrics server."""

FindTemplate = Callable[[str, str], MetricTemplate | None]
"""Finds a MetricTemplate by namespace and name; a UserError says why one cannot be read."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where answers come from besides the canary itself.

    Attributes:
        metrics_server: address of the Prometheus of canaries that name none.
        mesh_provider: provider of canaries that name none.
        cluster: the API server, which serves metrics of others.

    """

    find_template: FindTemplate
    read_secret: ReadSecret
    metrics_server: str
    mesh_provider: str
    cluster: Transport | None = None


@dataclass(frozen=True, slots=True)
class _Question:
    """Queries ready to be sent, and what their results mean.

    Attributes:
        settings: whom to ask about the canary.
        primary: whom to ask about the primary; the server is the same, and what is filled in may not be.

    """

    settings: ProviderSettings
    primary: ProviderSettings
    queries: Queries
    measure: Measure


class Checker:
    """Answers the core's questions, in their order."""

    def __init__(
        self,
        hooks: WebhookClient,
        outbound: Outbound,
        sources: Sources,
        recorder: Recorder,
        clock: Clock | None = None,
    ) -> None:
        self._hooks = hooks
        self._outbound = outbound
        self._sources = sources
        self._recorder = recorder
        self._clock = clock or SystemClock()

    async def run(self, canary: Canary, checks: tuple[Check, ...], checksum: str) -> dict[Check, Answer]:
        """Answer checks up to and including the first whose answer ends the round; hooks all at once if wanted so.

        ``checksum`` is what webhooks are told about the revision.

        Raises:
            KubeError: a hook's Secret could not be read now, which says nothing about the canary.

        """
        at_once = canary.analysis.webhooks_parallel and all(isinstance(check, HookCheck) for check in checks)
        silent: set[_Server] = set()
        asks = [partial(self._answered, canary, check, checksum, silent) for check in checks]
        found = in_order(asks, at_once=at_once)
        answers: dict[Check, Answer] = {}
        for check in checks:
            answers[check] = await anext(found)
            self._count(canary, check, answers[check])
            if ends_round(check, answers[check]) and not at_once:
                break
        return answers

    async def _answered(self, canary: Canary, check: Check, checksum: str, silent: set[_Server]) -> Answer:
        match check:
            case HookCheck():
                return await self._call(canary, check, checksum)
            case MetricCheck():
                return await self._measure(canary, check, silent)
            case _:
                assert_never(check)

    def _count(self, canary: Canary, check: Check, answer: Answer) -> None:
        if isinstance(check, HookCheck):
            name = CheckName(check.type.value, canary.analysis.webhooks[check.index].name)
        else:
            name = CheckName(METRIC, canary.analysis.metrics[check.index].name)
        self._recorder.count_check(labels_of(canary), name, answer.verdict)

    async def _call(self, canary: Canary, check: HookCheck, checksum: str) -> Answer:
        hook = canary.analysis.webhooks[check.index]
        payload = WebhookPayload(
            name=canary.name,
            namespace=canary.namespace,
            phase=check.phase,
            checksum=checksum,
            metadata=hook.metadata,
        )
        answer = await self._hooks.call(hook, payload, key=check.key)
        if answer.unread is not None:
            raise answer.unread
        return Answer(Verdict.PASSED if answer.passed else Verdict.FAILED, answer.reason)

    async def _measure(self, canary: Canary, check: MetricCheck, silent: set[_Server]) -> Answer:
        """Measure and judge; a server that was silent in this round is not waited for once more."""
        metric = canary.analysis.metrics[check.index]
        window = window_of(metric, check.since, self._clock.now())
        try:
            question = await self._question(canary, metric, check.source, window)
            of_canary = provider_for(question.settings, self._outbound)
            same = question.primary == question.settings
            of_primary = of_canary if same else provider_for(question.primary, self._outbound)
        except UserError as error:
            return Answer(Verdict.FAILED, str(error))
        except KubeError as error:
            return Answer(Verdict.ERROR, judge.unanswered(metric, f"its Secret could not be read: {error}"))
        server = (question.settings.type, question.settings.address, question.settings.region)
        if server in silent:
            return Answer(Verdict.ERROR, judge.unanswered(metric, "its server has just left another query unanswered"))
        found = await self._ask(of_canary, of_primary, question, window)
        if found.is_silent:
            silent.add(server)
        if isinstance(found.value, Value):
            shown = found.value.value / 1000 if question.measure is Measure.MILLISECONDS else found.value.value
            self._recorder.set_measured(labels_of(canary), metric.name, shown)
        return verdict_of(metric, question.measure, self._about(canary), found)

    async def _ask(
        self, of_canary: MetricProvider, of_primary: MetricProvider, question: _Question, window: timedelta
    ) -> Measurements:
        """Ask for everything that a verdict needs, until something is not answered."""
        queries = question.queries
        found = Measurements(await self._query(of_canary, question, queries.value, window, queries.factor))
        further = {
            "samples": (of_canary, queries.samples, 1),
            "primary": (of_primary, queries.primary, queries.factor),
            "primary_samples": (of_primary, queries.primary_samples, 1),
        }
        answered: Outcome = found.value
        for part, (provider, query, factor) in further.items():
            if query is not None and isinstance(answered, Value | NoData):
                answered = await self._query(provider, question, query, window, factor)
                found = replace(found, **{part: answered})
        return found

    async def _query(
        self, provider: MetricProvider, question: _Question, query: str, window: timedelta, factor: int
    ) -> Outcome:
        began = self._clock.monotonic()
        outcome = await provider.measure(query, window)
        seconds = self._clock.monotonic() - began
        self._recorder.controller.observe_query(question.settings.type, _name_of(outcome), seconds)
        return Value(outcome.value * factor) if isinstance(outcome, Value) else outcome

    def _about(self, canary: Canary) -> About:
        return About(
            canary=f"{canary.name}.{canary.namespace}",
            target=f"{canary.target_name}.{canary.namespace}",
            provider=provider_of(canary, self._sources.mesh_provider),
        )

    async def _question(
        self, canary: Canary, metric: CanaryMetric, source: MetricSource, window: timedelta
    ) -> _Question:
        whose = measured_of(canary, metric, self._sources.mesh_provider).within(metric, window)
        match source:
            case MetricSource.BUILTIN:
                server, measure = self._server(canary), judge.measure_of(metric, builtin=True)
                return _Question(server, server, queries_of(metric, whose, None), measure)
            case MetricSource.QUERY:
                server = self._server(canary)
                return _Question(server, server, queries_of(metric, whose, metric.query or ""), Measure.PLAIN)
            case MetricSource.TEMPLATE:
                template = self._template(canary, metric)
                queries = queries_for(template.spec, metric, whose)
                secret = await self._secret(template)
                of_canary, of_primary = (
                    replace(settings_of(template.spec.provider, secret, names), cluster=self._sources.cluster)
                    for names in (whose.canary, whose.primary)
                )
                return _Question(of_canary, of_primary, queries, Measure.PLAIN)
            case _:
                assert_never(source)

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


def _name_of(outcome: Outcome) -> QueryOutcome:
    match outcome:
        case Value():
            return "value"
        case NoData():
            return "no_data"
        case BadQuery():
            return "refused"
        case ProviderError():
            return "unanswered"
        case _:
            assert_never(outcome)
