"""The counters of a sequential test, and how far they went between two moments, as queries of Prometheus. Text only.

Not ``increase()``, which extrapolates to the ends of its window and does not see the first count of a new series:
the first failed request of a pod, which is one that matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from flaggerpy.api.analysis import SUCCESS_RATE, CanaryMetric
from flaggerpy.metrics.mesh import builtin_counters
from flaggerpy.metrics.queries import Measured
from flaggerpy.metrics.query import Role, render
from flaggerpy.rollout.errors import UserError

NO_COUNTERS: Final = (
    "a sequential test reads counters, which only a Prometheus has: use a MetricTemplate of type prometheus, or remove "
    "sequential."
)


@dataclass(frozen=True, slots=True)
class Counters:
    """Selectors of good requests and of all, for the canary and for the primary."""

    good: str
    total: str
    primary_good: str
    primary_total: str


def counters_of(metric: CanaryMetric, measured: Measured) -> Counters:
    """Return what the sequential test of a metric reads; request-success-rate has counters of its own.

    Raises:
        UserError: something cannot be rendered, or the primary's counters would be the canary's.

    """
    good, total = _selectors(metric, measured, "canary")
    primary_good, primary_total = _selectors(metric, measured, "primary")
    if primary_total == total or primary_good == good:
        raise UserError(
            f"The sequential test of {metric.name} would compare the canary with itself, because its counters are the "
            "same for the primary: use {{ target }} or {{ role }} in them, as in {{ service }}-{{ role }}."
        )
    return Counters(good, total, primary_good, primary_total)


def _selectors(metric: CanaryMetric, measured: Measured, role: Role) -> tuple[str, str]:
    test = metric.sequential
    if metric.name == SUCCESS_RATE:
        return builtin_counters(metric.name, measured.provider, measured.kind, measured.of(role))
    if test is None or not test.good or not test.total:
        raise UserError(f"Nothing says which counters the sequential test of {metric.name} reads.")
    return render(test.good, measured.of(role)), render(test.total, measured.of(role))


def grown(counters: str, since: datetime, until: datetime, known: str) -> str:
    """Ask how much all series of a selector grew together.

    A series that began anew (its process was restarted) counts what it has since; one that is new counts whole;
    one that is gone counts nothing. No series at all gives no value, and neither does a beginning at which the server
    had none of the ``known`` counters: it did not read them then, and all that they ever counted would seem to be new.
    """
    now, then = f"{counters} @ {_moment(until)}", f"{counters} @ {_moment(since)}"
    return f"sum(({now} - ({then} or {now} * 0)) >= 0 or {now}) and on() {known} @ {_moment(since)}"


def _moment(moment: datetime) -> str:
    return f"{moment.timestamp():.3f}"
