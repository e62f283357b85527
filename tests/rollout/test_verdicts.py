"""Verdicts over time: warm-up, windows, limits of a metric's own, dry runs, and the pause that nobody asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flaggerpy.api.status import CheckResult, Phase, Step
from flaggerpy.metrics.queries import window_of
from flaggerpy.rollout.checks import Answer, Check, MetricCheck, Verdict, ends_round
from flaggerpy.rollout.decide import decide
from flaggerpy.rollout.decision import Plan
from flaggerpy.rollout.thresholds import why
from flaggerpy.rollout.verdicts import LONGEST_REASON, pace
from tests.rollout.simulation import START
from tests.rollout.test_checks import at_weight, next_due
from tests.rollout.test_trials import LITTLE, RATE, under_test
from tests.rollout.world import World, hook, initialized, spec

PASSED, FAILED, INCONCLUSIVE, ERROR = Verdict.PASSED, Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.ERROR


def metric(name: str = "latency", **fields: Any) -> dict[str, Any]:
    return {"name": name, "interval": "1m", "query": "x", **fields}


def result(world: World, name: str = "latency") -> CheckResult:
    return next(check for check in world.status.rollout.checks if check.name == name)


def asked(world: World) -> list[str]:
    """The metrics that were measured since the world was last told to forget it, in order."""
    checks = [check for _, check, _ in world.asked if isinstance(check, MetricCheck)]
    world.asked.clear()
    return [world.spec.analysis.metrics[check.index].name for check in checks]


# One round


def test_an_inconclusive_metric_holds_without_being_counted() -> None:
    world = at_weight(10, metrics=[metric()], threshold=1)
    world.metrics["latency"] = INCONCLUSIVE
    for _ in range(5):
        next_due(world)
    assert (world.phase, world.weight, world.status.failed_checks) == (Phase.PROGRESSING, 10, 0)
    assert world.status.rollout.reason == "metric latency cannot be judged yet: Halt advancement latency is off"
    assert world.texts.count("Halt advancement latency is off") == 1, "told once"
    world.metrics.clear()
    next_due(world)
    assert world.weight == 20


def test_a_reason_names_its_metric_once() -> None:
    answer = Answer(INCONCLUSIVE, "metric latency: 7 samples are too few, 9 are needed")
    assert why("latency", answer) == "metric latency cannot be judged yet: 7 samples are too few, 9 are needed"
    world = under_test(LITTLE, weight=30)
    next_due(world)
    (kept,) = world.status.rollout.checks
    assert kept.reason.startswith("not proven yet")
    assert world.status.rollout.reason == f"metric {RATE} cannot be judged yet: {kept.reason}"


@pytest.mark.parametrize("verdict", [ERROR, INCONCLUSIVE])
def test_behind_a_metric_without_a_verdict_one_that_fails_is_found_and_counted(verdict: Verdict) -> None:
    world = at_weight(10, metrics=[metric("first"), metric("second"), metric("third")], threshold=5)
    world.metrics |= {"first": verdict, "second": FAILED}
    asked(world)
    next_due(world)
    assert asked(world) == ["first", "second"], "a failure that is counted ends the round"
    assert world.status.failed_checks == 1
    assert world.status.rollout.reason == "metric second is 3, accepted is <= 2"


def test_what_is_kept_of_each_metric_is_one_entry_and_bounded() -> None:
    world = at_weight(10, metrics=[metric("a"), metric("b")], threshold=9)
    world.metrics["a"] = FAILED
    for _ in range(3):
        next_due(world)
    world.edit(metrics=[metric("a")], threshold=9)
    next_due(world)
    (kept,) = world.status.rollout.checks
    assert (kept.name, kept.failures, kept.failures_in_a_row) == ("a", 4, 4)


def test_a_long_reason_is_cut() -> None:
    world = at_weight(10, metrics=[metric()])
    seen = world.run_for(9.9).observe()
    world.now = START + timedelta(hours=1)
    check = first_question(seen, world)
    plan = decide(replace(seen, answers={check: Answer(ERROR, "x" * 5000)}), world.now)
    assert isinstance(plan, Plan)
    assert plan.status is not None
    assert len(plan.status.rollout.checks[0].reason) == LONGEST_REASON


def first_question(seen: Any, world: World) -> Check:
    question = decide(seen, world.now)
    assert not isinstance(question, Plan)
    return question.checks[0]


def test_a_metric_that_is_measured_in_two_ways_has_one_verdict_the_worse_one() -> None:
    both = metric("request-success-rate", thresholdRange={"min": 99}, consecutiveFailureLimit=1)
    world = at_weight(10, metrics=[both])
    world.metrics["request-success-rate"] = FAILED
    next_due(world)
    assert result(world, "request-success-rate").failures_in_a_row == 1
    next_due(world)
    assert world.phase is Phase.FAILED


def test_a_good_round_forgets_nothing_that_people_want_to_read() -> None:
    world = initialized(spec=spec(metrics=[metric()])).push("v2").run()
    assert world.phase is Phase.SUCCEEDED
    assert (result(world).verdict, result(world).value) == ("Passed", "1")


# Warm-up


def test_nothing_is_measured_while_the_canary_warms_up_and_hooks_are_called_all_the_same() -> None:
    hooks = [hook("rollout")]
    world = at_weight(10, metrics=[metric()], webhooks=hooks, initialDelay="25s", threshold=1)
    exposed = world.status.rollout.exposed_at
    world.metrics["latency"] = FAILED
    asked(world)
    world.run_for(54)
    assert asked(world) == []
    assert (world.weight, world.status.failed_checks) == (10, 0)
    assert world.status.rollout.reason == "metric latency is not measured in the first 25s"
    assert (result(world).verdict, result(world).unanswered_in_a_row) == ("Inconclusive", 0)
    world.metrics.clear()
    next_due(world)
    assert asked(world) == ["latency"]
    assert (world.weight, world.status.rollout.exposed_at) == (20, exposed), "counted from the first users only"


def test_a_slow_start_fails_without_a_warm_up() -> None:
    world = at_weight(10, metrics=[metric()], threshold=1)
    world.metrics["latency"] = FAILED
    next_due(world)
    assert world.phase is Phase.FAILED


def test_a_metric_has_a_warm_up_of_its_own_in_the_place_of_the_analysis() -> None:
    delays: dict[str, dict[str, str]] = {"slow": {"initialDelay": "35s"}, "now": {"initialDelay": "0s"}, "as-all": {}}
    metrics = [metric(name, interval="5s", **delay) for name, delay in delays.items()]
    world = at_weight(10, metrics=metrics, initialDelay="15s")
    rounds = []
    asked(world)
    for _ in range(4):
        next_due(world)
        rounds.append(asked(world))
    assert rounds == [["now"], ["now", "as-all"], ["now", "as-all"], ["slow", "now", "as-all"]]
    assert world.weight == 20


def test_no_measurement_looks_back_into_the_warm_up() -> None:
    short, step, cold = metric("short", interval="5s"), metric("step", window="step"), metric("cold", initialDelay="0s")
    world = at_weight(10, metrics=[metric("long"), short, step, cold], initialDelay="15s", maxWeight=50)
    warm = (world.status.rollout.exposed_at or START) + timedelta(seconds=15)
    world.asked.clear()
    world.run()
    begins: dict[str, datetime] = {}
    for when, check, _ in world.asked:
        assert isinstance(check, MetricCheck)
        measured = world.spec.analysis.metrics[check.index]
        begins.setdefault(measured.name, when - window_of(measured, check.since, when))
    assert begins.pop("cold") < warm
    assert min(begins.values()) >= warm
    assert len(begins) == 3


def test_another_revision_warms_up_anew() -> None:
    world = at_weight(10, metrics=[metric()], initialDelay="25s").run_for(20)
    first = world.status.rollout.exposed_at
    world.push("v3")
    world.tick()
    assert world.status.rollout.exposed_at is None
    world.run_for(15)
    assert world.weight == 10
    again = world.status.rollout.exposed_at
    assert first is not None
    assert again is not None
    assert again > first


def test_iterations_without_users_expose_a_canary_too() -> None:
    world = initialized(spec=spec(iterations=2, metrics=[metric()], initialDelay="25s")).push("v2").run_for(15)
    assert world.status.rollout.exposed_at is not None
    world.run()
    assert world.outcomes == ["succeeded"]


# Windows and intervals of a metric's own


def test_a_window_begins_with_the_step_where_that_is_asked_for() -> None:
    world = at_weight(20, metrics=[metric("all"), metric("step", window="step")])
    world.asked.clear()
    began = world.status.rollout.step.started_at
    next_due(world)
    since = {check.index: check.since for _, check, _ in world.asked if isinstance(check, MetricCheck)}
    assert since == {0: None, 1: began}


def test_once_per_interval_a_metric_is_measured_when_its_interval_is_over_and_before_the_end() -> None:
    slow = metric("slow", interval="25s", oncePerInterval=True)
    world = initialized(spec=spec(metrics=[slow, metric("fast")], stepWeight=10, maxWeight=70)).push("v2")
    rounds: dict[int, list[str]] = {}
    while world.phase is not Phase.PROMOTING:
        weight = world.weight
        assert world.advance()
        world.tick()
        if measured := asked(world):
            rounds[weight] = measured
    both, only = ["slow", "fast"], ["fast"]
    assert rounds == {10: both, 20: only, 30: only, 40: both, 50: only, 60: only, 70: both}


def test_the_failure_of_a_metric_that_is_not_due_holds_and_is_counted_once() -> None:
    world = at_weight(10, metrics=[metric(interval="35s", oncePerInterval=True)], threshold=5)
    world.metrics["latency"] = FAILED
    next_due(world)
    world.metrics.clear()
    for _ in range(3):
        next_due(world)
        assert (world.weight, world.status.failed_checks) == (10, 1)
        assert world.status.rollout.reason == "metric latency is 3, accepted is <= 2"
    next_due(world)
    assert world.weight == 20


@pytest.mark.parametrize("verdict", [ERROR, INCONCLUSIVE])
def test_a_metric_without_a_verdict_is_due_at_once_again(verdict: Verdict) -> None:
    world = at_weight(10, metrics=[metric(interval="10m", oncePerInterval=True)])
    world.metrics["latency"] = verdict
    next_due(world)
    world.metrics.clear()
    next_due(world)
    assert world.weight == 20


# Limits of a metric's own


def test_failures_of_a_metric_with_a_limit_of_its_own_are_not_counted_for_the_threshold() -> None:
    world = at_weight(10, metrics=[metric(failureLimit=2)], threshold=1)
    world.metrics["latency"] = FAILED
    for failures in (1, 2):
        next_due(world)
        assert (world.weight, world.status.failed_checks, result(world).failures) == (10, 0, failures)
        assert world.status.rollout.reason == "metric latency is 3, accepted is <= 2"
    next_due(world)
    why = "metric latency failed 3 times, more than its failureLimit of 2: 3, accepted is <= 2"
    assert (world.phase, world.weight, world.status.rollout.failing) == (Phase.FAILED, 0, why)
    assert world.alerts[-1] == ("error", f"Rolling back payment.shop {why}")


def test_a_limit_in_a_row_begins_anew_with_every_pass_and_not_with_a_missing_verdict() -> None:
    world = at_weight(10, metrics=[metric(consecutiveFailureLimit=1)], threshold=1, maxWeight=90)
    for verdict in (FAILED, PASSED, FAILED, PASSED, FAILED, ERROR, INCONCLUSIVE):
        world.metrics["latency"] = verdict
        next_due(world)
        assert world.phase is Phase.PROGRESSING
    assert result(world).failures == 3
    world.metrics["latency"] = FAILED
    next_due(world)
    failed = "metric latency failed 2 times in a row, more than its consecutiveFailureLimit of 1: 3, accepted is <= 2"
    assert world.status.rollout.failing == failed


def test_a_limit_of_none_rolls_back_at_the_first_failure() -> None:
    world = at_weight(10, metrics=[metric(failureLimit=0)], threshold=9)
    world.metrics["latency"] = FAILED
    next_due(world)
    assert world.phase is Phase.FAILED
    assert "failed once, more than its failureLimit of 0" in world.status.rollout.failing


def test_behind_a_failure_within_its_limit_one_that_counts_is_found() -> None:
    world = at_weight(10, metrics=[metric("own", failureLimit=9), metric("counted")], threshold=5)
    world.metrics |= {"own": FAILED, "counted": FAILED}
    next_due(world)
    assert world.status.failed_checks == 1
    assert result(world, "own").failures == 1


def test_limits_begin_anew_with_every_analysis() -> None:
    world = at_weight(10, metrics=[metric(failureLimit=1)])
    world.metrics["latency"] = FAILED
    next_due(world)
    world.metrics.clear()
    world.push("v3").run_for(15)
    world.metrics["latency"] = FAILED
    next_due(world)
    assert (world.phase, result(world).failures) == (Phase.PROGRESSING, 1)


# Dry runs


@given(verdicts=st.lists(st.sampled_from(Verdict), min_size=5, max_size=5), position=st.integers(0, 1))
def test_a_dry_run_changes_nothing_but_what_is_shown_of_it(verdicts: list[Verdict], position: int) -> None:
    def play(dry: list[Verdict]) -> World:
        metrics = [metric("counts")]
        metrics.insert(position, metric("tried", dryRun=True, failureLimit=0))
        world = initialized(spec=spec(metrics=metrics, threshold=3)).push("v2")
        for counts, tried in zip(verdicts, dry, strict=True):
            world.metrics |= {"counts": counts, "tried": tried}
            next_due(world)
        return world

    told = [play(dry) for dry in (verdicts[::-1], [PASSED] * len(verdicts))]
    left, right = ((world.events, world.actions, world.sent, shown_without_dry_runs(world)) for world in told)
    assert left == right


def shown_without_dry_runs(world: World) -> object:
    checks = [check for check in world.status.rollout.checks if not check.dry_run]
    return world.status.model_copy(update={"rollout": world.status.rollout.model_copy(update={"checks": checks})})


def test_a_dry_run_is_measured_and_shown() -> None:
    world = at_weight(10, metrics=[metric("tried", dryRun=True)])
    world.metrics["tried"] = FAILED
    next_due(world)
    assert world.weight == 20
    tried = result(world, "tried")
    assert (tried.verdict, tried.value, tried.dry_run, tried.failures) == ("Failed", "3", True, 1)


# No verdict for too long


def silent(world: World, verdict: Verdict = ERROR, rounds: int = 3) -> World:
    """Let a metric give no verdict for so many rounds."""
    world.metrics["latency"] = verdict
    for _ in range(rounds):
        next_due(world)
    return world


@pytest.mark.parametrize("verdict", [ERROR, INCONCLUSIVE])
def test_too_many_rounds_without_a_verdict_pause_the_rollout_and_alert_once(verdict: Verdict) -> None:
    world = at_weight(10, metrics=[metric(consecutiveErrorLimit=2)], threshold=1)
    silent(world, verdict, rounds=2)
    assert world.status.rollout.paused is None
    silent(world, verdict, rounds=20)
    pause = world.status.rollout.paused
    assert pause is not None
    words = (
        "paused by flaggerpy: metric latency gave no verdict more than 2 times in a row; the last time: Halt "
        "advancement latency is off"
    )
    assert (pause.by, pause.words) == ("flaggerpy", words)
    assert [alert for alert in world.alerts if alert[0] == "warn"] == [("warn", f"Canary analysis is {words}")]
    assert world.texts.count(f"payment.shop is {words}") == 1
    assert (world.phase, world.weight, world.status.failed_checks) == (Phase.PROGRESSING, 10, 0)
    assert world.status.rollout.reason == words
    assert {row.reason for row in world.status.conditions if row.type == "Ready"} == {"Paused"}


def test_it_goes_on_by_itself_with_the_first_verdict() -> None:
    world = silent(at_weight(10, metrics=[metric(consecutiveErrorLimit=1)]))
    assert world.status.rollout.paused
    world.metrics.clear()
    assert not next_due(world).status.rollout.paused
    assert world.weight == 20
    assert "payment.shop goes on: every metric has a verdict again" in world.texts
    assert world.run().outcomes == ["succeeded"]


def test_a_bad_verdict_ends_the_pause_as_well_and_counts() -> None:
    world = silent(at_weight(10, metrics=[metric(consecutiveErrorLimit=1)], threshold=5))
    world.metrics["latency"] = FAILED
    next_due(world)
    assert (world.status.failed_checks, world.status.rollout.paused) == (1, None)


def test_it_stays_paused_until_every_metric_has_a_verdict_again() -> None:
    limits = [metric(consecutiveErrorLimit=1), metric("other", consecutiveErrorLimit=1)]
    world = at_weight(10, metrics=limits)
    world.metrics["other"] = ERROR
    silent(world)
    world.metrics.pop("latency")
    next_due(world)
    assert world.status.rollout.paused
    world.metrics.clear()
    next_due(world)
    assert world.status.rollout.paused is None


def test_whoever_resumes_gets_as_much_time_again_before_the_next_alert() -> None:
    world = silent(at_weight(10, metrics=[metric(consecutiveErrorLimit=2)]))
    world.ask("resume")
    world.tick()
    assert (world.status.rollout.paused, result(world).unanswered_in_a_row) == (None, 0)
    silent(world, rounds=2)
    assert world.status.rollout.paused is None
    next_due(world)
    assert world.status.rollout.paused
    assert len([alert for alert in world.alerts if alert[0] == "warn"]) == 2


def test_a_person_who_pauses_takes_it_over_and_it_does_not_end_by_itself() -> None:
    world = silent(at_weight(10, metrics=[metric(consecutiveErrorLimit=1)]))
    world.ask("pause", by="alice")
    world.metrics.clear()
    world.run_for(60)
    assert world.status.rollout.paused
    assert world.status.rollout.paused.words == "paused by alice"
    assert world.weight == 10
    world.ask("resume").run()
    assert world.outcomes == ["succeeded"]


def test_a_persons_pause_is_not_replaced() -> None:
    world = at_weight(10, metrics=[metric(consecutiveErrorLimit=1)])
    world.ask("pause", by="alice")
    silent(world, rounds=6)
    assert world.status.rollout.paused
    assert world.status.rollout.paused.words == "paused by alice"


@pytest.mark.parametrize("verb", ["promote", "promote-full"])
def test_promote_goes_past_it_as_past_every_check(verb: str) -> None:
    world = silent(at_weight(10, metrics=[metric(consecutiveErrorLimit=1)]))
    world.ask(verb)
    world.run_for(5)
    assert world.weight == 20 if verb == "promote" else world.phase is not Phase.PROGRESSING


def test_a_hook_that_fails_meanwhile_counts_as_ever() -> None:
    world = silent(at_weight(10, metrics=[metric(consecutiveErrorLimit=1)], webhooks=[hook("rollout")], threshold=2))
    world.hooks["rollout"] = FAILED
    next_due(world)
    assert world.status.rollout.reason == "rollout check the-rollout failed"
    next_due(world)
    assert world.phase is Phase.FAILED
    assert world.status.rollout.paused is None, "it was about an analysis that is over"


@pytest.mark.parametrize(
    "happens",
    [
        lambda world: world.push("v3"),
        lambda world: world.push("v1"),
        lambda world: world.ask("abort"),
        lambda world: world.edit(metrics=[metric()], _skipAnalysis=True),
        lambda world: world.edit(metrics=[metric("other")]),
        lambda world: world.release(),
    ],
    ids=["another revision", "the promoted one", "an abort", "no analysis any more", "another metric", "a release"],
)
def test_a_pause_that_nobody_asked_for_holds_nothing_beyond_its_analysis(happens: Any) -> None:
    world = silent(at_weight(10, metrics=[metric(consecutiveErrorLimit=1)]))
    happens(world)
    if world.spec.analysis.metrics[0].name == "other" or world.spec.skip_analysis:
        world.run()
        assert world.outcomes == ["skipped" if world.spec.skip_analysis else "succeeded"]
    else:
        world.run_for(5)
    assert world.status.rollout.paused is None


def test_a_restart_in_the_middle_of_it_changes_nothing() -> None:
    world = silent(at_weight(10, metrics=[metric(consecutiveErrorLimit=2)]), rounds=2)
    world.advance()
    world.tick(crash_after=0)
    next_due(world)
    assert world.status.rollout.paused
    world.advance()
    world.tick(crash_after=0)
    silent(world, rounds=5)
    assert len([alert for alert in world.alerts if alert[0] == "warn"]) == 1


# When a round is repeated

MINUTES = timedelta(minutes=5)


@pytest.mark.parametrize(
    ("title", "verdicts", "again"),
    [
        ("nobody answered", ["Error"], timedelta(seconds=30)),
        ("one of two", ["Passed", "Error"], timedelta(seconds=30)),
        ("a failure was counted in the same round", ["Error", "Failed"], MINUTES),
        ("too few samples", ["Inconclusive"], MINUTES),
        ("nothing is missing", ["Passed"], MINUTES),
    ],
)
def test_a_server_that_did_not_answer_is_asked_again_soon(title: str, verdicts: list[Any], again: timedelta) -> None:
    checks = [CheckResult(name=str(index), verdict=verdict, at=START) for index, verdict in enumerate(verdicts)]
    assert pace(checks, Step(checked_at=START), MINUTES) == again, title
    assert pace(checks, Step(checked_at=START), timedelta(seconds=20)) == timedelta(seconds=20), title
    dry = [check.model_copy(update={"dry_run": True}) for check in checks]
    assert pace(dry, Step(checked_at=START), MINUTES) == MINUTES, "nothing follows from a dry run"
    assert pace(checks, Step(checked_at=START + MINUTES), MINUTES) == MINUTES, "another round came after it"


def test_a_sequential_test_that_asks_for_more_time_gets_a_whole_interval_whoever_else_is_silent() -> None:
    rows = [CheckResult(name="silent", verdict="Error", at=START)]
    for verdict, again in (("Inconclusive", MINUTES), ("Passed", timedelta(seconds=30))):
        tested = CheckResult.model_validate({"name": "tested", "verdict": verdict, "at": START, "sequential": {}})
        assert pace([*rows, tested], Step(checked_at=START), MINUTES) == again


def test_an_outage_in_the_middle_of_a_long_interval_costs_half_a_minute() -> None:
    world = at_weight(10, metrics=[metric()], interval="10m")
    world.metrics["latency"] = ERROR
    world.run_for(601)
    assert result(world).verdict == "Error"
    world.metrics.clear()
    world.run_for(30)
    assert world.weight == 20


def test_a_counted_failure_is_an_interval_away_from_the_next() -> None:
    world = at_weight(10, metrics=[metric()], interval="10m", threshold=3)
    world.metrics["latency"] = FAILED
    world.run_for(1500)
    assert world.status.failed_checks == 2


def test_only_a_failure_that_counts_ends_a_round() -> None:
    counted, own = MetricCheck(0, None, "a"), MetricCheck(0, None, "a", counts=False)  # type: ignore[arg-type]
    rows = {verdict: (ends_round(counted, Answer(verdict)), ends_round(own, Answer(verdict))) for verdict in Verdict}
    assert rows == {
        PASSED: (False, False),
        FAILED: (True, False),
        INCONCLUSIVE: (False, False),
        ERROR: (False, False),
    }
