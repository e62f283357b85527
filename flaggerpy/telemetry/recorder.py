"""The series of /metrics: Flagger's by their names and labels, and ours under ``flaggerpy_``.

``name`` is the target's name, not the canary's, because Flagger's dashboards and alert rules rely
on that. Series of canaries that are gone are removed; nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge

from flaggerpy.api.status import CanaryStatus, Phase
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.transition import rollout_began, to_mend
from flaggerpy.telemetry.catalogue import Catalogue
from flaggerpy.telemetry.controller import ControllerSeries

_GO_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROLLOUT_BUCKETS = (30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400)
_STATUS = {Phase.PROGRESSING: 0, Phase.FAILED: 2}
_RESULTS = ("succeeded", "skipped", "failed")
_WHOSE = ("name", "namespace")
METRIC = "metric"
"""Type of the checks that are no webhooks."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Whose series: the names of the user's workload and of its primary, and their namespace."""

    target: str
    primary: str
    namespace: str

    @property
    def named(self) -> tuple[str, str]:
        """Values of the labels ``name`` and ``namespace``."""
        return self.target, self.namespace


@dataclass(frozen=True, slots=True)
class CheckName:
    """One check of a canary: ``metric`` or the type of its webhook, and what it is called."""

    type: str
    name: str


@dataclass(slots=True)
class _Shown:
    """Label values under which a canary has series, so that none has to be searched for among all canaries'."""

    phase: str = ""
    strategies: set[str] = field(default_factory=set)
    checks: frozenset[CheckName] = frozenset()
    verdicts: frozenset[tuple[str, str]] = frozenset()


