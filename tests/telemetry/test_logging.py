from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import structlog

from flaggerpy.telemetry.logging import configure, level_of


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Give a stream to log to, and leave logging as it was found."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    quiet = {name: logging.getLogger(name).level for name in ("httpx", "httpcore", "aiohttp.access", "asyncio")}
    yield io.StringIO()
    logging.captureWarnings(False)
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in quiet.items():
        logging.getLogger(name).setLevel(before)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_flaggers_keys_first(stream: io.StringIO) -> None:
    configure("debug", stream=stream)

    structlog.get_logger().info("routes set", canary="web.shop", primary=80, text='two\nlines "é"')

    (line,) = lines(stream)
    assert list(line) == ["level", "ts", "caller", "msg", "canary", "primary", "text"]
    assert (line["level"], line["msg"], line["canary"], line["primary"]) == ("info", "routes set", "web.shop", 80)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"])
    assert re.fullmatch(r"telemetry/test_logging\.py:\d+", line["caller"])
    assert line["text"] == 'two\nlines "é"'


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["debug", "info", "warn", "error", "fatal"]),
        ("info", ["info", "warn", "error", "fatal"]),
        ("warn", ["warn", "error", "fatal"]),
        ("warning", ["warn", "error", "fatal"]),
        ("ERROR", ["error", "fatal"]),
        ("fatal", ["fatal"]),
        ("panic", ["fatal"]),
    ],
)
def test_a_level_lets_through_itself_and_worse(stream: io.StringIO, level: str, written: list[str]) -> None:
    configure(level, stream=stream)
    log = structlog.get_logger()

    for name in ("debug", "info", "warning", "error", "critical"):
        getattr(log, name)(name)

    assert [line["level"] for line in lines(stream)] == written


def test_an_unknown_level_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match='"verbose" is no log level: write one of debug, info, warn, warning, error'):
        level_of("verbose")


def test_an_exception_is_one_line_with_its_stacktrace(stream: io.StringIO) -> None:
    configure(stream=stream)
    try:
        raise KeyError("lost")
    except KeyError:
        structlog.get_logger().exception("a bug", canary="web.shop")

    (line,) = lines(stream)
    assert line["level"] == "error"
    assert "Traceback" in line["stacktrace"]
    assert "KeyError: 'lost'" in line["stacktrace"]
    assert not {"exception", "exc_info"} & set(line)


def test_what_libraries_log_and_warn_of_reads_the_same(stream: io.StringIO) -> None:
    configure(stream=stream)

    logging.getLogger("some.library").warning("odd %s", "thing")
    logging.getLogger("py.warnings").warning("old api")

    assert [(line["level"], line["msg"]) for line in lines(stream)] == [("warn", "odd thing"), ("warn", "old api")]


def test_addresses_that_httpx_would_log_stay_out(stream: io.StringIO) -> None:
    configure("debug", stream=stream)

    logging.getLogger("httpx").info("HTTP Request: POST https://hooks.slack.com/services/T0/hush")
    logging.getLogger("httpcore.http11").debug("send_request_headers authorization hush")

    assert "hush" not in stream.getvalue()


def test_the_context_of_a_tick_is_on_all_its_lines(stream: io.StringIO) -> None:
    configure(stream=stream)
    with structlog.contextvars.bound_contextvars(canary="web.shop"):
        structlog.get_logger().info("inside")
        logging.getLogger("library").warning("inside too")
    structlog.get_logger().info("outside")

    assert [line.get("canary") for line in lines(stream)] == ["web.shop", "web.shop", None]


def test_console_is_for_people(stream: io.StringIO) -> None:
    configure("info", "console", stream=stream)

    structlog.get_logger().warning("routes differ", canary="web.shop")

    assert re.search(r"\[warn\s*\] routes differ .*canary=web\.shop", stream.getvalue())


def test_values_that_json_does_not_know_are_written_as_text(stream: io.StringIO) -> None:
    configure(stream=stream)

    structlog.get_logger().info("x", what=timedelta(seconds=5), many={1})

    assert (lines(stream)[0]["what"], lines(stream)[0]["many"]) == ("0:00:05", "{1}")
