"""Routes of a former provider or name: seen by the record in the status, given back, and no longer looked at."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from flaggerpy.kube.client import Client
from flaggerpy.kube.resources import CANARIES, HTTP_PROXIES, HTTP_ROUTES, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.rollout.decision import DeleteChildren, LeaveRoutes, ReleaseRoute, SetRoutes
from flaggerpy.rollout.traffic import Routes
from tests.builders import canary_json
from tests.controller.stage import CANARY, Stage
from tests.kube.fake_apiserver import FakeApiServer
from tests.targets.objects import JsonObject

HTTP_ROUTE, HTTP_PROXY = Ref(HTTP_ROUTES, "shop", "web"), Ref(HTTP_PROXIES, "shop", "web")
GATEWAY, CONTOUR = ({"provider": name, "service": "web"} for name in ("gatewayapi:v1", "contour"))
SERVICE = {"gatewayRefs": [{"name": "public"}], "hosts": ["shop.example.com"]}
HALF = SetRoutes(Routes(50, 50))
MARKS = ("flaggerpy.dev/canary", "flaggerpy.dev/original-route")
OWN: JsonObject = {
    "apiVersion": HTTP_ROUTES.api_version,
    "kind": "HTTPRoute",
    "metadata": {"name": "web", "namespace": "shop", "labels": {"mine": "1"}},
    "spec": {"rules": [{"backendRefs": [{"name": "web", "port": 80}]}]},
}


class Leaving(Stage):
    """A stage whose user edits where routes are."""

    async def ask(self, provider: str, *records: JsonObject, name: str | None = None) -> None:
        """Ask for a provider, where the status has these routes on record."""
        service = SERVICE | ({"name": name} if name else {})
        canary = canary_json(spec={"provider": provider}, service=service)
        del canary["metadata"]["resourceVersion"]
        status = {"phase": "Succeeded", "rollout": {"routes": list(records)}}
        self.server.put(CANARIES, canary | {"status": status})
        await self.caches.refresh([CANARY])

    async def leave(self) -> JsonObject:
        """Give back what is left behind, step by step; return the record of the last look."""
        for _ in range(4):
            if not (await self.look()).seen.left_behind:
                break
            await self.do(LeaveRoutes())
        seen = (await self.look()).seen
        assert not seen.left_behind
        return seen.place.to_json() if seen.place else {}

    def names(self, ref: Ref) -> set[str]:
        """The Services that a route leads to."""
        spec = self.server.objects[ref]["spec"]
        if ref.resource == HTTP_PROXIES:
            return {one["name"] for route in spec["routes"] for one in route["services"]}
        return {one["name"] for rule in spec["rules"] for one in rule["backendRefs"]}

    def marks(self, ref: Ref) -> list[str]:
        return [key for key in MARKS if key in self.server.objects[ref]["metadata"].get("annotations", {})]


@pytest.fixture
async def stage() -> AsyncIterator[Leaving]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        yield Leaving(server, Client(transport))


async def test_the_place_of_the_routes_is_seen_and_none_is_left_behind(stage: Leaving) -> None:
    await stage.ask("gatewayapi:v1", GATEWAY)
    seen = (await stage.do(HALF)).seen
    assert seen.place is not None
    assert (seen.place.to_json(), seen.left_behind, seen.route_released) == (GATEWAY, False, False)


@pytest.mark.parametrize(
    ("first", "record", "ref", "then"),
    [
        ("gatewayapi:v1", GATEWAY, HTTP_ROUTE, "kubernetes"),
        ("gatewayapi:v1", GATEWAY, HTTP_ROUTE, "contour"),
        ("contour", CONTOUR, HTTP_PROXY, "gatewayapi:v1"),
    ],
)
async def test_a_route_of_ours_leads_to_the_apex_service_then(
    stage: Leaving, first: str, record: JsonObject, ref: Ref, then: str
) -> None:
    await stage.ask(first, record)
    await stage.do(HALF)
    await stage.ask(then, record)
    seen = (await stage.look()).seen
    assert (seen.left_behind, seen.route_released) == (True, False)
    await stage.leave()
    assert (stage.names(ref), stage.marks(ref)) == ({"web"}, [])


async def test_a_route_of_the_user_is_as_it_was(stage: Leaving) -> None:
    stage.server.put(HTTP_ROUTES, OWN)
    await stage.ask("gatewayapi:v1", GATEWAY)
    await stage.do(HALF)
    assert stage.marks(HTTP_ROUTE) == list(MARKS)
    await stage.ask("kubernetes", GATEWAY)
    assert await stage.leave() == {}
    after = stage.server.objects[HTTP_ROUTE]
    assert (after["spec"], after["metadata"]["labels"]) == (OWN["spec"], OWN["metadata"]["labels"])


async def test_one_of_another_name_goes_where_it_would_keep_the_users_of_the_new_one(stage: Leaving) -> None:
    await stage.ask("gatewayapi:v1", GATEWAY)
    await stage.do(HALF)
    await stage.ask("gatewayapi:v1", GATEWAY, name="front")
    await stage.do(HALF)
    assert await stage.leave() == GATEWAY | {"service": "front"}
    front = Ref(HTTP_ROUTES, "shop", "front")
    assert HTTP_ROUTE not in stage.server.objects
    assert stage.names(front) == {"front-primary", "front-canary"}


async def test_one_of_another_name_stays_where_others_include_it(stage: Leaving) -> None:
    await stage.ask("contour", CONTOUR)
    await stage.do(HALF)
    await stage.ask("contour", CONTOUR, name="front")
    await stage.do(HALF)
    await stage.leave()
    assert (stage.names(HTTP_PROXY), stage.marks(HTTP_PROXY)) == ({"web"}, [])


async def test_one_of_the_user_is_never_deleted(stage: Leaving) -> None:
    stage.server.put(HTTP_ROUTES, OWN)
    await stage.ask("gatewayapi:v1", GATEWAY)
    await stage.do(HALF)
    await stage.ask("gatewayapi:v1", GATEWAY, name="front")
    await stage.do(HALF)
    await stage.leave()
    assert stage.server.objects[HTTP_ROUTE]["spec"] == OWN["spec"]


async def test_what_another_canary_has_taken_meanwhile_is_let_be(stage: Leaving) -> None:
    await stage.ask("gatewayapi:v1", GATEWAY)
    await stage.do(HALF)
    await stage.ask("kubernetes", GATEWAY)

    def taken(route: JsonObject) -> None:
        route["metadata"]["annotations"]["flaggerpy.dev/canary"] = "shop/other"

    stage.server.change(HTTP_ROUTE, taken)
    await stage.caches.refresh([HTTP_ROUTE])
    assert not (await stage.look()).seen.left_behind


async def test_who_meets_the_canary_through_it_is_known_unless_it_would_have_to_be_deleted(stage: Leaving) -> None:
    await stage.ask("gatewayapi:v1", GATEWAY)
    await stage.do(HALF)
    await stage.ask("gatewayapi:v1", GATEWAY, name="front")
    assert not (await stage.look()).seen.left_to_canary
    await stage.ask("contour", GATEWAY)
    assert (await stage.look()).seen.left_to_canary
    await stage.leave()
    assert not (await stage.look()).seen.left_to_canary


async def test_its_data_plane_has_to_hear_of_it(stage: Leaving) -> None:
    await stage.ask("gatewayapi:v1", GATEWAY)
    await stage.do(HALF)
    await stage.ask("kubernetes", GATEWAY)
    await stage.leave()
    assert (await stage.look()).seen.left_accepted.name == "UNKNOWN"
    stage.server.change(HTTP_ROUTE, accept)
    await stage.caches.refresh([HTTP_ROUTE])
    assert (await stage.look()).seen.left_accepted.name == "YES"


def accept(route: JsonObject) -> None:
    generation = route["metadata"]["generation"]
    condition = {"type": "Accepted", "status": "True", "observedGeneration": generation}
    route["status"] = {"parents": [{"parentRef": {"name": "public"}, "conditions": [condition]}]}


@pytest.mark.parametrize("deleted", [True, False])
async def test_a_deletion_takes_former_routes_along(stage: Leaving, deleted: bool) -> None:
    await stage.ask("gatewayapi:v1", GATEWAY)
    await stage.do(HALF)
    await stage.ask("nobody-knows-it", GATEWAY)
    if deleted:
        await stage.do(DeleteChildren(serving=False))
        assert HTTP_ROUTE not in stage.server.objects
        return
    while (await stage.look()).seen.left_behind:
        await stage.do(ReleaseRoute())
    assert (stage.names(HTTP_ROUTE), (await stage.look()).seen.route_released) == ({"web"}, True)


async def test_where_nothing_is_left_to_serve_a_route_of_the_user_is_given_back_all_the_same(stage: Leaving) -> None:
    stage.server.put(HTTP_ROUTES, OWN)
    await stage.ask("gatewayapi:v1", GATEWAY)
    await stage.do(HALF)
    await stage.do(DeleteChildren(serving=False))
    assert stage.server.objects[HTTP_ROUTE]["spec"] == OWN["spec"]
    assert stage.marks(HTTP_ROUTE) == []


async def test_a_kind_that_is_gone_is_no_trouble(stage: Leaving) -> None:
    stage.server.served.discard(HTTP_ROUTES)
    await stage.ask("kubernetes", GATEWAY)
    seen = (await stage.look()).seen
    assert not seen.left_behind
    assert not any("HTTPRoute" in problem or "httproutes" in problem for problem in seen.problems)


async def test_a_former_route_is_asked_for_once_and_without_one_nothing_is(stage: Leaving) -> None:
    await stage.ask("kubernetes", GATEWAY)
    await stage.look()
    await stage.look()
    asked = [seen for seen in stage.server.requests if "httproutes" in seen.path and not seen.is_watch]
    assert len(asked) == 1, [json.dumps(seen.query) for seen in asked]
    await stage.ask("kubernetes")
    before: list[Any] = list(stage.server.requests)
    await stage.look()
    assert not any("httproutes" in seen.path for seen in stage.server.requests[len(before) :])
