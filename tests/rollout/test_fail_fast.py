"""Pods that cannot start end a rollout before its deadline; what mends itself in time does not."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout.checks import Verdict
from tests.rollout.workloads import Deployment
from tests.rollout.world import World, hook, initialized, spec

WHY = "container app of 2 of 2 pods: ImagePullBackOff (it is not there)"
AFTER = timedelta(seconds=30)


def cannot_start(world: World, template: str = "v2", *, reason: str = "ImagePullBackOff", pods: int = 99) -> World:
    """Let containers of the target's next template find no image."""
    target = world.target
    assert target
    target.blocked, target.blocked_pods = {template: reason}, pods
    return world


def can_start(world: World) -> World:
    assert world.target
    world.target.blocked = {}
    return world.touch()


def since(world: World) -> datetime | None:
    return world.status.rollout.hopeless_since


def target(world: World) -> Deployment:
    assert world.target
    return world.target


def test_a_missing_image_is_rolled_back_after_half_a_minute_and_the_reason_is_told() -> None:
    world = cannot_start(initialized())
    began = world.now
    world.push("v2").run()
    said = f"payment.shop cannot become ready: {WHY}"
    assert world.now - began < timedelta(seconds=45), "the deadline is a minute"
    assert (world.phase, world.weight, target(world).replicas) == (Phase.FAILED, 0, 0)
    assert world.status.rollout.failing == said
    assert f"Rolling back payment.shop {said}" in world.texts
    assert world.alerts[-1] == ("error", f"Rolling back payment.shop {said}")
    assert world.outcomes == ["failed"]
    assert since(world) is None


def test_nobody_looks_while_the_half_minute_passes() -> None:
    world = cannot_start(initialized()).push("v2").run(Phase.PROGRESSING)
    while since(world) is None:
        assert world.advance()
        world.tick()
    began, ticks = since(world), world.ticks
    assert began
    assert world.advance()
    assert (world.now, world.ticks) == (began + AFTER, ticks), "the next look is the one that decides"
    world.tick()
    assert world.status.rollout.failing


@pytest.mark.parametrize("reason", ["ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError"])
def test_other_reasons_are_told_in_their_own_words(reason: str) -> None:
    world = cannot_start(initialized(), reason=reason).push("v2").run(Phase.FAILED)
    assert f"container app of 2 of 2 pods: {reason} (" in world.status.rollout.failing


def test_pods_that_are_only_slow_have_the_whole_deadline() -> None:
    world = cannot_start(initialized(), reason="WaitingForGodot")
    began = world.now
    world.push("v2").run()
    assert world.now - began >= timedelta(seconds=60)
    assert "updated replicas are available" in world.status.rollout.failing


def test_no_time_at_all_means_the_deadline() -> None:
    world = cannot_start(initialized(fail_fast_after=timedelta())).push("v2").run_for(50)
    assert (world.phase, since(world)) == (Phase.PROGRESSING, None)
    world.run(Phase.FAILED)
    assert "updated replicas are available" in world.status.rollout.failing


def test_a_secret_that_arrives_ten_seconds_late_fails_nothing() -> None:
    world = cannot_start(initialized(), reason="CreateContainerConfigError").push("v2").run_for(10)
    assert since(world) is not None
    can_start(world).run()
    assert world.phase is Phase.SUCCEEDED
    assert since(world) is None


def test_only_what_stands_without_a_break_counts() -> None:
    world = cannot_start(initialized()).push("v2").run_for(25)
    first = since(world)
    target(world).blocked = {"v2": "ContainerCreating"}
    world.touch().run_for(1)
    assert since(world) is None
    cannot_start(world).touch().run_for(20)
    assert world.phase is Phase.PROGRESSING
    again = since(world)
    assert first
    assert again
    assert again > first
    world.run(Phase.FAILED)
    assert world.now >= again + AFTER


