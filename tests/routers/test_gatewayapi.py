import copy
import json
from typing import Any

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.kube.resources import HTTP_ROUTES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Acceptance, Routes, RouteState
from flaggerpy.routers.gatewayapi import GatewayApiRouter
from tests.builders import canary
from tests.routers.server import Server

ROUTER = GatewayApiRouter()
SHARES = Routes(80, 20)
REF = Ref(HTTP_ROUTES, "shop", "web")
GATEWAY = {"name": "public", "namespace": "gateways"}
OWNER = canary(
    service={
        "gatewayRefs": [GATEWAY],
        "match": [{"headers": {"a": {"exact": "1"}, "b": {"exact": "2"}}}],
        "hosts": ["a.example", "b.example"],
    }
)
FLAGGER_OWNER = {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "web", "uid": "1", "controller": True}
HANDS_OFF = {"kustomize.toolkit.fluxcd.io/reconcile": "disabled", "helm.toolkit.fluxcd.io/driftDetection": "disabled"}


def written(routes: Routes = SHARES, owner: Canary = OWNER) -> dict[str, Any]:
    """Build the route as it is right after we wrote it."""
    server = Server(ROUTER, owner)
    server.write(ROUTER.render(owner, {}, routes))
    return copy.deepcopy(server.live[REF])


def state(route: dict[str, Any], owner: Canary = OWNER) -> RouteState:
    return ROUTER.state(owner, {REF: route})


def weights(route: dict[str, Any], primary: int, canary_weight: int) -> dict[str, Any]:
    route["spec"]["rules"][0]["backendRefs"][0]["weight"] = primary
    route["spec"]["rules"][0]["backendRefs"][1]["weight"] = canary_weight
    return route


def test_without_a_route_nothing_is_known() -> None:
    assert ROUTER.state(OWNER, {}) == RouteState(routes=None)


def test_weights_that_others_wrote_are_read_as_shares() -> None:
    assert state(weights(written(), 60, 40)) == RouteState(Routes(60, 40))
    assert state(weights(written(), 1, 1)) == RouteState(Routes(50, 50), drifted=True)
    assert state(weights(written(), 0, 0)).routes is None, "a route that serves nobody is no route"


def test_a_missing_weight_is_one() -> None:
    route = written()
    for reference in route["spec"]["rules"][0]["backendRefs"]:
        del reference["weight"]
    assert state(route).routes == Routes(50, 50)


@pytest.mark.parametrize(("position", "routes"), [(0, Routes(100, 0)), (1, Routes(0, 100))])
def test_one_backend_alone_gets_everything_and_that_is_drift(position: int, routes: Routes) -> None:
    route = written()
    route["spec"]["rules"][0]["backendRefs"] = [route["spec"]["rules"][0]["backendRefs"][position]]
    assert state(route) == RouteState(routes, drifted=True)


def test_a_route_that_leads_elsewhere_is_not_usable() -> None:
    route = written()
    route["spec"]["rules"][0]["backendRefs"] = [{"name": "other", "port": 80}]
    assert state(route).routes is None


def without_defaults(route: dict[str, Any]) -> None:
    for reference in (*route["spec"]["rules"][0]["backendRefs"], *route["spec"]["parentRefs"]):
        del reference["group"], reference["kind"]
    for match in route["spec"]["rules"][0]["matches"]:
        del match["path"]
        for header in match["headers"]:
            del header["type"]


def other_orders(route: dict[str, Any]) -> None:
    route["spec"]["rules"][0]["matches"][0]["headers"].reverse()
    route["spec"]["hostnames"].reverse()
    route["spec"]["rules"][0]["backendRefs"].reverse()


