"""New Relic: one NRQL query of the Insights query API, over the metric's interval."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from flaggerpy.metrics.asking import TIMEOUT_SECONDS, Server, address_of, secret_of, sendable
from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.reading import measured, quoted, read

NAME = "New Relic"
ADDRESS = "https://insights-api.newrelic.com"
KEYS = ("newrelic_account_id", "newrelic_query_key")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")


class NewRelic:
    """Asks New Relic for the one value of a query.

    Raises:
        UserError: the address or the credentials cannot be used.

    """

    def __init__(self, settings: ProviderSettings, outbound: Outbound, *, timeout: float = TIMEOUT_SECONDS) -> None:
        base = address_of(settings, NAME, ADDRESS)
        account, key = secret_of(settings, NAME, *KEYS)
        headers = sendable(NAME, (("X-Query-Key", key),))
        verify = not settings.insecure_skip_verify
        self._server = Server(NAME, base, outbound, headers, f"{' and '.join(KEYS)} in the Secret", verify, timeout)
        self._path = f"/v1/accounts/{quote(account, safe='')}/query"

    async def measure(self, query: str, interval: timedelta) -> Outcome:
        """Run a query over the last interval, or over the time that it names itself."""
        return await self._server.get(self._path, {"nrql": since(query, interval)}, parse, complaint)


def since(query: str, interval: timedelta) -> str:
    """Add the interval to a query that says nothing of its time, as New Relic takes an hour otherwise."""
    query = query.strip()
    if re.search(r"\bsince\b", _QUOTED.sub("", query), re.IGNORECASE):
        return query
    return f"{query} SINCE {interval.total_seconds():.0f} seconds ago"


def parse(payload: bytes) -> Outcome:
    """Read the body of an answer with status 2xx."""
    return read(payload, _interpreted)


def complaint(document: Any) -> str:
    """Quote what New Relic itself says is wrong."""
    return quoted(document.get("error")) if isinstance(document, dict) else ""


def _interpreted(document: Any) -> Outcome:
    match document:
        case {"error": str() as text}:
            return BadQuery(quoted(text) or "it does not say why")
        case {"facets": _}:
            return ProviderError("the query gives a value for each facet where one is needed: leave out FACET")
        case {"results": [dict() as result]}:
            return _single(result)
        case {"results": []}:
            return NoData()
        case {"results": [_, _, *_] as results}:
            return ProviderError(f"the query gives {len(results)} values where one is needed: select one")
        case _:
            return ProviderError("the answer has no results")


def _single(result: dict[str, Any]) -> Outcome:
    """Read ``{"result": 1}``, and what other functions give: ``{"count": 1}``, ``{"percentiles": {"95": 1}}``."""
    if "result" in result:
        return measured(result["result"])
    match list(result.values()):
        case [dict() as inner] if len(inner) == 1:
            return measured(next(iter(inner.values())))
        case [None | int() | float() | str() as raw]:
            return measured(raw)
        case _:
            return ProviderError("the query gives more than a number where one is needed: select one function")
