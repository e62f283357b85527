from typing import Any

import pytest

from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Routes
from flaggerpy.routers.gatewayapi import GatewayApiRouter
from flaggerpy.routers.httproute import route_spec
from tests.builders import canary

SHARES = Routes(90, 10)
GATEWAY = {"gatewayRefs": [{"name": "public", "namespace": "gateways"}]}
AUDIENCE = {"stepWeight": None, "iterations": 2}


def rules(service: dict[str, Any], routes: Routes = SHARES, **analysis: Any) -> Any:
    return route_spec(canary(service={**GATEWAY, **service}, analysis=analysis), routes)["rules"]


def test_the_simplest_route() -> None:
    assert route_spec(canary(service={**GATEWAY, "hosts": ["a.example", "b.example"]}), Routes(90, 10)) == {
        "parentRefs": [
            {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "gateways"}
        ],
        "hostnames": ["a.example", "b.example"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "backendRefs": [
                    {"group": "", "kind": "Service", "name": "web-primary", "port": 80, "weight": 90},
                    {"group": "", "kind": "Service", "name": "web-canary", "port": 80, "weight": 10},
                ],
            }
        ],
    }


@pytest.mark.parametrize(
    ("title", "match", "expected"),
    [
        ("a prefix", {"uri": {"prefix": "/a"}}, {"path": {"type": "PathPrefix", "value": "/a"}}),
        ("an exact path", {"uri": {"exact": "/a"}}, {"path": {"type": "Exact", "value": "/a"}}),
        ("a pattern", {"uri": {"regex": "/a.*"}}, {"path": {"type": "RegularExpression", "value": "/a.*"}}),
        (
            "headers in the order of their names",
            {"headers": {"b": {"exact": "1"}, "a": {"regex": "x"}}},
            {
                "path": {"type": "PathPrefix", "value": "/"},
                "headers": [
                    {"type": "RegularExpression", "name": "a", "value": "x"},
                    {"type": "Exact", "name": "b", "value": "1"},
                ],
            },
        ),
        (
            "a query parameter and a method",
            {"queryParams": {"v": {"exact": "2"}}, "method": {"exact": "GET"}},
            {
                "path": {"type": "PathPrefix", "value": "/"},
                "queryParams": [{"type": "Exact", "name": "v", "value": "2"}],
                "method": "GET",
            },
        ),
        (
            "what a route has no words for does not count",
            {"authority": {"exact": "x"}},
            {"path": {"type": "PathPrefix", "value": "/"}},
        ),
    ],
)
def test_a_condition_on_requests(title: str, match: dict[str, Any], expected: dict[str, Any]) -> None:
    assert rules({"match": [match]})[0]["matches"] == [expected], title


def test_w93_an_audience_has_the_method_that_the_service_asks_for_in_each_of_its_parts() -> None:
    service = {"match": [{"uri": {"prefix": "/a"}, "method": {"exact": "GET"}}, {"method": {"exact": "PUT"}}]}
    audience = [{"headers": {"x-canary": {"exact": "1"}}}, {"queryParams": {"v": {"exact": "2"}}}]

    first, second = rules(service, Routes(0, 100), match=audience, **AUDIENCE)

    assert [match["method"] for match in first["matches"]] == ["GET", "PUT", "GET", "PUT"]
    assert [match["method"] for match in second["matches"]] == ["GET", "PUT"]


