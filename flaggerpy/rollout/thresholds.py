"""What the checks of one due tick add up to: Flagger's arithmetic of failed checks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from flaggerpy.api.analysis import CanaryMetric, HookType, Window
from flaggerpy.api.canary import Canary
from flaggerpy.api.status import CanaryStatus, CheckResult, Phase
from flaggerpy.rollout import gates, verdicts
from flaggerpy.rollout.checks import Answer, MetricCheck, MetricSource, Verdict, ends_round
from flaggerpy.rollout.decision import NeedChecks
from flaggerpy.rollout.turn import Turn


class Judgement(Enum):
    """How a due tick ended: OVER is a limit of a metric's own, UNKNOWN holds and is not counted."""

    GOOD = "good"
    BAD = "bad"
    OVER = "over"
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
    """Run the rollout hooks, then the metrics; the first that fails ends the round."""
    gate = gates.ask(turn, HookType.ROLLOUT, Phase.PROGRESSING)
    if isinstance(gate, NeedChecks):
        return gate
    if not gate.open:
        turn.warn(f"Halt {turn.name} advancement external check {gate.hook} failed {gate.error}")
        return Judged(Judgement.BAD, f"rollout check {gate.hook} failed")
    return _metrics(turn)


def _metrics(turn: Turn) -> NeedChecks | Judged:
    """Measure what is due; the first failure that is counted for the threshold ends the round."""
    checks, held = _due(turn)
    measured: list[tuple[CanaryMetric, Answer]] = []
    counted = _GOOD
    for position, check in enumerate(checks):
        answer = turn.seen.answers.get(check)
        if answer is None:
            return NeedChecks(checks[position:])
        metric = turn.canary.analysis.metrics[check.index]
        measured.append((metric, answer))
        if ends_round(check, answer):
            counted = Judged(Judgement.BAD, why(metric.name, answer))
            break
    _warn(turn, measured)
    verdicts.record(turn, measured, held.warm)
    verdicts.watch(turn)
    return _judged(turn, measured, held, counted)


@dataclass(frozen=True, slots=True)
class _Held:
    """Metrics that are not measured in this round: those that warm up, and those whose last verdict stands."""

    warm: tuple[tuple[CanaryMetric, Answer], ...]
    standing: tuple[CheckResult, ...]


def _due(turn: Turn) -> tuple[tuple[MetricCheck, ...], _Held]:
    """Choose the metrics to measure now."""
    checks, warm, standing = [], {}, {}
    for wanted in metric_checks(turn.canary, turn.status):
        metric = turn.canary.analysis.metrics[wanted.index]
        tested = wanted.source is MetricSource.COUNTERS
        check = replace(wanted, trial=verdicts.trial(turn, metric)) if tested else wanted
        if (answer := verdicts.warm_up(turn, metric)) is not None:
            warm[check.index] = (metric, answer)
        elif (result := verdicts.stands(turn, metric)) is not None:
            standing[check.index] = result
        else:
            checks.append(check)
    return tuple(checks), _Held(tuple(warm.values()), tuple(standing.values()))


def _warn(turn: Turn, measured: verdicts.Round) -> None:
    """Tell what did not pass; that there is too little to say by is told once."""
    told = {(result.name, result.verdict) for result in turn.status.rollout.checks}
    for metric, answer in measured:
        again = answer.verdict is Verdict.INCONCLUSIVE and (metric.name, answer.verdict.value) in told
        if not (answer.passed or metric.dry_run or again):
            turn.warn(answer.message)


def _judged(turn: Turn, measured: verdicts.Round, held: _Held, counted: Judged) -> Judged:
    """Add up a round: a limit of a metric's own comes first, then a counted failure, then whatever lacks a verdict."""
    counting = [(metric, answer) for metric, answer in measured if not metric.dry_run]
    if beyond := verdicts.beyond_its_limits(turn, counting):
        return Judged(Judgement.OVER, beyond)
    if counted.judgement is Judgement.BAD:
        return counted
    missing = [why(metric.name, answer) for metric, answer in counting if not answer.passed]
    missing += [f"metric {answer.message}" for metric, answer in held.warm if not metric.dry_run]
    missing += [_stood(result) for result in held.standing if not _passes(result)]
    return Judged(Judgement.UNKNOWN, missing[0]) if missing else _GOOD


def metric_checks(canary: Canary, status: CanaryStatus) -> tuple[MetricCheck, ...]:
    """The metrics in Flagger's order: first builtin and inline queries, then templates.

    Sequential tests go before all of them: an interval is weighed also where a bound fails and ends the round. What
    they know of the rollout is not said here.
    """
    metrics = canary.analysis.metrics
    tests = [(i, MetricSource.COUNTERS) for i, metric in enumerate(metrics) if metric.sequential]
    first = [(i, source) for i, metric in enumerate(metrics) for source in _inline(metric)]
    second = [
        (i, MetricSource.TEMPLATE)
        for i, metric in enumerate(metrics)
        if metric.template_ref is not None and metric.valued
    ]
    return tuple(_check(canary, status, i, source) for i, source in (*tests, *first, *second))


def _check(canary: Canary, status: CanaryStatus, index: int, source: MetricSource) -> MetricCheck:
    metric, step = canary.analysis.metrics[index], status.rollout.step
    attempt = f"{step.weight}/{status.iterations}/{step.attempt}"
    began = step.started_at if metric.window is Window.STEP else None
    bounds = [moment for moment in (began, verdicts.warm_since(canary, status, metric)) if moment is not None]
    counts = not (metric.dry_run or metric.limited)
    return MetricCheck(index, source, attempt, max(bounds, default=None), counts=counts)


def _inline(metric: CanaryMetric) -> list[MetricSource]:
    sources: list[MetricSource] = []
    if not metric.valued:
        return sources
    if metric.built_in:
        sources.append(MetricSource.BUILTIN)
    if metric.query:
        sources.append(MetricSource.QUERY)
    return sources


def why(name: str, answer: Answer) -> str:
    """Say in the status why a metric did not pass."""
    match answer.verdict:
        case Verdict.ERROR:
            return f"metric {name} could not be measured"
        case Verdict.INCONCLUSIVE:
            return f"metric {name} cannot be judged yet: {answer.reason(name)}"
        case _ if answer.value is None:
            return f"metric {name} could not be judged: {answer.message.removeprefix('Halt advancement ')}"
        case _:
            return f"metric {name} is {answer.value}, accepted is {answer.bound or 'nothing'}"


def _passes(result: CheckResult) -> bool:
    return result.verdict == Verdict.PASSED.value or result.dry_run


def _stood(result: CheckResult) -> str:
    """Say why a metric that is not due yet holds the rollout."""
    return why(result.name, Answer(Verdict(result.verdict), result.reason, result.value, result.bound))
