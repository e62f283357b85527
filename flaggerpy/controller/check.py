"""Check: put the core's questions to webhooks and metrics servers and bring back answers.

Hooks that cannot be reached have failed, as they do in Flagger. With metrics there is one
deliberate difference: a server that cannot answer is an Error, which is not counted and holds the
rollout; no data, a value out of range and a user's mistake (a missing template, a query that cannot
be rendered or is refused) are failed checks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from flaggerpy.api.analysis import CanaryMetric
from flaggerpy.api.canary import Canary
from flaggerpy.api.payloads import WebhookPayload
from flaggerpy.api.templates import MetricTemplate
from flaggerpy.clock import Clock, SystemClock
from flaggerpy.controller.hooks import WebhookClient
from flaggerpy.controller.series import labels_of
from flaggerpy.controller.served import kind_of_target, provider_of, query_context
from flaggerpy.kube.errors import KubeError
from flaggerpy.kube.wire import Transport
from flaggerpy.metrics import judge
from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.configured import query_of, settings_of
from flaggerpy.metrics.judge import Measure
from flaggerpy.metrics.mesh import builtin_query
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.query import QueryContext, render
from flaggerpy.metrics.registry import provider_for
from flaggerpy.rollout.checks import Answer, Check, HookCheck, MetricCheck, MetricSource, Verdict
from flaggerpy.rollout.errors import UserError
from flaggerpy.telemetry.controller import QueryOutcome
from flaggerpy.telemetry.recorder import METRIC, CheckName, Recorder

ReadSecret = Callable[[str, str], Awaitable[Mapping[str, str] | None]]
"""Reads the decoded data of a Secret by namespace and name; None when there is none."""

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
    """A query ready to be sent, and what its result means."""

    settings: ProviderSettings
    query: str
    measure: Measure
    factor: int = 1


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
        """Answer checks up to and including the first that does not pass.

        ``checksum`` is what webhooks are told about the revision.
        """
        answers: dict[Check, Answer] = {}
        for check in checks:
            match check:
                case HookCheck():
                    answers[check] = await self._call(canary, check, checksum)
                case MetricCheck():
                    answers[check] = await self._measure(canary, check)
                case _:
                    assert_never(check)
            self._count(canary, check, answers[check])
            if not answers[check].passed:
                break
        return answers

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
        return Answer(Verdict.PASSED if answer.passed else Verdict.FAILED, answer.reason)

    async def _measure(self, canary: Canary, check: MetricCheck) -> Answer:
        metric = canary.analysis.metrics[check.index]
        try:
            question = await self._question(canary, metric, check.source)
            provider = provider_for(question.settings, self._outbound)
        except UserError as error:
            return Answer(Verdict.FAILED, str(error))
        except KubeError as error:
            return Answer(Verdict.ERROR, judge.unanswered(metric, f"its Secret could not be read: {error}"))
        began = self._clock.monotonic()
        outcome = await provider.measure(question.query, metric.interval)
        seconds = self._clock.monotonic() - began
        self._recorder.controller.observe_query(question.settings.type, _name_of(outcome), seconds)
        return self._answer(canary, metric, question, outcome)

    def _answer(self, canary: Canary, metric: CanaryMetric, question: _Question, outcome: Outcome) -> Answer:
        match outcome:
            case Value(value):
                return self._judged(canary, metric, question.measure, value * question.factor)
            case NoData():
                provider = provider_of(canary, self._sources.mesh_provider)
                target = f"{canary.target_name}.{canary.namespace}"
                return Answer(Verdict.FAILED, judge.no_values(metric, question.measure, provider, target))
            case BadQuery(reason):
                return Answer(Verdict.FAILED, judge.refused(metric, reason))
            case ProviderError(reason):
                return Answer(Verdict.ERROR, judge.unanswered(metric, reason))
            case _:
                assert_never(outcome)

    def _judged(self, canary: Canary, metric: CanaryMetric, measure: Measure, value: float) -> Answer:
        shown = value / 1000 if measure is Measure.MILLISECONDS else value
        self._recorder.set_measured(labels_of(canary), metric.name, shown)
        try:
            found = judge.judge(metric, measure, value)
        except UserError as error:
            return Answer(Verdict.FAILED, str(error))
        message = "" if found.passed else judge.halted(f"{canary.name}.{canary.namespace}", found.sentence)
        verdict = Verdict.PASSED if found.passed else Verdict.FAILED
        return Answer(verdict, message, found.value, found.bound or None)

    async def _question(self, canary: Canary, metric: CanaryMetric, source: MetricSource) -> _Question:
        context = query_context(canary, metric)
        match source:
            case MetricSource.BUILTIN:
                provider = provider_of(canary, self._sources.mesh_provider)
                query = builtin_query(metric.name, provider, kind_of_target(canary), context)
                measure = judge.measure_of(metric, builtin=True)
                return _Question(self._server(canary), query.text, measure, query.factor)
            case MetricSource.QUERY:
                return _Question(self._server(canary), render(metric.query or "", context), Measure.PLAIN)
            case MetricSource.TEMPLATE:
                template = self._template(canary, metric)
                text = query_of(template.spec, context)
                return _Question(await self._settings(template, context), text, Measure.PLAIN)
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

    async def _settings(self, template: MetricTemplate, context: QueryContext) -> ProviderSettings:
        provider = template.spec.provider
        secret: Mapping[str, str] | None = None
        if provider.secret_ref is not None:
            namespace, name = template.metadata.namespace, provider.secret_ref.name
            secret = await self._sources.read_secret(namespace, name)
            if secret is None:
                raise UserError(
                    f"Metric template {template.metadata.name}.{namespace} error: there is no Secret {name} in its "
                    "namespace: create it, or correct spec.provider.secretRef."
                )
        return replace(settings_of(provider, secret, context), cluster=self._sources.cluster)


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
