"""Deletion and release: users first, bounded waits, nothing that hangs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import Verdict
from tests.rollout.world import World, hook, initialized, spec


def at_weight(world: World, weight: int) -> World:
    while world.weight < weight:
        assert world.advance()
        world.tick()
    return world


@pytest.mark.parametrize("routed", [True, False])
def test_deletion_brings_the_target_back_before_anything_goes(routed: bool) -> None:
    world = initialized(routed=routed)
    world.actions.clear()
    world.delete().run()
    route: list[d.Action] = [d.ReleaseRoute()] if routed else []
    assert [action for _, action in world.actions] == [
        d.ScaleTarget(2),
        d.ReleaseService(),
        *route,
        d.DeleteChildren(serving=True),
        d.RemoveFinalizer(),
    ]
    assert world.gone
    assert world.target
    assert world.target.complete()
    assert world.destinations() == {"target"}
    assert world.texts[-2:] == ["Terminating canary payment.shop", "Terminated canary payment.shop"]


def test_users_had_time_to_leave_the_primary_before_it_goes() -> None:
    world = initialized()
    world.actions.clear()
    world.delete().run()
    at = {type(action): when for when, action in world.actions}
    assert (at[d.DeleteChildren] - at[d.ReleaseRoute]).total_seconds() == 1 + 10


def test_a_router_that_goes_ahead_costs_one_settle_time_more() -> None:
    plain, stepwise = initialized(), initialized(ahead=1)
    before = stepwise.now - plain.now
    assert stepwise.delete().run().now - plain.delete().run().now - before == timedelta(seconds=10)
    assert stepwise.gone


@pytest.mark.parametrize("routed", [True, False])
@pytest.mark.parametrize("heals", [True, False])
def test_a_target_that_goes_down_once_it_has_the_users_gives_them_back(routed: bool, heals: bool) -> None:
    world = initialized(routed=routed).delete()
    while world.apex != "target":
        assert world.advance()
        world.tick()
    world.laws.sabotaged = True
    assert world.target
    world.target.broken.add("v1")
    world.touch().run_for(3)
    assert (world.destinations(), world.gone) == ({"primary"}, False)
    if heals:
        world.target.broken.clear()
    world.touch().run()
    assert world.gone
    assert world.destinations() == {"target" if heals else "primary"}
    assert (world.primary is None) == heals


def test_a_target_on_its_way_to_zero_is_not_taken_for_ready() -> None:
    world = World()
    world.run_for(1)
    assert world.target
    world.target.asleep = True
    world.run(Phase.INITIALIZED).delete().run_for(20)
    assert (world.target.replicas, len(world.target.pods)) == (0, 2)
    world.target.asleep = False
    world.touch().run()
    assert world.gone
    assert world.target.complete()


def test_a_late_target_and_a_route_in_three_steps_have_the_time_they_need() -> None:
    world = initialized(spec=spec(interval="1m"), ahead=2)
    assert world.target
    world.target.ready_after = timedelta(seconds=55)
    world.delete().run()
    assert world.gone
    assert (world.destinations(), world.primary) == ({"target"}, None)


@pytest.mark.parametrize("died_after", range(6))
@pytest.mark.parametrize("routed", [True, False])
def test_users_have_their_time_also_when_the_controller_dies(routed: bool, died_after: int) -> None:
    world = initialized(routed=routed)
    world.delete()
    while not any(isinstance(action, d.ReleaseService) for _, action in world.actions) and not world.crashed:
        world.advance()
        scaled = isinstance(world.actions[-1][1], d.ScaleTarget) and world.target and world.target.complete()
        world.tick(crash_after=died_after if scaled else None)
    world.run()
    assert world.gone
    released = [when for when, action in world.actions if isinstance(action, d.ReleaseService | d.ReleaseRoute)]
    deleted = next(when for when, action in world.actions if isinstance(action, d.DeleteChildren))
    assert (deleted - released[-1]).total_seconds() >= 10


@pytest.mark.parametrize("phase", [Phase.WAITING, Phase.PROGRESSING, Phase.PROMOTING, Phase.FINALISING])
def test_deletion_ends_well_in_every_phase(phase: Phase) -> None:
    world = initialized(spec=spec(webhooks=[hook("confirm-rollout")]))
    if phase is Phase.WAITING:
        world.hooks["confirm-rollout"] = Verdict.FAILED
    world.push("v2").run(phase)
    world.delete().run()
    assert world.gone
    assert world.destinations() == {"target"}


def test_deletion_is_heard_while_suspended_and_over_every_mistake() -> None:
    world = initialized()
    world.suspend().run()
    world.problems = ("spec.x is wrong: write y",)
    world.delete().run()
    assert world.gone


def test_a_deleted_target_leaves_nothing_to_serve_and_everything_goes() -> None:
    world = initialized()
    world.delete_target().delete().run()
    assert world.gone
    assert (world.primary, world.route, world.apex) == (None, None, None)


def test_a_namespace_that_goes_away_is_let_go_at_once() -> None:
    world = initialized()
    assert world.target
    world.target.deleting = True
    world.laws.sabotaged = True
    world.delete().run()
    assert world.gone
    assert d.DeleteChildren(serving=False) in [action for _, action in world.actions]


def test_a_missing_primary_is_no_obstacle() -> None:
    world = initialized()
    world.delete_primary().delete().run()
    assert world.gone
    assert world.destinations() == {"target"}


def test_before_the_bootstrap_ended_the_target_goes_on_serving() -> None:
    world = World(primary_breaks={"v1"})
    world.advance()
    world.tick()
    world.delete().run()
    assert world.gone
    assert world.primary is None
    assert world.destinations() == {"target"}
    assert not [a for _, a in world.actions if isinstance(a, d.ScaleTarget)]


def test_a_canary_that_was_never_touched_goes_at_once() -> None:
    world = World().delete()
    assert world.gone


def test_a_target_that_never_becomes_ready_leaves_the_primary_serving() -> None:
    world = at_weight(initialized().push("v2"), 10)
    assert world.target
    world.laws.sabotaged = True
    world.target.broken.add("v2")
    world.delete()
    began = world.now
    world.run()
    assert world.gone
    assert (world.now - began).total_seconds() == pytest.approx(60, abs=10)
    assert world.primary
    assert (world.weight, world.primary.available) == (0, 2)
    assert "go on serving; delete them by hand once the target serves" in " ".join(world.texts)


def test_a_stranger_who_keeps_the_target_down_is_waited_for_no_longer_than_the_deadline() -> None:
    world = initialized().delete()
    for _ in range(100):
        if not world.gone:
            world.scale(0).run_for(1)
    assert world.gone
    assert world.primary
    scaled = [action for _, action in world.actions if action == d.ScaleTarget(2)]
    assert len(scaled) <= 8, "at most once an interval"


def test_a_stranger_who_undoes_the_release_is_not_waited_for_for_ever() -> None:
    world = initialized().delete()
    world.laws.sabotaged = True
    for _ in range(400):
        if not world.gone:
            world.apex = "primary"
            world.touch().run_for(1)
    assert world.gone
    assert world.primary, "users are still sent to it"


def test_a_refused_route_does_not_hang_the_deletion() -> None:
    world = initialized()
    assert world.route
    world.route.refused = True
    world.delete().run()
    assert world.gone
    assert world.primary, "it is what the data plane still sends users to"


def test_a_route_that_cannot_be_written_does_not_hang_the_deletion_of_a_canary_with_users() -> None:
    world = at_weight(initialized().push("v2"), 20)
    assert world.target
    assert world.primary
    world.primary.edit(replicas=3)
    world.target.edit(replicas=1)
    world._settle()
    world.err("spec.service.match cannot be said: leave it out", routable=False, returnable=False)
    world.actions.clear()

    world.delete().run_for(2)

    assert [action for _, action in world.actions] == [d.ScaleTarget(3)]
    assert "until then its route stays as it is: spec.service.match cannot be said" in world.status.rollout.reason
    world.run()
    assert world.gone
    assert world.target.complete()


def test_a_target_that_stays_unready_while_the_route_cannot_be_written_leaves_everything_as_it_is() -> None:
    world = at_weight(initialized().push("v2"), 20)
    assert world.target
    world.target.edit(replicas=1)
    world.target.room = 1
    world._settle()
    world.err("spec.service.match cannot be said: leave it out", routable=False, returnable=False)
    world.actions.clear()

    world.delete().run()

    assert [action for _, action in world.actions] == [d.ScaleTarget(2), d.RemoveFinalizer()]
    assert (world.gone, world.weight, world.destinations()) == (True, 20, {"primary", "target"})


def test_users_leave_a_target_that_is_given_up_before_its_canary_goes() -> None:
    """A write that is refused in the same tick would keep the Canary for ever."""
    world = at_weight(initialized().push("v2"), 20)
    world.delete().tick()
    world.laws.sabotaged = True
    assert world.target
    world.target.broken.add("v2")
    world._settle()
    world.actions.clear()
    world.touch().run()
    writes = [action for _, action in world.actions]
    assert writes.index(d.RemoveFinalizer()) == len(writes) - 1
    assert (world.gone, world.destinations()) == (True, {"primary"})


def test_a_release_hands_the_workload_back_and_says_so() -> None:
    world = initialized()
    world.release().run()
    assert (world.phase, world.finalizer, world.gone) == (Phase.TERMINATED, False, False)
    assert world.destinations() == {"target"}
    assert world.primary is None
    world.touch().run()
    assert world.phase is Phase.TERMINATED


def test_a_release_taken_back_bootstraps_again() -> None:
    world = initialized()
    world.release().run()
    world.release(wanted=False).run()
    assert world.phase is Phase.INITIALIZED
    assert world.target
    assert world.target.replicas == 0
    assert world.primary


@pytest.mark.parametrize("ticks", range(1, 7))
def test_a_release_taken_back_half_way_loses_no_users(ticks: int) -> None:
    world = initialized()
    world.release()
    for _ in range(ticks):
        if world.advance():
            world.tick()
    world.release(wanted=False).run()
    assert world.phase is Phase.INITIALIZED
    assert world.destinations() == {"primary"}
