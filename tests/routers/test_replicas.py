"""Shares by numbers of pods: where the apex Service leads, what it says of itself, and what is refused."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flaggerpy.api.canary import Canary
from flaggerpy.api.shares import SHARES, read_shares
from flaggerpy.kube.resources import DEPLOYMENTS, SERVICES, Ref
from flaggerpy.rollout.decision import ServiceRole
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_CANARY, ALL_TO_PRIMARY, Acceptance, Routes, RouteState, to_canary
from flaggerpy.routers.kubernetes import KubernetesRouter
from flaggerpy.routers.registry import router_of
from flaggerpy.routers.replicas import ReplicaRouter
from flaggerpy.targets.base import TargetFacts
from flaggerpy.targets.services import desired_service, released_service
from tests.builders import canary
from tests.routers.server import Server

JsonObject = dict[str, Any]

LABEL = "shop.example.com/serves"
OWNER = canary(spec={"provider": "kubernetes"}, analysis={"trafficByReplicas": {"label": LABEL}})
ROUTER = ReplicaRouter()
FACTS = TargetFacts("app", "web", "web-primary")
APEX = Ref(SERVICES, "shop", "web")
WEIGHTS = st.sampled_from([*range(51), 100])
LEADS = {0: {"app": "web-primary"}, 10: {LABEL: "web"}, 50: {LABEL: "web"}, 100: {"app": "web"}}


def deployment(name: str, **labels: str) -> JsonObject:
    selector = {"app": name}
    template = {"metadata": {"labels": {"app": name, LABEL: "web", **labels}}}
    metadata = {"name": name, "namespace": "shop"}
    spec = {"selector": {"matchLabels": selector}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def served() -> Server:
    """Build a server on which a canary is bootstrapped."""
    server = Server(ROUTER, OWNER)
    for role in ServiceRole:
        body = desired_service(OWNER, role, FACTS, None)
        assert body is not None
        server.put(body)
    server.put(deployment("web"))
    server.put(deployment("web-primary"))
    return server


def apex(server: Server) -> JsonObject:
    return server.live[APEX]


@pytest.mark.router_laws
@pytest.mark.parametrize("owner", [pytest.param(OWNER, id="kubernetes, shares by numbers of pods")])
@settings(max_examples=100, deadline=None)
@given(before=WEIGHTS, after=WEIGHTS)
def test_the_laws_of_routers_hold(owner: Canary, before: int, after: int) -> None:
    """What is written is read, written once, the same from wherever it comes, and moved by no other edit.

    The laws of the registry are kept by routing objects; this router has the Service itself, and workloads beside it.
    """
    server, fresh = served(), served()
    server.write(ROUTER.render(owner, server.live, to_canary(before)))
    server.write(ROUTER.render(owner, server.live, to_canary(after)))
    fresh.write(ROUTER.render(owner, fresh.live, to_canary(after)))

    assert ROUTER.state(owner, server.live) == RouteState(to_canary(after), accepted=Acceptance.YES)
    assert ROUTER.render(owner, server.live, to_canary(after)) == ()
    assert server.live == fresh.live
    edited = canary(
        spec={"provider": "kubernetes"},
        service={"timeout": "7s", "apex": {"labels": {"team": "b"}}},
        analysis={"trafficByReplicas": {"label": LABEL}},
    )
    assert ROUTER.state(edited, server.live) == ROUTER.state(owner, server.live)


@pytest.mark.parametrize("weight", LEADS)
def test_a_share_has_its_selector_and_says_so(weight: int) -> None:
    server = served()
    server.write(ROUTER.render(OWNER, server.live, to_canary(weight)))
    assert apex(server)["spec"]["selector"] == LEADS[weight]
    assert (SHARES in apex(server)["metadata"]["annotations"]) is (weight > 0)


def test_nothing_else_of_the_service_changes() -> None:
    server = served()
    apex(server)["spec"]["unheardOf"] = {"a": 1}
    before = copy.deepcopy(server.live)
    server.write(ROUTER.render(OWNER, server.live, to_canary(10)))
    server.write(ROUTER.render(OWNER, server.live, ALL_TO_PRIMARY))
    assert server.live == before


@pytest.mark.parametrize("weight", LEADS)
def test_the_services_are_right_at_every_share(weight: int) -> None:
    server = served()
    server.write(ROUTER.render(OWNER, server.live, to_canary(weight)))
    assert desired_service(OWNER, ServiceRole.APEX, FACTS, apex(server)) is None


@pytest.mark.parametrize("weight", [10, 100])
def test_users_who_are_taken_over_by_somebody_else_come_back_to_the_primary(weight: int) -> None:
    """Whoever puts their own selector back does not touch what we wrote beside it."""
    server = served()
    server.write(ROUTER.render(OWNER, server.live, to_canary(weight)))
    apex(server)["spec"]["selector"] = {"app": "web", "tier": "front"}
    assert ROUTER.state(OWNER, server.live).routes is None
    mended = desired_service(OWNER, ServiceRole.APEX, FACTS, apex(server))
    assert mended is not None
    assert (mended["spec"]["selector"], read_shares(mended)) == ({"app": "web-primary"}, None)


def test_the_primary_gets_everybody_once_the_setting_is_taken_away() -> None:
    server = served()
    server.write(ROUTER.render(OWNER, server.live, to_canary(10)))
    without = canary(spec={"provider": "kubernetes"})
    mended = desired_service(without, ServiceRole.APEX, FACTS, apex(server))
    assert mended is not None
    assert (mended["spec"]["selector"], read_shares(mended)) == ({"app": "web-primary"}, None)


@pytest.mark.parametrize("weight", LEADS)
def test_a_released_service_leads_to_the_target_alone(weight: int) -> None:
    server = served()
    server.write(ROUTER.render(OWNER, server.live, to_canary(weight)))
    released = released_service(OWNER, apex(server))
    assert released is not None
    assert released["spec"]["selector"] == {"app": "web"}
    assert released_service(OWNER, released) is None
    assert SHARES not in released["metadata"]["annotations"]


def test_the_users_own_service_gets_its_own_selector_back() -> None:
    server = served()
    own: JsonObject = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"app": "web", "tier": "front"}, "ports": [{"port": 80}]},
    }
    taken = desired_service(OWNER, ServiceRole.APEX, FACTS, own)
    assert taken is not None
    server.put(taken)
    server.write(ROUTER.render(OWNER, server.live, to_canary(10)))
    released = released_service(OWNER, apex(server))
    assert released is not None
    assert released["spec"]["selector"] == own["spec"]["selector"]


def test_before_there_is_a_primary_nothing_is_said_and_nothing_written() -> None:
    server = Server(ROUTER, OWNER)
    server.put(deployment("web"))
    assert ROUTER.state(OWNER, server.live) == RouteState(None, accepted=ROUTER.state(OWNER, server.live).accepted)
    assert ROUTER.render(OWNER, server.live, ALL_TO_CANARY) == ()


@pytest.mark.parametrize("routes", [to_canary(10), ALL_TO_CANARY, ALL_TO_PRIMARY])
def test_a_lost_primary_changes_nothing_of_what_is_read(routes: Routes) -> None:
    server = served()
    server.write(ROUTER.render(OWNER, server.live, routes))
    del server.live[Ref(DEPLOYMENTS, "shop", "web-primary")]
    assert ROUTER.state(OWNER, server.live).routes == routes
    server.write(ROUTER.render(OWNER, server.live, ALL_TO_CANARY))
    assert ROUTER.state(OWNER, server.live).routes == ALL_TO_CANARY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "7",
        '{"weight": 10}',
        '{"weight": "10", "target": {}}',
        '{"weight": 0, "target": {"a": "b"}}',
    ],
)
def test_what_nobody_wrote_like_this_says_nothing(text: str) -> None:
    server = served()
    apex(server)["spec"]["selector"] = {LABEL: "web"}
    apex(server)["metadata"]["annotations"][SHARES] = text
    assert ROUTER.state(OWNER, server.live).routes is None


def test_what_is_written_can_be_read_by_people() -> None:
    server = served()
    server.write(ROUTER.render(OWNER, server.live, to_canary(10)))
    text = apex(server)["metadata"]["annotations"][SHARES]
    assert json.loads(text) == {"weight": 10, "target": {"app": "web"}}


@pytest.mark.parametrize(
    ("target", "primary", "says"),
    [
        ({LABEL: None}, {}, "Deployment web has no label shop.example.com/serves in its pod template, by which"),
        ({}, {LABEL: None}, "Deployment web-primary has no label shop.example.com/serves in its pod template yet"),
        ({LABEL: "other"}, {}, f"put {LABEL}=web back"),
    ],
)
def test_pods_that_have_no_label_in_common_are_refused(
    target: dict[str, str | None], primary: dict[str, str | None], says: str
) -> None:
    server = served()
    for name, labels in (("web", target), ("web-primary", primary)):
        found = server.live[Ref(DEPLOYMENTS, "shop", name)]["spec"]["template"]["metadata"]["labels"]
        found |= labels
        for key in [key for key, value in found.items() if value is None]:
            del found[key]
    with pytest.raises(UserError, match=says):
        ROUTER.render(OWNER, server.live, ALL_TO_CANARY)
    apex(server)["spec"]["selector"] = {LABEL: "web"}
    server.write(ROUTER.render(OWNER, server.live, ALL_TO_PRIMARY))
    assert ROUTER.state(OWNER, server.live).routes == ALL_TO_PRIMARY, "a way back is never refused"


def test_the_label_that_tells_pods_apart_cannot_bring_them_together() -> None:
    owner = canary(analysis={"trafficByReplicas": {"label": "app"}})
    with pytest.raises(UserError, match="app tells the pods of primary and target apart: name another label"):
        ROUTER.render(owner, served().live, ALL_TO_CANARY)


SCALER = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "web"}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            {"spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web"}}},
            "goes with no DaemonSet",
        ),
        ({"spec": {"targetRef": {"apiVersion": "v1", "kind": "Service", "name": "web"}}}, "goes with no Service"),
        ({"spec": {"autoscalerRef": SCALER}}, "the autoscaler in spec.autoscalerRef would change the shares"),
        ({"service": {"trafficDistribution": "PreferClose"}}, "users reach the pods that are near to them"),
        ({"analysis": {"stepWeightPromotion": 10}}, "spec.analysis.stepWeightPromotion: 10 % cannot return at a time"),
        ({"analysis": {"maxWeight": 60}}, "spec.analysis.stepWeight: 60 % of the users would need more pods"),
        ({"analysis": {"stepWeight": None, "stepWeights": [10, 90]}}, "spec.analysis.stepWeights: 90 % of the users"),
        ({"analysis": {"canaryScale": {"matchTrafficWeight": True}}}, "canaryScale has no place beside"),
    ],
)
def test_what_numbers_of_pods_cannot_serve_is_refused_in_one_sentence(more: dict[str, Any], says: str) -> None:
    shared = {"trafficByReplicas": {"label": LABEL}}
    owner = canary(**{**more, "analysis": {**shared, **more.get("analysis", {})}})
    [problem] = ROUTER.problems(owner)
    assert says in problem


@pytest.mark.parametrize("weights", [[10, 50], [1, 20, 50, 100]])
def test_shares_up_to_half_and_everybody_are_served(weights: list[int]) -> None:
    shared = {"trafficByReplicas": {"label": LABEL}, "stepWeight": None, "maxWeight": None, "stepWeights": weights}
    assert ROUTER.problems(canary(analysis=shared)) == ()


def test_only_a_canary_that_asks_for_it_gets_it() -> None:
    assert isinstance(router_of(OWNER, "kubernetes"), ReplicaRouter)
    assert isinstance(router_of(canary(), "kubernetes"), KubernetesRouter)
    assert not isinstance(router_of(OWNER, "istio"), ReplicaRouter)


def test_a_former_service_that_another_canary_has_taken_meanwhile_is_let_be() -> None:
    server = served()
    server.write(ROUTER.render(OWNER, server.live, to_canary(10)))
    [body] = ROUTER.restore(OWNER, server.live)
    assert body["spec"]["selector"] == {"app": "web-primary"}
    apex(server)["metadata"]["annotations"]["flaggerpy.dev/canary"] = "shop/other"
    assert ROUTER.restore(OWNER, server.live) == ()
