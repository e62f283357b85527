"""Splunk Observability Cloud (SignalFx): one SignalFlow program, judged by its newest value of the metric's interval.

The program is run over plain HTTP, where the answer is a stream of server-sent events that ends when the program
has reached its end, instead of over a WebSocket.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from flaggerpy.clock import Clock, SystemClock
from flaggerpy.metrics.asking import TIMEOUT_SECONDS, Server, address_of, secret_of, sendable
from flaggerpy.metrics.base import BadQuery, Outcome, ProviderError, ProviderSettings
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.reading import measured, quoted, start

NAME = "Splunk"
KEY = "sf_token_key"
LATE = timedelta(minutes=1)
"""How long after they were measured points are looked for."""


class Splunk:
    """Runs SignalFlow programs.

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
        headers = sendable(NAME, (("X-SF-Token", token),))
        verify = not settings.insecure_skip_verify
        keys = f"{KEY} in the Secret, and the realm in the address"
        self._server = Server(NAME, _streaming(base), outbound, headers, keys, verify, timeout)
        self._clock = clock or SystemClock()

    async def measure(self, query: str, interval: timedelta) -> Outcome:
        """Run a program over the last interval, without waiting for late data."""
        now = self._clock.now()
        begin = now - interval - LATE
        parameters = {
            "start": f"{begin.timestamp() * 1000:.0f}",
            "stop": f"{now.timestamp() * 1000:.0f}",
            "immediate": "true",
        }
        url = f"{self._server.base}/v2/signalflow/execute?{urlencode(parameters)}"
        call = self._server.call("POST", url, query.strip().encode(), "text/plain")
        return await self._server.ask(call, parse, complaint)


def parse(payload: bytes) -> Outcome:
    """Read the stream of events that a program gave until its end."""
    series: set[object] = set()
    newest: object = None
    ended = False
    for kind, message in _events(payload):
        match kind, message:
            case "data", {"data": list() as data}:
                for datum in data:
                    match datum:
                        case {"tsId": str() as name, "value": value} if value is not None:
                            series.add(name)
                            newest = value
            case "error", _:
                return BadQuery(_of_errors(message) or "the program cannot be run, and it does not say why")
            case "control-message", {"event": "CHANNEL_ABORT"}:
                return ProviderError(f"the program was stopped: {_of_abort(message) or 'it does not say why'}")
            case "control-message", {"event": "END_OF_CHANNEL"}:
                ended = True
    if not ended:
        return ProviderError(f"the answer is no finished stream of SignalFlow but begins with {start(payload)}")
    if len(series) > 1:
        return ProviderError(
            f"the program gives {len(series)} series where one is needed: aggregate them, as sum() does"
        )
    return measured(newest)


def complaint(document: Any) -> str:
    """Quote what Splunk itself says is wrong."""
    return quoted(document.get("message")) if isinstance(document, dict) else ""


def _events(payload: bytes) -> Iterator[tuple[str, Any]]:
    """Read server-sent events whose data is JSON; what is none is nobody's event."""
    kind, data = "", list[str]()
    for line in [*payload.decode("utf-8", "replace").splitlines(), ""]:
        name, _, value = line.partition(":")
        if name == "event":
            kind = value.strip()
        elif name == "data":
            data.append(value)
        elif not line and data:
            try:
                yield kind, json.loads("\n".join(data))
            except (ValueError, RecursionError):
                yield kind, None
            kind, data = "", []


def _of_errors(message: Any) -> str:
    match message:
        case {"errors": [{"code": str() as code} as first, *_]}:
            detail = first.get("message") or first.get("context")
            return quoted(f"{code} {detail}" if detail else code)
        case _:
            return complaint(message)


def _of_abort(message: Any) -> str:
    match message:
        case {"abortInfo": {"sf_job_abortReason": str() as text}} | {"abortInfo": str() as text}:
            return quoted(text)
        case _:
            return ""


def _streaming(base: str) -> str:
    """Name the host that runs programs where the address has the API's."""
    parts = urlsplit(base)
    first, dot, rest = parts.netloc.partition(".")
    return urlunsplit(parts._replace(netloc=f"stream{dot}{rest}")) if first == "api" else base
