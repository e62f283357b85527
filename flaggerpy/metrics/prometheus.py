"""Prometheus and whatever speaks its query API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from flaggerpy.api.templates import RangeQuery
from flaggerpy.clock import Clock, SystemClock
from flaggerpy.metrics.asking import TIMEOUT_SECONDS, Parse, Server, address_of
from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.credentials import authority_of, headers_of
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.reading import PARTIAL, measured, quoted, read
from flaggerpy.rollout.errors import UserError

NAME = "Prometheus"
KEYS = "token, or username and password, in the Secret"
NO_NUMBER = ProviderError("the answer holds no number")
STORAGE_FAILS = "execution: expanding series"
"""How a complaint begins about series that could not be read: from a store behind the server, say, that is away."""
SHORTEST_STEP = timedelta(seconds=1)
AGGREGATORS: dict[str, Callable[[list[float]], float]] = {
    "last": lambda values: values[-1],
    "min": min,
    "max": max,
    "avg": lambda values: sum(values) / len(values),
    "sum": sum,
}


class Prometheus:
    """Asks one Prometheus server, or one that speaks its API, for the value of a query.

    Raises:
        UserError: the address, the credentials or the range cannot be used.

    """

    def __init__(
        self,
        settings: ProviderSettings,
        outbound: Outbound,
        *,
        timeout: float = TIMEOUT_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        base = address_of(settings, NAME)
        headers, ca = headers_of(settings, NAME), authority_of(settings, NAME)
        self._server = Server(NAME, base, outbound, headers, KEYS, not settings.insecure_skip_verify, timeout, ca)
        self._range = settings.range_query and _checked(settings.range_query)
        self._clock = clock or SystemClock()

    async def measure(self, query: str, interval: timedelta) -> Outcome:
        """Run a query now, with the interval inside it, or over a range of time that ends now."""
        if self._range is None:
            return await self._ask("query", {"query": query.strip()}, parse)
        aggregator = self._range.aggregator
        parameters = {"query": query.strip(), **_window(self._range, interval, self._clock.now())}
        return await self._ask("query_range", parameters, lambda payload: parse_range(payload, aggregator))

    async def _ask(self, what: str, parameters: dict[str, str], read_answer: Parse) -> Outcome:
        """Ask; what is said with the status of a wrong query is no mistake of the query where series were not read."""
        match await self._server.get(f"/api/v1/{what}", parameters, read_answer, complaint):
            case BadQuery(reason) if reason.startswith(STORAGE_FAILS):
                return self._server.error(reason)
            case outcome:
                return outcome


def parse(payload: bytes) -> Outcome:
    """Read the body of an answer with status 2xx.

    A result of several series is an error, where Flagger silently took the last: which of them is meant is
    the user's to say, and judging any other would promote or roll back for a wrong reason.
    """
    return read(payload, _interpreted)


def parse_range(payload: bytes, aggregator: str) -> Outcome:
    """Read the body of an answer to a range query, and make one value of its points; NaN is none of them."""
    return read(payload, lambda document: _aggregated(document, AGGREGATORS[aggregator]))


def complaint(document: Any) -> str:
    """Quote what the server itself says is wrong: only an error with status and type is Prometheus' own."""
    if not isinstance(document, dict) or document.get("status") != "error":
        return ""
    kind, text = document.get("errorType"), quoted(document.get("error"))
    return f"{quoted(kind)}: {text}" if text and quoted(kind) else ""


def _interpreted(document: Any) -> Outcome:
    data = _data(document)
    if isinstance(data, ProviderError):
        return data
    result = data["result"]
    match data.get("resultType"):
        case "scalar":
            return _sample(result)
        case "vector" | None:
            return _vector(result)
        case other:
            return ProviderError(
                f"the query gives a {_word(other)} where one value is needed: turn it into one, as rate(x[1m]) does"
            )


def _data(document: Any) -> dict[str, Any] | ProviderError:
    if not isinstance(document, dict) or document.get("status") != "success":
        said = quoted(document.get("error")) if isinstance(document, dict) else ""
        return ProviderError(complaint(document) or said or "the answer does not say that it succeeded")
    if document.get("isPartial") is True:  # VictoriaMetrics, a part of whose storage is away
        return ProviderError(PARTIAL)
    data = document.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("result"), list):
        return ProviderError("the answer has no result")
    return data


def _aggregated(document: Any, aggregate: Callable[[list[float]], float]) -> Outcome:
    match _data(document):
        case ProviderError() as error:
            return error
        case {"result": []}:
            return NoData()
        case {"resultType": "matrix", "result": [{"values": list() as samples}]}:
            outcomes = [_sample(sample) if isinstance(sample, list) else NO_NUMBER for sample in samples]
            errors = [outcome for outcome in outcomes if isinstance(outcome, ProviderError)]
            values = [outcome.value for outcome in outcomes if isinstance(outcome, Value)]
            return errors[0] if errors else measured(aggregate(values) if values else None)
        case {"resultType": "matrix", "result": [_, _, *_] as series}:
            return _several(len(series))
        case _:
            return ProviderError("the answer is none to a range query")


def _several(count: int) -> ProviderError:
    return ProviderError(f"the query gives {count} series where one is needed: aggregate them, as sum() does")


def _checked(wanted: RangeQuery) -> RangeQuery:
    for name, length in (("window", wanted.window), ("step", wanted.step)):
        if length is not None and length <= timedelta():
            raise UserError(f"The {name} of rangeQuery must be longer than 0s.")
    return wanted


def _window(wanted: RangeQuery, interval: timedelta, now: datetime) -> dict[str, str]:
    window = wanted.window or interval
    step = wanted.step or max(window / 10, SHORTEST_STEP)
    return {
        "start": f"{(now - window).timestamp():.3f}",
        "end": f"{now.timestamp():.3f}",
        "step": f"{step.total_seconds():g}",
    }


def _vector(result: list[Any]) -> Outcome:
    match result:
        case []:
            return NoData()
        case [{"value": list() as sample}]:
            return _sample(sample)
        case [_]:
            return ProviderError("the query gives a histogram or a range where one value is needed")
        case _:
            return _several(len(result))


def _sample(sample: list[Any]) -> Outcome:
    match sample:
        case [_, str() | int() | float() as raw]:
            return measured(raw)
        case _:
            return NO_NUMBER


def _word(value: object) -> str:
    return value[:20] if isinstance(value, str) else "result of an unknown type"
