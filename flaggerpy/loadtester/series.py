"""The load tester's Prometheus series, in a registry of their own."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


class Series:
    """What /metrics shows. Labels are bounded: task types, results and reasons, never canaries or commands."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._tasks = Counter(
            "flaggerpy_loadtester_tasks",
            "Tasks by type and result: succeeded, failed, missed (ended well, but a bound was not kept), timed_out, "
            "interrupted, skipped (already running), refused (not understood, not allowed or too many).",
            ("type", "result"),
            registry=self.registry,
        )
        self.gates = Gauge(
            "flaggerpy_loadtester_gates_open",
            "Gates that were open when this process last looked at one.",
            registry=self.registry,
        )
        self._checks = Counter(
            "flaggerpy_loadtester_gate_checks",
            "Answers of gates by kind (gate or rollback): open, closed, unavailable (not known now).",
            ("kind", "answer"),
            registry=self.registry,
        )
        self._questions = Counter(
            "flaggerpy_loadtester_result_questions",
            "Questions for the result of a task by answer: passed, failed, missing.",
            ("answer",),
            registry=self.registry,
        )
        self._turned_away = Counter(
            "flaggerpy_loadtester_requests_turned_away",
            "Requests that may not ask by reason: token, namespace, command.",
            ("reason",),
            registry=self.registry,
        )
        self.shared = Gauge(
            "flaggerpy_loadtester_gates_shared",
            "Whether gates and results are kept in the cluster (1) or in memory (0).",
            registry=self.registry,
        )
        self._running = Gauge(
            "flaggerpy_loadtester_tasks_running", "Tasks that run now.", ("type",), registry=self.registry
        )
        self._seconds = Histogram(
            "flaggerpy_loadtester_task_duration_seconds",
            "How long tasks ran.",
            ("type",),
            buckets=_SECONDS,
            registry=self.registry,
        )

    def count(self, kind: str, result: str) -> None:
        """Count a task that ended, or that was not started."""
        self._tasks.labels(kind, result).inc()

    def gate_checked(self, kind: str, answer: str) -> None:
        """Count an answer of a gate."""
        self._checks.labels(kind, answer).inc()

    def result_asked(self, answer: str) -> None:
        """Count a question for a result."""
        self._questions.labels(answer).inc()

    def turned_away(self, reason: str) -> None:
        """Count a request of somebody who may not ask."""
        self._turned_away.labels(reason).inc()

    def started(self, kind: str) -> None:
        """Note that a task begins to run."""
        self._running.labels(kind).inc()

    def ended(self, kind: str, result: str, seconds: float) -> None:
        """Note that a task which was `started` ended with this result."""
        self._running.labels(kind).dec()
        self._seconds.labels(kind).observe(seconds)
        self.count(kind, result)

    def render(self) -> bytes:
        """Write the text format that Prometheus scrapes."""
        return generate_latest(self.registry)