@pytest.mark.parametrize(
    ("title", "change", "drifted"),
    [
        ("as written", lambda route: None, False),
        ("defaults left out", without_defaults, False),
        ("other orders of sets (W-130)", other_orders, False),
        ("metadata of strangers", lambda route: route["metadata"]["labels"].update(x="y"), False),
        ("a label of ours gone", lambda route: route["metadata"]["labels"].clear(), True),
        (
            "an annotation of ours changed",
            lambda route: route["metadata"]["annotations"].update({"flaggerpy.dev/canary": "x/y"}),
            True,
        ),
        ("another host", lambda route: route["spec"]["hostnames"].append("c.example"), True),
        ("another port", lambda route: route["spec"]["rules"][0]["backendRefs"][0].update(port=81), True),
        (
            "a backend added",
            lambda route: route["spec"]["rules"][0]["backendRefs"].append({"name": "x", "port": 1}),
            True,
        ),
        ("a condition gone", lambda route: route["spec"]["rules"][0]["matches"][0]["headers"].pop(), True),
        (
            "a rule added",
            lambda route: route["spec"]["rules"].append({"backendRefs": [{"name": "x", "port": 1}]}),
            True,
        ),
        ("a timeout added", lambda route: route["spec"]["rules"][0].update(timeouts={"request": "1s"}), True),
        ("another Gateway", lambda route: route["spec"]["parentRefs"][0].update(name="x"), True),
    ],
)
def test_drift_is_anything_but_weights_and_never_changes_them(title: str, change: Any, drifted: bool) -> None:
    route = written()
    change(route)

    assert state(route) == RouteState(Routes(80, 20), drifted=drifted), title
    [mended] = ROUTER.render(OWNER, {REF: route}, Routes(80, 20))
    assert mended["spec"] == written()["spec"]


def test_defaults_of_filters_are_no_drift() -> None:
    owner = canary(
        service={
            "gatewayRefs": [GATEWAY],
            "corsPolicy": {"allowOrigin": ["https://a.example"]},
            "mirror": [{"backendRef": {"name": "s", "port": 1}}],
        }
    )
    route = written(owner=owner)
    mirror, cors = route["spec"]["rules"][0]["filters"]
    cors["cors"]["maxAge"] = 5
    del mirror["requestMirror"]["backendRef"]["group"], mirror["requestMirror"]["backendRef"]["kind"]
    assert not state(route, owner).drifted
    cors["cors"]["maxAge"] = 6
    assert state(route, owner).drifted


def test_the_weight_of_a_backend_that_is_alone_means_nothing() -> None:
    audience = {"match": [{"headers": {"x": {"exact": "1"}}}], "iterations": 2, "stepWeight": None}
    owner = canary(service={"gatewayRefs": [GATEWAY]}, analysis=audience)
    route = written(owner=owner)
    route["spec"]["rules"][1]["backendRefs"][0]["weight"] = 1
    assert state(route, owner) == RouteState(SHARES)


def test_a_setting_that_cannot_be_written_is_no_drift() -> None:
    broken = canary(service={"gatewayRefs": [GATEWAY], "timeout": "1.5s"})
    assert state(written(), broken) == RouteState(Routes(80, 20))


def test_a_permanent_mirror_to_the_canary_is_not_the_mirror_of_an_analysis() -> None:
    owner = canary(service={"gatewayRefs": [GATEWAY], "mirror": [{"backendRef": {"name": "web-canary", "port": 80}}]})
    assert state(written(owner=owner), owner) == RouteState(Routes(80, 20))
    both = Routes(100, 0, mirrored=True)
    assert state(written(both, owner), owner) == RouteState(both)


@pytest.mark.parametrize(("weight", "percent"), [(0, None), (1, 1), (99, 99), (100, None)])
def test_copies_of_a_share_where_the_gateway_api_has_them(weight: int, percent: int | None) -> None:
    router = GatewayApiRouter(mirror_percent=True)
    owner = canary(service={"gatewayRefs": [GATEWAY]}, analysis={"mirror": True, "mirrorWeight": weight})
    copied = Routes(100, 0, mirrored=True)
    server = Server(router, owner)

    server.write(router.render(owner, {}, copied))

    assert router.state(owner, server.live) == RouteState(copied)
    [ref] = router.refs(owner)
    [mirror] = server.live[ref]["spec"]["rules"][0]["filters"]
    assert mirror["requestMirror"].get("percent") == percent
    mirror["requestMirror"]["percent"] = 50
    assert router.state(owner, server.live) == RouteState(copied, drifted=True)


def condition(kind: str = "Accepted", status: str = "True", seen: int | None = 7, **words: str) -> dict[str, Any]:
    return {"type": kind, "status": status, **({"observedGeneration": seen} if seen is not None else {}), **words}


def answer(*conditions: dict[str, Any], parent: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"controllerName": "example.com/gateway", "parentRef": parent or GATEWAY, "conditions": list(conditions)}


BOTH = (condition(), condition("ResolvedRefs"))
DEFAULTED = {"group": "gateway.networking.k8s.io", "kind": "Gateway", **GATEWAY}


