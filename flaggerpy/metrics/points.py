"""Which point of a time series is judged, the same for every provider whose queries give series. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

from flaggerpy.metrics.base import NoData, Outcome, ProviderError, Value
from flaggerpy.metrics.reading import number


def newest(series: Iterable[Iterable[object]], advice: str) -> Outcome:
    """Take the newest number of the only series that has one; points come oldest first, null and NaN are none.

    Where several series have numbers none is chosen: which of them is meant is the user's to say. ``advice``
    tells how.
    """
    last: list[float] = []
    for points in series:
        numbers = [number(point) for point in points if point is not None]
        if None in numbers:
            return ProviderError("the answer holds no number")
        last += [value for value in numbers if value is not None and not math.isnan(value)][-1:]
    match last:
        case []:
            return NoData()
        case [value]:
            return Value(value)
        case _:
            return several(len(last), advice)


def several(count: int, advice: str) -> ProviderError:
    """Say that a query gives more series than one."""
    return ProviderError(f"the query gives {count} series where one is needed: {advice}")
