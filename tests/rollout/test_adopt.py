"""Canaries that Flagger left in each of its phases: none moves at the takeover, and each comes to its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout import adopt, revision
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.observation import History
from flaggerpy.rollout.traffic import to_canary
from tests.rollout.left import given_up, left, promoting, rolling
from tests.rollout.world import World, hook, initialized, spec, under_keda

AB_TEST = {"iterations": 3, "match": [{"headers": {"x": {"exact": "y"}}}]}
GATE = [hook("confirm-promotion")]
COPIES = (0, True)
WRITES_OF_TRAFFIC = (d.SetRoutes, d.ScaleTarget, d.ScalePrimary, d.CreatePrimary, d.UpdatePrimary, d.ReleaseService)


def takeover(world: World) -> World:
    """Let the core look once: the tick that takes over."""
    assert world.advance()
    world.tick()
    return world


def shares(world: World) -> list[int]:
    """The canary's shares that were written, one after the other."""
    return [action.routes.canary for _, action in world.actions if isinstance(action, d.SetRoutes)]


def traffic(world: World) -> list[tuple[int, bool]]:
    """What was written for the canary, one after the other: its share, and whether it gets copies."""
    return [action.routes.traffic for _, action in world.actions if isinstance(action, d.SetRoutes)]


@pytest.mark.parametrize("phase", [Phase.INITIALIZED, Phase.SUCCEEDED, Phase.FAILED])
@pytest.mark.parametrize("routed", [True, False])
def test_an_idle_canary_stays_as_it_is(phase: Phase, routed: bool) -> None:
    world = left(initialized(routed=routed), phase)
    world.run()
    assert world.phase is phase
    assert not [action for _, action in world.actions if isinstance(action, WRITES_OF_TRAFFIC)]
    assert [type(action) for _, action in world.actions] == [d.AddFinalizer, d.DisownPrimary]
    assert (world.status.last_applied_spec, world.status.last_promoted_spec) == ("64c5fc694f", "8dbdc448")
    assert world.outcomes == []
    assert world.texts == [f"Taken over from Flagger in phase {phase.value}: nothing to roll out"]


def test_whoever_wakes_a_target_that_flagger_left_asleep_is_named_and_answered_once_an_interval() -> None:
    world = left(initialized(), Phase.SUCCEEDED)
    world.run()
    world.actions.clear()
    for _ in range(10):
        world.meanwhile = lambda world: world.edit()
        world.scale(3).run_for(4)
    assert "something else scales payment.shop up" in world.status.rollout.reason
    assert 4 <= len(world.actions) <= 5, "once an interval of ten seconds"


def test_the_tick_that_takes_over_writes_nothing_but_the_status() -> None:
    world = takeover(left(rolling(), Phase.PROGRESSING))
    assert world.actions == []
    assert world.status.rollout.step.weight == world.status.canary_weight == 20


def test_what_was_pushed_while_nobody_looked_is_rolled_out() -> None:
    world = left(initialized(), Phase.SUCCEEDED)
    world.push("v2").run()
    assert world.outcomes == ["succeeded"]
    assert "a new revision was pushed since" in world.texts[0]


def test_a_primary_that_was_restarted_by_hand_is_no_new_revision() -> None:
    world = left(initialized(), Phase.SUCCEEDED)
    seen = world.observe()
    assert seen.primary
    restarted = replace(seen.primary, template="v1+restart", unrestarted="v1")
    assert revision.of_primary(replace(seen, primary=restarted), seen.target or restarted) == revision.current(
        seen, seen.target or restarted
    )


@pytest.mark.parametrize("weight", [10, 20, 30])
def test_a_rollout_goes_on_from_the_live_weight(weight: int) -> None:
    world = left(rolling(weight), Phase.PROGRESSING, failed_checks=1)
    began = world.now
    world.run()
    steps = [step for step in (10, 20, 30) if step > weight]
    assert shares(world) == [*steps, 0]
    first = next(at for at, action in world.actions if isinstance(action, d.SetRoutes))
    assert first - began >= timedelta(seconds=10), "the share that users have is kept for an interval"
    assert world.outcomes == ["succeeded"]


def test_a_weight_that_flagger_had_not_recorded_yet_is_the_one_that_counts() -> None:
    world = takeover(left(rolling(20), Phase.PROGRESSING, canary_weight=10))
    assert world.status.rollout.step.weight == 20


