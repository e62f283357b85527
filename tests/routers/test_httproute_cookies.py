from __future__ import annotations

from typing import Any

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.kube.resources import HTTP_ROUTES, Ref
from flaggerpy.rollout.traffic import ALL_TO_CANARY, NO_COOKIES, Cookies, Routes
from flaggerpy.routers.gatewayapi import GatewayApiRouter
from tests.builders import canary
from tests.routers.server import Server

ROUTER = GatewayApiRouter()
REF = Ref(HTTP_ROUTES, "shop", "web")
BOTH = Cookies(canary="seen=c1", primary="old=p1")
TAKEN = Cookies(expired="seen=c1")


def sticky(service: dict[str, Any] | None = None, **affinity: Any) -> Canary:
    settings = {"cookieName": "seen", "primaryCookieName": "old", **affinity}
    gateways = {"gatewayRefs": [{"name": "public"}]}
    return canary(service={**gateways, **(service or {})}, analysis={"sessionAffinity": settings})


def rules(routes: Routes, owner: Canary | None = None) -> Any:
    [route] = ROUTER.render(owner or sticky(), {}, routes)
    return route["spec"]["rules"]


def shares(rule: Any) -> list[int]:
    return [backend["weight"] for backend in rule["backendRefs"]]


def holders(rule: Any) -> list[str]:
    return [header["value"] for match in rule["matches"] for header in match.get("headers", ())]


def given(part: Any) -> list[str]:
    filters = part.get("filters", ())
    return [header["value"] for one in filters for header in one["responseHeaderModifier"]["add"]]


def live(routes: Routes, owner: Canary) -> dict[str, Any]:
    server = Server(ROUTER, owner)
    server.write(ROUTER.render(owner, {}, routes))
    return server.live[REF]


def test_who_has_a_cookie_stays_and_everybody_else_is_shared_and_gets_one() -> None:
    canarys, primarys, everyone = rules(Routes(90, 10, cookies=BOTH))

    assert (holders(canarys), shares(canarys)) == ([".*seen.*c1.*"], [0, 100])
    assert (holders(primarys), shares(primarys)) == ([".*old.*p1.*"], [100, 0])
    assert (holders(everyone), shares(everyone)) == ([], [90, 10])
    primary, canary_backend = everyone["backendRefs"]
    assert given(primary) == ["old=p1; Max-Age=30"], "until the next step, one interval later"
    assert given(canary_backend) == ["seen=c1; Max-Age=86400"]


def test_a_cookie_has_the_attributes_that_are_asked_for_and_is_taken_back_with_them() -> None:
    owner = sticky(
        maxAge=3600, domain="example.com", httpOnly=True, partitioned=True, path="/", sameSite="Strict", secure=True
    )
    attributes = "Domain=example.com; HttpOnly; Partitioned; Path=/; SameSite=Strict; Secure"

    *_, everyone = rules(Routes(90, 10, cookies=BOTH), owner)
    back, rest = rules(Routes(100, 0, cookies=TAKEN), owner)

    assert given(everyone["backendRefs"][1]) == [f"seen=c1; Max-Age=3600; {attributes}"]
    assert given(back) == [f"seen=c1; Max-Age=-1; {attributes}"]
    assert (holders(back), shares(back)) == ([".*seen.*c1.*"], [100, 0])
    assert (holders(rest), shares(rest), given(rest)) == ([], [100, 0], [])


def test_an_interval_below_a_second_does_not_delete_the_cookie_that_it_gives() -> None:
    owner = canary(
        service={"gatewayRefs": [{"name": "public"}]},
        analysis={"interval": "100ms", "sessionAffinity": {"cookieName": "seen", "primaryCookieName": "old"}},
    )
    *_, everyone = rules(Routes(90, 10, cookies=BOTH), owner)
    assert given(everyone["backendRefs"][0]) == ["old=p1; Max-Age=1"]


def test_a_canary_with_all_users_keeps_nobody_on_the_primary() -> None:
    canarys, everyone = rules(Routes(0, 100, cookies=Cookies(canary="seen=c1")))
    assert shares(canarys) == shares(everyone) == [0, 100]


