"""Rollback hooks in every phase of a rollout: when they are asked, and what comes of one that passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import HookCheck, Verdict
from tests.rollout.world import World, hook, initialized, spec

GATES = ("confirm-rollout", "rollout", "confirm-promotion")
ALERT = "Rolling back payment.shop manual webhook invoked: the-rollback"
INTERVAL = timedelta(seconds=10)


def rolling(phase: Phase, *, closed: str = "", routed: bool = True, **analysis: object) -> World:
    """A rollout of v2 that has come to a phase, with a rollback hook that is asked and does not pass."""
    hooks = [hook(kind) for kind in (*GATES, "rollback")]
    steps: dict[str, object] = {} if routed else {"iterations": 1}
    world = initialized(spec=spec(webhooks=hooks, threshold=1000, **steps, **analysis), routed=routed)
    if closed:
        world.hooks[closed] = Verdict.FAILED
    return world.push("v2").run(phase)


def promoting(*, routed: bool = True, **analysis: object) -> World:
    """The primary has v2, and its pods are not ready for long."""
    world = initialized(spec=spec(webhooks=[hook("rollback")], **analysis), routed=routed)
    assert world.primary
    world.primary.broken = {"v2"}
    return world.push("v2").run(Phase.PROMOTING).run_for(1)


def questions(world: World) -> list[HookCheck]:
    """The questions to rollback hooks, oldest first."""
    return [check for _, check, _ in world.asked if isinstance(check, HookCheck) and check.type.value == "rollback"]


@dataclass(frozen=True, slots=True)
class Row:
    """What comes of a rollback hook that passes in a phase."""

    scene: Callable[[], World]
    end: Phase
    primary: str
    alert: str
    texts: tuple[str, ...] = ()


ROWS = {
    "Waiting": Row(
        lambda: rolling(Phase.WAITING, closed="confirm-rollout"),
        Phase.FAILED,
        "v1",
        ALERT,
        ("Rollback check the-rollback passed", ALERT),
    ),
    "Progressing": Row(
        lambda: rolling(Phase.PROGRESSING, closed="rollout").run_for(15),
        Phase.FAILED,
        "v1",
        ALERT,
        ("Rollback check the-rollback passed", ALERT, "Canary failed! Scaling down payment.shop"),
    ),
    "WaitingPromotion": Row(
        lambda: rolling(Phase.WAITING_PROMOTION, closed="confirm-promotion"),
        Phase.FAILED,
        "v1",
        ALERT,
        ("Rollback check the-rollback passed", ALERT, "Canary failed! Scaling down payment.shop"),
    ),
    "Promoting": Row(promoting, Phase.FAILED, "v1", ALERT, ("Rollback check the-rollback passed", ALERT)),
    "Promoting, kubernetes": Row(
        lambda: promoting(routed=False, iterations=1),
        Phase.FAILED,
        "v1",
        ALERT,
        ("Rollback check the-rollback passed", ALERT),
    ),
    "Finalising": Row(
        lambda: rolling(Phase.FINALISING).run_for(2),
        Phase.SUCCEEDED,
        "v2",
        "Rollback check the-rollback passed too late: all users are on payment-primary.shop; put the template that you "
        "want back into payment.shop to roll that out",
        (
            "Rollback check the-rollback passed too late: all users are on payment-primary.shop; put the template that "
            "you want back into payment.shop to roll that out",
        ),
    ),
}


@pytest.mark.parametrize("title", ROWS)
def test_a_rollback_hook_that_passes(title: str) -> None:
    row = ROWS[title]
    world = row.scene()
    phase = title.partition(",")[0]
    assert world.phase.value == phase
    world.events.clear()
    world.hooks["rollback"] = Verdict.PASSED
    if world.primary and world.phase is Phase.PROMOTING:
        world.run_for(12)
        assert world.status.rollout.failing == "manual webhook invoked: the-rollback"
    world.touch().run()
    assert (world.phase, world.primary and world.primary.template) == (row.end, row.primary)
    assert world.destinations() == {"primary"}
    assert ("warn", row.alert) in world.alerts
    assert [text for text in world.texts if text in row.texts] == list(row.texts)
    assert questions(world)[-1].phase.value == phase


@pytest.mark.parametrize("phase", [Phase.INITIALIZED, Phase.SUCCEEDED])
def test_nobody_asks_when_there_is_nothing_to_roll_back(phase: Phase) -> None:
    world = initialized(spec=spec(webhooks=[hook("rollback")]))
    if phase is Phase.SUCCEEDED:
        world.push("v2").run()
    world.asked.clear()
    world.hooks["rollback"] = Verdict.PASSED
    world.touch().run_for(100)
    assert (world.phase, world.asked) == (phase, [])


def test_a_promotion_is_asked_about_before_any_user_moves_and_once_an_interval() -> None:
    world = initialized(spec=spec(webhooks=[hook("rollback")], stepWeightPromotion=10)).push("v2")
    world.run(Phase.PROMOTING)
    world.asked.clear()
    moves = len(world.actions)
    world.run(Phase.SUCCEEDED)
    asked = [moment for moment, check, _ in world.asked if isinstance(check, HookCheck)]
    moved = [moment for moment, action in world.actions[moves:] if isinstance(action, d.SetRoutes)]
    assert len(moved) == 3
    assert asked[0] <= moved[0]
    assert [check.phase.value for check in questions(world)] == ["Promoting"] * 3 + ["Finalising"]
    assert all(later - earlier >= INTERVAL for earlier, later in pairwise(asked[:-1]))


def test_a_primary_that_is_slow_is_asked_about_all_the_time() -> None:
    world = promoting()
    world.asked.clear()
    world.run_for(35)
    assert world.phase is Phase.PROMOTING
    assert len(questions(world)) == 3
    assert len({check.key for check in questions(world)}) == 3


def test_a_promotion_that_cannot_be_undone_goes_on_and_says_so_once() -> None:
    world = initialized(spec=spec(webhooks=[hook("rollback")]), configs={"configmap/app": "1"})
    assert world.primary
    world.configure(app="2").push("v2").run(Phase.PROMOTING)
    world.primary.broken = {"v2"}
    world.run_for(1)
    world.events.clear()
    world.asked.clear()
    world.hooks["rollback"] = Verdict.PASSED
    world.run_for(35)
    assert world.phase is Phase.PROMOTING
    late = [text for text in world.texts if "too late" in text]
    assert late == [
        "Rollback check the-rollback passed too late: the configs that payment-primary.shop read before are "
        "overwritten; put the template that you want back into payment.shop to roll that out"
    ]
    assert world.alerts[-1] == ("warn", late[0])
    assert len(questions(world)) == 1, "nothing can come of it any more"
    world.primary.broken = set()
    world.touch().run()
    assert (world.phase, world.primary.template, world.status.rollout.recall) == (Phase.SUCCEEDED, "v2", None)


def test_without_a_rollback_hook_a_promotion_remembers_nothing() -> None:
    world = initialized(spec=spec(webhooks=[hook("rollout")])).push("v2").run(Phase.FINALISING)
    assert world.status.rollout.recall is None
    world.run()
    assert world.phase is Phase.SUCCEEDED


def test_a_rollback_hook_survives_a_crash_between_its_answer_and_the_record() -> None:
    world = promoting()
    world.hooks["rollback"] = Verdict.PASSED
    world.asked.clear()
    while not questions(world):
        assert world.advance()
        world.tick(crash_after=0)
    world.tick()
    first, second = questions(world)
    assert first.key == second.key
    world.run()
    assert (world.phase, world.status.rollout.failing) == (Phase.FAILED, "manual webhook invoked: the-rollback")


@pytest.mark.parametrize("parallel", [False, True])
def test_rollback_hooks_are_asked_up_to_the_one_that_passes_or_all_at_once(parallel: bool) -> None:
    hooks = [hook("rollback", name) for name in ("first", "second", "third")]
    world = initialized(spec=spec(webhooks=hooks, webhooksParallel=parallel)).push("v2").run(Phase.PROGRESSING)
    world.run_for(12)
    world.asked.clear()
    world.hooks |= {"second": Verdict.PASSED}
    world.run_for(10)
    assert [check.index for check in questions(world)] == ([0, 1, 2] if parallel else [0, 1])
    assert world.status.rollout.failing == "manual webhook invoked: second"