@pytest.mark.parametrize(
    ("title", "change"),
    [
        ("its ReplicaSet is younger", lambda world: History(world.now + timedelta(seconds=1))),
        ("a template was put back, and the Deployment moved", lambda world: History(world.now + timedelta(1), True)),
    ],
)
def test_a_template_that_changed_after_flagger_stopped_is_analysed_from_the_start(title: str, change: Any) -> None:
    world = left(rolling(20), Phase.PROGRESSING)
    world.history = change(world)
    world.run()
    assert shares(world) == [0, 10, 20, 30, 0], title
    assert world.outcomes == ["succeeded"]


def test_a_config_that_changed_after_flagger_stopped_is_analysed_from_the_start() -> None:
    world = left(rolling(20), Phase.PROGRESSING, tracked_configs={"configmap/x": "1"})
    world.configure(x="2").run()
    assert shares(world)[:2] == [0, 10]


def test_the_second_of_flaggers_last_word_counts_as_seen() -> None:
    world = left(rolling(20), Phase.PROGRESSING)
    world.history = History(world.now.replace(microsecond=0))
    world.run()
    assert shares(world) == [30, 0]


def test_a_template_without_a_replica_set_yet_is_waited_for() -> None:
    world = left(rolling(20), Phase.PROGRESSING)
    assert world.target
    world.target.asleep = True
    world.target.generation += 1
    takeover(world)
    assert world.status.rollout.applied is None
    assert "waiting for the cluster to look" in world.status.rollout.reason
    world.target.asleep = False
    world.touch().run()
    assert world.outcomes == ["succeeded"]


def test_the_promoted_revision_put_back_cancels_the_rollout() -> None:
    world = left(rolling(20), Phase.PROGRESSING)
    world.history = History(world.now - timedelta(seconds=1), put_back=True)
    world.push("v1").run()
    assert world.phase is Phase.SUCCEEDED
    assert world.outcomes == []
    assert "Rollout of payment.shop cancelled: the promoted revision was put back" in world.texts


def test_a_primary_written_before_flagger_could_say_so_is_promoted() -> None:
    world = left(rolling(30), Phase.PROGRESSING)
    assert world.primary
    world.primary.edit("v2")
    world.laws.analysed.add("v2")  # by Flagger
    world.run()
    assert shares(world) == [0]
    assert world.outcomes == ["succeeded"]


def test_a_progressive_canary_waits_at_its_true_weight_for_its_promotion() -> None:
    world = left(rolling(30, webhooks=GATE), Phase.WAITING_PROMOTION, canary_weight=0, iterations=-1)
    world.hooks["confirm-promotion"] = Verdict.FAILED
    world.run_for(35)
    assert (world.phase, world.status.canary_weight, world.status.iterations) == (Phase.WAITING_PROMOTION, 30, 0)
    assert not [item for item in world.alerts if "waiting for approval" in item[1]], "Flagger has alerted already"
    world.hooks.clear()
    world.run()
    assert shares(world) == [0]
    assert world.outcomes == ["succeeded"]


@pytest.mark.parametrize("iterations", [2, 3, 4])
def test_blue_green_waits_with_its_iterations_done(iterations: int) -> None:
    world = initialized(spec=spec(iterations=3, webhooks=GATE), routed=False).push("v2")
    world.hooks["confirm-promotion"] = Verdict.FAILED
    world.run(Phase.WAITING_PROMOTION)
    left(world, Phase.WAITING_PROMOTION, iterations=iterations)
    world.run_for(25)
    assert (world.phase, world.status.iterations) == (Phase.WAITING_PROMOTION, 3)
    world.hooks.clear()
    world.run()
    assert world.outcomes == ["succeeded"]


def test_blue_green_with_everybody_on_the_canary_is_asked_once_more() -> None:
    world = rolling(100, iterations=2, webhooks=GATE)
    world.hooks["confirm-promotion"] = Verdict.FAILED
    left(world, Phase.WAITING_PROMOTION, iterations=1)
    world.run_for(25)
    assert (world.phase, world.weight, world.status.iterations) == (Phase.WAITING_PROMOTION, 100, 3)
    world.hooks.clear()
    world.run()
    assert shares(world) == [0]


