"""The built-in checks against Prometheus itself, which has what each proxy counts, in its own names and labels.

A canary of which one request in ten fails and one in twenty is slow, a primary that is well and has most of the users,
and strangers of the same names in another namespace, who are not.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import pytest

from flaggerpy.api.analysis import REQUEST_DURATION, SUCCESS_RATE
from flaggerpy.kube.objects import JsonObject
from flaggerpy.metrics.base import ProviderSettings, Value
from flaggerpy.metrics.mesh import OBSERVERS, TargetKind, builtin_query, builtin_samples
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.prometheus import Prometheus
from flaggerpy.metrics.query import QueryContext, Role
from tests.servers.programs import attributes, export, prometheus

MINUTE: Final = timedelta(minutes=1)
STEP: Final = 15
"""Seconds between two exports."""
EXPORTS: Final = 5
BOUNDS: Final = (0.1, 0.5)
"""Of the histograms, in seconds."""

Labels = dict[str, str]
Series = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True)
class Requests:
    """What one workload answers between two exports."""

    good: int
    bad: int = 0
    slow: int = 0
    """Of the good ones, those that took between the two bounds; the others took less than the first."""
    mean: float = 0.01
    """Seconds."""


MIX: Final = {"canary": Requests(90, 10, 5, 0.05), "primary": Requests(900)}
STRANGE: Final = Requests(0, 5000, mean=9.0)
EXPECTED: Final = {
    ("canary", False): (90.0, 100 + 400 * (99 - 95) / 5, 400),
    ("canary", True): (90.0, 50.0, 400),
    ("primary", False): (100.0, 99.0, 3600),
    ("primary", True): (100.0, 10.0, 3600),
    ("mixture", False): (99.0, 100 * 990 / 995, 4000),
}
"""Per cent that succeeded, the 99th percentile or the mean in milliseconds, requests in a minute."""


@dataclass(frozen=True)
class Proxy:
    """How one proxy counts.

    Attributes:
        provider: a provider behind which it is.
        labels: whose request it was, by namespace and role.
        code: the label that tells failures, and what it says of good and of bad requests.
        twice: labels by which series differ that count the same requests once more, somewhere else.
        timed_labels: what series of time have beside.
        in_seconds: whether bounds and sums are seconds; milliseconds otherwise.

    """

    provider: str
    labels: Callable[[str, str], Labels]
    code: tuple[str, str, str]
    twice: Mapping[str, str] = field(default_factory=dict)
    timed_labels: Mapping[str, str] = field(default_factory=dict)
    in_seconds: bool = False
    kind: TargetKind = "Deployment"


def _workload(role: str) -> str:
    return "web" if role == "canary" else "web-primary"


def _pod(namespace: str, role: str) -> Labels:
    return {"kubernetes_namespace": namespace, "kubernetes_pod_name": f"{_workload(role)}-7c9f4d5b6-x2x9k"}


_OF_ENVOY = ("envoy_response_code", "200", "503")
PROXIES: Final = {
    "istio": Proxy(
        "istio",
        lambda namespace, role: {
            "reporter": "destination",
            "destination_workload_namespace": namespace,
            "destination_workload": _workload(role),
        },
        ("response_code", "200", "503"),
        twice={"reporter": "source"},
    ),
    "linkerd": Proxy(
        "linkerd",
        lambda namespace, role: {"namespace": namespace, "deployment": _workload(role), "direction": "inbound"},
        ("classification", "success", "failure"),
        twice={"direction": "outbound"},
    ),
    "osm": Proxy(
        "osm",
        lambda namespace, role: {
            "destination_namespace": namespace,
            "destination_kind": "Deployment",
            "destination_name": _workload(role),
        },
        ("response_code", "200", "503"),
    ),
    "appmesh": Proxy("appmesh:v1beta2", _pod, _OF_ENVOY),
    "http": Proxy("kubernetes", _pod, ("status", "200", "503"), in_seconds=True),
    "contour": Proxy(
        "contour", lambda namespace, role: {"envoy_cluster_name": f"{namespace}_web-{role}_80"}, _OF_ENVOY
    ),
    "gloo": Proxy(
        "gloo",
        lambda namespace, role: {"envoy_cluster_name": f"{namespace}-web-{role}upstream-80_{namespace}"},
        _OF_ENVOY,
    ),
    "kuma": Proxy("kuma", lambda namespace, role: {"service": f"web-{role}_{namespace}_svc_80"}, _OF_ENVOY),
    "knative": Proxy(
        "knative",
        lambda namespace, role: {"envoy_cluster_name": f"{namespace}/{_revision(role)}"},
        _OF_ENVOY,
        kind="KnativeService",
    ),
    "nginx": Proxy(
        "nginx",
        lambda namespace, role: {
            "namespace": namespace,
            "ingress": "web",
            "canary": f"{namespace}-web-canary-80" if role == "canary" else "",
        },
        ("status", "200", "503"),
        in_seconds=True,
    ),
    "traefik": Proxy(
        "traefik",
        lambda namespace, role: {"service": f"{namespace}-web-{role}-80@kubernetescrd"},
        ("code", "200", "503"),
        in_seconds=True,
    ),
    # One route leads to both, so what is counted is the mixture.
    "apisix": Proxy(
        "apisix",
        lambda namespace, role: {"route": f"{namespace}_web-web-canary_method", "node": f"10.0.0.{len(role)}"},
        ("code", "200", "503"),
        timed_labels={"type": "request"},
    ),
    "skipper": Proxy(
        "skipper",
        lambda namespace, role: {"route": f"kube_{namespace}__web_canary__shop_example_com____web_{role}"},
        ("code", "200", "503"),
        in_seconds=True,
    ),
}
"""By row of the table of built-in checks."""


def _revision(role: str) -> str:
    return "web-00002" if role == "canary" else "web-00001"


def grown(row: str, namespace: str, role: str, requests: Requests, **instead: str) -> dict[Series, float]:
    """Return by how much each series of a workload grows between two exports, with other labels ``instead``."""
    proxy, observer = PROXIES[row], OBSERVERS[row]
    found = defaultdict[Series, float](float)

    def add(name: str, count: float, **labels: str) -> None:
        found[name, frozenset(labels.items())] += count

    def add_buckets(name: str, fast: int, count: int, labels: Labels) -> None:
        bounds = [f"{bound if proxy.in_seconds else 1000 * bound:g}" for bound in BOUNDS]
        for bound, value in zip([*bounds, "+Inf"], [fast, count, count], strict=True):
            add(name, value, **labels, le=bound)

    name, good, bad = proxy.code
    for code, count, slow in ((good, requests.good, requests.slow), (bad, requests.bad, 0)):
        labels = {**proxy.labels(namespace, role), name: code, **instead}
        for series in dict.fromkeys((observer.counted, observer.timed)):
            timed = {**labels, **(proxy.timed_labels if series == observer.timed else {})}
            if series.endswith("_bucket"):
                add_buckets(series, count - slow, count, timed)
            elif series == observer.timed:
                add(f"{series}_sum", count * requests.mean, **timed)
                add(f"{series}_count", count, **timed)
            else:
                add(series, count, **timed)
    return found


def everything() -> dict[Series, float]:
    """Return the series of all proxies, and of what must not be counted."""
    found = defaultdict[Series, float](float)
    for row, proxy in PROXIES.items():
        for role, requests in MIX.items():
            parts = [grown(row, "shop", role, requests), grown(row, "other", role, STRANGE)]
            parts += [grown(row, "shop", role, STRANGE, **proxy.twice)] if proxy.twice else []
            for part in parts:
                for series, count in part.items():
                    found[series] += count
    return found


def exported(growth: Mapping[Series, float], number: int, at: int) -> JsonObject:
    """Write an export of all series as they are by then: gauges keep their names, whatever those end with."""
    metrics = [
        {
            "name": name,
            "gauge": {
                "dataPoints": [
                    {
                        "attributes": attributes(dict(labels)),
                        "timeUnixNano": f"{at}000000000",
                        "asDouble": number * growth[name, labels],
                    }
                ]
            },
        }
        for name, labels in growth
    ]
    return {"resource": {}, "scopeMetrics": [{"metrics": metrics}]}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prometheus(
        tmp_path_factory.mktemp("prometheus"), {"storage": {"tsdb": {"out_of_order_time_window": "5m"}}}
    ) as address:
        now, growth = int(time.time()), everything()
        for number in range(EXPORTS):
            export(address, exported(growth, number, now - STEP * (EXPORTS - 1 - number)))
        yield address


async def asked(url: str, query: str) -> float:
    async with Outbound(trust_env=False) as outbound:
        found = await Prometheus(ProviderSettings("prometheus", url), outbound).measure(query, MINUTE)
    assert isinstance(found, Value), found
    return found.value


def context(row: str, role: Role) -> QueryContext:
    """Return the names that a query may use."""
    route = _revision(role) if row == "knative" else "web"
    return QueryContext("web", "shop", _workload(role), "web", "web", route, "1m", role=role)


def test_every_row_of_the_table_has_series() -> None:
    assert PROXIES.keys() == OBSERVERS.keys()


APART = [row for row in PROXIES if not OBSERVERS[row].undivided]
WHOSE = [*((row, role) for row in APART for role in MIX), *((row, "mixture") for row in PROXIES if row not in APART)]


@pytest.mark.parametrize(("row", "whose"), WHOSE)
async def test_a_built_in_check_measures_what_the_proxy_counted(url: str, row: str, whose: str) -> None:
    proxy, average = PROXIES[row], OBSERVERS[row].average
    role: Role = "primary" if whose == "primary" else "canary"
    success = builtin_query(SUCCESS_RATE, proxy.provider, proxy.kind, context(row, role))
    duration = builtin_query(REQUEST_DURATION, proxy.provider, proxy.kind, context(row, role))
    samples = builtin_samples(SUCCESS_RATE, proxy.provider, proxy.kind, context(row, role))

    rate, milliseconds, requests = EXPECTED[whose, average]
    assert await asked(url, success.text) * success.factor == pytest.approx(rate)
    assert await asked(url, duration.text) * duration.factor == pytest.approx(milliseconds)
    assert await asked(url, samples) == pytest.approx(requests, rel=0.2), "four exports' worth, by extrapolation"
