"""How this process calls servers that users named: metrics servers, webhooks and chat receivers.

Every call is bounded in time (the whole exchange, body included) and in size, stays on http and
https, and follows a redirect only within the same host, and only with what was to be sent. Cookies
are not kept, because the connections are shared between canaries. Nothing here knows what is asked
or what an answer means.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType

import httpx

from flaggerpy import __version__

MAX_REDIRECTS = 10
_WITHOUT_BODY = frozenset({301, 302, 303})
"""Redirects that are followed with GET, as browsers and Go's client do, so that what was to be sent is lost."""
_IDLE_SECONDS = 2.0
"""Shorter than any server keeps an idle connection: a call must not fail because a server hung up just then."""
MEBIBYTE = 1024 * 1024


class OutboundError(Exception):
    """No answer; the message is a clause without secrets, such as "connection refused".

    ``retryable`` tells whether the same call may succeed a little later.
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request; addresses, headers and bodies may hold secrets and stay out of the repr.

    Attributes:
        seconds: limit for the whole exchange, redirects and body included.
        size: how many bytes of the answer are read.
        proxy: URL of a proxy, empty for the process' own settings.
        authorities: PEM certificates of whom to trust, empty for those whom the process trusts.
        follow: redirects within the same host are followed if they keep method and body; else they are errors.

    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] | tuple[tuple[str, str], ...] = field(default=(), repr=False)
    content: bytes | None = field(default=None, repr=False)
    seconds: float = 5.0
    size: int = MEBIBYTE
    verify: bool = True
    proxy: str = field(default="", repr=False)
    authorities: str = field(default="", repr=False)
    follow: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered; ``truncated`` when its body was larger than asked for."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)
    truncated: bool = False


class Outbound:
    """Shared HTTP connections to servers outside the cluster's API.

    Clients are made at first use, one that verifies certificates and one that does not. ``trust_env`` false
    ignores the proxy settings of the environment.
    """

    def __init__(self, *, trust_env: bool = True) -> None:
        self._trust_env = trust_env
        self._clients: dict[bool, httpx.AsyncClient] = {}

    async def __aenter__(self) -> Outbound:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()

    async def send(self, call: Call) -> Reply:
        """Make one call.

        Raises:
            OutboundError: there is no answer: refused, reset, too slow, or not to be asked at all.

        """
        try:
            async with asyncio.timeout(call.seconds):
                if not (call.proxy or call.authorities):
                    return await self._exchange(self._shared(call.verify), call)
                async with self._client(self._trust(call), call.proxy or None) as client:
                    return await self._exchange(client, call)
        except TimeoutError:
            raise OutboundError(f"no answer within {call.seconds:g} s", retryable=True) from None
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL, ValueError):
            # The text of these quotes the header, the address or the proxy, which can be secret.
            raise OutboundError("the request cannot be sent as it is written", retryable=False) from None
        except httpx.HTTPError as error:
            raise OutboundError(_clause(error), retryable=not _bad_certificate(error)) from None
        except OSError as error:
            raise OutboundError(_clause(error), retryable=True) from None

    async def _exchange(self, client: httpx.AsyncClient, call: Call) -> Reply:
        url = checked_url(call.url)
        for _ in range(MAX_REDIRECTS + 1):
            headers = _headers(call.headers)
            request = client.build_request(call.method, url, headers=headers, content=call.content)
            # A user in the address is sent as basic auth, but not in the place of what is to be sent.
            own = any(name.lower() == "authorization" for name, _ in headers)
            response = await client.send(request, stream=True, auth=httpx.Auth() if own else httpx.USE_CLIENT_DEFAULT)
            try:
                if not response.has_redirect_location:
                    return await _read(response, call.size)
                url = _followed(call, url, response)
            finally:
                await response.aclose()
        raise OutboundError(f"it was redirected more than {MAX_REDIRECTS} times", retryable=False)

    def _shared(self, verify: bool) -> httpx.AsyncClient:
        if verify not in self._clients:
            self._clients[verify] = self._client(_context(verify, self._trust_env), None)
        return self._clients[verify]

    def _trust(self, call: Call) -> ssl.SSLContext:
        if not (call.authorities and call.verify):
            return _context(call.verify, self._trust_env)
        try:
            return trusting(call.authorities)
        except ValueError:
            raise OutboundError("the certificates to trust it by cannot be read as PEM", retryable=False) from None

    def _client(self, trust: ssl.SSLContext, proxy: str | None) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=trust,
            proxy=proxy,
            trust_env=self._trust_env,
            timeout=None,  # noqa: S113 - asyncio.timeout in send bounds the exchange as a whole
            headers={"User-Agent": f"flaggerpy/{__version__}", "Accept-Encoding": "identity"},
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            limits=httpx.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=_IDLE_SECONDS),
        )


@cache
def _context(verify: bool, trust_env: bool) -> ssl.SSLContext:
    """Make a context once for all connections, because reading the root certificates takes a while."""
    return httpx.create_ssl_context(verify=verify, trust_env=trust_env)


@lru_cache(maxsize=32)
def trusting(ca: str) -> ssl.SSLContext:
    """Make a context that trusts these certificates and no others.

    Raises:
        ValueError: the text is no certificate in PEM.

    """
    try:
        return ssl.create_default_context(cadata=ca)
    except ssl.SSLError as error:
        raise ValueError("not a certificate in PEM") from error


def checked_url(text: str) -> httpx.URL:
    """Parse an absolute http or https URL.

    Raises:
        OutboundError: it is anything else.

    """
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError):
        raise OutboundError("its address is not a URL", retryable=False) from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise OutboundError("its address must begin with http:// or https://", retryable=False)
    if url.port is not None and not 0 < url.port < 65536:
        raise OutboundError("its address has a port that does not exist", retryable=False)
    return url


def redirected(url: httpx.URL, location: str) -> httpx.URL:
    """Give the next URL of a redirect within the same host; only http to https may change the port.

    Raises:
        OutboundError: the redirect leads elsewhere, where our headers and payloads were not meant to go.

    """
    try:
        target = url.join(location)
    except (httpx.InvalidURL, ValueError):
        raise OutboundError("it was redirected to something that is not a URL", retryable=False) from None
    same_origin = (target.scheme, target.host, target.port) == (url.scheme, url.host, url.port)
    upgraded = target.host == url.host and (url.scheme, target.scheme) == ("http", "https")
    if not (same_origin or upgraded):
        raise OutboundError(
            f"it was redirected to another host ({target.scheme}://{place(str(target))}), which is not followed: "
            "write the final address instead",
            retryable=False,
        )
    return target


def place(url: str) -> str:
    """Name the server of a URL without the parts that can hold secrets: path, query and user."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        return "an invalid address"
    return parsed.netloc.decode("ascii", "replace") or "an invalid address"


