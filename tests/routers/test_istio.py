import copy
import json
from typing import Any

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.api.marks import made_by_us
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import DESTINATION_RULES, VIRTUAL_SERVICES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, Acceptance, Cookies, Routes, RouteState
from flaggerpy.routers.istio import FLAGGERS_BACKUP, IstioRouter
from tests.builders import canary
from tests.routers.server import Server

ROUTER = IstioRouter()
SHARES = Routes(80, 20)
ROUTE = Ref(VIRTUAL_SERVICES, "shop", "web")
PRIMARY, CANARY = (Ref(DESTINATION_RULES, "shop", f"web-{side}") for side in ("primary", "canary"))
POLICY = {"loadBalancer": {"simple": "LEAST_REQUEST"}}
SERVICE = {
    "hosts": ["a.example", "b.example"],
    "timeout": "15s",
    "match": [{"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/b"}}],
    "retries": {"attempts": 0},
    "trafficPolicy": POLICY,
}
OWNER = canary(service=SERVICE)
FLAGGER_OWNER = {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "web", "uid": "1", "controller": True}
ON_TRIAL = {"iterations": 2, "stepWeight": None}

Live = dict[Ref, JsonObject]


def written(routes: Routes = SHARES, owner: Canary = OWNER) -> Live:
    """Build the objects as they are right after we wrote them."""
    server = Server(ROUTER, owner)
    server.write(ROUTER.render(owner, {}, routes))
    return copy.deepcopy(server.live)


def state(live: Live, owner: Canary = OWNER) -> RouteState:
    return ROUTER.state(owner, live)


def http(live: Live) -> list[JsonObject]:
    routes: list[JsonObject] = live[ROUTE]["spec"]["http"]
    return routes


def split(*weights: int | None, service: str = "web") -> list[JsonObject]:
    names = (f"{service}-primary", f"{service}-canary")
    parts = [{"destination": {"host": name}, "weight": weight} for name, weight in zip(names, weights, strict=False)]
    return [{field: part for field, part in one.items() if part is not None} for one in parts]


def users_own(**spec: Any) -> JsonObject:
    return {
        "apiVersion": "networking.istio.io/v1beta1",
        "kind": "VirtualService",
        "metadata": {"name": "web", "namespace": "shop", "annotations": {"theirs": "1"}},
        "spec": {"hosts": ["web"], "http": [{"route": [{"destination": {"host": "web"}}]}], **spec},
    }


def users_rule(policy: JsonObject) -> JsonObject:
    return {
        "apiVersion": "networking.istio.io/v1beta1",
        "kind": "DestinationRule",
        "metadata": {"name": "web-primary", "namespace": "shop", "labels": {"a": "b"}, "annotations": {"c": "d"}},
        "spec": {"host": "web-primary", "trafficPolicy": policy, "exportTo": ["."]},
    }


# Reading


def test_without_a_route_nothing_is_known_and_with_one_it_counts_as_served() -> None:
    assert state({}) == RouteState(routes=None)
    assert state(written()) == RouteState(SHARES, accepted=Acceptance.YES)


@pytest.mark.parametrize(
    ("title", "status", "seen", "accepted", "note"),
    [
        ("all proxies have it", "True", 7, Acceptance.YES, ""),
        ("some have yet to get it", "False", 7, Acceptance.UNKNOWN, "Istio says stillPropagating: 61/122 complete"),
        ("an earlier version was counted", "False", 6, Acceptance.YES, ""),
        ("it does not say which one was counted", "False", None, Acceptance.YES, ""),
    ],
)
def test_proxies_that_istio_counts_are_waited_for(
    title: str, status: str, seen: int | None, accepted: Acceptance, note: str
) -> None:
    live = written()
    words = {"reason": "stillPropagating", "message": "61/122 complete"}
    live[ROUTE]["metadata"]["generation"] = 7
    live[ROUTE]["status"] = {
        "conditions": [
            {"type": "PassedAnalysis", "status": "False"},
            {"type": "Reconciled", "status": status, **words},
        ],
        **({"observedGeneration": seen} if seen else {}),
    }
    assert state(live) == RouteState(SHARES, accepted=accepted, note=note), title


