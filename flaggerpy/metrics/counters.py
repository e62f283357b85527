"""How far counters went between two moments, asked of Prometheus in one query. Text only.

Not ``increase()``, which extrapolates to the ends of its window and does not see the first count of a new series:
the first failed request of a pod, which is one that matters.
"""

from __future__ import annotations

from datetime import datetime


def grown(counters: str, since: datetime, until: datetime) -> str:
    """Ask how much all series of a selector grew together.

    A series that began anew (its process was restarted) counts what it has since; one that is new counts whole;
    one that is gone counts nothing. No series at all gives no value.
    """
    now, then = f"{counters} @ {_moment(until)}", f"{counters} @ {_moment(since)}"
    return f"sum(({now} - ({then} or {now} * 0)) >= 0 or {now})"


def _moment(moment: datetime) -> str:
    return f"{moment.timestamp():.3f}"