def test_an_audience_narrows_every_condition_and_everyone_else_goes_to_the_primary() -> None:
    service = {
        "match": [
            {"uri": {"prefix": "/a"}, "method": {"exact": "GET"}},
            {"uri": {"exact": "/b"}, "headers": {"h": {"exact": "1"}}},
        ]
    }
    audience = [{"headers": {"x-canary": {"exact": "1"}}}, {"queryParams": {"v": {"exact": "2"}}}]

    first, second = rules(service, Routes(0, 100), match=audience, **AUDIENCE)

    canary_header = [{"type": "Exact", "name": "x-canary", "value": "1"}]
    own_header = [{"type": "Exact", "name": "h", "value": "1"}]
    query = [{"type": "Exact", "name": "v", "value": "2"}]
    prefix = {"path": {"type": "PathPrefix", "value": "/a"}, "method": "GET"}
    exact = {"path": {"type": "Exact", "value": "/b"}}
    assert first["matches"] == [
        {**prefix, "headers": canary_header},
        {**exact, "headers": canary_header},
        {**prefix, "queryParams": query},
        {**exact, "headers": own_header, "queryParams": query},
    ]
    assert [reference["weight"] for reference in first["backendRefs"]] == [0, 100]
    assert second["matches"] == [prefix, {**exact, "headers": own_header}]
    assert [(reference["name"], reference["weight"]) for reference in second["backendRefs"]] == [("web-primary", 100)]


def test_two_parts_of_an_audience_that_mean_the_same_are_one() -> None:
    part = {"headers": {"x": {"exact": "1"}}}
    assert len(rules({}, SHARES, match=[part, part], **AUDIENCE)[0]["matches"]) == 1


def test_filters_come_in_one_order_and_copies_for_the_canary_last() -> None:
    service = {
        "headers": {
            "request": {"set": {"b": "2", "a": "1"}, "add": {"c": "3"}, "remove": ["e", "d"]},
            "response": {"add": {"x": "y"}},
        },
        "rewrite": {"uri": "/new", "authority": "inner.example"},
        "mirror": [{"backendRef": {"name": "shadow", "port": 81, "namespace": "other"}}],
        "corsPolicy": {
            "allowOrigin": ["https://b.example"],
            "allowOrigins": [{"exact": "https://a.example"}, {"regex": ".*"}],
            "allowMethods": ["POST", "GET"],
            "maxAge": "1h30m",
            "allowCredentials": False,
        },
    }

    filters = rules(service, Routes(100, 0, mirrored=True))[0]["filters"]

    assert filters == [
        {
            "type": "RequestHeaderModifier",
            "requestHeaderModifier": {
                "add": [{"name": "c", "value": "3"}],
                "set": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}],
                "remove": ["d", "e"],
            },
        },
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "x", "value": "y"}]}},
        {
            "type": "URLRewrite",
            "urlRewrite": {"hostname": "inner.example", "path": {"type": "ReplaceFullPath", "replaceFullPath": "/new"}},
        },
        {
            "type": "RequestMirror",
            "requestMirror": {
                "backendRef": {"group": "", "kind": "Service", "name": "shadow", "namespace": "other", "port": 81}
            },
        },
        {
            "type": "CORS",
            "cors": {
                "allowOrigins": ["https://a.example", "https://b.example"],
                "allowMethods": ["GET", "POST"],
                "maxAge": 5400,
            },
        },
        {
            "type": "RequestMirror",
            "requestMirror": {"backendRef": {"group": "", "kind": "Service", "name": "web-canary", "port": 80}},
        },
    ]


def test_a_prefix_is_replaced_only_when_asked_for() -> None:
    service = {"match": [{"uri": {"prefix": "/a"}}], "rewrite": {"uri": "/new", "type": "ReplacePrefixMatch"}}
    [part] = rules(service)[0]["filters"]
    assert part["urlRewrite"]["path"] == {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}


def test_timeouts() -> None:
    assert rules({"timeout": "15s", "backendTimeout": "5s"})[0]["timeouts"] == {
        "request": "15s",
        "backendRequest": "5s",
    }
    assert rules({"timeout": "0s", "backendTimeout": "5s"})[0]["timeouts"]["request"] == "0s", "0s means none"


PREFIX = {"rewrite": {"uri": "/x", "type": "ReplacePrefixMatch"}}


