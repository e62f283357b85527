"""No secret in what is told: outcomes of every provider pass through here, and what webhooks and chats answer.

Servers quote what they were sent, and what they say is shown to users. So the values of the Secret, of headers
and of the address are replaced wherever they stand in a reason, also in the forms in which they travel.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from datetime import timedelta
from urllib.parse import quote, quote_plus, unquote, urlsplit

from flaggerpy.metrics.base import BadQuery, MetricProvider, Outcome, ProviderError, ProviderSettings

HIDDEN = "[hidden]"
_SHORTEST_SECRET = 4
"""What is shorter stands in every other sentence, and protects nothing."""
_SHORTEST_HEADER = 8
_SHORTEST_SEGMENT = 12


class Discreet:
    """A provider that says nothing secret."""

    def __init__(self, provider: MetricProvider, settings: ProviderSettings) -> None:
        self.provider = provider
        self._secrets = frozenset(_secrets(settings))

    async def measure(self, query: str, interval: timedelta) -> Outcome:
        """Run a rendered query."""
        match await self.provider.measure(query, interval):
            case ProviderError(reason, silent):
                return ProviderError(self._hidden(reason), silent)
            case BadQuery(reason):
                return BadQuery(self._hidden(reason))
            case outcome:
                return outcome

    def _hidden(self, reason: str) -> str:
        return hidden(reason, self._secrets)


def hidden(reason: str, secrets: Iterable[str]) -> str:
    """Replace secrets wherever they stand, the longest of them first: one may contain another."""
    for secret in sorted(filter(None, secrets), key=lambda secret: (-len(secret), secret)):
        reason = _without_its_start(reason.replace(secret, HIDDEN), secret)
    return reason


def forms(text: str, shortest: int = _SHORTEST_SECRET) -> Iterator[str]:
    """Give a secret in every form in which it travels; nothing of one that is too short to be looked for."""
    if len(text) >= shortest:
        encoded = base64.b64encode(text.encode("utf-8", "replace")).decode()
        yield from (text, quote(text, safe=""), quote_plus(text), encoded, json.dumps(text)[1:-1])


def forms_of_address(address: str) -> Iterator[str]:
    """Give what an address keeps to itself where it is a secret: all but scheme and host, as a whole and in parts."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return
    path = parts.path.strip("/")
    for text in (parts.netloc.rpartition("@")[0], path, parts.query, f"{path}?{parts.query}"):
        yield from forms(text)
        yield from forms(unquote(text))
    for segment in path.split("/"):
        yield from forms(segment, _SHORTEST_SEGMENT)


def _without_its_start(reason: str, secret: str) -> str:
    """Hide what a quotation of limited length has left of a secret at its end."""
    if secret[:_SHORTEST_SECRET] not in reason:
        return reason
    for length in range(min(len(secret), len(reason)), _SHORTEST_SECRET - 1, -1):
        if reason.endswith(secret[:length]):
            return reason[:-length] + HIDDEN
        reason = reason.replace(f'{secret[:length]}"', f'{HIDDEN}"')
    return reason


def _secrets(settings: ProviderSettings) -> Iterator[str]:
    """List what may not be told, in every form in which it is sent."""
    secret = settings.secret or {}
    for text in secret.values():
        for line in (text, *text.splitlines()):
            yield from forms(line.strip())
    if "username" in secret and "password" in secret:
        yield base64.b64encode(f"{secret['username']}:{secret['password']}".encode()).decode()
    for values in settings.headers.values():
        for value in values:
            yield from forms(value.strip(), _SHORTEST_HEADER)
            yield from forms(value.strip().rpartition(" ")[2], _SHORTEST_HEADER)
    try:
        password = urlsplit(settings.address).password or ""
    except ValueError:
        return
    yield from forms(unquote(password))
