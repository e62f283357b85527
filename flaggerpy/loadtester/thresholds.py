"""What a load test must have measured to pass: bounds from a task's metadata, held against the summaries. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flaggerpy.durations import InvalidDuration, parse_duration
from flaggerpy.loadtester.summary import Summary

KNOWN: Final = "maxErrorRate, maxAverage, maxP50 (or another percentile), minRate and minRequests"
_BOUND = re.compile(r"(?:max|min)[A-Z]")
_PERCENTILE = re.compile(r"maxP(\d{1,2}(?:\.\d+)?)")


class InvalidThreshold(Exception):
    """A bound that means nothing; the text is for its author."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Bounds of a load test; latencies in seconds, the rate of errors in percent, None where nothing is asked."""

    error_rate: float | None = None
    average: float | None = None
    percentiles: tuple[tuple[float, float], ...] = ()
    rate: float | None = None
    requests: int = 1

    def breaches(self, found: Sequence[Summary]) -> Iterator[str]:
        """Say what is wrong with what was measured; every summary must keep every bound."""
        if not found:
            yield "the output has no summary of hey, wrk or ghz to hold the bounds against"
        for summary in found:
            yield from self._of(summary)

    def _of(self, summary: Summary) -> Iterator[str]:
        if summary.requests < self.requests:
            yield f"{summary.requests} requests were sent, which is less than {self.requests}"
        if self.error_rate is not None and summary.error_rate > self.error_rate:
            yield (
                f"{summary.failed} of {summary.requests} requests failed: {_short(summary.error_rate)} %, which is more"
                f" than {_short(self.error_rate)} %"
            )
        if self.rate is not None and summary.rate < self.rate:
            yield f"{_short(summary.rate)} requests a second were made, which is less than {_short(self.rate)}"
        if self.average is not None:
            yield from _too_slow("the average latency", summary.average, self.average, summary)
        for percentile, bound in self.percentiles:
            yield from _too_slow(f"p{percentile:g}", summary.percentiles.get(percentile), bound, summary)


def parse_thresholds(metadata: Mapping[str, str]) -> Thresholds | None:
    """Read the bounds of a task, None when it has none; raises `InvalidThreshold`."""
    given = {key: text for key, text in metadata.items() if _BOUND.match(key)}
    if not given:
        return None
    percentiles = []
    for key, text in given.items():
        if found := _PERCENTILE.fullmatch(key):
            percentiles.append((float(found.group(1)), _duration(key, text)))
        elif key not in {"maxErrorRate", "maxAverage", "minRate", "minRequests"}:
            raise InvalidThreshold(f"metadata.{key} is no bound; there are {KNOWN}")
    return Thresholds(
        error_rate=_percent(given.get("maxErrorRate")),
        average=_duration("maxAverage", given["maxAverage"]) if "maxAverage" in given else None,
        percentiles=tuple(sorted(percentiles)),
        rate=_positive("minRate", given["minRate"]) if "minRate" in given else None,
        requests=_count(given.get("minRequests", "1")),
    )


def _too_slow(what: str, value: float | None, bound: float, summary: Summary) -> Iterator[str]:
    if value is None and summary.failed == summary.requests:
        yield f"nothing was answered, so {what} is not known"
    elif value is None and not summary.percentiles:
        yield f"{summary.tool} tells no percentiles{' without --latency' if summary.tool == 'wrk' else ''}"
    elif value is None:
        told = ", ".join(f"p{known:g}" for known in sorted(summary.percentiles))
        yield f"{summary.tool} does not tell {what}, only {told}"
    elif value > bound:
        yield f"{what} is {_milliseconds(value)}, which is more than {_milliseconds(bound)}"


def _percent(text: str | None) -> float | None:
    if text is None:
        return None
    number = _number(text.strip().removesuffix("%").strip())
    if number is None or not 0 <= number <= 100:
        raise InvalidThreshold(f'metadata.maxErrorRate: "{text}" is no share: write 0.5% or another up to 100%')
    return number


def _duration(key: str, text: str) -> float:
    try:
        seconds = parse_duration(text).total_seconds()
    except InvalidDuration as error:
        raise InvalidThreshold(f"metadata.{key}: {error}") from error
    if seconds <= 0:
        raise InvalidThreshold(f'metadata.{key}: "{text}" is not longer than zero')
    return seconds


def _positive(key: str, text: str) -> float:
    number = _number(text)
    if number is None or number < 0:
        raise InvalidThreshold(f'metadata.{key}: "{text}" is no number of requests a second')
    return number


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InvalidThreshold(f'metadata.minRequests: "{text}" is no number of requests')
    return int(text)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _short(number: float) -> str:
    return f"{number:.4g}" if number < 1000 else f"{number:.0f}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.4g}ms"
