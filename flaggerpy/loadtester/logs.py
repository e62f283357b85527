"""Log lines as Flagger writes them: JSON on standard error, keys level, ts, caller, msg, canary."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum

import structlog
from structlog.processors import CallsiteParameter, CallsiteParameterAdder
from structlog.typing import EventDict, WrappedLogger

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


class Encoding(StrEnum):
    """How a log line looks."""

    JSON = "json"
    CONSOLE = "console"


def configure(level: str, encoding: Encoding) -> None:
    """Set up structlog and let the libraries' own warnings through the same renderer."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        CallsiteParameterAdder({CallsiteParameter.FILENAME, CallsiteParameter.LINENO}),
        _caller,
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("msg"),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if encoding is Encoding.JSON
        else structlog.dev.ConsoleRenderer(colors=False, event_key="msg", timestamp_key="ts")
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(LEVELS[level], logging.INFO), force=True)


def _caller(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    del logger, method
    event["caller"] = f"{event.pop('filename', '?')}:{event.pop('lineno', 0)}"
    return event
