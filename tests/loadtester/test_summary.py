"""Summaries of load generators, recorded from the real ones (Debian 12's hey and wrk), and held against bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flaggerpy.loadtester.summary import Summary, summaries
from flaggerpy.loadtester.thresholds import InvalidThreshold, parse_thresholds

DATA = Path(__file__).parent / "data"


def recorded(name: str) -> str:
    return (DATA / f"{name}.txt").read_text(encoding="utf-8")


def only(name: str) -> Summary:
    (found,) = summaries(f"some words before\n{recorded(name)}\nand after\n")
    return found


def breaches(output: str, **bounds: str) -> list[str]:
    thresholds = parse_thresholds(bounds)
    assert thresholds is not None
    return list(thresholds.breaches(summaries(output)))


@pytest.mark.parametrize(
    ("name", "tool", "requests", "failed"),
    [
        ("hey-good", "hey", 100, 0),
        ("hey-bad", "hey", 100, 31),
        ("hey-refused", "hey", 10, 10),
        ("wrk-good", "wrk", 38, 0),
        ("wrk-bad", "wrk", 40, 12),
        ("ghz-bad", "ghz", 200, 3),
    ],
)
def test_what_was_sent_and_what_failed(name: str, tool: str, requests: int, failed: int) -> None:
    found = only(name)
    assert (found.tool, found.requests, found.failed) == (tool, requests, failed)


@pytest.mark.parametrize(
    ("name", "average", "percentiles"),
    [
        ("hey-good", 0.0807, {10: 0.0278, 25: 0.044, 50: 0.0489, 75: 0.0932, 90: 0.1553, 95: 0.2817, 99: 0.5219}),
        ("hey-refused", None, {}),
        ("wrk-good", 0.05347, {50: 0.04825, 75: 0.05821, 90: 0.11491, 99: 0.12758}),
        ("wrk-bad", 0.04735, {}),
        ("ghz-bad", 0.00664, {10: 0.00193, 50: 0.0058, 95: 0.0142, 99: 0.02313}),
    ],
)
def test_latencies_are_in_seconds(name: str, average: float | None, percentiles: dict[float, float]) -> None:
    found = only(name)
    assert found.average == pytest.approx(average)
    assert found.percentiles == pytest.approx(percentiles)


def test_rates_are_requests_a_second() -> None:
    assert [only(name).rate for name in ("hey-good", "wrk-good", "ghz-bad")] == [24.7105, 33.64, 1101.53]


def test_errors_of_sockets_are_requests_without_an_answer() -> None:
    text = recorded("wrk-bad").replace("  Non-2xx", "  Socket errors: connect 3, read 2, write 1, timeout 4\n  Non-2xx")
    (found,) = summaries(text)
    assert (found.requests, found.failed) == (46, 22)


@pytest.mark.parametrize("text", ["", "wrk: command not found\n", recorded("wrk-refused"), recorded("hey-good")[:200]])
def test_no_summary_and_half_of_one_are_none(text: str) -> None:
    assert summaries(text) == ()


def test_an_output_of_blank_lines_is_read_in_no_time() -> None:
    """In time that grows with its square it would stop the whole load tester for hours."""
    assert summaries("Running 1s test @ http://x\n" + "\n" * 1_000_000) == ()
    assert summaries("Summary:\n" + "\n" * 1_000_000 + "  Count: 1\n") == ()


def test_every_summary_of_an_output_is_found_in_its_order() -> None:
    text = "\n".join(map(recorded, ("hey-good", "wrk-bad", "hey-bad", "ghz-bad")))
    assert [(one.tool, one.failed) for one in summaries(text)] == [("hey", 0), ("wrk", 12), ("hey", 31), ("ghz", 3)]


_WORDS = st.sampled_from(
    ["Summary:\n", "Running 1s test @ x\n", "  Count: ", "Requests/sec: ", "Status code distribution:\n", "  [200] 3 ",
     "responses\n", "Error distribution:\n", "  99% in ", "0.1.2", "9", " secs\n", "\n", "[… 12 bytes left out …]"]
)  # fmt: skip


@given(st.lists(_WORDS | st.text(max_size=8)).map("".join))
def test_whatever_a_command_prints_it_is_read_without_an_error(text: str) -> None:
    for one in summaries(text):
        assert 0 <= one.failed <= one.requests
        assert 0 <= one.error_rate <= 100


@pytest.mark.parametrize(
    "bounds",
    [
        {"maxErrorRate": "0"},
        {"maxErrorRate": "0.5%", "maxP99": "600ms", "maxP50": "50ms"},
        {"maxAverage": "81ms", "minRequests": "100", "minRate": "24"},
    ],
)
def test_a_load_test_within_its_bounds_passes(bounds: dict[str, str]) -> None:
    assert breaches(recorded("hey-good"), **bounds) == []


@pytest.mark.parametrize(
    ("name", "bounds", "said"),
    [
        ("hey-bad", {"maxErrorRate": "1%"}, ["31 of 100 requests failed: 31 %, which is more than 1 %"]),
        ("wrk-bad", {"maxErrorRate": "29.9"}, ["12 of 40 requests failed: 30 %, which is more than 29.9 %"]),
        ("hey-good", {"maxP99": "500ms"}, ["p99 is 521.9ms, which is more than 500ms"]),
        ("wrk-good", {"maxP75": "10ms", "maxP90": "1s"}, ["p75 is 58.21ms, which is more than 10ms"]),
        ("hey-good", {"maxAverage": "80ms"}, ["the average latency is 80.7ms, which is more than 80ms"]),
        ("hey-good", {"minRequests": "101"}, ["100 requests were sent, which is less than 101"]),
        ("wrk-good", {"minRate": "100"}, ["33.64 requests a second were made, which is less than 100"]),
        ("hey-good", {"maxP99.9": "1s"}, ["hey does not tell p99.9, only p10, p25, p50, p75, p90, p95, p99"]),
        ("wrk-bad", {"maxP99": "1s"}, ["wrk tells no percentiles without --latency"]),
        ("hey-refused", {"maxP99": "1s"}, ["nothing was answered, so p99 is not known"]),
        ("wrk-refused", {"maxP99": "1s"}, ["the output has no summary of hey, wrk or ghz to hold the bounds against"]),
    ],
)
def test_a_bound_that_is_not_kept_is_named_with_both_numbers(
    name: str, bounds: dict[str, str], said: list[str]
) -> None:
    assert breaches(recorded(name), **bounds) == said


def test_a_load_test_that_sent_nothing_passes_no_bound() -> None:
    nothing = recorded("hey-good").replace("[200]\t100 responses", "")
    assert breaches(nothing, maxErrorRate="100%") == ["0 requests were sent, which is less than 1"]


def test_each_of_several_summaries_must_keep_the_bounds() -> None:
    said = breaches(recorded("hey-good") + recorded("hey-bad"), maxErrorRate="1%")
    assert said == ["31 of 100 requests failed: 31 %, which is more than 1 %"]


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("maxErrorRate", "1.5 per cent", "is no share: write 0.5%"),
        ("maxErrorRate", "101", "is no share"),
        ("maxErrorRate", "nan", "is no share"),
        ("maxP99", "500", '"500" is not a duration'),
        ("maxP99", "-1s", "is not longer than zero"),
        ("minRequests", "1e3", "is no number of requests"),
        ("minRate", "fast", "is no number of requests a second"),
        ("maxP100", "1s", "metadata.maxP100 is no bound; there are maxErrorRate"),
        ("maxLatency", "1s", "metadata.maxLatency is no bound"),
    ],
)
def test_a_bound_that_means_nothing_is_refused_with_a_sentence(key: str, text: str, words: str) -> None:
    with pytest.raises(InvalidThreshold) as refused:
        parse_thresholds({key: text})
    assert words in str(refused.value)
    assert key in str(refused.value)


@pytest.mark.parametrize("metadata", [{}, {"cmd": "hey -z 1m http://x", "type": "cmd", "maximum": "3", "minute": "x"}])
def test_without_bounds_there_is_nothing_to_keep(metadata: dict[str, str]) -> None:
    assert parse_thresholds(metadata) is None
