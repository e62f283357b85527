"""Ready, not yet, or stuck."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.rollout.readiness import readiness
from tests.rollout.simulation import START
from tests.rollout.world import initialized

DEADLINE = timedelta(seconds=60)
PRIMARY = initialized().primary
assert PRIMARY
READY = replace(
    PRIMARY.seen(), replicas=4, current_replicas=4, updated_replicas=4, available_replicas=4, unavailable_since=None
)


@pytest.mark.parametrize(
    ("title", "changes", "message"),
    [
        ("all pods", {}, ""),
        (
            "a generation nobody has seen",
            {"generation": 9},
            "waiting for rollout to finish: observed deployment generation less than desired generation",
        ),
        (
            "pods of the old template",
            {"updated_replicas": 3},
            "waiting for rollout to finish: 3 out of 4 new replicas have been updated",
        ),
        (
            "old pods that have not gone",
            {"current_replicas": 5},
            "waiting for rollout to finish: 1 old replicas are pending termination",
        ),
        (
            "pods that are not available",
            {"available_replicas": 3},
            "waiting for rollout to finish: 3 of 4 (readyThreshold 100%) updated replicas are available",
        ),
        (
            "its own controller gave it up",
            {"deadline_exceeded": True},
            'deployment "payment-primary" exceeded its progress deadline',
        ),
        ("no replicas wanted", {"replicas": 0, "current_replicas": 0, "updated_replicas": 0}, ""),
    ],
)
def test_what_is_ready_and_flaggers_words_for_what_is_not(title: str, changes: dict[str, Any], message: str) -> None:
    state = readiness(replace(READY, **changes), percent=100, deadline=DEADLINE, now=START)
    assert (state.ready, state.message) == (not message, message), title


@pytest.mark.parametrize(
    ("percent", "replicas", "enough"),
    [(100, 3, 3), (50, 1, 1), (50, 3, 2), (34, 3, 2), (33, 3, 1), (1, 200, 2), (1, 100, 1), (0, 3, 1)],
)
def test_a_threshold_is_rounded_up_and_never_means_no_pod_at_all(percent: int, replicas: int, enough: int) -> None:
    size: dict[str, Any] = {"replicas": replicas, "current_replicas": replicas, "updated_replicas": replicas}
    for available in range(replicas + 1):
        workload = replace(READY, **size, available_replicas=available)
        state = readiness(workload, percent=percent, deadline=DEADLINE, now=START)
        assert state.ready is (available >= enough)


def test_too_few_pods_for_longer_than_the_deadline_is_stuck() -> None:
    workload = replace(READY, available_replicas=0, unavailable_since=START)
    before = readiness(workload, percent=100, deadline=DEADLINE, now=START + timedelta(seconds=59))
    assert (before.stuck, before.stuck_at) == (False, START + DEADLINE)
    assert readiness(workload, percent=100, deadline=DEADLINE, now=START + DEADLINE).stuck


def test_a_new_template_has_the_whole_deadline_for_itself() -> None:
    workload = replace(READY, available_replicas=0, unavailable_since=START - timedelta(hours=1))
    state = readiness(workload, percent=100, deadline=DEADLINE, now=START, since=START)
    assert (state.stuck, state.stuck_at) == (False, START + DEADLINE)
