"""A controller that can die: at a chosen write it goes, and nothing of it reaches anybody any more.

All lives run in the test's own event loop. Dead means that every request of that life fails before it is sent, to the
API server and to hooks alike, that nothing is cleaned up, and that its tasks are cancelled.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import Enum

from flaggerpy.app import App
from flaggerpy.clock import SystemClock
from flaggerpy.kube.errors import Unreachable
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.wire import Request, Response, Transport
from flaggerpy.metrics.outbound import Call, Outbound, OutboundError, Reply
from flaggerpy.settings import Settings
from tests.crash.journal import Died, Journal, Origin, Wrote, is_counted, now, place_of, title_of
from tests.crash.origins import origin


class Mode(Enum):
    """What goes wrong around a write."""

    BEFORE = "dies before"
    AFTER = "dies after"
    LOST = "loses the answer of"


EVERY_WAY = os.environ.get("FLAGGERPY_CRASHES") == "all"
"""Whether each write is disturbed in all three ways, as `make crash` asks for; `make test` has time for one each."""


def ways(place: int, *, every: bool) -> tuple[Mode, ...]:
    """Return in which ways the write at a place of a flow is disturbed: all, or one, another for the next place."""
    return tuple(Mode) if every else (tuple(Mode)[place % len(Mode)],)


def lacking(struck: Collection[Mode], *, every: bool) -> tuple[Mode, ...]:
    """Return in which ways something was not disturbed that was disturbed like this, as far as that is asked for."""
    missing = tuple(mode for mode in Mode if mode not in struck)
    return missing if every or len(missing) == len(Mode) else ()


@dataclass(frozen=True, slots=True)
class Crash:
    """The ``nth`` write of this title, counted from when the trap was set."""

    title: str
    nth: int
    mode: Mode

    def __str__(self) -> str:
        return f"{self.mode.value} {self.title} (no. {self.nth})"


@dataclass(slots=True)
class Trap:
    """Crashes to come, one after the other; each counts from when the one before it struck."""

    crashes: list[Crash] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    struck: list[Crash] = field(default_factory=list)
    origins: list[tuple[Origin, Mode]] = field(default_factory=list)
    """What the crashes that struck stood around."""
    armed: bool = False
    _count: int = 0

    def arm(self) -> None:
        """Begin to count."""
        self.armed = True

    def look(self, title: str) -> Mode | None:
        """Count a write and say what goes wrong with it."""
        if not self.armed:
            return None
        self.seen.append(title)
        if not self.crashes or self.crashes[0].title != title:
            return None
        self._count += 1
        if self._count < self.crashes[0].nth:
            return None
        self._count = 0
        self.struck.append(self.crashes.pop(0))
        return self.struck[-1].mode


class Life:
    """One controller from its start to its death."""

    def __init__(self, number: int, journal: Journal, trap: Trap, on_death: Callable[[], None]) -> None:
        self.number = number
        self.dead = False
        self.journal = journal
        self.trap = trap
        self._on_death = on_death
        self._task: asyncio.Task[None] | None = None
        self._outbound = _MortalOutbound(self)

    def begin(self, settings: Settings, transport: Transport) -> None:
        """Start the controller."""
        app = App(settings, _MortalTransport(self, transport), self._outbound, SystemClock())
        self._task = asyncio.get_running_loop().create_task(app.run(asyncio.Event()), name=f"life {self.number}")

    def die(self) -> None:
        """End at once."""
        if self.dead:
            return
        self.dead = True
        if self._task is not None:
            self._task.cancel()
        self._on_death()

    async def bury(self) -> None:
        """Wait until nothing of a dead life is left; a life that ended by itself is an error."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=20)
            assert self._task.done(), "a dead controller goes on"
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                raise error
        await self._outbound.aclose()


class _MortalTransport:
    """Strikes at the chosen write; passes everything else on while its life lasts."""

    def __init__(self, life: Life, inner: Transport) -> None:
        self._life = life
        self._inner = inner

    async def send(self, request: Request) -> Response:
        life = self._life
        if life.dead:
            raise Unreachable("this controller is dead")
        if not is_counted(request):
            return await self._inner.send(request)
        title = title_of(request)
        mode = life.trap.look(title)
        if mode is not None:
            life.trap.origins.append((origin(), mode))
            life.journal.add(Died(title, mode.value, now()))
        if mode is Mode.BEFORE:
            life.die()
            raise Unreachable("died before it was sent")
        response = await self._write(request, title)
        if mode is not None:
            if mode is Mode.AFTER:
                life.die()
            raise Unreachable("the answer was lost")
        return response

    async def _write(self, request: Request, title: str) -> Response:
        sent, status, made_by = now(), 0, origin()
        answer: JsonObject = {}
        try:
            response = await self._inner.send(request)
            status = response.status
            answer = json.loads(response.body) if status < 300 else {}
            return response
        finally:
            place, number = place_of(request), self._life.number
            wrote = Wrote(title, place, request.method, number, sent, now(), status, answer, made_by)
            self._life.journal.add(wrote)

    async def stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        if self._life.dead:
            raise Unreachable("this controller is dead")
        async with aclosing(self._inner.stream(request)) as lines:
            async for line in lines:
                if self._life.dead:
                    raise Unreachable("this controller is dead")
                yield line


class _MortalOutbound(Outbound):
    """Calls hooks and metrics servers while its life lasts."""

    def __init__(self, life: Life) -> None:
        super().__init__(trust_env=False)
        self._life = life

    async def send(self, call: Call) -> Reply:
        """Make a call unless dead; an answer that comes after death is never seen."""
        if not self._life.dead:
            reply = await super().send(call)
            if not self._life.dead:
                return reply
        raise OutboundError("this controller is dead", retryable=False)
