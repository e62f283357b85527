"""Status: Flagger's is read, ours is read back as it was written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from flaggerpy.api.canary import parse_canary
from flaggerpy.api.status import (
    AnsweredRequest,
    CanaryStatus,
    CheckResult,
    Condition,
    Pause,
    Pending,
    Phase,
    Revision,
    RolloutStatus,
    Step,
)
from tests.api.fixtures import STATUSES, JsonObject, refusals
from tests.builders import canary, canary_json, with_rollout, with_status, with_step

NOON = datetime(2026, 7, 21, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize("written", STATUSES, ids=lambda status: status["phase"])
def test_what_flagger_wrote_is_read_and_written_back(written: JsonObject) -> None:
    read = parse_canary(canary_json() | {"status": written})
    assert read.faults == ()
    rewritten = read.status.to_json()
    assert {field: rewritten[field] for field in written} == written
    assert rewritten.keys() - written.keys() <= {"rollout", "conditions", "phase"}


def test_a_canary_that_nobody_has_seen_has_an_empty_status() -> None:
    status = parse_canary(canary_json()).status
    assert (status.phase, status.canary_weight, status.conditions) == (Phase.NEW, 0, [])
    assert status.rollout.applied is None
    assert status.rollout.step == Step()


def full() -> CanaryStatus:
    return CanaryStatus(
        phase=Phase.PROGRESSING,
        failed_checks=1,
        canary_weight=20,
        tracked_configs={"configmap/colours": "241889ca0604e333"},
        last_applied_spec="64c5fc694f",
        last_promoted_spec="8dbdc448",
        last_transition_time=NOON,
        conditions=[Condition(type="Ready", status="False", reason="Rolling", last_transition_time=NOON)],
        observed_generation=7,
        rollout=RolloutStatus(
            applied=Revision(template="v1-1", configs={"configmap/colours": "a"}, uid="u", generation=3),
            promoted=Revision(template="v1-0", controller_revision="4"),
            step=Step(weight=20, started_at=NOON, checked_at=NOON + timedelta(seconds=30), attempt=2),
            gates=["confirm-rollout"],
            moved_at=NOON,
            reason="waiting for pods",
            checks=[CheckResult(name="latency", verdict="Failed", value="612 ms", bound="at most 500", at=NOON)],
            pending=[Pending(id="1", kind="alert", severity="warn", message="too slow", fields=True)],
            request=AnsweredRequest(
                id="7",
                verb="pause",
                by="alice",
                at=NOON,
                answered_at=NOON,
                accepted=False,
                answer="It is paused.",
            ),
            paused=Pause(by="alice", at=NOON),
        ),
    )


def test_our_status_is_admitted_and_read_back_as_it_was_written() -> None:
    written = full().to_json()
    assert refusals(canary_json() | {"status": written}) == []
    read = parse_canary(canary_json() | {"status": written})
    assert read.faults == ()
    assert read.status.to_json() == written
    assert read.status.rollout == full().rollout
    assert list(read.status.to_json()) == list(written)


def test_flaggers_times_have_seconds_and_ours_microseconds() -> None:
    written = full().to_json()
    assert written["lastTransitionTime"] == "2026-07-21T12:00:00Z"
    assert written["conditions"][0]["lastTransitionTime"] == "2026-07-21T12:00:00Z"
    assert written["rollout"]["step"]["startedAt"] == "2026-07-21T12:00:00.123456Z"
    assert written["rollout"]["checks"][0]["at"] == "2026-07-21T12:00:00.123456Z"


def test_times_are_written_in_utc() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    status = CanaryStatus(last_transition_time=elsewhere, rollout=RolloutStatus(moved_at=elsewhere)).to_json()
    assert status["lastTransitionTime"] == "2026-07-21T12:00:00Z"
    assert status["rollout"]["movedAt"] == "2026-07-21T12:00:00.123456Z"


def test_a_whole_second_is_written_with_all_its_digits() -> None:
    step = Step(started_at=NOON.replace(microsecond=0))
    assert step.to_json()["startedAt"] == "2026-07-21T12:00:00.000000Z"


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="timezone"):
        Step(started_at=NOON.replace(tzinfo=None))


def test_what_is_unknown_is_left_out() -> None:
    status = CanaryStatus().to_json()
    assert "observedGeneration" not in status
    assert "trackedConfigs" not in status
    assert status["canaryWeight"] == 0


def test_no_tracked_configs_are_told_from_none_tracked_yet() -> None:
    assert CanaryStatus(tracked_configs={}).to_json()["trackedConfigs"] == {}


def test_weights_may_arrive_as_decimals() -> None:
    status = parse_canary(canary_json() | {"status": {"canaryWeight": 20.0, "failedChecks": 1.0}}).status
    assert (status.canary_weight, status.failed_checks) == (20, 1)


def test_a_status_that_somebody_broke_is_named_and_never_taken_for_a_new_canary_in_silence() -> None:
    read = parse_canary(canary_json() | {"status": {"phase": "Dancing", "canaryWeight": 20}})
    assert len(read.faults) == 1
    assert read.faults[0].startswith("status.phase: 'Dancing' is not known: write '', 'Initializing'")
    assert read.status.canary_weight == 20


def test_the_builders_change_one_thing() -> None:
    base = with_status(canary(), Phase.PROGRESSING, canary_weight=20)
    stepped = with_step(with_rollout(base, reason="waiting"), weight=30, started_at=NOON)
    assert stepped.status.phase is Phase.PROGRESSING
    assert stepped.status.canary_weight == 20
    assert (stepped.status.rollout.reason, stepped.status.rollout.step.weight) == ("waiting", 30)
    assert stepped.spec == canary().spec
