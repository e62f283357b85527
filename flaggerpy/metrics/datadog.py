"""Datadog: one query of its timeseries API, judged by the newest point of the metric's interval.

Flagger asks for ten intervals and takes the oldest point, which is about the revision before this one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flaggerpy.clock import Clock, SystemClock
from flaggerpy.metrics.asking import TIMEOUT_SECONDS, Server, address_of, secret_of, sendable
from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.reading import measured, quoted, read

NAME = "Datadog"
ADDRESS = "https://api.datadoghq.com"
KEYS = ("datadog_api_key", "datadog_application_key")
LATE = timedelta(minutes=1)
"""How long after they were measured points are looked for: agents send every ten seconds, and Datadog adds its own."""


class Datadog:
    """Asks Datadog for the newest value of a query.

    Raises:
        UserError: the address or the credentials cannot be used.

    """

    def __init__(
        self,
        settings: ProviderSettings,
        outbound: Outbound,
        *,
        timeout: float = TIMEOUT_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        base = address_of(settings, NAME, ADDRESS)
        api, application = secret_of(settings, NAME, *KEYS)
        headers = sendable(NAME, (("DD-API-KEY", api), ("DD-APPLICATION-KEY", application)))
        verify = not settings.insecure_skip_verify
        self._server = Server(NAME, base, outbound, headers, f"{' and '.join(KEYS)} in the Secret", verify, timeout)
        self._clock = clock or SystemClock()

    async def measure(self, query: str, interval: timedelta) -> Outcome:
        """Run a query over the last interval."""
        now = self._clock.now()
        begin = now - interval - LATE
        parameters = {"query": query.strip(), "from": f"{begin.timestamp():.0f}", "to": f"{now.timestamp():.0f}"}
        return await self._server.get("/api/v1/query", parameters, parse, complaint)


def parse(payload: bytes) -> Outcome:
    """Read the body of an answer with status 2xx."""
    return read(payload, _interpreted)


def complaint(document: Any) -> str:
    """Quote what Datadog itself says is wrong."""
    match document:
        case {"errors": [str() as text, *_]} | {"error": str() as text}:
            return quoted(text)
        case _:
            return ""


def _interpreted(document: Any) -> Outcome:
    match document:
        case {"status": "error"}:
            said = complaint(document)
            return BadQuery(said) if said else ProviderError("the answer says that it failed, and not why")
        case {"series": []}:
            return NoData()
        case {"series": [{"pointlist": list() as points}]}:
            return _newest(points)
        case {"series": [_, _, *_] as series}:
            return ProviderError(
                f"the query gives {len(series)} series where one is needed: leave out its by {{…}}, or aggregate them"
            )
        case _:
            return ProviderError("the answer has no series")


def _newest(points: list[Any]) -> Outcome:
    for point in reversed(points):
        match point:
            case [_, None]:
                continue
            case [_, raw]:
                return measured(raw)
            case _:
                return ProviderError("the answer has a point that is none")
    return NoData()