@pytest.mark.parametrize(
    ("title", "weights", "routes"),
    [
        ("as we write them", (80, 20), Routes(80, 20)),
        ("of another sum, as Istio allows", (3, 1), Routes(75, 25)),
        ("none is nothing beside another", (None, 40), Routes(0, 100)),
        ("a Service alone gets everything", (0,), Routes(100, 0)),
        ("alone without a weight too", (None,), Routes(100, 0)),
        ("nobody gets anything, which Istio refuses", (0, 0), None),
    ],
)
def test_weights_are_read_as_istio_reads_them(title: str, weights: tuple[int | None, ...], routes: Routes) -> None:
    live = written()
    http(live)[0]["route"] = split(*weights)
    assert state(live).routes == routes, title


def test_a_route_that_leads_elsewhere_is_not_usable() -> None:
    assert state({ROUTE: users_own()}).routes is None


def test_the_protocol_that_was_chosen_last_is_not_read_as_long_as_nothing_is_written_for_it() -> None:
    """Traffic stays as it is while appProtocol changes, in either direction."""
    tcp = canary(service={"appProtocol": "tcp"})
    assert state(written(), tcp) == RouteState(SHARES, drifted=True, accepted=Acceptance.YES)
    assert state(written(owner=tcp)).routes == SHARES
    both = written()
    both[ROUTE]["spec"]["tcp"] = [{"route": split(60, 40)}]
    assert state(both, tcp).routes == Routes(60, 40)
    assert state(both).routes == SHARES


def test_cookies_of_routes_that_others_made_are_no_cookies_of_ours() -> None:
    live = written()
    http(live)[0]["route"][1]["headers"] = {"response": {"add": {"x-side": "canary"}}}
    assert state(live).routes == SHARES


# Drift


def other_orders(live: Live) -> None:
    live[ROUTE]["spec"]["hosts"].reverse()
    http(live)[0]["match"].reverse()
    http(live)[0]["route"].reverse()


@pytest.mark.parametrize(
    ("title", "change", "drifted"),
    [
        ("as written", lambda live: None, False),
        ("other orders of sets", other_orders, False),
        ("labels of strangers", lambda live: live[ROUTE]["metadata"]["labels"].update(x="y"), False),
        ("where it is seen", lambda live: live[ROUTE]["spec"].update(exportTo=["."]), False),
        ("routes for TLS", lambda live: live[ROUTE]["spec"].update(tls=[{}]), False),
        ("a label of ours gone", lambda live: live[ROUTE]["metadata"]["labels"].clear(), True),
        ("another host", lambda live: live[ROUTE]["spec"].update(hosts=["x"]), True),
        ("another gateway", lambda live: live[ROUTE]["spec"].update(gateways=["x"]), True),
        ("a time limit gone", lambda live: http(live)[0].pop("timeout"), True),
        ("no retries turned into the default", lambda live: http(live)[0].pop("retries"), True),
        ("a fault", lambda live: http(live)[0].update(fault={"abort": {"httpStatus": 500}}), True),
        ("a route before ours", lambda live: http(live).insert(0, {"route": split(100)}), True),
        ("a rule gone", lambda live: live.pop(CANARY), True),
        ("a rule without our mark", lambda live: live[PRIMARY]["metadata"]["annotations"].clear(), True),
        ("a rule for another host", lambda live: live[PRIMARY]["spec"].update(host="x"), True),
        ("another policy", lambda live: live[PRIMARY]["spec"].update(trafficPolicy={"tls": {"mode": "SIMPLE"}}), True),
        ("more of a policy", lambda live: live[CANARY]["spec"]["trafficPolicy"].update(tls={"mode": "SIMPLE"}), True),
        ("no policy", lambda live: live[CANARY]["spec"].pop("trafficPolicy"), True),
        ("subsets of a rule", lambda live: live[CANARY]["spec"].update(subsets=[{"name": "v1"}]), False),
    ],
)
def test_drift_is_anything_of_ours_but_weights_and_is_mended_with_the_weights_that_there_are(
    title: str, change: Any, drifted: bool
) -> None:
    server = Server(ROUTER, OWNER)
    server.write(ROUTER.render(OWNER, {}, SHARES))
    change(server.live)

    found = state(server.live)
    assert found.drifted is drifted, title
    assert found.routes is not None, "W-90"
    server.write(ROUTER.render(OWNER, server.live, found.routes))
    assert state(server.live) == RouteState(found.routes, accepted=Acceptance.YES), title


