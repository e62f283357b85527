"""A program for a pod: slow in the first seconds in which it has users, as with cold caches; it loses no request."""

from __future__ import annotations

import asyncio
import socket
import sys

from aiohttp import web

PORT = 9898
COLD = 20.0
"""Seconds from the first user on in which every answer is slow."""
SLOW = 1.5
"""Seconds that such an answer takes."""


class Server:
    """Answers as podinfo does, with its version and the name of its pod."""

    def __init__(self, version: str) -> None:
        self._who = {"version": version, "hostname": socket.gethostname()}
        self._warm_at: float | None = None

    async def answer(self, _: web.Request) -> web.Response:
        """Answer a user."""
        now = asyncio.get_running_loop().time()
        if self._warm_at is None:
            self._warm_at = now + COLD
        if now < self._warm_at:
            await asyncio.sleep(SLOW)
        return web.json_response(self._who)


async def ready(_: web.Request) -> web.Response:
    """Answer the kubelet, which is no user."""
    return web.Response()


def main() -> None:
    """Serve until told to end."""
    app = web.Application()
    app.add_routes([web.get("/readyz", ready), web.get("/", Server(sys.argv[1]).answer)])
    web.run_app(app, port=PORT, access_log=None, print=None)


if __name__ == "__main__":
    main()