def mirrored(iterations: int, **analysis: Any) -> World:
    """A Blue/Green rollout whose canary gets copies of requests, with so many iterations done."""
    world = initialized(spec=spec(iterations=3, mirror=True, **analysis)).push("v2")
    while world.status.iterations < iterations:
        assert world.advance()
        world.tick()
    assert traffic(world)[-1] == COPIES
    return world


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_copies_of_requests_go_on_for_the_iterations_that_are_left(iterations: int) -> None:
    world = takeover(left(mirrored(iterations), Phase.PROGRESSING, iterations=iterations))
    assert (world.actions, world.status.rollout.step.mirrored) == ([], True)
    began = world.now
    world.run()
    moves = [(at, action.routes.traffic) for at, action in world.actions if isinstance(action, d.SetRoutes)]
    assert [given for _, given in moves] == [(100, False), (0, False)]
    assert moves[0][0] - began >= timedelta(seconds=10 * (4 - iterations)), "each lasts a whole interval"
    assert world.outcomes == ["succeeded"]
    assert world.texts[0].endswith("the rollout goes on at 0%, and the canary still gets copies of requests")
    assert not [text for text in world.texts if "asked for" in text]


def test_copies_go_on_while_a_promotion_waits_for_approval() -> None:
    world = left(mirrored(3, webhooks=GATE), Phase.WAITING_PROMOTION, iterations=2)
    world.hooks["confirm-promotion"] = Verdict.FAILED
    world.run_for(35)
    assert (world.phase, shares(world), world.status.rollout.step.mirrored) == (Phase.WAITING_PROMOTION, [], True)
    world.hooks.clear()
    world.run()
    assert shares(world) == [100, 0]
    assert world.outcomes == ["succeeded"]


def test_copies_end_when_the_target_was_changed_after_flagger_stopped() -> None:
    world = left(mirrored(2), Phase.PROGRESSING, iterations=2)
    world.history = History(world.now + timedelta(seconds=1))
    world.run()
    assert traffic(world) == [(0, False), COPIES, (100, False), (0, False)]
    assert world.outcomes == ["succeeded"]


def test_copies_that_nobody_asks_for_any_more_end() -> None:
    world = left(mirrored(2), Phase.PROGRESSING, iterations=2)
    world.edit(iterations=3).run()
    assert world.outcomes == ["succeeded"]
    assert [text for text in world.texts if "gets no copies of requests any more" in text]


def test_an_ab_test_goes_on_with_its_audience() -> None:
    world = rolling(100, **AB_TEST)
    left(world, Phase.PROGRESSING, iterations=2)
    world.run()
    assert shares(world) == [0]
    assert world.outcomes == ["succeeded"]


def test_a_promotion_ends_without_writing_the_primary_again() -> None:
    world = promoting()
    world.run_for(1)
    left(world, Phase.PROMOTING).run()
    assert not [action for _, action in world.actions if isinstance(action, d.UpdatePrimary)]
    assert shares(world) == [0]
    assert world.outcomes == ["succeeded"]
    assert world.status.last_promoted_spec == "64c5fc694f"


def test_a_promotion_in_steps_goes_on_at_the_live_share_an_interval_later() -> None:
    world = promoting(stepWeightPromotion=10)
    world.run_for(1)
    world.turn_route(20)
    left(world, Phase.PROMOTING, canary_weight=30)
    began = world.now
    world.run()
    assert shares(world) == [10, 0]
    first = next(at for at, action in world.actions if isinstance(action, d.SetRoutes))
    assert first - began >= timedelta(seconds=10)


def test_a_promotion_that_flagger_would_never_end_is_ended() -> None:
    world = promoting(stepWeightPromotion=10)
    world.run_for(1)
    world.turn_route(0)
    left(world, Phase.PROMOTING, canary_weight=10).run()
    assert world.outcomes == ["succeeded"]


def test_finalising_lets_users_leave_before_the_target_sleeps() -> None:
    world = promoting().run(Phase.FINALISING)
    left(world, Phase.FINALISING)
    began = world.now
    world.run()
    slept = next(at for at, action in world.actions if action == d.ScaleTarget(0))
    assert slept - began >= timedelta(seconds=10)
    assert world.outcomes == ["succeeded"]


def test_a_failed_revision_is_not_tried_again() -> None:
    world = left(initialized().push("v2"), Phase.FAILED)
    world.run()
    assert world.phase is Phase.FAILED
    assert world.outcomes == []


def test_a_revision_pushed_after_a_failure_that_flagger_never_saw_is_tried() -> None:
    world = left(initialized().push("v2"), Phase.FAILED)
    world.history = History(world.now + timedelta(seconds=2))
    world.run()
    assert world.outcomes == ["succeeded"]


def test_after_a_failed_promotion_users_stay_on_the_target_until_the_primary_can_take_them() -> None:
    world = promoting()
    assert world.primary
    world.primary.broken.add("v2")
    world.run_for(1)
    world.turn_route(100)
    left(world, Phase.FAILED, canary_weight=100)
    world.run_for(40)
    assert (world.phase, world.weight, world.status.rollout.serving_canary) == (Phase.FAILED, 100, True)
    world.primary.broken.clear()
    world.touch().run()
    assert (world.phase, world.weight) == (Phase.SUCCEEDED, 0)


