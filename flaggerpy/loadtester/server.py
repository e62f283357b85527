"""The HTTP side: paths, who may ask, and what each answer looks like."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import assert_never

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ValidationError

from flaggerpy.durations import InvalidDuration, parse_duration
from flaggerpy.loadtester.gates import Gates
from flaggerpy.loadtester.payload import Payload
from flaggerpy.loadtester.runner import Busy, Done, Failed, Runner
from flaggerpy.loadtester.series import Series
from flaggerpy.loadtester.tasks import Refused, parse_task

_BODY_LIMIT = 1 << 20
_BODY_SECONDS = 10.0

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_Answer = Callable[[Payload], Awaitable[web.Response]]
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Server:
    """What the handlers need, and the handlers."""

    gates: Gates
    runner: Runner
    series: Series
    namespaces: re.Pattern[str]

    def app(self) -> web.Application:
        """Make the application: any method is accepted on any path."""
        app = web.Application(client_max_size=_BODY_LIMIT)
        fixed: dict[str, _Handler] = {
            "/healthz": _fixed(200, "OK"),
            "/metrics": self._metrics,
            "/gate/approve": _fixed(200, "OK"),
            "/gate/halt": _fixed(403, "Forbidden"),
        }
        asking: dict[str, _Answer] = {"/{path:.*}": self._task}
        for path, prefix in (("/gate", ""), ("/rollback", "rollback.")):
            asking = {
                f"{path}/check": self._check(prefix),
                f"{path}/open": self._open(prefix),
                f"{path}/close": self._close(prefix),
                **asking,  # the path that matches everything stays last
            }
        for path, handler in fixed.items():
            app.router.add_route("*", path, handler)
        for path, answer in asking.items():
            app.router.add_route("*", path, self._asked(answer))
        return app

    def _asked(self, answer: _Answer) -> _Handler:
        """Read the payload and see whether its namespace may ask, then answer."""

        async def handle(request: web.Request) -> web.Response:
            try:
                payload = await _payload(request)
            except Refused as refused:
                _log.warning("request refused", path=request.path, error=str(refused))
                return web.Response(status=400, text=str(refused))
            except TimeoutError:
                return web.Response(status=408, text="the body did not arrive in time")
            if not self.namespaces.search(payload.namespace):
                _log.warning("request refused, namespace not allowed", canary=payload.canary, path=request.path)
                return web.Response(status=403, text="Forbidden")
            try:
                return await answer(payload)
            except Refused as refused:
                _log.warning("request refused", canary=payload.canary, path=request.path, error=str(refused))
                return web.Response(status=400, text=str(refused))

        return handle

    def _check(self, prefix: str) -> _Answer:
        async def answer(payload: Payload) -> web.Response:
            is_open = self.gates.is_open(prefix + payload.canary)
            _log.info(f"{prefix}gate check", canary=payload.canary, open=is_open)
            return web.Response(text="Approved") if is_open else web.Response(status=403, text="Forbidden")

        return answer

    def _open(self, prefix: str) -> _Answer:
        async def answer(payload: Payload) -> web.Response:
            self.gates.open(prefix + payload.canary, _close_after(payload))
            self.series.gates.set(len(self.gates))
            _log.info(f"{prefix}gate opened", canary=payload.canary)
            return web.Response(status=202)

        return answer

    def _close(self, prefix: str) -> _Answer:
        async def answer(payload: Payload) -> web.Response:
            self.gates.close(prefix + payload.canary)
            self.series.gates.set(len(self.gates))
            _log.info(f"{prefix}gate closed", canary=payload.canary)
            return web.Response(status=202)

        return answer

    async def _task(self, payload: Payload) -> web.Response:
        try:
            task = parse_task(payload)
        except Refused:
            self.series.count("unknown", "refused")
            raise
        report = await self.runner.submit(task)
        match report:
            case Done(output=output):
                return web.Response(status=202) if task.in_background else web.Response(text=output)
            case Failed(sentence=sentence):
                return web.Response(status=500, text=sentence)
            case Busy(sentence=sentence):
                return web.Response(status=503, text=sentence)
            case _:
                assert_never(report)

    async def _metrics(self, request: web.Request) -> web.Response:
        del request
        return web.Response(body=self.series.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _fixed(status: int, text: str) -> _Handler:
    """Make an answer that depends on nothing; the body is not read."""

    async def handle(request: web.Request) -> web.Response:
        del request
        return web.Response(status=status, text=text)

    return handle


async def _payload(request: web.Request) -> Payload:
    async with asyncio.timeout(_BODY_SECONDS):
        body = await request.read()
    try:
        return Payload.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Refused(f"the body is no webhook payload: {f'{where}: ' if where else ''}{first['msg']}") from error


def _close_after(payload: Payload) -> float | None:
    """How long a gate stays open, when whoever opens it says so; for good otherwise, as in Flagger."""
    text = (payload.metadata or {}).get("closeAfter")
    if not text:
        return None
    try:
        seconds = parse_duration(text).total_seconds()
    except InvalidDuration as error:
        raise Refused(f"metadata.closeAfter: {error}") from error
    if seconds <= 0:
        raise Refused(f'metadata.closeAfter: "{text}" is not longer than zero')
    return seconds
