from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flaggerpy.durations import InvalidDuration, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("0s", 0),
        ("30s", 30_000_000),
        ("+5s", 5_000_000),
        ("-1.5h", -5_400_000_000),
        ("1m30s", 90_000_000),
        ("1h15m30.918s", 4_530_918_000),
        ("90m", 5_400_000_000),
        (".5s", 500_000),
        ("1.s", 1_000_000),
        ("5.6s", 5_600_000),
        ("004s", 4_000_000),
        ("1s1s", 2_000_000),
        ("10ms", 10_000),
        ("7us", 7),
        ("7\u00b5s", 7),
        ("7\u03bcs", 7),
        ("1999ns", 1),
        ("-1999ns", -1),
        ("0.3333333333333333333h", 1_199_999_999),
        ("9223372036854775807ns", 9_223_372_036_854_775),
    ],
)
def test_reads_what_go_reads(text: str, microseconds: int) -> None:
    assert parse_duration(text) == timedelta(microseconds=microseconds)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "write a number and a unit"),
        ("10", "write a number and a unit"),
        ("+", "write a number and a unit"),
        ("-", "write a number and a unit"),
        ("s", "write a number and a unit"),
        (".", "write a number and a unit"),
        (".s", "write a number and a unit"),
        ("-.s", "write a number and a unit"),
        ("1.5.5s", "write a number and a unit"),
        ("1m30", "write a number and a unit"),
        (" 30s", "write a number and a unit"),
        ("30s ", '"s " is no unit'),
        ("1d", '"d" is no unit'),
        ("5mm", '"mm" is no unit'),
        ("10mfoo", '"mfoo" is no unit'),
        ("30S", '"S" is no unit'),
        ("1e3s", '"e" is no unit'),
        ("\u0661s", "write a number and a unit"),
        ("9223372036854775808ns", "longer than 292 years"),
        ("2562048h", "longer than 292 years"),
    ],
)
def test_refuses_what_go_refuses_and_says_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(InvalidDuration) as caught:
        parse_duration(text)
    assert str(caught.value).startswith(f'"{text}" is not a duration: ')
    assert hint in str(caught.value)


def test_the_smallest_duration_is_one_longer_than_the_largest() -> None:
    assert parse_duration("-9223372036854775808ns") == timedelta(microseconds=-9223372036854775)
    with pytest.raises(InvalidDuration):
        parse_duration("-9223372036854775809ns")


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "0s"),
        (1, "1\u00b5s"),
        (1_100, "1.1ms"),
        (2_000, "2ms"),
        (999_999, "999.999ms"),
        (1_000_000, "1s"),
        (5_000_001, "5.000001s"),
        (30_000_000, "30s"),
        (60_000_000, "1m0s"),
        (90_500_000, "1m30.5s"),
        (3_600_000_000, "1h0m0s"),
        (360_000_000_000, "100h0m0s"),
        (-90_000_000, "-1m30s"),
    ],
)
def test_writes_as_go_prints(microseconds: int, text: str) -> None:
    assert format_duration(timedelta(microseconds=microseconds)) == text


@settings(deadline=None)
@given(st.integers(-(2**62) // 1_000, 2**62 // 1_000))
def test_reading_what_was_written_changes_nothing(microseconds: int) -> None:
    duration = timedelta(microseconds=microseconds)
    assert parse_duration(format_duration(duration)) == duration


@settings(deadline=None)
@given(st.text("0123456789.+-hmsnuµd ", max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidDuration):
        assert isinstance(parse_duration(text), timedelta)
