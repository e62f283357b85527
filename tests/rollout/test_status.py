"""Status tells the truth: conditions, announcements that survive a crash, and no write without a change."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.api.status import CanaryStatus, Condition, Phase
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.decision import Plan
from flaggerpy.rollout.transition import IDLE, NEXT, PROMOTED, ROLLING, rollout_began
from tests.rollout.simulation import START
from tests.rollout.world import World, hook, initialized, spec


def in_phase(phase: Phase) -> World:
    world = World(spec=spec(webhooks=[hook("confirm-rollout"), hook("confirm-promotion"), hook("rollback")]))
    if phase is Phase.INITIALIZING:
        world.advance()
        world.tick()
        return world
    world.run()
    if phase is Phase.INITIALIZED:
        return world
    if phase in (Phase.TERMINATING, Phase.TERMINATED):
        world.release().run(phase)
        return world
    if phase is Phase.WAITING:
        world.hooks["confirm-rollout"] = Verdict.FAILED
    if phase is Phase.WAITING_PROMOTION:
        world.hooks["confirm-promotion"] = Verdict.FAILED
    if phase is Phase.FAILED:
        world.hooks["rollback"] = Verdict.PASSED
    return world.push("v2").run(phase)


@pytest.mark.parametrize(
    ("phase", "promoted", "ready", "reconciling"),
    [
        (Phase.INITIALIZING, "Unknown", "Unknown", "True"),
        (Phase.INITIALIZED, "True", "True", "False"),
        (Phase.WAITING, "Unknown", "Unknown", "True"),
        (Phase.PROGRESSING, "Unknown", "Unknown", "True"),
        (Phase.WAITING_PROMOTION, "Unknown", "Unknown", "True"),
        (Phase.PROMOTING, "Unknown", "Unknown", "True"),
        (Phase.FINALISING, "Unknown", "Unknown", "True"),
        (Phase.SUCCEEDED, "True", "True", "False"),
        (Phase.FAILED, "False", "False", "False"),
        (Phase.TERMINATING, "Unknown", "Unknown", "True"),
        (Phase.TERMINATED, "Unknown", "True", "False"),
    ],
)
def test_conditions_of_every_phase(phase: Phase, promoted: str, ready: str, reconciling: str) -> None:
    world = in_phase(phase)
    truth = (world.condition("Promoted"), world.condition("Ready"), world.condition("Reconciling"))
    assert truth == (promoted, ready, reconciling)
    assert world.condition("Stalled") == ("True" if phase is Phase.FAILED else "False")
    assert next(c.reason for c in world.status.conditions if c.type == "Promoted") == phase.value
    assert {condition.observed_generation for condition in world.status.conditions} == {1}


def test_every_phase_has_words_and_successors() -> None:
    assert set(NEXT) == set(Phase)
    assert set(PROMOTED) == set(Phase) - {Phase.NEW}


def test_a_condition_that_is_not_ours_stays_and_times_move_only_with_the_truth() -> None:
    world = initialized()
    foreign = Condition(type="Audited", status="True", reason="ByHand")
    world.status = world.status.model_copy(update={"conditions": [*world.status.conditions, foreign]})
    before = {condition.type: condition for condition in world.status.conditions}
    world.push("v2").run()
    after = {condition.type: condition for condition in world.status.conditions}
    assert after["Audited"] == foreign
    assert after["Stalled"] == before["Stalled"]
    assert after["Promoted"].last_transition_time != before["Promoted"].last_transition_time


@pytest.mark.parametrize("phase", sorted(IDLE))
def test_at_rest_a_look_changes_nothing_and_asks_for_no_other(phase: Phase) -> None:
    world = in_phase(phase).run()
    assert world.phase is phase
    for _ in range(3):
        world.now += timedelta(hours=1)
        assert world.touch().tick() == Plan()


def test_an_edit_of_the_canary_is_seen_with_its_generation() -> None:
    world = initialized()
    world.edit(threshold=7).run()
    assert (world.generation, world.status.observed_generation) == (2, 2)
    assert {condition.observed_generation for condition in world.status.conditions} == {2}
    assert world.status.last_transition_time is not None
    assert world.status.last_transition_time.second == 14, "the status of the rollout did not change"


def test_an_announcement_survives_a_crash_and_is_forgotten_when_made() -> None:
    world = World()
    while world.phase is not Phase.INITIALIZED:
        world.advance()
        plan = world.tick()
    world.sent.clear()
    world.announced.clear()  # the controller dies after the status write, before it could tell anybody
    (pending,) = plan.announcements
    assert [item.id for item in world.status.rollout.pending] == [pending.id]
    world.run()
    assert [item.id for item in world.sent] == [pending.id], "the same id: a receiver can tell a repetition"
    assert world.status.rollout.pending == []


def test_the_weight_that_users_see_is_the_weight_in_the_status_in_every_phase() -> None:
    world = initialized(spec=spec(webhooks=[hook("confirm-promotion")]))
    world.hooks["confirm-promotion"] = Verdict.FAILED
    world.push("v2").run(Phase.WAITING_PROMOTION)
    assert (world.weight, world.status.canary_weight) == (30, 30)


def test_a_rollout_costs_few_status_writes() -> None:
    world = initialized()
    before = world.status_writes
    world.push("v2").run()
    assert world.status_writes - before <= 12, "three steps"


@pytest.mark.parametrize(
    ("title", "status"),
    [
        ("nothing at all", {}),
        ("a phase only", {"phase": "Progressing"}),
        ("weights without a step", {"phase": "Promoting", "canaryWeight": 50}),
        ("a waiting promotion with Flagger's numbers", {"phase": "WaitingPromotion", "iterations": -1}),
        ("a failed promotion", {"phase": "Failed", "canaryWeight": 100}),
        ("conditions from somewhere", {"phase": "Succeeded", "conditions": []}),
        ("finalising", {"phase": "Finalising"}),
        ("terminating", {"phase": "Terminating"}),
    ],
)
def test_any_status_can_be_gone_on_from(title: str, status: dict[str, Any]) -> None:
    world = initialized()
    world.status = CanaryStatus.model_validate(status)
    world.laws.sabotaged = True
    world.touch().run()
    assert world.phase in IDLE, title
    assert world.weight in (0, 100), title


@pytest.mark.parametrize("phase", ["Initialized", "Succeeded", "Failed"])
def test_a_status_that_flagger_left_starts_no_rollout(phase: str) -> None:
    world = initialized(configs={"configmap/app": "1"})
    world.actions.clear()
    world.status = CanaryStatus.model_validate(
        {"phase": phase, "lastAppliedSpec": "6f8d", "lastPromotedSpec": "6f8d", "trackedConfigs": world.configs}
    )
    world.touch().run()
    assert (world.actions, world.phase.value) == ([], phase)
    assert (world.status.last_applied_spec, world.status.last_promoted_spec) == ("6f8d", "6f8d")
    world.push("v2").run()
    assert world.outcomes == ["succeeded"]


def test_what_changed_while_flagger_handed_over_is_rolled_out() -> None:
    world = initialized()
    world.status = CanaryStatus.model_validate({"phase": "Succeeded", "trackedConfigs": {}})
    assert world.target
    world.target.edit("v2")
    world.touch().run()
    assert world.outcomes == ["succeeded"]


def test_a_failed_promotion_that_flagger_left_keeps_its_users_on_the_target() -> None:
    world = initialized()
    assert world.primary
    world.primary.broken = {"v2"}
    world.push("v2").run()
    world.status = CanaryStatus.model_validate({"phase": "Failed", "canaryWeight": 100})
    world.touch().run()
    assert (world.phase, world.weight) == (Phase.FAILED, 100)
    world.push("v3").run()
    assert (world.phase, world.weight) == (Phase.SUCCEEDED, 0)


def test_times_are_aware_and_of_the_decision() -> None:
    world = initialized()
    started = world.status.rollout.step.started_at
    assert started == START + timedelta(seconds=14)


def test_the_conditions_say_what_is_wrong_before_why_it_waits_before_what_the_phase_means() -> None:
    def message(world: World, kind: str) -> str:
        return next(c.message for c in world.status.conditions if c.type == kind)

    world = in_phase(Phase.WAITING)
    gate = "waiting for the gate the-confirm-rollout to approve the rollout"
    assert (message(world, "Ready"), message(world, "Reconciling")) == (gate, gate)
    world.problems = ("spec.x is wrong: write y",)
    world.touch().run_for(1)
    assert (message(world, "Ready"), message(world, "Stalled")) == world.problems * 2
    assert (world.condition("Ready"), world.condition("Reconciling")) == ("False", "False")
    world.problems = ()
    world.hooks.clear()
    world.touch().run()
    assert message(world, "Ready") == "Canary analysis completed successfully, promotion finished."


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.NEW])
def test_a_rollout_has_a_beginning_while_it_runs(phase: Phase) -> None:
    world = in_phase(phase)
    assert (rollout_began(world.status) is not None) == (phase in ROLLING)


def test_a_rollout_begins_with_its_revision_and_not_with_its_approval() -> None:
    world = in_phase(Phase.WAITING)
    began = rollout_began(world.status)
    world.hooks.clear()
    world.run(Phase.FINALISING)
    assert rollout_began(world.status) == began
    assert began
    assert began < world.now - timedelta(seconds=30)


def test_rounds_of_analysis_are_told_from_ticks_that_only_wait() -> None:
    world = initialized(spec=spec(webhooks=[hook("rollout")])).push("v2")
    rounds = []
    while world.phase is not Phase.SUCCEEDED and world.advance():
        asked, steps = len(world.asked), world.weight
        plan = world.tick()
        if plan.analysed:
            rounds.append((steps, world.weight, len(world.asked) - asked))
    assert rounds == [(0, 10, 0), (10, 20, 1), (20, 30, 1), (30, 30, 1)], "begin, then one round at every weight"