def test_one_bad_node_fails_nothing_as_long_as_the_threshold_can_be_reached() -> None:
    world = cannot_start(initialized(spec=spec(canaryReadyThreshold=50)), pods=1)
    assert world.push("v2").run().phase is Phase.SUCCEEDED
    world = cannot_start(initialized(spec=spec(canaryReadyThreshold=100)), pods=1).push("v2").run()
    assert world.phase is Phase.FAILED
    assert "container app of 1 of 2 pods" in world.status.rollout.failing


def test_pods_that_die_under_traffic_take_the_users_with_them_no_longer_than_half_a_minute() -> None:
    world = initialized().push("v2")
    while world.weight < 10:
        assert world.advance()
        world.tick()
    world.laws.sabotaged = True
    began = world.now
    cannot_start(world).touch().run()
    assert (world.phase, world.weight) == (Phase.FAILED, 0)
    assert world.now - began < timedelta(seconds=50)


def test_a_gate_that_is_waited_for_does_not_hide_pods_that_died() -> None:
    world = initialized(spec=spec(webhooks=[hook("confirm-promotion")]))
    world.hooks["confirm-promotion"] = Verdict.FAILED
    world.push("v2").run(Phase.WAITING_PROMOTION)
    world.laws.sabotaged = True
    cannot_start(world).touch().run(Phase.FAILED)
    assert WHY in world.status.rollout.failing


def test_a_corrected_revision_is_not_charged_with_the_time_of_the_one_before() -> None:
    world = cannot_start(initialized()).push("v2").run_for(25)
    target(world).blocked = {"v2": "ImagePullBackOff", "v3": "ImagePullBackOff"}
    pushed = world.now
    world.push("v3").run_for(20)
    assert world.phase is Phase.PROGRESSING
    began = since(world)
    assert began
    assert began >= pushed
    target(world).blocked = {}
    assert world.touch().run().phase is Phase.SUCCEEDED


# A controller that comes and goes


def test_a_new_controller_goes_on_counting_where_the_old_one_was() -> None:
    world = cannot_start(initialized()).push("v2").run_for(20)
    began = since(world)
    world.pods_are_known = False
    world.touch().run_for(5)
    assert since(world) == began, "it does not know the pods yet"
    world.pods_are_known = True
    world.touch().run(Phase.FAILED)
    assert began
    assert world.now == began + AFTER


def test_what_a_controller_missed_is_not_counted() -> None:
    """It was away while the pods went and came back, so that what it remembers is about others."""
    world = cannot_start(initialized(spec=spec(_progressDeadlineSeconds=600))).push("v2").run_for(10)
    began = since(world)
    world.now += timedelta(seconds=40)
    target(world).pods.clear()
    target(world).progressed = world.now
    target(world).sync(world.now)
    made = world.now
    world.touch().tick()
    assert world.phase is Phase.PROGRESSING
    assert not world.status.rollout.failing
    assert since(world) == began
    world.run(Phase.FAILED)
    assert world.now == made + AFTER


@pytest.mark.parametrize("died_after", [0, 1])
def test_a_controller_that_dies_around_the_decision_makes_it_once(died_after: int) -> None:
    world = cannot_start(initialized()).push("v2")
    while not world.status.rollout.failing and not world.crashed:
        assert world.advance()
        began = since(world)
        due = began is not None and world.now >= began + AFTER
        world.tick(crash_after=died_after if due else None)
    world.run()
    assert (world.phase, world.outcomes) == (Phase.FAILED, ["failed"])


# When pods cannot be looked at


def test_where_pods_may_not_be_read_the_deadline_is_waited_for_and_that_is_said_once() -> None:
    world = cannot_start(initialized(blind="flaggerpy may not list and watch pods in namespace shop"))
    world.push("v2").run_for(20)
    reason = "flaggerpy may not list and watch pods in namespace shop; so whatever its pods say, waiting for canary"
    assert world.status.rollout.reason.startswith(reason)
    began = world.now
    world.run()
    assert world.now - began > timedelta(seconds=40)
    assert "updated replicas are available" in world.status.rollout.failing
    assert len([text for text in world.texts if "canary deployment payment.shop not ready" in text]) == 1


