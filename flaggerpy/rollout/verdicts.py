"""From the verdicts of one round to the record of each metric, and what follows from that record beside failed checks.

The reasons are told in docs/design/0008-verdicts.md. What is recorded is one entry a metric, so it does not grow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from flaggerpy.api.analysis import CanaryMetric, Strategy
from flaggerpy.api.canary import Canary
from flaggerpy.api.sequential import SequentialRecord
from flaggerpy.api.status import CanaryStatus, CheckResult, Pause, Step
from flaggerpy.durations import format_duration
from flaggerpy.rollout import strategy
from flaggerpy.rollout.checks import LEAST_WINDOW, Answer, Trial, Verdict
from flaggerpy.rollout.transition import ANALYSIS
from flaggerpy.rollout.turn import Turn

ASKED_AGAIN_IN = timedelta(seconds=30)
"""After this a metrics server is asked again that did not answer, where the analysis' interval is longer."""

ITSELF = "flaggerpy"
"""Who pauses a rollout that nobody pauses."""

LONGEST_REASON = 300
"""Characters of a reason that are kept."""

Round = Sequence[tuple[CanaryMetric, Answer]]
"""What was said of metrics in one round; of a metric that is measured in two ways, twice."""

_WORST = (Verdict.PASSED, Verdict.INCONCLUSIVE, Verdict.ERROR, Verdict.FAILED)
_DECIDED = frozenset({Verdict.PASSED.value, Verdict.FAILED.value})


def begin_step(turn: Turn, weight: int, *, mirrored: bool = False) -> None:
    """Begin a step that is judged; the first one of an analysis exposes the canary."""
    turn.begin_step(weight, mirrored=mirrored)
    turn.note(exposed_at=turn.status.rollout.exposed_at or turn.now)


def _exposed_since(status: CanaryStatus) -> datetime | None:
    """Since when the canary has had users; one that served all of them before its analysis has had them for long."""
    return status.rollout.exposed_at or status.rollout.step.started_at


def warm_since(canary: Canary, status: CanaryStatus, metric: CanaryMetric) -> datetime | None:
    """Return when the warm-up of a metric ends, or ended; None for one that has none."""
    delay, exposed = _delay(canary, metric), _exposed_since(status)
    return exposed + delay if delay and exposed is not None else None


def warm_up(turn: Turn, metric: CanaryMetric) -> Answer | None:
    """Say that a metric is not measured yet: there is too little to look back on since the warm-up of its canary."""
    since = warm_since(turn.canary, turn.status, metric)
    if since is None or turn.now >= since + min(metric.interval, LEAST_WINDOW):
        return None
    delay = format_duration(_delay(turn.canary, metric))
    return Answer(Verdict.INCONCLUSIVE, f"{metric.name} is not measured in the first {delay}")


def _delay(canary: Canary, metric: CanaryMetric) -> timedelta:
    return canary.analysis.initial_delay if metric.initial_delay is None else metric.initial_delay


def trial(turn: Turn, metric: CanaryMetric) -> Trial | None:
    """Return what a sequential test has to know: intervals follow one another from the end of the warm-up on."""
    if metric.sequential is None:
        return None
    kept = _by_name(turn).get(metric.name)
    record = (kept and kept.sequential) or SequentialRecord()
    since = record.until or (_exposed_since(turn.status) or turn.now) + _delay(turn.canary, metric)
    alone = _alone(turn, turn.status.rollout.step.weight)
    return Trial(
        metric.sequential, record, None if alone else since, last=_would_end(turn) or _alone(turn, _next(turn))
    )


def _alone(turn: Turn, weight: int) -> bool:
    """Whether a step leaves the primary no users; an A/B test leaves it all others."""
    return weight >= 100 and turn.canary.analysis.strategy is not Strategy.AB_TESTING


def _next(turn: Turn) -> int:
    """Return the share that follows a good round, as far as shares grow."""
    analysis, weight = turn.canary.analysis, turn.status.rollout.step.weight
    if not strategy.is_progressive(analysis, routed=turn.seen.routed):
        return weight
    return strategy.next_weight(analysis, weight) or weight


def stands(turn: Turn, metric: CanaryMetric) -> CheckResult | None:
    """Return the last verdict of a metric that is not due yet, None for one that is to be measured.

    A round that would end the analysis measures all of them.
    """
    last = _by_name(turn).get(metric.name)
    if not metric.once_per_interval or last is None or last.at is None or last.verdict not in _DECIDED:
        return None
    return last if turn.now < last.at + metric.interval and not _would_end(turn) else None


def _would_end(turn: Turn) -> bool:
    """Whether a good round leads to the promotion, or to the last judgement before it with all users."""
    analysis, routed = turn.canary.analysis, turn.seen.routed
    if strategy.is_progressive(analysis, routed=routed):
        return strategy.next_weight(analysis, turn.status.rollout.step.weight) is None
    return turn.status.iterations >= strategy.iterations(analysis, routed=routed)


def record(turn: Turn, measured: Round, warm: Round = ()) -> None:
    """Keep the last verdict of each metric, how often it failed or gave none, and what its sequential test has seen.

    Of a metric that was measured in several ways the worst counts, and once; of equal ones that of its test. A
    warm-up is no missing verdict.
    """
    known = _by_name(turn)
    for metric, answer in warm:
        last = known.get(metric.name, CheckResult(name=metric.name, verdict="Inconclusive"))
        known[metric.name] = _told(turn, metric, answer, last)
    for metric, answer in _worst(measured).values():
        last = known.get(metric.name, CheckResult(name=metric.name, verdict="Inconclusive"))
        known[metric.name] = _counted(_told(turn, metric, answer, last))
    for metric, answer in measured:
        if answer.record is not None:
            known[metric.name] = known[metric.name].model_copy(update={"sequential": answer.record})
    names = dict.fromkeys(metric.name for metric in turn.canary.analysis.metrics)
    turn.note(checks=[known[name] for name in names if name in known])


