"""Reading what metrics servers answer: JSON, numbers and short quotations. Pure, and total on any bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from flaggerpy.metrics.base import NoData, Outcome, ProviderError, Value

LONGEST_QUOTE = 300
PARTIAL = "the answer is only a part of the data, as the server itself says"


def read(payload: bytes, interpret: Callable[[Any], Outcome]) -> Outcome:
    """Interpret a body that should be JSON; anything else says nothing about the canary."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return ProviderError(f"the answer is not JSON but begins with {start(payload)}")
    return interpret(document)


def json_of(payload: bytes) -> Any:
    """Return a body's JSON, None when it is none."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None


def measured(raw: object) -> Outcome:
    """Turn a number, or a number's text, into an outcome; null and NaN are no data."""
    if raw is None:
        return NoData()
    value = number(raw)
    if value is None:
        return ProviderError("the answer holds no number")
    return NoData() if math.isnan(value) else Value(value)


def number(raw: object) -> float | None:
    """Read a number or its text; None for everything else, truth values and Python's own spellings included."""
    if isinstance(raw, bool) or not isinstance(raw, str | int | float) or (isinstance(raw, str) and "_" in raw):
        return None
    try:
        return float(raw)
    except (ValueError, OverflowError):
        return None


def start(payload: bytes) -> str:
    """Quote how a body begins."""
    text = " ".join(payload[:200].decode("utf-8", "replace").split())[:60]
    return f'"{text}"' if text else "nothing"


def quoted(text: object) -> str:
    """Put what a server says into one line of bearable length; empty for what is no text."""
    return " ".join(text[: 4 * LONGEST_QUOTE].split())[:LONGEST_QUOTE] if isinstance(text, str) else ""
