"""No secret in what is told: outcomes of every provider pass through here.

Servers quote what they were sent, and what they say is shown to users. So the values of the Secret, of headers
and of the address are replaced wherever they stand in a reason, also in the forms in which they travel.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from datetime import timedelta
from urllib.parse import quote, quote_plus, unquote, urlsplit

from flaggerpy.metrics.base import BadQuery, MetricProvider, Outcome, ProviderError, ProviderSettings

HIDDEN = "[hidden]"
_SHORTEST_SECRET = 4
"""What is shorter stands in every other sentence, and protects nothing."""
_SHORTEST_HEADER = 8


class Discreet:
    """A provider that says nothing secret."""

    def __init__(self, provider: MetricProvider, settings: ProviderSettings) -> None:
        self.provider = provider
        self._secrets = sorted(set(_secrets(settings)), key=len, reverse=True)

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
    """Replace secrets wherever they stand, the longest of them first."""
    for secret in secrets:
        reason = _without_its_start(reason.replace(secret, HIDDEN), secret)
    return reason


def _without_its_start(reason: str, secret: str) -> str:
    """Hide what a quotation of limited length has left of a secret at its end."""
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
            yield from _forms(line.strip(), _SHORTEST_SECRET)
    if "username" in secret and "password" in secret:
        yield base64.b64encode(f"{secret['username']}:{secret['password']}".encode()).decode()
    for values in settings.headers.values():
        for value in values:
            yield from _forms(value.strip(), _SHORTEST_HEADER)
            yield from _forms(value.strip().rpartition(" ")[2], _SHORTEST_HEADER)
    try:
        password = urlsplit(settings.address).password or ""
    except ValueError:
        return
    yield from _forms(unquote(password), _SHORTEST_SECRET)


def _forms(text: str, shortest: int) -> Iterator[str]:
    if len(text) >= shortest:
        yield from (text, quote(text, safe=""), quote_plus(text), base64.b64encode(text.encode()).decode())
