"""`make simulate-judgement`: how good the sequential test is, beside fixed bounds, in made-up traffic.

Prints tables, draws docs/images/judgement.svg and writes both tables and targets into docs/guides/sequential.md. The
figures depend on the seed and the number of runs alone. A missed target is printed, and fails nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from tools.simulate.picture import picture
from tools.simulate.report import tables
from tools.simulate.study import study

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "guides" / "sequential.md"
PICTURE = DOCS / "images" / "judgement.svg"
RUNS = 4_000
BEGIN = "<!-- figures: written by make simulate-judgement -->\n"
END = "<!-- /figures -->\n"


def main() -> int:
    options = _parser().parse_args()
    began = time.monotonic()
    found = study(options.runs, options.processes)
    text = tables(found)
    print(text)
    took = f"{time.monotonic() - began:.0f} s"
    print(f"{options.runs} rollouts of each A/A kind, {options.runs // 2} of each other; {took}.")
    if options.runs == RUNS:
        PICTURE.write_text(picture(found), encoding="utf-8")
        PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    return 0


def renewed(page: str, text: str) -> str:
    """Put the figures of this run into the page."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + text + "\n" + END + after


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.simulate", description="How good the sequential test is.")
    parser.add_argument(
        "--runs", type=int, default=RUNS, help=f"rollouts of each A/A kind; docs are written with {RUNS} only"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="processes side by side")
    return parser


if __name__ == "__main__":
    sys.exit(main())
