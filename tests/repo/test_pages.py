"""Commands on the pages: they exist, with the options that are shown, and so do the files that pages point to."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from flaggerpy.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("charts/*/README.md")]
    if page.name != "CHANGELOG.md"
)
_BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
_ASSIGNMENT = re.compile(r"^[A-Z_]+=\S*$")


def commands(page: Path) -> list[list[str]]:
    """Return the words of every command in the page's shell blocks."""
    found = []
    for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and (_ASSIGNMENT.match(words[0]) or words[0] in {"$", "sudo"}):
                words = words[1:]
            end = next((place for place, word in enumerate(words) if word in {"|", ">", "&&", ";"}), len(words))
            if words[:end]:
                found.append(words[:end])
    return found


def ours(page: Path) -> list[list[str]]:
    """Return the arguments of every command of ours on a page."""
    prefixes = (["kubectl", "flaggerpy"], ["python", "-m", "flaggerpy"], ["flaggerpy"])
    found = []
    for words in commands(page):
        prefix = next((prefix for prefix in prefixes if words[: len(prefix)] == prefix), None)
        if prefix is not None and len(words) > len(prefix):
            found.append(words[len(prefix) :])
    return found


def parsed(arguments: list[str]) -> None:
    """Read a command line as click does, without running anything."""
    command: click.Command = main
    rest = list(arguments)
    with click.Context(main, **main.context_settings) as context:
        while isinstance(command, click.Group):
            found = command.get_command(context, rest[0])
            if found is None:
                raise click.UsageError(f"there is no command {rest[0]}")
            command, rest = found, rest[1:]
        command.make_context(command.name, rest, parent=context).close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_can_be_typed(page: Path) -> None:
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for arguments in ours(page):
        parsed(arguments)
    for words in commands(page):
        if words[0] == "make":
            asked = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            assert set(asked) <= set(targets), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_points_to_is_there(page: Path) -> None:
    missing = [link for link in _LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
    assert missing == []


def test_a_command_that_does_not_exist_is_found() -> None:
    with pytest.raises(click.UsageError):
        parsed(["levitate", "payment"])
    with pytest.raises(click.UsageError):
        parsed(["pause", "payment", "--gently"])


def test_commands_are_found() -> None:
    assert ["get", "-A"] in ours(ROOT / "README.md")
    assert sum(len(ours(page)) for page in PAGES) >= 10
