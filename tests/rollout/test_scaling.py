"""Autoscaled canaries: sizes, the primary's autoscaler in every phase, and users who find enough pods."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY
from tests.rollout.workloads import Autoscaler
from tests.rollout.world import SCALER, World, autoscaled, hook

MATCH = [{"headers": {"x-user": {"exact": "me"}}}]


def at_rest(**arguments: Any) -> World:
    """A world whose canary is bootstrapped and whose autoscaler has no floor any more."""
    world = autoscaled(**arguments).run()
    world.actions.clear()
    return world


def at_weight(world: World, weight: int) -> World:
    while world.weight < weight:
        assert world.advance()
        world.tick()
    return world


def before_users_return(world: World) -> World:
    """Run until the promotion waits for the primary's pods."""
    world.run(Phase.PROMOTING)
    while not [action for _, action in world.actions if isinstance(action, d.WriteScaler)]:
        assert world.advance()
        world.tick()
    return world


def scaling(world: World) -> list[d.Action]:
    kinds = (d.ScalePrimary, d.WriteScaler, d.DeleteScaler)
    return [action for _, action in world.actions if isinstance(action, kinds)]


def when(world: World, kind: type[d.Action]) -> datetime:
    return next(moment for moment, action in world.actions if isinstance(action, kind))


# Bootstrap and rest


def test_the_primary_gets_an_autoscaler_that_cannot_make_it_smaller_than_the_target_until_it_knows_the_users() -> None:
    world = autoscaled(low=1)
    world.load(target=6).run(Phase.INITIALIZED)
    assert scaling(world) == [d.WriteScaler(6)]
    world.load(primary=1).run_for(60)
    assert world.sizes == (0, 6), "the primary's metrics are those of pods without users"
    world.run()
    assert scaling(world)[-1] == d.WriteScaler(1)
    assert (when(world, d.SetRoutes) + timedelta(minutes=5, seconds=1)) == world.actions[-1][0]
    assert world.sizes == (0, 1)


def test_a_target_that_grows_during_the_bootstrap_takes_the_primary_along() -> None:
    world = autoscaled()
    world.run_for(1)
    world.load(target=9).run(Phase.INITIALIZED)
    assert world.sizes == (0, 9)
    assert d.ScalePrimary(9) in scaling(world)


def test_a_primary_that_may_not_be_as_large_as_the_target_is_not_waited_for_in_vain() -> None:
    world = autoscaled(overrides={"maxReplicas": 4})
    world.load(target=9).run()
    assert (world.phase, world.sizes) == (Phase.INITIALIZED, (0, 4))


def test_adding_an_autoscaler_to_a_primary_of_ten_leaves_it_at_ten() -> None:
    world = World(autoscaler=Autoscaler(2, 20))
    world.load(target=10).run()
    assert (world.sizes, world.primary_autoscaler) == ((0, 10), None)
    world.actions.clear()
    world.edit(_autoscalerRef=SCALER).run()
    assert [action for _, action in world.actions] == [d.WriteScaler(2)]
    assert (world.phase, world.sizes, world.outcomes) == (Phase.INITIALIZED, (0, 10), [])


def test_removing_the_reference_removes_the_autoscaler_and_leaves_the_size() -> None:
    world = at_rest().load(primary=7).run()
    world.edit().run()
    assert scaling(world) == [d.DeleteScaler("payment-primary")]
    assert (world.sizes, world.status.rollout.scaler) == ((0, 7), None)


def test_another_reference_exchanges_the_autoscaler() -> None:
    world = at_rest()
    world.edit(_autoscalerRef=SCALER | {"name": "other"}).run()
    assert scaling(world) == [d.DeleteScaler("payment-primary"), d.WriteScaler(2)]
    assert world.status.rollout.scaler
    assert world.status.rollout.scaler.name == "other-primary"


