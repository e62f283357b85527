"""The table of docs/operations/sizing.md, written from the figures that the last `make bench` kept.

``python -m tools.bench.sizing`` rewrites it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tools.bench.errors import BenchError
from tools.bench.figures import LATEST, ROOT, Report, table

PAGE = ROOT / "docs" / "operations" / "sizing.md"
BEGIN = "<!-- figures: written by python -m tools.bench.sizing from .bench/latest.json -->\n"
END = "<!-- /figures -->\n"


def figures(report: Report) -> str:
    """Write the figures as a table, and below it of what they are."""
    heading, *lines = table(report.rows)
    rule = ["---", *("---:" for _ in report.rows), "---"]
    rows = [_row(heading), _row(rule), *(_row(line) for line in lines)]
    of = f"Version {report.version}, {report.measured_at[:10]}, on {report.machine.sentence()}."
    return "\n".join([*rows, "", of, ""])


def renewed(page: str, report: Report) -> str:
    """Put figures in the place of those, or of the sentence, that the page has."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + figures(report) + END + after


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cell.strip() for cell in cells)} |"


def main(page: Path = PAGE, latest: Path = LATEST) -> int:
    try:
        report = Report.read(latest)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    page.write_text(renewed(page.read_text(encoding="utf-8"), report), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
