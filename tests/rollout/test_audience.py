"""Whose share a canary has, and what becomes of it when the Canary is edited in the middle of a rollout."""

from __future__ import annotations

from typing import Any

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.traffic import ALL_TO_CANARY
from tests.rollout.world import SCALER, World, autoscaled, hook, initialized, spec

AUDIENCE: dict[str, Any] = {"match": [{"headers": {"x-user": {"exact": "me"}}}]}
AB_TEST: dict[str, Any] = {"iterations": 10, **AUDIENCE}
BLUE_GREEN: dict[str, Any] = {"iterations": 10}
WEIGHTS: dict[str, Any] = {"stepWeights": [10, 50]}
AGAIN = "go back to the primary, and its analysis starts again"


def rolled(analysis: dict[str, Any], weight: int, **more: Any) -> World:
    """A world in which a rollout has come to a weight."""
    world = initialized(spec=spec(**analysis), **more).push("v2")
    while world.weight < weight:
        assert world.advance()
        world.tick()
    return world.run_for(2)


def shares(world: World) -> list[int]:
    return [action.routes.canary for _, action in world.actions if isinstance(action, d.SetRoutes)]


def edited(world: World, **analysis: Any) -> World:
    """Edit the Canary and let the core look once."""
    world.actions.clear()
    world.events.clear()
    world.edit(**analysis)
    world.tick()
    return world


@pytest.mark.parametrize(
    ("before", "weight", "after"),
    [
        (AB_TEST, 100, BLUE_GREEN),
        (AB_TEST, 100, WEIGHTS),
        (AB_TEST, 100, {**WEIGHTS, **AUDIENCE, "matchFirst": True}),
        ({**WEIGHTS, **AUDIENCE}, 50, WEIGHTS),
        ({**WEIGHTS, **AUDIENCE}, 10, {**WEIGHTS, **AUDIENCE, "matchFirst": True}),
        (WEIGHTS, 10, {**WEIGHTS, **AUDIENCE, "matchFirst": True}),
    ],
)
def test_an_edit_that_would_show_the_canary_to_more_users_begins_the_analysis_again(
    before: dict[str, Any], weight: int, after: dict[str, Any]
) -> None:
    world = edited(rolled(before, weight), **after)
    assert shares(world) == [0]
    assert (world.phase, world.status.iterations, world.status.canary_weight) == (Phase.PROGRESSING, 0, 0)
    [warning] = [event for event in world.events if event.type == "Warning"]
    assert warning.message.endswith(AGAIN)
    assert world.status.rollout.step.whose is None
    world.run()
    assert (world.phase, world.outcomes) == (Phase.SUCCEEDED, ["succeeded"])
    assert sum(AGAIN in text for text in world.texts) == 1, "told once"


def test_the_warning_says_whose_share_it_would_be() -> None:
    world = edited(rolled({**WEIGHTS, **AUDIENCE}, 50), **WEIGHTS)
    assert world.texts == [
        "50% of the users whom match describes would be 50% of all users after an edit of spec.analysis: users of "
        "payment.shop go back to the primary, and its analysis starts again"
    ]


@pytest.mark.parametrize(
    ("before", "weight", "after"),
    [
        (WEIGHTS, 10, {**WEIGHTS, **AUDIENCE}),
        ({**WEIGHTS, **AUDIENCE, "matchFirst": True}, 10, {**WEIGHTS, **AUDIENCE}),
        ({**WEIGHTS, **AUDIENCE, "matchFirst": True}, 10, WEIGHTS),
        ({**WEIGHTS, **AUDIENCE}, 10, {**AB_TEST}),
        (AB_TEST, 100, {"iterations": 20, **AUDIENCE}),
    ],
)
def test_an_edit_that_shows_it_to_nobody_else_counts_at_once(
    before: dict[str, Any], weight: int, after: dict[str, Any]
) -> None:
    world = edited(rolled(before, weight), **after)
    assert world.weight == weight
    assert not any(AGAIN in text for text in world.texts)
    world.run()
    assert world.outcomes == ["succeeded"]


def test_a_step_whose_users_are_not_on_record_is_left_as_it_is() -> None:
    world = rolled(AB_TEST, 100)
    rollout = world.status.rollout
    step = rollout.step.model_copy(update={"whose": None})
    world.laws.sabotaged = True
    world.status = world.status.model_copy(update={"rollout": rollout.model_copy(update={"step": step})})
    edited(world, **BLUE_GREEN)
    assert world.weight == 100
    assert world.status.iterations == 1


def test_an_audience_does_not_become_everybody_at_the_gate_of_the_promotion() -> None:
    world = initialized(spec=spec(**{**AB_TEST, "iterations": 2}, webhooks=[hook("confirm-promotion")]))
    world.hooks["confirm-promotion"] = Verdict.FAILED
    world.push("v2").run(Phase.WAITING_PROMOTION)
    edited(world, iterations=2, webhooks=[hook("confirm-promotion")])
    assert shares(world) == [0]
    assert world.phase is Phase.PROGRESSING
    world.run(Phase.WAITING_PROMOTION)
    assert world.weight == 0, "Blue/Green gives nobody the canary before it is confirmed"


