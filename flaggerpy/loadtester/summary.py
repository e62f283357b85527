"""What load generators say at the end: the summaries of hey, wrk and ghz, read out of a command's output. Pure.

Whatever else the command printed is passed over. Latencies are in seconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "secs": 1.0, "m": 60.0, "h": 3600.0}
_UNIT = "|".join(sorted(_UNITS, key=len, reverse=True))
_LATENCY = rf"([\d.]+)\s*({_UNIT})"
_STARTS = re.compile(r"^(?:Summary:|Running \S+ test @ .*)$", re.MULTILINE)
_FAILS_FROM = 400
"""HTTP statuses from here on are failures, as wrk counts them."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What one run of a load generator measured.

    Attributes:
        tool: hey, wrk or ghz.
        requests: how many were sent, those without an answer included.
        failed: how many got no answer, a status of 400 and above, or of gRPC another than OK.
        rate: requests in a second, those that failed included.
        average: mean latency, None when nothing was answered or the tool does not tell.
        percentiles: latency by percentile, as far as the tool tells.

    """

    tool: str
    requests: int
    failed: int
    rate: float
    average: float | None = None
    percentiles: Mapping[float, float] = field(default_factory=dict)

    @property
    def error_rate(self) -> float:
        """Share of requests that failed, in percent; 0 when there were none."""
        return 100.0 * self.failed / self.requests if self.requests else 0.0


def summaries(output: str) -> tuple[Summary, ...]:
    """Find every summary in an output, in their order."""
    starts = [match.start() for match in _STARTS.finditer(output)]
    sections = [output[start:end] for start, end in zip(starts, [*starts, len(output)][1:], strict=True)]
    return tuple(found for section in sections if (found := _read(section)) is not None)


def _read(section: str) -> Summary | None:
    if section.startswith("Running"):
        return _wrk(section)
    return _ghz(section) if re.search(r"^[ \t]+Count:\s", section, re.MULTILINE) else _hey(section)


def _hey(text: str) -> Summary | None:
    statuses = {int(status): int(count) for status, count in re.findall(r"\[(\d{3})\]\s+(\d+) responses", text)}
    _, _, errors = text.partition("Error distribution:")
    unanswered = sum(int(count) for count in re.findall(r"^[ \t]+\[(\d+)\]\s", errors, re.MULTILINE))
    if (rate := _number(r"Requests/sec:\s+([\d.]+)", text)) is None or "Status code distribution:" not in text:
        return None  # cut off
    refused = sum(count for status, count in statuses.items() if status >= _FAILS_FROM)
    return Summary(
        tool="hey",
        requests=sum(statuses.values()) + unanswered,
        failed=refused + unanswered,
        rate=rate,
        average=_latency(rf"Average:\s+{_LATENCY}", text),
        percentiles=_percentiles(rf"^[ \t]+([\d.]+)% in {_LATENCY}", text),
    )


def _ghz(text: str) -> Summary | None:
    count, rate = _number(r"Count:\s+(\d+)", text), _number(r"Requests/sec:\s+([\d.]+)", text)
    if count is None or rate is None or "Status code distribution:" not in text:
        return None
    answered = sum(int(found) for found in re.findall(r"\[OK\]\s+(\d+) responses", text))
    return Summary(
        tool="ghz",
        requests=int(count),
        failed=max(0, int(count) - answered),
        rate=rate,
        average=_latency(rf"Average:\s+{_LATENCY}", text),
        percentiles=_percentiles(rf"^[ \t]+([\d.]+) % in {_LATENCY}", text),
    )


def _wrk(text: str) -> Summary | None:
    done, rate = _number(r"^[ \t]+(\d+) requests in ", text), _number(r"Requests/sec:\s+([\d.]+)", text)
    if done is None or rate is None:
        return None
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    connect, read, write, late = (int(count) for count in errors.groups()) if errors else (0, 0, 0, 0)
    refused = int(_number(r"Non-2xx or 3xx responses: (\d+)", text) or 0)
    unanswered = connect + read + write
    requests = int(done) + unanswered
    return Summary(
        tool="wrk",
        requests=requests,
        # A late answer may have been a refusal too.
        failed=min(requests, unanswered + late + refused),
        rate=rate,
        average=_latency(rf"^[ \t]+Latency\s+{_LATENCY}", text),
        percentiles=_percentiles(rf"^[ \t]+([\d.]+)%\s+{_LATENCY}\s*$", text),
    )


def _number(pattern: str, text: str) -> float | None:
    found = re.search(pattern, text, re.MULTILINE)
    return _float(found.group(1)) if found else None


def _latency(pattern: str, text: str) -> float | None:
    found = re.search(pattern, text, re.MULTILINE)
    return _seconds(found.group(1), found.group(2)) if found else None


def _percentiles(pattern: str, text: str) -> dict[float, float]:
    found = {_float(percentile): _seconds(value, unit) for percentile, value, unit in re.findall(pattern, text, re.M)}
    return {percentile: value for percentile, value in found.items() if percentile is not None and value is not None}


def _seconds(value: str, unit: str) -> float | None:
    number = _float(value)
    return None if number is None else number * _UNITS[unit]


def _float(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:  # "1.2.3"
        return None
    return number if math.isfinite(number) else None
