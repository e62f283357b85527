from typing import Any

import pytest

from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Routes
from flaggerpy.routers.contour import ContourRouter
from flaggerpy.routers.httpproxy import proxy_spec
from tests.builders import canary

SHARES = Routes(90, 10)
AUDIENCE: dict[str, Any] = {"stepWeight": None, "iterations": 2}


def written(service: dict[str, Any], routes: Routes = SHARES, **analysis: Any) -> Any:
    return proxy_spec(canary(service=service, analysis=analysis), routes, "")["routes"]


def conditions(*match: dict[str, Any], service: dict[str, Any] | None = None) -> Any:
    return [route["conditions"] for route in written(service or {}, match=list(match), **AUDIENCE)]


def chosen(name: str, weight: int | None) -> dict[str, Any]:
    header = {"name": "l5d-dst-override", "value": f"{name}.shop.svc.cluster.local:80"}
    service = {"name": name, "port": 80, "requestHeadersPolicy": {"set": [header]}}
    return service if weight is None else service | {"weight": weight}


def test_the_simplest_proxy() -> None:
    assert proxy_spec(canary(), SHARES, "") == {
        "routes": [
            {
                "conditions": [{"prefix": "/"}],
                "services": [chosen("web-primary", 90), chosen("web-canary", 10)],
            }
        ]
    }


def test_the_ingress_class_is_there_when_it_was_chosen() -> None:
    assert proxy_spec(canary(), SHARES, "outside")["ingressClassName"] == "outside"


def test_a_share_of_nothing_is_left_out() -> None:
    [route] = written({}, Routes(100, 0))
    assert route["services"] == [chosen("web-primary", 100), chosen("web-canary", None)]


@pytest.mark.parametrize(("share", "weight"), [(0, None), (25, 25)])
def test_copies_go_to_the_canary_as_a_service_of_its_own(share: int, weight: int | None) -> None:
    [route] = written({}, Routes(100, 0, mirrored=True), mirrorWeight=share)
    copied = {**chosen("web-canary", weight), "mirror": True}
    assert route["services"] == [chosen("web-primary", 100), chosen("web-canary", None), copied]


def test_only_the_audience_is_copied() -> None:
    audience = {"match": [{"headers": {"x-canary": {"exact": "insider"}}}]}
    part, everyone = written({}, Routes(100, 0, mirrored=True), **audience)
    assert [len(route["services"]) for route in (part, everyone)] == [3, 2]


def test_an_audience_has_a_route_for_each_part_and_everyone_else_goes_to_the_primary() -> None:
    match = [{"headers": {"x-canary": {"exact": "insider"}}}, {"queryParams": {"v": {"exact": "2"}}}]

    *parts, everyone = written({"timeout": "15s"}, Routes(0, 100), match=match, **AUDIENCE)

    assert [part["conditions"] for part in parts] == [
        [{"prefix": "/", "header": {"name": "x-canary", "exact": "insider"}}],
        [{"prefix": "/", "queryParameter": {"name": "v", "exact": "2"}}],
    ]
    assert everyone["conditions"] == [{"prefix": "/"}]
    for part in parts:
        assert part["services"] == [chosen("web-primary", None), chosen("web-canary", 100)]
    assert everyone["services"] == [chosen("web-primary", 100), chosen("web-canary", None)]
    assert [route["timeoutPolicy"] for route in (*parts, everyone)] == [{"response": "15s", "idle": "5m"}] * 3


def test_w94_each_item_of_an_audience_is_enough_and_an_expression_is_one() -> None:
    match = [{"headers": {"x-user": {"regex": "in.*"}}}, {"headers": {"cookie": {"suffix": "canary=insider"}}}]

    *parts, everyone = written({}, Routes(0, 100), match=match, **AUDIENCE)

    assert [part["conditions"] for part in (*parts, everyone)] == [
        [{"prefix": "/", "header": {"name": "x-user", "regex": "in.*"}}],
        [{"prefix": "/", "header": {"name": "cookie", "contains": "canary=insider"}}],
        [{"prefix": "/"}],
    ]


def test_conditions_of_one_part_must_all_hold_and_only_the_first_names_the_path() -> None:
    part = {"headers": {"b": {"exact": "2"}, "a": {"exact": "1"}}, "queryParams": {"v": {"prefix": "3"}}}

    assert conditions(part, service={"match": [{"uri": {"prefix": "/shop"}}]})[0] == [
        {"prefix": "/shop", "header": {"name": "a", "exact": "1"}},
        {"header": {"name": "b", "exact": "2"}},
        {"queryParameter": {"name": "v", "prefix": "3"}},
    ]


def test_two_parts_of_an_audience_that_mean_the_same_are_one() -> None:
    part = {"headers": {"x": {"exact": "1"}}}
    assert len(conditions(part, part)) == 2


