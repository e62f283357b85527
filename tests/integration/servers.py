"""Servers on loopback that users of canaries run: receivers of webhooks, alerts and events, and a Prometheus."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from flaggerpy.kube.objects import JsonObject

Answer = tuple[int, str]
Before = Callable[["Call"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Call:
    """One request that arrived."""

    path: str
    body: JsonObject
    headers: dict[str, str]

    @property
    def key(self) -> str:
        """The idempotency key."""
        return self.headers["Idempotency-Key"]


@dataclass(slots=True)
class Hooks:
    """A receiver of POSTs whose answers tests choose by path."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    """By path; 200 where none is chosen."""
    before: dict[str, Before] = field(default_factory=dict)
    """What happens by path before the answer is given."""
    most_at_once: int = 0
    """The most calls that were ever open at the same time, for one canary."""
    _open: Counter[str] = field(default_factory=Counter)

    def to(self, path: str) -> list[Call]:
        """Return the calls of one path, oldest first."""
        return [call for call in self.calls if call.path == path]

    def asked(self, path: str) -> int:
        """Return how many questions were asked; one that a write conflict or a crash repeats has the same key."""
        return len({call.key for call in self.to(path)})

    def phases(self, path: str) -> list[str]:
        """Return the phases that one path was told, each once in a row."""
        told = [call.body["phase"] for call in self.to(path)]
        return [phase for index, phase in enumerate(told) if index == 0 or told[index - 1] != phase]

    def close(self, *paths: str, why: str = "not now") -> None:
        """Refuse at these paths."""
        self.answers |= dict.fromkeys(paths, (403, why))

    def open(self, *paths: str) -> None:
        """Pass at these paths."""
        for path in paths:
            self.answers.pop(path, None)

    async def answer(self, request: web.Request) -> web.Response:
        """Take a call."""
        call = Call(request.path.strip("/"), await request.json(), dict(request.headers))
        self.calls.append(call)
        who = str(call.body.get("name"))
        self._open[who] += 1
        self.most_at_once = max(self.most_at_once, self._open[who])
        try:
            if call.path in self.before:
                await self.before[call.path](call)
            status, text = self.answers.get(call.path, (200, "fine"))
            return web.Response(status=status, text=text)
        finally:
            self._open[who] -= 1

    def webhook(self, kind: str, path: str = "", **more: object) -> JsonObject:
        """Write a webhook of a type; it calls the path of its name."""
        name = path or kind
        return {"name": name, "type": kind, "url": f"{self.url}/{name}", **more}


@dataclass(slots=True)
class PrometheusServer:
    """Answers every query the same way, until told otherwise."""

    url: str = ""
    queries: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    value: str | None = "1"
    """The value of every query, None for no data."""
    values: dict[str, str] = field(default_factory=dict)
    """Values of the queries that have these words in them."""
    broken: Callable[[], Awaitable[web.Response]] | None = None
    """Answers instead, when set."""

    async def answer(self, request: web.Request) -> web.Response:
        """Take a query."""
        self.queries.append(request.query.get("query", ""))
        self.authorizations.append(request.headers.get("Authorization", ""))
        if self.broken is not None:
            return await self.broken()
        value = next((value for words, value in self.values.items() if words in self.queries[-1]), self.value)
        result = [] if value is None else [{"metric": {}, "value": [1700000000, value]}]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})


async def server_error() -> web.Response:
    """Fail as a Prometheus that is overloaded."""
    return web.Response(status=500, text="out of memory")


async def login_page() -> web.Response:
    """Answer as a proxy that wants people to log in."""
    return web.Response(text="<html><body>please log in</body></html>", content_type="text/html")


async def several_series() -> web.Response:
    """Give a value for each pod where one value was meant."""
    series = [{"metric": {"pod": pod}, "value": [1700000000, "100"]} for pod in ("a", "b")]
    return web.json_response({"status": "success", "data": {"resultType": "vector", "result": series}})


async def silence() -> web.Response:
    """Answer too late for anybody."""
    await asyncio.sleep(60)
    return web.Response()


@asynccontextmanager
async def _listening(path: str, handler: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", path, handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def receiving() -> AsyncIterator[Hooks]:
    """Receive webhooks while the block lasts."""
    hooks = Hooks()
    async with _listening("/{tail:.*}", hooks.answer) as hooks.url:
        yield hooks


@asynccontextmanager
async def measuring() -> AsyncIterator[PrometheusServer]:
    """Answer queries while the block lasts."""
    server = PrometheusServer()
    async with _listening("/api/v1/query", server.answer) as server.url:
        yield server
