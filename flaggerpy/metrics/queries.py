"""What is asked for one verdict: the query of a metric, of its samples, and the same two for the primary.

Pure: who asks, and when, lives elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from flaggerpy.api.analysis import CanaryMetric
from flaggerpy.metrics.mesh import TargetKind, builtin_query, builtin_samples
from flaggerpy.metrics.query import QueryContext, Role, render
from flaggerpy.rollout.checks import LEAST_WINDOW
from flaggerpy.rollout.errors import UserError


@dataclass(frozen=True, slots=True)
class Measured:
    """Whose numbers a metric is about.

    Attributes:
        canary: the names that its query may use.
        primary: the same for the primary.
        provider: provider of the traffic, for built-in checks.
        kind: kind of the target, for built-in checks.

    """

    canary: QueryContext
    primary: QueryContext
    provider: str = ""
    kind: TargetKind = "Deployment"

    def of(self, role: Role) -> QueryContext:
        """Return the names for one of the two."""
        return self.primary if role == "primary" else self.canary

    def within(self, metric: CanaryMetric, window: timedelta) -> Measured:
        """Return the same for a window that is shorter than the metric's interval."""
        if window >= metric.interval:
            return self
        text = f"{int(window.total_seconds())}s"
        return replace(self, canary=replace(self.canary, interval=text), primary=replace(self.primary, interval=text))


@dataclass(frozen=True, slots=True)
class Queries:
    """Rendered queries; what is not asked is None. Values times the factor are in the metric's own unit."""

    value: str
    samples: str | None = None
    primary: str | None = None
    primary_samples: str | None = None
    factor: int = 1


def window_of(metric: CanaryMetric, since: datetime | None, now: datetime) -> timedelta:
    """Return how far a measurement may look back that must not look beyond a moment."""
    if since is None:
        return metric.interval
    return min(metric.interval, max(now - since, LEAST_WINDOW))


def queries_of(metric: CanaryMetric, measured: Measured, text: str | None, *, told_apart: bool = False) -> Queries:
    """Render what a verdict needs; without a text it is the built-in query of the metric's name.

    ``told_apart`` is whether something else than the query says whose numbers are asked for.

    Raises:
        UserError: something cannot be rendered, or the primary would be asked for the canary's numbers.

    """
    value, factor = _value(metric, measured, text, "canary")
    samples = _samples(metric, measured, text, "canary")
    if metric.compare_to is None:
        return Queries(value, samples, factor=factor)
    primary, _ = _value(metric, measured, text, "primary")
    if primary == value and not told_apart:
        raise UserError(
            f"The metric {metric.name} would compare the canary with itself, because its query is the same for the "
            "primary: use {{ target }} or {{ role }} in it, as in {{ service }}-{{ role }}."
        )
    return Queries(value, samples, primary, _samples(metric, measured, text, "primary"), factor)


def _value(metric: CanaryMetric, measured: Measured, text: str | None, role: Role) -> tuple[str, int]:
    if text is not None:
        return render(text, measured.of(role)), 1
    query = builtin_query(metric.name, measured.provider, measured.kind, measured.of(role))
    return query.text, query.factor


def _samples(metric: CanaryMetric, measured: Measured, text: str | None, role: Role) -> str | None:
    """Render the query that counts samples; what is built in counts its requests unless told otherwise.

    That nothing counts those of another metric is told before anything is asked (``api.guards``).
    """
    if metric.min_samples < 1:
        return None
    if metric.sample_query:
        return render(metric.sample_query, measured.of(role))
    return None if text is not None else _requests(metric, measured, role)


def _requests(metric: CanaryMetric, measured: Measured, role: Role) -> str:
    return builtin_samples(metric.name, measured.provider, measured.kind, measured.of(role))
