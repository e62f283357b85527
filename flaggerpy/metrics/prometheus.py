"""Prometheus and whatever speaks its query API."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.outbound import MEBIBYTE, Call, Outbound, OutboundError, Reply, checked_url, place
from flaggerpy.rollout.errors import UserError

TIMEOUT_SECONDS = 5.0
_QUERY_IS_WRONG = frozenset({400, 422})


class Prometheus:
    """Asks one Prometheus server for the value of a query now.

    Raises:
        UserError: the address or the credentials cannot be used.

    """

    def __init__(self, settings: ProviderSettings, outbound: Outbound, *, timeout: float = TIMEOUT_SECONDS) -> None:
        try:
            url = checked_url(settings.address)
        except OutboundError as error:
            raise UserError(f'The Prometheus server "{place(settings.address)}" cannot be used: {error}.') from None
        self._where = place(settings.address)
        self._url = str(url.copy_with(query=None, fragment=None)).rstrip("/") + "/api/v1/query"
        self._headers = _headers(settings)
        self._verify = not settings.insecure_skip_verify
        self._outbound = outbound
        self._timeout = timeout

    async def measure(self, query: str, interval: timedelta) -> Outcome:
        """Run a query; the interval is already inside it."""
        call = Call(
            method="GET",
            url=f"{self._url}?{urlencode({'query': query.strip()})}",
            headers=self._headers,
            seconds=self._timeout,
            size=MEBIBYTE,
            verify=self._verify,
        )
        try:
            reply = await self._outbound.send(call)
        except OutboundError as error:
            return ProviderError(f"Prometheus at {self._where}: {error}", silent=True)
        match _outcome(reply):
            case ProviderError(reason):
                return ProviderError(f"Prometheus at {self._where}: {reason}")
            case outcome:
                return outcome

    async def ping(self) -> str | None:
        """Ask for the one query that every server can answer."""
        match await self.measure("vector(1)", timedelta(minutes=1)):
            case Value(value=1.0):
                return None
            case ProviderError(reason) | BadQuery(reason):
                return reason
            case _:
                return f"Prometheus at {self._where}: it does not know that vector(1) is 1"


def parse(payload: bytes) -> Outcome:
    """Read the body of an answer with status 2xx.

    A result of several series is an error, where Flagger silently took the last: which of them is meant is
    the user's to say, and judging any other would promote or roll back for a wrong reason.
    """
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return ProviderError(f"the answer is not JSON but begins with {_start(payload)}")
    if not isinstance(document, dict) or document.get("status") != "success":
        return ProviderError(_complaint(document) or "the answer does not say that it succeeded")
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


def _outcome(reply: Reply) -> Outcome:
    if reply.truncated:
        return ProviderError("the answer is larger than 1 MiB")
    if not 200 <= reply.status < 300:
        complaint = _complaint(_json(reply.body))
        if complaint and reply.status in _QUERY_IS_WRONG:
            return BadQuery(complaint)
        return ProviderError(f"it answered {reply.status}: {complaint or _start(reply.body)}")
    return parse(reply.body)


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
        case [_, str() | int() | float() as raw] if not isinstance(raw, bool):
            number = _number(raw)
        case _:
            number = None
    if number is None:
        return ProviderError("the answer holds no number")
    return NoData() if math.isnan(number) else Value(number)


def _number(raw: str | float) -> float | None:
    if isinstance(raw, str) and "_" in raw:
        return None
    try:
        return float(raw)
    except (ValueError, OverflowError):
        return None


def _headers(settings: ProviderSettings) -> tuple[tuple[str, str], ...]:
    """Join the template's headers with the secret's credentials, which win over an Authorization header."""
    found = [(name, value) for name, values in settings.headers.items() for value in values]
    if settings.secret is not None:
        found = [(name, value) for name, value in found if name.lower() != "authorization"]
        found.append(("Authorization", _authorization(settings.secret)))
    for name, value in found:
        _refuse_unsendable(name, value)
    return tuple(found)


def _authorization(secret: Mapping[str, str]) -> str:
    if "token" in secret:
        return f"Bearer {secret['token'].strip()}"
    if "username" in secret and "password" in secret:
        pair = f"{secret['username']}:{secret['password']}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"
    raise UserError(
        "The Secret of the Prometheus server must have the key token, or both username and password; "
        f"it has {', '.join(sorted(secret)) or 'none'}."
    )


def _refuse_unsendable(name: str, value: str) -> None:
    usable = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    if not usable or not value.isascii() or any(character in value for character in "\r\n\0"):
        raise UserError(f'The header "{name}" of the Prometheus server has characters that cannot be sent.')


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _complaint(document: Any) -> str:
    """Quote what the server itself says is wrong."""
    if not isinstance(document, dict) or not isinstance(document.get("error"), str):
        return ""
    kind = document.get("errorType")
    text = " ".join(document["error"].split())[:300]
    return f"{kind}: {text}" if isinstance(kind, str) else text


def _start(payload: bytes) -> str:
    text = " ".join(payload[:200].decode("utf-8", "replace").split())[:60]
    return f'"{text}"' if text else "nothing"


def _word(value: object) -> str:
    return value[:20] if isinstance(value, str) else "result of an unknown type"
