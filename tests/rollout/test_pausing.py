"""A target under KEDA: paused exactly while it sleeps, and never while users are on it."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from flaggerpy.api.status import Phase, PrimaryScaler
from flaggerpy.rollout import decision as d
from tests.rollout.workloads import Autoscaler
from tests.rollout.world import SCALED_OBJECT, SCALER, World, spec, under_keda

PAUSE, RESUME = d.PauseScaler("payment"), d.ResumeScaler("payment")


def at_rest(**arguments: Any) -> World:
    world = under_keda(**arguments).run()
    world.actions.clear()
    return world


def writes(world: World) -> list[d.Action]:
    kinds = (d.PauseScaler, d.ResumeScaler, d.ScaleTarget)
    return [action for _, action in world.actions if isinstance(action, kinds)]


def when(world: World, wanted: d.Action) -> list[datetime]:
    return [moment for moment, action in world.actions if action == wanted]


def strip(world: World) -> None:
    """A tool takes the annotation off that it does not know."""
    assert world.autoscaler
    world.autoscaler.paused = False
    world._settle()
    world.touch()


def test_the_target_is_paused_before_it_goes_to_sleep_and_resumed_before_it_wakes() -> None:
    world = under_keda().run()
    assert writes(world) == [PAUSE, d.ScaleTarget(0)]
    world.actions.clear()
    world.push("v2").run(Phase.SUCCEEDED)
    assert writes(world) == [RESUME, d.ScaleTarget(2), PAUSE, d.ScaleTarget(0)]
    assert world.sizes[0] == 0
    world.run()
    assert world.tick() == d.Plan(), "and it rests"


def test_a_target_that_is_down_at_its_bootstrap_is_paused_as_well() -> None:
    world = under_keda(low=0)
    assert world.target
    world.laws.sabotaged = True
    world.target.edit(replicas=0)
    world.run()
    assert writes(world) == [PAUSE]
    assert world.phase is Phase.INITIALIZED


def test_after_a_rollback_the_target_is_paused_once_its_users_have_left() -> None:
    world = at_rest()
    world.push("v2").run(Phase.PROGRESSING)
    while world.weight == 0:
        assert world.advance()
        world.tick()
    world.actions.clear()
    assert world.target
    world.target.broken.add("v2")
    world.target.edit("v2", stamp="broken")
    world.push("v1").run()
    assert writes(world)[-2:] == [PAUSE, d.ScaleTarget(0)]
    assert world.autoscaler
    assert world.autoscaler.paused


def test_a_pause_that_is_taken_off_is_put_back_once_an_interval_and_named() -> None:
    world = at_rest(interval="30s")
    start = world.now
    while world.now < start + timedelta(minutes=5):
        strip(world)
        world.run_for(3)
    times = when(world, PAUSE)
    assert len(times) >= 5
    assert all(later - sooner >= timedelta(seconds=30) for sooner, later in pairwise(times))
    sentence = "ScaledObject payment is not paused while payment.shop sleeps, and may wake it"
    assert world.status.rollout.reason.startswith(sentence)
    assert sum(text.startswith(sentence) for text in world.texts) >= 1
    assert world.phase is Phase.INITIALIZED
    assert world.outcomes == [], "no rollout began"


def test_one_that_is_referred_to_later_is_paused_although_the_target_sleeps_already() -> None:
    world = World(autoscaler=None).run()
    assert world.sizes[0] == 0
    world.actions.clear()
    world.autoscaler = Autoscaler(0, 20, keda=True)
    world.edit(_autoscalerRef=SCALED_OBJECT).run_for(600)
    assert writes(world) == [PAUSE]


def test_one_that_may_be_at_zero_is_paused_too_as_it_could_wake_at_any_time() -> None:
    world = at_rest(low=0)
    assert world.autoscaler
    strip(world)
    assert world.sizes[0] == 0
    world.run_for(90)
    assert writes(world) == [PAUSE]


@pytest.mark.parametrize("phase", [Phase.PROGRESSING, Phase.PROMOTING])
def test_a_pause_at_zero_while_the_canary_is_in_use_is_taken_off_again(phase: Phase) -> None:
    world = at_rest()
    world.push("v2").run(phase)
    world.actions.clear()
    world.laws.sabotaged = True
    assert world.autoscaler
    world.autoscaler.paused = True
    world._settle()
    world.touch()
    world.advance()
    world.tick()
    assert RESUME in writes(world)
    assert world.autoscaler.paused is False
    world.run(Phase.SUCCEEDED)
    assert "payment was paused at zero pods while payment.shop is in use: resumed" in world.texts or phase is (
        Phase.PROGRESSING
    )


def test_somebody_elses_pause_is_neither_put_on_nor_taken_off() -> None:
    world = under_keda()
    assert world.autoscaler
    world.autoscaler.paused_otherwise = True
    world.run()
    world.push("v2").run()
    assert world.phase is Phase.SUCCEEDED
    assert [action for action in writes(world) if not isinstance(action, d.ScaleTarget)] == []


def test_when_it_is_taken_off_the_target_is_paused_again() -> None:
    world = under_keda(low=0)
    assert world.autoscaler
    world.autoscaler.paused_otherwise = True
    world.run()
    world.autoscaler.paused_otherwise = False
    world.touch().run_for(60)
    assert writes(world)[-1] == PAUSE


def test_a_deletion_resumes_it_before_the_target_is_asked_for_pods() -> None:
    world = at_rest()
    world.delete().run()
    assert writes(world) == [RESUME, d.ScaleTarget(2)]
    assert world.gone
    assert world.autoscaler
    assert world.autoscaler.paused is False


def test_a_release_does_so_too_even_where_the_autoscaler_cannot_be_copied_any_more() -> None:
    world = at_rest()
    world.problems = ("ScaledObject payment scales something odd",)
    world.release().run()
    assert writes(world)[0] == RESUME
    assert world.phase is Phase.TERMINATED
    assert world.sizes[0] >= 1


def test_a_deletion_of_a_canary_whose_target_is_gone_resumes_what_is_left() -> None:
    world = at_rest()
    world.delete_target()
    world.delete().run()
    assert writes(world) == [RESUME]
    assert world.gone


def test_nobody_is_given_to_a_target_that_somebody_pauses_again_and_again() -> None:
    world = at_rest(interval="10s")
    assert world.autoscaler
    world.delete()
    for _ in range(300):
        if world.gone or not world.advance():
            break
        world.tick()
        world.autoscaler.paused = not world.gone
        world.laws.ticks = 0
        world._settle()
        world.touch()
        world.now += timedelta(seconds=1)
    assert world.gone
    *times, _ = when(world, RESUME)
    assert all(later - sooner >= timedelta(seconds=10) for sooner, later in pairwise(times)), "but for the last one"
    assert world.primary is not None, "it goes on serving"


def test_another_reference_resumes_the_former_one() -> None:
    world = at_rest()
    record = world.status.rollout.scaler
    since = record.since if record is not None else None
    assert record == PrimaryScaler(name="payment-primary", kind="ScaledObject", source="payment", since=since)
    world.spec = spec()
    world.generation += 1
    world.touch()
    world.advance()
    world.tick()
    assert [action for _, action in world.actions][:2] == [RESUME, d.DeleteScaler("payment-primary", "ScaledObject")]
    assert world.status.rollout.scaler is None


def test_another_kind_of_the_same_name_is_another_autoscaler() -> None:
    world = at_rest()
    world.autoscaler = Autoscaler(2, 20)
    world.edit(_autoscalerRef=SCALER).run()
    assert [action for _, action in world.actions if isinstance(action, d.DeleteScaler | d.WriteScaler)] == [
        d.DeleteScaler("payment-primary", "ScaledObject"),
        d.WriteScaler(2),
    ]
    assert world.status.rollout.scaler
    assert world.status.rollout.scaler.kind == "HorizontalPodAutoscaler"


# Configs


@pytest.mark.parametrize("routed", [True, False])
def test_pods_that_read_older_configs_are_paused_away_and_the_next_ones_are_asked_for_after_a_resume(
    routed: bool,
) -> None:
    world = under_keda(**({} if routed else {"iterations": 3}))
    world.routed = routed
    world.configure(app="1").run()
    world.push("v2").run(Phase.PROGRESSING)
    world.run_for(15)
    world.actions.clear()
    world.configure(app="2").run()
    assert (world.outcomes, world.primary_configs) == (["succeeded"], {"configmap/app": "2"})
    once = [PAUSE, d.ScaleTarget(0)]
    assert writes(world) == [*once, RESUME, d.ScaleTarget(2), *once]
    assert not [text for text in world.texts if "somebody else" in text or "is in use" in text], "it was flaggerpy"


def test_pods_of_an_awake_target_that_read_older_configs_are_paused_away_before_a_rollout_begins() -> None:
    world = under_keda().configure(app="1").run()
    strip(world)
    assert world.sizes[0] == 2
    world.actions.clear()
    world.configure(app="2").run()
    assert world.outcomes == ["succeeded"]
    assert writes(world) == [PAUSE, d.ScaleTarget(0), RESUME, d.ScaleTarget(2), PAUSE, d.ScaleTarget(0)]


def test_the_pause_stays_until_the_last_of_those_pods_is_gone() -> None:
    world = under_keda().configure(app="1").run()
    world.push("v2").run(Phase.PROGRESSING)
    world.run_for(15)
    world.actions.clear()
    assert world.target
    world.configure(app="2")
    world.target.asleep = True
    for _ in range(60):
        world.run_for(1)
        world.touch()
    assert (writes(world), len(world.target.pods)) == ([PAUSE, d.ScaleTarget(0)], 2)
    world.target.asleep = False
    world.touch().run()
    assert writes(world) == [PAUSE, d.ScaleTarget(0), RESUME, d.ScaleTarget(2), PAUSE, d.ScaleTarget(0)]
    assert world.outcomes == ["succeeded"]


@pytest.mark.parametrize("promoted_again", [True, False])
def test_another_change_of_mind_while_those_pods_end(promoted_again: bool) -> None:
    world = under_keda().configure(app="1").run()
    world.push("v2").run(Phase.PROGRESSING)
    world.run_for(15)
    world.configure(app="2")
    while not (world.autoscaler and world.autoscaler.paused):
        assert world.advance()
        world.tick()
    world.actions.clear()
    world.configure(app="1").push("v1" if promoted_again else "v3").run()
    assert world.outcomes == ([] if promoted_again else ["succeeded"])
    assert world.autoscaler.paused, "it sleeps in the end"
    assert writes(world)[:1] == ([] if promoted_again else [RESUME])
    assert "payment was paused at zero pods while payment.shop is in use: resumed" not in world.texts


# Zero pods


def test_a_primary_that_may_be_at_zero_keeps_a_pod_while_its_users_may_have_to_come_back() -> None:
    world = at_rest(low=0)
    assert world.primary_autoscaler
    world.push("v2").run(Phase.PROGRESSING)
    while world.weight == 0:
        assert world.advance()
        world.tick()
    assert world.primary_autoscaler.low >= 1
    world.run()
    assert (world.phase, world.primary_autoscaler.low) == (Phase.SUCCEEDED, 0)
