"""What InfluxDB's API of version 1 answers to InfluxQL: JSON with results, series and rows. Pure."""

from __future__ import annotations

from typing import Any

from flaggerpy.metrics.base import NoData, Outcome, ProviderError
from flaggerpy.metrics.points import newest, several
from flaggerpy.metrics.reading import PARTIAL, quoted, read

_ADVICE = "aggregate them, as SELECT mean(x) without GROUP BY of tags does"


def parse(payload: bytes) -> Outcome:
    """Read the body of an answer with status 2xx: of one series the newest row that is not null."""
    return read(payload, _interpreted)


def _interpreted(document: Any) -> Outcome:
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, list) or not results or not all(isinstance(result, dict) for result in results):
        return ProviderError("the answer has no results")
    if complaints := [quoted(result["error"]) for result in results if "error" in result]:
        return ProviderError(complaints[0] or "the answer has an error without a text")
    series = [one for result in results for one in _list(result.get("series"))]
    if any(isinstance(part, dict) and part.get("partial") is True for part in (*results, *series)):
        return ProviderError(PARTIAL)
    match series:
        case []:
            return NoData()
        case [{"columns": [_, _], "values": list() as rows}]:
            return _rows(rows)
        case [{"columns": ["time", _, *_] as columns}]:
            names = ", ".join(quoted(name) or "?" for name in columns[1:])
            return ProviderError(f"the query gives {names} where one column is needed")
        case [_]:
            return ProviderError("the answer has a series without rows")
        case _:
            return several(len(series), _ADVICE)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _rows(rows: list[Any]) -> Outcome:
    """Rows come in the order of the query, which may be newest first."""
    if not all(isinstance(row, list) and len(row) == 2 and isinstance(row[0], int) for row in rows):
        return ProviderError("the answer has a row without time and value")
    return newest([[value for _, value in sorted(rows, key=lambda row: row[0])]], _ADVICE)
