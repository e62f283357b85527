"""A program for a pod: takes what is posted to it, and tells all of it, in the order in which it came."""

from __future__ import annotations

from typing import Any

from aiohttp import web

PORT = 9898


class Receiver:
    """Keeps bodies of JSON."""

    def __init__(self) -> None:
        self._taken: list[Any] = []

    async def take(self, request: web.Request) -> web.Response:
        """Keep one."""
        self._taken.append(await request.json())
        return web.Response()

    async def tell(self, _: web.Request) -> web.Response:
        """Tell all of them."""
        return web.json_response(self._taken)


async def ready(_: web.Request) -> web.Response:
    """Answer the kubelet."""
    return web.Response()


def main() -> None:
    """Serve until told to end."""
    receiver = Receiver()
    app = web.Application()
    app.add_routes([web.get("/readyz", ready), web.post("/", receiver.take), web.get("/", receiver.tell)])
    web.run_app(app, port=PORT, access_log=None, print=None)


if __name__ == "__main__":
    main()
