"""Everything that a controller calls, as one server that answers as in the recording and writes down what it hears."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.replay.story import Call, JsonObject

Answer = tuple[int, str]
PASS: Answer = (200, "OK")


@dataclass(slots=True)
class Surroundings:
    """Prometheus, hooks, receivers of alerts and of events."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    heard: Callable[[], None] = lambda: None
    """Told of every call."""
    _answers: dict[str, list[Answer]] = field(default_factory=dict)
    _values: dict[str, object] = field(default_factory=dict)

    def will_answer(self, path: str, status: int | list[Any], body: str | None) -> None:
        """Answer so at a hook from now on; a list is one answer for each call, of which the last one stays."""
        if isinstance(status, int):
            self._answers[path] = [(status, body or "")]
        else:
            self._answers[path] = _in_turn(status)

    def will_measure(self, match: str, value: object) -> None:
        """Answer queries that contain a text with a value; ``none`` is an empty result, ``error`` a status 500."""
        self._values[match] = value

    def asked(self, path: str, since: int) -> int:
        """Return how often a hook was asked after so many calls."""
        return sum(call.path == path for call in self.calls[since:])

    async def take(self, request: web.Request) -> web.Response:
        """Take a call."""
        if request.path.endswith("/api/v1/query"):
            return self._measure(request.query["query"])
        _, _, *rest = request.path.split("/", 3)
        to, path = ("event-webhook", request.path) if request.path == "/event-webhook" else (rest[0], rest[1])
        body: JsonObject = await request.json()
        self._write_down(Call(to, path, body))
        status, text = self._answer(path)
        return web.Response(status=status, text=text)

    def _answer(self, path: str) -> Answer:
        answers = self._answers.get(path, [PASS])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def _measure(self, query: str) -> web.Response:
        self._write_down(Call("prometheus", query, {}))
        chosen = [value for match, value in self._values.items() if match in query]
        value = chosen[-1] if chosen else _usual(query)
        if value == "error":
            return web.Response(status=500, text="error")
        result = [] if value == "none" else [{"metric": {}, "value": [1700000000, str(value)]}]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})

    def _write_down(self, call: Call) -> None:
        self.calls.append(call)
        self.heard()


def _in_turn(answers: list[Any]) -> list[Answer]:
    """Read a list: one pair of status and body, or answers one after the other: such pairs, or only statuses."""
    if len(answers) == 2 and isinstance(answers[1], str):
        return [(answers[0], answers[1])]
    return [(answer, "") if isinstance(answer, int) else (answer[0], answer[1]) for answer in answers]


def _usual(query: str) -> object:
    if query == "vector(1)":
        return 1
    return 100 if "* 100" in query and "* 1000" not in query else 0.05


@asynccontextmanager
async def surroundings() -> AsyncIterator[Surroundings]:
    """Listen on loopback while the block lasts."""
    one = Surroundings()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", one.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        one.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield one
    finally:
        await runner.cleanup()
