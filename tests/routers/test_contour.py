import copy
import json
from typing import Any

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.kube.resources import HTTP_PROXIES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Acceptance, Routes, RouteState
from flaggerpy.routers.contour import ContourRouter
from tests.builders import canary
from tests.routers.server import Server

ROUTER = ContourRouter()
SHARES = Routes(80, 20)
REF = Ref(HTTP_PROXIES, "shop", "web")
OWNER = canary(service={"timeout": "15s", "retries": {"attempts": 2, "retryOn": "5xx,reset"}})
PARTS = [{"headers": {"a": {"exact": "1"}, "b": {"exact": "2"}}}, {"headers": {"c": {"suffix": "3"}}}]
TESTER = canary(analysis={"match": PARTS, "iterations": 2, "stepWeight": None})
FLAGGER_OWNER = {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "web", "uid": "1", "controller": True}


def written(routes: Routes = SHARES, owner: Canary = OWNER, router: ContourRouter = ROUTER) -> dict[str, Any]:
    """Build the proxy as it is right after we wrote it."""
    server = Server(router, owner)
    server.write(router.render(owner, {}, routes))
    return copy.deepcopy(server.live[REF])


def state(proxy: dict[str, Any], owner: Canary = OWNER, router: ContourRouter = ROUTER) -> RouteState:
    return router.state(owner, {REF: proxy})


def weights(proxy: dict[str, Any], primary: int | None, canary_weight: int | None, route: int = 0) -> dict[str, Any]:
    for service, weight in zip(proxy["spec"]["routes"][route]["services"], (primary, canary_weight), strict=True):
        service.pop("weight", None)
        service.update({} if weight is None else {"weight": weight})
    return proxy


def test_without_a_proxy_nothing_is_known() -> None:
    assert ROUTER.state(OWNER, {}) == RouteState(routes=None)


def test_weights_that_others_wrote_are_read_as_shares() -> None:
    assert state(weights(written(), 60, 40)) == RouteState(Routes(60, 40))
    assert state(weights(written(), 1, 1)) == RouteState(Routes(50, 50), drifted=True)
    assert state(weights(written(), 100, 0)) == RouteState(Routes(100, 0)), "0 is as good as none"


@pytest.mark.parametrize("weight", [None, 0])
def test_where_nobody_has_a_weight_contour_gives_everybody_the_same(weight: int | None) -> None:
    assert state(weights(written(), weight, weight)) == RouteState(Routes(50, 50), drifted=True)


@pytest.mark.parametrize(("position", "routes"), [(0, Routes(100, 0)), (1, Routes(0, 100))])
def test_one_service_alone_gets_everything_and_that_is_drift(position: int, routes: Routes) -> None:
    proxy = weights(written(), None, None)
    proxy["spec"]["routes"][0]["services"] = [proxy["spec"]["routes"][0]["services"][position]]
    assert state(proxy) == RouteState(routes, drifted=True)


def test_copies_beside_a_share_are_read_apart_from_it() -> None:
    routes = Routes(80, 20, mirrored=True)
    assert state(written(routes)) == RouteState(routes)
    changed = written(routes)
    changed["spec"]["routes"][0]["services"][2]["weight"] = 5
    assert state(changed) == RouteState(routes, drifted=True), "a share of the requests that nobody asked for"


def test_copies_are_no_share() -> None:
    proxy = weights(written(), None, None)
    proxy["spec"]["routes"][0]["services"][1]["mirror"] = True
    assert state(proxy) == RouteState(Routes(100, 0, mirrored=True), drifted=True)


def test_a_proxy_that_leads_elsewhere_is_not_usable() -> None:
    proxy = written()
    proxy["spec"]["routes"][0]["services"] = [{"name": "other", "port": 80}]
    assert state(proxy).routes is None
    proxy["spec"]["routes"] = [{"requestRedirectPolicy": {"hostname": "elsewhere.example"}}]
    assert state(proxy).routes is None


def test_the_audiences_shares_are_the_ones_that_are_read_and_nobody_elses_may_differ() -> None:
    proxy = written(Routes(0, 100), TESTER)
    assert state(proxy, TESTER) == RouteState(Routes(0, 100))
    assert len(proxy["spec"]["routes"]) == 3

    assert state(weights(proxy, 50, 50, route=2), TESTER) == RouteState(Routes(0, 100), drifted=True)
    assert state(weights(written(Routes(0, 100), TESTER), 50, 50, route=1), TESTER).drifted


def other_orders(proxy: dict[str, Any]) -> None:
    [route] = proxy["spec"]["routes"]
    route["services"].reverse()
    route["retryPolicy"]["retryOn"].reverse()


