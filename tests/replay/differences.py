"""The known differences: which lines of a comparison each of them explains.

Why each is one is said to users in docs/reference/differences.md, under the same id. Those that begin with
``recording-`` are none: there the recording, or the replay, is not what users see.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "differences.md"
_KNOWN = {
    "ownership": (
        r"\+ \w+ \S+: annotations\.'flaggerpy\.dev/canary': \"\{namespace\}/[a-z-]+\"",
        r"\+ \w+ \S+: labels\.'app\.kubernetes\.io/managed-by': \"flaggerpy\"",
        r"- \w+ \S+: labels\.'app\.kubernetes\.io/managed-by': \"team-a\"",
        r"- \w+ \S+: owners\[0\]: \"Canary [a-z-]+\"",
    ),
    "finalizer": (r"\+ Canary \S+ then: finalizers\[0\]: \"finalizer\.flagger\.app\"",),
    "annotations-at-creation": (
        r"- Deployment \S+-primary: annotations\.other/annotation: \"kept-at-creation\"",
        r"- Deployment \S+-primary then: annotations.other/annotation: gone; .*",
    ),
}
KNOWN = {name: tuple(re.compile(line) for line in lines) for name, lines in _KNOWN.items()}


def explained(lines: Iterable[str]) -> tuple[set[str], list[str]]:
    """Return the differences that were seen, and the lines that none of them explains."""
    seen, unknown = set[str](), list[str]()
    for line in lines:
        names = {name for name, patterns in KNOWN.items() if any(pattern.fullmatch(line) for pattern in patterns)}
        seen |= names
        if not names:
            unknown.append(line)
    return seen, unknown


def documented() -> set[str]:
    """Return the ids in the table that users read."""
    _, _, section = DOCUMENT.read_text(encoding="utf-8").partition("## In recordings of Flagger\n")
    return set(re.findall(r"^\| `([a-z0-9-]+)` \|", section, re.MULTILINE))
