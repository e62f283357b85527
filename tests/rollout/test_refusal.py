"""A route that the data plane refuses: who must mend what is said, and nothing waits for it without a limit."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout import decision as d
from tests.rollout.simulation import START
from tests.rollout.test_conditions import reason
from tests.rollout.world import World, initialized, spec

SERVICE = {"port": 80, "hosts": ["a.example.com", "b.example.com"]}
REFUSED = "the data plane refuses the route for a.example.com, b.example.com: no such gateway"
ADVICE = "mend what it complains of, here in spec.service or in the route that stands in the way"


def refused_from_the_first(**analysis: object) -> World:
    """A canary whose bootstrap cannot end, because the data plane takes none of its routes."""
    return World(refuses=True, spec=spec(_service=SERVICE, **analysis))


def refused_later() -> World:
    world = initialized(spec=spec(_service=SERVICE))
    assert world.route
    world.route.refused = True
    return world.touch()


def why(world: World) -> str:
    return world.status.rollout.reason


def test_a_bootstrap_whose_route_is_refused_names_the_host_and_stalls_after_a_while() -> None:
    world = refused_from_the_first().run_for(50)
    assert why(world) == f"letting users move to the primary; {REFUSED}"
    assert (world.phase, world.condition("Stalled")) == (Phase.INITIALIZING, "False")
    world.run_for(60)
    assert why(world) == f"letting users move to the primary; {REFUSED}; {ADVICE}"
    assert reason(world, "Stalled") == ("True", "RouteRefused")
    assert world.texts.count(why(world)) == 1


def test_a_mended_route_ends_the_bootstrap_and_nothing_is_remembered() -> None:
    world = refused_from_the_first().run_for(200)
    assert world.route
    world.refuses = world.route.refused = False
    world.touch().run()
    assert (world.phase, why(world), world.status.rollout.refused_since) == (Phase.INITIALIZED, "", None)
    assert world.condition("Stalled") == "False"


def test_a_refusal_that_goes_by_stalls_nothing() -> None:
    world = refused_later().push("v2")
    for _ in range(20):
        assert world.route
        world.route.refused = not world.route.refused
        world.touch().run_for(20)
        assert world.condition("Stalled") == "False"


def test_a_rollout_that_cannot_go_on_without_its_route_is_stalled_where_it_stands() -> None:
    world = initialized(spec=spec(_service=SERVICE)).push("v2")
    while world.weight < 10:
        assert world.advance()
        world.tick()
    assert world.route
    world.route.refused = True
    world.touch().run_for(100)
    assert why(world) == f"{REFUSED}; {ADVICE}"
    assert (world.phase, world.weight) == (Phase.PROGRESSING, 10)
    assert reason(world, "Stalled") == ("True", "RouteRefused")


def test_a_promoted_revision_whose_users_cannot_be_seen_to_leave_says_why_it_is_not_over() -> None:
    world = initialized(spec=spec(_service=SERVICE)).push("v2").run(Phase.FINALISING)
    assert world.route
    world.route.refused = True
    world.touch().run_for(5)
    assert why(world) == f"letting users move to the primary; {REFUSED}"
    world.route.refused = False
    world.touch().run()
    assert (world.phase, why(world)) == (Phase.SUCCEEDED, "")


def test_a_canary_whose_route_was_never_taken_goes_within_a_minute_or_two_and_its_target_serves() -> None:
    world = refused_from_the_first().run_for(200).delete()
    began = world.now
    world.run_for(5)
    assert why(world) == f"letting users move to the target; {REFUSED}; {ADVICE}; goes on without it at 12:04:20 UTC"
    assert began == START + timedelta(seconds=200)
    world.run()
    assert world.gone
    assert world.now - began == timedelta(seconds=60)
    assert (world.destinations(), world.primary) == ({"target"}, None)
    assert f"payment.shop serves its users without a route: {REFUSED}" in world.texts


def test_a_route_that_once_served_is_waited_for_as_long_as_a_target_and_then_the_primary_stays() -> None:
    world = refused_later().delete()
    while "refuses" not in why(world):
        assert world.advance()
        world.tick()
    assert why(world).startswith(f"letting users move to the target; {REFUSED}; gives up at 12:0")
    assert why(world).endswith(" and leaves the primary serving")
    released = next(when for when, action in world.actions if isinstance(action, d.ReleaseRoute))
    world.run()
    assert world.gone
    assert world.now - released == timedelta(seconds=60), "progressDeadlineSeconds"
    assert world.primary
    assert (world.apex, world.sizes) == ("target", (2, 2))
    assert any(text.startswith(f"{REFUSED}: payment-primary.shop, its Services") for text in world.texts)


def test_a_deletion_that_waits_for_a_person_is_stalled_like_everything_else_that_does() -> None:
    world = initialized(spec=spec(_service=SERVICE, _progressDeadlineSeconds=300))
    assert world.route
    world.route.refused = True
    world.delete().run_for(120)
    assert why(world).startswith(f"letting users move to the target; {REFUSED}; {ADVICE}; gives up at 12:0")
    assert reason(world, "Stalled") == ("True", "RouteRefused")
    assert world.texts.count(why(world)) == 1


@pytest.mark.parametrize("mended_after", [1, 30, 55])
def test_a_route_that_is_mended_in_time_ends_the_deletion_without_anything_left_behind(mended_after: int) -> None:
    world = refused_later().delete()
    while not any(isinstance(action, d.ReleaseRoute) for _, action in world.actions):
        assert world.advance()
        world.tick()
    world.run_for(mended_after)
    assert world.route
    world.route.refused = False
    world.touch().run()
    assert world.gone
    assert (world.destinations(), world.primary) == ({"target"}, None)


def test_a_release_that_gives_up_is_not_stalled_for_ever() -> None:
    world = refused_later().release().run()
    assert (world.phase, world.condition("Stalled"), world.finalizer) == (Phase.TERMINATED, "False", False)
    assert why(world).startswith(REFUSED)


def test_a_target_that_cannot_start_says_why_and_how_long_it_is_waited_for() -> None:
    world = initialized()
    assert world.target
    world.target.blocked, world.target.blocked_pods = {"v1": "ImagePullBackOff"}, 99
    world.laws.sabotaged = True
    world.delete().run_for(10)
    ends = "gives up at 12:01:14 UTC and leaves the primary serving"
    assert why(world) == f"waiting for payment.shop to become ready before the primary goes; {ends}"
    world.run_for(30)
    blocked = "container app of 2 of 2 pods: ImagePullBackOff (it is not there)"
    assert why(world) == f"payment.shop cannot become ready: {blocked}; {ends}"
    world.target.blocked = {"v1": "ErrImagePull"}
    world.touch().run_for(5)
    assert "ImagePullBackOff" in why(world), "the same in other words is no news"
    assert world.texts.count(why(world)) == 1
    world.run()
    assert world.gone
    assert world.primary
    blocked = blocked.replace("ImagePullBackOff", "ErrImagePull")
    assert world.texts[-2].startswith(
        f"payment.shop did not become ready: {blocked}: payment-primary.shop, its Services"
    )
