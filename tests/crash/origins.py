"""What made a write, read from the stack before it is handed to the task that sends it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from unittest.mock import patch

from flaggerpy.kube.client import Client
from flaggerpy.kube.wire import Request, Response
from tests.crash.journal import Origin

ROOM = "flaggerpy.controller."
_MEANS = f"{ROOM}writes"
"""How anything is written; what is written and why is said by whoever calls it."""
_ORIGIN: ContextVar[Origin] = ContextVar("origin", default=Origin())  # noqa: B039 -- it never changes


@contextmanager
def remembered() -> Iterator[None]:
    """Have every write of every controller know what made it."""
    with patch.object(Client, "_finish", _finish):
        yield


def origin() -> Origin:
    """Return what made the write that this task sends."""
    return _ORIGIN.get()


_sent = vars(Client)["_finish"]


async def _finish(client: Client, request: Request) -> Response:
    token = _ORIGIN.set(_read())
    try:
        response: Response = await _sent(client, request)
        return response
    finally:
        _ORIGIN.reset(token)


def _read() -> Origin:
    """Name the action that is carried out and the function of the shell that writes."""
    frames = [frame for frame in _frames() if _module(frame).startswith(ROOM) and _module(frame) != _MEANS]
    writer = f"{_module(frames[0]).removeprefix(ROOM)}:{frames[0].f_code.co_qualname}" if frames else ""
    carried_out = (frame.f_locals["action"] for frame in frames if frame.f_code.co_qualname == "_Tick.do")
    return Origin(next((type(action).__name__ for action in carried_out), ""), writer)


def _frames() -> Iterator[FrameType]:
    frame = inspect.currentframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