def _headers(headers: Mapping[str, str] | tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    found = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    if any(character in text for pair in found for text in pair for character in "\r\n\0"):
        raise ValueError("a header has more than one line")
    return found


def _followed(call: Call, url: httpx.URL, response: httpx.Response) -> httpx.URL:
    """Give the URL that a redirect leads to, if the same call can be made there.

    Raises:
        OutboundError: it leads elsewhere, or what was to be sent would not arrive.

    """
    target = redirected(url, response.headers["location"])
    if not call.follow:
        but = "which is not followed"
    elif response.status_code in _WITHOUT_BODY and call.method not in {"GET", "HEAD"}:
        but = f"where a {call.method} arrives as a GET without its body"
    else:
        return target
    raise OutboundError(
        f"it answered {response.status_code}, a redirect to {_seen_from(url, target)}, {but}: "
        "write the final address instead",
        retryable=False,
    )


def _seen_from(url: httpx.URL, target: httpx.URL) -> str:
    """Say where a redirect leads without the parts of an address that can hold secrets."""
    if (target.port, target.query, target.path.rstrip("/")) == (url.port, url.query, url.path.rstrip("/")):
        changes = [("https", target.scheme != url.scheme)]
        changes += [("a / at its end", len(target.path) > len(url.path))]
        if found := " and ".join(change for change, there in changes if there):
            return f"the same address with {found}"
    return f"another address of {target.scheme}://{place(str(target))}"


async def _read(response: httpx.Response, size: int) -> Reply:
    """Read at most ``size`` bytes as sent; what a server compresses unasked is not inflated here."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > size:
            break
    return Reply(response.status_code, response.headers, bytes(body[:size]), truncated=len(body) > size)


def _bad_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _clause(error: Exception) -> str:
    """Say what went wrong; some of these exceptions have no text of their own."""
    text = str(error).strip()
    match error:
        case httpx.ConnectError():
            return f"cannot connect: {text}" if text else "cannot connect"
        case httpx.RemoteProtocolError() | httpx.ReadError() | httpx.WriteError():
            return f"the connection broke: {text}" if text else "the connection broke"
        case _:
            return text or type(error).__name__