@pytest.mark.parametrize(
    ("title", "parents", "accepted", "note"),
    [
        ("nobody has spoken", [], Acceptance.UNKNOWN, ""),
        ("accepted with all backends found", [answer(*BOTH)], Acceptance.YES, ""),
        ("a Gateway that says nothing of backends is taken at its word", [answer(condition())], Acceptance.YES, ""),
        ("an answer to an older generation", [answer(condition(seen=6))], Acceptance.BEHIND, "Gateway public"),
        ("an old refusal", [answer(condition(status="False", seen=6))], Acceptance.BEHIND, "Gateway public"),
        (
            "backends have yet to be looked up",
            [answer(condition(), condition("ResolvedRefs", seen=6))],
            Acceptance.BEHIND,
            "Gateway public",
        ),
        (
            "the proxy has yet to get it",
            [answer(*BOTH, condition("Programmed", "False", reason="InProgress", message="wait"))],
            Acceptance.BEHIND,
            "Gateway public: InProgress: wait",
        ),
        (
            "the proxy had it before",
            [answer(*BOTH, condition("Programmed", seen=6))],
            Acceptance.BEHIND,
            "Gateway public",
        ),
        ("the proxy has it", [answer(*BOTH, condition("Programmed"))], Acceptance.YES, ""),
        ("what a former controller said last", [answer(condition(seen=3)), answer(*BOTH)], Acceptance.YES, ""),
        ("an answer without a generation is none", [answer(condition(seen=None))], Acceptance.UNKNOWN, ""),
        ("a Gateway that is not sure", [answer(condition(status="Unknown"))], Acceptance.UNKNOWN, ""),
        (
            "a refusal",
            [answer(condition(status="False", reason="NoMatchingParent", message="no listener"))],
            Acceptance.NO,
            "Gateway public does not serve the route: NoMatchingParent: no listener",
        ),
        (
            "a backend that is not found",
            [answer(condition(), condition("ResolvedRefs", "False", reason="BackendNotFound"))],
            Acceptance.NO,
            "Gateway public does not serve the route: BackendNotFound",
        ),
        (
            "a rule that was dropped",
            [answer(condition(), condition("PartiallyInvalid", "True", reason="UnsupportedValue"))],
            Acceptance.NO,
            "Gateway public does not serve the route: UnsupportedValue",
        ),
        ("another Gateway's answer does not count", [answer(*BOTH, parent={"name": "public"})], Acceptance.UNKNOWN, ""),
        (
            "one controller of two refuses",
            [answer(*BOTH), answer(condition(status="False", reason="NotAllowed"))],
            Acceptance.NO,
            "Gateway public does not serve the route: NotAllowed",
        ),
    ],
)
def test_acceptance(title: str, parents: list[dict[str, Any]], accepted: Acceptance, note: str) -> None:
    route = {**written(), "status": {"parents": parents}}
    route["metadata"]["generation"] = 7
    found = state(route)
    assert (found.accepted, found.note) == (accepted, note), title


def test_w102_an_answer_that_names_the_gateway_with_defaults_is_of_the_same_gateway() -> None:
    refused = condition(status="False", reason="NotAllowed")
    route = written()
    route["metadata"]["generation"] = 7
    for parent in (GATEWAY, DEFAULTED):
        for conditions, accepted in ((BOTH, Acceptance.YES), ((refused,), Acceptance.NO)):
            route["status"] = {"parents": [answer(*conditions, parent=parent)]}
            assert state(route).accepted is accepted


def test_every_gateway_must_accept() -> None:
    owner = canary(service={"gatewayRefs": [GATEWAY, {"name": "inner", "sectionName": "http"}]})
    route = written(owner=owner)
    inner = {"name": "inner", "namespace": "shop", "sectionName": "http"}
    route["metadata"]["generation"] = 7
    route["status"] = {"parents": [answer(*BOTH)]}
    assert state(route, owner).accepted is Acceptance.UNKNOWN
    route["status"]["parents"].append(answer(condition(seen=6), parent=inner))
    assert (state(route, owner).accepted, state(route, owner).note) == (Acceptance.BEHIND, "Gateway inner")
    route["status"]["parents"][-1] = answer(*BOTH, parent=inner)
    assert state(route, owner).accepted is Acceptance.YES


