"""Go's durations, read and written exactly as Go does it; nothing else may live here.

Users of Flagger write ``30s``, ``1m30s`` or ``1.5h``. Lenient parsers take ``1d`` or ``10`` as well and so
accept what Flagger refuses. Python's timedelta stops at microseconds: nanoseconds are cut off.
"""

from __future__ import annotations

import re
from datetime import timedelta

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, micro sign
    "μs": 1_000,  # U+03BC, Greek letter mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_LARGEST = 2**63 - 1  # Go counts nanoseconds in an int64
_TERM = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]+)")


class InvalidDuration(ValueError):
    """A text is no Go duration; the message says why and what to write."""


def parse_duration(text: str) -> timedelta:
    """Read a Go duration such as ``30s``, ``1m30s``, ``-1.5h`` or ``0``.

    Raises:
        InvalidDuration: Go would not accept the text either.

    """
    rest = text[1:] if text[:1] in {"+", "-"} else text
    nanoseconds = 0 if rest == "0" else _nanoseconds(text, rest)
    if text.startswith("-"):
        _within(text, nanoseconds - 1)
        return -timedelta(microseconds=nanoseconds // 1_000)
    _within(text, nanoseconds)
    return timedelta(microseconds=nanoseconds // 1_000)


def format_duration(duration: timedelta) -> str:
    """Write a duration as Go prints it: ``0s``, ``1.5ms``, ``30s``, ``1m0s``, ``1h0m30s``."""
    microseconds = duration // timedelta(microseconds=1)
    sign, microseconds = ("-", -microseconds) if microseconds < 0 else ("", microseconds)
    if microseconds < 1_000:
        return f"{sign}{microseconds}µs" if microseconds else "0s"
    if microseconds < 1_000_000:
        return f"{sign}{_decimal(microseconds, 3)}ms"
    minutes, rest = divmod(microseconds, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_decimal(rest, 6)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"


def _nanoseconds(text: str, rest: str) -> int:
    total, position = 0, 0
    while position < len(rest) or not rest:
        term = _TERM.match(rest, position)
        if term is None or not (term[1] or term[2]):
            raise InvalidDuration(f'"{text}" is not a duration: write a number and a unit, like "30s" or "1m30s"')
        if term[3] not in _NANOSECONDS:
            raise InvalidDuration(f'"{text}" is not a duration: "{term[3]}" is no unit (h, m, s, ms, us, ns are)')
        fraction = term[2] or ""
        unit = _NANOSECONDS[term[3]]
        total += int(term[1] or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
        position = term.end()
    return total


def _within(text: str, nanoseconds: int) -> None:
    if nanoseconds > _LARGEST:
        raise InvalidDuration(f'"{text}" is not a duration: it is longer than 292 years')


def _decimal(value: int, places: int) -> str:
    whole, fraction = divmod(value, 10**places)
    return f"{whole}.{fraction:0{places}d}".rstrip("0").rstrip(".")
