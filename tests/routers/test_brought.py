"""A route that its user brings along: nothing but the weights of primary and canary changes in it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flaggerpy.api.canary import Canary
from flaggerpy.api.marks import owner_annotation
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import GATEWAY_ROUTES, SERVICES, Ref, gateway_route
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_CANARY, ALL_TO_PRIMARY, Acceptance, Routes, to_canary
from flaggerpy.routers.base import PATCH
from flaggerpy.routers.brought import BroughtRouter
from flaggerpy.routers.gatewayapi import GatewayApiRouter
from flaggerpy.routers.registry import ROUTERS, router_of
from tests.builders import canary
from tests.kube.fake_store import json_patch
from tests.routers.cases import brought, router_behind
from tests.routers.server import Server

ROUTER = BroughtRouter("HTTPRoute")
WAY = Ref(gateway_route("HTTPRoute", "gateway.networking.k8s.io/v1"), "shop", "way")
APEX = Ref(SERVICES, "shop", "web")
TENTH = Routes(90, 10)
EXTENSION = {"type": "ExtensionRef", "extensionRef": {"group": "example.com", "kind": "Limit", "name": "slow"}}
HEADER = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"add": [{"name": "a", "value": "1"}]}}


def bringing(kind: str = "HTTPRoute", **ref: str) -> Canary:
    return canary(spec={"provider": "gatewayapi:v1", **brought(kind, **ref)})


def backend(name: str, weight: int | None = None, **more: Any) -> JsonObject:
    return {"name": name, "port": 80, **({} if weight is None else {"weight": weight}), **more}


def rule(*backends: JsonObject, **more: Any) -> JsonObject:
    return {"backendRefs": list(backends), **more}


def way(*rules: JsonObject, **metadata: Any) -> JsonObject:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {
            "name": "way",
            "namespace": "shop",
            "uid": "u",
            "resourceVersion": "7",
            "generation": 3,
            **metadata,
        },
        "spec": {"parentRefs": [{"name": "public"}], "rules": list(rules)},
    }


def written(route: JsonObject, routes: Routes, owner: Canary | None = None) -> JsonObject:
    """Return the route once these shares have arrived."""
    owner = owner or bringing()
    server = Server(ROUTER, owner)
    server.live[WAY] = copy.deepcopy(route)
    for _ in range(4):
        bodies = ROUTER.render(owner, server.live, routes)
        server.write(ROUTER.ahead(owner, server.live, bodies) or bodies)
    return server.live[WAY]


def weights(found: JsonObject) -> list[list[tuple[str, int | None]]]:
    return [[(one["name"], one.get("weight")) for one in part["backendRefs"]] for part in found["spec"]["rules"]]


def test_primary_and_canary_take_the_place_of_the_apex_service_with_all_that_is_written_beside_it() -> None:
    rich = rule(backend("web", filters=[HEADER]), name="all", filters=[EXTENSION], timeouts={"request": "9s"})
    static = rule(backend("static"), matches=[{"path": {"value": "/static"}}], filters=[EXTENSION])
    before = way(static, rich, labels={"mine": "1"})

    after = written(before, TENTH)

    primary, share = backend("web-primary", 90, filters=[HEADER]), backend("web-canary", 10, filters=[HEADER])
    wanted = copy.deepcopy(before)
    wanted["spec"]["rules"][1]["backendRefs"] = [primary, share]
    assert after == wanted


def test_where_both_are_named_only_their_weights_are_sent() -> None:
    route = way(rule(backend("web-primary", 100), backend("other", 0), backend("web-canary", 0), name="all"))

    [body] = ROUTER.render(bringing(), {WAY: route}, TENTH)

    at = "/spec/rules/0/backendRefs"
    assert body[PATCH] == [
        {"op": "test", "path": f"{at}/0/name", "value": "web-primary"},
        {"op": "add", "path": f"{at}/0/weight", "value": 90},
        {"op": "test", "path": f"{at}/2/name", "value": "web-canary"},
        {"op": "add", "path": f"{at}/2/weight", "value": 10},
    ]


def test_a_list_is_replaced_only_if_it_is_the_one_that_was_seen() -> None:
    route = way(rule(backend("web")))

    [body] = ROUTER.ahead(bringing(), {WAY: route}, ROUTER.render(bringing(), {WAY: route}, ALL_TO_PRIMARY))

    at = "/spec/rules/0/backendRefs"
    assert body[PATCH] == [
        {"op": "test", "path": at, "value": [backend("web")]},
        {"op": "replace", "path": at, "value": [backend("web"), backend("web-primary", 0)]},
    ]


def test_what_is_as_it_should_be_is_not_written() -> None:
    route = way(rule(backend("web-primary", 90), backend("web-canary", 10)))
    assert ROUTER.render(bringing(), {WAY: route}, TENTH) == ()


def test_every_rule_that_leads_to_us_is_shared() -> None:
    route = way(rule(backend("web"), name="a"), rule(backend("other")), rule(backend("web"), name="b"))
    ours = [("web-primary", 90), ("web-canary", 10)]
    assert weights(written(route, TENTH)) == [ours, [("other", None)], ours]


def test_one_rule_can_be_chosen_by_its_name() -> None:
    insiders, everybody = rule(backend("web"), name="insiders"), rule(backend("web"), name="everybody")
    owner = bringing(sectionName="insiders")

    after = written(way(insiders, everybody), TENTH, owner)

    assert weights(after) == [[("web-primary", 90), ("web-canary", 10)], [("web", None)]]
    assert ROUTER.state(owner, {WAY: after}).routes == TENTH
    [back] = ROUTER.restore(owner, {WAY: after})
    assert weights(back) == [[("web", None)], [("web", None)]]


@pytest.mark.parametrize("before", [{}, {"sectionName": "everybody"}])
def test_a_rule_that_is_shared_no_more_leads_to_the_apex_service_again(before: dict[str, str]) -> None:
    """Its users would stay with the weights of the moment, also when the canary has gone to sleep."""
    rules = [rule(backend("web"), name="insiders"), rule(backend("web"), name="everybody")]
    route = written(way(*rules), TENTH, bringing(**before))
    now = bringing(sectionName="insiders")
    assert ROUTER.state(now, {WAY: route, APEX: HELD}).drifted

    after = written(route, TENTH, now)

    assert weights(after) == [[("web-primary", 90), ("web-canary", 10)], [("web", None)]]
    assert not ROUTER.state(now, {WAY: after, APEX: HELD}).drifted


def test_a_rule_that_leads_to_the_canary_alone_is_its_users_business() -> None:
    preview, everybody = rule(backend("web-canary"), name="preview"), rule(backend("web"), name="everybody")
    after = written(way(preview, everybody), TENTH, bringing(sectionName="everybody"))
    assert weights(after) == [[("web-canary", None)], [("web-primary", 90), ("web-canary", 10)]]


@settings(max_examples=50, deadline=None)
@given(share=st.integers(0, 100), whole=st.integers(100, 1000), others=st.integers(0, 1000))
def test_what_others_in_a_rule_get_stays_as_it_was(share: int, whole: int, others: int) -> None:
    route = way(rule(backend("legacy", others), backend("web", whole)))

    after = written(route, to_canary(share))

    [[legacy, primary, ours]] = weights(after)
    assert legacy == ("legacy", others)
    assert (primary[1] or 0) + (ours[1] or 0) == whole
    assert ROUTER.state(bringing(), {WAY: after}).routes == to_canary(share)
    if others:
        [back] = ROUTER.restore(bringing(), {WAY: after})
        assert back["spec"] == route["spec"]


def test_several_canaries_share_a_route_and_write_it_at_the_same_moment() -> None:
    """Neither has seen what the other one writes, and both get what they ask for."""
    route = written(way(rule(backend("web")), rule(backend("pay"))), ALL_TO_PRIMARY)
    other = canary("pay", spec={"provider": "gatewayapi:v1", **brought("HTTPRoute")})
    for routes in (ALL_TO_PRIMARY, TENTH):
        for _ in range(3):
            seen = {WAY: copy.deepcopy(route)}
            for owner in (bringing(), other):
                bodies = ROUTER.render(owner, seen, routes)
                for body in ROUTER.ahead(owner, seen, bodies) or bodies:
                    route = json_patch(route, body[PATCH])
    ours = [[(f"{name}-primary", 90), (f"{name}-canary", 10)] for name in ("web", "pay")]
    assert weights(route) == ours


def test_services_of_the_same_name_elsewhere_are_not_ours() -> None:
    strangers = rule(backend("web", namespace="bank"), backend("web", kind="ServiceImport", group="example.com"))
    route = way(strangers, rule(backend("web", namespace="shop", kind="Service", group="")))
    after = written(route, TENTH)
    assert after["spec"]["rules"][0] == strangers
    assert weights(after)[1] == [("web-primary", 90), ("web-canary", 10)]


def test_a_rule_never_gets_more_backends_than_there_may_be() -> None:
    others = [backend(f"other-{number}", 1) for number in range(14)]
    server = Server(ROUTER, bringing())
    server.live[WAY] = way(rule(*others, backend("web", 100)))
    for routes in (ALL_TO_PRIMARY, TENTH):
        for _ in range(3):
            bodies = ROUTER.render(bringing(), server.live, routes)
            server.write(ROUTER.ahead(bringing(), server.live, bodies) or bodies)
            assert len(weights(server.live[WAY])[0]) <= 16
    assert weights(server.live[WAY])[0][14:] == [("web-primary", 90), ("web-canary", 10)]


# What is read


HELD = {"metadata": {"name": "web", "annotations": owner_annotation(bringing())}}


def test_a_tool_that_puts_the_apex_service_back_sends_everybody_to_the_primary() -> None:
    """So nobody fights with it between rollouts, and a rollout is told that its weights were changed."""
    route = way(rule(backend("web")))

    state = ROUTER.state(bringing(), {WAY: route, APEX: HELD})
    assert (state.routes, state.drifted) == (ALL_TO_PRIMARY, False)

    before_that = ROUTER.state(bringing(), {WAY: route, APEX: {"metadata": {"name": "web"}}})
    assert before_that.routes is None


def test_steps_on_the_way_are_drift_so_that_they_are_gone_to_their_end() -> None:
    for backends in (
        (backend("web", 1), backend("web-primary", 0)),
        (backend("web-primary", 100), backend("web-canary", 0), backend("web", 0)),
    ):
        state = ROUTER.state(bringing(), {WAY: way(rule(*backends)), APEX: HELD})
        assert (state.routes, state.drifted) == (ALL_TO_PRIMARY, True)


def test_rules_that_differ_are_drift() -> None:
    right, wrong = rule(backend("web-primary", 90), backend("web-canary", 10)), rule(backend("web-primary", 1))
    state = ROUTER.state(bringing(), {WAY: way(right, wrong)})
    assert (state.routes, state.drifted) == (TENTH, True)


def test_only_the_gateways_words_about_this_route_count() -> None:
    route = way(rule(backend("web-primary", 100), backend("web-canary", 0)))
    accepted = {"type": "Accepted", "status": "True", "observedGeneration": 3}
    refused = {"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound", "observedGeneration": 3}
    for conditions, wanted in (([], Acceptance.UNKNOWN), ([accepted], Acceptance.YES), ([refused], Acceptance.NO)):
        parents = [{"parentRef": {"name": "public"}, "conditions": conditions}]
        assert ROUTER.state(bringing(), {WAY: {**route, "status": {"parents": parents}}}).accepted is wanted


# An audience

MATCH = [{"headers": {"x-canary": {"exact": "insider"}}}, {"queryParams": {"v": {"exact": "2"}}}]
INSIDER = {"type": "Exact", "name": "x-canary", "value": "insider"}
SECOND = {"type": "Exact", "name": "v", "value": "2"}
A_PATH = {"path": {"type": "PathPrefix", "value": "/a"}}


def insiders_of(kind: str = "HTTPRoute", match: list[JsonObject] = MATCH) -> Canary:
    """Write a Canary with an A/B test."""
    analysis = {"match": match, "iterations": 3, "stepWeight": None}
    return canary(spec={"provider": "gatewayapi:v1", **brought(kind)}, analysis=analysis)


def test_an_audience_gets_a_rule_of_ours_in_front_of_the_users() -> None:
    mine = rule(backend("web"), name="all", matches=[A_PATH], filters=[EXTENSION])
    before = way(rule(backend("static")), mine)

    after = written(before, ALL_TO_CANARY, insiders_of())

    static, ours, users = after["spec"]["rules"]
    assert static == rule(backend("static"))
    assert users == {**mine, "backendRefs": [backend("web-primary", 100), backend("web-canary", 0)]}
    assert ours == {
        **mine,
        "name": "web-canary-audience",
        "matches": [{**A_PATH, "headers": [INSIDER]}, {**A_PATH, "queryParams": [SECOND]}],
        "backendRefs": [backend("web-primary", 0), backend("web-canary", 100)],
    }
    state = ROUTER.state(insiders_of(), {WAY: after})
    assert (state.routes, state.drifted) == (ALL_TO_CANARY, False)
    [back] = ROUTER.restore(insiders_of(), {WAY: after})
    assert back["spec"] == before["spec"]


def test_only_the_weights_of_the_audience_change_from_then_on() -> None:
    route = written(way(rule(backend("web"))), ALL_TO_PRIMARY, insiders_of())

    [body] = ROUTER.render(insiders_of(), {WAY: route}, ALL_TO_CANARY)

    assert [(one["op"], one["path"], one["value"]) for one in body[PATCH]] == [
        ("test", "/spec/rules/0/backendRefs/0/name", "web-primary"),
        ("add", "/spec/rules/0/backendRefs/0/weight", 0),
        ("test", "/spec/rules/0/backendRefs/1/name", "web-canary"),
        ("add", "/spec/rules/0/backendRefs/1/weight", 100),
    ]


def test_each_rule_that_leads_to_us_has_an_audience_of_its_own() -> None:
    route = written(way(rule(backend("web"), name="a"), rule(backend("web"), matches=[A_PATH])), TENTH, insiders_of())
    names = [part.get("name") for part in route["spec"]["rules"]]
    assert names == ["web-canary-audience", "a", "web-canary-audience-1", None]
    assert weights(route)[0] == weights(route)[2] == [("web-primary", 90), ("web-canary", 10)]


def test_what_the_user_changes_in_a_rule_is_carried_over_to_its_audience() -> None:
    route = written(way(rule(backend("web"), matches=[A_PATH])), ALL_TO_CANARY, insiders_of())
    route["spec"]["rules"][1]["filters"] = [HEADER]
    assert ROUTER.state(insiders_of(), {WAY: route}).drifted

    after = written(route, ALL_TO_CANARY, insiders_of())

    assert [part["filters"] for part in after["spec"]["rules"]] == [[HEADER], [HEADER]]
    assert ROUTER.state(insiders_of(), {WAY: after}).routes == ALL_TO_CANARY


def test_an_audience_first_gets_the_canary_with_the_first_share_and_everybody_else_by_their_share() -> None:
    analysis = {"match": MATCH, "matchFirst": True}
    owner = canary(spec={"provider": "gatewayapi:v1", **brought("HTTPRoute")}, analysis=analysis)

    route = written(way(rule(backend("web"), name="all")), TENTH, owner)

    assert [part["name"] for part in route["spec"]["rules"]] == ["web-canary-audience", "all"]
    assert weights(route) == [[("web-primary", 0), ("web-canary", 100)], [("web-primary", 90), ("web-canary", 10)]]
    assert (ROUTER.state(owner, {WAY: route}).routes, ROUTER.state(owner, {WAY: route}).drifted) == (TENTH, False)
    assert weights(written(route, ALL_TO_PRIMARY, owner)) == [[("web-primary", 100), ("web-canary", 0)]] * 2


def test_a_rule_for_the_audience_that_somebody_copied_with_its_name_goes_with_it() -> None:
    route = written(way(rule(backend("web"), name="all")), TENTH, insiders_of())
    route["spec"]["rules"].insert(0, copy.deepcopy(route["spec"]["rules"][0]))

    assert ROUTER.state(insiders_of(), {WAY: route}).drifted
    once = written(route, TENTH, insiders_of())
    assert [part["name"] for part in once["spec"]["rules"]] == ["web-canary-audience", "all"]
    [back] = ROUTER.restore(insiders_of(), {WAY: route})
    assert weights(back) == [[("web", None)]]


def test_a_canary_that_tests_no_audience_any_more_loses_its_rules() -> None:
    route = written(way(rule(backend("web"))), ALL_TO_CANARY, insiders_of())
    state = ROUTER.state(bringing(), {WAY: route})
    assert (state.routes, state.drifted) == (ALL_TO_PRIMARY, True)
    assert weights(written(route, TENTH)) == [[("web-primary", 90), ("web-canary", 10)]]


def test_a_tool_that_takes_the_rules_of_the_audience_away_sends_everybody_to_the_primary() -> None:
    route = way(rule(backend("web")))
    state = ROUTER.state(insiders_of(), {WAY: route, APEX: HELD})
    assert (state.routes, state.drifted) == (ALL_TO_PRIMARY, False)
    route = written(route, ALL_TO_CANARY, insiders_of())
    del route["spec"]["rules"][0]
    state = ROUTER.state(insiders_of(), {WAY: route, APEX: HELD})
    assert (state.routes, state.drifted) == (ALL_TO_PRIMARY, True)


@pytest.mark.parametrize(
    ("owner", "rules", "sentence"),
    [
        (
            insiders_of(),
            [rule(backend("web"), matches=[{"headers": [{**INSIDER, "value": "x"}]}])],
            "HTTPRoute way, rule 1: the rule has a condition on x-canary in its headers, and spec.analysis.match",
        ),
        (
            insiders_of(match=MATCH[:1]),
            [rule(backend("web"), matches=[{"headers": [INSIDER]}]), rule(backend("web"), name="all")],
            "HTTPRoute way, rule 1: the rule has a condition on x-canary in its headers",
        ),
        (
            insiders_of(match=MATCH[:1]),
            [rule(backend("other"), matches=[{"headers": [INSIDER]}]), rule(backend("web"), name="all")],
            "HTTPRoute way, rule all: another rule has the conditions of spec.analysis.match already: remove it.",
        ),
    ],
)
def test_audiences_that_cannot_be_said_are_told_and_do_not_keep_users_from_leaving(
    owner: Canary, rules: list[JsonObject], sentence: str
) -> None:
    live = {WAY: way(*rules)}
    with pytest.raises(UserError) as caught:
        ROUTER.render(owner, live, ALL_TO_CANARY)
    assert str(caught.value).startswith(sentence)
    [body] = ROUTER.render(owner, live, ALL_TO_PRIMARY)
    assert [name for part in weights(body) for name, weight in part if weight and name.startswith("web")] == [
        "web-primary"
    ] * sum(part["backendRefs"][0]["name"] == "web" for part in rules)
    assert not ROUTER.state(owner, live).drifted


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (
            "TCPRoute",
            "spec.analysis.match cannot be served with a TCPRoute, which does not look at requests: remove it.",
        ),
        ("GRPCRoute", "spec.analysis.match asks for queryParams, which a GRPCRoute cannot compare: write headers in"),
    ],
)
def test_kinds_that_cannot_choose_these_users_refuse_them(kind: str, sentence: str) -> None:
    [problem] = router_behind(insiders_of(kind)).problems(insiders_of(kind))
    assert problem.startswith(sentence)


# A route that was ours


def test_a_route_that_was_made_for_the_canary_becomes_its_users_own() -> None:
    """Users may begin with a route that the controller made, and bring it along from then on."""
    generated = canary(spec={"provider": "gatewayapi:v1"}, service={"gatewayRefs": [{"name": "public"}]})
    [made] = GatewayApiRouter().render(generated, {}, TENTH)
    made["metadata"] |= {"uid": "u", "annotations": {**made["metadata"]["annotations"], "mine": "1"}}
    owner = bringing(name="web")
    ref = Ref(WAY.resource, "shop", "web")
    server = Server(ROUTER, owner)
    server.live[ref] = made

    assert ROUTER.state(owner, server.live).drifted
    server.write(ROUTER.render(owner, server.live, TENTH))

    assert server.live[ref]["metadata"]["annotations"] == {"mine": "1"}
    assert server.live[ref]["metadata"]["labels"] == {}
    assert not ROUTER.state(owner, server.live).drifted


def test_a_route_that_flagger_made_loses_the_owner_with_whom_it_would_be_deleted() -> None:
    flagger = {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "web", "uid": "c", "controller": True}
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"}
    cases: tuple[tuple[Any, Any], ...] = (([flagger], None), ([other, flagger], [other]))
    for owners, kept in cases:
        mine = {"labels": {"mine": "1"}, "annotations": {"mine": "1"}}
        route = way(rule(backend("web-primary", 90), backend("web-canary", 10)), ownerReferences=owners, **mine)
        assert ROUTER.state(bringing(), {WAY: route}).drifted

        after = written(route, TENTH)

        assert after["metadata"].get("ownerReferences") == kept
        assert not ROUTER.state(bringing(), {WAY: after}).drifted
        assert ROUTER.restore(bringing(), {WAY: route})[0]["metadata"].get("ownerReferences") == kept


def test_a_route_of_another_canary_is_not_touched() -> None:
    stranger = way(rule(backend("web")), annotations={"flaggerpy.dev/canary": "shop/front"})
    with pytest.raises(UserError, match="HTTPRoute way belongs to canary shop/front"):
        ROUTER.render(bringing(), {WAY: stranger}, TENTH)


# Mistakes


@pytest.mark.parametrize(
    ("route", "sentence"),
    [
        (None, "HTTPRoute way does not exist in namespace shop: create it, or correct spec.routeRef."),
        (way(rule(backend("other"))), "HTTPRoute way has no rule that leads to Service web: name this Service in the"),
        (way(), "HTTPRoute way has no rule that leads to Service web"),
        (way(rule(backend("web", 0))), "HTTPRoute way, rule 1: Service web has the weight 0, so that nobody would"),
        (
            way(rule(backend("web", 9), backend("x", 1), name="a")),
            "HTTPRoute way, rule a: Service web has the weight 9 beside other backends",
        ),
        (way(rule(backend("web"), backend("web"))), "HTTPRoute way, rule 1: Service web is named more than once"),
    ],
)
def test_mistakes_are_told_before_a_rollout_and_do_not_keep_users_from_leaving(
    route: JsonObject | None, sentence: str
) -> None:
    live = {} if route is None else {WAY: route}
    for routes in (TENTH, ALL_TO_CANARY):
        with pytest.raises(UserError) as caught:
            ROUTER.render(bringing(), live, routes)
        assert str(caught.value).startswith(sentence)
    for body in ROUTER.render(bringing(), live, ALL_TO_PRIMARY):
        assert ("web-canary", 0) in weights(body)[0]


def test_a_rule_that_is_not_there_is_told_by_its_name() -> None:
    with pytest.raises(UserError, match=r"no rule x that leads to Service web: .* correct spec\.routeRef\.sectionName"):
        ROUTER.render(bringing(sectionName="x"), {WAY: way(rule(backend("web"), name="y"))}, TENTH)


@pytest.mark.parametrize(
    ("analysis", "sentences"),
    [
        ({"match": [{}], "iterations": 2}, ["spec.analysis.match[0] has neither headers nor queryParams"]),
        ({"sessionAffinity": {"cookieName": "c"}}, ["spec.analysis.sessionAffinity cannot be served with"]),
        ({"mirror": True}, ["spec.analysis.mirror cannot be served with spec.routeRef"]),
        ({"iterations": 5, "stepWeight": None}, []),
    ],
)
def test_what_needs_more_than_weights_is_refused(analysis: JsonObject, sentences: list[str]) -> None:
    owner = canary(spec={"provider": "gatewayapi:v1", **brought("HTTPRoute")}, analysis=analysis)
    said = router_behind(owner).problems(owner)
    assert [text.startswith(start) for text, start in zip(said, sentences, strict=True)] == [True] * len(sentences)


# Ports that primary and canary have not


def test_a_rule_to_another_port_than_theirs_is_the_users_and_goes_back_to_the_apex_if_it_was_shared() -> None:
    admin = rule(backend("web", port=9090), name="admin")
    after = written(way(rule(backend("web")), admin), TENTH)
    assert [weights(after)[0], after["spec"]["rules"][1]] == [[("web-primary", 90), ("web-canary", 10)], admin]
    assert not ROUTER.state(bringing(), {WAY: after}).drifted

    before = way(
        rule(backend("web")), rule(backend("web-primary", 100, port=9090), backend("web-canary", 0, port=9090))
    )
    assert written(before, TENTH)["spec"]["rules"][1]["backendRefs"] == [backend("web", port=9090)]

    discovering = canary(spec={"provider": "gatewayapi:v1", **brought("HTTPRoute")}, service={"portDiscovery": True})
    assert weights(written(way(admin), TENTH, discovering)) == [[("web-primary", 90), ("web-canary", 10)]]


@pytest.mark.parametrize("ref", [{}, {"sectionName": "admin"}])
def test_a_route_of_which_no_rule_can_be_shared_for_its_port_is_refused(ref: dict[str, str]) -> None:
    admin = rule(backend("web", port=9090), name="admin")
    route = way(admin, rule(backend("web"), name="all")) if ref else way(admin)
    with pytest.raises(UserError) as caught:
        ROUTER.render(bringing(**ref), {WAY: route}, TENTH)
    assert str(caught.value) == (
        "HTTPRoute way, rule admin leads to port 9090 of Service web, which Services web-primary and web-canary will "
        "not have: set spec.service.portDiscovery: true, if the pods declare that port, or lead to port 80."
    )
    assert ROUTER.render(bringing(**ref), {WAY: route}, ALL_TO_PRIMARY) == ()


def test_copies_of_a_service_have_all_of_its_ports() -> None:
    target = {"targetRef": {"apiVersion": "v1", "kind": "Service", "name": "web"}}
    owner = canary(spec={"provider": "gatewayapi:v1", **brought("HTTPRoute"), **target})
    after = written(way(rule(backend("web", port=9090))), TENTH, owner)
    assert weights(after) == [[("web-primary", 90), ("web-canary", 10)]]


# Which router it is


@pytest.mark.parametrize("kind", GATEWAY_ROUTES)
@pytest.mark.parametrize("version", ["v1", "v1alpha2"])
def test_the_version_is_the_one_that_is_written(kind: str, version: str) -> None:
    owner = bringing(kind, apiVersion=f"gateway.networking.k8s.io/{version}")
    [ref] = router_behind(owner).refs(owner)
    assert (ref.resource.kind, ref.resource.version, ref.name) == (kind, version, "way")


@pytest.mark.parametrize("provider", ROUTERS)
def test_only_providers_that_bring_it_along_take_such_a_route(provider: str) -> None:
    owner = canary(spec={"provider": provider, **brought("TCPRoute")})
    if provider.startswith("gatewayapi"):
        assert isinstance(router_of(owner, provider), BroughtRouter)
        return
    with pytest.raises(UserError, match=f"of which provider {provider} changes nothing: use provider gatewayapi:v1 or"):
        router_of(owner, provider)
