"""``flaggerpy``: the commands and nothing else."""

from __future__ import annotations

from importlib import import_module

import click

from flaggerpy import __version__

_PLACES = {
    "controller": "flaggerpy.cli.controller:controller",
    "crds": "flaggerpy.cli.crds:crds",
    "lint": "flaggerpy.cli.lint:lint",
    "loadtester": "flaggerpy.loadtester.__main__:main",
    "release": "flaggerpy.cli.release:release",
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
