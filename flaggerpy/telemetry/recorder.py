"""The series of /metrics: Flagger's by their names and labels, and ours under ``flaggerpy_``.

``name`` is the target's name, not the canary's, because Flagger's dashboards and alert rules rely
on that. Series of canaries that are gone are removed; nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from flaggerpy.api.status import Phase

# The client library would add a _created series beside every counter and histogram, which Flagger does not have.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it without types

_GO_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STATUS = {Phase.PROGRESSING: 0, Phase.FAILED: 2}


@dataclass(frozen=True, slots=True)
class Labels:
    """Whose series: the names of the user's workload and of its primary, and their namespace."""

    target: str
    primary: str
    namespace: str


class Recorder:
    """All series of one controller, in a registry of their own."""

    def __init__(self, *, version: str, mesh_provider: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._namespaces: set[str] = set()
        self._metrics: dict[Labels, set[str]] = {}
        self._outcomes: dict[Labels, set[tuple[str, str]]] = {}
        self._watches: set[str] = set()
        self._flagger_series()
        self._own_series()
        self._info.labels(version, mesh_provider).set(1)

    def _flagger_series(self) -> None:
        self._info = self._gauge("flagger_info", "Version and mesh provider.", "version", "mesh_provider")
        self._total = self._gauge("flagger_canary_total", "Canaries in a namespace.", "namespace")
        self._status = self._gauge("flagger_canary_status", "0 running, 1 successful, 2 failed.", "name", "namespace")
        self._weight = self._gauge("flagger_canary_weight", "Share of traffic in percent.", "workload", "namespace")
        self._analysis = self._gauge(
            "flagger_canary_metric_analysis", "Last value of a check.", "name", "namespace", "metric"
        )
        self._duration = Histogram(
            "flagger_canary_duration_seconds",
            "Seconds that one look at a canary took.",
            ("name", "namespace"),
            buckets=_GO_BUCKETS,
            registry=self.registry,
        )
        outcome = ("name", "namespace", "deployment_strategy", "analysis_status")
        self._successes = self._counter("flagger_canary_successes_total", "Promoted rollouts.", *outcome)
        self._failures = self._counter("flagger_canary_failures_total", "Failed rollouts.", *outcome)

    def _own_series(self) -> None:
        self._watch_age = self._gauge(
            "flaggerpy_watch_age_seconds", "Seconds since a watch last heard of the API server.", "resource"
        )
        self._depth = self._gauge("flaggerpy_queue_depth", "Canaries that wait to be looked at.")
        self._requests = self._counter("flaggerpy_api_requests_total", "Requests to the API server.", "verb", "code")
        self._dropped = self._counter(
            "flaggerpy_notifications_dropped_total", "Messages that a slow receiver cost.", "kind"
        )
        self._leader = self._gauge("flaggerpy_leader", "1 while this process holds the lease.")

    def set_totals(self, canaries: Mapping[str, int]) -> None:
        """Set the number of canaries of every namespace; namespaces that have none any more lose their series."""
        for namespace in self._namespaces - set(canaries):
            self._total.remove(namespace)
        self._namespaces = set(canaries)
        for namespace, count in canaries.items():
            self._total.labels(namespace).set(count)

    def set_status(self, whose: Labels, phase: Phase) -> None:
        """Set whether the last rollout runs, succeeded or failed."""
        self._metrics.setdefault(whose, set())
        self._status.labels(whose.target, whose.namespace).set(_STATUS.get(phase, 1))

    def set_weights(self, whose: Labels, *, primary: int, canary: int) -> None:
        """Set the shares of traffic."""
        self._metrics.setdefault(whose, set())
        self._weight.labels(whose.primary, whose.namespace).set(primary)
        self._weight.labels(whose.target, whose.namespace).set(canary)

    def set_measured(self, whose: Labels, metric: str, value: float) -> None:
        """Set the last value of a check; request-duration is in seconds here."""
        self._metrics.setdefault(whose, set()).add(metric)
        self._analysis.labels(whose.target, whose.namespace, metric).set(value)

    def observe_duration(self, whose: Labels, seconds: float) -> None:
        """Count one look at a canary and how long it took."""
        self._metrics.setdefault(whose, set())
        self._duration.labels(whose.target, whose.namespace).observe(seconds)

    def count_success(self, whose: Labels, strategy: str, *, skipped: bool = False) -> None:
        """Count a promotion."""
        self._count(self._successes, whose, strategy, "skipped" if skipped else "completed")

    def count_failure(self, whose: Labels, strategy: str) -> None:
        """Count a failed rollout."""
        self._count(self._failures, whose, strategy, "completed")

    def forget(self, whose: Labels) -> None:
        """Remove the series of a canary that is gone."""
        names = (whose.target, whose.namespace)
        for metric in self._metrics.pop(whose, set()):
            self._analysis.remove(*names, metric)
        for outcome in self._outcomes.pop(whose, set()):
            for counter in (self._successes, self._failures):
                counter.remove(*names, *outcome)
        self._status.remove(*names)
        self._duration.remove(*names)
        for workload in (whose.primary, whose.target):
            self._weight.remove(workload, whose.namespace)

    def set_watch_ages(self, seconds: Mapping[str, float]) -> None:
        """Set the age of every watch; watches that ended lose their series."""
        for resource in self._watches - set(seconds):
            self._watch_age.remove(resource)
        self._watches = set(seconds)
        for resource, age in seconds.items():
            self._watch_age.labels(resource).set(age)

    def set_queue_depth(self, waiting: int) -> None:
        """Set how many canaries wait."""
        self._depth.set(waiting)

    def set_leader(self, leading: bool) -> None:
        """Set whether this process may write."""
        self._leader.set(1 if leading else 0)

    def count_request(self, verb: str, code: int | str) -> None:
        """Count a request to the API server; ``code`` is its status, or a word when there was none."""
        self._requests.labels(verb, str(code)).inc()

    def count_dropped(self, kind: str, count: int = 1) -> None:
        """Count messages to receivers that were dropped."""
        self._dropped.labels(kind).inc(count)

    def _count(self, counter: Counter, whose: Labels, strategy: str, status: str) -> None:
        self._outcomes.setdefault(whose, set()).add((strategy, status))
        counter.labels(whose.target, whose.namespace, strategy, status).inc()

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)
