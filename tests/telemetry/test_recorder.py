from __future__ import annotations

from datetime import UTC, datetime

import pytest
from prometheus_client import generate_latest

from flaggerpy.api.status import CanaryStatus, Condition, Phase, RolloutStatus
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.transition import ROLLING
from flaggerpy.telemetry.recorder import METRIC, CheckName, Labels, Recorder

WEB = Labels("web", "web-primary", "shop")
OTHER = Labels("web", "web-primary", "lab")
SUCCESS_RATE = CheckName(METRIC, "request-success-rate")
LOAD = CheckName("rollout", "load-test")
BEGAN = datetime(2031, 5, 17, 8, 30, tzinfo=UTC)
MOVED = datetime(2031, 5, 17, 8, 45, tzinfo=UTC)
WHOSE = 'name="web",namespace="shop"'


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(version="1.2.3", mesh_provider="istio")


def series(recorder: Recorder, prefix: str = "flagger") -> dict[str, float]:
    """Read the samples as Prometheus would, without buckets."""
    lines = generate_latest(recorder.registry).decode().splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if line.startswith(prefix) and "_bucket{" not in line)
    return {name: float(value) for name, value in samples}


def of_canaries(recorder: Recorder) -> dict[str, float]:
    """Read the samples that are about canaries."""
    return {**series(recorder, "flagger_canary_"), **series(recorder, "flaggerpy_canary_")}


def condition(kind: str, status: str) -> Condition:
    return Condition.model_validate(
        {"type": kind, "status": status, "reason": "Any", "message": "any", "lastTransitionTime": BEGAN.isoformat()}
    )


def status(phase: Phase, *, weight: int = 0, failed: int = 0, stalled: bool = False) -> CanaryStatus:
    conditions = [condition("Promoted", "Unknown"), condition("Stalled", "True" if stalled else "False")]
    return CanaryStatus(
        phase=phase, canary_weight=weight, failed_checks=failed, conditions=conditions, last_transition_time=MOVED
    )


def measured(*verdicts: str) -> CanaryStatus:
    """A status in the middle of an analysis with so many metrics."""
    rows = [{"name": f"metric-{number}", "verdict": verdict} for number, verdict in enumerate(verdicts)]
    progressing = status(Phase.PROGRESSING, weight=40, failed=2)
    return progressing.model_copy(update={"rollout": RolloutStatus.model_validate({"checks": rows})})


def fill(recorder: Recorder, whose: Labels) -> None:
    recorder.introduce(whose, "canary", {SUCCESS_RATE, LOAD})
    recorder.show(whose, measured("Passed"))
    recorder.show(whose, status(Phase.PROGRESSING, weight=40, failed=2))
    recorder.show(whose, measured("Inconclusive", "Failed"))
    recorder.set_measured(whose, "request-success-rate", 99.5)
    recorder.observe_duration(whose, 0.25)
    recorder.count_success(whose, "canary")
    recorder.count_success(whose, "canary", skipped=True)
    recorder.count_failure(whose, "canary")
    recorder.count_check(whose, LOAD, Verdict.FAILED)


def test_the_series_are_flaggers_by_name_and_label(recorder: Recorder) -> None:
    fill(recorder, WEB)
    recorder.set_totals({"shop": 2})

    outcome = 'deployment_strategy="{}",name="web",namespace="shop"'
    completed, skipped = 'analysis_status="completed"', 'analysis_status="skipped"'
    assert series(recorder, "flagger_") == {
        'flagger_info{mesh_provider="istio",version="1.2.3"}': 1,
        'flagger_canary_total{namespace="shop"}': 2,
        f"flagger_canary_status{{{WHOSE}}}": 0,
        'flagger_canary_weight{namespace="shop",workload="web-primary"}': 60,
        'flagger_canary_weight{namespace="shop",workload="web"}': 40,
        f'flagger_canary_metric_analysis{{metric="request-success-rate",{WHOSE}}}': 99.5,
        f"flagger_canary_duration_seconds_count{{{WHOSE}}}": 1,
        f"flagger_canary_duration_seconds_sum{{{WHOSE}}}": 0.25,
        f"flagger_canary_successes_total{{{completed},{outcome.format('canary')}}}": 1,
        f"flagger_canary_successes_total{{{skipped},{outcome.format('canary')}}}": 1,
        f"flagger_canary_failures_total{{{completed},{outcome.format('canary')}}}": 1,
    }


