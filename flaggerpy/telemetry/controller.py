"""The series of the controller itself: its workers, its watches, and whom it talks to.

They are counted from the start of the process, whether it leads or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Literal, get_args

from flaggerpy.telemetry.catalogue import Catalogue

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds for what is over in milliseconds or waits for somebody's hook."""
EVERYWHERE = "*"
"""Scope of a watch over all namespaces."""

Ended = Literal["success", "retry", "error", "cancelled"]
QueryOutcome = Literal["value", "no_data", "refused", "unanswered"]
HookResult = Literal["passed", "refused", "unanswered"]


class ControllerSeries:
    """What an operator asks about the process that does the rollouts."""

    def __init__(self, catalogue: Catalogue, *, version: str, mesh_provider: str) -> None:
        text = "1; its labels say version and default provider."
        info = catalogue.gauge("flagger_info", text, "version", "mesh_provider")
        info.labels(version, mesh_provider).set(1)
        self._work_series(catalogue)
        self._talk_series(catalogue)
        self._begin_at_zero()

    def _work_series(self, catalogue: Catalogue) -> None:
        gauge = catalogue.gauge
        self._leader = gauge("flaggerpy_leader", "1 while this process leads and acts, else 0.")
        self._depth = gauge("flaggerpy_queue_depth", "Canaries that wait for a worker; 0 in a process that follows.")
        self._longest = gauge(
            "flaggerpy_longest_reconcile_seconds", "Age of the oldest reconciliation that runs now; 0 without one."
        )
        self._last = gauge(
            "flaggerpy_last_reconcile_timestamp_seconds",
            "Unix time at which a reconciliation last ended; NaN before the first.",
        )
        self._last.set(nan)
        self._reconciles = catalogue.histogram(
            "flaggerpy_reconcile_duration_seconds",
            "Time of one reconciliation of one canary, hooks and metrics included. `result`: `success`, `retry` (the "
            "API server or a conflict), `error` (a bug, with its stacktrace in the log) or `cancelled`.",
            "result",
            buckets=SECONDS,
        )
        self._watch_age = gauge(
            "flaggerpy_watch_age_seconds",
            "Time since the API server last said anything in a watch, bookmarks included. `scope` is a namespace, or * "
            "for all.",
            "resource",
            "scope",
        )

    def _talk_series(self, catalogue: Catalogue) -> None:
        counter, histogram = catalogue.counter, catalogue.histogram
        self._requests = counter(
            "flaggerpy_api_requests_total",
            "Requests to the API server. `verb` is the HTTP method or WATCH, `code` the status or `none` without one.",
            "verb",
            "code",
        )
        self._queries = histogram(
            "flaggerpy_metric_query_duration_seconds",
            "Time that a metrics server took to answer one query of a check. `outcome`: `value`, `no_data`, `refused` "
            "(the query is wrong) or `unanswered` (which holds the rollout).",
            "provider",
            "outcome",
            buckets=SECONDS,
        )
        self._webhooks = histogram(
            "flaggerpy_webhook_duration_seconds",
            "Time of one webhook call, retries included. `type` is the webhook's type; `result`: `passed`, `refused` "
            "(a closed gate, say) or `unanswered`.",
            "type",
            "result",
            buckets=SECONDS,
        )
        self._alerts = counter(
            "flaggerpy_alerts_total",
            "Alerts that were delivered or given up. `receiver` is the kind of AlertProvider; `result`: `sent` or "
            "`failed`.",
            "receiver",
            "result",
        )
        self._dropped = counter(
            "flaggerpy_notifications_dropped_total",
            "Messages that were left out because their receiver is too slow. `kind`: `alert` or `event` (webhook).",
            "kind",
        )

    def _begin_at_zero(self) -> None:
        """Let increases be seen from the first: without a zero before it, Prometheus takes a one for the beginning.

        What is known only when it happens gets its other outcomes at zero then.
        """
        for ended in ("success", "retry", "error"):
            self._reconciles.labels(ended)
        for kind in ("alert", "event"):
            self._dropped.labels(kind)

    def set_work(self, *, leading: bool, waiting: int, longest: float) -> None:
        """Set whether this process leads, how many canaries wait, and how long the slowest has been worked on."""
        self._leader.set(1 if leading else 0)
        self._depth.set(waiting if leading else 0)
        self._longest.set(longest)

    def observe_reconcile(self, ended: Ended, seconds: float, at: float) -> None:
        """Count a reconciliation that ended ``at`` a Unix time."""
        self._reconciles.labels(ended).observe(seconds)
        self._last.set(at)

    def set_watch_ages(self, seconds: Mapping[tuple[str, str | None], float]) -> None:
        """Set the age of every watch by resource and namespace; watches that ended or rest lose their series."""
        self._watch_age.clear()
        for (resource, namespace), age in seconds.items():
            self._watch_age.labels(resource, namespace or EVERYWHERE).set(age)

    def count_request(self, verb: str, code: int | str) -> None:
        """Count a request to the API server; ``code`` is its status, or a word when there was none."""
        self._requests.labels(verb, str(code)).inc()

    def observe_query(self, provider: str, outcome: QueryOutcome, seconds: float) -> None:
        """Count a query to a metrics server."""
        for known in get_args(QueryOutcome):
            self._queries.labels(provider, known)
        self._queries.labels(provider, outcome).observe(seconds)

    def observe_webhook(self, kind: str, result: HookResult, seconds: float) -> None:
        """Count a webhook call."""
        for known in get_args(HookResult):
            self._webhooks.labels(kind, known)
        self._webhooks.labels(kind, result).observe(seconds)

    def count_alert(self, receiver: str, *, sent: bool) -> None:
        """Count an alert that was delivered or given up."""
        for known, count in (("sent", sent), ("failed", not sent)):
            self._alerts.labels(receiver, known).inc(count)

    def count_dropped(self, kind: str, count: int = 1) -> None:
        """Count messages to receivers that were dropped."""
        self._dropped.labels(kind).inc(count)
