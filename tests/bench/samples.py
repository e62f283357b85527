"""Figures of a bench that never ran, for tests of how figures are written."""

from __future__ import annotations

from typing import Any

from tools.bench.figures import Details, Measurement, Report, Row
from tools.bench.machine import Machine

MACHINE = Machine("Abacus 9000", 2, 24.7, "6.1.0-9-amd64", "3.11.7")


def row(n: int = 500, **changes: Any) -> Row:
    """Build a row in which every target is reached."""
    figures = {
        "idle_requests": 0,
        "idle_s": 300.0,
        "requests_per_rollout": 31.4,
        "rollout_s": 52.718,
        "need_s": 50.0,
        "paced_p50_s": 0.031,
        "paced_p99_s": 0.142,
        "burst_p99_s": 1.618,
        "peak_rss_mb": 117.3,
        "cpu_s": 23.57,
        "synced_s": 2.236,
    }
    return Row(n=n, **{**figures, **changes})


def measurement(n: int = 500, **changes: Any) -> Measurement:
    """Build a measurement around such a row."""
    details = Details(
        rolled=50,
        burst_p50_s=0.733,
        rollout_min_s=51.09,
        rollout_max_s=54.31,
        requests={"create events": 400, "patch httproutes": 300},
        idle={},
        idle_watches=6,
        idle_leases=150,
        idle_cpu_s=0.41,
        initialized_s=88.2,
        looked_s=3.4,
    )
    return Measurement(row(n, **changes), details)


def report(*rows: Row) -> Report:
    """Build what is kept of a bench."""
    return Report(rows or (row(50), row(500)), MACHINE, "0.1.0", "2031-05-17T08:30:15Z")
