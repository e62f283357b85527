from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from flaggerpy.api.status import Phase
from flaggerpy.telemetry.recorder import Labels, Recorder

WEB = Labels("web", "web-primary", "shop")
OTHER = Labels("web", "web-primary", "lab")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(version="1.2.3", mesh_provider="istio")


def series(recorder: Recorder, prefix: str = "flagger") -> dict[str, float]:
    """Read the samples as Prometheus would, without buckets."""
    lines = generate_latest(recorder.registry).decode().splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if line.startswith(prefix) and "_bucket{" not in line)
    return {name: float(value) for name, value in samples}


def fill(recorder: Recorder, whose: Labels) -> None:
    recorder.set_status(whose, Phase.SUCCEEDED)
    recorder.set_weights(whose, primary=60, canary=40)
    recorder.set_measured(whose, "request-success-rate", 99.5)
    recorder.observe_duration(whose, 0.25)
    recorder.count_success(whose, "canary")
    recorder.count_success(whose, "canary", skipped=True)
    recorder.count_failure(whose, "blue-green")


def test_the_series_are_flaggers_by_name_and_label(recorder: Recorder) -> None:
    fill(recorder, WEB)
    recorder.set_totals({"shop": 2})

    outcome = 'deployment_strategy="{}",name="web",namespace="shop"'
    completed, skipped = 'analysis_status="completed"', 'analysis_status="skipped"'
    assert series(recorder, "flagger_") == {
        'flagger_info{mesh_provider="istio",version="1.2.3"}': 1,
        'flagger_canary_total{namespace="shop"}': 2,
        'flagger_canary_status{name="web",namespace="shop"}': 1,
        'flagger_canary_weight{namespace="shop",workload="web-primary"}': 60,
        'flagger_canary_weight{namespace="shop",workload="web"}': 40,
        'flagger_canary_metric_analysis{metric="request-success-rate",name="web",namespace="shop"}': 99.5,
        'flagger_canary_duration_seconds_count{name="web",namespace="shop"}': 1,
        'flagger_canary_duration_seconds_sum{name="web",namespace="shop"}': 0.25,
        f"flagger_canary_successes_total{{{completed},{outcome.format('canary')}}}": 1,
        f"flagger_canary_successes_total{{{skipped},{outcome.format('canary')}}}": 1,
        f"flagger_canary_failures_total{{{completed},{outcome.format('blue-green')}}}": 1,
    }


def test_durations_have_the_buckets_of_gos_client(recorder: Recorder) -> None:
    recorder.observe_duration(WEB, 0.25)

    text = generate_latest(recorder.registry).decode()
    bounds = [line.split('le="')[1].split('"')[0] for line in text.splitlines() if "duration_seconds_bucket{" in line]
    assert bounds == ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf"]


@pytest.mark.parametrize("phase", Phase)
def test_status_is_0_while_progressing_2_after_failure_and_1_else(recorder: Recorder, phase: Phase) -> None:
    recorder.set_status(WEB, phase)

    expected = {Phase.PROGRESSING: 0, Phase.FAILED: 2}.get(phase, 1)
    assert series(recorder)['flagger_canary_status{name="web",namespace="shop"}'] == expected


def test_a_canary_that_is_gone_leaves_no_series_and_its_namesake_keeps_its_own(recorder: Recorder) -> None:
    before = series(recorder)
    fill(recorder, OTHER)
    others = series(recorder)
    fill(recorder, WEB)

    recorder.forget(WEB)
    assert series(recorder) == others
    recorder.forget(OTHER)
    assert series(recorder) == before


def test_forgetting_a_stranger_is_harmless(recorder: Recorder) -> None:
    before = series(recorder)

    recorder.forget(WEB)

    assert series(recorder) == before


def test_a_namespace_without_canaries_loses_its_count(recorder: Recorder) -> None:
    recorder.set_totals({"shop": 2, "lab": 1})
    recorder.set_totals({"shop": 3})

    totals = {name: value for name, value in series(recorder).items() if "canary_total" in name}
    assert totals == {'flagger_canary_total{namespace="shop"}': 3}


def test_our_own_series_say_how_the_controller_itself_is(recorder: Recorder) -> None:
    recorder.set_watch_ages({"canaries": 3.5, "services": 1})
    recorder.set_watch_ages({"canaries": 4.5})
    recorder.set_queue_depth(7)
    recorder.set_leader(True)
    recorder.count_request("PATCH", 409)
    recorder.count_request("PATCH", 409)
    recorder.count_request("GET", "unreachable")
    recorder.count_dropped("alerts", 3)

    assert series(recorder, "flaggerpy_") == {
        'flaggerpy_watch_age_seconds{resource="canaries"}': 4.5,
        "flaggerpy_queue_depth": 7,
        "flaggerpy_leader": 1,
        'flaggerpy_api_requests_total{code="409",verb="PATCH"}': 2,
        'flaggerpy_api_requests_total{code="unreachable",verb="GET"}': 1,
        'flaggerpy_notifications_dropped_total{kind="alerts"}': 3,
    }


def test_two_recorders_share_nothing() -> None:
    first, second = (Recorder(version="1", mesh_provider="") for _ in range(2))
    first.set_queue_depth(5)

    assert series(second)["flaggerpy_queue_depth"] == 0


def test_the_process_itself_is_measured_as_by_any_client(recorder: Recorder) -> None:
    assert series(recorder, "process_")["process_resident_memory_bytes"] > 0
