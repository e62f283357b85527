"""Plain Services as targets: two copies with addresses of their own, and nothing of the user's is changed."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from flaggerpy.controller.served import choose_router, choose_target
from flaggerpy.kube.resources import SERVICES, Ref
from flaggerpy.rollout.decision import ServiceRole
from flaggerpy.rollout.errors import UserError
from flaggerpy.targets.registry import target_for
from flaggerpy.targets.service import ServiceTarget
from flaggerpy.targets.services import desired_service, released_service
from tests.builders import canary
from tests.targets.objects import RECIPE, RULES, stored, user_service

TARGET = ServiceTarget()
NAMED = {"apiVersion": "v1", "kind": "Service", "name": "web"}
CANARY = canary(spec={"targetRef": NAMED, "provider": "gatewayapi:v1"})
FLAGGER_OWNER = {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "web", "uid": "1", "controller": True}


def service(**spec: Any) -> dict[str, Any]:
    """Build the user's Service as the API server serves it; ``spec`` replaces fields of its spec."""
    made = user_service()
    addresses = {"clusterIPs": ["10.0.0.7"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
    return {**made, "spec": {**made["spec"], **addresses, **spec}}


def of_canary(target: dict[str, Any], live: dict[str, Any] | None = None) -> dict[str, Any] | None:
    return desired_service(CANARY, ServiceRole.CANARY, TARGET.facts(CANARY, target, RULES, None), live)


def served(body: dict[str, Any]) -> dict[str, Any]:
    """Return what the API server makes of a copy: it gets addresses."""
    made = stored(copy.deepcopy(body))
    made["spec"] |= {"clusterIPs": ["10.0.0.9"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
    made["spec"].setdefault("clusterIP", "10.0.0.9")
    return made


def test_where_a_target_and_its_primary_are() -> None:
    assert target_for(CANARY).ref(CANARY) == Ref(SERVICES, "shop", "web")
    assert target_for(CANARY).primary_ref(CANARY) == Ref(SERVICES, "shop", "web-primary")


def test_w38_a_copy_takes_no_address_and_no_node_port_along() -> None:
    primary = TARGET.make_primary(CANARY, service(), None, RECIPE)

    assert primary["metadata"]["name"] == "web-primary"
    assert primary["metadata"]["annotations"]["flaggerpy.dev/canary"] == "shop/web"
    assert primary["spec"] == {
        "type": "ClusterIP",
        "selector": {"app": "web"},
        "sessionAffinity": "ClientIP",
        "ports": [
            {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080},
            {"name": "metrics", "protocol": "TCP", "port": 9797, "targetPort": 9797},
        ],
    }


@pytest.mark.parametrize(
    ("title", "spec", "kept"),
    [
        ("headless", {"clusterIP": "None", "clusterIPs": ["None"]}, {"clusterIP": "None", "type": "ClusterIP"}),
        (
            "another name",
            {"type": "ExternalName", "externalName": "db.example.com", "selector": None},
            {"type": "ExternalName", "externalName": "db.example.com"},
        ),
        ("a load balancer", {"type": "LoadBalancer", "loadBalancerClass": "x/y"}, {"type": "ClusterIP"}),
    ],
)
def test_w38_what_a_copy_is(title: str, spec: dict[str, Any], kept: dict[str, Any]) -> None:
    copied = TARGET.make_primary(CANARY, service(**spec), None, RECIPE)["spec"]
    assert {key: copied.get(key) for key in kept} == kept, title
    assert not copied.keys() & {"clusterIPs", "loadBalancerClass", "ipFamilies"}, title


def test_a_copy_that_is_right_is_left_and_a_promotion_keeps_its_address() -> None:
    body = of_canary(service())
    assert body is not None
    live = served(body)
    assert of_canary(service(), live) is None

    new = of_canary(service(selector={"app": "web", "version": "2"}), live)

    assert new is not None
    assert new["spec"]["selector"] == {"app": "web", "version": "2"}
    assert (new["spec"]["clusterIP"], new["metadata"]["resourceVersion"]) == ("10.0.0.9", "3141")


def test_a_primary_that_is_promoted_leads_where_its_target_does() -> None:
    first, second = service(), service(selector={"app": "web", "version": "2"})
    live = served(TARGET.make_primary(CANARY, first, None, RECIPE))
    assert TARGET.primary_state(CANARY, live, RECIPE).template == TARGET.state(first).template
    assert TARGET.primary_state(CANARY, live, RECIPE).template != TARGET.state(second).template

    promoted = TARGET.make_primary(CANARY, second, live, RECIPE)

    assert TARGET.primary_state(CANARY, promoted, RECIPE).template == TARGET.state(second).template


def test_a_service_says_with_its_content_alone_that_it_changed() -> None:
    state = TARGET.state(service())
    assert (state.uid, state.sleeps, state.replicas) == ("", False, 1)
    assert TARGET.state(service(clusterIP="10.0.0.8", healthCheckNodePort=3)).template == state.template


@pytest.mark.parametrize("role", [ServiceRole.APEX, ServiceRole.PRIMARY])
def test_the_users_service_is_never_written_and_the_primary_by_promotions_only(role: ServiceRole) -> None:
    facts = TARGET.facts(CANARY, service(), RULES, None)
    assert desired_service(CANARY, role, facts, service()) is None
    assert released_service(CANARY, service()) is None


def test_copies_that_flagger_made_become_ours() -> None:
    theirs = service()
    theirs["metadata"] = {**theirs["metadata"], "name": "web-primary", "ownerReferences": [FLAGGER_OWNER]}
    ours = TARGET.make_primary(CANARY, service(), theirs, RECIPE)
    assert "ownerReferences" not in ours["metadata"]


def test_a_strangers_service_of_a_copys_name_is_not_overwritten() -> None:
    stranger = service()
    stranger["metadata"]["name"] = "web-primary"
    with pytest.raises(UserError, match=r"Service web-primary was not made for a canary, so it is not overwritten"):
        TARGET.facts(CANARY, service(), RULES, stranger)


@pytest.mark.parametrize(
    ("subject", "spec", "says"),
    [
        (CANARY, {"selector": {}}, r"Service web has no selector, so copies of it would lead nowhere"),
        (
            canary(spec={"targetRef": NAMED}, service={"name": "front"}),
            {},
            r"spec.service.name is front, .*: remove spec.service.name\.",
        ),
    ],
)
def test_what_makes_no_sense_is_answered_in_a_sentence(subject: Any, spec: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        TARGET.facts(subject, service(**spec), RULES, None)


@pytest.mark.parametrize(("provider", "senseless"), [("kubernetes", True), ("contour", False)])
def test_a_provider_that_splits_nothing_goes_with_no_service(provider: str, senseless: bool) -> None:
    _, problems = choose_router(canary(spec={"targetRef": NAMED, "provider": provider}), "")
    assert any("cannot split users between two states of one" in problem for problem in problems) is senseless


def test_an_autoscaler_goes_with_no_service() -> None:
    ref = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "web"}
    _, problems = choose_target(canary(spec={"targetRef": NAMED, "autoscalerRef": ref}))
    assert problems == ("spec.autoscalerRef goes with no Service, whose pods are somebody else's business: remove it.",)
