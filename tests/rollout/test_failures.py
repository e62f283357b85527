"""Rollback, deadlines and failed promotions: where users are afterwards, and the way out."""

from __future__ import annotations

from contextlib import suppress

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import Verdict
from tests.rollout.simulation import CrashError
from tests.rollout.world import World, hook, initialized, spec


def at_weight(world: World, weight: int) -> World:
    while world.weight < weight:
        assert world.advance()
        world.tick()
    return world


def failed_promotion(*, routed: bool = True) -> World:
    """The primary cannot run v2, which the canary can."""
    world = initialized(routed=routed)
    assert world.primary
    world.primary.broken = {"v2"}
    return world.push("v2").run()


def test_users_leave_a_primary_without_pods_in_mid_promotion_and_return_when_it_has_some() -> None:
    world = initialized().push("v2").run(Phase.PROMOTING)
    assert world.primary
    assert world.weight < 100
    world.laws.sabotaged = True
    world.primary.room = 0
    world.touch().run_for(3)
    assert world.destinations() == {"target"}
    why = "no pod of payment-primary.shop can serve: routing all traffic to payment.shop, which was analysed"
    assert why in world.texts
    world.primary.room = 8
    world.touch().run()
    assert (world.phase, world.destinations(), world.outcomes) == (Phase.SUCCEEDED, {"primary"}, ["succeeded"])


def test_users_who_left_a_changed_canary_are_not_sent_back_when_a_crash_keeps_that_from_being_recorded() -> None:
    world = initialized().push("v2").run(Phase.PROMOTING)
    assert world.primary
    world.primary.room = 1
    world.run_for(1)
    assert world.weight > 0
    world.push("v3")
    assert world.advance()
    world.actions.clear()
    with suppress(CrashError):
        world.tick(crash_after=1)
    assert (shares(world), world.status.rollout.step.weight > 0) == ([0], True)
    world.run_for(5)
    assert (set(shares(world)), world.phase, world.destinations()) == ({0}, Phase.PROMOTING, {"primary"})


def shares(world: World) -> list[int]:
    """The canary's share in every route that was written."""
    return [action.routes.canary for _, action in world.actions if isinstance(action, d.SetRoutes)]


@pytest.mark.parametrize("full", [True, False])
def test_a_promotion_in_full_outlives_a_primary_without_pods(full: bool) -> None:
    analysis = spec(stepWeight=50, maxWeight=50, stepWeightPromotion=25)
    world = initialized(spec=analysis).push("v2").run(Phase.PROMOTING)
    assert world.primary
    world.laws.sabotaged = True
    world.primary.room = 0
    if full:
        world.ask("promote-full")
    world.touch().run_for(3)
    assert world.destinations() == {"target"}
    world.primary.room = 8
    world.touch().run()
    steps = [text.rpartition(" ")[2] for text in world.texts if "primary weight" in text]
    assert (world.outcomes, steps) == (["succeeded"], ["100"] if full else ["25", "50", "75", "100"])


@pytest.mark.parametrize("writes", range(8))
def test_users_leave_a_primary_that_was_deleted_in_mid_promotion_wherever_a_write_fails(writes: int) -> None:
    world = initialized().push("v2").run(Phase.PROMOTING)
    world.run_for(0.1)
    world.primary_breaks = {"v2"}
    world.delete_primary()
    for _ in range(3):
        with suppress(CrashError):
            world.tick(crash_after=writes)
    world.run_for(3)
    assert (world.phase, world.destinations()) == (Phase.PROMOTING, {"target"})


def test_a_rollback_hook_that_answers_rolls_back_at_the_next_due_tick() -> None:
    world = at_weight(initialized(spec=spec(webhooks=[hook("rollback")])).push("v2"), 20)
    world.hooks["rollback"] = Verdict.PASSED
    world.run()
    assert (world.phase, world.weight) == (Phase.FAILED, 0)
    assert "Rollback check the-rollback passed" in world.texts
    assert "Rolling back payment.shop manual webhook invoked: the-rollback" in world.texts
    assert world.alerts[-1] == ("warn", "Rolling back payment.shop manual webhook invoked: the-rollback")
    assert world.target
    assert world.target.replicas == 0
    assert world.outcomes == ["failed"]


def test_a_rollback_hook_is_heard_before_the_first_weight_and_while_waiting() -> None:
    world = initialized(spec=spec(webhooks=[hook("rollback"), hook("confirm-rollout")]))
    world.hooks |= {"rollback": Verdict.PASSED, "confirm-rollout": Verdict.FAILED}
    world.push("v2").run()
    assert world.phase is Phase.FAILED
    assert "Rolling back payment.shop manual webhook invoked: the-rollback" in world.texts
    world.hooks["confirm-rollout"] = Verdict.PASSED
    world.push("v3").run()
    assert world.phase is Phase.FAILED
    assert not [a for _, a in world.actions if isinstance(a, d.SetRoutes) and a.routes.canary]