def test_a_setting_that_cannot_be_written_is_no_drift() -> None:
    assert not state(written(), canary(service={**SERVICE, "timeout": "0s"})).drifted


# The spec


def test_the_order_is_rules_before_the_route_that_leads_to_them() -> None:
    bodies = ROUTER.render(OWNER, {}, SHARES)
    assert [(one["kind"], one["metadata"]["name"]) for one in bodies] == [
        ("DestinationRule", "web-canary"),
        ("DestinationRule", "web-primary"),
        ("VirtualService", "web"),
    ]


@pytest.mark.parametrize(("hosts", "written_hosts"), [((), ["web"]), (("*",), ["*"]), (("web", "a"), ["web", "a"])])
def test_the_apex_service_is_a_host_unless_it_is_one_anyway(hosts: tuple[str, ...], written_hosts: list[str]) -> None:
    assert written(owner=canary(service={"hosts": list(hosts)}))[ROUTE]["spec"]["hosts"] == written_hosts


@pytest.mark.parametrize(
    ("title", "service", "port"),
    [
        ("one port", {"gateways": ["public/gateway"]}, None),
        ("at a gateway", {"gateways": ["public/gateway", "mesh"], "portDiscovery": True}, 80),
        ("in the mesh, where requests say it", {"gateways": ["mesh"], "portDiscovery": True}, None),
        ("in the mesh by default", {"portDiscovery": True}, None),
        ("as a delegate", {"delegation": True, "portDiscovery": True}, 80),
    ],
)
def test_a_port_is_named_where_there_are_several_and_nobody_says_which(
    title: str, service: JsonObject, port: int | None
) -> None:
    [route] = http(written(Routes(100, 0, mirrored=True), canary(service=service)))
    named = [one["destination"] for one in route["route"]] + [route["mirror"]]
    assert [one.get("port") for one in named] == [{"number": port} if port else None] * 3, title


def test_w93_an_audience_is_narrowed_by_what_the_service_asks_for_and_keeps_its_own() -> None:
    service = {"match": [{"uri": {"prefix": "/a"}, "headers": {"x-v": {"exact": "1"}}}, {"method": {"exact": "GET"}}]}
    match = [
        {"headers": {"x-user": {"suffix": "a.b"}}, "queryParams": {"v": {"exact": "2"}}, "sourceLabels": {"a": "b"}}
    ]
    audience, everyone = http(written(owner=canary(service=service, analysis={"match": match, **ON_TRIAL})))

    chosen = {"queryParams": {"v": {"exact": "2"}}, "sourceLabels": {"a": "b"}}
    user = {"x-user": {"regex": ".*a\\.b"}}
    assert audience["match"] == [
        {"uri": {"prefix": "/a"}, "headers": {"x-v": {"exact": "1"}, **user}, **chosen},
        {"method": {"exact": "GET"}, "headers": user, **chosen},
    ]
    assert everyone["match"] == service["match"]
    assert everyone["route"] == split(100), "everybody else gets the primary, whatever the audience gets"


