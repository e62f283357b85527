"""Hooks, metrics and gates: what counts, what holds, and what is asked when."""

from __future__ import annotations

from typing import Any

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout.checks import HookCheck, MetricCheck, MetricSource, Verdict
from tests.rollout.world import World, hook, initialized, spec

METRIC = {"name": "latency", "interval": "1m", "query": "x"}


def at_weight(weight: int, **analysis: Any) -> World:
    world = initialized(spec=spec(**analysis)).push("v2")
    world.events.clear()
    while world.weight < weight:
        assert world.advance()
        world.tick()
    return world


def next_due(world: World) -> World:
    return world.run_for(10)


@pytest.mark.parametrize(
    ("title", "kind", "verdict", "failed"),
    [
        ("a rollout hook that fails counts", "rollout", Verdict.FAILED, 1),
        ("a rollout hook that cannot be reached counts, as in Flagger", "rollout", Verdict.ERROR, 1),
        ("a metric out of bounds counts", "latency", Verdict.FAILED, 1),
        ("a metric that cannot be measured holds and is not counted", "latency", Verdict.ERROR, 0),
        ("a closed confirm-traffic-increase gate is not counted", "confirm-traffic-increase", Verdict.FAILED, 0),
        ("a rollback hook that does not fire is not counted", "rollback", Verdict.ERROR, 0),
    ],
)
def test_what_counts_as_a_failed_check(title: str, kind: str, verdict: Verdict, failed: int) -> None:
    hooks = [hook("rollout"), hook("confirm-traffic-increase"), hook("rollback")]
    world = at_weight(10, webhooks=hooks, metrics=[METRIC], threshold=5)
    (world.metrics if kind == "latency" else world.hooks)[kind] = verdict
    next_due(world)
    assert world.status.failed_checks == failed, title
    assert world.weight == (20 if kind == "rollback" else 10), title


def test_one_due_tick_counts_once_and_the_first_failure_ends_it() -> None:
    world = at_weight(10, webhooks=[hook("rollout", "a"), hook("rollout", "b")], metrics=[METRIC], threshold=5)
    world.hooks |= {"a": Verdict.FAILED, "b": Verdict.FAILED}
    world.metrics["latency"] = Verdict.FAILED
    world.asked.clear()
    next_due(world)
    assert world.status.failed_checks == 1
    assert len(world.asked) == 1
    assert world.texts[-1] == "Halt payment.shop advancement external check a failed 403 closed"


def test_the_threshold_th_failure_rolls_back_at_once() -> None:
    world = at_weight(10, metrics=[METRIC], threshold=2)
    world.metrics["latency"] = Verdict.FAILED
    next_due(world)
    assert (world.status.failed_checks, world.weight) == (1, 10)
    next_due(world)
    assert (world.phase, world.weight, world.status.failed_checks) == (Phase.FAILED, 0, 0)
    assert "Rolling back payment.shop failed checks threshold reached 2" in world.texts[-2]
    assert world.texts[-1] == "Canary failed! Scaling down payment.shop"
    assert world.alerts[-1] == ("error", "Failed checks threshold reached 2")


def test_pre_rollout_hooks_are_judged_before_any_traffic_and_again_until_they_pass() -> None:
    world = initialized(spec=spec(webhooks=[hook("pre-rollout")], threshold=3))
    world.hooks["pre-rollout"] = Verdict.FAILED
    world.push("v2").run_for(6)
    assert (world.weight, world.status.failed_checks) == (0, 1)
    assert "Halt payment.shop advancement pre-rollout check the-pre-rollout failed 403 closed" in world.texts
    world.hooks.clear()
    next_due(world)
    assert world.weight == 10
    assert "Pre-rollout check the-pre-rollout passed" in world.texts