def test_a_closed_gate_is_asked_on_and_nobody_is_alerted_again() -> None:
    world = initialized(spec=spec(webhooks=[hook("confirm-rollout")])).push("v2")
    world.hooks["confirm-rollout"] = Verdict.FAILED
    left(world, Phase.WAITING).run_for(35)
    assert (world.phase, world.alerts[1:]) == (Phase.WAITING, [])
    world.hooks.clear()
    world.run()
    assert world.outcomes == ["succeeded"]


def test_a_bootstrap_goes_on_with_the_primary_that_there_is() -> None:
    world = World()
    while world.primary is None:
        assert world.advance()
        world.tick()
    left(world, Phase.INITIALIZING, last_applied_spec=None, last_promoted_spec=None, tracked_configs=None)
    world.run()
    assert world.phase is Phase.INITIALIZED
    assert not [action for _, action in world.actions if isinstance(action, d.UpdatePrimary)]


def test_a_bootstrap_that_flagger_gave_up_wakes_the_target_that_it_put_to_sleep() -> None:
    world = given_up()
    world.laws.sabotaged = True
    world.run_for(30)
    assert (world.phase, world.sizes) == (Phase.INITIALIZING, (2, 2))
    assert world.primary
    world.primary.broken.clear()
    world.touch().run()
    assert (world.phase, world.sizes) == (Phase.INITIALIZED, (0, 2))


def test_a_bootstrap_that_flagger_gave_up_resumes_keda_before_it_asks_for_pods() -> None:
    world = under_keda()
    world.primary_breaks = {"v1"}
    while world.primary is None:
        assert world.advance()
        world.tick()
    assert world.target
    assert world.autoscaler
    world.autoscaler.paused = True
    world.target.edit(replicas=0)
    left(world, Phase.FAILED, last_promoted_spec=None)
    world.laws.sabotaged = True
    world.actions.clear()
    world.run_for(30)
    asked = [action for _, action in world.actions if isinstance(action, d.ResumeScaler | d.ScaleTarget)]
    assert asked == [d.ResumeScaler("payment"), d.ScaleTarget(2)]
    assert (world.phase, world.sizes[0], world.autoscaler.paused) == (Phase.INITIALIZING, 2, False)


def test_a_release_that_flagger_began_is_finished_and_bounded_in_time() -> None:
    world = initialized()
    left(world, Phase.TERMINATING)
    world.finalizer = True
    world.delete().run()
    assert world.gone
    assert world.destinations() == {"target"}


def test_nothing_is_taken_over_while_a_user_must_mend_something() -> None:
    world = left(rolling(20), Phase.PROGRESSING)
    world.problems = ("provider istio is not served",)
    world.run_for(30)
    assert (world.status.rollout.applied, world.weight, world.actions) == (None, 20, [])
    world.problems = ()
    world.touch().run()
    assert shares(world) == [30, 0]


def test_history_is_asked_for_only_where_something_depends_on_it() -> None:
    asked = {phase for phase in Phase if adopt.depends_on_history(left(initialized().push("v2"), phase).observe())}
    assert asked == {Phase.PROGRESSING, Phase.WAITING_PROMOTION, Phase.FAILED}
    assert not adopt.depends_on_history(left(initialized(), Phase.FAILED).observe())
    assert not adopt.depends_on_history(rolling().observe())


def test_no_traffic_is_moved_while_flagger_still_runs() -> None:
    world = rolling(20)
    world.flagger_wrote_at = world.now
    world.actions.clear()
    world.touch().run_for(45)
    assert (world.weight, world.actions, world.condition("Stalled")) == (20, [], "True")
    assert world.status.rollout.reason.startswith("Flagger still runs: it goes on writing canary payment.shop. Stop it")
    assert len([text for text in world.texts if text.startswith("Flagger still runs")]) == 1
    world.run()
    assert world.outcomes == ["succeeded"]
    assert world.condition("Stalled") == "False"


def test_after_flagger_has_fallen_silent_the_canary_is_taken_over_where_it_left_it() -> None:
    world = rolling(10)
    world.flagger_wrote_at = world.now
    world.touch().run_for(5)
    world.turn_route(20)
    world.actions.clear()
    world.history = History(world.now - timedelta(minutes=5))
    world.run()
    assert shares(world) == [30, 0]
    assert to_canary(10) not in [action.routes for _, action in world.actions if isinstance(action, d.SetRoutes)]
