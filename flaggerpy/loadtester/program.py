"""The load tester put together: settings, the parts in their order, start and shutdown."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import structlog
from aiohttp import web

from flaggerpy.clock import SystemClock
from flaggerpy.loadtester.board import Board, MemoryBoard
from flaggerpy.loadtester.children import Children
from flaggerpy.loadtester.gates import Gates
from flaggerpy.loadtester.hands import Hands
from flaggerpy.loadtester.permission import AllowList, Tokens
from flaggerpy.loadtester.procfs import become_subreaper
from flaggerpy.loadtester.remote import Jobs
from flaggerpy.loadtester.results import Results
from flaggerpy.loadtester.runner import Journal, Limits, Runner
from flaggerpy.loadtester.series import Series
from flaggerpy.loadtester.server import Permissions, Server
from flaggerpy.loadtester.shared import shared_board

_LAST_ANSWERS = 5.0

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Settings:
    """What the flags say; times are in seconds, sizes in bytes. An empty address means all of them.

    Attributes:
        state: the ConfigMap in which gates and results are kept, as NAME or NAMESPACE/NAME; empty: in memory.

    """

    port: int = 9090
    address: str = ""
    time_limit: float = 3600.0
    namespaces: re.Pattern[str] = re.compile("")
    max_tasks: int = 100
    output_limit: int = 64 * 1024
    shutdown_grace: float = 20.0
    kill_grace: float = 2.0
    state: str = ""
    tokens: Tokens = field(default_factory=Tokens)
    commands: AllowList = field(default_factory=AllowList)


@asynccontextmanager
async def serving(settings: Settings, *, reap_all: bool = False, board: Board | None = None) -> AsyncIterator[int]:
    """Serve while the context lasts and say on which port; leaving it ends all children.

    On the way out nobody is let in any more, tasks whose callers wait get the grace period, then every
    process is ended and the last answers are written. A board that is given is used in place of that of the settings.
    """
    series, clock = Series(), SystemClock()
    async with AsyncExitStack() as stack:
        shared = board or await stack.enter_async_context(shared_board(settings.state))
        series.shared.set(int(shared is not None))
        kept: Board = shared or MemoryBoard()
        results = Results(kept, clock.now)
        children = await stack.enter_async_context(
            Children(output_limit=settings.output_limit, kill_grace=settings.kill_grace, reap_all=reap_all)
        )
        hands = Hands(children, await stack.enter_async_context(Jobs()))
        limits = Limits(settings.time_limit, settings.max_tasks)
        runner = await stack.enter_async_context(Runner(hands, Journal(series, results), limits, clock.monotonic))
        server = Server(
            gates=Gates(kept, clock.now),
            results=results,
            runner=runner,
            series=series,
            permissions=Permissions(settings.namespaces, settings.tokens, settings.commands),
        )
        # Whoever hangs up needs no answer: nothing is asked for them any more. Tasks go on all the same.
        http = web.AppRunner(server.app(), access_log=None, shutdown_timeout=_LAST_ANSWERS, handler_cancellation=True)
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
        _log.info(
            "load tester is listening",
            port=port,
            timeout=settings.time_limit,
            token_needed=settings.tokens.path is not None,
            commands="allow-list" if settings.commands.patterns else "any",
        )
        await stop.wait()
        _log.info("load tester is shutting down")
    _log.info("load tester has ended")
