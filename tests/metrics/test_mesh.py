from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flaggerpy.api.analysis import REQUEST_DURATION, SUCCESS_RATE
from flaggerpy.metrics.mesh import OBSERVERS, TargetKind, builtin_query, observer_for
from flaggerpy.metrics.query import QueryContext
from flaggerpy.rollout.errors import UserError

RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "builtin-queries.json").read_text())


def context(recorded: dict[str, Any], interval: str) -> QueryContext:
    return QueryContext(
        name="podinfo",
        namespace=recorded["namespace"],
        target=recorded["target"],
        service=recorded["service"],
        ingress=recorded["ingress"],
        route=recorded["route"],
        interval=interval,
    )


def canonical(query: str) -> str:
    """Write a query without blanks and with the matchers of every selector in order."""
    tight = re.sub(r"\s+", "", query)

    def ordered(selector: re.Match[str]) -> str:
        matchers = re.findall(r'\w+(?:=~|!~|!=|=)"[^"]*"', selector[0])
        assert len(",".join(matchers)) == len(selector[0].strip("{},")), selector[0]
        return "{" + ",".join(sorted(matchers)) + "}"

    return re.sub(r'\{(?:[^"{}]|"[^"]*")*\}', ordered, tight)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: str(recorded["provider"]))
def test_builtin_queries_are_flaggers(recorded: dict[str, Any]) -> None:
    success = builtin_query(SUCCESS_RATE, recorded["provider"], "Deployment", context(recorded, "1m"))
    duration = builtin_query(REQUEST_DURATION, recorded["provider"], "Deployment", context(recorded, "30s"))

    assert canonical(success.text) == canonical(recorded["success"])
    assert canonical(duration.text) == canonical(recorded["duration"])
    assert success.factor == 1


@pytest.mark.parametrize(
    ("provider", "factor"),
    [("kubernetes", 1000), ("gatewayapi:v1", 1000), ("contour", 1), ("nginx", 1), ("traefik", 1), ("istio", 1)],
)
def test_durations_become_milliseconds_either_in_the_query_or_by_a_factor(provider: str, factor: int) -> None:
    query = builtin_query(REQUEST_DURATION, provider, "Deployment", QueryContext("c", "n", "web"))

    assert query.factor == factor
    assert query.text.endswith("* 1000") == (provider in {"nginx", "traefik"})


def pods_matched(kind: TargetKind, provider: str, *pods: str) -> set[str]:
    query = builtin_query(SUCCESS_RATE, provider, kind, QueryContext("c", "n", "web"))
    pattern = re.search(r'kubernetes_pod_name=~"([^"]*)"', query.text)
    assert pattern is not None
    return {pod for pod in pods if re.fullmatch(pattern[1], pod)}


@pytest.mark.parametrize("provider", ["kubernetes", "gatewayapi:v1", "appmesh:v1beta2"])
def test_w50_the_canarys_pods_are_judged_and_not_the_primarys(provider: str) -> None:
    deployment = pods_matched(
        "Deployment", provider, "web-7c9f4d5b6-x2x9k", "web-primary-7c9f4d5b6-x2x9k", "web2-7c9f4d5b6-x2x9k"
    )
    daemon_set = pods_matched("DaemonSet", provider, "web-x2x9k", "web-primary-x2x9k", "web2-x2x9k")

    assert deployment == {"web-7c9f4d5b6-x2x9k"}
    assert daemon_set == {"web-x2x9k"}


@dataclass(frozen=True)
class Named:
    """What the data plane calls the canary when Service and target have different names."""

    provider: str
    label: str
    series: str
    context: QueryContext = field(default=QueryContext("c", "shop", "web", service="front", route="way"))


@pytest.mark.parametrize(
    "named",
    [
        Named("kuma", "service", "front-canary_shop_svc_8080"),
        Named("traefik", "service", "shop-front-canary-8080@kubernetescrd"),
        Named("gloo", "envoy_cluster_name", "shop-front-canaryupstream-8080_gloo-system"),
        Named("apisix", "route", "shop_way-front-canary_rule1"),
        Named("contour", "envoy_cluster_name", "shop_front-canary_8080"),
    ],
    ids=lambda named: named.provider,
)
def test_w56_series_named_after_the_service_are_found_when_its_name_differs_from_the_targets(named: Named) -> None:
    query = builtin_query(SUCCESS_RATE, named.provider, "Deployment", named.context)

    patterns = re.findall(rf'{named.label}=~"([^"]*)"', query.text)
    assert len(patterns) == 2
    assert all(re.fullmatch(pattern, named.series) for pattern in patterns)


def test_a_dot_in_a_name_matches_only_a_dot() -> None:
    query = builtin_query(SUCCESS_RATE, "istio", "Deployment", QueryContext("c", "n", "my.app"))

    pattern = re.search(r'destination_workload=~"([^"]*)"', query.text)
    assert pattern is not None
    assert re.fullmatch(pattern[1], "my.app")
    assert not re.fullmatch(pattern[1], "myxapp")


@pytest.mark.parametrize(
    ("provider", "row"),
    [
        ("appmesh", "appmesh"),
        ("appmesh:v1beta2", "appmesh"),
        ("gloo", "gloo"),
        ("gatewayapi", "http"),
        ("gatewayapi:v1beta1", "http"),
        ("kubernetes", "http"),
        ("smi:v1alpha1", "istio"),
        ("smi:v1alpha1:istio", "istio"),
        ("smi:v1alpha1:linkerd", "linkerd"),
        ("knative", "knative"),
        ("osm", "osm"),
    ],
)
def test_each_provider_has_its_row(provider: str, row: str) -> None:
    assert observer_for(provider) is OBSERVERS[row]


def test_an_unknown_provider_is_a_mistake_that_names_the_known_ones() -> None:
    with pytest.raises(UserError, match=r'provider "itsio"; they exist for apisix, appmesh, contour, .*kubernetes'):
        observer_for("itsio")


@pytest.mark.parametrize("provider", ["contour", "gloo", "kuma", "traefik", "apisix", "nginx", "skipper"])
def test_w51_a_plain_service_is_measured_by_its_own_provider(provider: str) -> None:
    context = QueryContext("c", "n", "web")

    query = builtin_query(SUCCESS_RATE, provider, "Service", context)

    assert query == builtin_query(SUCCESS_RATE, provider, "Deployment", context)
    assert query.text != builtin_query(SUCCESS_RATE, "istio", "Service", context).text


@pytest.mark.parametrize("provider", ["kubernetes", "gatewayapi:v1", "appmesh:v1beta2"])
def test_a_plain_service_has_no_pods_to_find_requests_by(provider: str) -> None:
    with pytest.raises(UserError, match="a Service target does not tell: use a templateRef"):
        builtin_query(SUCCESS_RATE, provider, "Service", QueryContext("c", "n", "web"))