def test_a_route_of_flaggers_is_ours_with_its_weights_and_without_a_backup() -> None:
    route = written()
    route["metadata"] |= {
        "labels": {"team": "a"},
        "annotations": dict(HANDS_OFF),
        "ownerReferences": [FLAGGER_OWNER],
        "resourceVersion": "1",
    }
    route["spec"]["unheardOf"] = 1

    assert state(route) == RouteState(Routes(80, 20), drifted=True), "it lacks our marks"
    [body] = ROUTER.render(OWNER, {REF: route}, Routes(80, 20))
    assert "flaggerpy.dev/original-route" not in body["metadata"]["annotations"]
    assert "ownerReferences" not in body["metadata"], "the garbage collector must not take it"
    assert body["metadata"]["resourceVersion"] == "1", "it is put in the place of the one that was read"
    assert body["metadata"]["labels"]["team"] == "a", "what others wrote stays"
    assert (body["spec"]["unheardOf"], body["spec"]["rules"]) == (1, written()["spec"]["rules"])
    assert state(body) == RouteState(SHARES)

    [released] = ROUTER.restore(OWNER, {REF: route})
    assert "ownerReferences" not in released["metadata"]
    assert not released["metadata"]["annotations"]


def test_a_route_that_flagger_took_over_is_given_back_from_kubectls_copy() -> None:
    before = {"parentRefs": [GATEWAY], "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}
    route = written()
    applied = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"spec": before})}
    route["metadata"] |= {"labels": {"mine": "1"}, "annotations": {**HANDS_OFF, **applied}}

    [released] = ROUTER.restore(OWNER, {REF: route})

    assert released["spec"] == before
    assert released["metadata"]["labels"] == {"mine": "1"}
    assert released["metadata"]["annotations"] == applied


def test_giving_back_keeps_conditions_timeouts_and_filters_but_no_audience_and_no_copies() -> None:
    owner = canary(
        service={
            "gatewayRefs": [GATEWAY],
            "timeout": "15s",
            "match": [{"uri": {"prefix": "/a"}}],
            "mirror": [{"backendRef": {"name": "shadow", "port": 1}}],
        },
        analysis={"match": [{"headers": {"x": {"exact": "1"}}}], "iterations": 2, "stepWeight": None},
    )
    route = written(Routes(100, 0, mirrored=True), owner)
    assert len(route["spec"]["rules"]) == 2

    [released] = ROUTER.restore(owner, {REF: route})

    [rule] = released["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/a"}}]
    assert rule["timeouts"] == {"request": "15s"}
    assert [part["requestMirror"]["backendRef"]["name"] for part in rule["filters"]] == ["shadow"]
    assert [(ref["name"], ref["port"], ref["weight"]) for ref in rule["backendRefs"]] == [("web", 80, 100)]


def test_giving_back_works_on_what_others_made_of_the_route() -> None:
    route = written()
    route["spec"]["rules"].append({"backendRefs": [{"name": "other", "port": 1}]})
    route["spec"]["rules"][0]["backendRefs"].append({"name": "third", "port": 2, "weight": 5})

    [released] = ROUTER.restore(OWNER, {REF: route})

    names = [[ref["name"] for ref in rule["backendRefs"]] for rule in released["spec"]["rules"]]
    assert names == [["web", "third"], ["other"]]


