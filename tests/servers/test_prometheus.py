"""The provider prometheus against Prometheus itself; its numbers come by OTLP, as the page of metric providers says."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from flaggerpy.api.templates import MetricTemplate, RangeQuery, parse_metric_template
from flaggerpy.kube.objects import JsonObject
from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.prometheus import Prometheus
from flaggerpy.metrics.query import QueryContext, render
from tests.servers.programs import attributes, export, prometheus

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metric-providers.md"
CHAPTER = PAGE.read_text(encoding="utf-8").partition("\n## OpenTelemetry\n")[2]
MINUTE = timedelta(minutes=1)
STEP = 15
"""Seconds between two exports."""
EXPORTS = 5
SERIES = "http_server_request_duration_seconds_count"


def shown(words: str) -> JsonObject:
    """Return the manifest or the settings of the page that have these words in them."""
    blocks = re.findall(r"^( *)```yaml\n(.*?)^\1```", CHAPTER, re.MULTILINE | re.DOTALL)
    (found,) = (block for _, block in blocks if words in block)
    read: JsonObject = yaml.safe_load(found)
    return read


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prometheus(tmp_path_factory.mktemp("prometheus"), shown("promote_resource_attributes")) as address:
        now = int(time.time())
        for number in range(EXPORTS):
            export(address, *exported(number, now - STEP * (EXPORTS - 1 - number), now - STEP * EXPORTS))
        yield address


def exported(number: int, at: int, since: int) -> list[JsonObject]:
    """Write an export of two Deployments: of the canary's requests one in ten fails, of the primary's none does."""
    return [
        resource("web", at, since, {200: 90 * number, 500: 10 * number}),
        resource("web-primary", at, since, {200: 900 * number}),
    ]


def resource(deployment: str, at: int, since: int, counts: dict[int, int]) -> JsonObject:
    """Write the histogram of one Deployment as OTLP has it in JSON; all of its requests took less than 0.1 s."""
    points = [
        {
            "attributes": attributes({"http.response.status_code": str(status)}),
            "startTimeUnixNano": f"{since}000000000",
            "timeUnixNano": f"{at}000000000",
            "count": str(count),
            "sum": 0.05 * count,
            "explicitBounds": [0.1, 1],
            "bucketCounts": [str(count), "0", "0"],
        }
        for status, count in counts.items()
    ]
    histogram = {"aggregationTemporality": 2, "dataPoints": points}
    metric = {"name": "http.server.request.duration", "unit": "s", "histogram": histogram}
    whose = {"service.name": "web", "k8s.namespace.name": "shop", "k8s.deployment.name": deployment}
    return {"resource": {"attributes": attributes(whose)}, "scopeMetrics": [{"metrics": [metric]}]}


async def measured(url: str, query: str, **settings: Any) -> Outcome:
    async with Outbound(trust_env=False) as outbound:
        return await Prometheus(ProviderSettings("prometheus", url, **settings), outbound).measure(query, MINUTE)


@pytest.mark.parametrize(("target", "rate"), [("web", 10.0), ("web-primary", 0.0)])
async def test_what_the_page_shows_measures_what_opentelemetry_exported(url: str, target: str, rate: float) -> None:
    template: MetricTemplate = parse_metric_template(shown("kind: MetricTemplate"))
    query = render(template.spec.query, QueryContext("web", "shop", target, interval="1m"))

    found = await measured(url, query)

    assert isinstance(found, Value)
    assert found.value == pytest.approx(rate)


@pytest.mark.parametrize(
    ("query", "outcome"),
    [
        pytest.param("vector(1)", Value(1.0), id="a vector"),
        pytest.param("scalar(vector(2))", Value(2.0), id="a scalar"),
        pytest.param("vector(1) / 0", Value(float("inf")), id="infinity"),
        pytest.param("vector(0) / 0", NoData(), id="NaN"),
        pytest.param("sum(nothing)", NoData(), id="nothing there"),
        pytest.param(f"sum({SERIES}) # of all", Value(4.0 * 1000), id="a sum, and a remark"),
        pytest.param(SERIES, "gives 3 series where one is needed: aggregate them", id="several series"),
        pytest.param(f"sum(rate({SERIES}[1m]))[1m:15s]", "gives a matrix where one value is needed", id="a range"),
        pytest.param('"up"', "gives a string where one value is needed", id="a text"),
        pytest.param(f"sum({SERIES}", "parse error", id="a mistake"),
        pytest.param(f"{SERIES} + on() {SERIES}", "found duplicate series", id="what cannot be evaluated"),
    ],
)
async def test_what_is_asked_is_answered(url: str, query: str, outcome: Outcome | str) -> None:
    found = await measured(url, query)

    if isinstance(outcome, str):
        assert isinstance(found, BadQuery | ProviderError)
        assert outcome in found.reason
    else:
        assert found == outcome


async def test_a_range_is_made_one_value(url: str) -> None:
    wanted = RangeQuery.model_validate({"window": "2m", "step": "5s", "aggregator": "max"})

    assert await measured(url, f"sum({SERIES})", range_query=wanted) == Value(4.0 * 1000)
    assert await measured(url, "sum(nothing)", range_query=wanted) == NoData()


async def test_a_path_where_nothing_is_says_so(url: str) -> None:
    found = await measured(f"{url}/prometheus", "vector(1)")

    assert isinstance(found, ProviderError)
    assert "it answered 404" in found.reason
