"""``flaggerpy``: the commands and nothing else."""

from __future__ import annotations

import click

from flaggerpy import __version__
from flaggerpy.cli.controller import controller
from flaggerpy.cli.crds import crds
from flaggerpy.cli.release import release
from flaggerpy.loadtester.__main__ import main as loadtester


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", "-version", message="%(version)s")
def main() -> None:
    """Progressive delivery for Kubernetes."""


main.add_command(controller)
main.add_command(loadtester, "loadtester")
main.add_command(crds)
main.add_command(release)
