"""Users' cookies through a rollout: given with the canary's first share, kept to its end, and taken back at once."""

from __future__ import annotations

from typing import Any

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.traffic import NO_COOKIES, Cookies
from tests.rollout.world import COOKIES, World, initialized, spec


def sticky(affinity: dict[str, Any] | None = None, **analysis: Any) -> World:
    return initialized(spec=spec(sessionAffinity=affinity or COOKIES, **analysis))


def cookies(world: World) -> list[Cookies]:
    return [action.routes.cookies for _, action in world.actions if isinstance(action, d.SetRoutes)]


def at_weight(world: World, weight: int) -> World:
    while world.weight != weight:
        assert world.advance()
        world.tick()
    return world


def canarys(world: World) -> str:
    """The cookie of the canary's users, as the status has it."""
    return world.status.session_affinity_cookie or ""


def written(world: World) -> Cookies:
    assert world.route
    return world.route.written.cookies


def test_the_same_cookies_go_with_every_share_and_the_canarys_is_taken_back_at_the_end() -> None:
    world = at_weight(sticky().push("v2"), 10)
    held = Cookies(canary=canarys(world), primary=world.status.primary_session_affinity_cookie or "")
    assert held.canary.startswith("seen=")
    assert held.primary.startswith("old=")
    world.actions.clear()
    world.run()
    assert cookies(world) == [held, held, Cookies(expired=held.canary)]
    assert world.status.session_affinity_cookie is None
    assert world.status.previous_session_affinity_cookie == held.canary
    assert written(world) == Cookies(expired=held.canary), "as long as somebody may come back with it"


def test_every_rollout_has_a_cookie_of_its_own() -> None:
    world = sticky()
    seen = []
    for template in ("v2", "v3", "v2"):
        seen.append(canarys(at_weight(world.push(template), 10)))
        world.run()
    assert len(set(seen)) == 3, "an old cookie would make its user one of the first again"
    assert world.status.previous_session_affinity_cookie == seen[-1]


def test_a_crash_does_not_change_a_cookie() -> None:
    world = at_weight(sticky().push("v2"), 10)
    held = canarys(world)
    for writes in (0, 1, 2):
        world.advance()
        world.tick(crash_after=writes)
        assert canarys(world) == held
    at_weight(world, 30)
    assert written(world).canary == held


def test_a_rollback_takes_the_rules_away_in_the_write_that_moves_users() -> None:
    world = sticky(metrics=[{"name": "latency", "interval": "1m", "query": "x"}], threshold=1).push("v2")
    held = canarys(at_weight(world, 10))
    world.metrics["latency"] = Verdict.FAILED
    world.actions.clear()
    world.run()
    assert world.phase is Phase.FAILED
    assert cookies(world) == [Cookies(expired=held)]


def test_another_revision_begins_with_another_cookie() -> None:
    world = sticky().push("v2")
    first = canarys(at_weight(world, 20))
    world.push("v3")
    world.actions.clear()
    second = canarys(at_weight(world, 10))
    assert cookies(world)[0] == Cookies(expired=first)
    assert second not in {"", first}
    assert world.status.previous_session_affinity_cookie == first


def test_a_cookie_that_a_crash_kept_from_being_recorded_as_given_is_taken_back_all_the_same() -> None:
    world = sticky().push("v2")
    while world.weight == 0:
        assert world.advance()
        world.tick(crash_after=1)
    first = canarys(world)
    assert (world.status.rollout.step.weight, written(world).canary) == (0, first), "given, and not recorded as given"
    world.actions.clear()
    world.push("v3")
    world.touch().tick()
    assert (world.weight, world.status.previous_session_affinity_cookie) == (0, first)
    at_weight(world, 10)
    assert cookies(world)[0] == Cookies(expired=first)
    assert canarys(world) not in {"", first}


def test_putting_the_old_revision_back_takes_the_cookie_back() -> None:
    world = sticky().push("v2")
    first = canarys(at_weight(world, 20))
    world.push("v1").run()
    assert written(world) == Cookies(expired=first)
    assert not canarys(world)


