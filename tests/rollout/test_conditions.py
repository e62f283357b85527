"""Conditions tell kubectl, Flux and Argo CD the truth: in every phase, of which generation, and why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.transition import to_mend
from tests.rollout.test_status import in_phase
from tests.rollout.world import World, hook, initialized, spec, under_keda

PHASES = [phase for phase in Phase if phase is not Phase.NEW]


def reason(world: World, kind: str) -> tuple[str, str]:
    """Status and reason of a condition."""
    return next((row.status, row.reason) for row in world.status.conditions if row.type == kind)


def message(world: World, kind: str) -> str:
    """What a condition says."""
    return next(row.message for row in world.status.conditions if row.type == kind)


@pytest.mark.parametrize("also", ["nothing else", "suspended", "a mistake", "paused"])
@pytest.mark.parametrize("phase", PHASES)
def test_every_generation_is_said_to_be_observed_although_nothing_else_changes(phase: Phase, also: str) -> None:
    world = in_phase(phase)
    if also == "suspended":
        world.suspend()
    elif also == "a mistake":
        world.problems = ("spec.x is wrong: write y",)
    elif also == "paused":
        world.ask("pause")
    for _ in range(3):
        world.generation += 1
        world.touch().advance()
        world.tick()
        assert world.status.observed_generation == world.generation
        assert {row.observed_generation for row in world.status.conditions} == {world.generation}


def missing_target() -> World:
    return initialized().delete_target().run()


def missing_primary() -> World:
    world = initialized().push("v2")
    world.target.broken.add("v2")  # type: ignore[union-attr]  # there is one
    world.run(Phase.FAILED)
    world.kept.clear()
    return world.delete_primary().run()


def mistaken() -> World:
    world = initialized()
    world.problems = ("spec.x is wrong: write y",)
    return world.touch().run()


@pytest.mark.parametrize(
    ("stalls", "cause"),
    [(missing_target, "TargetMissing"), (missing_primary, "PrimaryMissing"), (mistaken, "UserError")],
)
def test_what_stalls_is_named_in_one_word_by_everyone_who_is_asked(stalls: Callable[[], World], cause: str) -> None:
    world = stalls()
    assert reason(world, "Stalled") == ("True", cause)
    assert reason(world, "Ready") == ("False", cause)


def test_a_rollout_that_failed_stalls_and_is_nothing_to_mend() -> None:
    world = in_phase(Phase.FAILED)
    assert reason(world, "Stalled") == ("True", "Failed")
    assert message(world, "Stalled") == world.status.rollout.failing
    assert to_mend(world.status) == "", "the next revision is rolled out all the same"
    world.suspend().run_for(1)
    assert reason(world, "Stalled") == ("True", "Failed")
    world.suspend(False).problems = ("spec.x is wrong: write y",)
    world.touch().run_for(1)
    assert reason(world, "Stalled") == ("True", "UserError")
    assert to_mend(world.status) == "spec.x is wrong: write y"
    world.problems = ()
    world.push("v3").run_for(1)
    assert reason(world, "Stalled") == ("False", "AsExpected")


def test_what_holds_a_rollout_is_named_and_forgotten_when_it_goes_on() -> None:
    world = in_phase(Phase.PROGRESSING)
    assert reason(world, "Reconciling") == ("True", "Progressing")
    world.suspend().run_for(1)
    assert reason(world, "Reconciling") == ("True", "Suspended")
    world.suspend(False).ask("pause").run_for(30)
    assert reason(world, "Reconciling") == ("True", "Paused")
    world.hooks.clear()
    world.ask("resume").run()
    assert reason(world, "Reconciling") == ("False", "Succeeded")
    assert reason(world, "Ready") == ("True", "Succeeded")


def test_a_suspended_canary_at_rest_is_as_well_as_it_was() -> None:
    for phase, ready in ((Phase.SUCCEEDED, "True"), (Phase.FAILED, "False")):
        world = in_phase(phase).run().suspend().run_for(1)
        assert reason(world, "Ready") == (ready, "Suspended")
        assert world.condition("Reconciling") == "False"


def test_promoted_is_waited_for_as_with_flagger() -> None:
    """``kubectl wait --for=condition=Promoted`` must not return before the revision that was pushed is promoted."""
    world = initialized(spec=spec(webhooks=[hook("confirm-promotion")])).push("v2")
    world.hooks["confirm-promotion"] = Verdict.FAILED
    seen = [reason(world, "Promoted")]
    while world.phase is not Phase.WAITING_PROMOTION and world.advance():
        world.tick()
        seen.append(reason(world, "Promoted"))
    world.hooks.clear()
    while world.phase is not Phase.SUCCEEDED and world.advance():
        world.tick()
        seen.append(reason(world, "Promoted"))
    assert list(dict.fromkeys(seen)) == [
        ("True", "Initialized"),
        ("Unknown", "Progressing"),
        ("Unknown", "WaitingPromotion"),
        ("Unknown", "Promoting"),
        ("Unknown", "Finalising"),
        ("True", "Succeeded"),
    ]


@pytest.mark.parametrize("phase", [Phase.INITIALIZED, Phase.SUCCEEDED])
@pytest.mark.parametrize("lost", [True, False])
def test_a_primary_that_cannot_serve_is_not_ready_until_it_can(phase: Phase, lost: bool) -> None:
    world = initialized() if phase is Phase.INITIALIZED else initialized().push("v2").run()
    assert (world.phase, reason(world, "Ready")) == (phase, ("True", phase.value))
    if lost:
        world.delete_primary().run_for(1)
    else:
        assert world.primary
        world.laws.sabotaged = True
        world.primary.broken.add(world.primary.template)
        world.primary.edit(replicas=0)
        world.primary.edit(replicas=2)
        world.touch().run_for(1)
    assert (world.phase, reason(world, "Ready")) == (phase, ("Unknown", "PrimaryUnavailable"))
    assert (reason(world, "Reconciling"), reason(world, "Stalled")) == (
        ("True", "PrimaryUnavailable"),
        ("False", "AsExpected"),
    )
    assert message(world, "Ready") == "waiting for payment-primary.shop to become ready"
    assert reason(world, "Promoted") == ("True", phase.value)
    assert world.primary
    world.primary.broken.clear()
    world.touch().run()
    assert (world.phase, reason(world, "Ready")) == (phase, ("True", phase.value))


def test_a_primary_that_sleeps_by_its_autoscaler_is_ready() -> None:
    world = under_keda(low=0)
    world.run()
    assert world.primary
    world.laws.sabotaged = True  # nobody comes
    world.primary.edit(replicas=0)
    world.touch().advance()
    world.tick()
    assert reason(world, "Ready") == ("True", "Initialized")


def test_a_failed_rollout_stays_failed_while_its_primary_is_made_again() -> None:
    world = in_phase(Phase.FAILED)
    world.delete_primary().run_for(1)
    assert reason(world, "Stalled") == ("True", "Failed")
    assert reason(world, "Ready")[0] == "False"
