"""The series of the controller itself."""

from __future__ import annotations

from math import isnan

import pytest

from flaggerpy.telemetry.recorder import Recorder
from tests.telemetry.test_recorder import series


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(version="1.2.3", mesh_provider="istio")


def test_what_waits_and_works_is_shown_while_leading(recorder: Recorder) -> None:
    recorder.controller.set_work(leading=True, waiting=7, longest=2.5)

    found = series(recorder, "flaggerpy_")
    assert (found["flaggerpy_leader"], found["flaggerpy_queue_depth"]) == (1, 7)
    assert found["flaggerpy_longest_reconcile_seconds"] == 2.5


def test_the_queue_of_a_follower_is_no_backlog(recorder: Recorder) -> None:
    recorder.controller.set_work(leading=False, waiting=7, longest=0)

    found = series(recorder, "flaggerpy_")
    assert (found["flaggerpy_leader"], found["flaggerpy_queue_depth"]) == (0, 0)


def test_watches_have_an_age_by_kind_and_scope_and_lose_it_when_they_end(recorder: Recorder) -> None:
    recorder.controller.set_watch_ages({("canaries.flagger.app", None): 3.5, ("services", "shop"): 1})
    recorder.controller.set_watch_ages({("canaries.flagger.app", None): 4.5, ("services", "lab"): 2})

    assert series(recorder, "flaggerpy_watch_age") == {
        'flaggerpy_watch_age_seconds{resource="canaries.flagger.app",scope="*"}': 4.5,
        'flaggerpy_watch_age_seconds{resource="services",scope="lab"}': 2,
    }


def test_reconciliations_are_counted_by_how_they_ended_and_the_last_is_dated(recorder: Recorder) -> None:
    assert isnan(series(recorder)["flaggerpy_last_reconcile_timestamp_seconds"])

    recorder.controller.observe_reconcile("retry", 0.2, at=1_936_771_200.5)

    found = series(recorder, "flaggerpy_")
    assert found["flaggerpy_last_reconcile_timestamp_seconds"] == 1_936_771_200.5
    assert {name: value for name, value in found.items() if "reconcile_duration_seconds_count" in name} == {
        'flaggerpy_reconcile_duration_seconds_count{result="success"}': 0,
        'flaggerpy_reconcile_duration_seconds_count{result="retry"}': 1,
        'flaggerpy_reconcile_duration_seconds_count{result="error"}': 0,
    }


def test_whom_the_controller_talks_to_is_counted(recorder: Recorder) -> None:
    controller = recorder.controller
    controller.count_request("PATCH", 409)
    controller.count_request("PATCH", 409)
    controller.count_request("GET", "none")
    controller.observe_query("prometheus", "unanswered", 5)
    controller.observe_webhook("rollout", "refused", 0.5)
    controller.count_alert("slack", sent=True)
    controller.count_alert("slack", sent=False)
    controller.count_dropped("alert", 3)

    found = series(recorder, "flaggerpy_")
    expected = {
        'flaggerpy_api_requests_total{code="409",verb="PATCH"}': 2,
        'flaggerpy_api_requests_total{code="none",verb="GET"}': 1,
        'flaggerpy_metric_query_duration_seconds_sum{outcome="unanswered",provider="prometheus"}': 5,
        'flaggerpy_webhook_duration_seconds_count{result="refused",type="rollout"}': 1,
        'flaggerpy_alerts_total{receiver="slack",result="sent"}': 1,
        'flaggerpy_alerts_total{receiver="slack",result="failed"}': 1,
        'flaggerpy_notifications_dropped_total{kind="alert"}': 3,
        'flaggerpy_notifications_dropped_total{kind="event"}': 0,
    }
    assert {name: found.get(name) for name in expected} == expected
