"""Laws that every router keeps; they run over the registry, so that no provider can be added without them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flaggerpy.api.canary import Canary
from flaggerpy.api.marks import made_by_us
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import GATEWAY_ROUTES, Ref
from flaggerpy.rollout.traffic import (
    ALL_TO_CANARY,
    ALL_TO_PRIMARY,
    NO_COOKIES,
    Acceptance,
    Routes,
    RouteState,
    to_canary,
)
from flaggerpy.routers.base import Options, Router
from flaggerpy.routers.registry import ROUTERS, router_for
from tests.builders import canary
from tests.routers.cases import (
    AT_ONCE,
    WITHOUT_GENERATION,
    admits,
    admits_copies,
    answer,
    audience_and_others,
    canaries,
    cookies_at,
    foreign_routes,
    prerequisites,
    references,
    router_behind,
    routes_in,
)
from tests.routers.server import Server

pytestmark = pytest.mark.router_laws

CASES = [
    pytest.param(router_behind(one), one, id=f"{provider}, {title}")
    for provider in ROUTERS
    for title, one in canaries(provider).items()
]
COPYING_A_SHARE = router_for("gatewayapi:v1", Options(gateway_mirror_percent=True))
CASES += [
    pytest.param(COPYING_A_SHARE, one, id=f"gatewayapi:v1 that copies a share, {title}")
    for title, one in canaries("gatewayapi:v1").items()
    if one.analysis.mirror_weight
]
every_router = pytest.mark.parametrize(("router", "owner"), CASES)
drawn = settings(max_examples=20, deadline=None)


def shares(router: Router, owner: Canary) -> st.SearchStrategy[Routes]:
    """Draw what a router's capabilities admit; one without weights knows all or nothing."""
    weights = st.sampled_from([weight for weight in range(101) if admits(router, owner, to_canary(weight))])
    mirrored = st.booleans() if admits_copies(router, owner) else st.just(False)
    sticky = owner.analysis.session_affinity is not None
    cookies = st.sampled_from(["none", "the canary's", "both"] if sticky else ["none"])
    return st.builds(_routes, weights, mirrored, cookies)


def served(router: Router, owner: Canary) -> Server:
    """Build a server that has what the user must have made."""
    server = Server(router, owner)
    for obj in prerequisites(router, owner):
        server.put(obj)
    return server


def release(server: Server, router: Router, owner: Canary) -> None:
    """Give everything back as the controller does: what is ours then is of no use to anybody, and deleted."""
    server.write(router.restore(owner, server.live))
    assert router.restore(owner, server.live) == (), "what was given back is not touched again"
    left = [ref for ref, obj in server.live.items() if made_by_us(obj, owner)]
    led = backends({ref: server.live[ref] for ref in left}, used=True)
    assert set(led) <= {owner.apex_name}, (
        "nobody comes through it any more, or where the user's own route leads as well"
    )
    server.delete(left)


def _routes(weight: int, mirrored: bool, cookies: str) -> Routes:
    known = NO_COOKIES if cookies == "none" else cookies_at(weight, primary=cookies == "both")
    return Routes(100 - weight, weight, mirrored, known)


@pytest.mark.parametrize("provider", ROUTERS)
def test_no_provider_is_registered_without_laws_that_can_fail(provider: str) -> None:
    """Each has cases for what it claims, a user's own routing object, and shares that the laws can read from it."""
    can, cases = router_for(provider).capabilities, canaries(provider)
    assert provider in {str(case.id).partition(",")[0] for case in CASES}
    assert "plain" in cases
    assert not can.match or {"for an audience", "for an audience first"} <= set(cases)
    assert not can.affinity or "with cookies" in cases
    assert not can.brings or all(f"with {kind} brought along" in cases for kind in GATEWAY_ROUTES)
    for owner in cases.values():
        router = router_behind(owner)
        if router.capabilities.match and owner.spec.route_ref is not None:
            kind = f"with {owner.spec.route_ref.kind} brought along"
            assert {f"{kind}, for an audience", f"{kind}, for an audience first"} <= set(cases)
        assert bool(foreign_routes(router, owner)) is bool(router.refs(owner))
        server = served(router, owner)
        server.write(router.render(owner, server.live, ALL_TO_CANARY))
        assert (owner.canary_service_name in backends(server.live, used=True)) is can.weights


@every_router
def test_the_case_is_one_that_the_provider_serves(router: Router, owner: Canary) -> None:
    assert router.problems(owner) == ()