@pytest.mark.parametrize("phase", [Phase.INITIALIZED, Phase.WAITING, Phase.PROGRESSING, Phase.WAITING_PROMOTION])
def test_an_edit_of_the_autoscaler_is_taken_over_at_once_and_analyses_nothing(phase: Phase) -> None:
    gates = [hook("confirm-rollout"), hook("confirm-promotion")]
    world = at_rest(webhooks=gates)
    if phase is not Phase.INITIALIZED:
        closed = {Phase.WAITING: "confirm-rollout", Phase.WAITING_PROMOTION: "confirm-promotion"}
        world.hooks[closed.get(phase, "-")] = Verdict.FAILED
        world.push("v2").run(phase)
    assert world.autoscaler
    world.autoscaler.low, world.autoscaler.high = 3, 30
    world.touch().advance()
    world.tick()
    assert scaling(world) == [d.WriteScaler(3)]
    assert world.primary_autoscaler
    assert (world.primary_autoscaler.low, world.primary_autoscaler.high) == (3, 30)
    assert (world.phase, world.texts.count("New revision detected! Scaling up payment.shop")) == (
        phase,
        0 if phase in {Phase.INITIALIZED, Phase.WAITING} else 1,
    )


@pytest.mark.parametrize("overrides", [{"minReplicas": 5}, {"maxReplicas": 40}, {"minReplicas": 5, "maxReplicas": 40}])
def test_the_bounds_of_the_canary_win_over_those_of_the_autoscaler(overrides: dict[str, int]) -> None:
    world = at_rest(overrides=overrides)
    assert world.primary_autoscaler
    bounds = world.primary_autoscaler.low, world.primary_autoscaler.high
    assert bounds == (overrides.get("minReplicas", 2), overrides.get("maxReplicas", 20))
    assert world.sizes == (0, max(2, overrides.get("minReplicas", 2)))


def test_a_missing_autoscaler_is_said_and_what_comes_later_goes_on() -> None:
    world = at_rest()
    saved, world.autoscaler = world.autoscaler, None
    world.push("v2").run()
    assert (world.condition("Stalled"), world.phase, world.actions) == ("True", Phase.INITIALIZED, [])
    world.autoscaler = saved
    world.touch().run()
    assert (world.condition("Stalled"), world.phase) == ("False", Phase.SUCCEEDED)


def test_an_autoscaler_that_a_stranger_takes_away_or_changes_comes_back_once_an_interval() -> None:
    world = at_rest()
    for _ in range(95):
        world.primary_autoscaler = None
        world.touch().run_for(1)
    assert 9 <= len(scaling(world)) <= 11
    world.run()
    assert world.primary_autoscaler == Autoscaler(2, 20)


def test_a_suspended_canary_is_left_alone() -> None:
    world = at_rest().suspend().run()
    assert world.autoscaler
    world.autoscaler.high = 30
    world.touch().run()
    assert not world.actions


# Nothing that scales starts a rollout


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("replicas", [0, 1, 3, 11])
def test_replicas_of_the_target_never_start_a_rollout(replicas: int, scaled: bool) -> None:
    world = at_rest() if scaled else World(autoscaler=Autoscaler(2, 20)).run()
    world.scale(replicas).load(target=5, primary=6).run()
    assert (world.phase, world.sizes[0], world.outcomes) == (Phase.INITIALIZED, 0, [])
    assert "New revision detected! Scaling up payment.shop" not in world.texts


# How large a canary begins


@pytest.mark.parametrize(
    ("analysis", "size"),
    [
        ({"stepWeight": 15, "maxWeight": 50}, 3),
        ({"stepWeight": 50, "maxWeight": 50}, 10),
        ({"stepWeights": [5, 50]}, 2),
        ({"iterations": 2}, 20),
        ({"iterations": 2, "match": MATCH}, 20),
        ({"match": MATCH}, 2),
        ({"match": MATCH, "matchFirst": True}, 20),
        ({"_skipAnalysis": True}, 2),
    ],
)
def test_a_canary_begins_with_what_its_first_users_need_of_the_primarys_size(
    analysis: dict[str, Any], size: int
) -> None:
    world = at_rest(high=25, **analysis).load(primary=20).run()
    assert world.sizes == (0, 20)
    world.push("v2").run(Phase.PROGRESSING)
    assert world.sizes[0] == size


