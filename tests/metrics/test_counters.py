from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flaggerpy.metrics.counters import grown

THEN = datetime(2026, 11, 27, 21, 0, 0, 250_000, tzinfo=UTC)
NOW = THEN + timedelta(minutes=1)


def test_growth_is_asked_between_two_moments_in_milliseconds() -> None:
    assert grown('requests_total{code="500"}', THEN, NOW) == (
        'sum((requests_total{code="500"} @ 1795813260.250 - (requests_total{code="500"} @ 1795813200.250 or '
        'requests_total{code="500"} @ 1795813260.250 * 0)) >= 0 or requests_total{code="500"} @ 1795813260.250)'
    )
