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

from flaggerpy.durations import InvalidDuration, format_duration, parse_duration
from flaggerpy.loadtester.board import BoardUnavailable
from flaggerpy.loadtester.errors import NotAllowed, Refused
from flaggerpy.loadtester.gates import Gates, InvalidGate
from flaggerpy.loadtester.payload import Payload
from flaggerpy.loadtester.permission import AllowList, NoToken, Tokens
from flaggerpy.loadtester.results import Results
from flaggerpy.loadtester.runner import Busy, Done, Failed, FailedBefore, Runner
from flaggerpy.loadtester.series import Series
from flaggerpy.loadtester.tasks import RESULT_TYPE, ResultTask, is_true, parse_task

_BODY_LIMIT = 1 << 20
_BODY_SECONDS = 10.0
_DEPENDS_ON_A_FAILURE = 424
"""Not 5xx, so that callers do not try again what another run must mend first, and see the reason."""
_SOON = "5"
_TITLES = {"gate": "gate", "rollback": "rollback gate"}
_IDEMPOTENCY_HEADER = "Idempotency-Key"

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_Answer = Callable[[Payload, web.Request], Awaitable[web.Response]]
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Permissions:
    """Who may ask, and for what."""

    namespaces: re.Pattern[str]
    tokens: Tokens
    commands: AllowList


@dataclass(frozen=True, slots=True)
class Server:
    """What the handlers need, and the handlers."""

    gates: Gates
    results: Results
    runner: Runner
    series: Series
    permissions: Permissions

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
        for kind in _TITLES:
            asking = {
                f"/{kind}/check": self._check(kind),
                f"/{kind}/open": self._open(kind),
                f"/{kind}/close": self._close(kind),
                **asking,  # the path that matches everything stays last
            }
        for path, handler in fixed.items():
            app.router.add_route("*", path, handler)
        for path, answer in asking.items():
            app.router.add_route("*", path, self._asked(answer))
        return app

    def _asked(self, answer: _Answer) -> _Handler:
        """See whether the caller may ask, read the payload and see whether its namespace may ask, then answer."""

        async def handle(request: web.Request) -> web.Response:
            try:
                return self._turned_away(request) or await self._answered(request, answer)
            except (Refused, InvalidGate) as refused:
                _log.warning("request refused", path=request.path, error=str(refused))
                return web.Response(status=400, text=str(refused))
            except NotAllowed as refused:
                self.series.turned_away("command")
                _log.warning("request refused, command not allowed", path=request.path, error=str(refused))
                return web.Response(status=403, text=str(refused))
            except BoardUnavailable as error:
                return web.Response(status=503, text=str(error), headers={"Retry-After": _SOON})

        return handle

    def _turned_away(self, request: web.Request) -> web.Response | None:
        try:
            admitted = self.permissions.tokens.admit(request.headers.get("Authorization", ""))
        except NoToken as error:
            _log.error("nobody may ask, there is no token to compare with", error=str(error))
            admitted = False
        if admitted:
            return None
        self.series.turned_away("token")
        _log.warning("request refused, no valid token", path=request.path)
        sentence = "a token is needed here: send it as Authorization: Bearer TOKEN"
        return web.Response(status=401, text=sentence, headers={"WWW-Authenticate": "Bearer"})

    async def _answered(self, request: web.Request, answer: _Answer) -> web.Response:
        try:
            payload = await _payload(request)
        except TimeoutError:
            return web.Response(status=408, text="the body did not arrive in time")
        if not self.permissions.namespaces.search(payload.namespace):
            self.series.turned_away("namespace")
            _log.warning("request refused, namespace not allowed", canary=payload.canary, path=request.path)
            return web.Response(status=403, text="Forbidden")
        return await answer(payload, request)

    def _check(self, kind: str) -> _Answer:
        async def answer(payload: Payload, request: web.Request) -> web.Response:
            del request
            try:
                is_open = await self.gates.is_open(f"{kind}.{payload.canary}", payload.revision)
            except BoardUnavailable:
                self.series.gate_checked(kind, "unavailable")
                raise
            self._seen()
            self.series.gate_checked(kind, "open" if is_open else "closed")
            _log.info(f"{_TITLES[kind]} check", canary=payload.canary, open=is_open)
            return web.Response(text="Approved") if is_open else web.Response(status=403, text="Forbidden")

        return answer

    def _open(self, kind: str) -> _Answer:
        async def answer(payload: Payload, request: web.Request) -> web.Response:
            del request
            once = is_true(payload.metadata or {}, "once")
            await self.gates.open(f"{kind}.{payload.canary}", _close_after(payload), once=once)
            self._seen()
            _log.info(f"{_TITLES[kind]} opened", canary=payload.canary)
            return web.Response(status=202)

        return answer

    def _close(self, kind: str) -> _Answer:
        async def answer(payload: Payload, request: web.Request) -> web.Response:
            del request
            await self.gates.close(f"{kind}.{payload.canary}")
            self._seen()
            _log.info(f"{_TITLES[kind]} closed", canary=payload.canary)
            return web.Response(status=202)

        return answer

    def _seen(self) -> None:
        self.series.gates.set(self.gates.open_when_last_seen)

    async def _task(self, payload: Payload, request: web.Request) -> web.Response:
        try:
            task = parse_task(payload)
        except Refused:
            self.series.count("unknown", "refused")
            raise
        if isinstance(task, ResultTask):
            return await self._result(task)
        try:
            task = self.permissions.commands.admit(task)
        except NotAllowed:
            self.series.count(task.kind, "refused")
            raise
        report = await self.runner.submit(task, request.headers.get(_IDEMPOTENCY_HEADER, ""))
        match report:
            case Done(output=output):
                return web.Response(status=202) if task.in_background else web.Response(text=output)
            case Failed(sentence=sentence):
                return web.Response(status=500, text=sentence)
            case FailedBefore(sentence=sentence):
                return web.Response(status=_DEPENDS_ON_A_FAILURE, text=sentence)
            case Busy(sentence=sentence):
                return web.Response(status=503, text=sentence, headers={"Retry-After": _SOON})
            case _:
                assert_never(report)

    async def _result(self, task: ResultTask) -> web.Response:
        question = task.question
        found = await self.results.last(question)
        if found is None:
            self.series.result_asked("missing")
            sentence = (
                f'no run of task "{question.task}" of this revision has ended within the last'
                f" {format_duration(question.max_age)}"
            )
            _log.info(sentence, canary=question.canary)
            return web.Response(status=200 if task.none_passes else _DEPENDS_ON_A_FAILURE, text=sentence)
        self.series.result_asked("passed" if found.passed else "failed")
        _log.info("result asked for", type=RESULT_TYPE, canary=question.canary, task=question.task, passed=found.passed)
        return web.Response(status=200 if found.passed else _DEPENDS_ON_A_FAILURE, text=found.sentence)

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
