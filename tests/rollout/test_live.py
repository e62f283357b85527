"""The route is live before anybody counts on it: what is waited for, for how long, and what is said meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import MetricCheck, Verdict
from tests.rollout.simulation import START
from tests.rollout.test_conditions import reason
from tests.rollout.world import World, initialized, spec

SERVICE = {"port": 80, "hosts": ["a.example.com"]}
METRICS = [{"name": "latency", "interval": "1m", "thresholdRange": {"max": 1}, "query": "x"}]
BEHIND = "the data plane has not taken the route for a.example.com as it was written last: Gateway public"
ADVICE = "see to its controller, which took earlier versions of this route"
SILENT = "The data plane says nothing of the route for a.example.com: going on without its answer"


def rolling(**analysis: object) -> World:
    """A canary that has just got its first users, of a data plane that says which version it serves."""
    world = initialized(numbers=True, spec=spec(_service=SERVICE, metrics=METRICS, **analysis)).push("v2")
    world.why_silent = "Gateway public"
    return world


def to_weight(world: World, weight: int) -> World:
    while world.weight < weight:
        assert world.advance()
        world.tick()
    return world


def measured(world: World) -> list[float]:
    return [(when - START).total_seconds() for when, check, _ in world.asked if isinstance(check, MetricCheck)]


def written(world: World) -> list[tuple[int, float]]:
    moves = [(when, action) for when, action in world.actions if isinstance(action, d.SetRoutes)]
    return [(action.routes.canary, (when - START).total_seconds()) for when, action in moves]


def slept(world: World) -> float:
    sizes = [(when, action) for when, action in world.actions if isinstance(action, d.ScaleTarget)]
    return next((when - START).total_seconds() for when, action in reversed(sizes) if action.replicas == 0)


@pytest.mark.parametrize(("accepted_after", "judged_after"), [(0, 10), (4, 10), (6, 16), (9, 19), (30, 40), (90, 100)])
def test_a_step_is_judged_an_interval_later_if_it_was_live_in_the_first_half_and_else_an_interval_after_that(
    accepted_after: int, judged_after: int
) -> None:
    world = rolling()
    world.accept_after = timedelta(seconds=accepted_after)
    to_weight(world, 20)
    began = next(when for weight, when in written(world) if weight == 10)
    assert measured(world) == [began + judged_after]


@pytest.mark.parametrize(("accepted_after", "judged_after"), [(4, 10), (9, 19), (50, 60), (90, 60)])
def test_so_is_one_of_a_route_that_the_data_plane_has_never_spoken_of_until_it_is_believed(
    accepted_after: int, judged_after: int
) -> None:
    world = initialized(spec=spec(_service=SERVICE, metrics=METRICS)).push("v2")
    world.accept_after = timedelta(seconds=accepted_after)
    to_weight(world, 20)
    began = next(when for weight, when in written(world) if weight == 10)
    assert measured(world) == [began + judged_after]


def test_a_step_that_is_taken_in_time_costs_no_write_of_the_status() -> None:
    counts = []
    for accepted_after in (0, 4):
        world = rolling()
        world.accept_after = timedelta(seconds=accepted_after)
        before = to_weight(world, 10).status_writes
        counts.append(to_weight(world, 20).status_writes - before)
    assert counts[0] == counts[1]


def test_a_data_plane_that_is_behind_is_never_believed_and_stalls_the_canary_after_a_while() -> None:
    world = rolling()
    world.accept_after = timedelta(days=1)
    to_weight(world, 10).run_for(50)
    assert (world.status.rollout.reason, world.condition("Stalled")) == (BEHIND, "False")
    world.run_for(3600)
    assert world.status.rollout.reason == f"{BEHIND}; {ADVICE}"
    assert reason(world, "Stalled") == ("True", "RouteNotTaken")
    assert world.texts.count(f"{BEHIND}; {ADVICE}") == 1
    assert (world.phase, world.weight, measured(world)) == (Phase.PROGRESSING, 10, [])
    assert world.route
    world.route.accept_at = world.now
    world.accept_after = timedelta(seconds=1)
    world.touch().run()
    assert world.outcomes == ["succeeded"]


def test_the_canary_keeps_running_until_the_data_plane_has_taken_its_users_away() -> None:
    world = to_weight(rolling(), 30)
    world.accept_after = timedelta(seconds=500)
    world.run(Phase.FINALISING).run_for(400)
    assert world.destinations() == {"target", "primary"}, "to the data plane nothing has changed"
    assert world.sizes == (2, 2)
    assert world.status.rollout.reason == f"letting users move to the primary; {BEHIND}; {ADVICE}"
    world.run()
    assert (world.phase, world.sizes) == (Phase.SUCCEEDED, (0, 2))
    last = next(when for weight, when in reversed(written(world)) if weight == 0)
    assert slept(world) == last + 500 + 10, "when it was taken, and an interval to leave"


def test_a_rollback_tells_what_keeps_users_on_a_bad_canary() -> None:
    world = to_weight(rolling(), 10)
    world.accept_after = timedelta(days=1)
    world.ask("abort").run_for(300)
    assert (world.phase, world.sizes) == (Phase.FAILED, (2, 2))
    assert world.status.rollout.reason.endswith(f"; {BEHIND}; {ADVICE}")
    assert reason(world, "Stalled") == ("True", "RouteNotTaken")


def test_a_deletion_gives_up_on_a_data_plane_that_is_behind_and_leaves_the_primary_serving() -> None:
    world = initialized(numbers=True, spec=spec(_service=SERVICE))
    world.why_silent, world.accept_after = "Gateway public", timedelta(days=1)
    world.delete().run()
    assert world.gone
    assert world.primary
    assert any(text.startswith(f"{BEHIND}: payment-primary.shop, its Services") for text in world.texts)


def test_a_data_plane_that_never_speaks_is_believed_after_a_while_and_that_is_told_once_a_step() -> None:
    world = initialized(accept_after=timedelta(days=1), spec=spec(_service=SERVICE, metrics=METRICS)).push("v2")
    assert world.texts.count(SILENT) == 1, "when the target was put to sleep"
    to_weight(world, 20)
    assert written(world)[-1][1] - written(world)[-2][1] == 60
    assert world.texts.count(SILENT) == 2
    world.run()
    assert (world.outcomes, world.status.rollout.refused_since) == (["succeeded"], None)


def test_a_step_that_was_held_on_a_bad_metric_says_nothing_more_of_a_silent_data_plane() -> None:
    world = initialized(accept_after=timedelta(days=1), spec=spec(_service=SERVICE, metrics=METRICS, threshold=9))
    before = world.texts.count(SILENT)
    to_weight(world.push("v2"), 10)
    world.metrics["latency"] = Verdict.FAILED
    world.run_for(100)
    assert world.status.failed_checks > 1
    assert world.texts.count(SILENT) - before == 1
