"""Percentiles, the table with its targets, and the file."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.samples import MACHINE, measurement, report, row
from tools.bench.errors import BenchError
from tools.bench.figures import FIGURES, Measurement, Report, percentile, render, seconds, target

NUMBER = {"type": "number", "minimum": 0}
SCHEMA = {
    "type": "object",
    "required": ["rows"],
    "properties": {
        "rows": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": [
                    "n", "idle_requests", "idle_s", "requests_per_rollout", "rollout_s", "need_s", "paced_p50_s",
                    "paced_p99_s", "burst_p99_s", "peak_rss_mb", "cpu_s", "synced_s",
                ],
                "properties": {
                    "n": {"type": "integer", "minimum": 1},
                    "idle_requests": {"type": "integer", "minimum": 0},
                    **dict.fromkeys(
                        (
                            "idle_s", "requests_per_rollout", "rollout_s", "need_s", "paced_p50_s", "paced_p99_s",
                            "burst_p99_s", "peak_rss_mb", "cpu_s", "synced_s",
                        ),
                        NUMBER,
                    ),
                },
            },
        },
    },
}  # fmt: skip
"""What programs may rely on in .bench/latest.json."""


@pytest.mark.parametrize(
    ("title", "values", "percent", "expected"),
    [
        ("of fifty values p50 is the 25th", range(1, 51), 50, 25),
        ("of fifty values p99 is the greatest", range(1, 51), 99, 50),
        ("of two hundred values p99 is the 198th", range(1, 201), 99, 198),
        ("of three values p50 is the middle one", (9, 1, 5), 50, 5),
        ("one value is every percentile", (7,), 99, 7),
    ],
)
def test_percentiles_by_nearest_rank(title: str, values: range | tuple[int, ...], percent: int, expected: int) -> None:
    assert percentile(list(values), percent) == expected, title


@given(st.lists(st.floats(0, 1000), min_size=1), st.integers(1, 100))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values: list[float], percent: int) -> None:
    found = percentile(values, percent)
    assert found in values
    assert 100 * sum(value <= found for value in values) >= percent * len(values)
    assert 100 * sum(value < found for value in values) < percent * len(values)


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="percentile of nothing"):
        percentile([], 50)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0314, "31 ms"), (0.9994, "999 ms"), (1.0, "1.0 s"), (300.0, "300.0 s"), (0.0, "0 ms")]
)
def test_times_are_written_as_precisely_as_they_mean_something(value: float, text: str) -> None:
    assert seconds(value) == text


def test_every_target_of_five_hundred_canaries_is_beside_its_figure() -> None:
    aims = {figure.field: target(figure, [row(50), row(500)]) for figure in FIGURES}
    assert {field: aim for field, aim in aims.items() if aim} == {
        "idle_requests": "reached, ≤ 0",
        "requests_per_rollout": "reached, ≤ 40.0",
        "rollout_s": "reached, ≤ 58.0 s",
        "paced_p99_s": "reached, ≤ 250 ms",
        "burst_p99_s": "reached, ≤ 2.0 s",
        "peak_rss_mb": "reached, ≤ 130 MB",
        "synced_s": "reached, ≤ 5.0 s",
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("idle_requests", 1),
        ("requests_per_rollout", 40.1),
        ("rollout_s", 58.001),
        ("paced_p99_s", 0.251),
        ("burst_p99_s", 2.001),
        ("peak_rss_mb", 130.1),
        ("synced_s", 5.001),
    ],
)
def test_a_target_that_is_missed_is_called_so(field: str, value: float) -> None:
    missed = [figure.field for figure in FIGURES if target(figure, [row(500, **{field: value})]).startswith("missed")]
    assert missed == [field]


def test_the_targets_are_not_for_other_numbers_of_canaries() -> None:
    assert {target(figure, [row(50, burst_p99_s=9.0), row(499)]) for figure in FIGURES} == {""}


def test_the_table_has_a_column_for_each_number_and_all_that_is_not_kept_below_it() -> None:
    slow = measurement(500, rollout_s=61.5)
    printed = render([measurement(50), slow], MACHINE)
    lines = printed.splitlines()
    assert lines[0].split("  ")[-1] == "target at N = 500"
    (line,) = [one for one in lines if "primary at 100 %, p50" in one]
    assert line.split()[-8:] == ["52.7", "s", "61.5", "s", "missed,", "≤", "58.0", "s"]
    assert "min 51.1 s, p50 61.5 s, max 54.3 s; change → scale-up of all at once, p50: 733 ms" in printed
    assert "idle: 6 watches ended, 150 renewals of the lease, 0.41 s of processor time; other requests: none" in printed
    assert "requests of 50 rollouts: 400 create events, 300 patch httproutes" in printed
    assert lines[-1].endswith("on Abacus 9000, 2 cores, 24.7 GB of memory, Linux 6.1.0-9-amd64, Python 3.11.7")


def test_a_measurement_survives_the_way_out_of_the_cluster() -> None:
    assert Measurement.load(measurement().dump()) == measurement()


def test_the_file_is_what_programs_rely_on() -> None:
    jsonschema_rs.validate(SCHEMA, json.loads(report().dump()))


def test_the_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "latest.json"
    file.write_text(report().dump(), encoding="utf-8")
    assert Report.read(file) == report()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"rows": [{"n": 50}]}', '{"rows": [], "machine": {}}'])
def test_a_file_of_something_else_is_told_in_a_sentence(tmp_path: Path, content: str) -> None:
    file = tmp_path / "latest.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(BenchError, match=r"latest\.json is not what `make bench` writes"):
        Report.read(file)
