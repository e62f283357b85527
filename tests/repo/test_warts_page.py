"""docs/reference/warts.md: every fault that matters has its row, and the tests that the row names."""

from __future__ import annotations

import re

from tests.repo import nodes
from tools.ci.phases import ROOT

PAGE = (ROOT / "docs" / "reference" / "warts.md").read_text(encoding="utf-8")
SERIOUS = {
    *(*range(1, 16), 17, 19, 20, 22, 23, 24, 26, 27, 30, 32, 33, 34, 37, 38, 42, 43),
    *(70, 71, 72, 75),
    *(*range(90, 97), 98, 101),
}
"""Numbers of the faults that can lose requests or a rollout, break isolation, or mislead."""
METRICS = {*range(50, 55), 56, 57, 58, 61}
"""The same, of metrics."""
LOAD_TESTER = {80, 81, 83}
"""The same, of the load tester."""
_ROW = re.compile(r"^\| W-(\d+) ([ABC]) \| ([^|]+) \| ([^|]+) \| (`[^`|]+`(?:, `[^`|]+`)*) \|$", re.MULTILINE)


def rows() -> list[tuple[int, str, str, tuple[str, ...]]]:
    """Return number, severity, answer and tests of each row."""
    return [
        (int(number), severity, here, tuple(re.findall("`([^`]+)`", tests)))
        for number, severity, _, here, tests in _ROW.findall(PAGE)
    ]


def test_every_serious_fault_has_one_row_and_every_row_can_be_read() -> None:
    numbers = [number for number, *_ in rows()]
    assert len(numbers) == PAGE.count("\n| W-"), "a row that is written differently"
    assert numbers == sorted(set(numbers))
    assert {number for number, severity, *_ in rows() if severity in "AB"} == SERIOUS | METRICS | LOAD_TESTER


def test_every_fault_is_fixed_or_kept_with_a_reason() -> None:
    for number, _, here, _ in rows():
        assert re.match(r"(Fixed(: .+)?|Kept: .+)$", here), f"W-{number:02}: {here}"


def test_the_tests_that_are_named_exist_and_carry_the_number() -> None:
    for number, _, _, tests in rows():
        for test in tests:
            _, _, name = test.partition("::")
            assert name.startswith(f"test_w{number:02}_"), test
            assert nodes.exists(test), test