def test_a_copy_of_kubectls_that_names_our_services_cannot_stay() -> None:
    route = written()
    applied = json.dumps({"spec": route["spec"]})
    route["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = applied

    [released] = ROUTER.restore(OWNER, {REF: route})

    assert "web-primary" not in json.dumps(released["spec"])


def test_an_original_that_names_our_services_cannot_stay() -> None:
    server = Server(ROUTER, OWNER)
    byo = written()
    byo["metadata"] |= {"labels": {}, "annotations": {}}
    server.put(byo)
    server.write(ROUTER.render(OWNER, server.live, Routes(50, 50)))

    [released] = ROUTER.restore(OWNER, server.live)

    assert "web-primary" not in json.dumps(released["spec"])


def test_a_route_of_another_canary_is_not_taken() -> None:
    theirs = written()
    theirs["metadata"]["annotations"]["flaggerpy.dev/canary"] = "shop/other"
    with pytest.raises(UserError, match="HTTPRoute web belongs to canary shop/other"):
        ROUTER.render(OWNER, {REF: theirs}, SHARES)
    assert ROUTER.restore(OWNER, {REF: theirs}) == ()


# Another Gateway

OTHER = {"name": "other", "namespace": "gateways"}
MOVED = canary(service={"gatewayRefs": [OTHER], "hosts": ["a.example"]})


def answered(*gateways: dict[str, Any], word: str = "True") -> dict[str, Any]:
    """Build a status in which Gateways have taken the route, or refused it."""
    conditions = [{"type": "Accepted", "status": word, "observedGeneration": 1}]
    return {"parents": [{"parentRef": gateway, "conditions": conditions} for gateway in gateways]}


def moving(*gateways: dict[str, str], word: str = "True") -> Server:
    """A route that one Gateway serves, and that is to go to another; some answer once it names both."""
    before = canary(service={"gatewayRefs": [GATEWAY], "hosts": ["a.example"]})
    server = Server(ROUTER, before)
    server.write(ROUTER.render(before, {}, SHARES))
    server.live[REF]["status"] = answered(GATEWAY)
    move(server)
    server.live[REF]["status"]["parents"] += answered(*gateways, word=word)["parents"]
    return server


def move(server: Server, routes: Routes = SHARES) -> None:
    bodies = ROUTER.render(MOVED, server.live, routes)
    server.write(ROUTER.ahead(MOVED, server.live, bodies) or bodies)


def parents(server: Server) -> list[str]:
    return [reference["name"] for reference in server.live[REF]["spec"]["parentRefs"]]


def test_a_gateway_keeps_the_route_until_the_new_one_has_it() -> None:
    server = moving()
    assert parents(server) == ["other", "public"]
    assert state(server.live[REF], MOVED) == RouteState(SHARES), "nothing is written again while nobody answers"
    server.live[REF]["status"] = answered(GATEWAY, OTHER)
    assert state(server.live[REF], MOVED).drifted
    move(server)
    assert parents(server) == ["other"]
    assert not state(server.live[REF], MOVED).drifted


def test_a_gateway_that_does_not_take_the_route_takes_no_users_away() -> None:
    server = moving(OTHER, word="False")
    move(server, Routes(60, 40))
    assert parents(server) == ["other", "public"]
    found = state(server.live[REF], MOVED)
    assert (found.routes, found.drifted, found.accepted) == (Routes(60, 40), False, Acceptance.NO)


def test_a_gateway_that_does_not_serve_the_route_is_left_at_once() -> None:
    server = moving()
    server.live[REF]["status"] = answered()
    move(server)
    assert parents(server) == ["other"]


def test_a_route_that_is_given_back_goes_to_its_gateways_at_once() -> None:
    server = Server(ROUTER, MOVED)
    rules = [{"backendRefs": [{"name": "web", "port": 80}]}]
    own = {"kind": "HTTPRoute", "metadata": {"name": "web", "namespace": "shop"}}
    server.put(own | {"spec": {"parentRefs": [GATEWAY], "rules": rules}, "status": answered(GATEWAY)})
    move(server)
    assert parents(server) == ["other", "public"]
    server.live[REF]["status"] = answered(OTHER)
    while bodies := ROUTER.restore(MOVED, server.live):
        server.write(ROUTER.ahead(MOVED, server.live, bodies) or bodies)
    assert parents(server) == ["public"]


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ({}, {"sectionName": "https"}, []),
        ({"sectionName": "http"}, {}, []),
        ({"port": 80}, {"port": 8080}, []),
        ({"sectionName": "http", "port": 80}, {"sectionName": "http", "port": 8080}, []),
        ({"sectionName": "http"}, {"sectionName": "https"}, [{"sectionName": "http"}]),
    ],
)
def test_no_parent_is_kept_that_the_api_server_refuses_beside_the_new_one(
    before: dict[str, Any], after: dict[str, Any], kept: list[dict[str, Any]]
) -> None:
    """Of one Gateway a route names listeners with a name each, or the Gateway once."""
    left, coming = GATEWAY | before, GATEWAY | after
    server = Server(ROUTER, canary(service={"gatewayRefs": [left]}))
    server.write(ROUTER.render(canary(service={"gatewayRefs": [left]}), {}, SHARES))
    server.live[REF]["status"] = answered(left)
    owner = canary(service={"gatewayRefs": [coming]})

    bodies = ROUTER.render(owner, server.live, SHARES)
    server.write(ROUTER.ahead(owner, server.live, bodies) or bodies)

    chosen = ("sectionName", "port")
    named = [{key: one[key] for key in chosen if key in one} for one in server.live[REF]["spec"]["parentRefs"]]
    assert named == [after, *kept]
    assert not state(server.live[REF], owner).drifted


def test_a_gateway_that_somebody_added_goes() -> None:
    route = written()
    route["spec"]["parentRefs"].append(OTHER)
    route["status"] = answered(GATEWAY, OTHER)
    assert state(route).drifted
