"""``flaggerpy``: the commands and nothing else."""

from __future__ import annotations

import io
import sys
from importlib import import_module

import click

from flaggerpy import __version__

_PLACES = {
    "abort": "flaggerpy.cli.verbs:abort",
    "adopt": "flaggerpy.cli.adopt:adopt",
    "analyze": "flaggerpy.cli.analyze:analyze",
    "controller": "flaggerpy.cli.controller:controller",
    "crds": "flaggerpy.cli.crds:crds",
    "get": "flaggerpy.cli.get:get",
    "lint": "flaggerpy.cli.lint:lint",
    "loadtester": "flaggerpy.loadtester.__main__:main",
    "pause": "flaggerpy.cli.verbs:pause",
    "promote": "flaggerpy.cli.verbs:promote",
    "release": "flaggerpy.cli.release:release",
    "resume": "flaggerpy.cli.verbs:resume",
    "retry": "flaggerpy.cli.verbs:retry",
    "status": "flaggerpy.cli.status:status",
    "watch": "flaggerpy.cli.watch:watch",
}


class _Commands(click.Group):
    """Imports a command when it is asked for: a person who releases a canary need not wait for the load tester."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _PLACES:
            return None
        module, _, name = _PLACES[cmd_name].partition(":")
        command = getattr(import_module(module), name)
        return command if isinstance(command, click.Command) else None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", "-version", message="%(version)s")
def main() -> None:
    """Progressive delivery for Kubernetes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Objects hold any character; a terminal that lacks one shows a question mark.
            stream.reconfigure(errors="replace")
