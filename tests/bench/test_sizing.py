"""The page on sizing: figures come from the bench or are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.samples import report, row
from tools.bench import sizing

PAGE = sizing.PAGE.read_text(encoding="utf-8")


def test_the_page_has_one_place_for_figures() -> None:
    assert (PAGE.count(sizing.BEGIN), PAGE.count(sizing.END)) == (1, 1)


def test_figures_take_the_place_of_what_was_there_and_leave_the_rest() -> None:
    before, _, rest = PAGE.partition(sizing.BEGIN)
    after = rest.partition(sizing.END)[2]
    renewed = sizing.renewed(PAGE, report())
    assert renewed == before + sizing.BEGIN + sizing.figures(report()) + sizing.END + after
    assert "No figures have been written" not in renewed
    assert sizing.renewed(renewed, report()) == renewed


def test_the_table_names_targets_and_where_the_figures_are_from() -> None:
    lines = sizing.figures(report(row(50), row(500, synced_s=6.0))).splitlines()
    assert lines[:2] == ["|  | N = 50 | N = 500 | target at N = 500 |", "| --- | ---: | ---: | --- |"]
    assert "| start → synced | 2.2 s | 6.0 s | missed, ≤ 5.0 s |" in lines
    assert lines[-1] == (
        "Version 0.1.0, 2031-05-17, on Abacus 9000, 2 cores, 24.7 GB of memory, Linux 6.1.0-9-amd64, Python 3.11.7."
    )


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    page, latest = tmp_path / "sizing.md", tmp_path / "latest.json"
    page.write_text(PAGE, encoding="utf-8")
    latest.write_text(report().dump(), encoding="utf-8")
    assert sizing.main(page, latest) == 0
    assert page.read_text(encoding="utf-8") == sizing.renewed(PAGE, report())


def test_without_figures_it_says_what_to_run_and_leaves_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "sizing.md"
    page.write_text(PAGE, encoding="utf-8")
    assert sizing.main(page, tmp_path / "latest.json") == 1
    assert "run `make bench` first" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == PAGE
