"""The audit log is read while the API server writes it: whole requests, each once, whatever it was in the middle of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.api import Cluster
from tests.cluster.errors import ClusterError

FIRST, SECOND, THIRD = b'{"verb":"get"}\n', b'{"verb":"list"}\n', b'{"verb":"watch"}\n'


def cluster(audit_log: Path | None) -> Cluster:
    return Cluster(kubeconfig=Path("none"), kind="control-plane", audit_log=audit_log, home=None)


def verbs(log: Path, offset: int = 0) -> list[str]:
    return [event["verb"] for event in cluster(log).audit_events(offset)]


def test_a_request_that_is_half_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(FIRST + SECOND[:5])
    assert verbs(log) == ["get"]

    log.write_bytes(FIRST + SECOND)
    assert verbs(log) == ["get", "list"]


def test_a_reader_that_met_a_half_written_request_takes_its_other_half_for_nothing(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(FIRST + SECOND[:5])
    reading = cluster(log).audit_events()
    assert next(reading)["verb"] == "get"

    with log.open("ab") as end:
        end.write(SECOND[5:] + THIRD)

    assert [event.get("verb") for event in reading] in ([], ["list", "watch"])


@pytest.mark.parametrize(
    ("offset", "read"),
    [
        (0, ["get", "list", "watch"]),
        (len(FIRST), ["list", "watch"]),
        (len(FIRST) + 5, ["watch"]),
        (len(FIRST + SECOND + THIRD), []),
    ],
    ids=["from the beginning", "between two", "in the middle of one", "at the end"],
)
def test_an_offset_starts_at_the_next_whole_request(tmp_path: Path, offset: int, read: list[str]) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(FIRST + SECOND + THIRD)
    assert verbs(log, offset) == read
    assert cluster(log).audit_size() == len(FIRST + SECOND + THIRD)


def test_an_external_cluster_has_none_and_says_so() -> None:
    with pytest.raises(ClusterError, match="external cluster's audit log"):
        list(cluster(None).audit_events())
    assert cluster(None).audit_size() == 0
