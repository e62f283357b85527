"""What the checks of one due tick add up to: Flagger's arithmetic of failed checks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from flaggerpy.api.analysis import CanaryMetric, HookType
from flaggerpy.api.status import CheckResult, Phase
from flaggerpy.rollout import gates
from flaggerpy.rollout.checks import Answer, MetricCheck, MetricSource, Verdict
from flaggerpy.rollout.decision import NeedChecks
from flaggerpy.rollout.turn import Turn


class Judgement(Enum):
    """How a due tick ended."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Judged:
    """The judgement, and why it is not good."""

    judgement: Judgement
    reason: str = ""


_GOOD = Judged(Judgement.GOOD)


def before_traffic(turn: Turn) -> NeedChecks | Judged:
    """Run the pre-rollout hooks."""
    turn.say(f"Starting canary analysis for {turn.target_name}")
    gate = gates.ask(turn, HookType.PRE_ROLLOUT, Phase.PROGRESSING)
    if isinstance(gate, NeedChecks):
        return gate
    if gate.open:
        return _GOOD
    turn.warn(f"Halt {turn.name} advancement pre-rollout check {gate.hook} failed {gate.error}")
    return Judged(Judgement.BAD, f"pre-rollout check {gate.hook} failed")


def under_traffic(turn: Turn) -> NeedChecks | Judged:
    """Run the rollout hooks, then the metrics; the first that does not pass ends the round."""
    gate = gates.ask(turn, HookType.ROLLOUT, Phase.PROGRESSING)
    if isinstance(gate, NeedChecks):
        return gate
    if not gate.open:
        turn.warn(f"Halt {turn.name} advancement external check {gate.hook} failed {gate.error}")
        return Judged(Judgement.BAD, f"rollout check {gate.hook} failed")
    return _metrics(turn)


def _metrics(turn: Turn) -> NeedChecks | Judged:
    checks = metric_checks(turn)
    results = {result.name: result for result in turn.status.rollout.checks}
    outcome = _GOOD
    for position, check in enumerate(checks):
        answer = turn.seen.answers.get(check)
        if answer is None:
            return NeedChecks(checks[position:])
        name = turn.canary.analysis.metrics[check.index].name
        results[name] = _result(turn, name, answer)
        if not answer.passed:
            turn.warn(answer.message)
            failed = answer.verdict is Verdict.FAILED
            outcome = Judged(Judgement.BAD if failed else Judgement.UNKNOWN, _why(name, answer))
            break
    turn.note(checks=list(results.values()))
    return outcome


def metric_checks(turn: Turn) -> tuple[MetricCheck, ...]:
    """The metrics in Flagger's order: first builtin and inline queries, then templates."""
    analysis = turn.canary.analysis
    attempt = f"{turn.status.rollout.step.weight}/{turn.status.iterations}/{turn.status.rollout.step.attempt}"
    first = [MetricCheck(i, source, attempt) for i, metric in enumerate(analysis.metrics) for source in _inline(metric)]
    second = [
        MetricCheck(i, MetricSource.TEMPLATE, attempt)
        for i, metric in enumerate(analysis.metrics)
        if metric.template_ref is not None
    ]
    return (*first, *second)


def _inline(metric: CanaryMetric) -> list[MetricSource]:
    sources = []
    if metric.built_in:
        sources.append(MetricSource.BUILTIN)
    if metric.query:
        sources.append(MetricSource.QUERY)
    return sources


def _why(name: str, answer: Answer) -> str:
    if answer.verdict is Verdict.ERROR:
        return f"metric {name} could not be measured"
    if answer.value is None:
        return f"metric {name} could not be judged: {answer.message.removeprefix('Halt advancement ')}"
    return f"metric {name} is {answer.value}, accepted is {answer.bound or 'nothing'}"


def _result(turn: Turn, name: str, answer: Answer) -> CheckResult:
    return CheckResult(
        name=name,
        verdict=answer.verdict.value,
        value=answer.value,
        bound=answer.bound,
        reason="" if answer.passed else answer.message,
        at=turn.now,
    )