PRESENT: list[JsonObject] = [
    {"headers": {"x-user": {}}},
    {"headers": {"x-user": {"exact": ""}, "x-team": {"exact": "a"}}},
    {"withoutHeaders": {"x-internal": {}}},
    {"queryParams": {"debug": {"exact": ""}}},
    {"sourceLabels": {"track": ""}},
]


@pytest.mark.parametrize("condition", PRESENT, ids=str)
def test_a_condition_that_something_is_there_or_empty_holds_and_its_loss_is_drift(condition: JsonObject) -> None:
    owner = canary(service={"match": [{"uri": {"prefix": "/"}, **condition}]})
    live = written(owner=owner)
    assert http(live)[0]["match"] == [{"uri": {"prefix": "/"}, **condition}]
    assert not state(live, owner).drifted

    [(field, named)] = condition.items()
    http(live)[0]["match"][0][field] = {name: value for name, value in named.items() if value == {"exact": "a"}}

    assert state(live, owner).drifted


def test_what_says_nothing_is_not_written_into_a_condition() -> None:
    nothing = {"uri": {"exact": ""}, "headers": {}, "gateways": [], "ignoreUriCase": False, "name": ""}
    [route] = http(written(owner=canary(service={"match": [{"headers": {"x-user": {"prefix": ""}}}, nothing]})))
    assert route["match"] == [{"headers": {"x-user": {}}}, {}]


def test_a_header_that_is_set_to_nothing_is_set_and_its_loss_is_drift() -> None:
    headers = {"request": {"set": {"x-remote-user": ""}, "remove": ["x-a"]}, "response": {"add": {"x-b": ""}}}
    owner = canary(service={"headers": headers})
    live = written(owner=owner)
    assert http(live)[0]["headers"] == headers
    assert not state(live, owner).drifted

    http(live)[0]["headers"]["request"].pop("set")

    assert state(live, owner).drifted


@pytest.mark.parametrize("field", ["headers", "queryParams", "sourceLabels"])
def test_an_audience_is_no_wider_than_each_of_its_conditions_and_one_without_any_is_refused(field: str) -> None:
    empty: Any = "" if field == "sourceLabels" else {"exact": ""}
    match = {"headers": {"x-team": {"exact": "a"}}, field: {"x-user": empty}}
    owner = canary(analysis={"match": [match], **ON_TRIAL})
    assert http(written(owner=owner))[0]["match"] == [match]

    [problem] = ROUTER.problems(canary(analysis={"match": [{field: {}}], **ON_TRIAL}))

    assert problem.startswith("spec.analysis.match[0] has neither headers, queryParams nor sourceLabels")


@pytest.mark.parametrize(
    ("title", "service", "analysis", "said"),
    [
        ("no service", None, {}, "spec.service is missing"),
        ("a mirror of connections", {"appProtocol": "TCP"}, {"mirror": True}, "spec.analysis.mirror is for HTTP"),
        (
            "cookies of connections",
            {"appProtocol": "tcp"},
            {"sessionAffinity": {"cookieName": "c"}},
            "spec.analysis.sessionAffinity is for HTTP",
        ),
        ("a delegate of connections", {"appProtocol": "tcp", "delegation": True}, {}, "spec.service.delegation is for"),
        ("an age", {"corsPolicy": {"maxAge": "1us"}}, {}, "spec.service.corsPolicy.maxAge is 1us"),
        (
            "an origin",
            {"corsPolicy": {"allowOrigins": [{"regex": "("}]}},
            {},
            r"spec.service.corsPolicy.allowOrigins\[0\].regex is \(",
        ),
        (
            "an audience's pattern",
            {},
            {"match": [{"headers": {"a": {"regex": "("}}}], **ON_TRIAL},
            r"spec.analysis.match\[0\].headers.a.regex is \(",
        ),
        (
            "a policy",
            {"trafficPolicy": {"connectionPool": {"http": {"idleTimeout": "0s"}}}},
            {},
            "spec.service.trafficPolicy.connectionPool.http.idleTimeout is 0s",
        ),
    ],
)
def test_what_cannot_be_said(title: str, service: Any, analysis: JsonObject, said: str) -> None:
    owner = canary(spec={"service": None}) if service is None else canary(service=service, analysis=analysis)
    [problem] = ROUTER.problems(owner)
    with pytest.raises(UserError, match=f"^{said}"):
        raise UserError(problem)


