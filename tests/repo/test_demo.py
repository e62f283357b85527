"""What the demo prints: every answer is counted, and whose it is is said or said to be unknown."""

from __future__ import annotations

import pytest

from tests.traffic.summary import Record
from tools.demo.__main__ import LOOK
from tools.demo.play import NAME, NAMESPACE, Act, Release, Weight, answers, report

OURS = Record(1.0, 0.1, 200, version="6.0.1", from_pod=True)
POD_ERROR = Record(1.0, 0.1, 500, from_pod=True)
PROXY_ERROR = Record(1.0, 0.1, 503)
ACT = Act(Release("a bad release", "6.0.2", (), "Failed", bad=True), "Failed", 0.0, 10.0, (Weight(0.0, 0),))


def test_answers_are_counted_by_version_and_those_without_one_come_last() -> None:
    other = Record(2.0, 0.1, 200, version="6.0.2", from_pod=True)
    records = (PROXY_ERROR, other, OURS, OURS, POD_ERROR)
    assert answers(records) == "6.0.1 200: 2, 6.0.2 200: 1, no version 500: 1, no version 503: 1"


@pytest.mark.parametrize(("records", "explained"), [((OURS,), False), ((OURS, POD_ERROR), True)])
def test_answers_without_a_version_are_explained_where_there_are_some(
    records: tuple[Record, ...], explained: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report([ACT], records) == 0
    assert ("(no version is in answers that do not say who gave them" in capsys.readouterr().out) == explained


def test_whoever_looks_on_is_told_how() -> None:
    assert f"flaggerpy get -n {NAMESPACE}\n" in LOOK
    assert f"flaggerpy watch {NAME} -n {NAMESPACE}\n" in LOOK