def test_a_canary_begins_within_the_bounds_of_its_own_autoscaler() -> None:
    world = at_rest(high=4, overrides={"maxReplicas": 30}, iterations=2).load(primary=20).run()
    world.push("v2").run(Phase.PROGRESSING)
    assert world.sizes == (4, 20)


def test_without_a_router_no_user_comes_to_the_canary() -> None:
    world = autoscaled(iterations=2)
    world.routed = False
    world.run().load(primary=20).run()
    world.push("v2").run(Phase.PROGRESSING)
    assert world.sizes == (2, 20)


# Promotion


@pytest.mark.parametrize(
    ("analysis", "weight", "needed"),
    [
        ({"stepWeight": 50, "maxWeight": 50}, 50, 3 + 8),
        ({"stepWeights": [50, 100]}, 100, 8),
        ({"iterations": 2}, 100, 8),
        ({"iterations": 2, "match": MATCH}, 100, 3 + 8),
        ({"stepWeight": 40, "maxWeight": 80, "stepWeightPromotion": 30}, 80, 3 + 8),
    ],
)
def test_users_return_once_the_primary_has_the_pods_that_served_them(
    analysis: dict[str, Any], weight: int, needed: int
) -> None:
    world = at_rest(**analysis).load(primary=3).run()
    at_weight(world.push("v2"), weight).load(target=8)
    world.actions.clear()
    before_users_return(world)
    assert scaling(world) == [d.ScalePrimary(needed), d.WriteScaler(needed)]
    assert world.weight == weight, "they wait"
    world.run(Phase.FINALISING)
    assert world.sizes[1] == needed
    returned = next(
        at for at, action in world.actions if isinstance(action, d.SetRoutes) and action.routes.canary < 100
    )
    assert returned - when(world, d.ScalePrimary) >= timedelta(seconds=3), "until the pods are ready"
    assert [text for text in world.texts if text.startswith("Scaling up payment-primary")] == [
        f"Scaling up payment-primary.shop to {needed} before all users return to it"
    ]


def test_no_pod_of_the_old_template_is_started_for_the_promotion() -> None:
    world = at_rest(iterations=2).load(primary=3).run()
    at_weight(world.push("v2"), 100).load(target=8)
    world.actions.clear()
    before_users_return(world)
    assert world.primary
    assert {pod.version.partition("|")[0] for pod in world.primary.pods} == {"v2"}
    assert when(world, d.ScalePrimary) - when(world, d.UpdatePrimary) >= timedelta(seconds=3)


def test_the_primarys_autoscaler_cannot_take_the_pods_away_before_it_has_seen_the_users() -> None:
    world = at_rest(iterations=2).load(primary=3).run()
    at_weight(world.push("v2"), 100).load(target=8, primary=2)
    world.run(Phase.SUCCEEDED)
    moved = next(at for at, action in world.actions if action == d.SetRoutes(ALL_TO_PRIMARY))
    assert world.sizes[1] == 8
    world.run_for(240)
    assert world.sizes[1] == 8
    world.run()
    assert world.sizes[1] == 2
    assert world.actions[-1][0] - moved == timedelta(minutes=5, seconds=1)


def test_an_autoscaler_that_forgets_sooner_is_left_alone_sooner() -> None:
    world = at_rest(iterations=2)
    world.memory = timedelta(minutes=1)
    at_weight(world.push("v2"), 100).load(target=8, primary=2)
    world.run(Phase.SUCCEEDED).run_for(70)
    assert world.sizes[1] == 2


