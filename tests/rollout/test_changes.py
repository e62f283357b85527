"""A target that changes its mind: new revisions, reverts, configs and edits in every phase."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import Verdict
from tests.rollout.world import World, hook, initialized, spec

FOUGHT = (
    "something else scales payment.shop up between rollouts: put back to zero at most once an interval; "
    "leave spec.replicas out of what is applied to it"
)


def at_weight(world: World, weight: int) -> World:
    while world.weight < weight:
        assert world.advance()
        world.tick()
    return world


def test_a_new_revision_in_mid_analysis_takes_the_users_off_and_begins_again() -> None:
    world = at_weight(initialized(spec=spec(webhooks=[hook("rollout")], threshold=5)).push("v2"), 20)
    world.hooks["rollout"] = Verdict.FAILED
    world.run_for(11)
    world.hooks.clear()
    world.actions.clear()
    world.asked.clear()
    world.push("v3")
    world.advance()
    world.tick()
    assert (world.weight, world.status.failed_checks, world.status.canary_weight) == (0, 0, 0)
    assert world.texts[-1] == "New revision detected! Restarting analysis for payment.shop"
    world.run()
    assert world.primary
    assert (world.outcomes, world.primary.template) == (["succeeded"], "v3")
    assert [a.routes.canary for _, a in world.actions if isinstance(a, d.SetRoutes)] == [0, 10, 20, 30, 0]


def test_a_changed_config_is_a_new_revision() -> None:
    world = initialized(configs={"configmap/app": "1"})
    world.configure(app="2").run()
    assert world.outcomes == ["succeeded"]
    assert world.primary_configs == {"configmap/app": "2"}
    assert world.status.tracked_configs == {"configmap/app": "2"}


def test_pods_that_somebody_else_started_before_a_config_changed_go_before_it_is_analysed() -> None:
    """While no controller looked; the laws say that the primary gets no config that no analysed pod had read."""
    world = initialized(configs={"configmap/app": "1"}).scale(2).push("v2")
    world.configure(app="2")
    assert world.target
    assert {pod.reads for pod in world.target.pods} == {'{"configmap/app": "1"}'}
    world.run()
    assert world.outcomes == ["succeeded"]
    assert world.primary_configs == {"configmap/app": "2"}


def _sizes(world: World) -> list[int]:
    """Sizes that the target was given, in their order."""
    return [action.replicas for _, action in world.actions if isinstance(action, d.ScaleTarget)]


@pytest.mark.parametrize("routed", [True, False])
def test_a_config_edited_in_mid_analysis_is_read_by_new_pods_before_it_is_analysed(routed: bool) -> None:
    made = spec() if routed else spec(iterations=3)
    world = initialized(spec=made, routed=routed, configs={"configmap/app": "1"}).push("v2").run(Phase.PROGRESSING)
    world.run_for(15)
    assert world.weight == (20 if routed else 0)
    world.actions.clear()
    world.configure(app="2").run_for(5)
    assert (world.phase, world.weight) == (Phase.PROGRESSING, 0)
    assert world.status.rollout.reason == (
        "waiting for the pods of payment.shop to end that read its configs before they changed"
    )
    assert not [action for _, action in world.actions if isinstance(action, d.ScaleTarget)], "users are still leaving"
    world.run()
    assert (world.outcomes, world.primary_configs) == (["succeeded"], {"configmap/app": "2"})
    done = [action for _, action in world.actions if isinstance(action, d.ScaleTarget | d.SetRoutes)]
    sizes = [d.ScaleTarget(0), d.ScaleTarget(2), d.ScaleTarget(0)]
    shares = [0, 10, 20, 30, 0] if routed else []
    assert [action for action in done if isinstance(action, d.ScaleTarget)] == sizes
    assert [action.routes.canary for action in done if isinstance(action, d.SetRoutes)] == shares
    assert world.texts.count("New revision detected! Restarting analysis for payment.shop") == 1


def test_a_target_that_serves_all_users_keeps_its_pods_when_a_config_is_edited() -> None:
    world = initialized(configs={"configmap/app": "1"})
    assert world.primary
    world.primary.broken = {"v2"}
    world.push("v2").run(Phase.FAILED).run()
    world.actions.clear()
    world.configure(app="2").run_for(30)
    assert world.phase is Phase.PROMOTING
    assert world.destinations() == {"target"}
    assert not [action for _, action in world.actions if isinstance(action, d.ScaleTarget)]


@pytest.mark.parametrize("template", ["v1", "v3"])
def test_pods_that_started_between_two_edits_may_have_read_the_older_config(template: str) -> None:
    world = initialized(configs={"configmap/app": "1"}).push("v2")
    world.advance()
    world.tick()
    world.actions.clear()
    # Its pods start here, and nobody looks before their config is edited.
    world.push(template)
    world.configure(app="2").run()
    assert world.phase is Phase.SUCCEEDED
    assert world.primary
    assert (world.primary.template, world.primary_configs) == (template, {"configmap/app": "2"})
    assert _sizes(world) == [0, 2, 0], "those pods go before others are analysed"


def test_pods_that_started_while_a_config_was_another_go_though_it_was_put_back() -> None:
    world = initialized(configs={"configmap/app": "1"}).push("v2")
    world.advance()
    world.tick()
    world.actions.clear()
    world.configure(app="2")
    # Its pods start here, and nobody looks before the config is as it was.
    world.push("v3")
    world.configure(app="1").run()
    assert world.phase is Phase.SUCCEEDED
    assert world.primary
    assert (world.primary.template, world.primary_configs) == ("v3", {"configmap/app": "1"})
    assert _sizes(world) == [0, 2, 0], "those pods go before others are analysed"


def test_pods_stay_when_a_config_is_written_with_the_content_that_they_read() -> None:
    world = initialized(configs={"configmap/app": "1"}).push("v2")
    world.advance()
    world.tick()
    world.actions.clear()
    world.configure(app="1").run()
    assert world.phase is Phase.SUCCEEDED
    assert _sizes(world) == [0], "they sleep after the promotion and never before"


def test_a_config_that_changes_between_look_and_copy_is_not_promoted() -> None:
    world = initialized(configs={"configmap/app": "1"}).configure(app="2")
    world.run(Phase.PROMOTING)
    world.meanwhile = lambda world: world.configure(app="3")
    world.advance()
    world.tick()
    assert world.primary_configs == {"configmap/app": "1"}
    world.run()
    assert world.primary_configs == {"configmap/app": "3"}, "analysed by itself"
    assert world.texts.count("New revision detected! Restarting analysis for payment.shop") == 1


def test_putting_an_old_config_back_is_a_revert_like_any_other() -> None:
    world = at_weight(initialized(configs={"configmap/app": "1"}).configure(app="2"), 20)
    world.configure(app="1").run()
    assert (world.phase, world.outcomes) == (Phase.SUCCEEDED, [])


@pytest.mark.parametrize("restart", [False, True])
def test_the_promoted_template_put_back_cancels(restart: bool) -> None:
    world = at_weight(initialized().push("v2"), 20)
    if restart:
        at_weight(world.push("v3"), 10)
    world.push("v1").run()
    assert (world.phase, world.weight, world.outcomes) == (Phase.SUCCEEDED, 0, [])
    assert world.target
    assert world.target.replicas == 0
    assert "cancelled: the promoted revision was put back" in world.texts[-1]
    world.touch().run()
    assert world.phase is Phase.SUCCEEDED, "and nothing starts afterwards"


def test_a_revision_that_waits_can_be_withdrawn() -> None:
    world = initialized(spec=spec(webhooks=[hook("confirm-rollout")]))
    world.hooks["confirm-rollout"] = Verdict.FAILED
    world.push("v2").run(Phase.WAITING)
    world.push("v1").run()
    assert world.phase is Phase.SUCCEEDED
    world.hooks.clear()
    world.touch().run()
    assert world.outcomes == []


def test_after_a_failure_the_promoted_revision_is_put_back_while_another_waits() -> None:
    world = at_weight(initialized(spec=spec(webhooks=[hook("rollback"), hook("confirm-rollout")])).push("v2"), 10)
    world.hooks["rollback"] = Verdict.PASSED
    world.run()
    world.hooks |= {"rollback": Verdict.FAILED, "confirm-rollout": Verdict.FAILED}
    world.push("v3").run(Phase.WAITING)
    world.push("v1").run()
    assert (world.phase, world.status.rollout.failing, world.status.rollout.reason) == (Phase.SUCCEEDED, "", "")
    assert world.texts[-1] == "The new revision of payment.shop was withdrawn before it started"
    world.hooks.clear()
    world.touch().run_for(3600)
    assert world.outcomes == ["failed"], "nothing starts afterwards"


def test_after_a_failure_the_promoted_template_put_back_ends_it_though_the_primary_was_lost_meanwhile() -> None:
    world = at_weight(initialized(spec=spec(webhooks=[hook("rollback")])).push("v2"), 10)
    world.hooks["rollback"] = Verdict.PASSED
    world.run()
    world.hooks.clear()
    world.delete_primary()
    world.push("v1").run()
    assert (world.phase, world.outcomes, world.status.rollout.failing) == (Phase.SUCCEEDED, ["failed"], "")
    assert world.primary
    assert world.primary.template == "v1"


def test_after_a_failure_the_promoted_template_put_back_ends_it_and_the_failed_one_is_tried_again() -> None:
    world = at_weight(initialized(spec=spec(webhooks=[hook("rollback")])).push("v2"), 10)
    world.hooks["rollback"] = Verdict.PASSED
    world.run()
    world.hooks.clear()
    world.actions.clear()
    world.push("v1").run()
    assert (world.phase, world.outcomes, world.actions) == (Phase.SUCCEEDED, ["failed"], [])
    assert (world.status.last_applied_spec, world.status.rollout.failing) == ("v1", "")
    world.push("v2").run()
    assert (world.phase, world.outcomes) == (Phase.SUCCEEDED, ["failed", "succeeded"])


def test_a_change_while_promoting_is_rolled_out_after_what_was_analysed() -> None:
    world = initialized().push("v2")
    world.run(Phase.PROMOTING)
    world.advance()
    world.tick()
    world.push("v3")
    world.advance()
    world.tick()
    assert world.weight == 0, "nobody reaches what nobody analysed"
    assert world.primary
    assert world.primary.template == "v2"
    world.run()
    assert world.outcomes == ["succeeded", "succeeded"]
    assert world.primary.template == "v3"


def test_a_change_before_the_primary_is_written_is_analysed_itself() -> None:
    world = initialized().push("v2")
    world.run(Phase.PROMOTING)
    world.push("v3").run()
    assert world.primary
    assert (world.outcomes, world.primary.template) == (["succeeded"], "v3")


def test_a_change_between_look_and_write_is_not_what_is_promoted() -> None:
    world = initialized().push("v2")
    world.run(Phase.PROMOTING)
    world.meanwhile = lambda world: world.push("v3")
    world.advance()
    world.tick()
    assert world.primary
    assert world.primary.template == "v2"


def test_skip_analysis_turned_on_in_mid_rollout_promotes_at_once() -> None:
    world = at_weight(initialized().push("v2"), 10)
    world.edit(_skipAnalysis=True).run()
    assert world.outcomes == ["skipped"]
    assert world.texts[-1] == "Promotion completed! Canary analysis was skipped for payment.shop"
    assert world.alerts[-1] == ("info", "Canary analysis was skipped, promotion finished.")


def test_suspension_freezes_everything_in_silence_and_can_be_taken_back() -> None:
    world = at_weight(initialized().push("v2"), 20)
    world.suspend().run()
    before = (list(world.actions), list(world.events), world.status_writes)
    for _ in range(5):
        world.touch().run_for(60)
    assert (world.actions, world.events, world.status_writes) == before
    assert world.status.rollout.reason == "suspended by spec.suspend"
    world.suspend(False).run()
    assert world.outcomes == ["succeeded"]


def test_a_suspended_canary_leaves_a_strangers_route_alone() -> None:
    world = at_weight(initialized().push("v2"), 20)
    world.suspend().run()
    world.turn_route(70).run()
    assert world.weight == 70
    world.suspend(False)
    world.advance()
    world.tick()
    assert world.weight == 20, "put back when it is resumed"
    world.run()


def test_a_new_canary_that_is_suspended_touches_nothing() -> None:
    world = World(spec=spec(_suspend=True)).run()
    assert (world.actions, world.phase) == ([], Phase.INITIALIZING)


@pytest.mark.parametrize("weight", [0, 50, 90])
def test_a_strangers_weights_are_put_back_and_the_step_begins_anew(weight: int) -> None:
    world = at_weight(initialized().push("v2"), 20)
    world.run_for(5)
    began = world.now
    world.turn_route(weight)
    at_weight(world, 30) if weight < 30 else world.run_for(0.1)
    if weight >= 30:
        assert world.weight == 20
        at_weight(world, 30)
    assert (world.now - began).total_seconds() == 10
    assert f"changed from outside to {weight}%: put back to 20%" in " ".join(world.texts)


def test_a_deleted_route_is_written_again_at_once_with_its_weight() -> None:
    world = at_weight(initialized().push("v2"), 20)
    world.delete_route()
    world.advance()
    world.tick()
    assert world.weight == 20


def test_a_route_that_is_deleted_while_a_canary_starts_does_not_wait_for_its_pods() -> None:
    world = initialized()
    assert world.target
    world.target.broken = {"v2"}
    world.push("v2").run(Phase.PROGRESSING)
    world.delete_route().tick()
    assert world.route, "users of the primary come through it"
    assert world.weight == 0
    world.advance()
    world.tick()
    assert world.status.rollout.reason == "waiting for canary deployment payment.shop to become ready"
    world.run()
    assert world.outcomes == ["failed"], "by its deadline, which goes on"


@pytest.mark.parametrize(("there", "weight"), [(1, 20), (0, 0)])
def test_a_route_that_is_deleted_while_a_canary_is_unready_leads_to_pods_that_serve(there: int, weight: int) -> None:
    world = at_weight(initialized().push("v2"), 20)
    assert world.target
    world.target.blocked, world.target.blocked_pods = {"v2": "CrashLoopBackOff"}, 2 - there
    world.delete_route().tick()
    assert world.target.available == there
    assert world.route
    assert world.weight == weight
    world.advance()
    world.tick()
    assert world.weight == weight


def test_weights_that_are_edited_while_a_canary_is_unready_do_not_wait_for_its_pods() -> None:
    world = at_weight(initialized().push("v2"), 20)
    assert world.target
    world.target.blocked, world.target.blocked_pods = {"v2": "CrashLoopBackOff"}, 1
    world.turn_route(80).tick()
    assert (world.target.available, world.weight) == (1, 20)
    assert "The weights of payment.shop were changed from outside to 80%: put back to 20%" in world.texts


def test_a_route_that_is_deleted_while_the_primary_is_unready_is_written_again_at_once() -> None:
    world = at_weight(initialized().push("v2"), 20)
    assert world.primary
    world.primary.pods[0].started = world.now + timedelta(seconds=45)
    world.primary.sync(world.now)
    world.delete_route().tick()
    assert (world.primary.available, world.weight) == (1, 20)


def test_a_route_that_is_deleted_again_and_again_is_not_written_in_a_hot_loop() -> None:
    world = initialized()
    world.actions.clear()
    for _ in range(95):
        world.delete_route().run_for(1)
    assert 9 <= len(world.actions) <= 11
    assert world.status.rollout.reason == "something else keeps taking the route of payment.shop away"
    world.run()
    assert world.weight == 0
    assert world.route


def test_a_fight_over_the_route_is_fought_once_an_interval_and_named() -> None:
    world = initialized()
    world.actions.clear()
    for _ in range(95):
        if world.weight != 30:
            world.turn_route(30)
        world.run_for(1)
    assert 9 <= len(world.actions) <= 11
    assert "something else keeps changing the route of payment.shop" in world.status.rollout.reason
    assert world.outcomes == []


def test_services_and_the_route_that_vanish_one_after_the_other_are_each_made_again_at_once() -> None:
    world = initialized()
    for role in (d.ServiceRole.CANARY, d.ServiceRole.PRIMARY):
        world.services.discard(role)
        world.touch().tick()
        assert role in world.services
        world.run_for(1)
    world.apex = None
    world.touch().tick()
    assert world.apex == "primary"
    world.delete_route().tick()
    assert world.route is not None
    assert world.weight == 0


def test_the_same_service_is_made_again_at_most_once_an_interval() -> None:
    world = initialized()
    world.actions.clear()
    for _ in range(95):
        world.services.discard(d.ServiceRole.CANARY)
        world.touch().run_for(1)
    assert 9 <= len(world.actions) <= 11


def test_a_fight_over_the_services_and_drift_is_fought_once_an_interval_too() -> None:
    world = initialized()
    world.actions.clear()
    world.laws.sabotaged = True
    for _ in range(100):
        world.apex = "target"
        assert world.route
        world.route.drifted = True
        world.touch().run_for(1)
    assert 18 <= len(world.actions) <= 22
    assert world.weight == 0


def test_a_fight_over_the_targets_replicas_is_fought_once_an_interval_and_starts_nothing() -> None:
    world = initialized()
    world.actions.clear()
    world.events.clear()
    written = world.status_writes
    for _ in range(100):
        world.scale(3).run_for(1)
    assert 9 <= len(world.actions) <= 11
    assert world.status_writes - written <= 2 * len(world.actions) + 1, "one to decide and one to record"
    assert world.phase is Phase.INITIALIZED
    assert world.texts == [FOUGHT]
    assert (world.status.rollout.reason, world.condition("Ready")) == (FOUGHT, "True")

    world.run_for(20)
    assert world.target
    assert (world.target.replicas, world.status.rollout.reason) == (0, FOUGHT), "it may well go on"
    world.run()
    assert (world.status.rollout.reason, world.texts) == ("", [FOUGHT])


def test_a_fight_is_named_although_its_record_meets_a_newer_canary() -> None:
    world = initialized()
    world.actions.clear()
    for _ in range(5):
        world.meanwhile = lambda world: world.edit()
        world.scale(3).run_for(12)
        assert "something else scales payment.shop up" in world.status.rollout.reason
        assert world.target
        assert world.target.replicas == 0
    assert 5 <= len(world.actions) <= 6


def test_an_answer_in_a_fight_counts_although_its_record_meets_a_newer_canary() -> None:
    world = initialized()
    world.actions.clear()

    def edit_at_the_answer(world: World) -> None:
        rollout, target = world.status.rollout, world.target
        due = rollout.mended_at and rollout.scaled_at and rollout.mended_at > rollout.scaled_at
        if due and target and target.replicas > 0:
            world.edit()
        world.meanwhile = edit_at_the_answer

    world.meanwhile = edit_at_the_answer
    for _ in range(24):
        world.scale(3).run_for(4)
    assert 9 <= len(world.actions) <= 11, "once an interval of ten seconds"


def test_a_fight_is_named_although_nothing_says_that_the_target_slept_before() -> None:
    world = initialized().push("v2").run(Phase.FINALISING)
    # The tick that puts the target to sleep dies before it can say so.
    world.run(Phase.SUCCEEDED, crash_after=1).run_for(1)
    assert world.target
    assert (world.target.replicas, world.texts.count(FOUGHT)) == (0, 0)

    world.actions.clear()
    for _ in range(10):
        world.meanwhile = lambda world: world.edit()
        world.scale(3).run_for(4)
    assert world.status.rollout.reason == FOUGHT
    assert 4 <= len(world.actions) <= 5, "once an interval of ten seconds"


@pytest.mark.parametrize("end", ["a success", "a failure", "a withdrawal"])
def test_a_target_that_goes_to_sleep_after_its_rollout_is_no_fight(end: str) -> None:
    world = initialized(spec=spec(webhooks=[hook("rollback")]))
    world.hooks["rollback"] = Verdict.PASSED if end == "a failure" else Verdict.FAILED
    world.push("v2")
    if end == "a withdrawal":
        at_weight(world, 20).push("v1")
    world.run()
    assert world.target
    assert world.target.replicas == 0
    assert FOUGHT not in world.texts
    world.scale(1).run_for(1)
    assert world.texts[-1] == world.status.rollout.reason == FOUGHT


def test_users_leave_a_canary_that_a_stranger_scales_to_zero() -> None:
    world = at_weight(initialized().push("v2"), 20)
    world.scale(0)
    world.advance()
    world.tick()
    assert world.weight == 0
    assert "its analysis starts again" in world.texts[-1]
    world.run_for(10)
    assert world.target
    assert world.target.replicas == 2, "the primary's size"
    world.run()
    assert world.outcomes == ["succeeded"]


def test_a_first_step_that_died_unrecorded_is_not_asked_for_less_than_its_hooks() -> None:
    world = initialized(spec=spec(webhooks=[hook("pre-rollout")], threshold=5))
    world.hooks["pre-rollout"] = Verdict.FAILED
    world.push("v2").run_for(5)
    world.turn_route(10)
    world.run_for(20)
    assert world.weight == 0, "a stranger's weight that looks like ours passes no hook"
    world.hooks.clear()
    at_weight(world, 10)
    world.run()
    assert world.outcomes == ["succeeded"]


def test_a_step_that_died_unrecorded_is_recorded_and_held_an_interval_from_then_on() -> None:
    world = at_weight(initialized().push("v2"), 10)
    world.run_for(9.5)
    world.advance()
    world.tick(crash_after=1)
    assert (world.weight, world.status.canary_weight) == (20, 10)
    world.events.clear()
    world.now += timedelta(seconds=4)
    began = world.now
    world.advance()
    world.tick()
    assert (world.weight, world.status.canary_weight) == (20, 20)
    assert world.texts == ["Advance payment.shop canary weight 20"]
    at_weight(world, 30)
    assert (world.now - began).total_seconds() == 10


def test_the_same_template_with_another_config_waits_until_the_last_pods_are_gone() -> None:
    world = initialized(configs={"configmap/app": "1"}).configure(app="2").run()
    assert world.target
    world.scale(2).run_for(1)
    world.target.asleep = True
    world.run_for(11)
    assert (world.target.replicas, len(world.target.pods)) == (0, 2)
    world.configure(app="3").run_for(20)
    assert world.phase is Phase.SUCCEEDED
    world.target.asleep = False
    world.touch().run()
    assert world.outcomes == ["succeeded", "succeeded"]
    assert world.primary_configs == {"configmap/app": "3"}


def test_a_route_lost_before_a_closed_gate_is_written_again_while_the_gate_is_asked() -> None:
    world = initialized(spec=spec(webhooks=[hook("confirm-rollout")]))
    world.hooks["confirm-rollout"] = Verdict.FAILED
    world.push("v2").run(Phase.WAITING)
    asked = len(world.asked)
    world.now += timedelta(minutes=5)
    world.delete_route().tick()
    assert len(world.asked) == asked + 1, "the gate was due"
    assert [a.routes.canary for _, a in world.actions if isinstance(a, d.SetRoutes)][-1:] == [0]
    world.hooks.clear()
    world.run()
    assert world.outcomes == ["succeeded"]
