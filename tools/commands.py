"""The list of commands in docs/reference/cli.md, which is what `--help` says of each.

``python -m tools.commands`` rewrites it; a test fails when it is stale.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from flaggerpy.cli.main import main

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "cli.md"
BEGIN = "<!-- commands: written by python -m tools.commands -->\n"
END = "<!-- /commands -->\n"
WIDTH = 100


def texts(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """The name and the help of every command that does something, in the order of the alphabet."""
    context = command.make_context(
        name, [], parent=parent, resilient_parsing=True, terminal_width=WIDTH, max_content_width=WIDTH
    )
    if not isinstance(command, click.Group):
        yield context.command_path, command.get_help(context)
        return
    for child in command.list_commands(context):
        found = command.get_command(context, child)
        if found is not None:
            yield from texts(found, child, context)


def listing() -> str:
    """Every command as a section."""
    return "\n".join(f"### {path}\n\n```text\n{text}\n```\n" for path, text in texts(main, "flaggerpy"))


def renewed(page: str) -> str:
    """Put the commands of today into the page."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + listing() + "\n" + END + after


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