def test_our_own_series_say_where_a_canary_stands_and_how_its_checks_went(recorder: Recorder) -> None:
    fill(recorder, WEB)

    checks = {
        f'flaggerpy_canary_checks_total{{check="{check.name}",{WHOSE},result="{result}",type="{check.type}"}}': 0
        for check in (SUCCESS_RATE, LOAD)
        for result in ("passed", "failed", "inconclusive", "error")
    }
    checks[f'flaggerpy_canary_checks_total{{check="load-test",{WHOSE},result="failed",type="rollout"}}'] = 1
    assert series(recorder, "flaggerpy_canary_") == {
        f'flaggerpy_canary_phase{{{WHOSE},phase="Progressing"}}': 1,
        f"flaggerpy_canary_stalled{{{WHOSE}}}": 0,
        f"flaggerpy_canary_failed_checks{{{WHOSE}}}": 2,
        f"flaggerpy_canary_last_transition_timestamp_seconds{{{WHOSE}}}": MOVED.timestamp(),
        f"flaggerpy_canary_rollout_start_timestamp_seconds{{{WHOSE}}}": BEGAN.timestamp(),
        f'flaggerpy_canary_metric_verdict{{metric="metric-0",{WHOSE},verdict="Inconclusive"}}': 1,
        f'flaggerpy_canary_metric_verdict{{metric="metric-1",{WHOSE},verdict="Failed"}}': 1,
        **checks,
    }


def test_a_metric_has_one_verdict_and_none_when_the_analysis_begins_anew(recorder: Recorder) -> None:
    for verdict in ("Passed", "Failed"):
        recorder.show(WEB, measured(verdict))
    assert series(recorder, "flaggerpy_canary_metric_verdict") == {
        f'flaggerpy_canary_metric_verdict{{metric="metric-0",{WHOSE},verdict="Failed"}}': 1
    }
    recorder.show(WEB, measured())
    assert series(recorder, "flaggerpy_canary_metric_verdict") == {}


def test_durations_have_the_buckets_of_gos_client(recorder: Recorder) -> None:
    recorder.observe_duration(WEB, 0.25)

    text = generate_latest(recorder.registry).decode()
    lines = [line for line in text.splitlines() if line.startswith("flagger_canary_duration_seconds_bucket{")]
    bounds = [line.split('le="')[1].split('"')[0] for line in lines]
    assert bounds == ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf"]


@pytest.mark.parametrize("phase", Phase)
def test_status_is_0_while_progressing_2_after_failure_and_1_else(recorder: Recorder, phase: Phase) -> None:
    recorder.show(WEB, status(phase))

    expected = {Phase.PROGRESSING: 0, Phase.FAILED: 2}.get(phase, 1)
    assert series(recorder)[f"flagger_canary_status{{{WHOSE}}}"] == expected


@pytest.mark.parametrize("phase", Phase)
def test_a_canary_is_in_one_phase_and_has_a_start_only_while_a_rollout_runs(recorder: Recorder, phase: Phase) -> None:
    recorder.show(WEB, status(Phase.PROMOTING))
    recorder.show(WEB, status(phase))

    phases = series(recorder, "flaggerpy_canary_phase")
    assert phases == {f'flaggerpy_canary_phase{{{WHOSE},phase="{phase.value or "New"}"}}': 1}
    assert bool(series(recorder, "flaggerpy_canary_rollout_start")) == (phase in ROLLING)


def test_stalled_is_the_condition_but_for_a_rollout_that_failed(recorder: Recorder) -> None:
    recorder.show(WEB, status(Phase.INITIALIZED, stalled=True))
    assert series(recorder)[f"flaggerpy_canary_stalled{{{WHOSE}}}"] == 1

    failed = status(Phase.FAILED, stalled=True)
    rows = [row.model_copy(update={"reason": "Failed"}) for row in failed.conditions]
    recorder.show(WEB, failed.model_copy(update={"conditions": rows}))
    assert series(recorder)[f"flaggerpy_canary_stalled{{{WHOSE}}}"] == 0, "that has a series of its own"

    recorder.show(WEB, CanaryStatus())
    assert series(recorder)[f"flaggerpy_canary_stalled{{{WHOSE}}}"] == 0
    assert not series(recorder, "flaggerpy_canary_last_transition"), "nothing has happened yet"


