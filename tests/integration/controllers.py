"""Controllers that run in the test's own event loop, and the transport through which they may die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from flaggerpy.app import App
from flaggerpy.kube.errors import Unreachable
from flaggerpy.kube.wire import Request, Response, Transport


class Mortal:
    """A transport that writes down what passes through it and, once dead, lets nothing pass."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.requests: list[Request] = []
        self.dead = False

    @property
    def writes(self) -> list[Request]:
        """What was sent in order to change something, but for events and leases."""
        return [
            request
            for request in self.requests
            if request.is_write and "/events" not in request.path and "/leases" not in request.path
        ]

    async def send(self, request: Request) -> Response:
        self._live()
        self.requests.append(request)
        response = await self._inner.send(request)
        self._live()
        return response

    async def stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        self._live()
        async with aclosing(self._inner.stream(request)) as lines:
            async for line in lines:
                self._live()
                yield line

    def _live(self) -> None:
        if self.dead:
            raise Unreachable("the process was killed")


class Controller:
    """A running controller that can be stopped kindly or killed."""

    def __init__(self, app: App, transport: Mortal | None = None) -> None:
        self._app = app
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._transport = transport

    @property
    def writes(self) -> list[Request]:
        """What this controller sent in order to change something, but for events and leases."""
        return [] if self._transport is None else self._transport.writes

    @property
    def seen(self) -> list[str]:
        """The paths that this controller has read, but for watches."""
        return [] if self._transport is None else [r.path for r in self._transport.requests if not r.is_write]

    async def kill(self) -> None:
        """End as SIGKILL does: from now on nothing gets out, not even a farewell."""
        if self._transport is not None:
            self._transport.dead = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def __aenter__(self) -> Controller:
        self._task = asyncio.create_task(self._app.run(self._stop))
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop as SIGTERM does."""
        self._stop.set()
        if self._task is not None:
            await asyncio.wait([self._task])
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                raise error
