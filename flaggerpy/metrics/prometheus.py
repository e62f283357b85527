"""Prometheus and whatever speaks its query API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flaggerpy.metrics.asking import TIMEOUT_SECONDS, Server, address_of
from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.credentials import headers_of
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.reading import measured, quoted, read

NAME = "Prometheus"
KEYS = "token, or username and password, in the Secret"


class Prometheus:
    """Asks one Prometheus server for the value of a query now.

    Raises:
        UserError: the address or the credentials cannot be used.

    """

    def __init__(self, settings: ProviderSettings, outbound: Outbound, *, timeout: float = TIMEOUT_SECONDS) -> None:
        base = address_of(settings, NAME)
        verify = not settings.insecure_skip_verify
        self._server = Server(NAME, base, outbound, headers_of(settings, NAME), KEYS, verify, timeout)

    async def measure(self, query: str, interval: timedelta) -> Outcome:
        """Run a query; the interval is already inside it."""
        return await self._server.get("/api/v1/query", {"query": query.strip()}, parse, complaint)

    async def ping(self) -> str | None:
        """Ask for the one query that every server can answer."""
        match await self.measure("vector(1)", timedelta(minutes=1)):
            case Value(value=1.0):
                return None
            case ProviderError(reason) | BadQuery(reason):
                return reason
            case _:
                return self._server.error("it does not know that vector(1) is 1").reason


def parse(payload: bytes) -> Outcome:
    """Read the body of an answer with status 2xx.

    A result of several series is an error, where Flagger silently took the last: which of them is meant is
    the user's to say, and judging any other would promote or roll back for a wrong reason.
    """
    return read(payload, _interpreted)


def complaint(document: Any) -> str:
    """Quote what the server itself says is wrong."""
    if not isinstance(document, dict) or not quoted(document.get("error")):
        return ""
    kind, text = document.get("errorType"), quoted(document["error"])
    return f"{kind}: {text}" if isinstance(kind, str) else text


def _interpreted(document: Any) -> Outcome:
    if not isinstance(document, dict) or document.get("status") != "success":
        return ProviderError(complaint(document) or "the answer does not say that it succeeded")
    data = document.get("data")
    result = data.get("result") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(result, list):
        return ProviderError("the answer has no result")
    match data.get("resultType"):
        case "scalar":
            return _sample(result)
        case "vector" | None:
            return _vector(result)
        case other:
            return ProviderError(
                f"the query gives a {_word(other)} where one value is needed: turn it into one, as rate(x[1m]) does"
            )


def _vector(result: list[Any]) -> Outcome:
    match result:
        case []:
            return NoData()
        case [{"value": list() as sample}]:
            return _sample(sample)
        case [_]:
            return ProviderError("the query gives a histogram or a range where one value is needed")
        case _:
            return ProviderError(
                f"the query gives {len(result)} series where one is needed: aggregate them, as sum() does"
            )


def _sample(sample: list[Any]) -> Outcome:
    match sample:
        case [_, str() | int() | float() as raw]:
            return measured(raw)
        case _:
            return ProviderError("the answer holds no number")


def _word(value: object) -> str:
    return value[:20] if isinstance(value, str) else "result of an unknown type"
