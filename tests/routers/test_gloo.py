import copy
from typing import Any

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.api.places import RoutePlace
from flaggerpy.api.status import CanaryStatus, RolloutStatus
from flaggerpy.kube.resources import ROUTE_TABLES, UPSTREAMS, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, Acceptance, Routes, RouteState
from flaggerpy.routers.base import DEFAULTS
from flaggerpy.routers.former import former_routes, place_of
from flaggerpy.routers.gloo import GlooRouter
from flaggerpy.routers.registry import router_for
from tests.builders import canary, same_but
from tests.routers.server import Server

ROUTER = GlooRouter()
OWNER = canary()
SHARES = Routes(80, 20)
TABLE = Ref(ROUTE_TABLES, "shop", "web")
PRIMARY = Ref(UPSTREAMS, "shop", "shop-web-primaryupstream-80")
CANARY = Ref(UPSTREAMS, "shop", "shop-web-canaryupstream-80")
TEMPLATE = Ref(UPSTREAMS, "pool", "limits")
LIMITED = canary(
    spec={"upstreamRef": {"apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "name": "limits", "namespace": "pool"}}
)
SETTINGS = {"loadBalancerConfig": {"random": {}}, "connectionConfig": {"maxRequestsPerConnection": 51}}
LIMITS = {
    "apiVersion": "gloo.solo.io/v1",
    "kind": "Upstream",
    "metadata": {"name": "limits", "namespace": "pool"},
    "spec": {**SETTINGS, "kube": {"serviceName": "any"}, "failover": {}},
}


def for_users(*match: dict[str, Any]) -> Canary:
    return canary(analysis={"match": list(match), "iterations": 2, "stepWeight": None})


def written(owner: Canary = OWNER, routes: Routes = SHARES, **live: Any) -> dict[Ref, dict[str, Any]]:
    """Build the objects as they are right after we wrote them."""
    server = Server(ROUTER, owner)
    server.live.update(live.get("live", {}))
    server.write(ROUTER.render(owner, server.live, routes))
    return copy.deepcopy(server.live)


def accepted(**status: Any) -> RouteState:
    live = written()
    live[TABLE]["status"] = status
    return ROUTER.state(OWNER, live)


def test_upstreams_are_written_before_the_table_that_names_them() -> None:
    bodies = ROUTER.render(OWNER, {}, SHARES)
    assert [(body["kind"], body["metadata"]["name"]) for body in bodies] == [
        ("Upstream", PRIMARY.name),
        ("Upstream", CANARY.name),
        ("RouteTable", "web"),
    ]


@pytest.mark.parametrize(
    "status",
    [
        {"statuses": {"gloo-system": {"state": "Accepted"}}},
        {"statuses": {"gloo-system": {"state": "Warning", "reason": "so"}}},
        {"state": 1, "reportedBy": "gateway"},
    ],
)
def test_what_gloo_accepts_is_served(status: dict[str, Any]) -> None:
    assert accepted(**status) == RouteState(SHARES, accepted=Acceptance.YES)


@pytest.mark.parametrize(
    "status", [{}, {"state": 0}, {"statuses": {"gloo-system": {"state": "Pending"}}}, {"state": 2009}]
)
def test_what_gloo_has_not_looked_at_is_not_known_to_be_served(status: dict[str, Any]) -> None:
    assert accepted(**status) == RouteState(SHARES)


@pytest.mark.parametrize(
    "status",
    [
        {"state": 2, "reason": "no upstream"},
        {"statuses": {"a": {"state": "Accepted"}, "b": {"state": "Rejected", "reason": "no upstream"}}},
    ],
)
def test_what_gloo_rejects_is_told_in_its_own_words(status: dict[str, Any]) -> None:
    note = "Gloo does not serve the route: no upstream"
    assert accepted(**status) == RouteState(SHARES, accepted=Acceptance.NO, note=note)


@pytest.mark.parametrize(
    ("weights", "routes"),
    [((60, 40), Routes(60, 40)), ((1, 1), Routes(50, 50)), ((None, 7), Routes(0, 100)), ((0, None), None)],
)
def test_weights_that_others_wrote_are_read_as_shares(weights: tuple[int | None, ...], routes: Routes | None) -> None:
    live = written()
    destinations = live[TABLE]["spec"]["routes"][0]["routeAction"]["multi"]["destinations"]
    for destination, weight in zip(destinations, weights, strict=True):
        destination.pop("weight", None)
        destination.update({} if weight is None else {"weight": weight})
    assert ROUTER.state(OWNER, live).routes == routes


def test_the_template_is_read_and_what_it_says_is_copied_whole() -> None:
    assert ROUTER.refs(LIMITED) == (TABLE, PRIMARY, CANARY, TEMPLATE)
    live = written(LIMITED, live={TEMPLATE: LIMITS})

    for ref, service in ((PRIMARY, "web-primary"), (CANARY, "web-canary")):
        kube = {"serviceName": service, "serviceNamespace": "shop", "servicePort": 80}
        assert live[ref]["spec"] == {"kube": kube, **SETTINGS}
    assert live[TEMPLATE] == LIMITS, "it is the user's"
    assert not ROUTER.state(LIMITED, live).drifted


def test_a_change_of_the_template_is_carried_over_and_keeps_the_shares() -> None:
    live = written(LIMITED, live={TEMPLATE: LIMITS})
    live[TEMPLATE] = {**LIMITS, "spec": {**SETTINGS, "loadBalancerConfig": {"roundRobin": {}}}}

    assert ROUTER.state(LIMITED, live) == RouteState(SHARES, drifted=True)
    bodies = ROUTER.render(LIMITED, live, SHARES)
    assert [body["spec"].get("loadBalancerConfig") for body in bodies] == [{"roundRobin": {}}, {"roundRobin": {}}, None]


def test_w97_a_template_without_a_namespace_is_in_the_canarys() -> None:
    own = canary(spec={"upstreamRef": {"apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "name": "limits"}})
    assert ROUTER.refs(own)[-1] == Ref(UPSTREAMS, "shop", "limits")


def test_a_missing_template_is_told_unless_everything_is_there_already() -> None:
    with pytest.raises(UserError, match=r"Upstream limits does not exist in namespace pool: create it, or correct"):
        ROUTER.render(LIMITED, {}, ALL_TO_PRIMARY)

    live = written(LIMITED, live={TEMPLATE: LIMITS})
    del live[TEMPLATE]

    assert not ROUTER.state(LIMITED, live).drifted
    [table] = ROUTER.render(LIMITED, live, ALL_TO_PRIMARY)
    assert table["kind"] == "RouteTable", "users can be moved, whatever became of the template"


@pytest.mark.parametrize("change", ["gone", "another port", "unmarked"])
def test_an_upstream_that_others_changed_is_drift(change: str) -> None:
    live = written()
    match change:
        case "gone":
            del live[CANARY]
        case "another port":
            live[CANARY]["spec"]["kube"]["servicePort"] = 2009
        case "unmarked":
            live[CANARY]["metadata"]["labels"] = {}
    assert ROUTER.state(OWNER, live) == RouteState(SHARES, drifted=True)


def test_what_others_say_of_an_upstream_is_no_drift() -> None:
    live = written()
    live[CANARY]["spec"] |= {"failover": {"a": 1}, "kube": {**live[CANARY]["spec"]["kube"], "selector": {"app": "x"}}}
    assert not ROUTER.state(OWNER, live).drifted


def test_each_part_of_the_audience_is_a_matcher_and_everybody_else_has_a_route() -> None:
    owner = for_users(
        {"headers": {"b": {"exact": "1"}, "a": {"regex": "x|y"}}},
        {"queryParams": {"v": {"prefix": "2."}}},
        {"headers": {"cookie": {"suffix": "canary=always"}}},
    )
    chosen, rest = written(owner, Routes(0, 100))[TABLE]["spec"]["routes"]

    assert chosen["matchers"] == [
        {"headers": [{"name": "a", "value": "x|y", "regex": True}, {"name": "b", "value": "1"}]},
        {"queryParameters": [{"name": "v", "value": r"2\..*", "regex": True}]},
        {"headers": [{"name": "cookie", "value": ".*canary=always", "regex": True}]},
    ]
    assert "matchers" not in rest
    weights = [[one.get("weight") for one in route["routeAction"]["multi"]["destinations"]] for route in (chosen, rest)]
    assert weights == [[None, 100], [100, None]]


@pytest.mark.parametrize(
    ("match", "sentence"),
    [
        ({}, r"spec\.analysis\.match\[0\] has neither headers nor queryParams"),
        ({"headers": {"a": {"exact": ""}}}, r"spec\.analysis\.match\[0\]\.headers\.a is empty"),
        ({"headers": {"a": {"regex": "(?=x)"}}}, r"match\[0\]\.headers\.a\.regex is \(\?=x\), which is no regular"),
    ],
)
def test_an_audience_of_everyone_or_of_nobody_is_refused(match: dict[str, Any], sentence: str) -> None:
    [problem] = ROUTER.problems(for_users(match))
    with pytest.raises(UserError, match=sentence):
        ROUTER.render(for_users(match), {}, SHARES)
    assert problem


def test_nothing_is_known_of_a_canary_without_a_service() -> None:
    assert ROUTER.state(canary(spec={"service": None}), written()).routes is None


# Another port, after which Upstreams are named


def on_record(owner: Canary, place: RoutePlace) -> Canary:
    return same_but(owner, status=CanaryStatus(rollout=RolloutStatus(routes=[place])))


def edited(owner: Canary, port: int = 81) -> Canary:
    """Write another port into a canary whose routes are on record."""
    place = place_of(owner, "gloo", ROUTER)
    assert place is not None
    return on_record(canary(service={"port": port}), place)


def test_a_table_is_of_this_canary_once_it_names_no_upstream_of_the_former_port() -> None:
    after = edited(OWNER)
    server = Server(ROUTER, after)
    server.live.update(written())
    steps = 0
    while "upstream-80" in str(server.live[TABLE]["spec"]):
        assert ROUTER.state(after, server.live).routes is None, "nothing is deleted that it names"
        bodies = ROUTER.render(after, server.live, SHARES)
        server.write(ROUTER.ahead(after, server.live, bodies) or bodies)
        steps += 1

    assert steps == 3, "with the new ones, then with the old ones, both at weight 0, then without"
    assert ROUTER.state(after, server.live) == RouteState(SHARES)


def test_a_table_that_names_upstreams_of_another_port_leads_to_the_apex_when_it_is_given_back() -> None:
    [left] = ROUTER.restore(edited(OWNER), written())
    assert "upstream" not in str(left["spec"])


@pytest.mark.parametrize("name", ["shop-web-primaryupstream-x", "shop-web-primaryupstream-80-1", "shop-web-80"])
def test_upstreams_of_others_are_not_ours(name: str) -> None:
    live = written()
    live[TABLE]["spec"]["routes"][0]["routeAction"]["multi"]["destinations"] = [
        {"destination": {"upstream": {"name": name, "namespace": "shop"}}, "weight": 1}
    ]
    assert ROUTER.state(OWNER, live).routes is None


def test_upstreams_of_the_former_port_are_a_former_route_of_which_ours_are_deleted_and_the_users_given_back() -> None:
    own = {"kube": {"serviceName": "theirs", "serviceNamespace": "shop", "servicePort": 1}}
    theirs = {
        "apiVersion": "gloo.solo.io/v1",
        "kind": "Upstream",
        "metadata": {"name": CANARY.name, "namespace": "shop"},
        "spec": own,
    }
    live, after = written(live={CANARY: theirs}), edited(OWNER)

    [former] = former_routes(after, ROUTER, DEFAULTS, place_of(after, "gloo", ROUTER))

    assert former.refs == (PRIMARY, CANARY), "the table is the present one"
    [back] = former.bodies(live)
    assert (back["metadata"]["name"], back["spec"]) == (CANARY.name, own)
    live[CANARY] = back
    assert former.remains(live) == (PRIMARY,)
    assert not former.leads_to_canary(live)
    del live[PRIMARY]
    assert not former.is_held(live)
    assert former.is_heard({})


def test_a_port_is_on_record_only_where_objects_are_named_after_it_and_none_on_record_leaves_nothing_behind() -> None:
    istio = place_of(OWNER, "istio", router_for("istio"))
    gloo = place_of(OWNER, "gloo", ROUTER)
    assert istio is not None
    assert gloo is not None
    assert (istio.port, gloo.port) == (None, 80)
    before = on_record(OWNER, gloo.model_copy(update={"port": None}))
    [former] = former_routes(before, ROUTER, DEFAULTS, gloo)
    assert (former.refs, former.is_held(written())) == ((), False)
