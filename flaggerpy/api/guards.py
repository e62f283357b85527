"""Sentences about the settings that guard a verdict; ``validation`` says them with all others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from flaggerpy.api.analysis import (
    SUCCESS_RATE,
    CanaryAnalysis,
    CanaryMetric,
    OnNoData,
    Strategy,
    ThresholdRange,
    Window,
)
from flaggerpy.api.sequential import sequential_problems
from flaggerpy.durations import format_duration


def guard_problems(analysis: CanaryAnalysis) -> Iterator[str]:
    """Say which guards nobody can have meant as they are written."""
    yield from _namesakes(analysis)
    for index, metric in enumerate(analysis.metrics):
        where = f"spec.analysis.metrics[{index}]"
        yield from _numbers(where, metric)
        yield from _comparison(where, metric)
        if metric.sequential is not None:
            of_its_own = metric.name == SUCCESS_RATE
            yield from sequential_problems(f"{where}.sequential", metric.sequential, counts_itself=of_its_own)
            yield from _nobody_left(f"{where}.sequential", analysis)
        if metric.min_samples > 0 and not metric.sample_query and _needs_sample_query(metric):
            yield (
                f"{where}.minSamples: nothing says how to count the samples of {metric.name}: add sampleQuery, whose"
                " value is the number of samples in {{ interval }}."
            )


def guard_remarks(analysis: CanaryAnalysis) -> Iterator[str]:
    """Find guards that guard nothing."""
    if analysis.initial_delay and not analysis.metrics:
        yield "spec.analysis.initialDelay has no effect without metrics: webhooks are called all the same."
    for index, metric in enumerate(analysis.metrics):
        where = f"spec.analysis.metrics[{index}]"
        if metric.sample_query and not metric.min_samples:
            yield f"{where}.sampleQuery has no effect without minSamples: add it, or remove sampleQuery."
        for field, wanted in (("query", metric.query), ("minSamples", metric.min_samples)):
            if wanted and not metric.valued:
                yield (
                    f"{where}.{field} has no effect: only the sequential test judges {metric.name}. Add"
                    f" thresholdRange for a bound beside it, or remove {field}."
                )
        yield from _compared_at_last(where, metric, analysis)
        if metric.limited and metric.dry_run:
            yield f"{where}: failureLimit and consecutiveFailureLimit have no effect with dryRun: true."
        if metric.interval > analysis.interval:
            continue
        what = (
            f"has no effect, because interval {metric.interval_text} is no longer than spec.analysis.interval"
            f" {format_duration(analysis.interval)}"
        )
        if metric.once_per_interval:
            yield f"{where}.oncePerInterval {what}: the metric is measured at every check."
        if metric.window is Window.STEP:
            yield f"{where}.window {what}: no measurement looks back further than to the start of its step."


def _numbers(where: str, metric: CanaryMetric) -> Iterator[str]:
    numbers = {
        "minSamples": metric.min_samples,
        "failureLimit": metric.failure_limit,
        "consecutiveFailureLimit": metric.consecutive_failure_limit,
        "consecutiveErrorLimit": metric.consecutive_error_limit,
    }
    for field, number in numbers.items():
        if number is not None and number < 0:
            yield f"{where}.{field}: {number} is less than nothing: write 0 or more."


def _namesakes(analysis: CanaryAnalysis) -> Iterator[str]:
    """Find metrics of one name that are judged by what was counted before, which is kept by the name."""
    names = Counter(metric.name for metric in analysis.metrics)
    for index, metric in enumerate(analysis.metrics):
        remembers = metric.sequential is not None or metric.limited or metric.once_per_interval
        if remembers and (count := names[metric.name]) > 1:
            yield (
                f"spec.analysis.metrics[{index}].name: {count} metrics are named {metric.name}, and what is remembered"
                " of one would be taken for the other's: give each a name of its own."
            )


def _nobody_left(where: str, analysis: CanaryAnalysis) -> Iterator[str]:
    """Say that the primary has no users from the first step on."""
    at_once = analysis.strategy is Strategy.CANARY and analysis.steps[:1] == (100,)
    if at_once and not analysis.mirror:
        yield (
            f"{where}: the first step gives the canary all users, so there is no primary to compare with: begin with a"
            " smaller share, or remove sequential."
        )


def _compared_at_last(where: str, metric: CanaryMetric, analysis: CanaryAnalysis) -> Iterator[str]:
    """Find a comparison that a rollout would wait for at its end, when the primary has no users."""
    progressive = analysis.strategy is Strategy.CANARY
    everybody = analysis.steps[-1:] == (100,) if progressive else analysis.strategy is Strategy.BLUE_GREEN
    if metric.compare_to is None or metric.dry_run or metric.on_no_data is OnNoData.PASS or not everybody:
        return
    smaller = "let the last share be below 100, or " if progressive else ""
    yield (
        f"{where}.compareTo: when all users are on the canary, before the promotion, the primary may have no value, and"
        f" the rollout waits there: {smaller}add onNoData: pass, which leaves the comparison out then."
    )


def _needs_sample_query(metric: CanaryMetric) -> bool:
    return not metric.built_in or bool(metric.query or metric.template_ref)


def _comparison(where: str, metric: CanaryMetric) -> Iterator[str]:
    bounds = {"ratio": metric.ratio, "delta": metric.delta}
    for field, accepted in bounds.items():
        if accepted is None:
            continue
        if metric.compare_to is None:
            yield f"{where}.{field}: nothing says what {metric.name} is compared with: add compareTo: primary."
        if accepted.min is not None and accepted.max is not None and accepted.min > accepted.max:
            yield (
                f"{where}.{field}: min {accepted.min:g} is above max {accepted.max:g}, so no value would pass:"
                " swap them."
            )
    if metric.compare_to is not None and not any(map(_ends, bounds.values())):
        yield (
            f"{where}.compareTo: nothing says how far {metric.name} may be from the {metric.compare_to}'s: add"
            " ratio.max (1.2 is a fifth more) or delta.max, or min where less is worse."
        )


def _ends(accepted: ThresholdRange | None) -> bool:
    return accepted is not None and (accepted.min is not None or accepted.max is not None)
