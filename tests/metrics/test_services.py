"""What Datadog, New Relic, Dynatrace and Splunk are asked, and what their users can get wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.metrics.base import BadQuery, MetricProvider, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.datadog import Datadog
from flaggerpy.metrics.dynatrace import Dynatrace
from flaggerpy.metrics.newrelic import NewRelic, since
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.splunk import Splunk, parse
from flaggerpy.rollout.errors import UserError
from tests.kube.clocks import START, ManualClock
from tests.metrics.faults import datadog, dynatrace, newrelic, splunk
from tests.metrics.faults.case import Case, says
from tests.metrics.loopback import Loopback

TWO_MINUTES = timedelta(minutes=2)
NOW = START.timestamp()


async def test_datadog_is_asked_for_the_interval_and_a_minute_that_points_take(
    server: Loopback, outbound: Outbound
) -> None:
    server.says(datadog.CASE.success)
    provider = Datadog(datadog.CASE.settings(f"{server.url}/"), outbound, clock=ManualClock())

    assert await provider.measure(" avg:x{a:b} \n", TWO_MINUTES) == Value(0.25)

    (asked,) = server.asked
    assert (asked.method, asked.path) == ("GET", "/api/v1/query")
    assert asked.query == {"query": "avg:x{a:b}", "from": f"{NOW - 180:.0f}", "to": f"{NOW:.0f}"}


async def test_dynatrace_is_asked_for_one_value_of_the_interval_and_two_minutes_that_points_take(
    server: Loopback, outbound: Outbound
) -> None:
    server.says(dynatrace.CASE.success)
    provider = Dynatrace(dynatrace.CASE.settings(f"{server.url}/e/abc"), outbound, clock=ManualClock())

    assert await provider.measure("builtin:x:avg", TWO_MINUTES) == Value(0.25)

    (asked,) = server.asked
    assert (asked.method, asked.path) == ("GET", "/e/abc/api/v2/metrics/query")
    assert asked.query == {
        "metricSelector": "builtin:x:avg",
        "resolution": "Inf",
        "from": f"{(NOW - 240) * 1000:.0f}",
        "to": f"{NOW * 1000:.0f}",
    }


async def test_new_relic_is_asked_for_the_interval(server: Loopback, outbound: Outbound) -> None:
    server.says(newrelic.CASE.success)

    assert await NewRelic(newrelic.CASE.settings(server.url), outbound).measure("SELECT 1", TWO_MINUTES) == Value(0.25)

    (asked,) = server.asked
    assert (asked.method, asked.path) == ("GET", "/v1/accounts/planted-20091/query")
    assert asked.query == {"nrql": "SELECT 1 SINCE 120 seconds ago"}


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("SELECT count(*) FROM T", "SELECT count(*) FROM T SINCE 120 seconds ago"),
        ("SELECT count(*) FROM T since 5 minutes ago", "SELECT count(*) FROM T since 5 minutes ago"),
        ("SELECT 1 FROM T WHERE a = 'since'", "SELECT 1 FROM T WHERE a = 'since' SINCE 120 seconds ago"),
        ("SELECT sinces FROM T", "SELECT sinces FROM T SINCE 120 seconds ago"),
    ],
)
def test_a_query_that_names_its_time_keeps_it(query: str, sent: str) -> None:
    assert since(query, TWO_MINUTES) == sent


@pytest.mark.parametrize(
    "result", [{"result": 0.5}, {"count": 0.5}, {"average.duration": "0.5"}, {"percentiles": {"95": 0.5}}]
)
async def test_new_relics_functions_have_names_of_their_own(
    server: Loopback, outbound: Outbound, result: dict[str, Any]
) -> None:
    server.says(says({"results": [result]}))

    assert await NewRelic(newrelic.CASE.settings(server.url), outbound).measure("SELECT 1", TWO_MINUTES) == Value(0.5)


async def test_splunk_runs_a_program_over_the_interval_without_waiting(server: Loopback, outbound: Outbound) -> None:
    server.says(splunk.CASE.success)
    provider = Splunk(splunk.CASE.settings(server.url), outbound, clock=ManualClock())

    assert await provider.measure(" data('x').publish()\n", TWO_MINUTES) == Value(0.25)

    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/v2/signalflow/execute")
    assert asked.body == b"data('x').publish()"
    assert asked.query == {
        "start": f"{(NOW - 180) * 1000:.0f}",
        "stop": f"{NOW * 1000:.0f}",
        "immediate": "true",
    }


def test_splunk_quotes_the_first_error_of_a_program() -> None:
    error = {"errors": [{"code": "ANALYTICS_PROGRAM_NAME_ERROR", "context": {"name": "dta"}}]}

    outcome = parse(splunk.stream(splunk.START, ("error", error)).body)

    assert isinstance(outcome, BadQuery)
    assert outcome.reason.startswith("ANALYTICS_PROGRAM_NAME_ERROR")


def test_events_that_nobody_knows_are_passed_over() -> None:
    kept_alive = b": keep-alive\n\nevent: expired-tsid\ndata: {}\n\nevent: x\ndata: no JSON\n\n"

    assert parse(kept_alive + splunk.stream(splunk.data(1), splunk.END).body.replace(b"\n", b"\r\n")) == Value(1.0)


@pytest.mark.parametrize("first", ["api", "stream"])
async def test_splunks_addresses_of_api_and_stream_are_one(outbound: Outbound, first: str) -> None:
    made = Splunk(splunk.CASE.settings(f"http://{first}.us1.example.invalid"), outbound, timeout=0.2)

    found = await made.measure("x", TWO_MINUTES)

    assert isinstance(found, ProviderError)
    assert found.reason.startswith("Splunk at stream.us1.example.invalid: ")


MAKERS: dict[str, tuple[Callable[[ProviderSettings, Outbound], MetricProvider], Case, str]] = {
    "datadog": (Datadog, datadog.CASE, "api.datadoghq.com"),
    "newrelic": (NewRelic, newrelic.CASE, "insights-api.newrelic.com"),
    "dynatrace": (Dynatrace, dynatrace.CASE, ""),
    "splunk": (Splunk, splunk.CASE, ""),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_the_address_is_the_services_own_where_it_has_one(kind: str) -> None:
    make, case, host = MAKERS[kind]
    settings = ProviderSettings(kind, "", secret=case.secret)

    if host:
        made: Any = make(settings, Outbound())
        assert made._server.base == f"https://{host}"
    else:
        with pytest.raises(UserError, match="cannot be used: its address must begin with http:// or https://"):
            make(settings, Outbound())


@pytest.mark.parametrize("kind", MAKERS)
def test_an_incomplete_secret_is_the_users_mistake(kind: str) -> None:
    make, case, _ = MAKERS[kind]

    with pytest.raises(UserError, match="needs credentials: name a Secret with the key"):
        make(ProviderSettings(kind, "https://x"), Outbound())
    for key in case.secret:
        for left in ({name: value for name, value in case.secret.items() if name != key}, {**case.secret, key: " "}):
            with pytest.raises(UserError, match=f"must have the keys? .*{key}") as raised:
                make(ProviderSettings(kind, "https://x", secret=left), Outbound())
            assert "planted" not in str(raised.value)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_credential_that_cannot_be_sent_is_named_and_not_told(kind: str) -> None:
    make, case, _ = MAKERS[kind]

    with pytest.raises(UserError, match="has characters that cannot be sent") as raised:
        make(ProviderSettings(kind, "https://x", secret=dict.fromkeys(case.secret, "plantéd")), Outbound())

    assert "plantéd" not in str(raised.value)
