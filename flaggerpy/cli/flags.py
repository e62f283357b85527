"""Flags as Go programs take them: one dash or two, and booleans with or without a value."""

from __future__ import annotations

import os
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
    """Declare ``-name`` and ``--name``."""
    return click.option(f"-{name}", f"--{name}", default=default, help=help, show_default=bool(default), **more)


def overridden(name: str, variable: str, help: str) -> Decorator:  # noqa: A002 -- click's name
    """Declare ``-name`` and ``--name`` for a text; an environment variable that is not empty wins over the flag."""

    def resolved(_: click.Context, __: click.Parameter, value: str) -> str:
        return os.environ.get(variable) or value

    # The order of click's own envvar is the other way round: there the flag wins.
    return flag(name, "", f"{help} ${variable} wins over the flag.", callback=resolved)


def switch(name: str, *, default: bool, help: str = "") -> Decorator:  # noqa: A002 -- click's name
    """Declare a boolean that is true alone and takes ``=true`` or ``=false``."""
    return flag(name, "true" if default else "false", help, type=bool, is_flag=False, flag_value="true")
