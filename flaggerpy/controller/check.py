"""Check: put the core's questions to webhooks and metrics servers and bring back answers.

Hooks that cannot be reached have failed, as they do in Flagger. With metrics there is one
deliberate difference: a server that cannot answer is an Error, which is not counted and holds the
rollout; no data, a value out of range and a user's mistake (a missing template, a query that cannot
be rendered or is refused) are failed checks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never

from flaggerpy.api.canary import Canary
from flaggerpy.api.payloads import WebhookPayload
from flaggerpy.clock import Clock, SystemClock
from flaggerpy.controller.hooks import WebhookClient, in_order
from flaggerpy.controller.questions import Question, Questions, Server, Sources, Span
from flaggerpy.controller.series import labels_of
from flaggerpy.controller.served import provider_of
from flaggerpy.kube.errors import KubeError
from flaggerpy.metrics import judge
from flaggerpy.metrics.base import BadQuery, MetricProvider, NoData, Outcome, ProviderError, Value
from flaggerpy.metrics.judge import Measure
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.queries import window_of
from flaggerpy.metrics.registry import provider_for
from flaggerpy.metrics.trial import Grown, look
from flaggerpy.metrics.verdict import About, Measurements, verdict_of
from flaggerpy.rollout.checks import Answer, Check, HookCheck, MetricCheck, Verdict, ends_round
from flaggerpy.rollout.errors import UserError
from flaggerpy.telemetry.controller import QueryOutcome
from flaggerpy.telemetry.recorder import METRIC, CheckName, Recorder


@dataclass(frozen=True, slots=True)
class Examined:
    """One metric, measured and judged.

    Attributes:
        question: what was to be asked, None where that is not known.
        found: what was said, None where nobody was asked.
        unread: why the API server did not give what the question needs.

    """

    answer: Answer
    question: Question | None = None
    found: Measurements | None = None
    unread: KubeError | None = None


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
        self._questions = Questions(sources)
        self._mesh_provider = sources.mesh_provider
        self._recorder = recorder
        self._clock = clock or SystemClock()

    async def run(self, canary: Canary, checks: tuple[Check, ...], checksum: str) -> dict[Check, Answer]:
        """Answer checks up to and including the first whose answer ends the round; hooks all at once if wanted so.

        ``checksum`` is what webhooks are told about the revision.

        Raises:
            KubeError: a hook's Secret could not be read now, which says nothing about the canary.

        """
        at_once = canary.analysis.webhooks_parallel and all(isinstance(check, HookCheck) for check in checks)
        silent: set[Server] = set()
        asks = [partial(self._answered, canary, check, checksum, silent) for check in checks]
        found = in_order(asks, at_once=at_once)
        answers: dict[Check, Answer] = {}
        for check in checks:
            answers[check] = await anext(found)
            self._count(canary, check, answers[check])
            if ends_round(check, answers[check]) and not at_once:
                break
        return answers

    async def _answered(self, canary: Canary, check: Check, checksum: str, silent: set[Server]) -> Answer:
        match check:
            case HookCheck():
                return await self._call(canary, check, checksum)
            case MetricCheck():
                return (await self.examine(canary, check, silent)).answer
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

    async def examine(self, canary: Canary, check: MetricCheck, silent: set[Server]) -> Examined:
        """Measure and judge; a server that was silent in this round is not waited for once more.

        A sequential test weighs what was counted since it last looked: nothing while one side has all users.
        """
        metric, trial, now = canary.analysis.metrics[check.index], check.trial, self._clock.now()
        if trial is not None and trial.since is None:
            return Examined(look(metric, trial, None, self._about(canary).canary))
        since = trial.since if trial is not None else None
        span = Span(now - since if since is not None else window_of(metric, check.since, now), now)
        question: Question | None = None
        try:
            question = self._questions.draft(canary, metric, check.source, span)
            question = await self._questions.complete(question)
            of_canary = provider_for(question.settings, self._outbound)
            same = question.primary == question.settings
            of_primary = of_canary if same else provider_for(question.primary, self._outbound)
        except UserError as error:
            return Examined(Answer(Verdict.FAILED, str(error)), question)
        except KubeError as error:
            answer = Answer(Verdict.ERROR, judge.unanswered(metric, f"its Secret could not be read: {error}"))
            return Examined(answer, question, unread=error)
        if question.server in silent:
            reason = judge.unanswered(metric, "its server has just left another query unanswered")
            return Examined(Answer(Verdict.ERROR, reason), question)
        found = await self._ask(of_canary, of_primary, question, span)
        if found.is_silent:
            silent.add(question.server)
        return Examined(self._judged(canary, check, question, found, span), question, found)

    def _judged(
        self, canary: Canary, check: MetricCheck, question: Question, found: Measurements, span: Span
    ) -> Answer:
        metric, about = canary.analysis.metrics[check.index], self._about(canary)
        if check.trial is not None:
            return look(metric, check.trial, Grown(found.answered, span.until), about.canary)
        if isinstance(found.value, Value):
            shown = found.value.value / 1000 if question.measure is Measure.MILLISECONDS else found.value.value
            self._recorder.set_measured(labels_of(canary), metric.name, shown)
        return verdict_of(metric, question.measure, about, found)

    async def _ask(
        self, of_canary: MetricProvider, of_primary: MetricProvider, question: Question, span: Span
    ) -> Measurements:
        """Ask for everything that a verdict needs, until something is not answered."""
        queries = question.queries

        async def query(provider: MetricProvider, text: str, factor: int) -> Outcome:
            began = self._clock.monotonic()
            outcome = await provider.measure(text, span.length)
            seconds = self._clock.monotonic() - began
            self._recorder.controller.observe_query(question.settings.type, _name_of(outcome), seconds)
            return Value(outcome.value * factor) if isinstance(outcome, Value) else outcome

        found = Measurements(await query(of_canary, queries.value, queries.factor))
        further = {
            "samples": (of_canary, queries.samples, 1),
            "primary": (of_primary, queries.primary, queries.factor),
            "primary_samples": (of_primary, queries.primary_samples, 1),
        }
        answered: Outcome = found.value
        for part, (provider, text, factor) in further.items():
            if text is not None and isinstance(answered, Value | NoData):
                answered = await query(provider, text, factor)
                found = replace(found, **{part: answered})
        return found

    def _about(self, canary: Canary) -> About:
        return About(
            canary=f"{canary.name}.{canary.namespace}",
            target=f"{canary.target_name}.{canary.namespace}",
            provider=provider_of(canary, self._mesh_provider),
        )


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
