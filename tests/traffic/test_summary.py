"""What a summary says of given records."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tests.traffic.summary import Record, Summary, read_records


def ok(at: float, version: str, upstream: str | None = None) -> Record:
    return Record(at=at, seconds=0.01, status=200, version=version, upstream=upstream, from_pod=True)


def pod_error(at: float, upstream: str | None = None) -> Record:
    return Record(at=at, seconds=0.01, status=500, upstream=upstream, from_pod=True)


def proxy_error(at: float) -> Record:
    return Record(at=at, seconds=0.01, status=503)


def reset(at: float) -> Record:
    return Record(at=at, seconds=0.01, error="reset")


def instant(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def test_answers_are_counted_by_version_and_result() -> None:
    summary = Summary((ok(1, "6.0.1"), ok(2, "6.0.0"), ok(3, "6.0.0"), proxy_error(4), reset(5)))
    assert summary.total == 5
    assert summary.by_version() == {"6.0.0": 2, "6.0.1": 1}
    assert summary.by_version_and_result() == {
        (None, "503"): 1,
        (None, "reset"): 1,
        ("6.0.0", "200"): 2,
        ("6.0.1", "200"): 1,
    }


def test_shares_count_what_was_sent_between_two_instants() -> None:
    records = (ok(9.9, "new"), ok(10, "new"), ok(11, "old"), ok(12, "old"), ok(19.9, "old"), ok(20, "new"))
    assert Summary(records).shares(instant(10), instant(20)) == {"new": 0.25, "old": 0.75}
    assert Summary(records).shares(instant(30), instant(40)) == {}


def test_a_failure_is_anything_but_a_whole_2xx_answer() -> None:
    truncated = Record(at=1, seconds=0.01, status=200, error="truncated")
    moved = Record(at=2, seconds=0.01, status=301)
    failed = Summary((ok(0, "6.0.0"), truncated, moved, reset(3), proxy_error(4))).failed()
    assert [record.result for record in failed] == ["truncated", "301", "reset", "503"]


def test_failures_of_a_version_that_is_meant_to_fail_can_be_left_out() -> None:
    told = Record(at=1, seconds=0.01, status=500, version="6.0.2", from_pod=True)
    assert Summary((told, reset(2))).failed(excluding_versions=["6.0.2"]) == (reset(2),)


def test_an_error_belongs_to_the_version_that_its_pod_told_nearest_in_time() -> None:
    records = (ok(1, "old", "10.0.0.7"), ok(50, "bad", "10.0.0.7"), pod_error(40, "10.0.0.7"), pod_error(2, "10.0.0.7"))
    versions = [record.version for record in Summary(records).attributed().records]
    assert versions == ["old", "bad", "bad", "old"]


def test_an_error_of_a_pod_that_never_told_a_version_belongs_to_none() -> None:
    records = (ok(1, "bad", "10.0.0.7"), pod_error(1, "10.0.0.8"))
    assert Summary(records).attributed(pod_errors_to="bad").failed(["bad"]) == (records[1],)


def test_pods_errors_can_be_ascribed_to_a_version_while_it_answers_and_the_proxys_never() -> None:
    records = (ok(10, "bad"), pod_error(11), proxy_error(11), reset(11), ok(12, "bad"), pod_error(15), pod_error(7))
    summary = Summary(records).attributed(pod_errors_to="bad")
    assert summary.failed(["bad"]) == (proxy_error(11), reset(11), pod_error(15), pod_error(7))
    assert Summary(records[1:2]).attributed(pod_errors_to="bad").failed(["bad"]) == (pod_error(11),)


def test_records_survive_the_file_and_an_unfinished_line_is_left_alone(tmp_path: Path) -> None:
    records = (ok(1.5, "6.0.0", "10.0.0.7"), reset(2.25))
    file = tmp_path / "out.jsonl"
    file.write_text("".join(record.line() for record in records) + '{"at": 3.')
    assert read_records(file).records == records
