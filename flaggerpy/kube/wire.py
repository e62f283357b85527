"""The seam below the client: one request, one answer, one stream.

Tests and crash injection wrap a `Transport`; what speaks HTTP is in `transport`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

Session = Literal["requests", "lease"]
"""Which connections carry a call: renewals of the lease never wait behind anything else."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call to the API server."""

    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    content_type: str = "application/json"
    accept: str = "application/json"
    timeout: float = 10.0
    """Seconds for the whole call; for a stream, the longest silence between two pieces of it."""
    session: Session = "requests"
    before_send: Callable[[], None] | None = None
    """Called when the connection is there and before the first byte; what it raises stops the request."""

    @property
    def is_write(self) -> bool:
        """Tell whether the call may change something on the server."""
        return self.method not in {"GET", "HEAD"}


@dataclass(frozen=True, slots=True)
class Response:
    """The answer, whatever its status."""

    status: int
    body: bytes
    retry_after: float | None = None


class Transport(Protocol):
    """What the client needs from below. Both methods raise `Unreachable` when no whole answer came."""

    async def send(self, request: Request) -> Response:
        """Send a request and return the whole answer, also one that is no success."""
        ...

    def stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        """Yield an empty line when the answer begins, then its lines as they come.

        Raises the `ApiError` of an answer that is no success.
        """
        ...
