from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from flaggerpy.api.analysis import CanaryMetric
from flaggerpy.api.sequential import SequentialRecord, SequentialTest
from flaggerpy.metrics.base import NoData, Value
from flaggerpy.metrics.sequential import Counts, Evidence, Interval, Rules, weigh_all
from flaggerpy.metrics.trial import Grown, evidence_of, look, record_of
from flaggerpy.rollout.checks import Trial, Verdict

THEN = datetime(2026, 11, 27, 21, 0, 0, 250_000, tzinfo=UTC)
NOW = THEN + timedelta(minutes=1)
METRIC = CanaryMetric.model_validate({"name": "errors", "sequential": {"maxExtra": 2, "atLimit": "fail"}})
CALM = Interval(Counts(100, 100), Counts(899, 900))
GREW = Grown((Value(100), Value(100), Value(899), Value(900)), NOW)


def trial(record: SequentialRecord, *, since: datetime | None = THEN) -> Trial:
    return Trial(METRIC.sequential or SequentialTest(), record, since, last=True)


def test_what_is_kept_is_read_back_as_it_was_also_from_json() -> None:
    evidence = weigh_all([CALM] * 3, Rules())
    kept = record_of(evidence, NOW, asked=2)
    read = SequentialRecord.model_validate(json.loads(json.dumps(kept.to_json())))
    assert read == kept
    assert (evidence_of(read), read.until, read.asked) == (evidence, NOW, 2)


def test_what_is_kept_does_not_grow_with_the_rollout() -> None:
    sizes = {len(json.dumps(record_of(weigh_all([CALM] * many, Rules()), NOW, 0).to_json())) for many in (2, 200)}
    assert max(sizes) < 1000


@pytest.mark.parametrize("record", [SequentialRecord(), SequentialRecord(against=(9.0,), in_favour=(9.0,))])
def test_a_test_without_evidence_or_with_that_of_other_bets_begins_anew(record: SequentialRecord) -> None:
    assert evidence_of(record) == Evidence()


def test_a_look_is_the_same_as_weighing_all_intervals_at_once() -> None:
    record = SequentialRecord()
    for _ in range(3):
        record = look(METRIC, trial(record), GREW, "web.shop").record or record
    assert evidence_of(record) == weigh_all([CALM] * 3, Rules())
    assert record.until == NOW


def test_a_look_that_asks_for_more_time_is_counted_and_at_the_limit_it_answers() -> None:
    answers = [look(METRIC, trial(SequentialRecord(asked=asked)), GREW, "web.shop") for asked in (0, 1, 2)]
    assert [answer.verdict for answer in answers] == [Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, Verdict.FAILED]
    assert [answer.record and answer.record.asked for answer in answers] == [1, 2, 2]
    assert answers[0].message.startswith("metric errors: not proven yet")
    assert answers[2].message.startswith("Halt web.shop advancement errors: not proven yet")


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ((1000, 990, 900, 900), ""),
        ((1001, 980, 900, 900), "1,001 good requests are more than all 980: look at good and total of sequential"),
        ((30, 0, 900, 900), "30 good requests are more than all 0"),
        ((100, 100, 950, 900), "950 good requests of the primary are more than all 900"),
        ((10_100, 10_000, 900, 900), ""),
    ],
)
def test_more_good_requests_than_requests_are_no_proof_that_none_fails(counts: tuple[float, ...], says: str) -> None:
    answer = look(METRIC, trial(SequentialRecord()), Grown(tuple(map(Value, counts)), NOW), "web.shop")
    assert (answer.verdict is Verdict.ERROR, answer.record is None) == (bool(says), bool(says))
    assert says in answer.message


def test_counters_without_series_count_nothing() -> None:
    answer = look(METRIC, trial(SequentialRecord()), Grown((NoData(), NoData(), Value(9), Value(9)), NOW), "web.shop")
    assert "nothing to compare" in answer.message
    assert (answer.record and answer.record.until) == NOW, "the next interval begins here all the same"


def test_without_an_interval_the_evidence_speaks_as_it_is() -> None:
    kept = record_of(weigh_all([CALM] * 15, Rules()), THEN, asked=0)
    answer = look(METRIC, trial(kept, since=None), None, "web.shop")
    assert (answer.verdict, answer.record) == (Verdict.PASSED, kept)
