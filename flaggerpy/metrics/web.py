"""Anything that answers with JSON over HTTP: the query is path and parameters, a JSONPath finds the number.

The host comes from the template's address alone, so that no query, and nobody who fills one in, can send the
template's credentials elsewhere.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from flaggerpy.api.templates import WebMetric
from flaggerpy.metrics import jsonpath
from flaggerpy.metrics.asking import Server, address_of
from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.credentials import authority_of, headers_of
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.reading import measured, read
from flaggerpy.rollout.errors import UserError

NAME = "web"
KEYS = "token, or username and password, or header.<name>, in the Secret"
LONGEST_SECONDS = 60


class Web:
    """Asks one HTTP server for JSON.

    Raises:
        UserError: the address, the request or the credentials cannot be used.

    """

    def __init__(self, settings: ProviderSettings, outbound: Outbound, *, timeout: float | None = None) -> None:
        self._request = settings.web or WebMetric()
        _refuse_unusable(self._request, settings.address)
        self._path = jsonpath.compiled(self._request.json_path)
        headers = headers_of(settings, NAME)
        typed = any(name.lower() == "content-type" for name, _ in headers)
        self._kind = "" if typed or not self._request.body else "application/json"
        self._server = Server(
            NAME,
            address_of(settings, NAME),
            outbound,
            headers,
            KEYS,
            not settings.insecure_skip_verify,
            timeout or self._request.timeout_seconds,
            authority_of(settings, NAME),
        )

    async def measure(self, query: str, interval: timedelta) -> Outcome:
        """Ask for what stands at a path below the address; only a GET is asked again after a hiccup."""
        try:
            path = checked_path(query)
        except UserError as error:
            return BadQuery(str(error).rstrip("."))
        content = self._request.body.encode() if self._request.body else None
        call = self._server.call(self._request.method, self._server.base + path, content, self._kind)
        return await self._server.ask(
            call, lambda payload: parse(payload, self._path), _no_complaint, again=call.method == "GET"
        )


def parse(payload: bytes, path: tuple[jsonpath.Step, ...]) -> Outcome:
    """Read the body of an answer with status 2xx; true counts as 1 and false as 0."""
    return read(payload, lambda document: _single(jsonpath.select(path, document)))


def checked_path(query: str) -> str:
    """Return what stands below the address.

    Raises:
        UserError: the query is no path with parameters, or climbs out of the address.

    """
    path = query.strip()
    if not path.startswith(("/", "?")):
        raise UserError(
            f'The query of a web metric is a path with parameters below its address, and begins with / or ?, not with "'
            f'{path[:20]}".'
        )
    if ".." in unquote(path.partition("?")[0]).split("/"):
        raise UserError('The query of a web metric must stay below its address: write the path without "..".')
    return path


def _refuse_unusable(request: WebMetric, address: str) -> None:
    if request.body and request.method == "GET":
        raise UserError("A web metric with method GET sends no body: write method POST, or remove body.")
    if not 0 < request.timeout_seconds <= LONGEST_SECONDS:
        raise UserError(f"The timeoutSeconds of a web metric must be from 1 to {LONGEST_SECONDS}.")
    try:
        parameters = urlsplit(address).query
    except ValueError:
        return
    if parameters:
        raise UserError("The address of a web metric has no parameters: write all from the ? on into spec.query.")


def _single(found: list[Any]) -> Outcome:
    match found:
        case []:
            return NoData()
        case [bool() as truth]:
            return Value(float(truth))
        case [None | int() | float() as raw]:
            return measured(raw)
        case [str() as text] if not isinstance(outcome := measured(text), ProviderError):
            return outcome
        case [other]:
            return ProviderError(f"the jsonPath finds {_kind(other)} where a number is needed")
        case _:
            return ProviderError(f"the jsonPath finds {len(found)} values where one is needed: choose one, as [0] does")


def _kind(value: object) -> str:
    return "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else "a text"


def _no_complaint(_: object) -> str:
    return ""