@pytest.mark.parametrize(
    ("title", "change", "drifted"),
    [
        ("as written", lambda proxy: None, False),
        ("other orders of sets (W-130)", other_orders, False),
        ("metadata of strangers", lambda proxy: proxy["metadata"]["labels"].update(x="y"), False),
        ("a host", lambda proxy: proxy["spec"].update(virtualhost={"fqdn": "a.example"}), False),
        ("what it includes", lambda proxy: proxy["spec"].update(includes=[{"name": "other"}]), False),
        ("a class that nobody here chose", lambda proxy: proxy["spec"].update(ingressClassName="x"), False),
        ("a label of ours gone", lambda proxy: proxy["metadata"]["labels"].clear(), True),
        ("another port", lambda proxy: proxy["spec"]["routes"][0]["services"][0].update(port=81), True),
        (
            "a service added",
            lambda proxy: proxy["spec"]["routes"][0]["services"].append({"name": "x", "port": 1}),
            True,
        ),
        ("another path", lambda proxy: proxy["spec"]["routes"][0].update(conditions=[{"prefix": "/b"}]), True),
        ("a time limit gone", lambda proxy: proxy["spec"]["routes"][0].pop("timeoutPolicy"), True),
        (
            "a route added",
            lambda proxy: proxy["spec"]["routes"].append({"services": [{"name": "x", "port": 1}]}),
            True,
        ),
        ("websockets", lambda proxy: proxy["spec"]["routes"][0].update(enableWebsockets=True), True),
    ],
)
def test_drift_is_anything_of_ours_but_weights_and_never_changes_them(title: str, change: Any, drifted: bool) -> None:
    proxy = written()
    change(proxy)

    assert state(proxy) == RouteState(SHARES, drifted=drifted), title
    [mended] = ROUTER.render(OWNER, {REF: proxy}, SHARES)
    assert mended["spec"] == written()["spec"]


def test_another_ingress_class_than_the_chosen_one_is_drift() -> None:
    router = ContourRouter("outside")
    proxy = written(router=router)
    assert state(proxy, router=router) == RouteState(SHARES)
    proxy["spec"]["ingressClassName"] = "inside"
    assert state(proxy, router=router) == RouteState(SHARES, drifted=True)


def test_a_setting_that_cannot_be_written_is_no_drift() -> None:
    assert state(written(), canary(service={"timeout": "-1s"})) == RouteState(SHARES)


def valid(status: str = "True", seen: int = 7, *errors: dict[str, str]) -> list[dict[str, Any]]:
    words = {"reason": "ErrorPresent", "message": "At least one error present, see Errors for details"}
    return [{"type": "Valid", "status": status, "observedGeneration": seen, **words, "errors": list(errors)}]


def error(kind: str, reason: str, message: str) -> dict[str, str]:
    return {"type": kind, "status": "True", "reason": reason, "message": message}


MISSING = error("ServiceError", "ServiceUnresolvedReference", 'service "shop/web-canary" not found')
ORPHANED = error("Orphaned", "Orphaned", "this HTTPProxy is not part of a delegation chain from a root HTTPProxy")


@pytest.mark.parametrize(
    ("title", "conditions", "accepted", "note"),
    [
        ("nobody has spoken", [], Acceptance.UNKNOWN, ""),
        ("valid", valid(), Acceptance.YES, ""),
        ("an answer to an older generation", valid(seen=6), Acceptance.BEHIND, ""),
        ("an old refusal", valid("False", 6, MISSING), Acceptance.BEHIND, ""),
        ("an answer without a generation is none", valid(seen=0), Acceptance.UNKNOWN, ""),
        ("a Contour that is not sure", valid("Unknown"), Acceptance.UNKNOWN, ""),
        ("nobody includes it", valid("False", 7, ORPHANED), Acceptance.UNKNOWN, "no HTTPProxy with a virtualhost"),
        (
            "a Service that is not found",
            valid("False", 7, MISSING),
            Acceptance.NO,
            'Contour does not serve the route: ServiceUnresolvedReference: service "shop/web-canary" not found',
        ),
        (
            "a refusal without details",
            valid("False"),
            Acceptance.NO,
            "Contour does not serve the route: ErrorPresent: At least one error present",
        ),
    ],
)
def test_acceptance(title: str, conditions: list[dict[str, Any]], accepted: Acceptance, note: str) -> None:
    proxy = written() | {"status": {"currentStatus": "valid", "conditions": conditions}}
    proxy["metadata"]["generation"] = 7
    found = state(proxy)
    assert found.accepted is accepted, title
    assert found.note.startswith(note) if note else found.note == "", title


def test_a_proxy_of_flaggers_is_ours_with_its_weights_and_without_a_backup() -> None:
    proxy = written()
    proxy["metadata"] |= {"labels": {"team": "a"}, "annotations": {}, "ownerReferences": [FLAGGER_OWNER]}
    proxy["spec"]["virtualhost"] = {"fqdn": "a.example"}

    assert state(proxy) == RouteState(SHARES, drifted=True), "it lacks our marks"
    [body] = ROUTER.render(OWNER, {REF: proxy}, SHARES)

    assert "flaggerpy.dev/original-route" not in body["metadata"]["annotations"]
    assert "ownerReferences" not in body["metadata"], "the garbage collector must not take it"
    assert body["metadata"]["resourceVersion"] == "1", "it is put in the place of the one that was read"
    assert body["metadata"]["labels"]["team"] == "a", "what others wrote stays"
    assert body["spec"]["virtualhost"] == {"fqdn": "a.example"}
    assert state(body) == RouteState(SHARES)


