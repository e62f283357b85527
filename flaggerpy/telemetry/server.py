"""The port that kubelet and Prometheus ask: /healthz, /readyz and /metrics. What healthy means is told from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

Probe = Callable[[], str | None]
"""Says in a sentence what is wrong, None when nothing is."""

_IDLE_SECONDS = 15.0
_SHUTDOWN_SECONDS = 3.0


def make_app(*, live: Probe, ready: Probe, registry: CollectorRegistry, refresh: Callable[[], None]) -> web.Application:
    """Make the application; ``refresh`` brings gauges up to date before a scrape."""

    async def healthz(_: web.Request) -> web.Response:
        return _answer(live())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(ready())

    async def metrics(request: web.Request) -> web.Response:
        refresh()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


@asynccontextmanager
async def serving(app: web.Application, port: int, host: str | None = None) -> AsyncIterator[int]:
    """Serve while the block runs and give the port; without ``host`` on all interfaces, port 0 takes a free one."""
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=_IDLE_SECONDS, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _answer(problem: str | None) -> web.Response:
    if problem is None:
        return web.Response(text="OK")
    return web.Response(status=503, text=problem)