class Recorder:
    """All series of one controller, in a registry of their own."""

    def __init__(self, *, version: str, mesh_provider: str) -> None:
        self.catalogue = Catalogue()
        self.controller = ControllerSeries(self.catalogue, version=version, mesh_provider=mesh_provider)
        self._shown: dict[Labels, _Shown] = {}
        self._flagger_series()
        self._own_series()
        self._by_name = (self._status, self._duration, self._stalled, self._failed, self._moved, self._began)

    @property
    def registry(self) -> CollectorRegistry:
        """What a scrape reads."""
        return self.catalogue.registry

    def _flagger_series(self) -> None:
        gauge, counter = self.catalogue.gauge, self.catalogue.counter
        self._total = gauge("flagger_canary_total", "Canaries in a namespace.", "namespace")
        self._status = gauge(
            "flagger_canary_status",
            "0 while the analysis runs, 2 after a failed rollout, 1 in all other phases.",
            *_WHOSE,
        )
        self._weight = gauge(
            "flagger_canary_weight",
            "Share of traffic in percent. `workload` is the target, which is the canary, or its primary.",
            "workload",
            "namespace",
        )
        self._analysis = gauge(
            "flagger_canary_metric_analysis",
            "Last value of a metric check, in the metric's own unit; request-duration is in seconds.",
            *_WHOSE,
            "metric",
        )
        self._duration = self.catalogue.histogram(
            "flagger_canary_duration_seconds",
            "Time that one round of analysis took, hooks and metrics included; not the time of a rollout.",
            *_WHOSE,
            buckets=_GO_BUCKETS,
        )
        outcome = (*_WHOSE, "deployment_strategy", "analysis_status")
        text = (
            "Rollouts that {}. `deployment_strategy`: `canary`, `blue-green` or `ab-testing`; `analysis_status`: "
            "`completed`{}."
        )
        self._successes = counter(
            "flagger_canary_successes_total", text.format("were promoted", " or `skipped`"), *outcome
        )
        self._failures = counter("flagger_canary_failures_total", text.format("failed", ""), *outcome)
        self._outcomes = (
            (self._successes, "completed"),
            (self._successes, "skipped"),
            (self._failures, "completed"),
        )

    def _own_series(self) -> None:
        gauge, counter = self.catalogue.gauge, self.catalogue.counter
        self._phase = gauge("flaggerpy_canary_phase", "1 for the phase in which the canary is.", *_WHOSE, "phase")
        self._stalled = gauge(
            "flaggerpy_canary_stalled", "1 while a user has to mend something before anything goes on, else 0.", *_WHOSE
        )
        self._failed = gauge(
            "flaggerpy_canary_failed_checks",
            "Failed rounds of the analysis that runs, counted to its threshold.",
            *_WHOSE,
        )
        self._moved = gauge(
            "flaggerpy_canary_last_transition_timestamp_seconds",
            "Unix time at which phase, weight, iteration, failed checks or revision last changed.",
            *_WHOSE,
        )
        self._began = gauge(
            "flaggerpy_canary_rollout_start_timestamp_seconds",
            "Unix time at which the rollout that runs now began; no series while none runs.",
            *_WHOSE,
        )
        self._checks = counter(
            "flaggerpy_canary_checks_total",
            "Checks that were made. `type` is `metric` or the webhook's type, `check` its name; `result`: `passed`, "
            "`failed`, and for metrics `inconclusive` (too early or too little to say) or `error` (not measured). A "
            "rollback webhook that passed rolls back.",
            *_WHOSE,
            "type",
            "check",
            "result",
        )
        self._verdicts = gauge(
            "flaggerpy_canary_metric_verdict",
            "1 for the last verdict on a metric in this analysis, dry runs included. `verdict`: `Passed`, `Failed`, "
            "`Inconclusive` or `Error`.",
            *_WHOSE,
            "metric",
            "verdict",
        )
        self._rollouts = self.catalogue.histogram(
            "flaggerpy_rollout_duration_seconds",
            "Time from a new revision to the end of its rollout, waits for approval included. `result`: `succeeded`, "
            "`skipped` (promoted without analysis) or `failed`.",
            "deployment_strategy",
            "result",
            buckets=_ROLLOUT_BUCKETS,
        )

    def set_totals(self, canaries: Mapping[str, int]) -> None:
        """Set the number of canaries of every namespace; namespaces that have none any more lose their series."""
        self._total.clear()
        for namespace, count in canaries.items():
            self._total.labels(namespace).set(count)

    def introduce(self, whose: Labels, strategy: str, checks: Set[CheckName]) -> None:
        """Let a canary's counters begin at zero, without which their first increase cannot be seen.

        Checks that the canary has no more lose their series.
        """
        shown = self._shown.setdefault(whose, _Shown())
        if strategy not in shown.strategies:
            shown.strategies.add(strategy)
            for counter, status in self._outcomes:
                counter.labels(*whose.named, strategy, status)
            for result in _RESULTS:
                self._rollouts.labels(strategy, result)
        for check in shown.checks - checks:
            self._forget_check(whose, check)
        for check in checks - shown.checks:
            for verdict in Verdict:
                self._checks.labels(*whose.named, check.type, check.name, verdict.value.lower())
        shown.checks = frozenset(checks)

    def show(self, whose: Labels, status: CanaryStatus) -> None:
        """Set the gauges that say where a canary stands."""
        named, phase = whose.named, status.phase.value or "New"
        shown = self._shown.setdefault(whose, _Shown())
        self._status.labels(*named).set(_STATUS.get(status.phase, 1))
        self._weight.labels(whose.primary, whose.namespace).set(100 - status.canary_weight)
        self._weight.labels(whose.target, whose.namespace).set(status.canary_weight)
        if shown.phase != phase:
            self._phase.remove(*named, shown.phase)
            shown.phase = phase
        self._phase.labels(*named, phase).set(1)
        self._stalled.labels(*named).set(1 if to_mend(status) else 0)
        self._failed.labels(*named).set(status.failed_checks)
        _set_time(self._moved, named, status.last_transition_time)
        _set_time(self._began, named, rollout_began(status))
        verdicts = frozenset((result.name, result.verdict) for result in status.rollout.checks)
        for verdict in shown.verdicts - verdicts:
            self._verdicts.remove(*named, *verdict)
        for verdict in verdicts - shown.verdicts:
            self._verdicts.labels(*named, *verdict).set(1)
        shown.verdicts = verdicts

    def set_measured(self, whose: Labels, metric: str, value: float) -> None:
        """Set the last value of a check; request-duration is in seconds here."""
        self._analysis.labels(*whose.named, metric).set(value)

    def count_check(self, whose: Labels, check: CheckName, verdict: Verdict) -> None:
        """Count a check that was made."""
        self._checks.labels(*whose.named, check.type, check.name, verdict.value.lower()).inc()

    def observe_duration(self, whose: Labels, seconds: float) -> None:
        """Count one round of analysis and how long it took."""
        self._duration.labels(*whose.named).observe(seconds)

    def observe_rollout(self, strategy: str, result: str, seconds: float) -> None:
        """Count a rollout that ended and how long it took."""
        self._rollouts.labels(strategy, result).observe(seconds)

    def count_success(self, whose: Labels, strategy: str, *, skipped: bool = False) -> None:
        """Count a promotion."""
        self._successes.labels(*whose.named, strategy, "skipped" if skipped else "completed").inc()

    def count_failure(self, whose: Labels, strategy: str) -> None:
        """Count a failed rollout."""
        self._failures.labels(*whose.named, strategy, "completed").inc()

    def forget(self, whose: Labels) -> None:
        """Remove the series of a canary that is gone."""
        shown = self._shown.pop(whose, _Shown())
        for metric in self._by_name:
            metric.remove(*whose.named)
        for workload in (whose.primary, whose.target):
            self._weight.remove(workload, whose.namespace)
        self._phase.remove(*whose.named, shown.phase)
        for check in shown.checks:
            self._forget_check(whose, check)
        for verdict in shown.verdicts:
            self._verdicts.remove(*whose.named, *verdict)
        for strategy in shown.strategies:
            for counter, status in self._outcomes:
                counter.remove(*whose.named, strategy, status)

    def forget_all(self) -> None:
        """Remove the series of all canaries: what another process does with them from now on is not known here."""
        self._shown.clear()
        others = (self._weight, self._total, self._phase, self._checks, self._analysis, self._verdicts)
        for metric in (*self._by_name, *others):
            metric.clear()
        for counter, _ in self._outcomes:
            counter.clear()

    def _forget_check(self, whose: Labels, check: CheckName) -> None:
        for verdict in Verdict:
            self._checks.remove(*whose.named, check.type, check.name, verdict.value.lower())
        if check.type == METRIC:
            self._analysis.remove(*whose.named, check.name)


def _set_time(gauge: Gauge, named: tuple[str, str], at: datetime | None) -> None:
    """Set a Unix time; what has not happened has no series."""
    if at is None:
        gauge.remove(*named)
    else:
        gauge.labels(*named).set(at.timestamp())
