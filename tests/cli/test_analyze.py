"""``flaggerpy analyze``: what it measures, asks, says and leaves alone."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from flaggerpy.api.status import Phase
from flaggerpy.api.templates import MetricTemplate, parse_metric_template
from flaggerpy.cli.measured import hint, inside, standing
from flaggerpy.controller.check import Examined
from flaggerpy.controller.questions import Question
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, METRIC_TEMPLATES, SECRETS
from flaggerpy.metrics.base import ProviderError, ProviderSettings
from flaggerpy.metrics.judge import Measure
from flaggerpy.metrics.queries import Queries
from flaggerpy.metrics.verdict import Measurements
from flaggerpy.rollout.checks import Answer, Verdict
from tests.cli.seen import at_rest, rolling
from tests.cli.served import Served, canary, status
from tests.kube.fake_apiserver import Fault
from tests.metrics.loopback import Asked, Loopback, Say, loopback

TOKEN = "tok-9f31c07ae5"
GOODNESS = {"name": "goodness", "query": 'sum(good{app="{{ target }}"})', "thresholdRange": {"min": 99}}
ERRORS = {"name": "errors", "templateRef": {"name": "errors"}, "thresholdRange": {"max": 1}}


def value(text: str) -> Say:
    series = [{"metric": {}, "value": [1, text]}]
    return Say(body=json.dumps({"status": "success", "data": {"resultType": "vector", "result": series}}).encode())


NOTHING = Say(body=b'{"status":"success","data":{"resultType":"vector","result":[]}}')


def by_query(**values: str) -> Any:
    """Answer each query by the first of these words in it."""

    async def answer(asked: Asked) -> Say:
        return next(value(text) for word, text in values.items() if word in asked.query["query"])

    return answer


@pytest.fixture
def prometheus(cluster: Served) -> Iterator[Loopback]:
    with cluster.beside(loopback()) as server:
        server.says(value("99.5"))
        yield server


def put(cluster: Served, server: Loopback | None, *metrics: JsonObject, phase: Phase = Phase.PROGRESSING) -> None:
    """Let there be a canary in the middle of its analysis; a server is named in its metricsServer."""
    spec: dict[str, Any] = {"metricsServer": server.url} if server is not None else {}
    made = canary(status(phase, canary_weight=20), **spec)
    made["spec"]["analysis"] |= {"metrics": list(metrics)}
    cluster.put(CANARIES, made)


def template(server: Loopback, *, namespace: str = "shop", secret: bool = False) -> JsonObject:
    provider: JsonObject = {"type": "prometheus", "address": server.url}
    if secret:
        provider["secretRef"] = {"name": "prometheus"}
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "MetricTemplate",
        "metadata": {"name": "errors", "namespace": namespace},
        "spec": {"provider": provider, "query": 'sum(errors{app="{{ target }}"})\n/ 2'},
    }


def the_secret() -> JsonObject:
    data = {"token": base64.b64encode(TOKEN.encode()).decode()}
    return {"kind": "Secret", "metadata": {"name": "prometheus", "namespace": "shop"}, "data": data}


def document(cluster: Served, *words: str) -> JsonObject:
    made: JsonObject = json.loads(cluster.run("analyze", "web", "-o", "json", *words).stdout)
    return made


def rows(cluster: Served, *words: str) -> dict[str, JsonObject]:
    return {row["name"]: row for row in document(cluster, *words)["metrics"]}


def host(server: Loopback) -> str:
    return server.url.removeprefix("http://")


# What is shown


def test_value_bound_verdict_server_and_query_are_shown(cluster: Served, prometheus: Loopback) -> None:
    put(cluster, prometheus, GOODNESS)
    result = cluster.run("analyze", "web")
    assert result.exit_code == 0
    assert [line.split(maxsplit=1) for line in result.stdout.splitlines() if line] == [
        ["shop/web", "is Progressing: step 2 of 5, and the canary's weight is 20 %."],
        ["goodness:", "passed"],
        ["value", "99.50"],
        ["accepted", ">= 99"],
        ["server", f"prometheus at {host(prometheus)}"],
        ["query", 'sum(good{app="web"})'],
        ["→", "99.5"],
    ]


def test_a_failure_says_why_in_the_words_of_events(cluster: Served, prometheus: Loopback) -> None:
    prometheus.says(value("50"))
    put(cluster, prometheus, GOODNESS)
    result = cluster.run("analyze", "web")
    assert result.exit_code == 3
    assert "goodness: failed\n" in result.stdout
    assert "Halt web.shop advancement goodness 50.00 < 99\n" in result.stdout


def test_every_query_is_shown_as_rendered_with_its_answer(cluster: Served, prometheus: Loopback) -> None:
    prometheus.says(by_query(**{'good{app="web-primary"}': "99.9", "good": "99.1", "web-primary": "900", "web": "100"}))
    guarded = {"minSamples": 50, "sampleQuery": 'sum(all{app="{{ target }}"})', "compareTo": "primary"}
    put(cluster, prometheus, GOODNESS | guarded | {"delta": {"min": -1}})
    row = rows(cluster)["goodness"]
    assert (row["verdict"], row["value"], row["source"]) == ("Passed", "99.10", "query")
    assert row["queries"] == [
        {"of": "canary", "query": 'sum(good{app="web"})', "answer": "99.1"},
        {"of": "samples", "query": 'sum(all{app="web"})', "answer": "100"},
        {"of": "primary", "query": 'sum(good{app="web-primary"})', "answer": "99.9"},
        {"of": "primarySamples", "query": 'sum(all{app="web-primary"})', "answer": "900"},
    ]
    shown = cluster.run("analyze", "web").stdout
    for title in ("  query ", "  its samples ", "  of the primary ", "  the primary's samples "):
        assert title in shown


def test_built_in_metrics_have_units_and_are_those_of_the_provider(cluster: Served, prometheus: Loopback) -> None:
    prometheus.says(by_query(histogram_quantile="0.25", sum="99.5"))
    bounds: dict[str, Any] = {"request-success-rate": {"min": 99}, "request-duration": {"max": 200}}
    put(cluster, prometheus, *({"name": name, "thresholdRange": bound} for name, bound in bounds.items()))
    found = rows(cluster)
    answers = {name: (row["verdict"], row["value"], row["queries"][0]["answer"]) for name, row in found.items()}
    assert answers == {
        "request-success-rate": ("Passed", "99.50%", "99.5%"),
        "request-duration": ("Failed", "250ms", "250 ms"),
    }


def test_the_provider_of_canaries_that_name_none_is_the_flags(cluster: Served, prometheus: Loopback) -> None:
    put(cluster, prometheus, {"name": "request-success-rate", "thresholdRange": {"min": 99}})
    cluster.do(lambda server: server.change(next(ref for ref in server.objects if ref.resource == CANARIES), _unnamed))
    queries = [rows(cluster, *words)["request-success-rate"]["queries"][0]["query"] for words in ((), LINKERD)]
    assert ["istio_requests_total" in queries[0], "response_total" in queries[1]] == [True, True]


LINKERD = ("--mesh-provider", "linkerd")


def _unnamed(obj: JsonObject) -> None:
    del obj["spec"]["provider"]


def test_a_query_of_several_lines_stays_one_block(cluster: Served, prometheus: Loopback) -> None:
    cluster.put(METRIC_TEMPLATES, template(prometheus))
    put(cluster, None, ERRORS)
    lines = cluster.run("analyze", "web").stdout.splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith("  query"))
    assert lines[begin].index("sum(errors") == lines[begin + 1].index("/ 2")


def test_yaml_says_what_json_says(cluster: Served, prometheus: Loopback) -> None:
    put(cluster, prometheus, GOODNESS)
    written = yaml.safe_load(cluster.run("analyze", "web", "-o", "yaml").stdout)
    assert written | {"measuredAt": ""} == document(cluster) | {"measuredAt": ""}
    assert (written["canary"], written["namespace"], written["phase"]) == ("web", "shop", "Progressing")


# Exit codes


@pytest.mark.parametrize(
    ("metrics", "code"),
    [
        ([], 0),
        ([GOODNESS], 3),
        ([GOODNESS | {"dryRun": True}], 0),
        ([GOODNESS | {"onNoData": "wait"}], 4),
        ([GOODNESS | {"onNoData": "wait"}, GOODNESS | {"name": "other"}], 3),
        ([GOODNESS | {"onNoData": "pass"}], 0),
    ],
)
def test_the_exit_code_tells_a_failure_from_what_has_no_verdict(
    cluster: Served, prometheus: Loopback, metrics: list[JsonObject], code: int
) -> None:
    prometheus.says(NOTHING)
    put(cluster, prometheus, *metrics)
    assert cluster.run("analyze", "web").exit_code == code
    assert cluster.run("analyze", "web", "-o", "json").exit_code == code


def test_a_server_that_cannot_answer_is_no_failure_and_hides_no_other_metric(
    cluster: Served, prometheus: Loopback
) -> None:
    prometheus.says(Say(500, b"out of memory"), value("100"))
    put(cluster, prometheus, GOODNESS, GOODNESS | {"name": "other"})
    result = cluster.run("analyze", "web")
    assert result.exit_code == 4
    assert "goodness: could not be measured\n" in result.stdout
    assert "it answered 500: " in result.stdout
    assert "other: passed\n" in result.stdout


def test_one_metric_may_be_named(cluster: Served, prometheus: Loopback) -> None:
    put(cluster, prometheus, GOODNESS, ERRORS, GOODNESS | {"name": "other"})
    assert list(rows(cluster, "--metric", "other")) == ["other"]
    assert len(prometheus.asked) == 1
    assert cluster.server.seen("GET", "metrictemplates") == []
    result = cluster.run("analyze", "web", "--metric", "nonsense")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: shop/web has no metric nonsense; it has: goodness, errors, other\n",
    )


def test_a_canary_that_is_not_there_is_one_sentence(cluster: Served) -> None:
    result = cluster.run("analyze", "web")
    assert (result.exit_code, result.stderr) == (1, "Error: there is no canary web in namespace shop, nor any other\n")


TESTED = {
    "name": "proof",
    "interval": "1m",
    "sequential": {"good": 'good{app="{{ target }}"}', "total": 'all{app="{{ target }}"}'},
}


def test_a_sequential_test_looks_at_the_last_interval_alone(cluster: Served, prometheus: Loopback) -> None:
    prometheus.says(by_query(**{'good{app="web"}': "40", 'all{app="web"}': "40", "good": "60", "all": "60"}))
    put(cluster, prometheus, TESTED)
    row = rows(cluster)["proof"]
    assert (row["source"], row["verdict"]) == ("counters", "Passed")
    assert row["value"] == "+0 points (0.00% of 40, primary 0.00% of 60)"
    assert row["reason"] == "no sign of harm: the canary fails as often as the primary"
    assert [(asked["of"], asked["answer"]) for asked in row["queries"]] == [
        ("good", "40"),
        ("total", "40"),
        ("primaryGood", "60"),
        ("primaryTotal", "60"),
    ]
    until, since = (float(text.split()[0]) for text in row["queries"][0]["query"].split(" @ ")[1:3])
    assert until - since == pytest.approx(60, abs=1)
    assert prometheus.asked[2].query["query"].startswith('sum((good{app="web-primary"} @ ')


def test_a_sequential_test_without_counters_is_told_as_a_mistake(cluster: Served, prometheus: Loopback) -> None:
    made = template(prometheus)
    made["spec"]["provider"] |= {"type": "datadog"}
    cluster.put(METRIC_TEMPLATES, made)
    put(cluster, prometheus, TESTED | {"templateRef": {"name": "errors"}})
    assert "a sequential test reads counters, which only a Prometheus has" in rows(cluster)["proof"]["reason"]


# Whom it asks


def test_a_server_named_on_the_command_line_wins_over_the_canarys(cluster: Served, prometheus: Loopback) -> None:
    put(cluster, prometheus, GOODNESS)
    with cluster.beside(loopback()) as forwarded:
        forwarded.says(value("100"))
        row = rows(cluster, "--metrics-server", forwarded.url)["goodness"]
    assert (row["server"], row["value"]) == (f"prometheus at {host(forwarded)}", "100.00")
    assert prometheus.asked == []


def test_an_address_for_templates_leaves_the_metrics_server_alone(cluster: Served, prometheus: Loopback) -> None:
    cluster.put(METRIC_TEMPLATES, template(prometheus))
    put(cluster, prometheus, GOODNESS, ERRORS)
    with cluster.beside(loopback()) as forwarded:
        forwarded.says(value("0"))
        found = rows(cluster, "--template-address", forwarded.url)
    assert [found["goodness"]["server"], found["errors"]["server"]] == [
        f"prometheus at {host(prometheus)}",
        f"prometheus at {host(forwarded)}",
    ]
    assert [asked.query["query"] for asked in prometheus.asked] == ['sum(good{app="web"})']


def test_an_address_inside_the_cluster_is_explained_once(cluster: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def known(name: Any, *words: Any, **more: Any) -> Any:
        if name in {"prometheus", b"prometheus"}:
            raise socket.gaierror(-2, "Name or service not known")
        return resolve(name, *words, **more)

    monkeypatch.setattr(socket, "getaddrinfo", known)
    put(cluster, None, GOODNESS, GOODNESS | {"name": "other"})
    result = cluster.run("analyze", "web")
    assert result.exit_code == 4
    assert result.stdout.count("`kubectl port-forward -n NAMESPACE service/prometheus 9090:9090`") == 1
    assert result.stdout.endswith("say --metrics-server http://localhost:9090.\n")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert document(cluster, "--kubeconfig", str(cluster.kubeconfig))["notes"] == []


def silent(address: str, template: MetricTemplate | None = None) -> Examined:
    settings = ProviderSettings("prometheus", address)
    question = Question(settings, settings, Queries("x"), Measure.PLAIN, template)
    return Examined(Answer(Verdict.ERROR), question, Measurements(ProviderError("no answer", silent=True)))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://prometheus.istio-system:9090", "-n istio-system service/prometheus 9090:9090`"),
        ("http://graphite.metrics.svc.cluster.local", "-n metrics service/graphite 9090:80`"),
        ("https://thanos.metrics.svc/prom", "-n metrics service/thanos 9090:443`"),
    ],
)
def test_the_way_to_a_server_inside_the_cluster_is_told(address: str, words: str) -> None:
    spec = {"provider": {"type": "prometheus", "address": address}, "query": "x"}
    (told,) = hint(silent(address, parse_metric_template({"metadata": {"name": "errors"}, "spec": spec})))
    assert words in told
    assert told.endswith(f"say --template-address {address.partition(':')[0]}://localhost:9090.")


@pytest.mark.parametrize("address", ["http://127.0.0.1:9090", "http://localhost:9090", "https://api.metrics.test", ""])
def test_nothing_is_told_of_other_servers(address: str) -> None:
    assert list(hint(silent(address))) == []


def test_which_hosts_are_services() -> None:
    assert [inside(name) for name in ("prometheus", "a.b", "a.b.svc", "a.b.svc.cluster.local.")] == [True] * 4
    assert [inside(name) for name in ("", "localhost", "::1", "10.0.0.1", "api.datadoghq.test")] == [False] * 5


# Rights and secrets


def test_templates_and_secrets_are_read_and_no_secret_is_shown(cluster: Served, prometheus: Loopback) -> None:
    refusal = {"status": "error", "errorType": "bad_data", "error": f"no parser for {TOKEN}"}
    prometheus.says(Say(400, json.dumps(refusal).encode()))
    cluster.put(METRIC_TEMPLATES, template(prometheus, secret=True))
    cluster.put(SECRETS, the_secret())
    put(cluster, None, ERRORS)
    said = [cluster.run("analyze", "web", *words).output for words in ((), ("-o", "json"), ("-o", "yaml"))]
    assert all("refused" in text and "[hidden]" in text for text in said)
    assert not any(TOKEN in text or base64.b64encode(TOKEN.encode()).decode() in text for text in said)
    assert {asked.headers["Authorization"] for asked in prometheus.asked} == {f"Bearer {TOKEN}"}


def test_without_the_right_to_a_secret_its_metric_alone_is_not_measured(cluster: Served, prometheus: Loopback) -> None:
    cluster.put(METRIC_TEMPLATES, template(prometheus, secret=True))
    put(cluster, prometheus, ERRORS, GOODNESS)
    cluster.do(lambda server: server.forbidden.add(SECRETS))
    result = cluster.run("analyze", "web")
    assert result.exit_code == 4
    assert (
        'not allowed: User "someone" cannot access secrets. It is read with your rights, the controller has its own.'
    ) in result.stdout
    assert "goodness: passed\n" in result.stdout
    errors = rows(cluster)["errors"]
    assert (errors["verdict"], errors["queries"][0]["answer"]) == ("Error", "not asked")
    assert errors["queries"][0]["query"].startswith('sum(errors{app="web"})'), "the query can be asked by hand"


def test_without_the_right_to_templates_their_metrics_alone_are_not_measured(
    cluster: Served, prometheus: Loopback
) -> None:
    put(cluster, prometheus, ERRORS, GOODNESS)
    cluster.do(lambda server: server.forbidden.add(METRIC_TEMPLATES))
    found = rows(cluster)
    assert [found[name]["verdict"] for name in ("goodness", "errors")] == ["Passed", "Error"]
    assert found["errors"]["reason"].startswith('not allowed: User "someone" cannot access metrictemplates')


def test_an_api_server_that_fails_meanwhile_is_no_matter_of_rights(cluster: Served, prometheus: Loopback) -> None:
    cluster.put(METRIC_TEMPLATES, template(prometheus, secret=True))
    put(cluster, None, ERRORS)
    cluster.do(lambda server: server.fail(Fault("status", path="/secrets/", times=9)))
    row = rows(cluster)["errors"]
    assert (row["verdict"], "a fault was arranged" in row["reason"], "rights" in row["reason"]) == (
        "Error",
        True,
        False,
    )


def test_a_password_in_an_address_is_not_shown(cluster: Served, prometheus: Loopback) -> None:
    put(cluster, None, GOODNESS)
    result = cluster.run("analyze", "web", "--metrics-server", prometheus.url.replace("//", f"//me:{TOKEN}@"))
    assert (result.exit_code, f"prometheus at {host(prometheus)}\n" in result.stdout) == (0, True)
    assert TOKEN not in result.output


def test_a_template_that_is_missing_or_senseless_is_a_failed_check_as_in_a_rollout(
    cluster: Served, prometheus: Loopback
) -> None:
    put(cluster, prometheus, ERRORS)
    assert rows(cluster)["errors"]["reason"].endswith("there is no such MetricTemplate.")
    cluster.put(METRIC_TEMPLATES, template(prometheus) | {"spec": {"query": "x"}})
    row = rows(cluster)["errors"]
    assert (row["verdict"], "MetricTemplate errors.shop cannot be read: " in row["reason"]) == ("Failed", True)


# What it leaves alone


def test_no_webhook_is_called_and_nothing_is_written(cluster: Served, prometheus: Loopback) -> None:
    put(cluster, prometheus, GOODNESS)
    hooks = [
        {"name": "load test", "url": f"{prometheus.url}/hook"},
        {"name": "gate", "type": "confirm-promotion", "url": f"{prometheus.url}/hook"},
    ]
    cluster.do(
        lambda server: server.change(
            next(ref for ref in server.objects if ref.resource == CANARIES),
            lambda obj: obj["spec"]["analysis"].update(webhooks=hooks),
        )
    )
    assert "not called: rollout load test, confirm-promotion gate\n" in cluster.run("analyze", "web").stdout
    assert document(cluster)["hooks"][1] == {"type": "confirm-promotion", "name": "gate", "called": False}
    assert {asked.path for asked in prometheus.asked} == {"/api/v1/query"}
    assert {seen.method for seen in cluster.server.requests} == {"GET"}


# Where the canary stands


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (at_rest(), "nothing is being analysed: web-primary serves all users and web none"),
        (at_rest(Phase.WAITING), "nothing is being analysed"),
        (at_rest(Phase.FAILED), "nothing is being analysed"),
        (at_rest(Phase.FAILED, serving_canary=True), "web serves all users, because web-primary cannot."),
        (at_rest(Phase.INITIALIZING), "web serves its users itself, so that is what is measured."),
        (rolling(20), "step 2 of 5, and the canary's weight is 20 %."),
    ],
)
def test_it_says_who_has_users_and_so_what_is_measured(of: Any, words: str) -> None:
    assert standing(of).startswith(words)


def test_a_canary_at_rest_is_measured_all_the_same(cluster: Served, prometheus: Loopback) -> None:
    put(cluster, prometheus, GOODNESS, phase=Phase.SUCCEEDED)
    result = cluster.run("analyze", "web")
    assert result.exit_code == 0
    assert result.stdout.startswith("shop/web is Succeeded: nothing is being analysed")


def test_what_stops_the_canary_is_said_beside_its_metrics(cluster: Served, prometheus: Loopback) -> None:
    put(cluster, prometheus, GOODNESS | {"compareTo": "primary"})
    (note,) = document(cluster)["notes"]
    assert note.startswith("the controller does not roll this canary out: spec.analysis.metrics[0]")