def test_with_iterations_cookies_mean_nothing_and_are_no_problem() -> None:
    owner = canary(
        analysis={"sessionAffinity": {"cookieName": "c"}, "match": [{"headers": {"a": {"exact": "1"}}}], **ON_TRIAL}
    )
    assert ROUTER.problems(owner) == ()
    assert "Set-Cookie" not in str(ROUTER.render(owner, {}, SHARES))


def test_a_users_condition_on_cookies_holds_beside_ours() -> None:
    service = {"match": [{"headers": {"cookie": {"regex": "beta"}}}]}
    owner = canary(service=service, analysis={"sessionAffinity": {"cookieName": "c"}})
    sticky, everyone = http(written(Routes(80, 20, cookies=Cookies("c=1")), owner))
    assert sticky["match"] == [{"headers": {"cookie": {"regex": "beta"}, "Cookie": {"regex": ".*c.*1.*"}}}]
    assert everyone["match"] == service["match"]


def test_w92_a_cookie_is_taken_back_as_it_was_given_beside_the_users_own_headers_and_nowhere_else() -> None:
    """Flagger's headers leak into the route for everyone, and browsers keep a cookie that had a path."""
    service = {"headers": {"response": {"add": {"x-a": "1"}}, "request": {"remove": ["x-b"]}}}
    owner = canary(service=service, analysis={"sessionAffinity": {"cookieName": "c", "path": "/"}})
    holders, everyone = http(written(Routes(100, 0, cookies=Cookies(expired="c=1")), owner))
    gone = {"Set-Cookie": "c=1; Max-Age=-1; Path=/"}
    assert holders["headers"]["response"]["add"] == {"x-a": "1", **gone}
    assert everyone["headers"] == service["headers"]


# Whose it is


def test_objects_of_flaggers_are_ours_with_their_weights_and_without_a_backup() -> None:
    live = written()
    for obj in live.values():
        obj["metadata"] |= {"labels": {"team": "a"}, "annotations": {}, "ownerReferences": [FLAGGER_OWNER]}
    live[PRIMARY]["spec"]["trafficPolicy"] = {"tls": {"mode": "SIMPLE"}}

    assert state(live) == RouteState(SHARES, drifted=True, accepted=Acceptance.YES), "they lack our marks"
    server = Server(ROUTER, OWNER)
    server.live = live
    server.write(ROUTER.render(OWNER, live, SHARES))

    assert state(server.live) == RouteState(SHARES, accepted=Acceptance.YES)
    for obj in server.live.values():
        assert "flaggerpy.dev/original-route" not in obj["metadata"]["annotations"]
        assert "ownerReferences" not in obj["metadata"], "the garbage collector must not take it"
        assert obj["metadata"]["labels"]["team"] == "a", "what others wrote stays"
    assert server.live[PRIMARY]["spec"] == {"host": "web-primary", "trafficPolicy": POLICY}


def test_a_users_own_rule_keeps_its_policy_where_the_canary_has_none_and_gets_it_back_where_it_has() -> None:
    hashed = {"loadBalancer": {"consistentHash": {"useSourceIp": True}}}
    for owner, policy in ((canary(), hashed), (OWNER, POLICY)):
        server = Server(ROUTER, owner)
        server.put(users_rule(hashed))
        before = copy.deepcopy(server.live)
        server.write(ROUTER.render(owner, server.live, SHARES))

        taken = server.live[PRIMARY]["spec"]
        assert taken == {"host": "web-primary", "trafficPolicy": policy, "exportTo": ["."]}, "never a mix of two"
        assert not state(server.live, owner).drifted

        server.write(ROUTER.restore(owner, server.live))
        assert server.live[PRIMARY] == before[PRIMARY]
        assert made_by_us(server.live[CANARY], owner), "the other one goes with its Service"


