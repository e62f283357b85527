"""What the controllers of a run complain of: an exception that nobody foresaw is a violation as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog
from structlog.typing import EventDict, WrappedLogger

_HEARD: ContextVar[list[str] | None] = ContextVar("heard", default=None)
"""Tasks inherit it, so that every controller is heard by its own run."""


@contextmanager
def only_complaints() -> Iterator[None]:
    """Keep logs to errors, and give these to the run they come from."""
    before = structlog.get_config()
    structlog.configure(processors=[structlog.processors.format_exc_info, _hear])
    try:
        yield
    finally:
        structlog.configure(**before)


def listen() -> list[str]:
    """Return a list that fills with the errors of everything that this task starts."""
    heard: list[str] = []
    _HEARD.set(heard)
    return heard


def _hear(_: WrappedLogger, method: str, event: EventDict) -> str:
    heard = _HEARD.get()
    if heard is not None and method in ("error", "critical", "exception"):
        heard.append(f"logged: {event.pop('event')}; {event}\n{event.pop('exception', '')}")
    raise structlog.DropEvent