@pytest.mark.parametrize(
    ("title", "service", "analysis", "sentence"),
    [
        ("no Gateway", {"gatewayRefs": None}, {}, r"spec\.service\.gatewayRefs is empty: name at least one Gateway"),
        ("no service", None, {}, r"spec\.service is missing"),
        (
            "cookies and an audience",
            {},
            {"sessionAffinity": {"cookieName": "c"}, "match": [{"headers": {"h": {"exact": "1"}}}]},
            r"sessionAffinity and spec\.analysis\.match both say who sees the canary",
        ),
        (
            "cookies beside a condition on cookies",
            {"match": [{"headers": {"cookie": {"regex": ".*a=b.*"}}}]},
            {"sessionAffinity": {"cookieName": "c"}},
            r"remove spec\.service\.match\[0\]\.headers\.cookie",
        ),
        (
            "cookies and more conditions than can be repeated",
            {"match": [{"uri": {"exact": f"/{n}"}} for n in range(43)]},
            {"sessionAffinity": {"cookieName": "c"}},
            "the 43 conditions.*takes 42 of them then",
        ),
        (
            "cookies beside a cookie for everyone",
            {"headers": {"response": {"add": {"set-cookie": "a=b"}}}},
            {"sessionAffinity": {"cookieName": "c"}},
            r"Set-Cookie for itself.*remove it from spec\.service\.headers\.response\.add",
        ),
        (
            "a header by prefix",
            {"match": [{"headers": {"h": {"prefix": "1"}}}]},
            {},
            r"spec\.service\.match\[0\]\.headers\.h is neither exact nor regex",
        ),
        (
            "a method that is no method",
            {"match": [{"method": {"prefix": "G"}}]},
            {},
            r"match\[0\]\.method is not exact",
        ),
        (
            "an audience by suffix",
            {},
            {"match": [{"headers": {"h": {"suffix": "1"}}}], **AUDIENCE},
            r"spec\.analysis\.match\[0\]\.headers\.h is neither",
        ),
        (
            "an audience of everyone",
            {},
            {"match": [{"sourceLabels": {"a": "b"}}], **AUDIENCE},
            "everyone would be part of the A/B test",
        ),
        (
            "a replaced prefix with two conditions",
            {"match": [{"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/b"}}], **PREFIX},
            {},
            "exactly one match",
        ),
        (
            "a replaced prefix of an exact path",
            {"match": [{"uri": {"exact": "/a"}}], **PREFIX},
            {},
            "exactly one match",
        ),
        (
            "a replaced prefix with a larger audience",
            PREFIX,
            {"match": [{"headers": {"a": {"exact": "1"}}}, {"headers": {"a": {"exact": "2"}}}], **AUDIENCE},
            "exactly one match",
        ),
        ("a timeout that is no duration", {"timeout": "5"}, {}, r"spec\.service\.timeout"),
        ("a timeout in fractions", {"timeout": "1.5s"}, {}, r"spec\.service\.timeout is 1\.5s, which the Gateway API"),
        ("an attempt longer than all", {"timeout": "5s", "backendTimeout": "6s"}, {}, "backendTimeout is longer than"),
        ("an age that is no duration", {"corsPolicy": {"maxAge": "x"}}, {}, r"corsPolicy\.maxAge"),
        (
            "too many conditions",
            {"match": [{"uri": {"exact": f"/{n}"}} for n in range(65)]},
            {},
            "65 combinations.*takes 64",
        ),
    ],
)
def test_what_a_route_cannot_say_is_said_before_anything_moves(
    title: str, service: dict[str, Any] | None, analysis: dict[str, Any], sentence: str
) -> None:
    spec = {"service": None} if service is None else {}
    one = canary(spec=spec, service={**GATEWAY, **(service or {})}, analysis=analysis)

    [problem] = GatewayApiRouter().problems(one)

    with pytest.raises(UserError, match=sentence) as raised:
        GatewayApiRouter().render(one, {}, Routes(100, 0))
    assert str(raised.value) == problem, title
