"""While a mistake stands nothing advances, and users are looked after all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from flaggerpy.api.places import RoutePlace
from flaggerpy.api.status import Phase
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.decide import decide
from flaggerpy.rollout.observation import Observation
from flaggerpy.rollout.traffic import Routes
from flaggerpy.rollout.transition import ANALYSIS, BOOTSTRAP
from tests.rollout.simulation import START
from tests.rollout.test_total import observations
from tests.rollout.world import World, hook, initialized, spec

MISTAKE = "spec.x is wrong: write y"
DOWN = "no pod of payment.shop can serve any more: its users go back to the primary"
MISSING = "The route of payment.shop is missing or unreadable: written again at 20%"
AUDIENCE = [{"headers": {"x-user": {"exact": "me"}}}]

Stranger = Callable[[World], World]


def rolling(weight: int = 20, **analysis: Any) -> World:
    """A rollout in which the canary has had this share for a moment."""
    world = initialized(spec=spec(**analysis)).push("v2")
    while world.weight < weight:
        assert world.advance()
        world.tick()
    return world.run_for(1)


def promoting() -> World:
    """A promotion whose primary does not become ready: users stay with the canary, that keeps serving."""
    world = initialized()
    assert world.primary
    world.primary_breaks, world.primary.broken = {"v2"}, {"v2"}
    return world.push("v2").run(Phase.PROMOTING).run_for(2)


def target_serves() -> World:
    """A promotion that failed, so that the target serves everybody."""
    world = promoting()
    world.run(Phase.FAILED).run()
    assert (world.status.rollout.serving_canary, world.weight) == (True, 100)
    return world


def deleted(world: World) -> World:
    return world.delete_route()


def turned(world: World) -> World:
    return world.turn_route(70)


def kept(world: World) -> tuple[object, ...]:
    """What a mistake holds, as far as a rollout has it."""
    status = world.status
    return world.phase, status.canary_weight, status.iterations, status.failed_checks, status.rollout.applied


# A route that somebody deleted or turned


@pytest.mark.parametrize("meddle", [deleted, turned])
@pytest.mark.parametrize(
    ("begin", "share"),
    [(initialized, 0), (rolling, 20), (promoting, 30), (target_serves, 100)],
    ids=["at rest", "analysed", "promoted", "target serves"],
)
def test_the_route_comes_back_with_the_shares_of_before_and_nothing_else_moves(
    begin: Callable[[], World], share: int, meddle: Stranger
) -> None:
    world = begin().err(MISTAKE).run_for(1)
    before = kept(world)
    world.actions.clear()
    meddle(world).run_for(60)
    assert (world.weight, kept(world)) == (share, before)
    assert [type(action) for _, action in world.actions] == [d.SetRoutes]
    assert (world.condition("Stalled"), world.status.rollout.reason) == ("True", MISTAKE)


def test_what_was_done_is_told_and_the_rollout_goes_on_once_the_mistake_is_mended() -> None:
    world = rolling().err(MISTAKE).run_for(1)
    world.delete_route().run_for(30)
    assert MISSING in world.texts
    assert [row.reason for row in world.status.conditions if row.type == "Stalled"] == ["UserError"]
    world.err().run()
    assert world.outcomes == ["succeeded"]


def test_a_stranger_who_does_not_stop_is_answered_once_an_interval() -> None:
    world = rolling().err(MISTAKE).run_for(1)
    world.actions.clear()
    for _ in range(15):
        world.turn_route(70).run_for(1)
    assert [action for _, action in world.actions] == [d.SetRoutes(Routes(80, 20))] * 2
    assert world.condition("Stalled") == "True"


@pytest.mark.parametrize("meddle", [deleted, turned, World.go_down])
def test_traffic_is_left_alone_where_the_mistake_is_about_the_route(meddle: Stranger) -> None:
    world = rolling().err(MISTAKE, routable=False).run_for(1)
    world.actions.clear()
    meddle(world).run_for(60)
    assert (world.actions, world.condition("Stalled")) == ([], "True")


def test_a_route_that_drifted_keeps_its_drift_because_users_are_where_they_shall_be() -> None:
    world = rolling().err(MISTAKE).run_for(1)
    assert world.route
    world.route.drifted = True
    world.touch().run_for(60)
    assert world.route.drifted


def test_an_edit_that_takes_the_route_elsewhere_waits_until_the_mistake_is_mended() -> None:
    place = RoutePlace(provider="contour", service="payment")
    world = rolling().err(MISTAKE).run_for(1)
    world.actions.clear()
    world.lead(place).run_for(30)
    assert (world.actions, world.route) == ([], None)


def test_a_step_that_a_crash_left_unrecorded_is_not_taken_back() -> None:
    world = rolling()
    while world.weight == 20:
        assert world.advance()
        world.tick(crash_after=1)
    assert (world.weight, world.status.canary_weight) == (30, 20)
    world.err(MISTAKE).run_for(60)
    assert (world.weight, world.status.canary_weight) == (30, 20)
    world.err().run()
    assert world.outcomes == ["succeeded"]


def test_nobody_is_led_to_a_revision_that_came_with_the_mistake_by_a_route_that_is_written_again() -> None:
    world = rolling().err(MISTAKE).run_for(1)
    world.push("v3").run_for(30)
    assert world.weight == 20, "nothing is touched that is as it was"
    world.delete_route().run_for(30)
    assert (world.weight, world.phase, world.status.canary_weight) == (0, Phase.PROGRESSING, 0)
    assert any("asks for something else by now: routing all traffic to primary" in text for text in world.texts)
    world.err().run()
    assert (world.outcomes, world.primary and world.primary.template) == (["succeeded"], "v3")


# A canary that cannot serve


@pytest.mark.parametrize("strategy", [{}, {"iterations": 5, "match": AUDIENCE}])
def test_users_leave_a_canary_that_goes_down_and_its_analysis_starts_again_when_it_may(
    strategy: dict[str, Any],
) -> None:
    world = rolling(10, **strategy).err(MISTAKE).run_for(1)
    went_down = world.go_down().now
    assert world.advance()
    world.tick()
    assert (world.now, world.weight, DOWN in world.texts) == (went_down, 0, True)
    world.run_for(300)
    assert (world.phase, world.status.failed_checks, world.sizes[0]) == (Phase.PROGRESSING, 1, 2)
    assert (world.condition("Stalled"), world.status.rollout.reason) == ("True", MISTAKE)
    world.come_back().run_for(60)
    assert world.weight == 0, "as long as the mistake stands"
    world.err().run()
    assert world.outcomes == ["succeeded"]


def test_whether_it_is_rolled_back_is_decided_once_the_mistake_is_mended() -> None:
    world = rolling(10, threshold=1).err(MISTAKE).run_for(1)
    world.go_down().run_for(300)
    assert (world.phase, world.status.rollout.failing, world.outcomes) == (Phase.PROGRESSING, "", [])
    world.err().run()
    assert (world.phase, world.outcomes) == (Phase.FAILED, ["failed"])


def test_users_leave_a_canary_that_goes_down_in_its_promotion() -> None:
    world = promoting().err(MISTAKE).run_for(1)
    assert world.primary
    assert world.primary.available > 0
    world.go_down().run_for(30)
    assert (world.phase, world.weight) == (Phase.PROMOTING, 0)


def test_a_target_that_serves_everybody_and_goes_down_leaves_them_to_the_primary() -> None:
    world = target_serves().err(MISTAKE).run_for(1)
    world.go_down().run_for(30)
    assert (world.phase, world.weight, world.status.rollout.serving_canary) == (Phase.FAILED, 0, False)


def test_where_the_primary_cannot_serve_either_nobody_is_moved() -> None:
    world = rolling().err(MISTAKE).run_for(1)
    assert world.primary
    world.primary.broken = {"v1"}
    world.go_down().run_for(30)
    assert world.weight == 20


@pytest.mark.parametrize("crash_after", [0, 1])
def test_a_controller_that_dies_on_the_way_takes_users_off_all_the_same(crash_after: int) -> None:
    world = rolling().err(MISTAKE).run_for(1).go_down()
    assert world.advance()
    world.tick(crash_after=crash_after)
    world.run_for(5)
    assert (world.weight, world.status.canary_weight, world.status.failed_checks) == (0, 0, 1)


# A paused Deployment that was edited


def paused_and_edited(weight: int = 20) -> World:
    world = rolling(weight)
    assert world.target
    world.target.paused = True
    world.push("v3").run_for(1)
    assert "is paused: resume it" in world.status.rollout.reason
    return world


@pytest.mark.parametrize("meddle", [deleted, turned])
def test_the_route_of_a_paused_deployment_that_was_edited_is_put_back(meddle: Stranger) -> None:
    world = paused_and_edited()
    before = kept(world)
    meddle(world).run_for(60)
    assert (world.weight, kept(world)) == (20, before)
    assert "is paused: resume it" in world.status.rollout.reason


def test_a_paused_deployment_that_was_edited_and_goes_down_loses_its_users() -> None:
    world = paused_and_edited()
    assert world.target
    world.target.broken = {"v2", "v3"}
    world.go_down().run_for(60)
    assert (world.weight, world.phase, world.status.failed_checks) == (0, Phase.PROGRESSING, 1)
    assert DOWN in world.texts


# Nothing else


def test_no_gate_is_asked_and_no_metric_measured() -> None:
    hooks = [hook(kind) for kind in ("rollout", "rollback", "confirm-promotion")]
    world = rolling(webhooks=hooks, metrics=[{"name": "latency", "thresholdRange": {"max": 1}, "query": "x"}])
    world.metrics["latency"] = Verdict.FAILED
    world.err(MISTAKE).run_for(1)
    asked = len(world.asked)
    world.delete_route().run_for(60)
    world.go_down().run_for(60)
    assert len(world.asked) == asked


@pytest.mark.laws
@given(seen=observations())
def test_whatever_there_is_only_users_are_moved_and_only_back(seen: Observation) -> None:
    metadata = seen.canary.metadata.model_copy(update={"annotations": {}, "deletion_timestamp": None})
    status = seen.canary.status
    bad = replace(seen, problems=(MISTAKE,), canary=seen.canary.model_copy(update={"metadata": metadata}))
    plan = decide(bad, START)
    assert isinstance(plan, d.Plan), "nothing is asked"
    held = seen.canary.spec.suspend or seen.target is None or seen.target.deleting
    if held or (status.rollout.failing and status.phase in ANALYSIS) or plan.status is None:
        return
    rows = {row.type: row for row in plan.status.conditions}
    assert (rows["Stalled"].status, rows["Stalled"].reason, rows["Stalled"].message) == ("True", "UserError", MISTAKE)
    before, after = status.rollout.step.weight, plan.status.rollout.step.weight
    assert after in {before, 0}, "no share grows"
    again = {Phase.PROGRESSING} if status.phase in ANALYSIS else {Phase.INITIALIZING, Phase.INITIALIZED}
    assert plan.status.phase is status.phase or plan.status.phase in again
    for action in plan.actions:
        assert seen.routable
        assert status.phase not in BOOTSTRAP
        apex = action == d.WriteService(d.ServiceRole.APEX) and status.rollout.serving_canary
        assert apex or (isinstance(action, d.SetRoutes) and action.routes.canary == after)
