"""The sequential test in a rollout: what holds a share, what a promotion waits for, and what restarts keep."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.api.sequential import Requests, SequentialRecord
from flaggerpy.api.status import Phase
from flaggerpy.metrics.base import NoData, Outcome, ProviderError, Value
from flaggerpy.rollout.checks import MetricCheck, Trial, Verdict
from tests.rollout.test_checks import at_weight, next_due
from tests.rollout.world import World

RATE = "request-success-rate"


def grew(failed: int, asked: int, primary_failed: int, primary_asked: int) -> tuple[Outcome, ...]:
    counts = (asked - failed, asked, primary_asked - primary_failed, primary_asked)
    return tuple(Value(float(count)) for count in counts)


PLENTY = grew(0, 4_000, 4, 4_000)
LITTLE = grew(0, 100, 1, 900)
WORSE = grew(10, 500, 0, 500)
COLLAPSE = grew(100, 100, 1, 900)


def under_test(
    requests: tuple[Outcome, ...], weight: int = 10, metric: dict[str, Any] | None = None, **how: Any
) -> World:
    """Let a rollout come to a weight under a sequential test, with so many requests in every interval."""
    sequential = {key: how.pop(key) for key in ("maxExtra", "atLimit") if key in how}
    metrics = [{"name": RATE, "sequential": sequential, **(metric or {})}]
    world = at_weight(0, metrics=metrics, **how)
    world.requests = requests
    while world.weight < weight:
        assert world.advance()
        world.tick()
    return world


def record(world: World) -> SequentialRecord:
    (check,) = world.status.rollout.checks
    assert check.sequential is not None
    return check.sequential


def trials(world: World) -> list[Trial]:
    return [check.trial for _, check, _ in world.asked if isinstance(check, MetricCheck) and check.trial is not None]


def test_a_harmless_canary_with_enough_users_needs_no_more_than_its_steps() -> None:
    world = under_test(PLENTY).run()
    assert (world.phase, record(world).asked, record(world).intervals) == (Phase.SUCCEEDED, 0, 3)
    assert [trial.last for trial in trials(world)] == [False, False, True]
    (check,) = world.status.rollout.checks
    assert (check.verdict, check.reason) == ("Passed", "proven not to be worse by 0.5 points")


def test_intervals_follow_one_another_without_gap_from_the_first_users_on() -> None:
    world = under_test(PLENTY)
    exposed = world.status.rollout.exposed_at
    world.run()
    looks = [when for when, check, _ in world.asked if isinstance(check, MetricCheck)]
    assert [trial.since for trial in trials(world)] == [exposed, *looks[:-1]]


def test_the_first_interval_begins_when_the_canary_is_warm() -> None:
    world = under_test(PLENTY, initialDelay="15s")
    exposed = world.status.rollout.exposed_at
    assert exposed is not None
    world.run_for(44)
    assert trials(world) == [], "there has to be something to compare"
    world.run_for(11)
    assert trials(world)[0].since == exposed + timedelta(seconds=15)


def test_a_collapse_rolls_back_at_once_whatever_the_threshold() -> None:
    world = next_due(under_test(COLLAPSE, threshold=9))
    assert (world.phase, world.weight) == (Phase.FAILED, 0)
    assert world.status.rollout.failing == (
        f"metric {RATE} failed its sequential test: +99.89 points (100.00% of 100, primary 0.11% of 900), accepted is "
        "< +0.5 points"
    )
    assert (
        f"Halt payment.shop advancement {RATE}: the canary fails more often than the primary, by 99.89 points, which is"
        " proven"
    ) in world.texts


def test_suspicion_holds_the_share_and_a_proof_ends_it() -> None:
    world = under_test(WORSE, threshold=9)
    shares = [next_due(world).weight for _ in range(4)]
    assert shares == [20, 20, 20, 0]
    assert (world.phase, world.status.failed_checks) == (Phase.FAILED, 0)


def test_doubt_holds_the_promotion_until_there_is_a_proof() -> None:
    world = under_test(LITTLE, weight=30)
    for asked in (1, 2, 3):
        next_due(world)
        assert (world.phase, world.weight, record(world).asked) == (Phase.PROGRESSING, 30, asked)
    assert "more requests to the canary are needed" in world.status.rollout.reason
    world.requests = PLENTY
    next_due(world)
    world.run()
    assert world.phase is Phase.SUCCEEDED


@pytest.mark.parametrize(
    ("then", "phase", "why"),
    [
        ("pass", Phase.SUCCEEDED, ""),
        ("fail", Phase.FAILED, f"metric {RATE} failed its sequential test"),
    ],
)
def test_after_so_many_further_intervals_the_answer_is_as_wished(then: str, phase: Phase, why: str) -> None:
    world = under_test(LITTLE, weight=30, maxExtra=2, atLimit=then)
    for _ in range(2):
        assert next_due(world).phase is Phase.PROGRESSING
    world.run_for(60)
    assert world.phase is phase
    assert why in world.status.rollout.failing
    assert record(world).asked == 2


def test_a_test_that_waits_tells_people_once_and_not_before_its_limit() -> None:
    world = under_test(grew(0, 0, 1, 900), maxExtra=12)
    world.run_for(120)
    assert world.status.rollout.paused is None
    world.run_for(60)
    pause = world.status.rollout.paused
    assert pause is not None
    assert "gave no verdict more than 12 times in a row" in pause.words
    assert "nothing to compare: canary and primary need requests in the same interval" in pause.words


def test_a_restart_keeps_the_evidence_and_the_beginning_of_the_next_interval() -> None:
    world = next_due(under_test(WORSE, threshold=9))
    before = record(world)
    world.tick(crash_after=0)
    next_due(world)
    assert trials(world)[-1].record == before
    assert trials(world)[-1].since == before.until
    assert record(world).intervals == before.intervals + 1


def test_what_a_crash_kept_from_being_written_is_asked_again_from_the_same_moment() -> None:
    world = next_due(under_test(WORSE, threshold=9))
    before = record(world)
    assert before.until is not None
    world.run_for(9)
    world.asked.clear()
    while not trials(world):
        assert world.advance()
        crash = world.now >= before.until + timedelta(seconds=10)
        world.tick(crash_after=0 if crash else None)
    assert record(world) == before
    world.tick()
    first, second = trials(world)[-2:]
    assert first == second
    assert record(world).intervals == before.intervals + 1


def test_a_server_without_an_answer_leaves_the_evidence_as_it_is() -> None:
    world = next_due(under_test(LITTLE))
    before = record(world)
    world.requests = (ProviderError("silence"),)
    next_due(world)
    assert (record(world), world.weight) == (before, 20)
    assert world.status.rollout.reason == f"metric {RATE} could not be measured"


def test_a_new_revision_begins_without_evidence() -> None:
    world = next_due(under_test(WORSE, threshold=9))
    world.requests = LITTLE
    world.push("v3").run_for(25)
    assert record(world).canary == Requests(good=200, total=200)


def test_with_all_users_on_the_canary_nothing_is_counted_and_the_proof_stands() -> None:
    world = under_test(PLENTY, stepWeights=[50, 100]).run()
    assert [(trial.since is None, trial.last) for trial in trials(world)] == [(False, True)] * 2 + [(True, True)]
    assert (world.phase, record(world).intervals) == (Phase.SUCCEEDED, 2)


def test_a_test_that_somebody_went_past_says_that_no_proof_can_come_any_more() -> None:
    world = under_test(LITTLE, stepWeights=[50, 100])
    world.ask("promote").run_for(5)
    assert world.weight == 100
    world.run_for(20)
    assert world.weight == 100
    assert "cannot be judged yet: no proof can come while all users are on the canary" in world.status.rollout.reason


def test_all_users_wait_for_the_proof() -> None:
    world = under_test(LITTLE, stepWeights=[50, 100])
    next_due(world)
    assert (world.weight, record(world).asked) == (50, 1)


def test_a_bound_beside_it_counts_as_ever_and_is_told_first() -> None:
    world = under_test(PLENTY, metric={"thresholdRange": {"min": 99}}, threshold=3)
    world.metrics[RATE] = Verdict.FAILED
    for failed in (1, 2):
        next_due(world)
        assert (world.phase, world.status.failed_checks, record(world).intervals) == (Phase.PROGRESSING, failed, failed)
    assert world.status.rollout.reason == f"metric {RATE} is 3, accepted is <= 2"
    next_due(world)
    assert world.phase is Phase.FAILED


def test_a_limit_that_is_given_is_honoured() -> None:
    world = under_test(COLLAPSE, metric={"failureLimit": 1}, threshold=1)
    assert next_due(world).phase is Phase.PROGRESSING
    next_due(world)
    assert "failed 2 times, more than its failureLimit of 1" in world.status.rollout.failing


def test_a_dry_run_is_shown_and_decides_nothing() -> None:
    world = under_test(COLLAPSE, metric={"dryRun": True}).run()
    assert world.phase is Phase.SUCCEEDED
    assert world.status.rollout.checks[0].verdict == "Failed"


def test_an_ab_test_compares_with_all_others() -> None:
    match = [{"headers": {"x": {"exact": "y"}}}]
    world = under_test(LITTLE, weight=100, iterations=3, match=match)
    next_due(world)
    assert trials(world)[-1].since is not None


def test_counters_without_series_are_silence() -> None:
    world = next_due(under_test((NoData(),) * 4))
    assert world.weight == 10
    assert "nothing to compare" in world.status.rollout.reason
