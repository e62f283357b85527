"""The tables of series in docs/operations/telemetry.md, written from the controller's own registry.

``python -m tools.series`` rewrites them; a test fails when they are stale.
"""

from collections.abc import Callable
from pathlib import Path

from flaggerpy.telemetry.catalogue import Series
from flaggerpy.telemetry.recorder import Recorder

PAGE = Path(__file__).resolve().parents[1] / "docs" / "operations" / "telemetry.md"
BEGIN = "<!-- series {}: written by python -m tools.series -->\n"
END = "<!-- /series {} -->\n"

TABLES: dict[str, Callable[[Series], bool]] = {
    "of Flagger": lambda one: one.name.startswith("flagger_"),
    "of canaries": lambda one: one.name.startswith(("flaggerpy_canary_", "flaggerpy_rollout_")),
    "of the controller": lambda one: True,
}
"""Titles in the page, and which series belong there; each is in the first that takes it."""


def tables() -> dict[str, str]:
    """Write each table."""
    rows: dict[str, list[str]] = {title: [] for title in TABLES}
    for one in Recorder(version="", mesh_provider="").catalogue.series:
        title = next(title for title, takes in TABLES.items() if takes(one))
        rows[title].append(row(one))
    head = ["| series | type | labels | meaning |", "|---|---|---|---|"]
    return {title: "\n".join([*head, *found, ""]) for title, found in rows.items()}


def row(one: Series) -> str:
    """Write one line."""
    labels = ", ".join(f"`{label}`" for label in one.labels)
    return f"| `{one.name}` | {one.kind} | {labels} | {one.text} |"


def renewed(page: str) -> str:
    """Put the tables of today into the page."""
    for title, table in tables().items():
        before, begin, rest = page.partition(BEGIN.format(title))
        _, end, after = rest.partition(END.format(title))
        if not begin or not end:
            raise ValueError(f"{PAGE.name} has no place for the series {title}")
        page = before + begin + table + end + after
    return page


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
