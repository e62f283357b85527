"""What InfluxDB's API of version 2 answers to Flux: annotated CSV of tables. Pure.

A table begins with its annotations and a header, and rows of one table have the same result and number.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence

from flaggerpy.metrics.base import NoData, Outcome, ProviderError
from flaggerpy.metrics.points import newest
from flaggerpy.metrics.reading import quoted, start

_ADVICE = "put them into one, as |> group() |> sum() does"
_NUMBERS = frozenset({"double", "long", "unsignedLong"})
Row = Sequence[str]


class _NoAnswer(Exception):
    """The CSV cannot be judged; the message is a clause."""


def parse(payload: bytes) -> Outcome:
    """Read the body of an answer with status 2xx: of one table the last row with a number in ``_value``."""
    try:
        rows: list[Row] = list(csv.reader(io.StringIO(payload.decode("utf-8"), newline=""), strict=True))
        series = _series(rows)
    except _NoAnswer as error:
        return ProviderError(str(error))
    except (ValueError, csv.Error):
        return ProviderError(f"the answer is no CSV of tables but begins with {start(payload)}")
    if not any(map(any, rows)):
        # A server that has nothing sends an empty line, a proxy that has lost its server sends nothing at all.
        return NoData() if payload else ProviderError("the answer is empty")
    return newest(series, _ADVICE)


def _series(rows: list[Row]) -> list[list[str | None]]:
    found: defaultdict[tuple[str, str], list[str | None]] = defaultdict(list)
    for types, header, body in _tables(rows):
        if "error" in header and "reference" in header:
            said = body[0][header.index("error")] if body else ""
            raise _NoAnswer(quoted(said) or "the answer has an error without a text")
        value = _column(types, header)
        for row in body:
            if len(row) != len(header):
                raise _NoAnswer("the answer has a row of another length than its header")
            fields = dict(zip(header, row, strict=True))
            found[fields.get("result", ""), fields.get("table", "")].append(row[value] or None)
    return list(found.values())


def _column(types: Row, header: Row) -> int:
    if "_value" not in header:
        raise _NoAnswer("the answer has no column _value: name the one that counts, as rename() does")
    value = header.index("_value")
    kind = types[value] if value < len(types) else ""
    if kind not in _NUMBERS:
        raise _NoAnswer(f"the column _value is of type {quoted(kind) or 'unknown'}, which is no number")
    return value


def _tables(rows: list[Row]) -> Iterator[tuple[Row, Row, list[Row]]]:
    """Split into types, header and rows; an empty line ends a table, and so do annotations."""
    types: Row = ()
    table: list[Row] = []
    for row in [*rows, []]:
        annotation = row[0] if row else ""
        if (not any(row) or annotation.startswith("#")) and table:
            yield types, table[0], table[1:]
            types, table = (), []
        if annotation == "#datatype":
            types = row
        elif any(row) and not annotation.startswith("#"):
            table.append(row)