@pytest.mark.parametrize(
    ("title", "value", "expected"),
    [
        ("the whole value", {"exact": "insider"}, {"exact": "insider"}),
        ("a cookie, anywhere among others", {"suffix": "canary=insider"}, {"contains": "canary=insider"}),
        ("a browser, anywhere among its words", {"prefix": "Mobile"}, {"contains": "Mobile"}),
        ("an expression", {"regex": "in.*"}, {"regex": "in.*"}),
    ],
)
def test_how_a_header_is_compared(title: str, value: dict[str, str], expected: dict[str, str]) -> None:
    [[condition], _] = conditions({"headers": {"h": value}})
    assert condition["header"] == {"name": "h"} | expected, title


@pytest.mark.parametrize(
    ("title", "service", "field", "expected"),
    [
        ("a path", {"match": [{"uri": {"prefix": "/a"}}]}, "conditions", [{"prefix": "/a"}]),
        (
            "only the first condition counts, and of it only the path's beginning",
            {"match": [{"uri": {"exact": "/a"}, "method": {"exact": "GET"}}, {"uri": {"prefix": "/b"}}]},
            "conditions",
            [{"prefix": "/"}],
        ),
        ("a time limit", {"timeout": "1m1.5s"}, "timeoutPolicy", {"response": "1m1.5s", "idle": "5m"}),
        ("no time limit", {"timeout": "infinity"}, "timeoutPolicy", {"response": "infinity", "idle": "5m"}),
        ("retries as Contour has them by itself", {"retries": {}}, "retryPolicy", {"count": 1}),
        ("no attempts are one, as in Contour", {"retries": {"attempts": 0}}, "retryPolicy", {"count": 1}),
        (
            "retries",
            {"retries": {"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx, reset"}},
            "retryPolicy",
            {"count": 3, "perTryTimeout": "2s", "retryOn": ["5xx", "reset"]},
        ),
    ],
)
def test_settings_of_the_service(title: str, service: dict[str, Any], field: str, expected: Any) -> None:
    assert written(service)[0][field] == expected, title


@pytest.mark.parametrize(
    ("title", "service", "analysis", "sentence"),
    [
        ("no service", None, {}, r"spec\.service is missing"),
        ("session affinity", {}, {"sessionAffinity": {"cookieName": "c"}}, "sessionAffinity cannot be served"),
        (
            "a path without a slash",
            {"match": [{"uri": {"prefix": "a"}}]},
            {},
            r"match\[0\]\.uri\.prefix is a, .* write /a\.",
        ),
        ("a timeout that is no duration", {"timeout": "5"}, {}, r"spec\.service\.timeout: \"5\" is not a duration"),
        ("a timeout with a sign", {"timeout": "+5s"}, {}, r"spec\.service\.timeout is \+5s, which an HTTPProxy"),
        ("a timeout of nothing", {"timeout": "0"}, {}, r"spec\.service\.timeout is 0, which an HTTPProxy"),
        ("a timeout of centuries", {"timeout": "9999999h"}, {}, "longer than 292 years"),
        ("an attempt that is no duration", {"retries": {"perTryTimeout": "x"}}, {}, r"retries\.perTryTimeout"),
        ("fewer than no attempts", {"retries": {"attempts": -1}}, {}, r"retries\.attempts is -1"),
        ("an unknown failure", {"retries": {"retryOn": "5xx,bad"}}, {}, "retryOn names bad, .* knows only 5xx"),
        (
            "an audience of everyone",
            {},
            {"match": [{"sourceLabels": {"a": "b"}}], **AUDIENCE},
            r"spec\.analysis\.match\[0\] has neither headers nor queryParams",
        ),
        (
            "a header of which nothing is asked",
            {},
            {"match": [{"headers": {"h": {"exact": ""}}}], **AUDIENCE},
            r"match\[0\]\.headers\.h is empty, so that everyone",
        ),
        (
            "an expression that would cost the whole route",
            {},
            {"match": [{"headers": {"h": {"regex": "(a"}}}], **AUDIENCE},
            r"match\[0\]\.headers\.h\.regex is \(a, which is no regular expression",
        ),
    ],
)
def test_what_a_proxy_cannot_say_is_said_before_anything_moves(
    title: str, service: dict[str, Any] | None, analysis: dict[str, Any], sentence: str
) -> None:
    spec = {"service": None} if service is None else {}
    one = canary(spec=spec, service=service, analysis=analysis)

    [problem] = ContourRouter().problems(one)

    with pytest.raises(UserError, match=sentence) as raised:
        ContourRouter().render(one, {}, Routes(100, 0))
    assert str(raised.value) == problem, title