def test_traffic_moves_before_anything_is_scaled_and_the_decision_is_written_before_both() -> None:
    world = at_weight(initialized(spec=spec(webhooks=[hook("rollback")])).push("v2"), 20)
    world.hooks["rollback"] = Verdict.PASSED
    world.actions.clear()
    while not world.status.rollout.failing:
        world.advance()
        world.tick()
    assert not world.actions
    assert world.status.rollout.reason == "manual webhook invoked: the-rollback"
    world.run()
    (moved, _), (scaled, action) = world.actions
    assert action == d.ScaleTarget(0)
    assert (scaled - moved).total_seconds() == 1 + 10, "the data plane moved them and they had time to leave"


@pytest.mark.parametrize("died_after", [0, 1, 2])
def test_a_rollback_that_dies_goes_on_with_the_next_controller(died_after: int) -> None:
    world = at_weight(initialized(spec=spec(webhooks=[hook("rollback")])).push("v2"), 20)
    world.hooks["rollback"] = Verdict.PASSED
    while not world.status.rollout.failing:
        world.advance()
        world.tick()
    world.advance()
    world.tick(crash_after=died_after)
    world.hooks["rollback"] = Verdict.FAILED
    world.run()
    assert (world.phase, world.weight) == (Phase.FAILED, 0)
    assert [item.phase for item in world.sent if item.kind == "hooks"] == ["Failed"]


def test_why_it_failed_stays_in_the_status() -> None:
    world = at_weight(initialized(spec=spec(webhooks=[hook("rollback")])).push("v2"), 20)
    world.hooks["rollback"] = Verdict.PASSED
    world.run()
    assert world.status.rollout.reason == "manual webhook invoked: the-rollback"
    assert world.condition("Ready") == "False"
    world.hooks.clear()
    world.push("v3").run()
    assert world.status.rollout.failing == ""
    assert world.condition("Ready") == "True"


def test_a_decided_rollback_waits_for_no_users_mistake() -> None:
    world = at_weight(initialized(spec=spec(webhooks=[hook("rollback")])).push("v2"), 20)
    world.hooks["rollback"] = Verdict.PASSED
    while not world.status.rollout.failing:
        world.advance()
        world.tick()
    world.problems = ("spec.x is wrong: write y",)
    world.touch().run()
    assert (world.phase, world.weight) == (Phase.FAILED, 0)


@pytest.mark.parametrize("routed", [True, False])
def test_without_an_analysis_a_canary_that_never_becomes_ready_fails_all_the_same(routed: bool) -> None:
    world = initialized(spec=spec(_skipAnalysis=True), routed=routed)
    assert world.target
    assert world.primary
    world.target.broken.add("v2")
    world.push("v2").run()
    assert (world.phase, world.primary.template, world.sizes) == (Phase.FAILED, "v1", (0, 2))
    assert world.destinations() == {"primary"}
    assert world.outcomes == ["failed"]


def test_a_canary_that_dies_for_good_is_rolled_back_at_its_deadline() -> None:
    world = at_weight(initialized().push("v2"), 10)
    assert world.target
    world.laws.sabotaged = True
    world.target.broken.add("v2")
    began = world.now
    world.touch().run()
    assert world.phase is Phase.FAILED
    assert (world.now - began).total_seconds() == pytest.approx(60 + 10, abs=5)


def test_a_canary_beside_a_dead_primary_keeps_the_users() -> None:
    world = at_weight(initialized(spec=spec(webhooks=[hook("rollback")])).push("v2"), 10)
    assert world.primary
    world.laws.sabotaged = True
    world.primary.broken.add("v1")
    world.primary.sync(world.now)
    world.touch().run_for(62)
    world.hooks["rollback"] = Verdict.PASSED
    world.run()
    assert (world.phase, world.weight) == (Phase.FAILED, 100), "a bad answer beats none"
    assert world.target
    assert world.target.replicas == 2
    assert "serves all users" in next(c.message for c in world.status.conditions if c.type == "Promoted")
    world.primary.broken.clear()
    world.touch().run()
    assert world.weight == 0, "the primary is back"
    assert world.target.replicas == 0
    assert world.phase is Phase.FAILED, "the revision failed nevertheless"


