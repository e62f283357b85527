"""Every strategy with every setting that goes with it: what the canary gets at each interval, and who is asked."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from flaggerpy.api.analysis import HookType
from flaggerpy.api.status import Phase
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import HookCheck, MetricCheck, Verdict
from tests.rollout.world import World, autoscaled, hook, initialized, spec

METRIC = {"name": "latency", "interval": "1m", "query": "x"}
AUDIENCE = [{"headers": {"x-user": {"exact": "me"}}}]
COPIES = (0, True)


def began(routed: bool = True, **analysis: Any) -> World:
    """A world in which a rollout has just begun to be possible; what happened before it is forgotten."""
    world = initialized(spec=spec(metrics=[METRIC], **analysis), routed=routed)
    world.actions.clear()
    world.events.clear()
    world.asked.clear()
    return world.push("v2")


def traffic(world: World) -> list[tuple[int, bool]]:
    return [action.routes.traffic for _, action in world.actions if isinstance(action, d.SetRoutes)]


def shares(*weights: int) -> list[tuple[int, bool]]:
    return [(weight, False) for weight in weights]


def rounds(world: World) -> int:
    """How many times metrics were measured."""
    return sum(isinstance(check, MetricCheck) for _, check, _ in world.asked)


def asked(world: World, kind: HookType) -> int:
    return sum(isinstance(check, HookCheck) and check.type is kind for _, check, _ in world.asked)


@pytest.mark.parametrize(
    ("title", "analysis", "expected", "judged"),
    [
        ("weights", {}, shares(10, 20, 30, 0), 3),
        ("weights for an audience", {"match": AUDIENCE}, shares(10, 20, 30, 0), 3),
        ("copies, then weights", {"mirror": True}, [COPIES, *shares(10, 20, 30, 0)], 4),
        (
            "copies, then listed weights, back in steps",
            {"mirror": True, "stepWeights": [5, 60], "stepWeightPromotion": 40},
            [COPIES, *shares(5, 60, 20, 0)],
            3,
        ),
        ("Blue/Green", {"iterations": 3}, shares(100, 0), 4),
        ("Blue/Green, back in steps", {"iterations": 3, "stepWeightPromotion": 40}, shares(100, 60, 20, 0), 4),
        ("Blue/Green with copies", {"iterations": 3, "mirror": True}, [COPIES, *shares(100, 0)], 4),
        ("Blue/Green with copies, once", {"iterations": 1, "mirror": True}, [COPIES, *shares(100, 0)], 2),
        ("an A/B test", {"iterations": 3, "match": AUDIENCE}, shares(100, 0), 3),
        (
            "an A/B test, back in steps",
            {"iterations": 3, "match": AUDIENCE, "stepWeightPromotion": 40},
            shares(100, 60, 20, 0),
            3,
        ),
        ("an A/B test gets no copies", {"iterations": 3, "match": AUDIENCE, "mirror": True}, shares(100, 0), 3),
        ("no analysis at all", {"_skipAnalysis": True}, [], 0),
        ("no analysis of Blue/Green", {"iterations": 3, "mirror": True, "_skipAnalysis": True}, [], 0),
        ("no analysis of an A/B test", {"iterations": 3, "match": AUDIENCE, "_skipAnalysis": True}, [], 0),
    ],
)
def test_what_the_canary_gets(
    title: str, analysis: dict[str, Any], expected: list[tuple[int, bool]], judged: int
) -> None:
    world = began(**analysis).run()
    assert traffic(world) == expected, title
    assert rounds(world) == judged, title
    assert world.phase is Phase.SUCCEEDED, title
    assert world.sizes[0] == 0, title


@pytest.mark.parametrize(
    ("title", "analysis", "judged"),
    [
        ("Blue/Green", {"iterations": 3}, 3),
        ("weights are iterations", {}, 10),
        ("copies do not exist", {"iterations": 3, "mirror": True}, 3),
        ("nor do audiences", {"iterations": 3, "match": AUDIENCE}, 3),
        ("nor does a way back in steps", {"iterations": 3, "stepWeightPromotion": 40}, 3),
        ("no analysis", {"iterations": 3, "_skipAnalysis": True}, 0),
    ],
)
def test_where_no_traffic_is_moved(title: str, analysis: dict[str, Any], judged: int) -> None:
    world = began(routed=False, **analysis).run()
    assert traffic(world) == [], title
    assert rounds(world) == judged, title
    assert world.phase is Phase.SUCCEEDED, title


@pytest.mark.parametrize("analysis", [{"mirror": True}, {"iterations": 3, "mirror": True}])
def test_copies_are_looked_at_for_an_interval_before_users_come(analysis: dict[str, Any]) -> None:
    world = began(**analysis).run()
    times = [(at, action.routes.traffic) for at, action in world.actions if isinstance(action, d.SetRoutes)]
    iterations = 3 if "iterations" in analysis else 1
    (first, copies), (second, _) = times[:2]
    assert copies == COPIES
    assert (second - first).total_seconds() == 10 * iterations


def test_copies_are_told_as_flagger_tells_them() -> None:
    progressive, blue_green = began(mirror=True).run(), began(iterations=2, mirror=True).run()
    assert [text for text in progressive.texts if "Advance" in text][:2] == [
        "Advance payment.shop canary weight 0",
        "Advance payment.shop canary weight 10",
    ]
    assert [text for text in blue_green.texts if "Advance" in text or "traffic" in text] == [
        "Advance payment.shop canary iteration 1/2",
        "Advance payment.shop canary iteration 2/2",
        "Stop traffic mirroring and route all traffic to canary",
        "Routing all traffic to primary",
    ]


def test_a_canary_that_gets_copies_begins_with_the_size_that_all_requests_need() -> None:
    world = autoscaled(mirror=True).run()
    assert world.primary
    world.load(primary=8).run_for(1)
    world.push("v2").run(Phase.PROGRESSING)
    assert world.sizes == (8, 8)


@pytest.mark.parametrize("analysis", [{"mirror": True}, {"iterations": 3, "mirror": True}])
def test_a_canary_that_is_bad_with_copies_gets_none_any_more_and_users_never_meet_it(analysis: dict[str, Any]) -> None:
    world = began(**analysis)
    world.metrics["latency"] = Verdict.FAILED
    world.run()
    assert traffic(world) == [COPIES, (0, False)]
    assert world.phase is Phase.FAILED
    assert world.sizes[0] == 0


@pytest.mark.parametrize("analysis", [{"mirror": True}, {"iterations": 3, "mirror": True}])
@pytest.mark.parametrize("ends", ["new revision", "old revision", "full", "abort", "skip", "deletion"])
def test_copies_end_whatever_ends_the_step(analysis: dict[str, Any], ends: str) -> None:
    world = began(**analysis)
    while not world.status.rollout.step.mirrored:
        assert world.advance()
        world.tick()
    match ends:
        case "new revision":
            world.push("v3")
        case "old revision":
            world.push("v1")
        case "full" | "abort":
            world.ask({"full": "promote-full"}.get(ends, ends))
        case "skip":
            world.edit(**analysis, _skipAnalysis=True)
        case "deletion":
            world.delete()
    world.run()
    assert world.gone or world.phase in {Phase.SUCCEEDED, Phase.FAILED}
    assert world.route
    assert world.route.released or world.route.written.traffic == (0, False)
    assert not [text for text in world.texts if "asked for" in text]


def test_a_stranger_who_takes_copies_away_is_answered() -> None:
    world = began(mirror=True)
    while not world.status.rollout.step.mirrored:
        assert world.advance()
        world.tick()
    world.turn_route(0)
    world.tick()
    again = "The copies for payment.shop were not what is asked for: the canary gets copies of requests again"
    assert again in world.texts
    assert traffic(world)[-1] == COPIES
    world.run()
    assert world.outcomes == ["succeeded"]


@pytest.mark.parametrize("analysis", [{}, {"iterations": 3}])
def test_a_mirror_that_is_not_asked_for_any_more_ends_at_once(analysis: dict[str, Any]) -> None:
    world = began(mirror=True, **analysis)
    while not world.status.rollout.step.mirrored:
        assert world.advance()
        world.tick()
    world.edit(metrics=[METRIC], **analysis)
    world.tick()
    assert traffic(world) == [COPIES, (0, False)]
    world.run()
    assert world.outcomes == ["succeeded"]


def test_a_gate_for_traffic_is_asked_before_copies_and_before_every_weight() -> None:
    world = began(mirror=True, webhooks=[hook("confirm-traffic-increase")]).run()
    assert asked(world, HookType.CONFIRM_TRAFFIC_INCREASE) == 5
    closed = began(mirror=True, webhooks=[hook("confirm-traffic-increase")])
    closed.hooks["confirm-traffic-increase"] = Verdict.FAILED
    closed.run_for(100)
    assert traffic(closed) == []


@pytest.mark.parametrize(
    ("title", "analysis", "held"),
    [
        ("weights", {}, (30, False)),
        ("copies, then weights", {"mirror": True}, (30, False)),
        ("Blue/Green", {"iterations": 2}, (0, False)),
        ("Blue/Green with copies", {"iterations": 2, "mirror": True}, COPIES),
        ("an A/B test", {"iterations": 2, "match": AUDIENCE}, (100, False)),
    ],
)
def test_a_gate_for_the_promotion_holds_what_the_last_step_gave(
    title: str, analysis: dict[str, Any], held: tuple[int, bool]
) -> None:
    world = began(**analysis, webhooks=[hook("confirm-promotion"), hook("pre-rollout")])
    world.hooks["confirm-promotion"] = Verdict.FAILED
    world.run_for(200)
    assert world.phase is Phase.WAITING_PROMOTION, title
    assert world.route
    assert world.route.written.traffic == held, title
    assert world.status.canary_weight == held[0], "the true weight"
    before = rounds(world)
    world.run_for(30)
    assert rounds(world) == before + 3, "it is judged while it waits"
    assert asked(world, HookType.PRE_ROLLOUT) == 1, title
    world.hooks.clear()
    world.run()
    assert world.outcomes == ["succeeded"], title
    assert traffic(world)[-1] == (0, False), title


@pytest.mark.parametrize("analysis", [{}, {"iterations": 2}, {"iterations": 2, "mirror": True}])
def test_nothing_comes_faster_than_an_interval_while_the_canary_is_judged(analysis: dict[str, Any]) -> None:
    world = began(**analysis).run(Phase.PROMOTING)
    times = sorted({at for at, check, _ in world.asked if isinstance(check, MetricCheck)})
    assert {(after - before).total_seconds() for before, after in itertools.pairwise(times)} == {10}
