"""Events and alerts that people and programs look for have Flagger's type and words; what may follow them is ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout.checks import Verdict
from tests.rollout.world import World, hook, initialized, spec

Scene = Callable[[], World]
GATES = ["confirm-rollout", "pre-rollout", "confirm-traffic-increase", "confirm-promotion"]


def rolled_out(**analysis: Any) -> Scene:
    return lambda: initialized(spec=spec(**analysis)).push("v2").run()


def on_kubernetes(**analysis: Any) -> Scene:
    return lambda: initialized(spec=spec(**analysis), routed=False).push("v2").run()


def with_hook(kind: str, verdict: Verdict, seconds: float = 100, **analysis: Any) -> Scene:
    """A rollout whose hook of this type answers so."""

    def play() -> World:
        world = initialized(spec=spec(**analysis, webhooks=[hook(kind)]))
        world.hooks[kind] = verdict
        return world.push("v2").run_for(seconds)

    return play


def starting() -> World:
    return World().run_for(2)


def not_ready() -> World:
    world = initialized()
    return world.push("v2").run_for(2)


def out_of_range() -> World:
    metrics = [{"name": "latency", "interval": "1m", "thresholdRange": {"max": 2}, "query": "x"}]
    world = initialized(spec=spec(metrics=metrics))
    world.metrics["latency"] = Verdict.FAILED
    return world.push("v2").run_for(100)


def primary_rolls() -> World:
    world = initialized().push("v2").run(Phase.PROMOTING)
    world.events.clear()
    return world.run(Phase.FINALISING)


def restarted() -> World:
    world = initialized().push("v2").run_for(20)
    return world.push("v3").run()


def not_promoted() -> World:
    world = initialized()
    assert world.primary
    world.primary.broken = {"v2"}
    return world.push("v2").run()


def deleted() -> World:
    return initialized().delete().run()


UNREADY = "not ready: waiting for rollout to finish: "
ITERATIONS: dict[str, Any] = {"iterations": 2}

FAILED_HOOKS = {
    "confirm-rollout": "waiting for approval the-confirm-rollout",
    "confirm-traffic-increase": "waiting for traffic increase approval the-confirm-traffic-increase",
    "confirm-promotion": "waiting for promotion approval the-confirm-promotion",
    "pre-rollout": "pre-rollout check the-pre-rollout failed 403 closed",
    "rollout": "external check the-rollout failed 403 closed",
}
"""What holds a rollout up, by the type of the hook that answers 403."""

MOMENTS: list[tuple[str, Scene, str, str]] = [
    ("the primary starts", starting, "Warning", f"payment-primary.shop {UNREADY}"),
    ("bootstrap done", initialized, "Normal", "Initialization done! payment.shop"),
    ("rollout starts", rolled_out(), "Normal", "New revision detected! Scaling up payment.shop"),
    ("the target starts", not_ready, "Warning", f"canary deployment payment.shop {UNREADY}"),
    ("restart", restarted, "Normal", "New revision detected! Restarting analysis for payment.shop"),
    ("first analysis tick", rolled_out(), "Normal", "Starting canary analysis for payment.shop"),
    *(
        (f"{kind} passes", with_hook(kind, Verdict.PASSED), "Normal", f"{kind.capitalize()} check the-{kind} passed")
        for kind in GATES
    ),
    ("rollback hook", with_hook("rollback", Verdict.PASSED), "Warning", "Rollback check the-rollback passed"),
    (
        "rollback by hook",
        with_hook("rollback", Verdict.PASSED),
        "Warning",
        "Rolling back payment.shop manual webhook invoked",
    ),
    *(
        (f"{kind} fails", with_hook(kind, Verdict.FAILED), "Warning", f"Halt payment.shop advancement {says}")
        for kind, says in FAILED_HOOKS.items()
    ),
    ("metric out of range", out_of_range, "Warning", "Halt advancement latency is off"),
    ("weight step", rolled_out(), "Normal", "Advance payment.shop canary weight 20"),
    ("iteration", rolled_out(**ITERATIONS), "Normal", "Advance payment.shop canary iteration 1/2"),
    ("iteration without a route", on_kubernetes(**ITERATIONS), "Normal", "Advance payment.shop canary iteration 2/2"),
    ("promotion starts", rolled_out(), "Normal", "Copying payment.shop template spec to payment-primary.shop"),
    ("the primary rolls", primary_rolls, "Warning", f"payment-primary.shop {UNREADY}"),
    ("Blue/Green switch", rolled_out(**ITERATIONS), "Normal", "Routing all traffic to canary"),
    ("promotion at once", rolled_out(), "Normal", "Routing all traffic to primary"),
    ("promotion in steps", rolled_out(stepWeightPromotion=10), "Normal", "Advance payment.shop primary weight 80"),
    ("success", rolled_out(), "Normal", "Promotion completed! Scaling down payment.shop"),
    (
        "success without analysis",
        rolled_out(_skipAnalysis=True),
        "Normal",
        "Promotion completed! Canary analysis was skipped for payment.shop",
    ),
    (
        "threshold",
        with_hook("rollout", Verdict.FAILED),
        "Warning",
        "Rolling back payment.shop failed checks threshold reached 2",
    ),
    ("rollback", with_hook("rollout", Verdict.FAILED), "Warning", "Canary failed! Scaling down payment.shop"),
    ("failed promotion", not_promoted, "Warning", "Promotion of payment.shop failed, primary not ready: "),
    ("deletion begins", deleted, "Normal", "Terminating canary payment.shop"),
    ("deletion ends", deleted, "Normal", "Terminated canary payment.shop"),
]


@pytest.mark.parametrize(("moment", "scene", "type_", "text"), MOMENTS, ids=[row[0] for row in MOMENTS])
def test_every_moment_has_flaggers_type_and_words(moment: str, scene: Scene, type_: str, text: str) -> None:
    events = [(event.type, event.message) for event in scene().events]
    assert [event for event in events if event[1].startswith(text)], (moment, events)
    assert {kind for kind, message in events if message.startswith(text)} == {type_}


def test_a_wait_is_told_once_however_often_it_is_looked_at() -> None:
    for kind in ("confirm-rollout", "confirm-traffic-increase", "confirm-promotion"):
        world = with_hook(kind, Verdict.FAILED, seconds=600)()
        halts = [text for text in world.texts if text.startswith("Halt payment.shop advancement waiting for")]
        assert len(halts) == 1, halts


def test_what_flagger_says_at_every_tick_of_a_suspended_or_healthy_canary_is_not_said() -> None:
    world = with_hook("rollback", Verdict.FAILED)()
    assert world.phase is Phase.SUCCEEDED
    assert not [text for text in world.texts if "not signaling" in text or "metrics providers" in text]


INIT = ("info", "New Deployment detected, initialization completed.", True)
BEGUN = ("info", "New revision detected, progressing canary analysis.", True)
DONE = ("info", "Canary analysis completed successfully, promotion finished.", False)

GATES_CLOSED = [
    ("confirm-rollout", "Canary", [INIT]),
    ("confirm-traffic-increase", "Canary traffic increase", [INIT, BEGUN]),
    ("confirm-promotion", "Canary promotion", [INIT, BEGUN]),
]
"""What waits at a gate, and what was alerted before."""

ALERTS: list[tuple[str, Scene, list[tuple[str, str, bool]]]] = [
    ("success", rolled_out(), [INIT, BEGUN, DONE]),
    (
        "success without analysis",
        rolled_out(_skipAnalysis=True),
        [INIT, BEGUN, ("info", "Canary analysis was skipped, promotion finished.", False)],
    ),
    *(
        (
            f"{kind} is closed",
            with_hook(kind, Verdict.FAILED),
            [*before, ("warn", f"{what} is waiting for approval.", False)],
        )
        for kind, what, before in GATES_CLOSED
    ),
    (
        "rollback hook",
        with_hook("rollback", Verdict.PASSED),
        [INIT, BEGUN, ("warn", "Rolling back payment.shop manual webhook invoked", False)],
    ),
    (
        "threshold",
        with_hook("rollout", Verdict.FAILED),
        [INIT, BEGUN, ("error", "Failed checks threshold reached 2", False)],
    ),
    (
        "failed promotion",
        not_promoted,
        [INIT, BEGUN, ("error", "Promotion of payment.shop failed, primary not ready: ", False)],
    ),
    ("restart", restarted, [INIT, BEGUN, DONE]),
    ("deletion", deleted, [INIT]),
]


@pytest.mark.parametrize(("moment", "scene", "expected"), ALERTS, ids=[row[0] for row in ALERTS])
def test_every_moment_that_alerts_has_flaggers_severity_words_and_details(
    moment: str, scene: Scene, expected: list[tuple[str, str, bool]]
) -> None:
    sent = [item for item in scene().sent if item.kind == "alert"]
    assert [(item.severity, item.fields) for item in sent] == [(severity, fields) for severity, _, fields in expected]
    for item, (_, text, _) in zip(sent, expected, strict=True):
        assert item.message.startswith(text), moment


def every_hook(*, passed: bool = True) -> World:
    """A rollout with a closed gate that opens, all other gates, and a success or a failure."""
    world = initialized(spec=spec(webhooks=[hook(kind) for kind in [*GATES, "rollout"]]))
    world.hooks["confirm-rollout"] = Verdict.FAILED
    world.push("v2").run_for(15)
    world.hooks.clear()
    if not passed:
        world.hooks["rollout"] = Verdict.FAILED
    return world.run()


@pytest.mark.parametrize(
    ("words", "phase"),
    [
        ("Initialization done!", "Initialized"),
        ("Halt payment.shop advancement waiting for approval", "Initialized"),
        ("Confirm-rollout check", "Waiting"),
        ("New revision detected! Scaling up", "Progressing"),
        ("Starting canary analysis", "Progressing"),
        ("Pre-rollout check", "Progressing"),
        ("Confirm-traffic-increase check", "Progressing"),
        ("Advance payment.shop canary weight", "Progressing"),
        ("Confirm-promotion check", "Progressing"),
        ("Copying", "Progressing"),
        ("Routing all traffic to primary", "Promoting"),
        ("Promotion completed!", "Succeeded"),
        ("Halt payment.shop advancement external check", "Progressing"),
        ("Rolling back", "Progressing"),
        ("Canary failed!", "Failed"),
    ],
)
def test_event_webhooks_hear_the_phase_that_flagger_tells(words: str, phase: str) -> None:
    worlds = every_hook(), every_hook(passed=False)
    told = {event.phase for world in worlds for event in world.events if event.message.startswith(words)}
    assert told == {Phase(phase)}
