"""What is asked for one verdict: of the canary, of its samples, and of the primary."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flaggerpy.api.analysis import CanaryMetric
from flaggerpy.metrics.mesh import OBSERVERS
from flaggerpy.metrics.queries import Measured, Queries, queries_of, window_of
from flaggerpy.metrics.query import QueryContext
from flaggerpy.rollout.checks import LEAST_WINDOW
from flaggerpy.rollout.errors import UserError

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def metric(name: str = "errors", **fields: Any) -> CanaryMetric:
    return CanaryMetric.model_validate({"name": name, **fields})


def measured(provider: str = "istio", interval: str = "1m") -> Measured:
    names: dict[str, Any] = {
        "name": "web",
        "namespace": "shop",
        "service": "web",
        "ingress": "web",
        "interval": interval,
    }
    return Measured(
        canary=QueryContext(target="web", route="web-2", **names),
        primary=QueryContext(target="web-primary", route="web-1", role="primary", **names),
        provider=provider,
    )


def test_a_metric_without_guards_asks_one_question() -> None:
    asked = queries_of(metric(), measured(), 'errors{app="{{ target }}"}[{{ interval }}]')

    assert asked == Queries('errors{app="web"}[1m]')


def test_samples_are_counted_by_the_metrics_own_query() -> None:
    counted = metric(minSamples=10, sampleQuery='hits{app="{{ target }}"}')

    assert queries_of(counted, measured(), "x") == Queries("x", 'hits{app="web"}')


def test_what_is_built_in_counts_the_requests_of_its_own_series() -> None:
    asked = queries_of(metric("request-duration", minSamples=10), measured("kubernetes"), None)

    assert asked.samples == (
        'sum(increase(http_request_duration_seconds_count{kubernetes_namespace="shop", '
        'kubernetes_pod_name=~"web-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)" }[1m]))'
    )
    assert asked.factor == 1000


@pytest.mark.parametrize("provider", ["nginx", "traefik", "skipper"])
def test_samples_of_every_other_row_are_those_of_its_success_rate(provider: str) -> None:
    asked = queries_of(metric("request-success-rate", minSamples=10), measured(provider), None)

    assert asked.samples is not None
    every = asked.samples.removeprefix("sum(increase(").removesuffix("))")
    assert asked.value.endswith(f"/ sum(rate({every})) * 100")


def test_the_primary_is_asked_the_same_with_its_own_names() -> None:
    fields: dict[str, Any] = {"compareTo": "primary", "minSamples": 5, "sampleQuery": "hits_{{ role }}"}
    asked = queries_of(metric(**fields), measured(), "{{ target }} of {{ service }}-{{ role }}")

    assert asked == Queries("web of web-canary", "hits_canary", "web-primary of web-primary", "hits_primary")


def test_a_query_that_is_the_same_for_the_primary_is_refused_with_what_to_write() -> None:
    with pytest.raises(UserError, match=r"compare the canary with itself.*\{\{ target \}\} or \{\{ role \}\}"):
        queries_of(metric(compareTo="primary"), measured(), 'errors{service="{{ service }}"}')


WHERE = {
    "istio": ('destination_workload=~"web"', 'destination_workload=~"web-primary"'),
    "linkerd": ('deployment=~"web"', 'deployment=~"web-primary"'),
    "osm": ('destination_name="web"', 'destination_name="web-primary"'),
    "kubernetes": ('kubernetes_pod_name=~"web-[', 'kubernetes_pod_name=~"web-primary-['),
    "appmesh": ('kubernetes_pod_name=~"web-[', 'kubernetes_pod_name=~"web-primary-['),
    "contour": ("shop_web-canary_", "shop_web-primary_"),
    "gloo": ("shop-web-canaryupstream-", "shop-web-primaryupstream-"),
    "kuma": ("web-canary_shop_svc", "web-primary_shop_svc"),
    "knative": ("shop/web-2", "shop/web-1"),
    "nginx": ('canary!=""', 'canary=""'),
    "traefik": ("shop-web-canary-", "shop-web-primary-"),
    "skipper": ("__web_canary(", "__web_primary("),
}
"""How each provider tells the canary's requests from the primary's."""


def test_every_provider_with_built_in_checks_is_in_the_table() -> None:
    assert {*WHERE, "http", "apisix"} == {*OBSERVERS, "kubernetes"}


@pytest.mark.parametrize("provider", WHERE)
@pytest.mark.parametrize("name", ["request-success-rate", "request-duration"])
def test_built_in_checks_ask_the_same_of_the_primary(provider: str, name: str) -> None:
    canary, primary = WHERE[provider]
    asked = queries_of(metric(name, compareTo="primary", minSamples=1), measured(provider), None)

    assert asked.primary == asked.value.replace(canary, primary) != asked.value
    assert asked.samples is not None
    assert asked.primary_samples == asked.samples.replace(canary, primary) != asked.samples


def test_requests_that_are_counted_together_cannot_be_compared() -> None:
    with pytest.raises(UserError, match="counts requests to primary and canary together"):
        queries_of(metric("request-success-rate", compareTo="primary"), measured("apisix"), None)


@pytest.mark.parametrize(
    ("title", "since", "window"),
    [
        ("a step that is older than the interval", timedelta(minutes=9), timedelta(minutes=5)),
        ("a younger one", timedelta(seconds=95.7), timedelta(seconds=95.7)),
        ("one that has just begun", timedelta(seconds=3), LEAST_WINDOW),
        ("a clock that went back", timedelta(seconds=-60), LEAST_WINDOW),
    ],
)
def test_a_window_looks_back_to_the_start_of_the_step(title: str, since: timedelta, window: timedelta) -> None:
    assert window_of(metric(interval="5m"), NOW - since, NOW) == window, title


def test_a_window_is_never_longer_than_the_interval() -> None:
    assert window_of(metric(interval="10s"), NOW, NOW) == timedelta(seconds=10)
    assert window_of(metric(interval="5m"), None, NOW) == timedelta(minutes=5)


def test_a_shorter_window_is_the_interval_of_every_query() -> None:
    fields: dict[str, Any] = {
        "interval": "5m",
        "compareTo": "primary",
        "minSamples": 5,
        "sampleQuery": "n{{ role }}[{{ interval }}]",
    }
    cut = measured(interval="5m").within(metric(**fields), timedelta(seconds=95.7))

    asked = queries_of(metric(**fields), cut, "{{ target }}[{{ interval }}]")

    assert asked == Queries("web[95s]", "ncanary[95s]", "web-primary[95s]", "nprimary[95s]")
    assert measured(interval="5m").within(metric(interval="5m"), timedelta(minutes=5)).canary.interval == "5m"