def test_a_canary_that_grows_while_users_wait_is_followed() -> None:
    world = at_rest(iterations=2).load(primary=3).run()
    at_weight(world.push("v2"), 100).load(target=4)
    world.actions.clear()
    before_users_return(world)
    world.load(target=9).run(Phase.FINALISING)
    assert world.sizes[1] == 9


def test_the_primary_is_not_asked_for_more_than_its_autoscaler_may_give() -> None:
    world = at_rest(iterations=2, overrides={"maxReplicas": 5}).load(primary=3).run()
    at_weight(world.push("v2"), 100).load(target=8)
    world.run(Phase.SUCCEEDED)
    assert world.sizes[1] == 5


def test_users_do_not_wait_for_ever_for_pods_that_find_no_room() -> None:
    world = at_rest(iterations=2).load(primary=3).run()
    at_weight(world.push("v2"), 100).load(target=8)
    assert world.primary
    world.primary.room = 6
    world.actions.clear()
    before_users_return(world)
    asked = world.now
    world.run(Phase.FINALISING)
    assert world.now - asked == timedelta(seconds=60)
    assert "payment-primary.shop has 6 of the 8 pods that served users: going on with these" in world.texts
    world.primary.room = 1000
    world.touch().run()
    assert world.phase is Phase.SUCCEEDED


def test_nothing_is_asked_for_when_no_user_was_on_the_canary() -> None:
    world = autoscaled(iterations=2)
    world.routed = False
    world.run()
    world.actions.clear()
    world.push("v2").load(target=8).run()
    assert world.phase is Phase.SUCCEEDED
    assert not scaling(world)


def test_the_primarys_own_autoscaler_holds_nothing_up() -> None:
    world = at_rest(iterations=2).load(primary=3).run()
    at_weight(world.push("v2"), 100)
    world.actions.clear()
    before_users_return(world)
    assert world.primary
    for wanted in range(4, 15):
        world.load(primary=wanted).run_for(1)
    assert world.weight == 0, "it has what the canary had, whatever it is still scaled to"


def test_a_promotion_writes_no_replicas_but_those_that_users_need() -> None:
    world = at_rest().load(primary=10).run()
    world.push("v2").run()
    assert world.sizes == (0, 10), "what its metrics ask for"
    assert [a for a in scaling(world) if isinstance(a, d.ScalePrimary)] == [d.ScalePrimary(12)]


# Users who cannot wait


def test_a_rollback_moves_users_at_once_and_asks_for_their_pods_beside() -> None:
    world = at_rest(stepWeight=50, maxWeight=50, webhooks=[hook("rollback")]).load(primary=4).run()
    at_weight(world.push("v2"), 50).load(target=6)
    world.run_for(4)
    world.hooks["rollback"] = Verdict.PASSED
    world.actions.clear()
    world.run(Phase.FAILED)
    assert world.weight == 0
    world.advance()
    world.tick()
    assert scaling(world) == [d.ScalePrimary(10), d.WriteScaler(10)]
    assert when(world, d.ScalePrimary) == when(world, d.SetRoutes), "at the same instant"
    world.load(primary=1).run_for(200)
    assert world.sizes[1] == 10
    world.run()
    assert world.sizes == (0, 2)


def test_another_revision_takes_users_off_the_canary_and_asks_for_their_pods_beside() -> None:
    world = at_rest(stepWeight=50, maxWeight=50).load(primary=4).run()
    at_weight(world.push("v2"), 50).load(target=6)
    world.run_for(4)
    world.actions.clear()
    world.push("v3").run_for(0.1)
    assert world.weight == 0
    assert scaling(world) == [d.ScalePrimary(10), d.WriteScaler(10)]


def test_a_change_during_the_promotion_takes_users_off_the_canary_and_asks_for_their_pods_beside() -> None:
    world = at_rest(iterations=2).load(primary=4).run()
    at_weight(world.push("v2"), 100).load(target=6)
    world.run(Phase.PROMOTING)
    world.run_for(0.1)
    world.actions.clear()
    world.push("v3").run_for(0.1)
    assert world.weight == 0
    assert scaling(world) == [d.ScalePrimary(6), d.WriteScaler(6)]


