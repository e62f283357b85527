import copy
from typing import Any

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.kube.resources import APISIX_ROUTES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, Acceptance, Routes, RouteState
from flaggerpy.routers.apisix import ApisixRouter
from tests.builders import canary
from tests.routers.server import Server

ROUTER = ApisixRouter()
REFERENCE = {"apiVersion": "apisix.apache.org/v2", "kind": "ApisixRoute", "name": "way"}
OWNER = canary(spec={"routeRef": REFERENCE})
SHARES = Routes(80, 20)
COPY = Ref(APISIX_ROUTES, "shop", "way-web-canary")
OWN = Ref(APISIX_ROUTES, "shop", "way")


def rule(name: str, *services: str, **more: Any) -> dict[str, Any]:
    backends = [{"serviceName": service, "servicePort": 80, "subset": "s"} for service in services]
    return {"name": name, "match": {"paths": [f"/{name}"]}, "backends": backends, **more}


def own_route(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    annotations = {"k8s.apisix.apache.org/x": "1", "argocd.argoproj.io/tracking-id": "me"}
    return {
        "apiVersion": "apisix.apache.org/v2",
        "kind": "ApisixRoute",
        "metadata": {"name": "way", "namespace": "shop", "labels": {"own": "er"}, "annotations": annotations},
        "spec": {"ingressClassName": "apisix", "http": list(rules), **more},
    }


SIMPLE = own_route(rule("all", "web"), rule("other", "else"), stream=[{"name": "tcp"}])


def written(routes: Routes = SHARES, own: dict[str, Any] = SIMPLE, owner: Canary = OWNER) -> dict[Ref, dict[str, Any]]:
    """Build the user's own route, and the copy as it is right after we wrote it."""
    server = Server(ROUTER, owner)
    server.put(own)
    server.write(ROUTER.render(owner, server.live, routes))
    return copy.deepcopy(server.live)


def with_status(**condition: Any) -> RouteState:
    live = written()
    live[COPY]["metadata"]["generation"] = 2009
    live[COPY]["status"] = {"conditions": [{"observedGeneration": 2009, **condition}]}
    return ROUTER.state(OWNER, live)


def test_the_users_own_route_is_not_touched() -> None:
    before = written()[OWN]
    assert {**before, "metadata": SIMPLE["metadata"]} == SIMPLE


def test_rules_that_lead_to_the_apex_are_copied_with_all_that_they_say_and_come_first() -> None:
    own = own_route(rule("a", "web", websocket=True, priority=7), rule("b", "else"), rule("c", "web"), stream=[{}])
    spec = written(own=own)[COPY]["spec"]

    assert spec.keys() == {"ingressClassName", "http"}
    assert [(one["name"], one["priority"]) for one in spec["http"]] == [("a", 10007), ("c", 10000)]
    assert spec["http"][0]["websocket"] is True
    assert spec["http"][1]["backends"] == [
        {"serviceName": "web-primary", "servicePort": 80, "subset": "s", "weight": 80},
        {"serviceName": "web-canary", "servicePort": 80, "subset": "s", "weight": 20},
    ]


def test_marks_of_other_tools_are_not_copied_and_those_for_apisix_are() -> None:
    metadata = written()[COPY]["metadata"]
    assert metadata["annotations"]["k8s.apisix.apache.org/x"] == "1"
    assert "argocd.argoproj.io/tracking-id" not in metadata["annotations"]
    assert "own" not in metadata["labels"]


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        (None, "ApisixRoute way does not exist in namespace shop: create it, or correct spec.routeRef"),
        (own_route(rule("b", "else")), "ApisixRoute way has no rule that leads to Service web: add it"),
        (own_route(rule("b", "else", "web")), "ApisixRoute way has a rule b with several backends: leave only"),
    ],
)
def test_a_route_that_cannot_be_copied_is_told_and_users_can_still_be_moved(
    own: dict[str, Any] | None, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        ROUTER.render(OWNER, {OWN: own} if own else {}, SHARES)

    live = written()
    live.pop(OWN)
    live |= {OWN: own} if own else {}

    assert ROUTER.state(OWNER, live).routes == SHARES
    [body] = ROUTER.render(OWNER, live, ALL_TO_PRIMARY)
    assert [backend["weight"] for backend in body["spec"]["http"][0]["backends"]] == [100, 0]


@pytest.mark.parametrize("change", [{"http": [rule("all", "web", timeout={"send": "3s"})]}, {"ingressClassName": "x"}])
def test_w90_a_change_of_the_users_own_route_is_carried_over_and_keeps_the_shares(change: dict[str, Any]) -> None:
    live = written()
    live[OWN]["spec"] |= change
    assert ROUTER.state(OWNER, live) == RouteState(SHARES, drifted=True)

    [body] = ROUTER.render(OWNER, live, SHARES)

    assert body["spec"]["http"][0].get("timeout") == live[OWN]["spec"]["http"][0].get("timeout")
    assert [backend["weight"] for backend in body["spec"]["http"][0]["backends"]] == [80, 20]


@pytest.mark.parametrize(
    ("weights", "routes"), [((60, 40), Routes(60, 40)), ((1, None), Routes(1, 99)), ((0, 0), None)]
)
def test_weights_that_others_wrote_are_read_as_apisix_reads_them(
    weights: tuple[int | None, ...], routes: Routes | None
) -> None:
    live = written()
    for backend, weight in zip(live[COPY]["spec"]["http"][0]["backends"], weights, strict=True):
        backend.pop("weight")
        backend.update({} if weight is None else {"weight": weight})
    assert ROUTER.state(OWNER, live).routes == routes


def test_released_the_copy_leads_to_the_apex_and_still_is_ours_to_delete() -> None:
    live = written()
    [body] = ROUTER.restore(OWNER, live)
    assert [backend["serviceName"] for backend in body["spec"]["http"][0]["backends"]] == ["web"]
    assert body["metadata"] == live[COPY]["metadata"]
    assert ROUTER.restore(OWNER, {**live, COPY: body}) == ()


def test_a_copy_begins_as_the_users_own_route() -> None:
    [step] = ROUTER.ahead(OWNER, {OWN: SIMPLE}, ROUTER.render(OWNER, {OWN: SIMPLE}, ALL_TO_PRIMARY))
    backends = step["spec"]["http"][0]["backends"]
    assert [(one["serviceName"], one["weight"]) for one in backends] == [
        ("web", 100),
        ("web-primary", 0),
        ("web-canary", 0),
    ]


@pytest.mark.parametrize("kind", ["ResourcesAvailable", "Accepted"])
def test_what_apisix_says_of_the_present_generation_counts(kind: str) -> None:
    assert with_status(type=kind, status="True").accepted is Acceptance.YES
    assert with_status(type=kind, status="True", observedGeneration=2008).accepted is Acceptance.BEHIND
    assert with_status(type=kind, status="Unknown").accepted is Acceptance.UNKNOWN
    refused = with_status(type=kind, status="False", reason="ResourceSyncAborted", message="no service")
    assert (refused.accepted, refused.note) == (
        Acceptance.NO,
        "APISIX does not serve the route: ResourceSyncAborted: no service",
    )


def test_other_conditions_do_not_count() -> None:
    assert with_status(type="Synced", status="False").accepted is Acceptance.UNKNOWN


@pytest.mark.parametrize(
    ("owner", "sentence"),
    [
        (canary(), "spec.routeRef is missing: name the ApisixRoute"),
        (
            canary(
                spec={"routeRef": REFERENCE},
                analysis={"match": [{"headers": {"a": {"exact": "1"}}}], "iterations": 2, "stepWeight": None},
            ),
            "spec.analysis.match cannot be served, because provider apisix copies the conditions",
        ),
    ],
)
def test_what_cannot_be_served_is_told(owner: Canary, sentence: str) -> None:
    [problem] = ROUTER.problems(owner)
    assert problem.startswith(sentence)


def test_without_a_reference_there_is_nothing_to_read_or_to_write() -> None:
    assert ROUTER.refs(canary()) == ()
    assert ROUTER.state(canary(), {}).routes is None
    assert ROUTER.restore(canary(), written()) == ()
    with pytest.raises(UserError, match=r"spec\.routeRef is missing"):
        ROUTER.render(canary(), {}, SHARES)


@pytest.mark.parametrize("port", [9090, "admin"])
def test_a_rule_to_a_port_that_primary_and_canary_lack_stays_the_users(port: int | str) -> None:
    admin = rule("admin", "web")
    admin["backends"][0]["servicePort"] = port
    named = rule("named", "web")
    named["backends"][0]["servicePort"] = "http"

    copied = written(own=own_route(rule("all", "web"), admin, named))[COPY]["spec"]["http"]

    assert [one["name"] for one in copied] == ["all", "named"]
    says = (
        f"^ApisixRoute way, rule admin leads to port {port} of Service web, which Services web-primary and web-canary"
    )
    with pytest.raises(UserError, match=says):
        written(own=own_route(admin))
    discovering = canary(spec={"routeRef": REFERENCE}, service={"portDiscovery": True})
    [only] = written(own=own_route(admin), owner=discovering)[COPY]["spec"]["http"]
    assert only["backends"][1] == {"serviceName": "web-canary", "servicePort": port, "subset": "s", "weight": 20}
