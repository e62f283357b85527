from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flaggerpy.api.analysis import CanaryMetric
from flaggerpy.metrics.counters import Counters, counters_of, grown
from flaggerpy.metrics.mesh import OBSERVERS, TargetKind, builtin_query
from flaggerpy.metrics.queries import Measured
from flaggerpy.metrics.query import QueryContext
from flaggerpy.rollout.errors import UserError

THEN = datetime(2026, 11, 27, 21, 0, 0, 250_000, tzinfo=UTC)
NOW = THEN + timedelta(minutes=1)


def test_growth_is_asked_between_two_moments_in_milliseconds() -> None:
    assert grown('requests_total{code="500"}', THEN, NOW, 'requests_total{app="old"}') == (
        'sum((requests_total{code="500"} @ 1795813260.250 - (requests_total{code="500"} @ 1795813200.250 or '
        'requests_total{code="500"} @ 1795813260.250 * 0)) >= 0 or requests_total{code="500"} @ 1795813260.250)'
        ' and on() requests_total{app="old"} @ 1795813200.250'
    )


def metric(**fields: Any) -> CanaryMetric:
    return CanaryMetric.model_validate({"name": "errors", "sequential": fields})


def measured(provider: str = "kubernetes", kind: TargetKind = "Deployment") -> Measured:
    canary = QueryContext("web", "shop", "web", service="web")
    return Measured(canary, replace(canary, target="web-primary", role="primary"), provider, kind)


def test_counters_are_those_of_canary_and_primary() -> None:
    assert counters_of(
        metric(good='ok{app="{{ target }}"}', total='all{svc="web-{{ role }}"}'), measured()
    ) == Counters(
        good='ok{app="web"}',
        total='all{svc="web-canary"}',
        primary_good='ok{app="web-primary"}',
        primary_total='all{svc="web-primary"}',
    )


@pytest.mark.parametrize("provider", ["kubernetes", *sorted(set(OBSERVERS) - {"apisix", "http"})])
def test_the_success_rate_counts_what_its_query_counts_behind_every_provider(provider: str) -> None:
    rate = CanaryMetric.model_validate({"name": "request-success-rate", "sequential": {}})
    counters, whose = counters_of(rate, measured(provider)), measured(provider)
    for good, total, context in (
        (counters.good, counters.total, whose.canary),
        (counters.primary_good, counters.primary_total, whose.primary),
    ):
        text = builtin_query("request-success-rate", provider, "Deployment", context).text
        assert text == f"sum(rate({good}[1m])) / sum(rate({total}[1m])) * 100"


@pytest.mark.parametrize(
    ("fields", "provider", "says"),
    [
        ({"name": "request-success-rate", "sequential": {}}, "apisix", "remove compareTo or sequential"),
        ({"name": "errors", "sequential": {"good": "ok", "total": 'all{app="{{ target }}"}'}}, "kubernetes", "itself"),
        ({"name": "errors", "sequential": {"good": 'ok{app="{{ target }}"}', "total": "all"}}, "kubernetes", "itself"),
        ({"name": "errors", "sequential": {"good": "{{ goal }}", "total": "all"}}, "kubernetes", "not supported"),
        ({"name": "errors", "sequential": {}}, "kubernetes", "Nothing says which counters"),
    ],
)
def test_counters_that_cannot_be_compared_are_told(fields: dict[str, Any], provider: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        counters_of(CanaryMetric.model_validate(fields), measured(provider))