def test_after_a_failed_promotion_users_return_once_there_are_pods_for_them() -> None:
    world = at_rest(iterations=2).load(primary=3).run()
    assert world.primary
    world.primary.broken = {"v2"}
    at_weight(world.push("v2"), 100).load(target=8)
    world.run()
    assert (world.phase, world.weight) == (Phase.FAILED, 100)
    world.actions.clear()
    world.primary.broken.clear()
    world.touch().run(Phase.SUCCEEDED)
    assert world.sizes[1] == 8
    assert when(world, d.SetRoutes) - when(world, d.ScalePrimary) >= timedelta(seconds=3)


def test_users_of_a_primary_that_broke_wait_on_the_canary_for_all_pods_however_long_it_takes() -> None:
    world = at_rest(iterations=2).load(primary=3).run()
    at_weight(world.push("v2"), 100).load(target=8)
    world.actions.clear()
    before_users_return(world)
    assert world.primary
    world.primary.broken = {"v2"}
    world.touch().run()
    assert (world.phase, world.weight) == (Phase.FAILED, 100)
    world.primary.broken.clear()
    world.primary.room = 3
    world.touch().run_for(600)
    assert (world.phase, world.weight) == (Phase.FAILED, 100)
    world.primary.room = 1000
    world.touch().run()
    assert (world.phase, world.weight) == (Phase.SUCCEEDED, 0)


# Deletion and release


@pytest.mark.parametrize("routed", [True, False])
def test_deletion_gives_the_target_the_primarys_size_and_takes_the_autoscaler_away(routed: bool) -> None:
    world = autoscaled(iterations=2)
    world.routed = routed
    world.run().load(primary=9).run()
    world.delete().run()
    assert world.gone
    assert (world.sizes, world.primary_autoscaler) == ((9, 0), None)


def test_a_target_is_not_asked_for_more_than_its_own_autoscaler_may_give() -> None:
    world = at_rest(high=5, overrides={"maxReplicas": 30}).load(primary=9).run()
    world.delete().run()
    assert (world.gone, world.sizes) == (True, (5, 0))


def test_a_target_whose_autoscaler_insists_on_less_takes_over_when_its_time_is_over() -> None:
    world = at_rest().load(primary=9).run()
    assert world.autoscaler
    world.autoscaler.wants = 3
    began = world.now
    world.delete().run()
    assert world.gone
    assert (world.sizes, world.destinations()) == ((3, 0), {"target"})
    assert timedelta(seconds=60) <= world.now - began < timedelta(seconds=90)


def test_a_primary_that_is_left_serving_keeps_its_autoscaler() -> None:
    world = at_rest().load(primary=4).run()
    assert world.target
    world.target.broken.add("v1")
    world.delete().run()
    assert world.gone
    assert (world.sizes[1], world.primary_autoscaler) == (4, Autoscaler(2, 20, 4))


def test_a_canary_of_an_autoscaler_that_is_gone_can_be_deleted() -> None:
    world = at_rest()
    world.autoscaler = None
    world.touch().run().delete().run()
    assert (world.gone, world.sizes, world.primary_autoscaler) == (True, (2, 0), None)


def test_a_released_canary_that_is_taken_up_again_has_its_autoscaler_again() -> None:
    world = at_rest().release().run()
    assert world.phase is Phase.TERMINATED
    assert world.primary_autoscaler is None
    world.release(wanted=False).run()
    assert world.primary_autoscaler == Autoscaler(2, 20)


def test_the_canary_says_what_it_waits_for() -> None:
    world = at_rest(iterations=2).load(primary=3).run()
    at_weight(world.push("v2"), 100).load(target=8)
    world.actions.clear()
    before_users_return(world)
    assert world.status.rollout.reason == (
        "waiting for payment-primary.shop to have as many pods as have served users until now"
    )