def test_a_canary_that_is_gone_leaves_no_series_and_its_namesake_keeps_its_own(recorder: Recorder) -> None:
    fill(recorder, OTHER)
    others = of_canaries(recorder)
    fill(recorder, WEB)

    recorder.forget(WEB)
    assert of_canaries(recorder) == others
    recorder.forget(OTHER)
    assert of_canaries(recorder) == {}


def test_a_process_that_leads_no_more_shows_no_canary(recorder: Recorder) -> None:
    fill(recorder, WEB)
    fill(recorder, OTHER)
    recorder.set_totals({"shop": 1, "lab": 1})

    recorder.forget_all()
    assert of_canaries(recorder) == {}

    fill(recorder, WEB)
    assert any("load-test" in name for name in series(recorder)), "and begins with everything when it leads again"


def test_forgetting_a_stranger_is_harmless(recorder: Recorder) -> None:
    recorder.forget(WEB)

    assert of_canaries(recorder) == {}


def test_counters_are_there_before_the_first_increase_and_stay_when_introduced_again(recorder: Recorder) -> None:
    recorder.introduce(WEB, "canary", {LOAD})
    before = series(recorder, "flagger_canary_successes_total")
    recorder.count_success(WEB, "canary")
    recorder.introduce(WEB, "canary", {LOAD})
    after = series(recorder, "flagger_canary_successes_total")

    recorder.introduce(WEB, "blue-green", {LOAD})
    both = series(recorder, "flagger_canary_successes_total")

    assert sorted(before.values()) == [0, 0]
    assert sorted(after.values()) == [0, 1]
    assert sorted(both.values()) == [0, 0, 0, 1], "of what it was before, it keeps the count"


def test_a_check_that_the_canary_has_no_more_loses_its_series(recorder: Recorder) -> None:
    fill(recorder, WEB)

    recorder.introduce(WEB, "canary", {LOAD})

    left = of_canaries(recorder)
    assert not [name for name in left if "request-success-rate" in name]
    assert left[f'flaggerpy_canary_checks_total{{check="load-test",{WHOSE},result="failed",type="rollout"}}'] == 1


def test_a_namespace_without_canaries_loses_its_count(recorder: Recorder) -> None:
    recorder.set_totals({"shop": 2, "lab": 1})
    recorder.set_totals({"shop": 3})

    assert series(recorder, "flagger_canary_total") == {'flagger_canary_total{namespace="shop"}': 3}


def test_rollouts_are_timed_by_how_they_end(recorder: Recorder) -> None:
    recorder.observe_rollout("canary", "succeeded", 700)

    text = generate_latest(recorder.registry).decode()
    name = 'flaggerpy_rollout_duration_seconds_bucket{deployment_strategy="canary",le="%s",result="succeeded"}'
    assert f"{name % '600.0'} 0.0" in text
    assert f"{name % '1200.0'} 1.0" in text


def test_two_recorders_share_nothing() -> None:
    first, second = (Recorder(version="1", mesh_provider="") for _ in range(2))
    first.set_totals({"shop": 5})

    assert not series(second, "flagger_canary_total")


def test_the_process_itself_is_measured_as_by_any_client(recorder: Recorder) -> None:
    assert series(recorder, "process_")["process_resident_memory_bytes"] > 0


def test_the_catalogue_lists_what_the_registry_serves(recorder: Recorder) -> None:
    fill(recorder, WEB)
    listed = {name for one in recorder.catalogue.series for name in one.exposed}
    foreign = ("process_", "python_")
    served = {
        sample.name
        for family in recorder.registry.collect()
        for sample in family.samples
        if not sample.name.startswith(foreign)
    }
    assert served <= listed
    assert all(one.text.endswith(".") for one in recorder.catalogue.series)
