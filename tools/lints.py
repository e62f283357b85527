"""The faults that lint knows, by example: the cases of its tests, and the list of them in docs/reference/lint.md.

A case is a manifest with a comment ``# rule: sentence`` behind every line that has a fault; a first line that is
nothing but a comment holds lint's arguments. ``python -m tools.lints`` writes into the cases what lint says today, and
the list anew: read the difference before you commit it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from flaggerpy.cli.lint import lint
from flaggerpy.lint.faults import Rule

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / "tests" / "lint" / "data"
PAGE = ROOT / "docs" / "reference" / "lint.md"
BEGIN = "<!-- faults: written by python -m tools.lints -->\n"
END = "<!-- /faults -->\n"
LONGEST_EXCERPT = 80

_MARK = re.compile(rf"  # ({'|'.join(rule.title for rule in Rule)}): ")


@dataclass(frozen=True, slots=True, order=True)
class Expected:
    """A fault in a line of a case, and what is written there."""

    line: int
    rule: str
    sentence: str
    written: str


def arguments(case: Path) -> list[str]:
    """Return the arguments that a case's first line asks for."""
    first = _lines(case)[0]
    return first.removeprefix("# ").split() if first.startswith("# ") else []


def expected(case: Path) -> Iterator[Expected]:
    """Read the comments of a case."""
    for number, line in enumerate(_lines(case), start=1):
        written, *marks = _MARK.split(line)
        for rule, sentence in zip(marks[::2], marks[1::2], strict=True):
            yield Expected(number, rule, sentence, written.strip())


def said(case: Path) -> list[dict[str, str | int]]:
    """Ask lint about a case."""
    result = CliRunner().invoke(lint, ["-o", "json", *arguments(case), str(case)])
    faults: list[dict[str, str | int]] = json.loads(result.stdout)
    return faults


def annotated(case: Path) -> str:
    """Write a case with what lint says today."""
    lines = [_MARK.split(line)[0] for line in _lines(case)]
    for fault in said(case):
        lines[int(fault["line"]) - 1] += f"  # {fault['rule']}: {fault['message']}"
    return "\n".join(lines)


def renewed(page: str) -> str:
    """Put the list of today into the page."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n".join(_sections()) + END + after


def examples(rule: Rule) -> list[Expected]:
    """Return the faults of a rule in the cases that are named after it: ``rule`` or ``rule--topic``."""
    cases = (case for case in sorted(CASES.iterdir()) if re.fullmatch(rf"{rule.title}(--[a-z-]+)?", case.stem))
    return [example for case in cases for example in expected(case) if example.rule == rule.title]


def _sections() -> Iterator[str]:
    for rule in Rule:
        yield f"\n### `{rule.title}`\n\n{rule.level.capitalize()}. {rule.about}\n"
        yield "| written | said |\n|---|---|"
        yield from dict.fromkeys(_row(example) for example in examples(rule))
    yield ""


def _row(example: Expected) -> str:
    written = example.written
    if len(written) > LONGEST_EXCERPT:
        written = f"{written[:LONGEST_EXCERPT]}…"
    written = "".join(character if character.isprintable() else "�" for character in written)
    cells = (f"`{written}`", example.sentence.replace("<", "&lt;"))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _lines(case: Path) -> list[str]:
    return case.read_text(encoding="utf-8").split("\n")


if __name__ == "__main__":
    for case in sorted(CASES.iterdir()):
        case.write_text(annotated(case), encoding="utf-8")
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