def users_own(*services: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "projectcontour.io/v1",
        "kind": "HTTPProxy",
        "metadata": {"name": "web", "namespace": "shop", "annotations": {"theirs": "1"}},
        "spec": {"virtualhost": {"fqdn": "web.example"}, "routes": [{"services": list(services)}]},
    }


def test_a_users_own_proxy_keeps_its_host() -> None:
    server = Server(ROUTER, OWNER)
    server.put(users_own({"name": "web", "port": 80}))

    server.write(ROUTER.render(OWNER, server.live, SHARES))

    assert server.live[REF]["spec"] == {"virtualhost": {"fqdn": "web.example"}, **written()["spec"]}


def test_a_service_ahead_takes_nobody_from_those_that_have_no_weight() -> None:
    """Beside one without a weight, 0 would be an equal share."""
    server = Server(ROUTER, OWNER)
    mirror = {"name": "shadow", "port": 80, "mirror": True}
    server.put(users_own({"name": "web", "port": 80}, {"name": "old", "port": 80}, mirror))

    [first] = ROUTER.ahead(OWNER, server.live, ROUTER.render(OWNER, server.live, Routes(100, 0)))

    [route] = first["spec"]["routes"]
    assert [(one["name"], one.get("weight")) for one in route["services"]] == [
        ("web", 1),
        ("old", 1),
        ("shadow", None),
        ("web-primary", 0),
    ]
    assert first["metadata"]["annotations"]["flaggerpy.dev/canary"] == "shop/web"


def test_a_service_ahead_goes_where_services_are() -> None:
    server = Server(ROUTER, OWNER)
    proxy = users_own({"name": "web", "port": 80})
    proxy["spec"]["routes"].insert(0, {"requestRedirectPolicy": {"hostname": "elsewhere.example"}})
    server.put(proxy)

    [first] = ROUTER.ahead(OWNER, server.live, ROUTER.render(OWNER, server.live, Routes(100, 0)))

    assert [len(route.get("services") or ()) for route in first["spec"]["routes"]] == [0, 2]
    server.live[REF]["spec"]["routes"].pop()
    assert ROUTER.ahead(OWNER, server.live, ROUTER.render(OWNER, server.live, Routes(100, 0))) == ()


def test_giving_back_keeps_paths_and_policies_but_no_audience() -> None:
    service = {"timeout": "15s", "match": [{"uri": {"prefix": "/a"}}]}
    owner = canary(service=service, analysis={"match": PARTS, "iterations": 2, "stepWeight": None})
    proxy = written(Routes(0, 100), owner)
    proxy["spec"]["virtualhost"] = {"fqdn": "web.example"}

    [released] = ROUTER.restore(owner, {REF: proxy})

    [route] = released["spec"]["routes"]
    assert released["spec"]["virtualhost"] == {"fqdn": "web.example"}
    assert (route["conditions"], route["timeoutPolicy"]["response"]) == ([{"prefix": "/a"}], "15s")
    assert [(one["name"], one["port"], one["weight"]) for one in route["services"]] == [("web", 80, 100)]
    assert "web.shop.svc" in json.dumps(route), "Linkerd is told of the apex Service"


def test_an_audience_alone_is_given_back_too() -> None:
    proxy = written(Routes(0, 100), TESTER)
    proxy["spec"]["routes"].pop()

    [released] = ROUTER.restore(TESTER, {REF: proxy})

    names = [[one["name"] for one in route["services"]] for route in released["spec"]["routes"]]
    assert names == [["web"], ["web"]]


def test_giving_back_works_on_what_others_made_of_the_proxy() -> None:
    proxy = written()
    proxy["spec"]["routes"].append({"services": [{"name": "other", "port": 1}]})
    proxy["spec"]["routes"][0]["services"].append({"name": "third", "port": 2, "weight": 5})

    [released] = ROUTER.restore(OWNER, {REF: proxy})

    names = [[one["name"] for one in route["services"]] for route in released["spec"]["routes"]]
    assert names == [["web", "third"], ["other"]]


def test_a_copy_of_kubectls_that_names_our_services_cannot_stay() -> None:
    proxy = written()
    applied = json.dumps({"spec": proxy["spec"]})
    proxy["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = applied

    [released] = ROUTER.restore(OWNER, {REF: proxy})

    assert "web-primary" not in json.dumps(released["spec"])


def test_a_proxy_of_another_canary_is_not_taken() -> None:
    theirs = written()
    theirs["metadata"]["annotations"]["flaggerpy.dev/canary"] = "shop/other"
    with pytest.raises(UserError, match="HTTPProxy web belongs to canary shop/other"):
        ROUTER.render(OWNER, {REF: theirs}, SHARES)
    assert ROUTER.restore(OWNER, {REF: theirs}) == ()
