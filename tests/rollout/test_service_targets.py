"""Rollouts of plain Services: only traffic moves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.decide import decide
from flaggerpy.rollout.decision import CreatePrimary, Plan, ScalePrimary, ScaleTarget
from tests.rollout.world import World, plain_service


def resized(world: World) -> list[object]:
    return [action for _, action in world.actions if isinstance(action, (ScaleTarget, ScalePrimary))]


def test_a_service_is_taken_over_and_promoted_without_anything_being_scaled() -> None:
    world = plain_service().run()
    assert (world.phase, world.destinations()) == (Phase.INITIALIZED, {"primary"})

    world.push("v2").run()

    assert (world.phase, world.destinations()) == (Phase.SUCCEEDED, {"primary"})
    assert world.primary
    assert world.primary.template == "v2"
    assert resized(world) == []
    assert not [text for text in world.texts if "something else" in text]


def test_nothing_is_begun_before_there_is_a_revision_that_could_be_the_primary() -> None:
    """So it is with a Knative service that Knative has not looked at yet."""
    world = plain_service().run(Phase.INITIALIZING)
    world.primary = None
    seen = world.observe()
    assert seen.target

    plan = decide(replace(seen, target=replace(seen.target, has_revision=False)), world.now)

    assert isinstance(plan, Plan)
    assert not [action for action in plan.actions if isinstance(action, CreatePrimary)]
    assert plan.status
    assert plan.status.rollout.reason == "waiting for the cluster to look at the change of payment.shop"


def test_a_bad_state_is_left_and_tried_once() -> None:
    world = plain_service(webhooks=[{"type": "rollout", "name": "check", "url": "http://hooks/"}]).run()
    world.hooks["rollout"] = Verdict.FAILED

    world.push("v2").run()

    assert (world.phase, world.destinations(), world.outcomes) == (Phase.FAILED, {"primary"}, ["failed"])
    assert world.primary
    assert world.primary.template == "v1"


def test_a_change_of_mind_begins_again_and_putting_it_back_cancels() -> None:
    world = plain_service().run()
    world.push("v2").run(Phase.PROGRESSING)
    world.push("v3").run_for(5)
    assert any("Restarting analysis" in text for text in world.texts)
    world.push("v1").run()
    assert (world.phase, world.destinations()) == (Phase.SUCCEEDED, {"primary"})
    assert any("cancelled" in text for text in world.texts)


@pytest.mark.parametrize("phase", [Phase.INITIALIZED, Phase.PROGRESSING])
def test_deletion_sends_users_to_the_service_itself(phase: Phase) -> None:
    world = plain_service().run()
    if phase is Phase.PROGRESSING:
        world.push("v2").run(phase)
    world.delete().run()
    assert world.gone
    assert world.primary is None
    assert world.destinations() == {"target"}
    assert resized(world) == []
