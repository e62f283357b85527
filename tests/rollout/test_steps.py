"""How the weight climbs, when, and how users go back to the primary."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import Verdict
from tests.rollout.world import World, initialized, spec


def rollout(**analysis: Any) -> World:
    world = initialized(spec=spec(**analysis))
    world.actions.clear()
    world.events.clear()
    return world.push("v2").run()


def weights(world: World) -> list[int]:
    return [action.routes.canary for _, action in world.actions if isinstance(action, d.SetRoutes)]


@pytest.mark.parametrize(
    ("title", "analysis", "expected"),
    [
        ("stepWeight up to maxWeight", {"stepWeight": 10, "maxWeight": 30}, [10, 20, 30, 0]),
        ("the last step may overshoot maxWeight", {"stepWeight": 20, "maxWeight": 50}, [20, 40, 60, 0]),
        ("no share above 100", {"stepWeight": 60, "maxWeight": 100}, [60, 100, 0]),
        ("without maxWeight up to 100", {"stepWeight": 50, "maxWeight": 0}, [50, 100, 0]),
        ("stepWeights as listed", {"stepWeights": [1, 2, 10, 80]}, [1, 2, 10, 80, 0]),
        ("maxWeight does not shorten stepWeights", {"stepWeights": [10, 90], "maxWeight": 50}, [10, 90, 0]),
        (
            "stepWeightPromotion shifts back in steps",
            {"stepWeight": 50, "maxWeight": 100, "stepWeightPromotion": 40},
            [50, 100, 60, 20, 0],
        ),
        (
            "one step of everybody, back in steps",
            {"stepWeight": 100, "maxWeight": 100, "stepWeightPromotion": 50},
            [100, 50, 0],
        ),
        ("skipAnalysis never sends users to the canary", {"_skipAnalysis": True}, []),
    ],
)
def test_weights(title: str, analysis: dict[str, Any], expected: list[int]) -> None:
    world = rollout(**analysis)
    assert weights(world) == expected, title
    assert world.phase is Phase.SUCCEEDED, title


def test_the_first_weight_comes_as_soon_as_the_canary_is_ready_and_each_is_held_an_interval() -> None:
    world = rollout()
    times = [(when, action) for when, action in world.actions if isinstance(action, d.ScaleTarget | d.SetRoutes)]
    seconds = [(later[0] - earlier[0]).total_seconds() for earlier, later in itertools.pairwise(times)]
    pods, primary, accepted = 3, 3, 1
    assert seconds == [pods, 10, 10, 10 + primary, accepted + 10]


def test_traffic_stays_split_until_the_primary_runs_the_new_template() -> None:
    world = initialized().push("v2")
    world.run(Phase.PROMOTING)
    assert world.weight == 30
    world.advance()
    world.tick()
    assert world.weight == 30
    assert world.primary
    assert world.primary.template == "v2"
    world.run(Phase.FINALISING)
    assert world.primary.complete()
    assert world.weight == 0


def test_the_target_is_scaled_to_the_primarys_size() -> None:
    world = initialized()
    assert world.primary
    world.primary.edit(replicas=4)
    world.push("v2").run(Phase.PROGRESSING)
    assert world.actions[-1][1] == d.ScaleTarget(4)


def test_a_target_that_is_running_already_starts_without_any_other_sign() -> None:
    world = initialized()
    world.scale(2)
    world.push("v2").run()
    assert world.outcomes == ["succeeded"]


def test_the_primary_grows_with_the_target_before_it_takes_all_users() -> None:
    world = initialized().push("v2")
    world.run(Phase.PROGRESSING)
    world.scale(5).run()
    assert world.primary
    assert world.primary.replicas == 5
    assert world.outcomes == ["succeeded"]


def test_an_edited_list_of_steps_goes_on_with_the_next_higher_one() -> None:
    world = initialized().push("v2")
    while world.weight < 20:
        world.advance()
        world.tick()
    world.actions.clear()
    world.edit(stepWeights=[5, 15, 70]).run()
    assert weights(world) == [70, 0]


def test_a_longer_interval_holds_the_running_step_longer() -> None:
    world = initialized().push("v2")
    while world.weight < 10:
        world.advance()
        world.tick()
    began = world.now
    world.edit(interval="60s")
    while world.weight < 20:
        world.advance()
        world.tick()
    assert (world.now - began).total_seconds() == 60


def test_a_silent_data_plane_is_believed_after_a_while_and_a_refused_route_holds() -> None:
    world = initialized()
    assert world.route
    world.push("v2")
    while world.weight < 10:
        world.advance()
        world.tick()
    world.route.refused = True
    world.run_for(300)
    assert world.weight == 10
    assert world.status.rollout.reason.startswith("the data plane refuses the route: no such gateway; mend ")
    world.route.refused = False
    world.touch().run()
    assert world.outcomes == ["succeeded"]


def test_a_data_plane_may_say_why_it_serves_no_route_yet() -> None:
    world = initialized()
    world.accept_after, world.why_silent = timedelta(seconds=600), "nobody leads to it"
    reasons = []
    world.push("v2")
    while world.phase is not Phase.SUCCEEDED:
        world.advance()
        world.tick()
        reasons.append(world.status.rollout.reason)
    told = "waiting for the data plane to accept the route: nobody leads to it; goes on without its answer at 12:"
    assert [reason for reason in reasons if reason.startswith(told)]


def test_blue_green_with_provider_kubernetes_judges_so_many_times_and_promotes() -> None:
    world = initialized(spec=spec(iterations=3), routed=False)
    world.events.clear()
    world.push("v2").run()
    assert [text for text in world.texts if "not ready" not in text] == [
        "New revision detected! Scaling up payment.shop",
        "Starting canary analysis for payment.shop",
        "Advance payment.shop canary iteration 1/3",
        "Advance payment.shop canary iteration 2/3",
        "Advance payment.shop canary iteration 3/3",
        "Copying payment.shop template spec to payment-primary.shop",
        "Promotion completed! Scaling down payment.shop",
    ]
    assert not weights(world)


def test_weights_on_a_provider_without_routes_are_ten_iterations() -> None:
    world = initialized(spec=spec(), routed=False).push("v2").run()
    assert "Advance payment.shop canary iteration 10/10" in world.texts


def test_blue_green_with_a_router_ends_with_all_users_on_the_canary_for_one_more_judgement() -> None:
    world = rollout(iterations=2)
    assert weights(world) == [100, 0]
    assert [text for text in world.texts if "iteration" in text or "Routing" in text] == [
        "Advance payment.shop canary iteration 1/2",
        "Advance payment.shop canary iteration 2/2",
        "Routing all traffic to canary",
        "Routing all traffic to primary",
    ]


def test_an_ab_test_sends_the_chosen_users_from_the_first_iteration_on() -> None:
    world = rollout(iterations=2, match=[{"headers": {"x-user": {"exact": "me"}}}])
    assert weights(world) == [100, 0]
    assert world.outcomes == ["succeeded"]


def test_a_check_that_fails_now_and_then_repeats_its_weight() -> None:
    world = initialized(spec=spec(metrics=[{"name": "latency", "interval": "1m", "query": "x"}])).push("v2")
    while world.weight < 10:
        world.advance()
        world.tick()
    began = world.now
    world.metrics["latency"] = Verdict.FAILED
    world.run_for(15)
    world.metrics.clear()
    while world.weight < 20:
        world.advance()
        world.tick()
    assert (world.now - began).total_seconds() == 20
    assert world.status.failed_checks == 1, "failures need not be consecutive to count"


@pytest.mark.parametrize(("at", "next_one"), [(10, 20), (20, 30)])
def test_a_stranger_who_sets_the_next_weight_skips_no_checks(at: int, next_one: int) -> None:
    world = initialized().push("v2")
    while world.weight != at:
        world.advance()
        world.tick()
    world.run_for(2)
    judged, looked = len(world.asked), world.status.rollout.step.attempt
    world.turn_route(next_one).run_for(3)
    assert (world.weight, world.status.rollout.step.weight) == (at, at)
    assert f"The weights of payment.shop were changed from outside to {next_one}%: put back to {at}%" in world.texts
    assert (len(world.asked), world.status.rollout.step.attempt) == (judged, looked)
    assert world.run().phase is Phase.SUCCEEDED


def test_a_stranger_cannot_send_users_to_a_primary_that_is_not_ready() -> None:
    world = initialized()
    assert world.primary
    world.primary_breaks, world.primary.broken = {"v2"}, {"v2"}
    world.push("v2").run(Phase.PROMOTING).run_for(1)
    assert world.weight == 30
    world.turn_route(0).run_for(15)
    assert (world.phase, world.weight) == (Phase.PROMOTING, 30)
    assert "The weights of payment.shop were changed from outside to 0%: put back to 30%" in world.texts
    world.primary.broken.clear()
    assert world.touch().run().phase is Phase.SUCCEEDED


def test_a_shift_that_a_crash_left_unrecorded_counts_once_the_primary_is_ready() -> None:
    world = initialized().push("v2").run(Phase.PROMOTING)
    while world.weight:
        world.advance()
        ready = world.status.rollout.promoted is not None and world.primary is not None and world.primary.complete()
        world.tick(crash_after=1 if ready else None)
    assert (world.crashed, world.phase) == (True, Phase.PROMOTING)
    assert world.run().phase is Phase.SUCCEEDED
    assert not any("changed from outside" in text for text in world.texts)
