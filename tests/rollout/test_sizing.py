"""Canaries as large as their share: pods before users, the way back, and what strangers do meanwhile."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from flaggerpy.api.request import Verb
from flaggerpy.api.status import Phase
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.sizing import nearest
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY
from tests.rollout.simulation import NAME, START
from tests.rollout.workloads import Deployment
from tests.rollout.world import BY_REPLICAS, SIZED, World, hook, spec

MATCH = [{"headers": {"x-user": {"exact": "me"}}}]


def sized(pods: int = 20, *, least: int = 1, routed: bool = True, **analysis: Any) -> World:
    """A world at rest whose primary has so many pods, and whose canary is to be as large as its share."""
    scale = {"matchTrafficWeight": True, "minReplicas": least}
    target = Deployment(NAME, "v1", pods, START)
    world = World(spec=spec(**{"canaryScale": scale, **analysis}), target=target, routed=routed).run()
    world.actions.clear()
    return world


def at_weight(world: World, weight: int) -> World:
    while world.weight < weight:
        assert world.advance()
        world.tick()
    return world


def until(world: World, kind: type[d.Action]) -> World:
    """Run until something of this kind is written again."""
    world.actions.clear()
    while not [action for _, action in world.actions if isinstance(action, kind)]:
        assert world.advance()
        world.tick()
    return world


def sizes(world: World) -> list[int]:
    return [action.replicas for _, action in world.actions if isinstance(action, d.ScaleTarget)]


def moves(world: World) -> list[tuple[datetime, int]]:
    return [(moment, action.routes.canary) for moment, action in world.actions if isinstance(action, d.SetRoutes)]


def test_every_share_finds_its_pods_ready_and_the_primary_keeps_all_of_its_own() -> None:
    world = sized(stepWeights=[5, 30, 50, 100])
    for weight, pods in ((5, 1), (30, 6), (50, 10), (100, 20)):
        at_weight(world.push("v2"), weight)
        assert world.target
        assert (world.target.available, world.sizes[1]) == (pods, 20)
    world.run()
    assert (world.phase, world.sizes, sizes(world)) == (Phase.SUCCEEDED, (0, 20), [1, 6, 10, 20, 0])
    assert "Scaling up payment.shop to 6 pods before 30% of the users come to it" in world.texts


@pytest.mark.parametrize(
    ("pods", "weight", "least", "wanted"),
    [(1000, 1, 1, 10), (8, 10, 1, 1), (8, 13, 1, 2), (8, 10, 3, 3), (2, 10, 5, 2), (1, 50, 1, 1)],
)
def test_a_size_is_rounded_up_to_whole_pods_between_the_floor_and_the_primarys_size(
    pods: int, weight: int, least: int, wanted: int
) -> None:
    world = sized(pods, least=least, stepWeights=[weight]).push("v2").run(Phase.PROGRESSING)
    assert world.sizes[0] == wanted


def test_a_share_follows_its_pods_at_once_and_is_held_for_a_whole_interval() -> None:
    world = sized(stepWeights=[10, 50])
    at_weight(world.push("v2"), 10)
    until(world, d.ScaleTarget)
    asked = world.now
    at_weight(world, 50)
    [(moved, _)] = moves(world)
    assert moved == asked + timedelta(seconds=3), "as soon as they are ready"
    world.run(Phase.PROMOTING)
    assert world.now - moved >= timedelta(seconds=10)


def test_the_canary_is_judged_on_while_pods_come_and_gets_no_users_before_it_is_well_again() -> None:
    metric = {"name": "latency", "interval": "1m", "thresholdRange": {"max": 1}, "query": "x"}
    world = sized(stepWeights=[10, 50], metrics=[metric], threshold=3)
    assert world.target
    world.target.ready_after = timedelta(seconds=25)
    at_weight(world.push("v2"), 10)
    until(world, d.ScaleTarget)
    world.metrics["latency"] = Verdict.FAILED
    world.run_for(26)
    assert (world.weight, world.status.failed_checks) == (10, 2)
    assert world.target.available == 10, "the pods are there, and stay"
    world.metrics.clear()
    at_weight(world, 50)
    assert sizes(world) == [10]


def test_a_canary_that_is_bad_while_its_pods_come_is_rolled_back() -> None:
    world = sized(stepWeights=[10, 50], webhooks=[hook("rollback")])
    assert world.target
    world.target.ready_after = timedelta(seconds=40)
    at_weight(world.push("v2"), 10)
    until(world, d.ScaleTarget)
    world.hooks["rollback"] = Verdict.PASSED
    asked = world.now
    world.run(Phase.FAILED)
    assert world.now - asked <= timedelta(seconds=10)
    assert (world.weight, world.run().sizes) == (0, (0, 20))


def test_pods_that_find_no_room_end_the_rollout_after_their_time() -> None:
    world = sized(stepWeights=[10, 50])
    at_weight(world.push("v2"), 10)
    assert world.target
    world.target.room = 7
    until(world, d.ScaleTarget)
    asked = world.now
    world.run(Phase.FAILED)
    assert world.now - asked == timedelta(seconds=60)
    assert world.status.rollout.failing == "payment.shop has 7 of the 10 pods that 50% of the users need"


def test_pods_that_cannot_start_end_the_rollout_with_the_reason() -> None:
    world = sized(stepWeights=[10, 50])
    at_weight(world.push("v2"), 10)
    assert world.target
    world.target.blocked, world.target.broken = {"v2": "ImagePullBackOff"}, set()
    world.target.can_start = lambda pod: pod.number < 2  # type: ignore[method-assign]
    world.run(Phase.FAILED)
    assert "cannot become ready: container app of 8 of 10 pods: ImagePullBackOff" in world.status.rollout.failing


def test_a_gate_that_let_a_share_pass_is_not_asked_again_when_its_pods_are_ready() -> None:
    world = sized(stepWeights=[10, 50], webhooks=[hook("confirm-traffic-increase")])
    at_weight(world.push("v2"), 10)
    until(world, d.ScaleTarget)
    asked = len(world.asked)
    at_weight(world, 50)
    assert len(world.asked) == asked


def test_a_pause_lets_pods_come_and_no_users() -> None:
    world = sized(stepWeights=[10, 50])
    at_weight(world.push("v2"), 10)
    until(world, d.ScaleTarget)
    world.ask(Verb.PAUSE).run_for(60)
    assert (world.weight, world.sizes[0]) == (10, 10)
    world.ask(Verb.RESUME).run_for(0.1)
    assert world.weight == 50


def test_a_person_who_wants_the_next_step_waits_for_its_pods() -> None:
    world = sized(stepWeights=[10, 50])
    at_weight(world.push("v2"), 10)
    world.run_for(2)
    world.ask(Verb.PROMOTE).run_for(1)
    assert (world.weight, world.sizes[0]) == (10, 10)
    world.run_for(3)
    assert world.weight == 50


def test_a_full_promotion_asks_for_no_further_pods() -> None:
    world = sized(stepWeights=[10, 50])
    at_weight(world.push("v2"), 10)
    world.ask(Verb.PROMOTE_FULL).run()
    assert (world.phase, sizes(world), world.sizes) == (Phase.SUCCEEDED, [2, 0], (0, 20))


@pytest.mark.parametrize("crash_after", range(6))
def test_whoever_goes_on_after_a_crash_asks_for_the_same_pods(crash_after: int) -> None:
    world = sized(stepWeights=[10, 50])
    at_weight(world.push("v2"), 10)
    while not world.crashed or world.weight < 50:
        assert world.advance()
        world.tick(crash_after=None if world.crashed else crash_after)
        if world.weight == 50:
            break
    world.run()
    assert (world.phase, set(sizes(world))) == (Phase.SUCCEEDED, {2, 10, 0})


# Other strategies


def test_blue_green_is_judged_with_its_fewest_pods_and_gets_all_of_them_before_everybody() -> None:
    world = sized(least=3, iterations=2)
    world.push("v2").run()
    assert (world.phase, sizes(world)) == (Phase.SUCCEEDED, [3, 20, 0])
    assert [weight for _, weight in moves(world)] == [100, 0]


def test_without_a_router_the_fewest_pods_are_enough() -> None:
    world = sized(least=2, routed=False, iterations=2).push("v2").run()
    assert (world.phase, sizes(world), world.sizes) == (Phase.SUCCEEDED, [2, 0], (0, 20))


def test_an_audience_of_unknown_size_gets_all_pods() -> None:
    world = sized(iterations=2, match=MATCH).push("v2").run()
    assert (world.phase, sizes(world)) == (Phase.SUCCEEDED, [20, 0])


@pytest.mark.parametrize(("cannot", "share", "pods"), [(set(), 30, 6), (set(), 0, 20), ({"mirror_weight"}, 30, 20)])
def test_copies_of_requests_find_their_pods_which_go_once_users_need_fewer(
    cannot: set[str], share: int, pods: int
) -> None:
    world = sized(mirror=True, mirrorWeight=share, stepWeights=[10, 20])
    world.cannot = frozenset(cannot)
    at_weight(world.push("v2"), 10)
    assert sizes(world) == [pods]
    began = world.now
    until(world, d.ScaleTarget)
    assert sizes(world) == [2]
    assert world.now - began == timedelta(seconds=1), "when the data plane has ended the copies"
    world.run()
    assert world.phase is Phase.SUCCEEDED


def test_without_analysis_nobody_comes_and_the_fewest_pods_show_that_the_revision_starts() -> None:
    world = sized(_skipAnalysis=True).push("v2").run()
    assert (world.phase, sizes(world)) == (Phase.SUCCEEDED, [1, 0])


# The way back


def test_users_return_in_steps_to_a_primary_that_has_all_pods() -> None:
    world = sized(stepWeights=[50], stepWeightPromotion=20)
    at_weight(world.push("v2"), 50)
    world.run()
    assert [weight for _, weight in moves(world)] == [50, 30, 10, 0]
    assert (world.phase, sizes(world)) == (Phase.SUCCEEDED, [10, 0])


def test_a_rollback_is_at_once_and_the_canary_goes_when_users_have_left() -> None:
    metric = {"name": "latency", "interval": "1m", "thresholdRange": {"max": 1}, "query": "x"}
    world = sized(stepWeights=[10, 50], metrics=[metric])
    at_weight(world.push("v2"), 50)
    world.metrics["latency"] = Verdict.FAILED
    world.run()
    assert (world.phase, world.weight, sizes(world), world.sizes) == (Phase.FAILED, 0, [2, 10, 0], (0, 20))


def test_a_new_revision_begins_with_the_pods_of_the_first_share() -> None:
    world = sized(stepWeights=[10, 50])
    at_weight(world.push("v2"), 50)
    world.actions.clear()
    world.push("v3").run()
    assert (world.phase, sizes(world)) == (Phase.SUCCEEDED, [2, 10, 0])


def test_a_canary_that_serves_everybody_because_the_promotion_failed_gets_all_pods_first() -> None:
    world = sized(stepWeights=[10, 50])
    assert world.primary
    at_weight(world.push("v2"), 50)
    world.primary.broken, world.primary_breaks = {"v2"}, {"v2"}
    world.primary.room = 15  # of the old revision, which go on serving
    world.actions.clear()
    world.run()
    assert (world.phase, world.weight, world.sizes[0]) == (Phase.FAILED, 100, 20)
    [(scaled, _)] = [row for row in world.actions if isinstance(row[1], d.ScaleTarget)]
    [(moved, _)] = moves(world)
    assert moved - scaled == timedelta(seconds=3)
    world.primary.broken.clear()
    world.primary.room = 1000
    world.touch().run()
    assert (world.phase, world.weight, world.sizes) == (Phase.SUCCEEDED, 0, (0, 20))


def test_a_canary_that_finds_no_room_for_everybody_serves_them_all_the_same() -> None:
    world = sized(stepWeights=[10, 50])
    assert world.primary
    assert world.target
    at_weight(world.push("v2"), 50)
    world.primary.broken, world.target.room = {"v2"}, 12
    world.run()
    assert (world.phase, world.weight) == (Phase.FAILED, 100)
    assert "payment.shop has 12 of the 20 pods that all users need: going on with these" in world.texts


def test_a_canary_that_is_alone_serves_at_once_and_grows_beside() -> None:
    world = sized(stepWeights=[10, 50])
    at_weight(world.push("v2"), 10)
    world.actions.clear()
    world.delete_primary().run_for(0.1)
    assert [weight for _, weight in moves(world)] == [100]
    world.run_for(5)
    assert world.sizes[1] == 20, "the primary comes back as large as it was"
    assert 20 in sizes(world)
    world.run()
    assert (world.phase, world.sizes) == (Phase.SUCCEEDED, (0, 20))


@pytest.mark.parametrize("phase", [Phase.PROGRESSING, Phase.PROMOTING])
def test_a_deletion_gives_the_target_all_pods_before_it_gets_its_users_back(phase: Phase) -> None:
    world = sized(stepWeights=[10, 50])
    at_weight(world.push("v2"), 10)
    world.run(phase)
    world.delete().run()
    assert (world.gone, world.sizes, world.destinations()) == (True, (20, 0), {"target"})


# Strangers


def test_a_canary_that_a_stranger_scales_gets_its_size_back_once_an_interval() -> None:
    world = sized(stepWeights=[10, 50], webhooks=[hook("confirm-traffic-increase")])
    at_weight(world.push("v2"), 10)
    world.hooks["confirm-traffic-increase"] = Verdict.FAILED
    world.run_for(30)
    world.actions.clear()
    for replicas in (7, 1, 7, 1, 7, 1):
        world.scale(replicas).run_for(5)
    assert 2 <= len(sizes(world)) <= 4
    assert set(sizes(world)) == {2}


def test_a_primary_that_is_scaled_takes_the_canary_along() -> None:
    world = sized(stepWeights=[10, 50])
    at_weight(world.push("v2"), 10)
    assert world.primary
    world.primary.edit(replicas=60)
    world.touch().run_for(5)
    assert world.sizes == (6, 60)
    world.run()
    assert (world.phase, world.sizes) == (Phase.SUCCEEDED, (0, 60))


def test_a_canary_that_is_alone_for_long_gets_all_pods_as_well() -> None:
    world = sized(stepWeights=[10, 50])
    at_weight(world.push("v2"), 10)
    world.kept.clear()
    world.may_keep = False
    world.delete_primary().run()
    assert (world.phase, world.weight, world.sizes) == (Phase.FAILED, 100, (20, 0))
    assert world.condition("Stalled") == "True"


def test_a_primary_that_is_made_smaller_takes_no_pod_from_users_and_grows_before_they_return() -> None:
    world = sized(stepWeights=[10, 100])
    at_weight(world.push("v2"), 100)
    assert world.primary
    world.primary.edit(replicas=2)
    world.touch().run_for(5)
    assert world.sizes == (20, 2)
    world.run()
    assert (world.phase, world.sizes) == (Phase.SUCCEEDED, (0, 20))
    grown, returned = (
        next(moment for moment, action in world.actions if action in wanted)
        for wanted in ([d.ScalePrimary(20)], [d.SetRoutes(ALL_TO_PRIMARY)])
    )
    assert grown < returned


def test_shares_by_replicas_follow_a_primary_that_is_made_smaller() -> None:
    world = by_replicas(stepWeights=[50], webhooks=[hook("confirm-promotion")])
    at_weight(world.push("v2"), 50)
    world.hooks["confirm-promotion"] = Verdict.FAILED
    assert world.primary
    world.primary.edit(replicas=4)
    world.touch().run_for(30)
    assert world.status.rollout.share == "asked 50 %, 4 of 8 pods = 50 %"


def test_taking_the_setting_away_gives_the_canary_all_pods() -> None:
    world = sized(stepWeights=[10, 50])
    at_weight(world.push("v2"), 10)
    world.edit(stepWeights=[10, 50]).run(Phase.SUCCEEDED)
    assert 20 in sizes(world)
    assert world.status.rollout.full_size == 0


def test_adding_the_setting_takes_the_pods_away_that_nobody_needs() -> None:
    world = sized(stepWeights=[10, 50], canaryScale=None)
    at_weight(world.push("v2"), 10)
    assert world.sizes == (20, 20)
    world.edit(stepWeights=[10, 50], **SIZED).run()
    assert (world.phase, sizes(world)) == (Phase.SUCCEEDED, [20, 2, 10, 0])


def test_between_rollouts_nothing_of_it_is_left() -> None:
    world = sized(stepWeights=[10, 50]).push("v2").run()
    assert (world.status.rollout.full_size, world.status.rollout.step.growth) == (0, None)


# Where pods are shares


def by_replicas(pods: int = 8, **analysis: Any) -> World:
    """A world at rest whose users are spread evenly over the pods of primary and canary."""
    target = Deployment(NAME, "v1", pods, START)
    world = World(spec=spec(**{**BY_REPLICAS, **analysis}), target=target).run()
    world.actions.clear()
    return world


@pytest.mark.parametrize("share", [1, 10, 33, 50])
@pytest.mark.parametrize("primary", [1, 2, 3, 7, 8, 100, 999])
def test_no_other_number_of_pods_is_nearer_to_a_share(primary: int, share: int) -> None:
    distance = {pods: abs(Fraction(pods, pods + primary) - Fraction(share, 100)) for pods in range(1, primary + 2)}
    found = nearest(primary, share)
    assert distance[found] == min(distance.values())
    assert found == min(pods for pods, far in distance.items() if far == distance[found])


def test_the_numbers_of_pods_follow_the_shares_and_the_truth_is_told() -> None:
    world = by_replicas(stepWeights=[10, 25, 50, 100])
    shares = []
    for weight in (10, 25, 50, 100):
        at_weight(world.push("v2"), weight).run_for(0.1)
        shares.append(world.status.rollout.share)
    assert shares == [
        "asked 10 %, 1 of 9 pods = 11.1 %",
        "asked 25 %, 3 of 11 pods = 27.3 %",
        "asked 50 %, 8 of 16 pods = 50 %",
        "",
    ]
    world.run()
    assert (world.phase, sizes(world), world.sizes) == (Phase.SUCCEEDED, [1, 3, 8, 0], (0, 8))
    assert "Share of payment.shop: asked 25 %, 3 of 11 pods = 27.3 %" in world.texts


def test_one_pod_of_two_is_half_of_the_users_whatever_was_asked_for() -> None:
    world = by_replicas(1, stepWeights=[5])
    at_weight(world.push("v2"), 5).run_for(0.1)
    assert world.status.rollout.share == "asked 5 %, 1 of 2 pods = 50 %"


def test_nothing_is_told_of_pods_that_come_or_go() -> None:
    world = by_replicas(16, stepWeights=[10, 50])
    at_weight(world.push("v2"), 10).run_for(0.1)
    assert world.target
    world.target.room = 1
    world.laws.sabotaged = True
    world.touch().run_for(0.1)
    assert world.status.rollout.share == "asked 10 %, 2 of 18 pods = 11.1 %"


def test_pods_that_a_stranger_adds_are_told_as_what_they_are_and_go_again() -> None:
    world = by_replicas(stepWeights=[10], webhooks=[hook("confirm-promotion")])
    at_weight(world.push("v2"), 10)
    world.hooks["confirm-promotion"] = Verdict.FAILED
    world.run_for(30)
    world.scale(8).run_for(0.1)
    assert world.sizes[0] == 1
    world.scale(8).run_for(12)
    assert "Share of payment.shop: asked 10 %, 8 of 16 pods = 50 %" in world.texts
    assert world.status.rollout.share == "asked 10 %, 1 of 9 pods = 11.1 %"


def test_a_rollback_is_at_once_since_the_primary_has_all_its_pods() -> None:
    world = by_replicas(stepWeights=[50], webhooks=[hook("rollback")])
    at_weight(world.push("v2"), 50)
    world.hooks["rollback"] = Verdict.PASSED
    world.run()
    assert (world.phase, world.weight, world.sizes, world.status.rollout.share) == (Phase.FAILED, 0, (0, 8), "")


def test_a_provider_that_shifts_weights_leaves_the_pods_alone() -> None:
    world = by_replicas(stepWeights=[10])
    world.cannot = frozenset({"by_replicas"})
    world.push("v2").run()
    assert (world.phase, sizes(world), world.status.rollout.share) == (Phase.SUCCEEDED, [8, 0], "")


def test_blue_green_by_replicas_is_a_switch_between_two_whole_workloads() -> None:
    world = by_replicas(iterations=2).push("v2").run()
    assert (world.phase, sizes(world)) == (Phase.SUCCEEDED, [8, 0])
    assert [weight for _, weight in moves(world)] == [100, 0]


def test_users_come_with_every_pod_so_none_comes_to_a_canary_that_is_judged_badly() -> None:
    metric = {"name": "latency", "interval": "1m", "thresholdRange": {"max": 1}, "query": "x"}
    world = by_replicas(stepWeights=[10, 50], metrics=[metric], threshold=5)
    at_weight(world.push("v2"), 10)
    until(world, d.ScaleTarget)
    assert world.target
    world.target.room = 4
    world.metrics["latency"] = Verdict.FAILED
    world.touch().run_for(12)
    assert (world.weight, world.sizes[0], world.status.failed_checks) == (10, 1, 1)
    world.target.room = 1000
    world.metrics.clear()
    at_weight(world, 50)
    assert world.sizes[0] == 8


def test_a_pause_lets_no_pods_come_where_users_come_with_them() -> None:
    world = by_replicas(stepWeights=[10, 50])
    at_weight(world.push("v2"), 10)
    until(world, d.ScaleTarget)
    world.ask(Verb.PAUSE).run_for(120)
    assert (world.phase, world.weight, world.sizes[0]) == (Phase.PROGRESSING, 10, 1)
    world.ask(Verb.RESUME).run()
    assert (world.phase, sizes(world)[-2:]) == (Phase.SUCCEEDED, [8, 0])


def test_a_share_that_weights_had_made_needs_no_more_pods_than_the_primary_has() -> None:
    world = by_replicas(stepWeights=[90])
    world.cannot = frozenset({"by_replicas"})
    at_weight(world.push("v2"), 90)
    world.actions.clear()
    world.cannot = frozenset()
    world.edit(**BY_REPLICAS, stepWeights=[10, 50]).run()
    assert (world.phase, sizes(world)) == (Phase.SUCCEEDED, [0])


@pytest.mark.parametrize("what", ["rolled back", "without its target", "deleted"])
def test_no_share_is_told_once_nobody_has_it(what: str) -> None:
    world = by_replicas(stepWeights=[10, 50])
    at_weight(world.push("v2"), 50).run_for(0.1)
    assert world.status.rollout.share
    world.problems = ("a mistake.",)
    if what == "rolled back":
        world.ask("abort").run_for(1)
    elif what == "deleted":
        world.delete().run_for(1)
    else:
        world.delete_target().run_for(1)
    assert world.status.rollout.share == ""


# Without an end


def test_somebody_who_keeps_the_primary_small_is_followed_after_a_while() -> None:
    world = sized(stepWeights=[10, 100])
    at_weight(world.push("v2"), 100)
    world.run(Phase.PROMOTING)
    began, primary = world.now, world.primary
    assert primary
    while world.phase is not Phase.SUCCEEDED:
        assert world.now - began < timedelta(minutes=5), world.status.rollout.reason
        primary.edit(replicas=2)
        world.touch().run_for(2)
    assert timedelta(seconds=60) < world.now - began
    said = "payment-primary.shop has 2 of its 20 pods, because something else scales it: going on with these"
    assert said in world.texts
    world.run()
    assert (world.status.rollout.full_size, world.status.rollout.asked_whole_at) == (0, None)


def test_a_closed_gate_is_asked_once_an_interval_whatever_pods_come() -> None:
    world = sized(stepWeights=[10, 50], webhooks=[hook("confirm-promotion")])
    at_weight(world.push("v2"), 10)
    until(world, d.ScaleTarget)
    world.hooks["confirm-promotion"] = Verdict.FAILED
    world.edit(stepWeights=[10], **SIZED, webhooks=[hook("confirm-promotion")]).run_for(0.5)
    asked = len(world.asked)
    for _ in range(8):
        world.touch().run_for(0.5)
    assert len(world.asked) == asked


FIRST: dict[str, Any] = {"match": MATCH, "matchFirst": True}


def test_an_audience_that_comes_first_finds_all_pods_whatever_the_share_of_everybody_else_is() -> None:
    world = sized(stepWeights=[5, 20, 50], **FIRST).push("v2").run(Phase.PROGRESSING)
    assert world.sizes == (20, 20)
    for weight in (5, 20, 50):
        at_weight(world, weight)
        assert world.target
        assert world.target.available == 20
    world.run()
    assert (sizes(world), world.outcomes) == ([20, 0], ["succeeded"])


def test_an_audience_that_comes_first_finds_all_pods_after_copies_of_a_share() -> None:
    world = at_weight(sized(stepWeights=[5, 50], mirror=True, mirrorWeight=10, **FIRST).push("v2"), 5)
    assert world.target
    assert world.target.available == 20


def test_a_share_of_an_audience_needs_no_more_pods_than_one_of_everybody() -> None:
    world = at_weight(sized(stepWeights=[5, 50], match=MATCH).push("v2"), 5)
    assert world.sizes == (1, 20)