def _by_name(turn: Turn) -> dict[str, CheckResult]:
    return {result.name: result for result in turn.status.rollout.checks}


def _worst(measured: Round) -> Mapping[str, tuple[CanaryMetric, Answer]]:
    worst: dict[str, tuple[CanaryMetric, Answer]] = {}
    for metric, answer in measured:
        before = worst.get(metric.name)
        if before is None or _gravity(answer) >= _gravity(before[1]):
            worst[metric.name] = (metric, answer)
    return worst


def _gravity(answer: Answer) -> tuple[int, bool]:
    return _WORST.index(answer.verdict), answer.record is not None


def _told(turn: Turn, metric: CanaryMetric, answer: Answer, last: CheckResult) -> CheckResult:
    return last.model_copy(
        update={
            "verdict": answer.verdict.value,
            "value": answer.value,
            "bound": answer.bound,
            "reason": "" if answer.passed and answer.record is None else _cut(answer.reason(metric.name)),
            "at": turn.now,
            "dry_run": metric.dry_run,
        }
    )


def _counted(result: CheckResult) -> CheckResult:
    decided, failed = result.verdict in _DECIDED, result.verdict == Verdict.FAILED.value
    in_a_row = result.failures_in_a_row + failed
    return result.model_copy(
        update={
            "failures": result.failures + failed,
            "failures_in_a_row": 0 if decided and not failed else in_a_row,
            "unanswered_in_a_row": 0 if decided else result.unanswered_in_a_row + 1,
        }
    )


def beyond_its_limits(turn: Turn, measured: Round) -> str:
    """Say which metric failed more often than its own limits admit; empty when none did."""
    known = _by_name(turn)
    for metric, answer in measured:
        if answer.verdict is not Verdict.FAILED or metric.dry_run:
            continue
        result = known[metric.name]
        last = f"{result.value}, accepted is {result.bound}" if result.bound else result.reason
        if answer.record is not None and not metric.limited:
            return f"metric {metric.name} failed its sequential test: {last}"
        limits = (
            ("failureLimit", metric.failure_limit, result.failures, ""),
            ("consecutiveFailureLimit", metric.consecutive_failure_limit, result.failures_in_a_row, " in a row"),
        )
        for field, limit, count, how in limits:
            if limit is not None and count > limit:
                times = "once" if count == 1 else f"{count} times{how}"
                return f"metric {metric.name} failed {times}, more than its {field} of {limit}: {last}"
    return ""


# A pause that nobody asked for


def watch(turn: Turn) -> None:
    """Tell people once that a metric has gone without a verdict for too long, and once that all have one again.

    The pause says why nothing moves; what holds the rollout is that there is no verdict. A person's pause stays theirs.
    """
    pause, silent = turn.status.rollout.paused, next(_silent(turn), None)
    if silent is not None and pause is None:
        reason = f"metric {silent[0].name} gave no verdict more than {silent[0].error_limit} times in a row"
        begun = Pause(by=ITSELF, at=turn.now, reason=_cut(f"{reason}; the last time: {silent[1].reason}"))
        turn.note(paused=begun)
        turn.warn(f"{turn.name} is {begun.words}")
        turn.alert("warn", f"Canary analysis is {begun.words}")
    elif silent is None and pause is not None and pause.reason:
        turn.note(paused=None)
        turn.say(f"{turn.name} goes on: every metric has a verdict again")


def _silent(turn: Turn) -> Iterator[tuple[CanaryMetric, CheckResult]]:
    known = _by_name(turn)
    for metric in turn.canary.analysis.metrics:
        result = known.get(metric.name)
        late = result is not None and result.unanswered_in_a_row > metric.error_limit
        if result is not None and late and not metric.dry_run:
            yield metric, result


def unjudged(turn: Turn) -> str:
    """Why the rollout counts as paused although nobody holds it, empty when it does not."""
    pause = turn.status.rollout.paused
    return pause.words if pause is not None and pause.reason else ""


def settle(turn: Turn) -> None:
    """Let go of a pause that nobody asked for when the analysis that it was about is over, or has begun anew."""
    rollout = turn.status.rollout
    goes_on = turn.status.phase in ANALYSIS and not rollout.failing and rollout.checks
    if unjudged(turn) and not goes_on:
        turn.note(paused=None)


def count_anew(turn: Turn) -> None:
    """Somebody says to go on: metrics without a verdict get as much time again before people are told."""
    checks = turn.status.rollout.checks
    turn.note(checks=[result.model_copy(update={"unanswered_in_a_row": 0}) for result in checks])


def pace_of(turn: Turn) -> timedelta:
    """Return the time from this round, or from the last one, to the next."""
    rollout = turn.status.rollout
    return pace(rollout.checks, rollout.step, turn.interval)


def pace(checks: Sequence[CheckResult], step: Step, interval: timedelta) -> timedelta:
    """Return the time between the last round and the next: shorter where nothing but an answer was missing.

    A sequential test that asks for more time asks for a whole interval.
    """
    last = [
        result for result in checks if not result.dry_run and result.at is not None and result.at == step.checked_at
    ]
    verdicts = {result.verdict for result in last}
    undecided = any(result.sequential is not None and result.verdict == Verdict.INCONCLUSIVE.value for result in last)
    broken = Verdict.ERROR.value in verdicts and Verdict.FAILED.value not in verdicts and not undecided
    return min(interval, ASKED_AGAIN_IN) if broken else interval


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"
