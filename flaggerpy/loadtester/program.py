"""The load tester put together: settings, the parts in their order, start and shutdown."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from aiohttp import web

from flaggerpy.clock import SystemClock
from flaggerpy.loadtester.children import Children
from flaggerpy.loadtester.gates import Gates
from flaggerpy.loadtester.procfs import become_subreaper
from flaggerpy.loadtester.runner import Limits, Runner
from flaggerpy.loadtester.series import Series
from flaggerpy.loadtester.server import Server

_LAST_ANSWERS = 5.0

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Settings:
    """What the flags say; times are in seconds, sizes in bytes. An empty address means all of them."""

    port: int = 9090
    address: str = ""
    time_limit: float = 3600.0
    namespaces: re.Pattern[str] = re.compile("")
    max_tasks: int = 100
    output_limit: int = 64 * 1024
    shutdown_grace: float = 20.0
    kill_grace: float = 2.0


@asynccontextmanager
async def serving(settings: Settings, *, reap_all: bool = False) -> AsyncIterator[int]:
    """Serve while the context lasts and say on which port; leaving it ends all children.

    On the way out nobody is let in any more, tasks whose callers wait get the grace period, then every
    process is ended and the last answers are written.
    """
    series, monotonic = Series(), SystemClock().monotonic
    async with AsyncExitStack() as stack:
        children = await stack.enter_async_context(
            Children(output_limit=settings.output_limit, kill_grace=settings.kill_grace, reap_all=reap_all)
        )
        runner = await stack.enter_async_context(
            Runner(children, series, Limits(settings.time_limit, settings.max_tasks), monotonic)
        )
        gates = Gates(monotonic)
        app = Server(gates=gates, runner=runner, series=series, namespaces=settings.namespaces).app()
        http = web.AppRunner(app, access_log=None, shutdown_timeout=_LAST_ANSWERS)
        await http.setup()
        stack.push_async_callback(http.cleanup)
        site = web.TCPSite(http, settings.address or None, settings.port)
        await site.start()
        yield http.addresses[0][1]
        await site.stop()
        await runner.drain(settings.shutdown_grace)


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(settings, reap_all=become_subreaper()) as port:
        _log.info("load tester is listening", port=port, timeout=settings.time_limit)
        await stop.wait()
        _log.info("load tester is shutting down")
    _log.info("load tester has ended")
