"""The way of one controller to the API server, which a test can cut: nothing passes then, and neither side is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.cluster.api import Cluster

CHUNK = 64 * 1024


class Cable:
    """Carries TCP connections as they are, so that TLS ends where it always does."""

    def __init__(self, host: str, port: int) -> None:
        self.url = ""
        self._there = host, port
        self._whole = asyncio.Event()
        self._whole.set()
        self._connections: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Let nothing pass: what is sent from now on is lost, and no connection ends."""
        self._whole.clear()

    def mend(self) -> None:
        """Let new connections pass; the others break, unless nothing was sent in them meanwhile."""
        self._whole.set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        connection = asyncio.create_task(self._carry(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def aclose(self) -> None:
        """Break all connections."""
        for connection in self._connections:
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            if not self._whole.is_set():
                await self._whole.wait()
                return
            there, to_there = await asyncio.open_connection(*self._there)
            ends.append(to_there)
            await _first_of(self._pump(reader, to_there), self._pump(there, writer))
        except OSError:
            return  # the API server is not there
        finally:
            for end in ends:
                end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while True:
                data = await source.read(CHUNK)
                if not self._whole.is_set():
                    await self._whole.wait()
                    return
                if not data:
                    return
                sink.write(data)
                await sink.drain()


async def _first_of(*ways: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@asynccontextmanager
async def cable(cluster: Cluster) -> AsyncIterator[Cable]:
    """Lay a cable to the API server for as long as the block lasts."""
    config = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    server = urlsplit(config["clusters"][0]["cluster"]["server"])
    made = Cable(str(server.hostname), server.port or 443)
    listener = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    made.url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        listener.close()
        await made.aclose()
        await listener.wait_closed()
