"""Which canaries have series, and what their ticks add."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from flaggerpy.api.analysis import HookType
from flaggerpy.api.canary import Canary
from flaggerpy.api.status import Condition, Phase
from flaggerpy.controller.series import CanarySeries, checks_of
from flaggerpy.rollout.decision import Plan
from flaggerpy.telemetry.recorder import CheckName, Recorder
from tests.builders import canary, metric, same_but, webhook, with_analysis, with_metadata, with_spec, with_status
from tests.telemetry.test_recorder import of_canaries, series

NOW = datetime(2031, 5, 17, 9, 0, tzinfo=UTC)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(version="1", mesh_provider="")


@pytest.fixture
def shown(recorder: Recorder) -> CanarySeries:
    return CanarySeries(recorder)


def rolling(minutes: float = 10, **changes: Any) -> Canary:
    """Build a canary whose rollout began so long ago."""
    row = {"type": "Promoted", "status": "Unknown", "reason": "Progressing"}
    began = Condition.model_validate({**row, "lastTransitionTime": (NOW - timedelta(minutes=minutes)).isoformat()})
    return with_status(canary(), Phase.PROGRESSING, conditions=[began], **changes)


def samples(recorder: Recorder, name: str) -> dict[str, float]:
    return series(recorder, f"{name}{{")


@pytest.mark.parametrize(
    ("outcome", "counter", "status"),
    [
        ("succeeded", "flagger_canary_successes_total", "completed"),
        ("skipped", "flagger_canary_successes_total", "skipped"),
        ("failed", "flagger_canary_failures_total", "completed"),
    ],
)
def test_a_rollout_that_ends_is_counted_once_and_timed_from_its_beginning(
    recorder: Recorder,
    shown: CanarySeries,
    outcome: Literal["succeeded", "skipped", "failed"],
    counter: str,
    status: str,
) -> None:
    before = rolling(minutes=10)
    shown.show(before)
    shown.ticked(before, Plan(outcome=outcome), seconds=1.5, now=NOW)

    counted = {name: value for name, value in series(recorder, "flagger_canary_").items() if "_total{" in name}
    assert [name for name, value in counted.items() if value] == [
        f'{counter}{{analysis_status="{status}",deployment_strategy="canary",name="web",namespace="shop"}}'
    ]
    labels = f'deployment_strategy="canary",result="{outcome}"'
    timed = samples(recorder, "flaggerpy_rollout_duration_seconds_sum")
    assert {name: value for name, value in timed.items() if value} == {
        f"flaggerpy_rollout_duration_seconds_sum{{{labels}}}": 600
    }


def test_only_rounds_of_analysis_are_in_flaggers_histogram(recorder: Recorder, shown: CanarySeries) -> None:
    before = rolling()
    shown.ticked(before, Plan(), seconds=5, now=NOW)
    assert not samples(recorder, "flagger_canary_duration_seconds_count")

    shown.ticked(before, Plan(analysed=True), seconds=0.5, now=NOW)
    assert list(samples(recorder, "flagger_canary_duration_seconds_count").values()) == [1]
    assert list(samples(recorder, "flagger_canary_duration_seconds_sum").values()) == [0.5]


def test_a_tick_between_rollouts_counts_nothing(recorder: Recorder, shown: CanarySeries) -> None:
    idle = with_status(canary(), Phase.SUCCEEDED)
    shown.show(idle)
    shown.ticked(idle, Plan(), seconds=1, now=NOW)

    assert not [
        value for name, value in series(recorder).items() if "_total{" in name and "canary_total" not in name and value
    ]


def test_a_canary_with_another_target_leaves_nothing_under_the_old_name(
    recorder: Recorder, shown: CanarySeries
) -> None:
    first = canary()
    shown.show(first)
    target = same_but(first.spec.target_ref, name="api")
    shown.show(with_spec(first, target_ref=target))

    assert of_canaries(recorder)
    assert not [name for name in of_canaries(recorder) if '"web"' in name or '"web-primary"' in name]


def test_series_that_two_canaries_share_stay_until_the_last_is_gone(recorder: Recorder, shown: CanarySeries) -> None:
    first, second = canary(), with_metadata(canary(), name="other")
    shown.show(first)
    shown.show(second)

    shown.forget(first.key)
    assert of_canaries(recorder)
    shown.forget(second.key)
    assert of_canaries(recorder) == {}


def test_whoever_leads_no_more_shows_nothing_and_everything_when_it_leads_again(
    recorder: Recorder, shown: CanarySeries
) -> None:
    shown.show(rolling())
    before = of_canaries(recorder)

    shown.forget_all()
    assert of_canaries(recorder) == {}
    shown.show(rolling())
    assert of_canaries(recorder) == before


def test_checks_are_the_metrics_and_the_webhooks_that_decide() -> None:
    hooks = tuple(webhook(kind) for kind in HookType)
    checked = checks_of(with_analysis(canary(), webhooks=hooks, metrics=(metric(low=99),)))

    assert checked == {CheckName("metric", "request-success-rate")} | {
        CheckName(kind.value, kind.value) for kind in HookType if kind.value not in {"event", "post-rollout"}
    }