@every_router
@drawn
@given(data=st.data())
def test_what_is_written_is_what_is_read(router: Router, owner: Canary, data: st.DataObject) -> None:
    routes = data.draw(shares(router, owner))
    server = served(router, owner)

    server.write(router.render(owner, server.live, routes))

    state = router.state(owner, server.live)
    assert state.routes == (routes if router.capabilities.weights else None)
    assert not state.drifted


@pytest.mark.parametrize(
    ("router", "owner"),
    [case for case in CASES if "audience first" in str(case.id) and not str(case.id).startswith("kubernetes")],
)
@pytest.mark.parametrize("weight", [0, 1, 40, 100])
def test_an_audience_comes_first_from_the_first_share_on_and_goes_with_the_last(
    router: Router, owner: Canary, weight: int
) -> None:
    """Who is in it meets nobody but the canary while that has a share, and nobody but the primary else."""
    server = served(router, owner)
    server.write(router.render(owner, server.live, to_canary(weight)))
    routes = routes_in(server.live)
    [route] = [obj for obj in routes if made_by_us(obj, owner)] or routes

    assert audience_and_others(route, owner) == ({100 if weight else 0}, {weight})


@every_router
@drawn
@given(data=st.data())
def test_writing_again_changes_nothing(router: Router, owner: Canary, data: st.DataObject) -> None:
    routes = data.draw(shares(router, owner))
    server = served(router, owner)
    server.write(router.render(owner, server.live, routes))
    before = copy.deepcopy(server.live)

    server.write(router.render(owner, server.live, routes))

    assert server.live == before


@every_router
@drawn
@given(data=st.data())
def test_only_shares_change_when_shares_change(router: Router, owner: Canary, data: st.DataObject) -> None:
    before, after = data.draw(shares(router, owner)), data.draw(shares(router, owner))
    server = served(router, owner)
    server.write(router.render(owner, server.live, before))

    server.write(router.render(owner, server.live, after))

    fresh = served(router, owner)
    fresh.write(router.render(owner, fresh.live, after))
    assert server.live == fresh.live


@every_router
@drawn
@given(data=st.data())
def test_w90_settings_that_change_move_nobody(router: Router, owner: Canary, data: st.DataObject) -> None:
    routes = data.draw(shares(router, owner))
    server = served(router, owner)
    server.write(router.render(owner, server.live, routes))
    before = router.state(owner, server.live).routes
    service = owner.spec.service.model_copy(update={"timeout": "7s", "apex": None}) if owner.spec.service else None
    edited = owner.model_copy(update={"spec": owner.spec.model_copy(update={"service": service})})

    seen = router.state(edited, server.live)
    server.write(router.render(edited, server.live, seen.routes or routes))

    assert seen.routes == before
    assert router.state(edited, server.live) == replace(seen, drifted=False)


@every_router
def test_fields_of_others_survive(router: Router, owner: Canary) -> None:
    server = Server(router, owner)
    for obj in foreign_routes(router, owner, unheardOf={"a": 1}):
        server.put(obj)

    server.write(router.render(owner, server.live, ALL_TO_PRIMARY))

    for route in server.live.values():
        assert route["metadata"]["labels"]["mine"] == "1"
        assert route["metadata"]["annotations"]["theirs"] == "2"
        assert route["spec"]["unheardOf"] == {"a": 1}


@every_router
@drawn
@given(data=st.data())
def test_a_users_own_route_is_given_back_as_it_was(router: Router, owner: Canary, data: st.DataObject) -> None:
    server = Server(router, owner)
    for obj in foreign_routes(router, owner, unheardOf={"a": 1}):
        server.put(obj)
    before = copy.deepcopy(server.live)
    for routes in data.draw(st.lists(shares(router, owner), min_size=1, max_size=4)):
        server.write(router.render(owner, server.live, routes))

    release(server, router, owner)

    assert server.live == before


@every_router
@drawn
@given(data=st.data())
def test_our_own_route_leads_everyone_to_the_apex_once_released(
    router: Router, owner: Canary, data: st.DataObject
) -> None:
    routes = data.draw(shares(router, owner))
    server = served(router, owner)
    server.write(router.render(owner, server.live, routes))

    release(server, router, owner)

    assert bool(routes_in(server.live)) is bool(router.refs(owner)), "nobody deletes what users come through"
    for route in routes_in(server.live):
        assert owner.primary_service_name not in str(route)
        assert owner.canary_service_name not in str(route)
        assert owner.apex_name in str(route["spec"])


def backends(live: Mapping[Ref, JsonObject], *, used: bool) -> list[str]:
    """Name the Services that routes name, or only those to which they send somebody."""
    found = [reference for route in routes_in(live) for reference in references(route)]
    return sorted({name for name, weight in found if not used or weight})


