"""What of a canary is served, and the sentences about the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flaggerpy.api.analysis import CanaryMetric
from flaggerpy.api.canary import Canary
from flaggerpy.api.templates import parse_metric_template
from flaggerpy.controller.served import (
    builtin_problem,
    choose_router,
    provider_of,
    sequential_problem,
    template_problem,
    unserved,
)
from flaggerpy.rollout.traffic import Capabilities
from flaggerpy.routers.gatewayapi import GatewayApiRouter
from flaggerpy.routers.istio import IstioRouter
from flaggerpy.settings import Settings
from tests.builders import ab_test, blue_green, canary, metric

GATEWAYS = {"gatewayRefs": [{"name": "public"}]}
EVERYTHING = Capabilities(weights=True, match=True, mirror=True, affinity=True)


@pytest.mark.parametrize(("own", "default"), [("gatewayapi:v1", ""), (None, "gatewayapi:v1")])
def test_the_provider_is_the_canarys_own_or_the_controllers(own: str | None, default: str) -> None:
    router, problems = choose_router(canary(spec={"provider": own}, service=GATEWAYS), default)
    assert isinstance(router, GatewayApiRouter)
    assert problems == ()


@pytest.mark.parametrize(
    ("spec", "default", "says"),
    [
        ({}, "", "spec.provider is missing: name the provider"),
        ({"provider": "nonsense"}, "kubernetes", "Provider nonsense is unknown"),
        ({"provider": "gatewayapi:v1"}, "", "spec.service.gatewayRefs is empty"),
    ],
)
def test_a_provider_that_cannot_serve_the_canary_says_why(spec: dict[str, Any], default: str, says: str) -> None:
    _, [problem] = choose_router(canary(spec=spec), default)
    assert problem.startswith(says)


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (ab_test(), "spec.analysis.match cannot be served by provider skipper, which cannot choose users"),
        (canary(analysis={"sessionAffinity": {"cookieName": "c"}}), "spec.analysis.sessionAffinity cannot be served"),
        (
            canary(analysis={"match": [{"headers": {"x-user": {"exact": "me"}}}], "matchFirst": True}),
            "spec.analysis.matchFirst cannot be served by provider skipper, which cannot choose users",
        ),
    ],
)
def test_what_would_harm_users_is_refused(one: Canary, says: str) -> None:
    on = {"provider": "skipper", "ingressRef": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "web"}}
    spec = one.spec.model_dump(by_alias=True, exclude_none=True) | on
    _, [problem] = choose_router(one.model_copy(update={"spec": type(one.spec).model_validate(spec)}), "")
    assert problem.startswith(says)


def test_a_canary_that_names_no_provider_has_istio_as_with_flagger() -> None:
    router, problems = choose_router(canary(), Settings().mesh_provider)
    assert isinstance(router, IstioRouter)
    assert problems == ()


def test_what_a_provider_cannot_do_is_told() -> None:
    assert list(unserved("p", Capabilities(), blue_green().analysis)) == []
    assert [said.split(" when")[0] for said in unserved("p", Capabilities(), canary().analysis)] == [
        "Progressive traffic is not supported"
    ]
    assert [said.split(" when")[0] for said in unserved("p", Capabilities(), ab_test().analysis)] == [
        "A/B testing is not supported"
    ]
    assert list(unserved("p", EVERYTHING, ab_test().analysis)) == []
    undivided = replace(EVERYTHING, whole_audience=True)
    assert list(unserved("p", undivided, ab_test().analysis)) == []
    in_steps = ab_test(stepWeightPromotion=40).analysis
    assert list(unserved("p", EVERYTHING, in_steps)) == []
    [said] = unserved("p", undivided, in_steps)
    assert said.startswith("spec.analysis.stepWeightPromotion has no effect in an A/B test when using the p provider")


@pytest.mark.parametrize(("query", "says"), [("{{ variables.code }}", None), ("{{ variables.day }}", 'has no "day"')])
def test_a_template_is_tried_with_the_canarys_own_variables(query: str, says: str | None) -> None:
    template = parse_metric_template(
        {
            "metadata": {"name": "hits"},
            "spec": {"provider": {"type": "prometheus", "address": "http://p"}, "query": query},
        }
    )
    problem = template_problem(canary(), metric("hits", template_variables={"code": "200"}), template)
    assert problem is None if says is None else says in (problem or "")


@pytest.mark.parametrize(
    ("provider", "query", "says"),
    [
        ({"type": "prometheus"}, "up", "its address must begin with http:// or https://"),
        ({"type": "datadog"}, "up", "Datadog needs credentials: name a Secret"),
        ({"type": "datadog", "secretRef": {"name": "elsewhere"}}, "up", None),
        ({"type": "web", "address": "http://x"}, "up", "begins with / or ?"),
        ({"type": "web", "address": "http://x", "web": {"jsonPath": "$..x"}}, "/up", "is not understood"),
        ({"type": "web", "address": "http://x", "web": {"jsonPath": "{{ x }}"}}, "/up", "which is not supported"),
        ({"type": "keptn", "address": "http://x"}, "up", "its project has ended"),
    ],
)
def test_a_template_whose_provider_cannot_be_asked_is_found_before_a_rollout(
    provider: dict[str, Any], query: str, says: str | None
) -> None:
    template = parse_metric_template({"metadata": {"name": "hits"}, "spec": {"provider": provider, "query": query}})
    problem = template_problem(canary(), metric("hits"), template)
    assert problem is None if says is None else says in (problem or "")


@pytest.mark.parametrize(
    ("kind", "provider", "name", "says"),
    [
        ("Service", "gatewayapi:v1", "request-success-rate", "use a templateRef instead"),
        ("Service", "contour", "request-success-rate", ""),
        ("Deployment", "gatewayapi:v1", "request-duration", ""),
        ("Service", "gatewayapi:v1", "mine", ""),
        ("Service", "skipper", "request-duration", ""),
        ("Deployment", "alb", "request-success-rate", "with what the workload or a mesh counts"),
        ("Deployment", "alb", "mine", ""),
    ],
)
def test_a_built_in_check_that_could_never_be_measured_is_told(kind: str, provider: str, name: str, says: str) -> None:
    one = canary(spec={"provider": provider, "targetRef": {"apiVersion": "v1", "kind": kind, "name": "web"}})
    said = builtin_problem(one, metric(name, query="" if name.startswith("request") else "x"), "")
    assert (said or "").endswith(f"{says}." if says else "")
    skipping = canary(spec={**one.spec.model_dump(by_alias=True), "skipAnalysis": True})
    assert builtin_problem(skipping, metric(name), "") is None


@pytest.mark.parametrize(
    ("own", "controllers", "provider"),
    [
        (None, "istio", "istio"),
        ("gatewayapi:v1", "istio", "gatewayapi:v1"),
        ("kubernetes", "smi:v1alpha1:linkerd", "linkerd"),
        (None, "", ""),
    ],
)
def test_the_canarys_provider_wins_but_for_linkerd(own: str | None, controllers: str, provider: str) -> None:
    assert provider_of(canary(spec={"provider": own}), controllers) == provider


COUNTERS = {"good": 'ok{app="{{ target }}"}', "total": 'all{app="{{ target }}"}'}


@pytest.mark.parametrize(
    ("name", "provider", "sequential", "says"),
    [
        ("request-success-rate", "istio", {}, None),
        ("request-success-rate", "apisix", {}, "counts requests to primary and canary together"),
        ("request-success-rate", "", {}, None),
        ("request-success-rate", "unheard-of", {}, None),
        ("errors", "", COUNTERS, None),
        ("errors", "", {"good": "ok"}, None),
        ("errors", "", COUNTERS | {"total": "all"}, "would compare the canary with itself"),
    ],
)
def test_counters_of_a_test_that_could_never_be_read_are_told_before_a_rollout(
    name: str, provider: str, sequential: dict[str, Any], says: str | None
) -> None:
    one = canary(spec={"provider": provider} if provider else {})
    tested = CanaryMetric.model_validate({"name": name, "sequential": sequential})
    said = sequential_problem(one, tested, "")
    assert said is None if says is None else says in (said or "")
    assert sequential_problem(canary(spec={"skipAnalysis": True, "provider": "apisix"}), tested, "") is None


def test_a_test_needs_a_template_that_has_counters() -> None:
    tested = CanaryMetric.model_validate({"name": "errors", "templateRef": {"name": "t"}, "sequential": COUNTERS})
    kinds = {"prometheus": None, "graphite": "use a MetricTemplate of type prometheus"}
    for kind, says in kinds.items():
        template = parse_metric_template(
            {"metadata": {"name": "t"}, "spec": {"provider": {"type": kind, "address": "http://m/"}, "query": "x"}}
        )
        said = template_problem(canary(), tested, template)
        assert said is None if says is None else says in (said or "")
