"""A Deployment that may lack some pods says nothing of them: no rollout waits for those without an end.

Its Available condition stays True while no more pods are missing than maxUnavailable allows, and its controller expects
no progress any more once the template's pods were there, as none of them are when it is edited at zero.
"""

from __future__ import annotations

from typing import Any

from flaggerpy.api.status import Phase
from tests.rollout.world import World, initialized, spec


def lacking(**arguments: Any) -> World:
    """A world whose Deployments may lack one pod of their two without a word of it."""
    world = World(**arguments)
    assert world.target
    world.target.may_lack = 1
    world.run()
    assert world.primary
    world.primary.may_lack = 1
    return world


def loses_a_pod(world: World, of: str) -> World:
    """One of two pods is on a node that has gone; nobody says that anything is missing."""
    workload = world.target if of == "target" else world.primary
    assert workload
    workload.blocked, workload.blocked_pods = {workload.template: "Unschedulable"}, 1
    workload.sync(world.now)
    assert (workload.available, workload.seen().unavailable_since, workload.exceeded()) == (1, None, False)
    return world.touch()


def at_weight(world: World, weight: int) -> World:
    while world.weight < weight:
        assert world.advance()
        world.tick()
    return world


def blind(world: World) -> World:
    """Nobody looks at pods, so that failing fast does not come first."""
    world.blind = "nobody may"
    return world


def test_a_canary_that_lacks_a_pod_from_the_beginning_is_rolled_back_by_its_deadline() -> None:
    world = blind(lacking())
    assert world.target
    world.target.blocked, world.target.blocked_pods = {"v2": "Unschedulable"}, 1
    world.push("v2").run_for(30)
    assert world.phase is Phase.PROGRESSING
    assert world.status.rollout.target_unready_since is not None
    began = world.now

    world.run(Phase.FAILED)

    assert (world.now - began).total_seconds() <= 60
    assert "payment.shop did not become ready: " in world.status.rollout.failing
    assert "1 of 2 (readyThreshold 100%) updated replicas are available" in world.status.rollout.failing
    assert world.weight == 0


def test_a_canary_that_loses_a_pod_under_users_goes_on_when_it_is_back() -> None:
    world = blind(lacking(spec=spec()))
    at_weight(world.push("v2"), 20)
    loses_a_pod(world, "target").run_for(30)
    assert (world.phase, world.weight) == (Phase.PROGRESSING, 20)
    assert world.status.rollout.target_unready_since is not None

    assert world.target
    world.target.blocked = {}
    world.touch().run_for(20)
    assert world.status.rollout.target_unready_since is None
    world.run()
    assert world.phase is Phase.SUCCEEDED


def test_a_canary_that_does_not_get_its_pod_back_is_rolled_back_by_its_deadline() -> None:
    world = blind(lacking())
    at_weight(world.push("v2"), 20)
    lost = world.now
    loses_a_pod(world, "target").run(Phase.FAILED)
    assert (world.now - lost).total_seconds() <= 70
    assert world.weight == 0


def test_a_primary_that_lacks_a_pod_does_not_keep_a_new_revision_out_for_ever() -> None:
    world = blind(lacking())
    loses_a_pod(world, "primary")
    world.push("v2").run_for(30)
    assert world.status.phase is Phase.INITIALIZED
    assert "waiting for payment-primary.shop to become ready before a rollout starts" in world.status.rollout.reason

    world.run_for(60)

    assert world.phase is Phase.PROGRESSING


def test_a_paused_deployment_is_not_given_up_for_the_pods_that_nobody_asks_for() -> None:
    world = blind(lacking())
    at_weight(world.push("v2"), 20)
    assert world.target
    world.target.paused = True
    loses_a_pod(world, "target").run_for(300)
    assert (world.phase, world.status.rollout.target_unready_since) == (Phase.PROGRESSING, None)


def test_a_rollout_of_a_deployment_that_says_what_it_lacks_writes_nothing_more_for_it() -> None:
    world = initialized()
    world.push("v2").run(Phase.PROGRESSING).run_for(1)
    assert world.status.rollout.target_unready_since is None
