"""The known differences: which lines of a comparison each of them explains.

Why each is one is said to users in docs/reference/differences.md, under the same id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import yaml

from tests.replay.recording import DATA

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "differences.md"
PATTERNS = DATA.with_name("differences.yaml")


@cache
def known() -> dict[str, tuple[re.Pattern[str], ...]]:
    """Return every known difference with what its lines look like."""
    written = yaml.safe_load(PATTERNS.read_text(encoding="utf-8"))
    return {name: tuple(re.compile(line) for line in lines) for name, lines in written.items()}


def explained(lines: Iterable[str]) -> tuple[set[str], list[str]]:
    """Return the differences that were seen, and the lines that none of them explains."""
    seen, unknown = set[str](), list[str]()
    for line in lines:
        names = {name for name, patterns in known().items() if any(pattern.fullmatch(line) for pattern in patterns)}
        seen |= names
        if not names:
            unknown.append(line)
    return seen, unknown


def documented() -> set[str]:
    """Return the ids in the table that users read."""
    _, _, section = DOCUMENT.read_text(encoding="utf-8").partition("## In recordings of Flagger\n")
    return set(re.findall(r"^\| `([a-z0-9-]+)` \|", section, re.MULTILINE))