@pytest.mark.parametrize("steps", [0, 20])
def test_an_audience_stays_where_it_is_while_it_is_promoted(steps: int) -> None:
    analysis = {"iterations": 2, "stepWeightPromotion": steps}
    world = initialized(spec=spec(**analysis, **AUDIENCE))
    assert world.primary
    world.primary_breaks, world.primary.broken = {"v2"}, {"v2"}
    world.push("v2").run(Phase.PROMOTING).run_for(3)
    edited(world, **analysis)
    world.run_for(15)
    assert (shares(world), world.phase) == ([], Phase.PROMOTING)
    world.primary.broken.clear()
    world.touch().run()
    assert (shares(world), world.outcomes) == ([0], ["succeeded"])


def test_an_audience_stays_where_it_is_while_a_promotion_is_aborted() -> None:
    world = autoscaled(**AB_TEST).run()
    assert world.primary
    world.primary_breaks, world.primary.broken = {"v2"}, {"v2"}
    world.push("v2").run(Phase.PROMOTING).load(target=6).run_for(8)
    world.ask("abort").run_for(1)
    edited(world, **BLUE_GREEN, _autoscalerRef=SCALER)
    assert (shares(world), world.phase) == ([], Phase.PROMOTING)
    world.run()
    assert (shares(world), world.outcomes, world.sizes[1] >= 8) == ([0], ["failed"], True)


@pytest.mark.parametrize("phase", [Phase.PROGRESSING, Phase.PROMOTING])
def test_a_route_that_is_missing_after_such_an_edit_leads_to_the_primary(phase: Phase) -> None:
    world = initialized(spec=spec(iterations=2, **AUDIENCE))
    assert world.primary
    world.primary_breaks, world.primary.broken = {"v2"}, {"v2"}
    world.push("v2")
    if phase is Phase.PROGRESSING:
        world.run_for(10)
        world.err("spec.x is wrong: write y")
    else:
        world.run(phase).run_for(3)
    assert (world.phase, world.weight) == (phase, 100)
    world.delete_route()
    edited(world, iterations=2)
    assert shares(world) == [0]


def test_a_mistake_that_comes_with_such_an_edit_moves_nobody() -> None:
    world = rolled(AB_TEST, 100)
    world.err("spec.x is wrong: write y")
    edited(world, **BLUE_GREEN).run_for(30)
    assert (shares(world), world.weight) == ([], 100)
    world.err().tick()
    assert (shares(world), world.weight) == ([0], 0)


def test_everybody_comes_to_the_canary_where_no_pod_of_the_primary_can_serve() -> None:
    world = rolled(AB_TEST, 100)
    assert world.primary
    world.laws.sabotaged = True
    world.primary.broken = {"v1"}
    world.primary.sync(world.now)
    edited(world, **BLUE_GREEN)
    assert 0 not in shares(world)


def test_an_autoscaled_primary_is_asked_for_the_pods_that_its_users_had() -> None:
    world = autoscaled(**AB_TEST).run().push("v2")
    while world.weight < 100:
        assert world.advance()
        world.tick()
    world.load(target=6).run_for(8)
    edited(world, **BLUE_GREEN, _autoscalerRef=SCALER).run_for(2)
    assert world.sizes[1] == 8, "whoever match does not describe has stayed on its own"


NGINX: frozenset[str] = frozenset({"mirror", "mirror_weight", "affinity", "answers"})
"""What a provider lacks that gives the canary all of an audience or nobody."""


@pytest.mark.parametrize("steps", [0, 40, 100])
def test_an_audience_that_goes_all_or_not_at_all_returns_at_once(steps: int) -> None:
    analysis = {"iterations": 2, "stepWeightPromotion": steps, **AUDIENCE}
    world = initialized(spec=spec(**analysis), cannot=NGINX).push("v2").run()
    assert (shares(world)[-2:], world.outcomes) == ([100, 0], ["succeeded"])


def test_a_promotion_that_hangs_with_a_share_of_such_an_audience_comes_to_its_end() -> None:
    analysis = {"iterations": 2, "stepWeightPromotion": 40, **AUDIENCE}
    world = initialized(spec=spec(**analysis)).push("v2").run(Phase.PROMOTING)
    while world.weight == 100:
        assert world.advance()
        world.tick()
    assert world.route
    world.cannot = NGINX
    world.route.written = ALL_TO_CANARY  # what such a provider makes of 60 %
    world.actions.clear()
    world.events.clear()
    world.touch().run()
    assert (shares(world), world.outcomes) == ([0], ["succeeded"])
    assert not any("were changed from outside" in text for text in world.texts)


def test_a_share_of_everybody_is_no_share_of_such_an_audience() -> None:
    world = edited(rolled(WEIGHTS, 10, cannot=NGINX), **AB_TEST)
    assert (shares(world), [AGAIN in text for text in world.texts]) == ([0], [True])
    world.run()
    assert world.outcomes == ["succeeded"]
    assert not any("were changed from outside" in text for text in world.texts)


def test_an_audience_that_comes_first_returns_in_steps_with_everybody() -> None:
    analysis = {"stepWeights": [50], "stepWeightPromotion": 20, **AUDIENCE, "matchFirst": True}
    world = initialized(spec=spec(**analysis), cannot=NGINX).push("v2").run()
    assert shares(world)[-3:] == [30, 10, 0]