def test_a_policy_that_the_canary_has_no_longer_goes() -> None:
    server = Server(ROUTER, OWNER)
    server.write(ROUTER.render(OWNER, {}, SHARES))
    without = canary(service={**SERVICE, "trafficPolicy": None})
    assert state(server.live, without).drifted

    server.write(ROUTER.render(without, server.live, SHARES))

    assert server.live[PRIMARY]["spec"] == {"host": "web-primary"}
    assert not state(server.live, without).drifted


def test_w91_the_users_own_route_is_kept_once_however_often_the_canary_changes() -> None:
    server = Server(ROUTER, OWNER)
    server.put(users_own(hosts=["old"]))
    for timeout in ("1s", "2s", "3s"):
        edited = canary(service={**SERVICE, "timeout": timeout})
        server.write(ROUTER.render(edited, server.live, SHARES))

    server.write(ROUTER.restore(OWNER, server.live))

    assert server.live[ROUTE]["spec"] == users_own(hosts=["old"])["spec"]


@pytest.mark.parametrize(
    ("title", "backup", "hosts"),
    [
        ("what the user had", {"hosts": ["old"], "http": [{"route": [{"destination": {"host": "web"}}]}]}, ["old"]),
        ("a spec of Flagger's own (W-91)", {"hosts": ["old"], "http": [{"route": split(100, 0)}]}, SERVICE["hosts"]),
        ("no spec at all", "nonsense", SERVICE["hosts"]),
    ],
)
def test_w91_what_flagger_kept_is_given_back_if_it_is_the_users(title: str, backup: Any, hosts: list[str]) -> None:
    live = written()
    live[ROUTE]["metadata"]["annotations"][FLAGGERS_BACKUP] = json.dumps(backup)

    [body] = ROUTER.restore(OWNER, live)

    assert body["spec"]["hosts"][: len(hosts)] == hosts, title
    assert "web-primary" not in str(body["spec"])
    assert FLAGGERS_BACKUP not in body["metadata"]["annotations"]


def test_giving_back_keeps_routes_of_others_and_drops_copies() -> None:
    live = written(Routes(100, 0, mirrored=True))
    http(live).insert(0, {"redirect": {"uri": "/x"}, "match": [{"uri": {"exact": "/y"}}]})
    http(live)[1]["route"].append({"destination": {"host": "old"}, "weight": 0})

    [body] = ROUTER.restore(OWNER, live)

    redirect, released = body["spec"]["http"]
    assert redirect == http(live)[0]
    assert [(one["destination"]["host"], one["weight"]) for one in released["route"]] == [("web", 100), ("old", 0)]
    assert released.keys() == {"match", "route", "timeout", "retries"}


def test_a_service_goes_ahead_where_services_are() -> None:
    own = users_own(http=[{"redirect": {"uri": "/x"}}, {"route": [{"destination": {"host": "web"}}]}])
    live = {ROUTE: own}
    [step] = ROUTER.ahead(OWNER, live, ROUTER.render(OWNER, live, ALL_TO_PRIMARY))
    assert step["kind"] == "VirtualService"
    assert step["spec"]["http"][0] == {"redirect": {"uri": "/x"}}
    shares = [(one["destination"]["host"], one["weight"]) for one in step["spec"]["http"][1]["route"]]
    assert shares == [("web", 100), ("web-primary", 0)], "one alone needs no weight, beside another it does"


def test_objects_of_another_canary_are_not_taken() -> None:
    for ref in (ROUTE, PRIMARY):
        live = written()
        live[ref]["metadata"]["annotations"] = {"flaggerpy.dev/canary": "shop/other"}
        with pytest.raises(UserError, match=f"{ref.resource.kind} {ref.name} belongs to canary shop/other"):
            ROUTER.render(OWNER, live, SHARES)
