"""Rollouts of DaemonSets: they sleep and wake, the nodes say how many pods there are, and nobody says since when."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout.decision import ScalePrimary, ScaleTarget
from tests.rollout.simulation import START
from tests.rollout.workloads import NODES, DaemonSet
from tests.rollout.world import World, daemon_set


def resized(world: World) -> list[int]:
    """What the target was told, in order; the primary's size is never anybody's to say."""
    actions = [action for _, action in world.actions]
    assert not [action for action in actions if isinstance(action, ScalePrimary)]
    return [action.replicas for action in actions if isinstance(action, ScaleTarget)]


@pytest.mark.parametrize("routed", [True, False])
def test_a_daemon_set_is_taken_over_rolled_out_and_sleeps(routed: bool) -> None:
    world = daemon_set(routed=routed).run()
    assert (world.phase, world.sizes) == (Phase.INITIALIZED, (0, NODES))

    world.push("v2").run()

    assert (world.phase, world.sizes) == (Phase.SUCCEEDED, (0, NODES))
    assert world.primary
    assert world.primary.template == "v2"
    first, *later = resized(world)
    assert first == 0
    assert [size > 0 for size in later] == [True, False], "woken for the rollout and sent to sleep after it"


def test_sleeping_and_waking_is_no_new_revision() -> None:
    world = daemon_set().run()
    world.push("v2").run()
    ticks = world.ticks

    world.scale(NODES).run()

    assert (world.phase, world.sizes) == (Phase.SUCCEEDED, (0, NODES))
    assert world.ticks > ticks
    assert len(world.outcomes) == 1


def test_a_daemon_set_that_is_woken_between_rollouts_is_named_in_its_own_words() -> None:
    world = daemon_set().run()
    world.scale(NODES).run()
    assert any(
        "something else wakes payment.shop up between rollouts" in text and "nodeSelector" in text
        for text in world.texts
    )


def test_a_new_default_after_a_failed_rollout_starts_nothing_though_sleeping_moved_the_generation() -> None:
    world = daemon_set(threshold=1).run()
    assert world.target
    world.target.broken = {"v2"}
    world.push("v2").run()
    assert (world.phase, len(world.outcomes)) == (Phase.FAILED, 1)

    world.target.default = "+"
    world.touch().run()

    assert (world.phase, world.outcomes) == (Phase.FAILED, ["failed"])


def test_w22_a_canary_that_never_becomes_ready_is_rolled_back_at_the_deadline() -> None:
    world = daemon_set().run()
    assert world.target
    world.target.broken = {"v2"}
    began = world.push("v2").now

    world.run(Phase.FAILED)

    assert timedelta(seconds=60) <= world.now - began <= timedelta(seconds=70)
    assert "did not become ready" in world.status.rollout.failing
    assert world.run().sizes == (0, NODES)


def test_a_node_that_comes_late_in_a_long_step_gets_a_deadline_of_its_own() -> None:
    world = daemon_set(interval="10m").run()
    world.push("v2").run_for(590)
    assert (world.phase, world.status.canary_weight) == (Phase.PROGRESSING, 10)
    assert isinstance(world.target, DaemonSet)

    world.target.replicas += 1
    world.target.ready_after = timedelta(seconds=30)
    world.touch().run_for(20)
    assert world.phase is Phase.PROGRESSING
    assert world.status.rollout.target_unready_since is not None

    world.run_for(40)
    assert world.status.rollout.target_unready_since is None
    assert world.phase is Phase.PROGRESSING


def test_deletion_wakes_the_target_and_waits_for_it() -> None:
    world = daemon_set().run()
    world.delete().run()
    assert world.gone
    assert world.primary is None
    assert world.sizes == (NODES, 0)
    assert world.target
    assert world.target.available == NODES


def test_deletion_does_not_wait_for_a_node_on_which_the_primary_has_no_pod_either() -> None:
    world = daemon_set(primaryReadyThreshold=50).run()
    assert world.target
    assert world.primary
    world.target.room = world.primary.room = 1
    began = world.touch().now

    world.delete().run()

    assert world.gone
    assert world.primary is None
    assert world.now - began < timedelta(seconds=60)


def test_a_daemon_set_never_leaves_its_clock_behind() -> None:
    world = daemon_set().run()
    world.push("v2").run()
    rollout = world.status.rollout
    assert (rollout.target_unready_since, rollout.primary_unready_since) == (None, None)
    assert world.now > START
