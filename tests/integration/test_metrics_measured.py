"""Metrics against a server on loopback that speaks Prometheus' JSON: what counts, what holds, and what is a mistake."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime

import pytest
import structlog
from aiohttp import web

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, METRIC_TEMPLATES, SECRETS
from tests.integration.beside import another_goes_on, touched
from tests.integration.gateway import Gateway
from tests.integration.objects import blue_green, canary, deployment, progressive
from tests.integration.servers import Hooks, PrometheusServer, login_page, server_error, several_series, silence
from tests.integration.site import Site
from tests.metrics.loopback import closed_port

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("calm")]

AT_LEAST_99: JsonObject = {"name": "goodness", "query": "sum(good)", "thresholdRange": {"min": 99}}


def measured(base: JsonObject, prometheus: PrometheusServer) -> JsonObject:
    return {**base, "spec": {**base["spec"], "metricsServer": prometheus.url}}


def template(prometheus: PrometheusServer, *, secret: str = "") -> JsonObject:
    provider: JsonObject = {"type": "prometheus", "address": prometheus.url}
    if secret:
        provider |= {"secretRef": {"name": secret}}
    query = 'sum(rate(errors{namespace="{{ namespace }}",pod=~"{{ target }}-.*"}[{{ interval }}]))'
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "MetricTemplate",
        "metadata": {"name": "errors"},
        "spec": {"provider": provider, "query": query},
    }


FROM_TEMPLATE: JsonObject = {
    "name": "errors",
    "templateRef": {"name": "errors"},
    "thresholdRange": {"max": 1},
    "interval": "30s",
}


async def test_good_values_let_the_rollout_pass(site: Site, gateway: Gateway, prometheus: PrometheusServer) -> None:
    prometheus.value = "99.5"
    builtin = {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"}
    async with site.controller():
        made = progressive(step=50, most=50, metrics=[builtin, AT_LEAST_99])
        await site.apply(deployment(), measured(made, prometheus))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        found = await site.phase_is("Succeeded")

    checks = {check["name"]: check for check in found["status"]["rollout"]["checks"]}
    assert {name: check["verdict"] for name, check in checks.items()} == {
        "request-success-rate": "Passed",
        "goodness": "Passed",
    }
    assert checks["goodness"]["value"] == "99.50"
    assert any(site.namespace in query and "podinfo" in query for query in prometheus.queries)
    assert "sum(good)" in prometheus.queries


async def test_the_threshold_rolls_back_at_once(site: Site, gateway: Gateway, prometheus: PrometheusServer) -> None:
    prometheus.value = "50"
    async with site.controller():
        made = progressive(step=25, most=50, threshold=3, interval="2s", metrics=[AT_LEAST_99])
        await site.apply(deployment(), measured(made, prometheus))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Failed")
        told = await site.event("goodness 50")

        assert told == f"Halt podinfo.{site.namespace} advancement goodness 50.00 < 99"
        assert len(prometheus.queries) == 3
        assert gateway.shares() == [0, 25, 0]
        # Three judgements at two seconds each: a fourth interval would have been Flagger's wait for the next tick.
        assert gateway.stays()[1] < 7.8
        assert "failed checks threshold reached 3" in await site.reason()


@pytest.mark.parametrize("value", [None, "NaN"])
async def test_no_data_is_a_failed_check(
    site: Site, gateway: Gateway, prometheus: PrometheusServer, value: str | None
) -> None:
    prometheus.value = value
    async with site.controller():
        made = progressive(threshold=2, metrics=[AT_LEAST_99])
        await site.apply(deployment(), measured(made, prometheus))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Failed")
        await site.event("no values found for custom metric: goodness")
        assert "no values found for custom metric: goodness" in await site.reason()
        assert len(prometheus.queries) == 2
        assert gateway.shares() == [0, 25, 0]


@pytest.mark.parametrize(
    ("title", "answer", "times", "words"),
    [
        ("the server is in trouble", server_error, 4, 'it answered 500: "out of memory"'),
        ("a page for people instead of an answer", login_page, 4, "the answer is not JSON but begins with"),
        ("several values where one is meant", several_series, 4, "2 series where one is needed: aggregate them"),
        ("no answer in time", silence, 2, "no answer within 5 s"),
    ],
)
async def test_what_cannot_be_measured_holds_the_weight_and_is_not_counted(
    site: Site,
    gateway: Gateway,
    prometheus: PrometheusServer,
    *,
    title: str,
    answer: Callable[[], Awaitable[web.Response]],
    times: int,
    words: str,
) -> None:
    prometheus.value, prometheus.broken = "100", answer

    async def asked() -> bool:
        return len(prometheus.queries) > times

    async with site.controller():
        made = progressive(step=25, most=25, threshold=1, metrics=[AT_LEAST_99])
        await site.apply(deployment(), measured(made, prometheus))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.until(asked, f"{times} questions while {title}")

        status = (await site.canary())["status"]
        assert (status["phase"], status["failedChecks"], status["canaryWeight"]) == ("Progressing", 0, 25), title
        (check,) = status["rollout"]["checks"]
        assert check["verdict"] == "Error"
        assert words in check["reason"]
        assert await site.event(words) == check["reason"]
        assert status["rollout"]["reason"] == "metric goodness could not be measured"
        await another_goes_on(site)
        assert gateway.shares() == [0, 25]

        prometheus.broken = None
        await site.phase_is("Succeeded")
        assert gateway.shares() == [0, 25, 0]


async def test_a_prometheus_that_is_down_holds_the_weight_until_it_is_back(
    site: Site, gateway: Gateway, prometheus: PrometheusServer
) -> None:
    async with site.controller():
        made = progressive(step=25, most=25, threshold=1, metrics=[AT_LEAST_99])
        made["spec"]["metricsServer"] = closed_port()
        await site.apply(deployment(), made)
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        assert "cannot connect" in await site.event("metric goodness could not be measured, the rollout holds")
        await another_goes_on(site)
        status = (await site.canary())["status"]
        assert (status["phase"], status["failedChecks"], status["canaryWeight"]) == ("Progressing", 0, 25)
        assert gateway.shares() == [0, 25]

        prometheus.value = "100"
        await site.edit(CANARIES, "podinfo", {"spec": {"metricsServer": prometheus.url}})
        await site.phase_is("Succeeded")
        assert gateway.shares() == [0, 25, 0]


async def test_an_outage_that_lasts_pauses_the_rollout_tells_people_once_and_ends_by_itself(
    site: Site, gateway: Gateway, prometheus: PrometheusServer
) -> None:
    prometheus.value, prometheus.broken = "100", server_error
    async with site.controller():
        made = progressive(step=25, most=25, threshold=1, metrics=[{**AT_LEAST_99, "consecutiveErrorLimit": 2}])
        await site.apply(deployment(), measured(made, prometheus))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        told = await site.event("is paused by flaggerpy: metric goodness gave no verdict more than 2 times in a row")
        status = (await site.canary())["status"]
        assert (status["phase"], status["failedChecks"], status["canaryWeight"]) == ("Progressing", 0, 25)
        assert status["rollout"]["paused"]["by"] == "flaggerpy"
        assert status["rollout"]["paused"]["reason"] in told
        assert (await site.condition("Ready"))["reason"] == "Paused"

        prometheus.broken = None
        found = await site.phase_is("Succeeded")
        assert await site.event("goes on: every metric has a verdict again")
        assert "paused" not in found["status"]["rollout"]
        assert gateway.shares() == [0, 25, 0]


async def test_a_canary_that_is_worse_than_the_primary_within_the_bound_fails_by_comparison(
    site: Site, gateway: Gateway, prometheus: PrometheusServer
) -> None:
    prometheus.values = {"errors{app=podinfo-primary}": "2", "errors{app=podinfo}": "3", "hits": "500"}
    fixed: JsonObject = {"name": "errors", "query": "errors{app={{ target }}}", "thresholdRange": {"max": 5}}
    guards: JsonObject = {"minSamples": 100, "sampleQuery": "hits{{ role }}", "compareTo": "primary"}
    async with site.controller():
        made = progressive(step=25, most=25, threshold=1, metrics=[fixed])
        await site.apply(deployment(), measured(made, prometheus))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Succeeded")

        compared = [{**fixed, **guards, "ratio": {"max": 1.2}}]
        await site.edit(CANARIES, "podinfo", {"spec": {"analysis": {"metrics": compared}}})
        await site.set_image("6.0.2")
        found = await site.phase_is("Failed")

    (check,) = found["status"]["rollout"]["checks"]
    assert (check["value"], check["bound"]) == ("3.00", "<= 5, <= 1.2 × the primary's 2.00")
    assert set(prometheus.queries[-4:]) == {
        "errors{app=podinfo}",
        "hitscanary",
        "errors{app=podinfo-primary}",
        "hitsprimary",
    }
    assert gateway.shares() == [0, 25, 0, 25, 0]


async def test_a_template_is_asked_with_the_secret_as_it_is_now(site: Site, prometheus: PrometheusServer) -> None:
    prometheus.value = "0"
    key = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "prometheus"}}
    async with site.controller():
        await site.apply({**key, "stringData": {"token": "first"}}, template(prometheus, secret="prometheus"))
        await site.apply(deployment(), blue_green(iterations=40, metrics=[FROM_TEMPLATE]))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")

        async def sent(token: str) -> bool:
            return f"Bearer {token}" in prometheus.authorizations

        await site.until(lambda: sent("first"), "a query with the first token")
        await site.edit(SECRETS, "prometheus", {"stringData": {"token": "second"}})
        await site.until(lambda: sent("second"), "a query with the second token")

    assert prometheus.queries[0] == f'sum(rate(errors{{namespace="{site.namespace}",pod=~"podinfo-.*"}}[30s]))'


async def test_a_planted_secret_is_sent_to_the_server_and_told_to_nobody_else(
    site: Site, gateway: Gateway, prometheus: PrometheusServer, hooks: Hooks
) -> None:
    """The server repeats what it was sent; logs, events, status and alerts are searched for it."""
    planted = "pl4nted-t0ken"

    async def repeated() -> web.Response:
        return web.Response(status=503, text=f"{prometheus.authorizations[-1]} has no power here")

    async def refused() -> web.Response:
        error = f"no query for {prometheus.authorizations[-1]}"
        return web.json_response({"status": "error", "errorType": "bad_data", "error": error}, status=400)

    prometheus.broken = repeated
    key = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "prometheus"}}
    team = {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "AlertProvider",
        "metadata": {"name": "team"},
        "spec": {"type": "webhook", "address": f"{hooks.url}/team"},
    }
    told = [{"name": "team", "severity": "info", "providerRef": {"name": "team"}}]
    made = progressive(step=50, most=50, threshold=1, metrics=[FROM_TEMPLATE], alerts=told)
    with structlog.testing.capture_logs() as logs:
        async with site.controller():
            await site.apply({**key, "stringData": {"token": planted}}, template(prometheus, secret="prometheus"), team)
            await site.apply(deployment(), made)
            await site.phase_is("Initialized")
            await site.set_image("6.0.1")
            await site.event("[hidden] has no power here")
            unmeasured = await site.canary()
            prometheus.broken = refused
            failed = await site.phase_is("Failed")
            events = [*await site.events(), await site.event("no query for Bearer [hidden]")]
            await site.until(lambda: _fatal(hooks), "an alert of the end")

    assert set(prometheus.authorizations) == {f"Bearer {planted}"}
    assert "[hidden] has no power here" in json.dumps(unmeasured["status"]["rollout"]["checks"])
    assert "no query for Bearer [hidden]" in failed["status"]["rollout"]["failing"]
    assert logs
    for output in (logs, unmeasured, failed, events, [call.body for call in hooks.calls]):
        assert planted not in json.dumps(output, default=str)


async def _fatal(hooks: Hooks) -> bool:
    return any(call.body["severity"] == "error" for call in hooks.to("team"))


async def test_a_missing_template_stops_the_canary_until_it_is_there(site: Site, prometheus: PrometheusServer) -> None:
    prometheus.value = "0"
    async with site.controller() as controller:
        await site.apply(deployment(), blue_green(metrics=[FROM_TEMPLATE]))
        sentence = await site.stalled("MetricTemplate errors of metric errors does not exist")
        assert await site.event("MetricTemplate errors") == sentence
        own = site.ref(CANARIES, "podinfo").path()
        assert all(request.path.startswith(own) for request in controller.writes)

        await site.apply(template(prometheus))
        await site.phase_is("Initialized")
        assert (await site.condition("Stalled"))["status"] == "False"

        # It goes again between two rollouts: the next one does not begin.
        await site.client.delete(site.ref(METRIC_TEMPLATES, "errors"))
        await site.stalled("MetricTemplate errors")
        await site.set_image("6.0.1")
        await site.settled()
        assert await site.replicas("podinfo") == 0
        await site.apply(template(prometheus))
        await site.phase_is("Succeeded")
    assert await site.image("podinfo-primary") == "6.0.1"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param(
            {"provider": {"type": "prometheus"}, "query": "{{ nonsense }}"},
            ['"{{ nonsense }}", which is not supported: use name, namespace'],
            id="a name that means nothing",
        ),
        pytest.param(
            {"provider": {"type": "prometheus"}, "query": "up > {{ variables.limit }}"},
            ['templateVariables has no "limit"'],
            id="a variable that nobody gave",
        ),
        pytest.param(
            {"provider": {"type": "keptn"}, "query": "up"},
            ['"keptn" is not built into flaggerpy', "its project has ended"],
            id="a provider that is at its end",
        ),
        pytest.param(None, ["cannot be read: spec is missing: add it"], id="nothing at all"),
    ],
)
async def test_a_template_that_cannot_be_used_stops_the_canary_until_it_is_mended(
    site: Site, prometheus: PrometheusServer, spec: JsonObject | None, words: list[str]
) -> None:
    prometheus.value = "0"
    bad = {**template(prometheus), "spec": spec}
    async with site.controller() as controller:
        await site.apply({key: value for key, value in bad.items() if value is not None})
        await site.apply(deployment("wrong"), blue_green("wrong", metrics=[FROM_TEMPLATE]))
        sentence = await site.stalled("MetricTemplate errors", "wrong")
        assert all(word in sentence for word in words), sentence
        assert await site.event(sentence) == sentence
        await another_goes_on(site)
        assert touched(controller.writes, "wrong") == {"canaries"}

        await site.apply(template(prometheus))
        await site.phase_is("Initialized", "wrong")


async def test_a_secret_that_nobody_made_fails_the_check_and_is_named(
    site: Site, gateway: Gateway, prometheus: PrometheusServer
) -> None:
    async with site.controller():
        await site.apply(template(prometheus, secret="nobody-made-it"))
        await site.apply(deployment(), progressive(threshold=2, metrics=[FROM_TEMPLATE]))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        found = await site.phase_is("Failed")
        told = await site.event("there is no Secret nobody-made-it")
        assert "create it, or correct spec.provider.secretRef" in told
        assert told in found["status"]["rollout"]["failing"]
        await another_goes_on(site)

    assert prometheus.queries == []
    assert gateway.shares() == [0, 25, 0]
    assert await site.image("podinfo-primary") == "6.0.0"


async def test_a_query_that_prometheus_refuses_is_a_failed_check(site: Site, prometheus: PrometheusServer) -> None:
    async def refused() -> web.Response:
        return web.json_response({"status": "error", "errorType": "bad_data", "error": "parse error"}, status=400)

    prometheus.broken = refused
    async with site.controller():
        made = canary("podinfo", {"iterations": 2, "metrics": [AT_LEAST_99]}, provider="kubernetes")
        await site.apply(deployment(), measured(made, prometheus))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Failed")
        assert "parse error" in await site.event("parse error")


TESTED: JsonObject = {
    "name": "errors",
    "sequential": {"good": 'ok{app="{{ target }}"}', "total": 'all{app="{{ target }}"}'},
}


async def test_evidence_outlives_the_controller_and_a_proof_of_harm_rolls_back_at_once(
    site: Site, gateway: Gateway, prometheus: PrometheusServer
) -> None:
    prometheus.value, prometheus.values = "500", {'ok{app="podinfo"}': "490"}

    async def evidence() -> JsonObject:
        checks = (await site.canary())["status"].get("rollout", {}).get("checks", [])
        found: JsonObject = checks[0].get("sequential", {}) if checks else {}
        return found

    async def suspects() -> bool:
        return int((await evidence()).get("intervals", 0)) >= 2

    async with site.controller():
        made = progressive(step=25, most=50, threshold=9, interval="3s", metrics=[TESTED])
        await site.apply(deployment(), measured(made, prometheus))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.until(suspects, "two intervals with more failures than the primary's")

    before = await evidence()
    assert before["intervals"] < 4
    prometheus.queries.clear()
    async with site.controller():
        found = await site.phase_is("Failed")
        await site.event("errors: the canary fails more often than the primary, by 2 points, which is proven")

    (check,) = found["status"]["rollout"]["checks"]
    assert (check["verdict"], check["sequential"]["intervals"]) == ("Failed", 4)
    assert found["status"]["failedChecks"] == 0
    assert f"@ {datetime.fromisoformat(before['until']).timestamp():.3f}" in prometheus.queries[0], "no gap"
    assert "failed its sequential test: +2 points" in found["status"]["rollout"]["failing"]
    assert gateway.shares() == [0, 25, 50, 0]