def test_nobody_is_kept_on_a_primary_that_is_about_to_be_replaced() -> None:
    world = at_weight(sticky(stepWeights=[50, 100]).push("v2"), 50)
    held = written(world)
    assert held.primary
    at_weight(world, 100)
    assert written(world) == Cookies(canary=held.canary)


def test_a_promotion_in_steps_keeps_users_of_the_canary_until_its_last_step() -> None:
    world = sticky(stepWeights=[60], stepWeightPromotion=40).push("v2").run(Phase.PROMOTING)
    held = canarys(world)
    world.actions.clear()
    world.run()
    assert [known.canary for known in cookies(world)] == [held, ""]


def test_after_a_failed_promotion_there_is_one_side_and_there_are_no_cookies() -> None:
    world = sticky()
    assert world.primary
    world.primary.broken = {"v2"}
    world.push("v2").run(Phase.FAILED)
    world.run_for(5)
    assert world.destinations() == {"target"}
    assert written(world) == NO_COOKIES
    held = world.status.previous_session_affinity_cookie
    assert held
    world.primary.broken = set()
    world.touch().run()
    assert world.phase is Phase.SUCCEEDED
    assert world.destinations() == {"primary"}
    assert written(world) == Cookies(expired=held)


@pytest.mark.parametrize(
    ("title", "routed", "analysis"),
    [
        ("Blue/Green", True, {"iterations": 2}),
        ("an A/B test", True, {"iterations": 2, "match": [{"headers": {"x": {"exact": "1"}}}]}),
        ("no analysis", True, {"_skipAnalysis": True}),
        ("no traffic", False, {"iterations": 2}),
    ],
)
def test_where_no_share_is_sent_by_chance_there_are_no_cookies(
    title: str, routed: bool, analysis: dict[str, Any]
) -> None:
    world = initialized(spec=spec(sessionAffinity=COOKIES, **analysis), routed=routed).push("v2").run()
    assert set(cookies(world)) <= {NO_COOKIES}, title
    assert world.status.session_affinity_cookie is None, title
    assert world.status.primary_session_affinity_cookie is None, title


def test_without_a_name_the_primary_has_no_cookie() -> None:
    world = at_weight(sticky({"cookieName": "seen"}).push("v2"), 10)
    assert written(world) == Cookies(canary=canarys(world))
    assert world.status.primary_session_affinity_cookie is None


def test_a_cookie_that_flagger_gave_the_primary_without_a_name_is_not_used() -> None:
    world = at_weight(sticky({"cookieName": "seen"}).push("v2"), 10)
    world.status = world.status.model_copy(update={"primary_session_affinity_cookie": "=abc"})
    at_weight(world.touch(), 20)
    assert written(world).primary == ""


def test_a_setting_that_goes_away_takes_the_rules_with_it() -> None:
    world = sticky().push("v2").run()
    assert written(world) != NO_COOKIES
    world.edit().run_for(30)
    assert written(world) == NO_COOKIES


def test_a_setting_that_comes_in_mid_rollout_gives_cookies_to_the_users_of_the_next_interval() -> None:
    world = at_weight(initialized().push("v2"), 10)
    world.edit(sessionAffinity=COOKIES)
    at_weight(world, 20)
    assert written(world).canary == canarys(world) != ""
    world.run()
    assert world.outcomes == ["succeeded"]


def test_a_share_that_a_stranger_gives_hands_out_no_cookie_of_the_rollout() -> None:
    world = sticky(webhooks=[{"name": "gate", "type": "confirm-traffic-increase", "url": "http://hooks/"}])
    world.hooks["gate"] = Verdict.FAILED
    world.push("v2").run_for(20)
    assert canarys(world)
    world.turn_route(5)
    world.run_for(20)
    assert written(world) == NO_COOKIES
    world.hooks.clear()
    world.run()
    assert world.outcomes == ["succeeded"]


def test_a_stranger_who_changes_rules_of_cookies_is_answered_without_moving_shares() -> None:
    world = at_weight(sticky().push("v2"), 20)
    held = written(world)
    world.turn_route(20)
    world.run_for(20)
    assert written(world) == held
    world.run()
    assert world.outcomes == ["succeeded"]
