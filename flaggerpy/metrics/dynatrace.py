"""Dynatrace: one metric selector of the Metrics API v2, over the metric's interval."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flaggerpy.clock import Clock, SystemClock
from flaggerpy.metrics.asking import TIMEOUT_SECONDS, Server, address_of, secret_of, sendable
from flaggerpy.metrics.base import NoData, Outcome, ProviderError, ProviderSettings
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.reading import measured, quoted, read

NAME = "Dynatrace"
KEY = "dynatrace_token"
LATE = timedelta(minutes=2)
"""How long after they were measured points are looked for: there is one a minute, and it takes another to show."""


class Dynatrace:
    """Asks Dynatrace for the value of a metric selector.

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
        base = address_of(settings, NAME)
        (token,) = secret_of(settings, NAME, KEY)
        headers = sendable(NAME, (("Authorization", f"Api-Token {token}"),))
        keys = f"{KEY} in the Secret, and that the token may read metrics (metrics.read)"
        self._server = Server(NAME, base, outbound, headers, keys, not settings.insecure_skip_verify, timeout)
        self._clock = clock or SystemClock()

    async def measure(self, query: str, interval: timedelta) -> Outcome:
        """Run a metric selector over the last interval, as one value."""
        now = self._clock.now()
        begin = now - interval - LATE
        parameters = {
            "metricSelector": query.strip(),
            "resolution": "Inf",
            "from": f"{begin.timestamp() * 1000:.0f}",
            "to": f"{now.timestamp() * 1000:.0f}",
        }
        return await self._server.get("/api/v2/metrics/query", parameters, parse, complaint)


def parse(payload: bytes) -> Outcome:
    """Read the body of an answer with status 2xx."""
    return read(payload, _interpreted)


def complaint(document: Any) -> str:
    """Quote what Dynatrace itself says is wrong, with its first detail."""
    match document:
        case {"error": {"message": str() as text, "constraintViolations": [{"message": str() as detail}, *_]}}:
            return quoted(f"{text} {detail}")
        case {"error": {"message": str() as text}}:
            return quoted(text)
        case _:
            return ""


def _interpreted(document: Any) -> Outcome:
    match document:
        case {"result": []} | {"result": [{"data": []}]}:
            return NoData()
        case {"result": [{"data": [{"values": list() as values}]}]}:
            return _newest(values)
        case {"result": [{"data": [_, _, *_] as series}]} | {"result": [_, _, *_] as series}:
            return ProviderError(
                f"the selector gives {len(series)} series where one is needed: aggregate them, as :splitBy():avg does"
            )
        case _:
            return ProviderError("the answer has no result")


def _newest(values: list[Any]) -> Outcome:
    return next((measured(raw) for raw in reversed(values) if raw is not None), NoData())