def test_failing_pre_rollout_hooks_end_the_rollout() -> None:
    world = initialized(spec=spec(webhooks=[hook("pre-rollout")], threshold=2))
    world.hooks["pre-rollout"] = Verdict.FAILED
    world.push("v2").run()
    assert world.phase is Phase.FAILED
    assert not [action for _, action in world.actions if getattr(getattr(action, "routes", None), "canary", 0)]


def test_metrics_are_asked_in_flaggers_order_first_own_queries_then_templates() -> None:
    template = {"name": "errors", "interval": "1m", "templateRef": {"name": "errors"}}
    builtin = {"name": "request-success-rate", "interval": "1m", "thresholdRange": {"min": 99}}
    world = at_weight(10, metrics=[template, builtin, METRIC])
    world.asked.clear()
    next_due(world)
    asked = [(check.index, check.source) for _, check, _ in world.asked if isinstance(check, MetricCheck)]
    assert asked == [(1, MetricSource.BUILTIN), (2, MetricSource.QUERY), (0, MetricSource.TEMPLATE)]


def test_the_last_measurement_of_each_metric_is_in_the_status() -> None:
    world = at_weight(10, metrics=[METRIC])
    world.metrics["latency"] = Verdict.FAILED
    next_due(world)
    (result,) = world.status.rollout.checks
    assert (result.name, result.verdict, result.value, result.bound) == ("latency", "Failed", "3", "<= 2")
    assert result.reason == "Halt advancement latency is off"
    assert world.status.rollout.reason == "metric latency is 3, accepted is <= 2"


def test_a_metric_that_cannot_be_measured_says_so_and_never_ends_the_rollout() -> None:
    world = at_weight(10, metrics=[METRIC], threshold=1)
    world.metrics["latency"] = Verdict.ERROR
    next_due(world)
    assert world.status.rollout.reason == "metric latency could not be measured"
    world.run_for(3600)
    assert (world.phase, world.weight) == (Phase.PROGRESSING, 10)
    world.metrics.clear()
    world.run()
    assert world.phase is Phase.SUCCEEDED


def test_waiting_asks_its_gate_once_an_interval_whatever_else_happens() -> None:
    world = initialized(spec=spec(webhooks=[hook("confirm-rollout")]))
    world.hooks["confirm-rollout"] = Verdict.FAILED
    world.push("v2")
    for _ in range(100):
        world.touch().run_for(1)
    assert world.phase is Phase.WAITING
    assert len(world.asked) == pytest.approx(10, abs=1)
    assert world.texts.count("Halt payment.shop advancement waiting for approval the-confirm-rollout") == 1
    assert [message for severity, message in world.alerts if severity == "warn"] == ["Canary is waiting for approval."]
    assert world.status.rollout.reason == "waiting for the gate the-confirm-rollout to approve the rollout"
    assert world.target
    assert world.target.replicas == 0
    world.hooks.clear()
    world.run()
    assert "Confirm-rollout check the-confirm-rollout passed" in world.texts
    assert world.outcomes == ["succeeded"]


def test_a_muted_gate_alerts_nobody() -> None:
    world = initialized(spec=spec(webhooks=[hook("confirm-rollout", muteAlert=True)]))
    world.hooks["confirm-rollout"] = Verdict.FAILED
    world.push("v2").run(Phase.WAITING)
    assert [severity for severity, _ in world.alerts] == ["info"]


def test_confirm_rollout_carries_the_stored_phase_and_later_hooks_progressing() -> None:
    world = initialized(spec=spec(webhooks=[hook("confirm-rollout"), hook("rollout"), hook("confirm-promotion")]))
    world.push("v2").run()
    phases = [(check.type.value, check.phase.value) for _, check, _ in world.asked if isinstance(check, HookCheck)]
    assert dict(phases) == {
        "confirm-rollout": "Initialized",
        "rollout": "Progressing",
        "confirm-promotion": "Progressing",
    }