def arrive(server: Server, router: Router, owner: Canary, bodies: Callable[[], tuple[JsonObject, ...]]) -> int:
    """Write what a router asks for until nothing is to go ahead; tell in how many steps.

    Whoever is used before or after a write is named before and after it: a proxy that sees routes and Services change
    in any order always has an address for everybody.
    """
    for step in range(1, 6):
        wanted = bodies()
        ahead = router.ahead(owner, server.live, wanted)
        before = {used: backends(server.live, used=used) for used in (True, False)}
        server.write(ahead or wanted)
        after = {used: backends(server.live, used=used) for used in (True, False)}
        if not isinstance(router, AT_ONCE):
            assert set(before[True]) <= set(after[False])
            assert set(after[True]) <= set(before[False])
        if not ahead:
            return step
    raise AssertionError("it never arrives")


@every_router
def test_services_are_named_before_and_after_anybody_is_sent_to_them(router: Router, owner: Canary) -> None:
    server = Server(router, owner)
    for obj in foreign_routes(router, owner):
        server.put(obj)
    before = copy.deepcopy(server.live)

    arrive(server, router, owner, lambda: router.render(owner, server.live, ALL_TO_PRIMARY))

    assert router.state(owner, server.live).routes == (ALL_TO_PRIMARY if before else None)
    assert not router.state(owner, server.live).drifted
    arrive(server, router, owner, lambda: router.restore(owner, server.live))
    release(server, router, owner)
    assert server.live == before


@every_router
@drawn
@given(data=st.data())
def test_our_own_route_is_released_without_a_gap(router: Router, owner: Canary, data: st.DataObject) -> None:
    routes = data.draw(shares(router, owner))
    server = served(router, owner)
    server.write(router.render(owner, server.live, routes))

    arrive(server, router, owner, lambda: router.restore(owner, server.live))
    release(server, router, owner)

    for route in routes_in(server.live):
        assert [(name, weight > 0) for name, weight in references(route)] == [(owner.apex_name, True)]


@every_router
@drawn
@given(data=st.data())
def test_a_step_of_a_rollout_needs_nothing_ahead(router: Router, owner: Canary, data: st.DataObject) -> None:
    routes = data.draw(shares(router, owner))
    server = served(router, owner)
    server.write(router.render(owner, server.live, ALL_TO_PRIMARY))

    assert router.ahead(owner, server.live, router.render(owner, server.live, routes)) == ()


@every_router
def test_reading_and_giving_back_never_fail(router: Router, owner: Canary) -> None:
    empty = {ref: {"kind": ref.resource.kind, "metadata": {"name": ref.name}} for ref in router.refs(owner)}
    broken = canary(
        spec={"provider": owner.spec.provider, "service": None}, analysis={"sessionAffinity": {"cookieName": "c"}}
    )
    for live in ({}, empty):
        for one in (owner, broken):
            assert router.state(one, live).routes is None
            assert router.restore(one, live) == ()


@every_router
def test_what_needs_no_routing_object_is_accepted_at_once_and_what_has_none_yet_is_not(
    router: Router, owner: Canary
) -> None:
    accepted = router.state(owner, {}).accepted
    assert accepted is (Acceptance.UNKNOWN if router.refs(owner) else Acceptance.YES)


@every_router
def test_what_is_written_counts_as_served_when_its_data_plane_says_so_of_this_version(
    router: Router, owner: Canary
) -> None:
    server = served(router, owner)
    server.write(router.render(owner, server.live, ALL_TO_PRIMARY))
    if not router.capabilities.answers:
        assert router.state(owner, server.live) == RouteState(
            ALL_TO_PRIMARY if router.capabilities.weights else None, accepted=Acceptance.YES
        )
        return
    routes = routes_in(server.live)

    def accepted(seen: int | None = None, *, good: bool = True) -> Acceptance:
        for route in routes:
            route["metadata"]["generation"] = 7
            route["status"] = {} if seen is None else answer(route, seen, good=good)
        state = router.state(owner, server.live)
        assert ("so it is" in state.note) is (state.accepted is Acceptance.NO)
        return state.accepted

    assert accepted() is Acceptance.UNKNOWN
    assert (accepted(7), accepted(7, good=False)) == (Acceptance.YES, Acceptance.NO)
    if not WITHOUT_GENERATION & {route["kind"] for route in routes}:
        assert (accepted(6), accepted(6, good=False)) == (Acceptance.BEHIND, Acceptance.BEHIND)
