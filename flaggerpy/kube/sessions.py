"""A transport over HTTP: three sets of connections, so that watches never starve a write, nor a write a renewal.

Knows HTTP and nothing of Kubernetes but how it says no. Where the server is and how to prove who we are comes from
`transport`.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from ssl import SSLContext
from types import SimpleNamespace, TracebackType
from typing import Self

import aiohttp
from yarl import URL

from flaggerpy import __version__
from flaggerpy.kube.errors import Unreachable, from_answer
from flaggerpy.kube.wire import Request, Response

CONNECT_TIMEOUT = 10.0
IDLE_CONNECTION = 60.0
"""Seconds an idle connection is kept; less than the API server's own limit, so that we are the ones who close it."""
UNDELIVERED_MS = 5_000
"""Milliseconds that the kernel may go on sending what a peer does not acknowledge: as long as lies between the last
write of a leader and the first of its successor. Closing a connection does not stop it, so that after an outage of the
network an old write would arrive late."""
_NO_ANSWER = (aiohttp.ClientError, TimeoutError, OSError)


async def _nobody() -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Server:
    """Where the API server is, how to trust it, and how to prove who we are."""

    url: str
    ssl: SSLContext | None = None
    server_hostname: str | None = None
    proxy: str | None = None
    authorization: Callable[[], Awaitable[str | None]] = _nobody
    """Asked before every request, because tokens expire; returns the header's value."""


class HttpTransport:
    """`wire.Transport` over three aiohttp sessions; use it as an async context manager, or close it."""

    def __init__(self, server: Server, *, user_agent: str = f"flaggerpy/{__version__}") -> None:
        self._server = server
        self._base = server.url.rstrip("/")
        self._agent = user_agent
        self._sessions = {
            "requests": self._session(limit=64),
            "lease": self._session(limit=2),
            "watches": self._session(limit=0),
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()

    async def send(self, request: Request) -> Response:
        """Send a request and return the whole answer, also one that is no success."""
        timeout = aiohttp.ClientTimeout(total=max(request.timeout, 0.001), sock_connect=CONNECT_TIMEOUT)
        try:
            async with await self._begin(request, request.session, timeout) as response:
                body = await response.read()
        except _NO_ANSWER as error:
            raise Unreachable(f"{request.method} {request.path}: {_reason(error)}") from error
        return Response(response.status, body, _retry_after(response))

    async def stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        """Yield an empty line when the answer begins, then its lines as they come."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=request.timeout)
        try:
            async with await self._begin(request, "watches", timeout) as response:
                if response.status != 200:
                    raise from_answer(response.status, await response.read(), _retry_after(response))
                yield b""
                async for line in _lines(response.content):
                    yield line
        except _NO_ANSWER as error:
            raise Unreachable(f"watch of {request.path}: {_reason(error)}") from error

    async def _begin(self, request: Request, session: str, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        headers = {"Accept": request.accept, "User-Agent": self._agent}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        if authorization := await self._server.authorization():
            headers["Authorization"] = authorization
        return await self._sessions[session].request(
            request.method,
            URL(self._base + request.path, encoded=True).extend_query(request.params),
            data=request.body,
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
            proxy=self._server.proxy,
            server_hostname=self._server.server_hostname,
            trace_request_ctx=request.before_send,
        )

    def _session(self, *, limit: int) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=limit,
            ssl=self._server.ssl or True,
            keepalive_timeout=IDLE_CONNECTION,
            socket_factory=_socket,
        )
        last_look = aiohttp.TraceConfig()
        last_look.on_request_headers_sent.append(_before_first_byte)
        session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[last_look]
        )
        # aiohttp would silently repeat a PUT or DELETE on a connection that broke, and the second one then meets
        # the first one's work. There is no public switch.
        session._retry_connection = False
        return session


async def _before_first_byte(
    session: aiohttp.ClientSession,
    context: SimpleNamespace,
    params: aiohttp.TraceRequestHeadersSentParams,
) -> None:
    """Look a last time whether the request may go: aiohttp calls this with the connection at hand, before it writes."""
    if context.trace_request_ctx is not None:
        context.trace_request_ctx()


async def _lines(stream: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """Split a stream into lines of any length (aiohttp's own reader gives up on long ones)."""
    rest = bytearray()
    async for chunk in stream.iter_any():
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            rest += chunk[start:end]
            if rest:
                yield bytes(rest)
            rest.clear()
            start = end + 1
        rest += chunk[start:]


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Open a socket that notices within a minute when the other side has silently gone, and then sends no more."""
    family, kind, protocol, _, _ = address
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    silence = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": UNDELIVERED_MS}
    for option, value in silence.items():
        if hasattr(socket, option):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return opened


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None


def _reason(error: Exception) -> str:
    return str(error) or ("timed out" if isinstance(error, TimeoutError) else type(error).__name__)
