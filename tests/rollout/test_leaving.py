"""An edit of the provider, or of a name, gives the former route back as soon as nobody needs it, and never sooner."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from flaggerpy.api.places import RoutePlace
from flaggerpy.api.status import Phase
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.traffic import ALL_TO_CANARY, ALL_TO_PRIMARY
from tests.rollout.workloads import Route
from tests.rollout.world import World, hook, initialized, spec

GATEWAY = RoutePlace(provider="gatewayapi:v1", service="payment")
CONTOUR = RoutePlace(provider="contour", service="payment")
RENAMED = RoutePlace(provider="gatewayapi:v1", service="shop")
PLACES = [None, CONTOUR, RENAMED]
GIVEN_BACK = "The former route of payment.shop with provider gatewayapi:v1 is given back"


def at_rest() -> World:
    return initialized(place=GATEWAY)


def halfway() -> World:
    """A canary that has users and is kept there."""
    world = initialized(place=GATEWAY, spec=spec(webhooks=[hook("rollout")], threshold=1000))
    world.hooks["rollout"] = Verdict.FAILED
    world.push("v2").run_for(20)
    assert (world.phase, world.weight, world.destinations()) == (Phase.PROGRESSING, 10, {"primary", "target"})
    return world


def leaves(world: World) -> int:
    return sum(isinstance(action, d.LeaveRoutes) for _, action in world.actions)


def test_where_the_route_is_stands_in_the_status_before_it_is_written() -> None:
    world = World(place=GATEWAY)
    world.tick()
    assert (world.status.rollout.routes, world.route) == ([GATEWAY], None)


def test_one_of_an_older_version_is_recorded_once_and_costs_nothing_else() -> None:
    world = initialized()
    world.place = GATEWAY
    writes, actions = world.status_writes, len(world.actions)
    world.touch().run()
    assert world.status.rollout.routes == [GATEWAY]
    assert (world.status_writes, len(world.actions)) == (writes + 1, actions)


@pytest.mark.parametrize("place", PLACES)
def test_the_former_route_is_given_back_once(place: RoutePlace | None) -> None:
    world = at_rest().lead(place).run()
    assert world.former
    assert (world.former.released, leaves(world)) == (True, 1)
    assert world.status.rollout.routes == ([place] if place else [])
    assert world.phase is Phase.INITIALIZED
    assert world.destinations() == {"primary"}
    assert (GIVEN_BACK if place != RENAMED else "The former route of payment.shop is given back") in world.texts
    ticks, writes = world.ticks, world.status_writes
    world.touch().run()
    assert (world.ticks, world.status_writes, leaves(world)) == (ticks + 1, writes, 1)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_router_may_take_several_steps_for_it(steps: int) -> None:
    world = at_rest()
    world.ahead = steps
    world.named["routes"] = steps
    world.lead(None).run()
    assert world.former
    assert (world.former.released, leaves(world)) == (True, steps + 1)
    assert world.texts.count(GIVEN_BACK) == 1
    times = [moment for moment, action in world.actions if isinstance(action, d.LeaveRoutes)]
    assert all(later - sooner >= timedelta(seconds=10) for sooner, later in pairwise(times))


def test_it_serves_until_the_data_plane_has_the_new_one() -> None:
    world = at_rest()
    world.accept_after = timedelta(seconds=20)
    world.lead(CONTOUR).run_for(19)
    assert world.former
    assert (world.former.released, world.status.rollout.routes) == (False, [GATEWAY, CONTOUR])
    assert "stays in use until the data plane has its new route" in world.status.rollout.reason
    world.run()
    assert world.former.released


def test_a_silent_data_plane_is_believed_after_a_while() -> None:
    world = at_rest()
    world.accept_after = timedelta(hours=9)
    world.lead(CONTOUR).run_for(50)
    assert world.former
    assert not world.former.released
    world.run_for(60)
    assert world.former.released


def test_a_route_that_its_user_made_before_is_given_its_time_as_well() -> None:
    """It is right as it is, so nothing is written that would begin the time; the canary is at rest for long."""
    world = at_rest().run_for(300)
    world.lead(CONTOUR)
    world.route = Route(ALL_TO_PRIMARY, ALL_TO_PRIMARY, world.now + timedelta(hours=9))
    world.run_for(50)
    assert world.former
    assert (world.former.released, leaves(world)) == (False, 0)
    world.run_for(60)
    assert world.former.released


def test_a_new_route_that_is_refused_leaves_users_where_they_are() -> None:
    world = at_rest()
    world.refuses = True
    world.lead(CONTOUR).run_for(600)
    assert world.former
    assert not world.former.released
    assert "stays in use: the data plane refuses the route: no such gateway" in world.status.rollout.reason


def test_without_a_route_it_waits_for_a_primary_that_can_serve() -> None:
    world = at_rest()
    assert world.primary
    world.primary.edit(replicas=4)
    world.lead(None).run_for(2)
    assert world.former
    assert not world.former.released
    assert "stays in use until payment-primary.shop can serve everybody" in world.status.rollout.reason
    world.run()
    assert world.former.released


@pytest.mark.parametrize("place", PLACES)
def test_in_mid_rollout_nobody_is_sent_to_a_target_that_sleeps(place: RoutePlace | None) -> None:
    """The laws look at every instant, and users of the former route are among those who must be served."""
    world = halfway().lead(place).run_for(3)
    world.hooks.clear()
    world.touch().run(Phase.SUCCEEDED).run()
    assert world.former
    assert (world.former.released, world.sizes[0], world.destinations()) == (True, 0, {"primary"})


@pytest.mark.parametrize("place", PLACES)
def test_a_rollback_waits_for_users_of_the_former_route(place: RoutePlace | None) -> None:
    world = halfway()
    world.accept_after = timedelta(seconds=30)
    world.lead(place).run_for(3)
    world.ask("abort").run(Phase.FAILED).run()
    assert world.former
    assert (world.former.released, world.sizes[0], world.destinations()) == (True, 0, {"primary"})


@pytest.mark.parametrize("what", ["aborted", "another revision"])
def test_a_new_route_that_is_refused_keeps_no_user_on_a_canary_that_shall_meet_nobody(what: str) -> None:
    world = halfway()
    world.refuses = True
    world.lead(CONTOUR).run_for(60)
    assert world.destinations() == {"primary", "target"}
    (world.ask("abort") if what == "aborted" else world.push("v3")).run_for(15)
    assert world.former
    assert (world.former.released, world.destinations()) == (True, {"primary"})


def test_without_a_route_the_analysis_begins_again_without_users() -> None:
    world = halfway().lead(None).run_for(3)
    assert world.former
    assert world.former.released
    assert (world.phase, world.status.canary_weight) == (Phase.PROGRESSING, 0)
    assert "Advance payment.shop canary iteration 1/10" in world.texts


@pytest.mark.parametrize("place", PLACES)
def test_a_target_that_serves_all_users_keeps_them(place: RoutePlace | None) -> None:
    world = initialized(place=GATEWAY)
    assert world.primary
    world.primary_breaks, world.primary.broken = {"v2"}, {"v2"}
    world.push("v2").run(Phase.FAILED).run()
    assert world.status.rollout.serving_canary
    world.lead(place).run_for(120)
    assert world.former
    assert (world.former.released, world.former.served) == (False, ALL_TO_CANARY)
    world.primary.broken.clear()
    world.touch().run()
    assert (world.former.released, world.destinations()) == (True, {"primary"})


@pytest.mark.parametrize("place", PLACES)
def test_a_deletion_gives_both_back(place: RoutePlace | None) -> None:
    world = at_rest()
    world.refuses = place is not None
    world.lead(place).run_for(1)
    world.delete().run_for(600)
    assert world.gone
    assert world.former
    assert world.former.released


def test_two_edits_in_a_row_leave_nothing_behind() -> None:
    world = at_rest()
    world.accept_after = timedelta(seconds=20)
    world.lead(CONTOUR).run_for(2)
    assert world.status.rollout.routes == [GATEWAY, CONTOUR]
    first = world.former
    world.lead(RENAMED).run_for(1)
    assert world.status.rollout.routes == [GATEWAY, CONTOUR, RENAMED]
    world.former = first
    world.run()
    assert world.status.rollout.routes == [RENAMED]


@pytest.mark.parametrize("writes", range(3))
@pytest.mark.parametrize("place", PLACES)
def test_a_crash_between_any_two_writes_loses_nothing(place: RoutePlace | None, writes: int) -> None:
    for ticks in range(6):
        world = halfway().lead(place)
        for _ in range(ticks):
            world.advance()
            world.tick()
        world.advance()
        world.tick(crash_after=writes)
        world.hooks.clear()
        world.touch().run()
        assert world.former
        assert (world.former.released, world.phase) == (True, Phase.SUCCEEDED)


def test_a_data_plane_that_lags_behind_is_not_believed() -> None:
    world = at_rest()
    world.numbers = True
    world.lead(CONTOUR).run_for(0)
    world.route = Route(ALL_TO_PRIMARY, ALL_TO_PRIMARY, world.now + timedelta(hours=9))
    world.touch().run_for(600)
    assert world.former
    assert not world.former.released
    assert "stays in use: the data plane has not taken the route" in world.status.rollout.reason


def test_a_crash_after_the_new_route_was_written_shortens_nothing() -> None:
    world = at_rest()
    world.run_for(3600)
    world.accept_after = timedelta(seconds=20)
    world.lead(CONTOUR)
    for crash_after in (None, 1):
        assert world.advance()
        world.tick(crash_after=crash_after)
    assert (world.crashed, world.route is not None) == (True, True)
    world.run_for(19)
    assert world.former
    assert not world.former.released


def test_a_crash_after_it_was_given_back_keeps_no_rollout_from_its_end() -> None:
    """Of a data plane that says nothing, in a canary that was never mended: Flagger made it."""
    world = at_rest()
    world.status = world.status.model_copy(
        update={"rollout": world.status.rollout.model_copy(update={"mended_at": None})}
    )
    world.accept_after = timedelta(hours=9)
    world.lead(None)
    began = world.now
    assert world.advance()
    world.tick(crash_after=1)
    assert world.former
    assert (world.crashed, world.former.released) == (True, True)
    world.run_for(70)
    assert world.status.rollout.routes == [], world.now - began


def test_a_promotion_that_waits_for_a_refused_route_says_what_is_to_be_mended() -> None:
    world = initialized(place=GATEWAY).push("v2").run(Phase.PROMOTING)
    world.refuses = True
    world.lead(RENAMED).run_for(300)
    assert world.former
    assert (world.phase, world.former.released, world.condition("Stalled")) == (Phase.FINALISING, False, "True")
    assert "the data plane refuses the route: no such gateway; mend what it complains of" in world.status.rollout.reason


# Shares by numbers of pods, whose route is the apex Service itself


def without_a_route(world: World, apex: str) -> World:
    """Take the setting away: the provider has no route any more, and the apex Service leads where it did."""
    world.lead(None)
    world.former, world.apex = None, apex
    return world


def test_users_stay_on_a_target_that_alone_can_serve_them_whatever_is_edited() -> None:
    world = initialized(place=GATEWAY)
    assert world.primary
    world.primary_breaks, world.primary.broken = {"v2"}, {"v2"}
    world.push("v2").run(Phase.FAILED).run()
    without_a_route(world, "target").run_for(120)
    assert (world.status.rollout.serving_canary, world.destinations()) == (True, {"target"})
    world.primary.broken.clear()
    world.touch().run()
    assert (world.phase, world.sizes[0], world.destinations()) == (Phase.SUCCEEDED, 0, {"primary"})


def test_an_analysis_whose_users_left_with_the_setting_begins_again() -> None:
    world = without_a_route(halfway(), "target").run_for(3)
    assert (world.phase, world.status.canary_weight, world.destinations()) == (Phase.PROGRESSING, 0, {"primary"})
    world.hooks.clear()
    world.touch().run()
    assert "Advance payment.shop canary iteration 10/10" in world.texts
    assert (world.phase, world.sizes[0]) == (Phase.SUCCEEDED, 0)