def test_a_healthy_rollout_does_not_need_to_see_pods() -> None:
    world = initialized(blind="flaggerpy may not list and watch pods").push("v2").run()
    assert world.phase is Phase.SUCCEEDED
    assert world.status.rollout.reason == ""


# The promotion


def failing_promotion(*, routed: bool = True, step: int = 10) -> World:
    world = initialized(routed=routed, spec=spec(stepWeight=step))
    assert world.primary
    world.primary.blocked = {"v2": "ImagePullBackOff"}
    return world.push("v2").run(Phase.PROMOTING)


def test_a_promotion_whose_pods_cannot_start_leaves_users_on_the_canary_at_once() -> None:
    world = failing_promotion()
    began = world.now
    world.run(Phase.FAILED)
    assert world.now == began + AFTER
    assert since(world) is None
    world.run()
    assert (world.phase, world.weight, target(world).replicas) == (Phase.FAILED, 100, 2)
    why = "container app of 2 of 2 pods: ImagePullBackOff (it is not there)"
    assert world.status.rollout.failing == f"Promotion of payment.shop failed, primary not ready: {why}"


def test_users_go_back_when_the_primary_can_start_after_all() -> None:
    world = failing_promotion().run()
    assert world.primary
    world.primary.blocked = {}
    world.touch().run()
    assert (world.phase, world.weight) == (Phase.SUCCEEDED, 0)


def test_without_a_route_the_primary_has_its_whole_deadline() -> None:
    """A failure would keep nobody from harm, and nothing would notice that the primary got well."""
    world = failing_promotion(routed=False)
    world.run_for(50)
    assert world.phase is Phase.PROMOTING
    assert world.primary
    world.primary.blocked = {}
    assert world.touch().run().phase is Phase.SUCCEEDED


def test_a_canary_that_is_not_ready_gets_nobody() -> None:
    world = failing_promotion()
    world.laws.sabotaged = True  # a stranger breaks the canary that users are on
    target(world).broken.add("v2")
    world.touch().run_for(50)
    assert world.phase is Phase.PROMOTING


# The bootstrap


def test_a_bootstrap_says_early_what_is_wrong_and_goes_on_waiting() -> None:
    world = World(primary_blocked={"v1": "ImagePullBackOff"}).run_for(40)
    said = f"payment-primary.shop cannot become ready: {WHY}"
    assert world.phase is Phase.INITIALIZING
    assert world.status.rollout.reason == f"{said}: mend the template of payment.shop"
    assert world.alerts == [("error", said)]
    assert world.primary
    world.primary.blocked = {"v1": "ErrImagePull"}
    world.touch().run_for(60)
    assert world.alerts == [("error", said)], "the same in other words, and past the deadline, is no news"
    world.primary.blocked = {}
    assert world.touch().run().phase is Phase.INITIALIZED


def test_a_primary_that_crashes_on_and_on_is_told_of_once() -> None:
    world = World(primary_blocked={"v1": "CrashLoopBackOff"}).run_for(40)
    assert world.primary
    world.primary.broken = {"v1"}
    for _ in range(3):
        world.primary.blocked = {}
        world.touch().run_for(20)
        assert "cannot become ready" not in world.status.rollout.reason, "it runs, for a while"
        world.primary.blocked = {"v1": "CrashLoopBackOff"}
        world.touch().run_for(40)
        assert "cannot become ready" in world.status.rollout.reason
    assert len(world.alerts) == 1
    world.push("v2").run_for(1)
    world.primary.blocked = {"v2": "ImagePullBackOff"}
    world.touch().run_for(40)
    assert len(world.alerts) == 2, "another template is another matter"