def test_the_name_of_a_cookie_is_no_pattern() -> None:
    canarys, *_ = rules(Routes(90, 10, cookies=Cookies(canary="a.b+c|d=c1")))
    assert holders(canarys) == [r".*a\.b\+c\|d.*c1.*"]


def test_conditions_of_the_service_hold_for_users_with_a_cookie_too() -> None:
    owner = sticky({"match": [{"uri": {"prefix": "/a"}}, {"headers": {"h": {"exact": "1"}}}]})
    canarys, _, everyone = rules(Routes(90, 10, cookies=BOTH), owner)
    assert [match["path"]["value"] for match in canarys["matches"]] == ["/a", "/"]
    assert [len(match["headers"]) for match in canarys["matches"]] == [1, 2]
    assert [len(match.get("headers", ())) for match in everyone["matches"]] == [0, 1]


def test_a_cookie_is_taken_back_beside_headers_that_everyone_gets() -> None:
    owner = sticky({"headers": {"response": {"add": {"x-shop": "1"}, "remove": ["server"]}}})
    back, _ = rules(Routes(100, 0, cookies=TAKEN), owner)
    [part] = back["filters"]
    assert part["responseHeaderModifier"]["add"] == [
        {"name": "x-shop", "value": "1"},
        {"name": "Set-Cookie", "value": "seen=c1; Max-Age=-1"},
    ]
    assert part["responseHeaderModifier"]["remove"] == ["server"]


@pytest.mark.parametrize("plan", [{"iterations": 2}, {"iterations": 2, "match": [{"headers": {"h": {"exact": "1"}}}]}])
def test_where_all_users_are_on_one_side_there_are_no_cookies(plan: dict[str, Any]) -> None:
    affinity = {"sessionAffinity": {"cookieName": "seen"}, "stepWeight": None, "maxWeight": None}
    owner = canary(service={"gatewayRefs": [{"name": "public"}]}, analysis={**affinity, **plan})
    written = rules(Routes(0, 100, cookies=Cookies(canary="seen=c1")), owner)
    assert len(written) == 1 + ("match" in plan)
    assert "Set-Cookie" not in str(written)


def test_weights_of_users_with_a_cookie_are_not_the_shares_and_a_strangers_are_drift() -> None:
    owner, routes = sticky(), Routes(90, 10, cookies=BOTH)
    route = live(routes, owner)
    assert ROUTER.state(owner, {REF: route}).routes == routes
    route["spec"]["rules"][0]["backendRefs"][1]["weight"] = 1
    route["spec"]["rules"][0]["backendRefs"][0]["weight"] = 1
    found = ROUTER.state(owner, {REF: route})
    assert found.routes == routes
    assert found.drifted


def test_cookies_that_are_not_asked_for_any_more_are_drift() -> None:
    plain = canary(service={"gatewayRefs": [{"name": "public"}]})
    found = ROUTER.state(plain, {REF: live(Routes(90, 10, cookies=BOTH), sticky())})
    assert found.routes is not None
    assert found.routes.traffic == (10, False)
    assert found.drifted


def test_a_header_that_a_user_sets_for_everyone_is_no_cookie_of_ours() -> None:
    owner = canary(
        service={
            "gatewayRefs": [{"name": "public"}],
            "headers": {"response": {"add": {"Set-Cookie": "legacy=; Max-Age=-1"}}},
        }
    )
    found = ROUTER.state(owner, {REF: live(Routes(100, 0), owner)})
    assert found.routes == Routes(100, 0, cookies=NO_COOKIES)
    assert not found.drifted


def test_released_rules_know_no_cookies() -> None:
    owner = sticky()
    for routes in (Routes(90, 10, cookies=BOTH), Routes(100, 0, cookies=TAKEN), ALL_TO_CANARY):
        server = Server(ROUTER, owner)
        server.write(ROUTER.render(owner, {}, routes))
        server.write(ROUTER.restore(owner, server.live))
        [rule] = server.live[REF]["spec"]["rules"]
        assert rule["backendRefs"] == [{"group": "", "kind": "Service", "name": "web", "port": 80, "weight": 100}]
        assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