def test_a_failed_promotion_serves_from_the_canary() -> None:
    world = failed_promotion()
    assert (world.phase, world.weight) == (Phase.FAILED, 100)
    assert world.target
    assert world.target.replicas == 2
    assert world.alerts[-1][0] == "error"
    assert world.alerts[-1][1].startswith("Promotion of payment.shop failed, primary not ready: ")
    assert [item.phase for item in world.sent if item.kind == "hooks"] == ["Failed"]
    assert world.outcomes == ["failed"]


def test_a_primary_that_becomes_ready_after_all_gets_its_users_back() -> None:
    world = failed_promotion()
    assert world.primary
    world.primary.broken.clear()
    world.touch().run()
    assert (world.phase, world.weight) == (Phase.SUCCEEDED, 0)
    assert world.target
    assert world.target.replicas == 0
    assert world.texts[-1] == "Routing all traffic to primary"
    assert (world.status.last_promoted_spec, world.status.rollout.failing) == ("v2", "")


def test_without_a_route_too_a_promotion_whose_primary_becomes_ready_after_all_is_finished() -> None:
    world = failed_promotion(routed=False)
    world.touch().run_for(600)
    assert world.phase is Phase.FAILED, "as long as it is not ready"
    assert world.primary
    world.primary.broken.clear()
    world.touch().run()
    assert (world.phase, world.outcomes) == (Phase.SUCCEEDED, ["failed"])
    assert world.texts[-1] == ("payment-primary.shop became ready after all: the promotion of payment.shop is finished")
    assert (world.status.last_promoted_spec, world.status.rollout.failing) == ("v2", "")
    assert world.condition("Ready") == "True"


@pytest.mark.parametrize("routed", [True, False])
@pytest.mark.parametrize("template", ["v1", "v3"])
def test_the_way_out_of_a_failed_promotion_is_any_other_revision(routed: bool, template: str) -> None:
    world = failed_promotion(routed=routed).push(template).run()
    assert world.phase is Phase.SUCCEEDED
    assert world.primary
    assert (world.primary.template, world.primary.complete()) == (template, True)
    assert world.weight == 0


def test_a_target_that_serves_everybody_and_loses_its_pods_hands_over_to_what_the_primary_has() -> None:
    world = failed_promotion()
    world.scale(0).run()
    assert (world.phase, world.weight) == (Phase.FAILED, 0)
    assert world.primary
    assert world.primary.available, "pods of the revision before"


def test_withdrawing_the_way_out_of_a_failed_promotion_leaves_it_failed() -> None:
    world = failed_promotion().push("v3")
    world.run(Phase.PROGRESSING)
    world.push("v2").run()
    assert (world.phase, world.weight) == (Phase.FAILED, 100)


def test_a_deleted_target_in_mid_rollout_leaves_the_users_on_the_primary() -> None:
    world = at_weight(initialized().push("v2"), 20)
    world.delete_target().run()
    assert (world.phase, world.weight) == (Phase.FAILED, 0)
    assert world.condition("Stalled") == "True"
    assert world.alerts[-1] == (
        "error",
        "payment.shop was deleted during its rollout: all traffic is on the primary",
    )


def test_a_newer_fix_while_the_canary_serves_everybody_is_judged_for_an_interval_of_its_own() -> None:
    world = failed_promotion().push("v3")
    world.run(Phase.PROGRESSING)
    world.run_for(8)
    world.push("v4")
    pushed = world.now
    world.run(Phase.PROMOTING)
    assert world.weight == 100
    assert (world.now - pushed).total_seconds() >= 10
    world.run()
    assert world.primary
    assert (world.primary.template, world.phase) == ("v4", Phase.SUCCEEDED)


def test_a_primary_deleted_while_the_last_users_leave_the_canary_is_made_again_and_the_canary_serves() -> None:
    world = initialized().push("v2")
    world.run(Phase.FINALISING)
    world.delete_primary()
    at = world.now
    while world.weight < 100:
        world.advance()
        world.tick()
    assert world.now == at, "at once"
    world.run()
    assert world.primary
    assert (world.primary.template, world.weight, world.outcomes) == ("v2", 0, ["succeeded"])


def test_a_canary_that_loses_its_pods_during_a_promotion_in_steps_keeps_no_users() -> None:
    world = initialized(spec=spec(stepWeight=50, maxWeight=50, stepWeightPromotion=10)).push("v2")
    world.run(Phase.PROMOTING)
    while world.weight != 40:
        assert world.advance()
        world.tick()
    assert world.target
    world.target.broken.add("v2")
    world.laws.sabotaged = True
    world.touch().run_for(1)
    assert (world.weight, world.phase) == (0, Phase.FINALISING)
    world.run()
    assert world.outcomes == ["succeeded"]
