"""Die around every write of every flow: it ends where an undisturbed one ends, and the laws hold throughout."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout.checks import Verdict
from tests.rollout.left import left
from tests.rollout.workloads import Autoscaler
from tests.rollout.world import (
    COOKIES,
    DAEMON_SET,
    SCALED_OBJECT,
    SCALER,
    World,
    daemon_set,
    hook,
    plain_service,
    spec,
)

pytestmark = pytest.mark.laws

Step = Callable[[World], object]


def bootstrap(world: World) -> None:
    """Nothing is done; the world begins with an unseen Canary."""


def push(template: str) -> Step:
    return lambda world: world.push(template)


def never_ready(world: World) -> None:
    assert world.target
    world.target.broken = {"v2"}
    world.push("v2")


def not_as_primary(world: World) -> None:
    assert world.primary
    world.primary.broken = {"v2"}
    world.push("v2")


def judged_bad(world: World) -> None:
    world.hooks["rollout"] = Verdict.FAILED
    world.push("v2")


def ask(verb: str) -> Step:
    return lambda world: world.ask(verb)


def ask_after(ticks: int, verb: str) -> Step:
    """A rollout begins and somebody asks for something in its middle."""

    def begin(world: World) -> None:
        world.push("v2")
        for _ in range(ticks):
            if world.advance():
                world.tick()
        world.ask(verb)

    return begin


def ask_in_promotion(ticks: int) -> Step:
    """Somebody aborts so many ticks after the promotion was decided."""

    def abort(world: World) -> None:
        world.push("v2").run(Phase.PROMOTING)
        for _ in range(ticks):
            if world.advance():
                world.tick()
        world.ask("abort")

    return abort


def call_back(world: World) -> None:
    """A rollback hook passes as the promotion begins."""
    world.push("v2").run(Phase.PROMOTING)
    world.hooks["rollback"] = Verdict.PASSED
    world.touch()


def with_users(world: World) -> World:
    world.push("v2")
    while world.weight == 0 and world.advance():
        world.tick()
    return world


def bad_with_users(world: World) -> None:
    with_users(world).hooks["rollback"] = Verdict.PASSED
    world.touch()


def lose(world: World) -> None:
    world.delete_primary()


def lose_and_push(world: World) -> None:
    world.delete_primary().push("v2")


def lose_with_users_on_the_canary(world: World) -> None:
    world.push("v2")
    while world.weight == 0 and world.advance():
        world.tick()
    world.delete_primary()


def lose_for_good(world: World) -> None:
    """What was promoted cannot start any more: only a fix helps."""
    world.primary_breaks = {"v1"}
    lose_with_users_on_the_canary(world)


def build_again(world: World) -> None:
    world.push("v2").run()
    world.rebuild("v3")


def release_back(world: World) -> None:
    world.release(wanted=False)


GATE = {Phase.WAITING: "confirm-rollout", Phase.WAITING_PROMOTION: "confirm-promotion"}
"""Phases that last while a gate is closed."""


def reach(phase: Phase) -> Step:
    """A rollout comes to a phase; where a gate keeps it there, this opens when it is played on."""

    def push_and_wait(world: World) -> None:
        gate = GATE.get(phase)
        if gate is not None:
            world.hooks[gate] = Verdict.FAILED
        world.push("v2").run(phase)
        world.hooks.clear()

    return push_and_wait


def change_in(phase: Phase, change: Step) -> Step:
    """Somebody changes their mind in a phase, before anything else happens."""

    def play_both(world: World) -> None:
        reach(phase)(world)
        change(world)

    return play_both


def taken_over(phase: Phase) -> Step:
    """Flagger did everything up to here, and is gone."""

    def leave(world: World) -> None:
        if phase in {Phase.PROGRESSING, Phase.PROMOTING}:
            reach(phase)(world)
        if phase is Phase.PROGRESSING:
            with_users(world)
        left(world, phase)

    return leave


CHANGES: dict[str, Step] = {
    "new revision": push("v3"),
    "put back": push("v1"),
    "config edited": lambda world: world.configure(app="2"),
}
IN_MIND = (Phase.WAITING, Phase.PROGRESSING, Phase.WAITING_PROMOTION, Phase.PROMOTING, Phase.FINALISING, Phase.FAILED)
FLOWS: dict[str, list[Step]] = {
    "bootstrap": [],
    "rollout": [push("v2")],
    "rollback": [judged_bad],
    "rollback of a canary with users": [bad_with_users],
    "deadline": [never_ready],
    "config": [lambda world: world.configure(app="2")],
    "config edited in mid-analysis": [lambda world: with_users(world).configure(app="2")],
    "failed promotion": [not_as_primary],
    "failed promotion, fixed forward": [not_as_primary, push("v3")],
    "failed promotion, put back": [not_as_primary, push("v1")],
    "primary lost": [lose],
    "primary lost together with a push": [lose_and_push],
    "primary lost in mid-analysis": [lose_with_users_on_the_canary],
    "primary lost for good": [lose_for_good],
    "primary lost after a failed promotion, fixed forward": [not_as_primary, lose, push("v3")],
    "built again": [build_again],
    "deletion": [lambda world: world.delete()],
    "deletion after a failed promotion": [not_as_primary, lambda world: world.delete()],
    "paused and aborted": [ask_after(4, "pause"), ask("abort")],
    "paused, resumed": [ask_after(4, "pause"), ask("resume")],
    "stepped by hand": [ask("pause"), push("v2"), *[ask("promote")] * 6, ask("resume")],
    "promoted in full": [ask("pause"), push("v2"), ask("promote-full")],
    "aborted as its promotion begins": [ask_in_promotion(0)],
    "aborted in its promotion": [ask_in_promotion(1)],
    "aborted while the primary starts": [ask_in_promotion(3)],
    "called back in its promotion by a hook": [call_back],
    "retried": [judged_bad, ask("retry")],
    "release and back": [lambda world: world.release(), release_back],
}
FLOWS |= {
    f"{name} in {phase.value}": [judged_bad, change] if phase is Phase.FAILED else [change_in(phase, change)]
    for phase in IN_MIND
    for name, change in CHANGES.items()
}
TAKEN_OVER = {
    f"taken over in {phase.value}": [taken_over(phase)]
    for phase in (Phase.INITIALIZED, Phase.PROGRESSING, Phase.PROMOTING, Phase.FAILED)
}
HOOKS = [hook("confirm-rollout"), hook("pre-rollout"), hook("rollout"), hook("confirm-promotion"), hook("rollback")]
SETTINGS: dict[str, tuple[bool, dict[str, Any]]] = {
    "weights": (True, {"stepWeight": 15, "webhooks": HOOKS}),
    "promotion in steps": (True, {"stepWeight": 30, "stepWeightPromotion": 20}),
    "blue-green": (True, {"iterations": 1, "webhooks": HOOKS}),
    "blue-green on kubernetes": (False, {"iterations": 1}),
    "blue-green with copies": (True, {"iterations": 2, "mirror": True, "webhooks": HOOKS}),
    "ab test": (True, {"iterations": 2, "match": [{"headers": {"x": {"exact": "1"}}}], "stepWeightPromotion": 40}),
    "copies, weights and cookies": (
        True,
        {"stepWeight": 40, "maxWeight": 100, "mirror": True, "sessionAffinity": COOKIES, "webhooks": HOOKS},
    ),
    "skipAnalysis": (True, {"_skipAnalysis": True}),
    "autoscaled": (True, {"stepWeight": 15, "webhooks": HOOKS, "_autoscalerRef": SCALER}),
    "under KEDA": (True, {"stepWeight": 15, "webhooks": HOOKS, "_autoscalerRef": SCALED_OBJECT}),
    "under KEDA on kubernetes": (False, {"iterations": 1, "_autoscalerRef": SCALED_OBJECT}),
    "autoscaled promotion in steps": (True, {"stepWeight": 30, "stepWeightPromotion": 20, "_autoscalerRef": SCALER}),
    "DaemonSet": (True, {"stepWeight": 15, "webhooks": HOOKS, "_targetRef": DAEMON_SET}),
    "Service": (True, {"stepWeight": 15, "webhooks": HOOKS}),
    "DaemonSet on kubernetes": (False, {"iterations": 1, "_targetRef": DAEMON_SET}),
}
OTHERS = [
    "rollout",
    "rollback of a canary with users",
    "failed promotion, fixed forward",
    "primary lost together with a push",
    "built again",
    "aborted while the primary starts",
    "deletion",
]
CASES = (
    [("weights", flow) for flow in FLOWS]
    + [
        # What Flagger had asked its hooks is not on record, so none are asked for here.
        ("promotion in steps", flow)
        for flow in TAKEN_OVER
    ]
    + [(setting, flow) for setting in SETTINGS if setting not in {"weights", "Service"} for flow in OTHERS]
)
CASES += [("DaemonSet", "deadline")]
# KEDA is paused and resumed wherever the target is put to sleep and woken.
CASES += [("under KEDA on kubernetes", "config")]
CASES += [
    ("under KEDA", flow)
    for flow in (
        "config",
        "config edited in mid-analysis",
        "primary lost in mid-analysis",
        "primary lost for good",
        "aborted as its promotion begins",
        "aborted in its promotion",
        "release and back",
    )
]
# Nothing about a Service can be broken or late.
CASES += [("Service", flow) for flow in ("rollout", "rollback of a canary with users", "deletion", "release and back")]


def play(steps: list[Step], world: World, die: Callable[[World, list[Step]], None] | None = None) -> World:
    """Run a flow to its end; before every tick, ``die`` gets a copy of the world and the steps still to come."""
    for index, step in enumerate(steps):
        step(world)
        for _ in range(300):
            if held(world) or not world.advance():
                break
            if die is not None:
                die(world, steps[index + 1 :])
            world.tick()
        else:
            raise AssertionError("no end")
    return world


def held(world: World) -> bool:
    """Whether a person holds it in mid-rollout, where it is judged again and again."""
    request = world.status.rollout.request
    answered = request is not None and request.id == f"request-{world.asks}"
    rollout = world.status.rollout
    return rollout.paused is not None and not rollout.failing and answered and rollout.step.attempt > 1


def end(world: World) -> tuple[object, ...]:
    target = world.target and (world.target.template, world.target.replicas, world.target.available)
    primary = world.primary and (world.primary.template, world.primary.replicas, world.primary.available)
    pause = world.autoscaler and world.autoscaler.paused
    return world.phase, world.destinations(), target, primary, pause, world.finalizer, world.gone


@pytest.mark.parametrize(("setting", "flow"), CASES)
def test_a_crash_anywhere_ends_where_no_crash_ends(setting: str, flow: str) -> None:
    routed, analysis = SETTINGS[setting]
    steps = [bootstrap, *(FLOWS | TAKEN_OVER)[flow]]

    def fresh() -> World:
        if "_targetRef" in analysis:
            plan = {key: value for key, value in analysis.items() if key != "_targetRef"}
            return daemon_set(routed=routed, configs={"configmap/app": "1"}, **plan)
        if setting == "Service":
            return plain_service(**analysis)
        ref = analysis.get("_autoscalerRef")
        autoscaler = Autoscaler(3, 20, keda=ref == SCALED_OBJECT) if ref else None
        return World(spec=spec(**analysis), routed=routed, configs={"configmap/app": "1"}, autoscaler=autoscaler)

    undisturbed = end(play(steps, fresh()))

    def die(world: World, later: list[Step]) -> None:
        for writes in range(12):
            dying = copy.deepcopy(world)
            dying.tick(crash_after=writes)
            if not dying.crashed:
                return
            play([bootstrap, *later], dying)
            assert end(dying) == undisturbed, f"died at {world.now} in {world.phase} after {writes} writes"
        raise AssertionError("a tick has more writes than are tried")

    play(steps, fresh(), die)
