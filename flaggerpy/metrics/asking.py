"""How providers ask their servers: address and headers checked once, refusals told alike, hiccups asked again.

A server is asked again, within the same limit of time, where the next answer may be another: the connection
broke, or it said 429, 502, 503 or 504. What a provider asks changes nothing, so asking twice does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from flaggerpy.api import hookcall
from flaggerpy.metrics.base import BadQuery, Outcome, ProviderError, ProviderSettings
from flaggerpy.metrics.outbound import MEBIBYTE, Call, Outbound, OutboundError, Reply, checked_url, place
from flaggerpy.metrics.reading import json_of, start
from flaggerpy.metrics.tokens import NotLent
from flaggerpy.rollout.errors import UserError

TIMEOUT_SECONDS = 5.0
"""The limit of a whole measurement where a provider has no other; it is Flagger's."""
PAUSES = (0.2, 0.8)
"""Seconds before the second and the third attempt."""
_AGAIN = frozenset({429, 502, 503, 504})
_QUERY_IS_WRONG = frozenset({400, 422})

Parse = Callable[[bytes], Outcome]
Complaint = Callable[[Any], str]
"""Finds what a server itself says is wrong in the JSON of its answer; empty when it says nothing."""
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Server:
    """One metrics server and what it is sent along with each question.

    Attributes:
        name: what users call it, as in "Datadog".
        base: its address without a slash at the end.
        keys: what users should look at when it refuses their credentials, as in "the key token of the Secret".
        seconds: limit for all attempts together.
        ca: certificates in PEM that are trusted instead of the usual ones.

    """

    name: str
    base: str = field(repr=False)
    outbound: Outbound
    headers: Headers = field(default=(), repr=False)
    keys: str = ""
    verify: bool = True
    seconds: float = TIMEOUT_SECONDS
    ca: str = field(default="", repr=False)

    async def get(self, path: str, parameters: Mapping[str, str], parse: Parse, complaint: Complaint) -> Outcome:
        """Ask with GET and read the answer."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        return await self.ask(self.call("GET", f"{self.base}{path}{query}"), parse, complaint)

    def call(self, method: str, url: str, content: bytes | None = None, kind: str = "") -> Call:
        """Build a request to this server; ``kind`` is the type of what is sent."""
        headers = (*self.headers, ("Content-Type", kind)) if kind else self.headers
        return Call(method, url, headers, content, self.seconds, MEBIBYTE, self.verify, authorities=self.ca)

    async def ask(self, call: Call, parse: Parse, complaint: Complaint, *, again: bool = True) -> Outcome:
        """Send a request, ``again`` where that may help and does no harm, and read the answer."""
        try:
            reply = await (send(self.outbound, call) if again else self.outbound.send(call))
        except OutboundError as error:
            return self.silent(error)
        match outcome_of(reply, parse, complaint, self.keys):
            case ProviderError(reason):
                return self.error(reason)
            case outcome:
                return outcome

    def silent(self, error: Exception) -> ProviderError:
        """Say that the server gave no answer at all, and why."""
        return ProviderError(self.error(str(error)).reason, silent=True)

    def without_credentials(self, error: NotLent) -> ProviderError:
        """Say that the server was not asked, and why; who lends counts as a part of it."""
        return self.silent(error) if error.silent else self.error(str(error))

    def error(self, reason: str) -> ProviderError:
        """Say which server could not answer, and why."""
        return ProviderError(f"{self.name} at {place(self.base)}: {reason}")


async def send(outbound: Outbound, call: Call) -> Reply:
    """Make a call that does no harm when it is made twice, up to three times within its limit of time.

    Raises:
        OutboundError: no attempt had an answer.

    """
    last: Reply | OutboundError = OutboundError(f"no answer within {call.seconds:g} s", retryable=True)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(call.seconds):
            for pause in (*PAUSES, None):
                last = await _attempt(outbound, call)
                if pause is None or not _may_change(last):
                    break
                await asyncio.sleep(pause)
    if isinstance(last, OutboundError):
        raise last
    return last


async def _attempt(outbound: Outbound, call: Call) -> Reply | OutboundError:
    try:
        return await outbound.send(call)
    except OutboundError as error:
        return error


def _may_change(last: Reply | OutboundError) -> bool:
    return last.retryable if isinstance(last, OutboundError) else last.status in _AGAIN


def outcome_of(reply: Reply, parse: Parse, complaint: Complaint, keys: str = "") -> Outcome:
    """Read an answer; only a body of the expected kind says anything about the canary."""
    if reply.truncated:
        return ProviderError("the answer is larger than 1 MiB")
    if 200 <= reply.status < 300:
        return parse(reply.body)
    said = complaint(json_of(reply.body))
    if said and reply.status in _QUERY_IS_WRONG:
        return BadQuery(said)
    hint = f"; check {keys}" if keys and reply.status in {401, 403} else ""
    return ProviderError(f"it answered {reply.status}: {said or start(reply.body)}{hint}")


def address_of(settings: ProviderSettings, name: str, default: str = "") -> str:
    """Return the address to ask below, without a slash at its end.

    Raises:
        UserError: it is missing, or no address of a server.

    """
    address = settings.address or default
    try:
        url = checked_url(address)
    except OutboundError as error:
        raise UserError(f'The {name} server "{place(address)}" cannot be used: {error}.') from None
    return str(url.copy_with(query=None, fragment=None)).rstrip("/")


def secret_of(settings: ProviderSettings, name: str, *keys: str) -> tuple[str, ...]:
    """Return what the Secret has under these keys, without blanks around it.

    Raises:
        UserError: there is no Secret, or a key is missing or empty.

    """
    if settings.secret is None:
        raise UserError(f"{name} needs credentials: name a Secret with {_listed(keys)} in spec.provider.secretRef.")
    found = tuple(settings.secret[key].strip() if key in settings.secret else "" for key in keys)
    if not all(found):
        has = ", ".join(sorted(settings.secret)) or "none"
        raise UserError(f"The Secret of {name} must have {_listed(keys)}; it has {has}.")
    return found


def sendable(name: str, headers: Headers) -> Headers:
    """Return headers as they are.

    Raises:
        UserError: one has characters that cannot be sent; its value is not told.

    """
    for header, value in headers:
        if not (hookcall.is_name(header) and hookcall.sendable(value)):
            raise UserError(f'The header "{header}" of the {name} server has characters that cannot be sent.')
    return headers


def _listed(keys: tuple[str, ...]) -> str:
    word = "key" if len(keys) == 1 else "keys"
    return f"the {word} {' and '.join(keys)}"
