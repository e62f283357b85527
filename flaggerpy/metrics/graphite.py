"""Graphite and whatever renders its targets as JSON: graphite-web, graphite-api, carbonapi."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flaggerpy.metrics.asking import TIMEOUT_SECONDS, Server, address_of, outcome_of, send
from flaggerpy.metrics.base import BadQuery, Outcome, ProviderError, ProviderSettings
from flaggerpy.metrics.credentials import authority_of, headers_of
from flaggerpy.metrics.outbound import Outbound, OutboundError, Reply
from flaggerpy.metrics.points import newest
from flaggerpy.metrics.reading import quoted, read
from flaggerpy.rollout.errors import UserError

NAME = "Graphite"
KEYS = "username and password in the Secret"
_WINDOW = 10
"""How many intervals are asked for where the query has no ``from``: enough for a point, too few for yesterday's."""
_SHORTEST_WINDOW = timedelta(minutes=10)
_TEXT = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
Parameters = list[tuple[str, str]]


class Graphite:
    """Asks one Graphite server to render one target.

    Raises:
        UserError: the address or the credentials cannot be used.

    """

    def __init__(self, settings: ProviderSettings, outbound: Outbound, *, timeout: float = TIMEOUT_SECONDS) -> None:
        base, verify = address_of(settings, NAME), not settings.insecure_skip_verify
        headers, ca = headers_of(settings, NAME), authority_of(settings, NAME)
        self._server = Server(NAME, base, outbound, headers, KEYS, verify, timeout, ca)

    async def measure(self, query: str, interval: timedelta) -> Outcome:
        """Render a query, which is the query string of a URL, as in ``target=sumSeries(a.*)&from=-5min``."""
        try:
            parameters = parameters_of(query)
        except UserError as error:
            return BadQuery(str(error).rstrip("."))
        asked = [*parameters, *_since(parameters, interval), ("format", "json")]
        call = self._server.call("GET", f"{self._server.base}/render?{urlencode(asked)}")
        try:
            reply = await send(self._server.outbound, call)
        except OutboundError as error:
            return self._server.silent(error)
        match _outcome(reply):
            case ProviderError(reason):
                return self._server.error(reason)
            case outcome:
                return outcome


def parameters_of(query: str) -> Parameters:
    """Read a query as Flagger does; the format of the answer is not the query's to choose.

    Raises:
        UserError: it has no target, one that Graphite cannot read, or more than one, of which none can be chosen.

    """
    parameters = parse_qsl(" ".join(query.split()), keep_blank_values=True)
    targets = [value for name, value in parameters if name == "target"]
    if not any(target.strip() for target in targets):
        raise UserError("The query of Graphite has no target: write it as target=sumSeries(a.b.*).")
    if len(targets) > 1:
        raise UserError(f"The query of Graphite has {len(targets)} targets where one is needed: combine them into one.")
    _refuse_open_ends(targets[0])
    return [(name, value) for name, value in parameters if name != "format"]


def _refuse_open_ends(target: str) -> None:
    """See that each parenthesis is closed: Graphite would answer with nothing, as if there were no points."""
    outside = _TEXT.sub("", target)
    opened, closed = outside.count("("), outside.count(")")
    if opened != closed:
        raise UserError(
            f"The target of Graphite's query opens {opened} parentheses and closes {closed}, which Graphite answers "
            "with nothing: close each one, and write a & in a target as %26."
        )


def parse(payload: bytes) -> Outcome:
    """Read the body of an answer with status 2xx: of one series the newest point that is not null."""
    return read(payload, _interpreted)


def _interpreted(document: Any) -> Outcome:
    if not isinstance(document, list):
        return ProviderError("the answer is no list of series")
    series = [_points(one) for one in document]
    if any(points is None for points in series):
        return ProviderError("the answer has a series without datapoints")
    return newest((points for points in series if points), "combine them, as sumSeries() does")


def _points(series: Any) -> list[Any] | None:
    points = series.get("datapoints") if isinstance(series, dict) else None
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        return None
    return [value for value, _ in points]


def _outcome(reply: Reply) -> Outcome:
    """Graphite complains of a query with status 400 and plain text; HTML is what stands before it."""
    text = quoted(reply.body[:4096].decode("utf-8", "replace"))
    if reply.status == 400 and text and not text.startswith("<"):
        return BadQuery(text)
    return outcome_of(reply, parse, lambda _: "", KEYS)


def _since(parameters: Parameters, interval: timedelta) -> Parameters:
    if any(name == "from" for name, _ in parameters):
        return []
    window = max(_WINDOW * interval, _SHORTEST_WINDOW)
    return [("from", f"-{window // timedelta(seconds=1)}s")]
