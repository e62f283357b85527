"""Flags as Go programs take them: one dash or two, and booleans with or without a value."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click

from flaggerpy.durations import InvalidDuration, parse_duration

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class DurationType(click.ParamType[timedelta]):
    """A Go duration, ``90s`` or ``1m30s``."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read the text of a duration."""
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(str(value))
        except InvalidDuration as error:
            self.fail(str(error), param, ctx)


def flag(name: str, default: object = "", help: str = "", **more: Any) -> Decorator:  # noqa: A002 -- click's name
    """Declare ``-name`` and ``--name``; the environment variable of the same name in capitals wins over the default."""
    return click.option(f"-{name}", f"--{name}", default=default, help=help, show_default=bool(default), **more)


def switch(name: str, *, default: bool, help: str = "") -> Decorator:  # noqa: A002 -- click's name
    """Declare a boolean that is true alone and takes ``=true`` or ``=false``."""
    return flag(name, "true" if default else "false", help, type=bool, is_flag=False, flag_value="true")
