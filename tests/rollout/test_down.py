"""A canary that goes down while it has users: weight is only ever given to what can serve."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout import decision as d
from tests.rollout.world import World, initialized, spec

AUDIENCE = [{"headers": {"x-user": {"exact": "me"}}}]
GONE = "no pod of payment.shop can serve any more: its users go back to the primary"


def rolling(weight: int = 10, **analysis: Any) -> World:
    world = initialized(spec=spec(**analysis)).push("v2")
    while world.weight < weight:
        assert world.advance()
        world.tick()
    return world


@pytest.mark.parametrize("strategy", [{}, {"iterations": 5, "match": AUDIENCE}])
def test_users_leave_a_canary_that_went_down_at_once_and_its_analysis_starts_again(strategy: dict[str, Any]) -> None:
    world = rolling(**strategy)
    went_down = world.go_down().now
    assert world.advance()
    world.tick()
    assert (world.now, world.weight) == (went_down, 0)
    status = world.status
    assert (status.canary_weight, status.iterations, status.failed_checks) == (0, 0, 1)
    assert GONE in world.texts
    world.run_for(5)
    assert world.weight == 0, "while it is waited for"
    world.come_back().run()
    assert world.outcomes == ["succeeded"]


def test_a_canary_that_goes_down_again_and_again_is_rolled_back() -> None:
    world = rolling()
    for _ in range(2):
        while world.weight == 0:
            assert world.advance()
            world.tick()
        world.go_down().run_for(2)
        world.come_back()
    world.run()
    assert (world.phase, world.outcomes) == (Phase.FAILED, ["failed"])
    assert world.status.rollout.failing == f"failed checks threshold reached 2: {GONE}"


def test_a_controller_that_dies_on_the_way_takes_users_off_once_and_counts_once() -> None:
    world = rolling().go_down()
    assert world.advance()
    world.tick(crash_after=1)
    assert (world.weight, world.status.canary_weight) == (0, 10)
    world.run_for(1)
    assert (world.weight, world.status.canary_weight, world.status.failed_checks) == (0, 0, 1)
    routes = [action.routes.canary for _, action in world.actions if isinstance(action, d.SetRoutes)]
    assert routes == [0, 10, 0]


def test_a_canary_that_goes_down_in_its_promotion_leaves_its_users_to_what_serves_of_the_primary() -> None:
    world = rolling(30)
    assert world.primary
    world.run(Phase.PROMOTING)
    world.advance()
    world.tick()
    world.go_down().run_for(1)
    assert world.phase is Phase.PROMOTING
    assert world.weight == 0
    assert "no pod of payment.shop can serve any more: routing all traffic to primary" in world.texts
    world.run()
    assert world.outcomes == ["succeeded"]


def test_where_the_primary_cannot_serve_either_nobody_is_moved() -> None:
    world = rolling()
    assert world.primary
    world.primary.broken = {"v1"}
    world.go_down().run_for(5)
    assert world.weight == 10


def test_users_do_not_wait_for_a_primary_that_lost_one_of_its_pods_as_well() -> None:
    world = rolling()
    assert world.primary
    went_down = world.now
    world.primary.pods[0].started = went_down + timedelta(seconds=45)
    world.primary.sync(went_down)
    world.go_down().tick()
    assert (world.primary.available, world.weight, world.status.failed_checks) == (1, 0, 1)
    world.run_for(5)
    assert world.status.rollout.reason == "waiting for payment-primary.shop to become ready"
    world.come_back().run()
    assert world.outcomes == ["succeeded"]


def test_a_canary_with_one_pod_that_serves_keeps_its_users() -> None:
    world = rolling()
    assert world.target
    world.target.blocked, world.target.blocked_pods = {"v2": "CrashLoopBackOff"}, 1
    world.touch().run_for(5)
    assert world.weight == 10


def test_a_target_that_served_everybody_and_is_gone_leaves_them_to_what_serves_of_the_primary() -> None:
    world = initialized()
    assert world.primary
    world.primary_breaks, world.primary.broken = {"v2"}, {"v2"}
    world.push("v2").run(Phase.FAILED).run()
    assert (world.status.rollout.serving_canary, world.weight) == (True, 100)
    world.delete_target().run_for(1)
    assert world.primary.available > 0
    assert (world.phase, world.weight, world.condition("Stalled")) == (Phase.FAILED, 0, "True")
