"""Logs as events with keys, one JSON object a line, with the keys that Flagger's users filter by.

Everything goes through here, also what libraries log. httpx logs whole addresses, which can hold
secrets, so only its warnings are let through.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TextIO

import structlog
from structlog.processors import CallsiteParameter, CallsiteParameterAdder
from structlog.typing import EventDict, Processor, WrappedLogger

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
}
Encoding = Literal["json", "console"]

_WRITTEN = {"warning": "warn", "critical": "fatal", "exception": "error"}
_QUIET = ("httpx", "httpcore", "aiohttp.access", "asyncio")


def level_of(name: str) -> int:
    """Read the name of a log level.

    Raises:
        ValueError: there is no such level; the message lists them.

    """
    if name.lower() not in LEVELS:
        raise ValueError(f'"{name}" is no log level: write one of {", ".join(LEVELS)}')
    return LEVELS[name.lower()]


def configure(level: str = "info", encoding: Encoding = "json", *, stream: TextIO | None = None) -> None:
    """Set up logging for this process, once, before anything is logged.

    Raises:
        ValueError: there is no such level.

    """
    number = level_of(level)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.add_log_level,
        _caller_adder(),
        _flagger_keys,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(encoding, shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    logging.captureWarnings(True)


def _caller_adder() -> CallsiteParameterAdder:
    return CallsiteParameterAdder(
        {CallsiteParameter.PATHNAME, CallsiteParameter.LINENO},
        additional_ignores=["logging", "structlog"],
    )


def _formatter(encoding: Encoding, shared: list[Processor]) -> logging.Formatter:
    last: Processor
    if encoding == "json":
        last = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
    else:
        last = structlog.dev.ConsoleRenderer(
            event_key="msg", timestamp_key="ts", colors=False, exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _stacktrace,
            last,
        ],
        foreign_pre_chain=shared,
    )


def _flagger_keys(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put level, ts, caller and msg first and under the names of Flagger's log lines."""
    level = str(event.pop("level", "info"))
    path, line = str(event.pop("pathname", "")), event.pop("lineno", 0)
    first: EventDict = {
        "level": _WRITTEN.get(level, level),
        "ts": _timestamp(datetime.now(UTC)),
        "caller": f"{_short(path)}:{line}",
        "msg": event.pop("event", ""),
    }
    return {**first, **event}


def _stacktrace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if "exception" in event:
        event["stacktrace"] = event.pop("exception")
    return event


def _short(path: str) -> str:
    """Leave the last folder and the file, as zap does."""
    return "/".join(Path(path).parts[-2:])


def _timestamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"