def test_a_closed_traffic_gate_alerts_once_and_is_asked_again_every_interval() -> None:
    world = at_weight(10, webhooks=[hook("confirm-traffic-increase")])
    world.asked.clear()
    world.hooks["confirm-traffic-increase"] = Verdict.FAILED
    world.run_for(35)
    halts = "Halt payment.shop advancement waiting for traffic increase approval the-confirm-traffic-increase"
    assert world.texts.count(halts) == 1
    assert len(world.asked) == 3
    assert world.alerts[-1] == ("warn", "Canary traffic increase is waiting for approval.")
    assert world.weight == 10
    world.hooks.clear()
    world.run()
    assert world.outcomes == ["succeeded"]


def test_while_the_promotion_gate_is_closed_failures_keep_counting() -> None:
    world = at_weight(30, webhooks=[hook("confirm-promotion")], metrics=[METRIC], threshold=2)
    world.hooks["confirm-promotion"] = Verdict.FAILED
    world.run(Phase.WAITING_PROMOTION)
    world.metrics["latency"] = Verdict.FAILED
    world.run()
    assert world.phase is Phase.FAILED
    assert world.weight == 0


def test_blue_green_asks_its_promotion_gate_once_it_has_passed_no_more() -> None:
    world = initialized(spec=spec(iterations=2, webhooks=[hook("confirm-promotion")])).push("v2").run()
    assert world.texts.count("Confirm-promotion check the-confirm-promotion passed") == 1
    assert world.outcomes == ["succeeded"]


def test_hooks_of_a_repeated_question_have_the_same_key_and_every_attempt_another() -> None:
    def keys(world: World) -> list[str]:
        return [check.key for _, check, _ in world.asked if isinstance(check, HookCheck)]

    world = at_weight(10, webhooks=[hook("rollout")], threshold=9)
    world.hooks["rollout"] = Verdict.FAILED
    world.run_for(9.5)
    world.asked.clear()
    for crash_after in (0, None):
        world.advance()
        world.tick(crash_after=crash_after)
    first, again = keys(world)
    assert first == again, "the tick died before it could record the answer"
    next_due(world)
    assert len(set(keys(world))) == 2


def test_events_of_a_clean_rollout_come_in_flaggers_order() -> None:
    kinds = ["confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion"]
    world = initialized(spec=spec(stepWeight=20, maxWeight=20, webhooks=[hook(kind, kind) for kind in kinds]))
    world.push("v2").run()
    assert [text for text in world.texts if "not ready" not in text] == [
        "Initialization done! payment.shop",
        "Confirm-rollout check confirm-rollout passed",
        "New revision detected! Scaling up payment.shop",
        "Starting canary analysis for payment.shop",
        "Pre-rollout check pre-rollout passed",
        "Confirm-traffic-increase check confirm-traffic-increase passed",
        "Advance payment.shop canary weight 20",
        "Confirm-traffic-increase check confirm-traffic-increase passed",
        "Confirm-promotion check confirm-promotion passed",
        "Copying payment.shop template spec to payment-primary.shop",
        "Routing all traffic to primary",
        "Promotion completed! Scaling down payment.shop",
    ]
    assert world.alerts == [
        ("info", "New Deployment detected, initialization completed."),
        ("info", "New revision detected, progressing canary analysis."),
        ("info", "Canary analysis completed successfully, promotion finished."),
    ]
    assert [(item.kind, item.phase) for item in world.sent if item.kind == "hooks"] == [("hooks", "Succeeded")]


def test_between_checks_the_reason_of_the_last_one_stands_but_not_one_about_readiness() -> None:
    world = at_weight(10, webhooks=[hook("rollout")], threshold=9)
    world.hooks["rollout"] = Verdict.FAILED
    next_due(world)
    world.touch().run_for(1)
    assert world.status.rollout.reason == "rollout check the-rollout failed"
    assert world.target
    world.scale(3).run_for(1)
    assert world.status.rollout.reason.endswith("to become ready")
    world.run_for(4)
    assert world.target.complete()
    assert world.status.rollout.reason == ""
