from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import generate_latest

from flaggerpy.api.analysis import HookType
from flaggerpy.api.canary import Canary
from flaggerpy.api.status import Phase
from flaggerpy.api.templates import MetricTemplate, parse_metric_template
from flaggerpy.kube.errors import Unreachable
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.rollout.checks import Answer, HookCheck, MetricCheck, MetricSource, Verdict
from tests.builders import canary
from tests.controller.desk import Desk, value
from tests.metrics.loopback import Asked, Say, closed_port, loopback

BUILTIN, QUERY, TEMPLATE = MetricSource.BUILTIN, MetricSource.QUERY, MetricSource.TEMPLATE


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with Outbound(trust_env=False) as outbound, loopback() as server:
        yield Desk(outbound, server)


NOTHING = Say(body=b'{"status":"success","data":{"resultType":"vector","result":[]}}')
SUCCESS = {"name": "request-success-rate", "interval": "1m", "thresholdRange": {"min": 99}}
DURATION = {"name": "request-duration", "interval": "30s", "thresholdRange": {"max": 500}}
COMPARED = {"name": "errors", "templateRef": {"name": "t"}, "compareTo": "primary"}
BY_TEMPLATE = {"name": "errors", "templateRef": {"name": "t"}, "thresholdRange": {"max": 1}}


def template(namespace: str = "shop", query: str = "errors", **provider: Any) -> MetricTemplate:
    return parse_metric_template(
        {
            "metadata": {"name": "t", "namespace": namespace},
            "spec": {"provider": {"type": "prometheus", **provider}, "query": query},
        }
    )


@pytest.mark.parametrize(
    ("written", "measured", "answer"),
    [
        (SUCCESS, "99.5", Answer(Verdict.PASSED, "", "99.50%", ">= 99%")),
        (
            SUCCESS,
            "50",
            Answer(Verdict.FAILED, "Halt web.shop advancement success rate 50.00% < 99%", "50.00%", ">= 99%"),
        ),
        (DURATION, "0.4", Answer(Verdict.PASSED, "", "400ms", "<= 500ms")),
        (
            DURATION,
            "0.7",
            Answer(Verdict.FAILED, "Halt web.shop advancement request duration 700ms > 500ms", "700ms", "<= 500ms"),
        ),
    ],
)
async def test_builtin_metrics_are_measured_and_judged(
    desk: Desk, written: dict[str, Any], measured: str, answer: Answer
) -> None:
    desk.server.says(value(measured))

    assert await desk.metric(BUILTIN, written) == answer
    assert 'kubernetes_namespace="shop"' in desk.server.asked[0].query["query"]


async def test_every_check_and_every_query_is_counted_by_how_it_ended(desk: Desk) -> None:
    desk.server.says(value("99.5"), value("50"), NOTHING, Say(status=500))
    for _ in range(4):
        await desk.metric(BUILTIN, SUCCESS)

    labels = 'check="request-success-rate",name="web",namespace="shop",result="%s",type="metric"'
    checks = f"flaggerpy_canary_checks_total{{{labels}}}"
    assert desk.counted(checks) == {"passed": 1, "failed": 2, "error": 1}
    queries = 'flaggerpy_metric_query_duration_seconds_count{outcome="%s",provider="prometheus"}'
    assert desk.counted(queries, "value", "no_data", "unanswered", "refused") == {
        "value": 2,
        "no_data": 1,
        "unanswered": 1,
        "refused": 0,
    }


async def test_webhooks_that_decide_are_counted_as_checks_of_their_type(desk: Desk) -> None:
    hooks = [{"name": "gate", "type": "confirm-promotion", "url": f"{desk.server.url}/gate"}]
    desk.server.says(Say(status=403), Say(status=200))
    for _ in range(2):
        await desk.run(
            canary(analysis={"webhooks": hooks}), HookCheck(0, HookType.CONFIRM_PROMOTION, Phase.PROGRESSING, "a")
        )

    checks = (
        'flaggerpy_canary_checks_total{check="gate",name="web",namespace="shop",result="%s",type="confirm-promotion"}'
    )
    assert desk.counted(checks) == {"passed": 1, "failed": 1, "error": 0}


async def test_values_are_exported_before_they_are_judged_and_durations_in_seconds(desk: Desk) -> None:
    desk.server.says(value("0.7"))
    await desk.metric(BUILTIN, DURATION)
    desk.server.says(value("50"))
    await desk.metric(BUILTIN, SUCCESS)

    assert sorted(desk.exported()) == [
        'flagger_canary_metric_analysis{metric="request-duration",name="web",namespace="shop"} 0.7',
        'flagger_canary_metric_analysis{metric="request-success-rate",name="web",namespace="shop"} 50.0',
    ]


async def test_no_data_is_a_failed_check(desk: Desk) -> None:
    desk.server.says(NOTHING)

    builtin = await desk.metric(BUILTIN, SUCCESS)
    inline = await desk.metric(QUERY, {"name": "errors", "query": "x", "threshold": 1})

    assert builtin.verdict is Verdict.FAILED
    assert builtin.message.startswith("Halt advancement no values found for kubernetes metric request-success-rate")
    assert inline == Answer(
        Verdict.FAILED, "Halt advancement no values found for custom metric: errors: no values found"
    )
    assert desk.exported() == []


@pytest.mark.parametrize("say", [Say(500, b"oh"), Say(503), Say(200, b"<html>"), Say(200, b""), Say(302)])
async def test_a_server_that_does_not_answer_properly_is_an_error_that_is_not_counted(desk: Desk, say: Say) -> None:
    desk.server.says(say)

    answer = await desk.metric(BUILTIN, SUCCESS)

    assert answer.verdict is Verdict.ERROR
    assert "request-success-rate could not be measured, the rollout holds: Prometheus at 127.0.0.1" in answer.message


async def test_an_unreachable_server_is_an_error_that_is_not_counted(desk: Desk) -> None:
    answer = await desk.metric(BUILTIN, SUCCESS, spec={"metricsServer": closed_port()})

    assert answer.verdict is Verdict.ERROR
    assert "cannot connect" in answer.message
    assert desk.server.asked == []


async def test_an_inline_query_is_rendered_and_asked_of_the_metrics_server(desk: Desk) -> None:
    desk.server.says(value("0.5"))

    answer = await desk.metric(
        QUERY,
        {"name": "errors", "interval": "2m", "query": 'rate(e{t="{{ target }}"}[{{ interval }}])', "threshold": 1},
    )

    assert answer == Answer(Verdict.PASSED, "", "0.50", "<= 1")
    assert desk.server.asked[0].query == {"query": 'rate(e{t="web"}[2m])'}


async def test_a_template_is_asked_of_its_own_server_with_its_own_secret(desk: Desk) -> None:
    desk.templates["ops", "t"] = template(
        "ops",
        'x{ns="{{ namespace }}", d="{{ variables.d }}"}[{{ interval }}]',
        address=f"{desk.server.url}/prom",
        headers={"X-Org": ["7"]},
        secretRef={"name": "s"},
    )
    desk.secrets["ops", "s"] = {"username": "u", "password": "p"}
    desk.server.says(value("0.05"))
    written = {**BY_TEMPLATE, "templateRef": {"name": "t", "namespace": "ops"}, "templateVariables": {"d": "in"}}

    answer = await desk.metric(TEMPLATE, written, spec={"metricsServer": "http://unused"})

    assert answer.passed
    (asked,) = desk.server.asked
    assert asked.path == "/prom/api/v1/query"
    assert asked.query == {"query": 'x{ns="shop", d="in"}[1m]'}
    assert (asked.headers["Authorization"], asked.headers["X-Org"]) == ("Basic dTpw", "7")


@pytest.mark.parametrize(
    ("query", "provider", "sent"),
    [
        ("x[{{ interval }}]", {}, {"query": "x[1m]"}),
        ("SELECT 1 FROM T", {"type": "newrelic"}, {"nrql": "SELECT 1 FROM T SINCE 60 seconds ago"}),
    ],
)
async def test_w52_a_template_without_an_interval_is_measured_over_a_minute(
    desk: Desk, query: str, provider: dict[str, Any], sent: dict[str, str]
) -> None:
    desk.templates["shop", "t"] = template(query=query, address=desk.server.url, secretRef={"name": "s"}, **provider)
    desk.secrets["shop", "s"] = {"token": "t", "newrelic_account_id": "1", "newrelic_query_key": "k"}

    await desk.metric(TEMPLATE, BY_TEMPLATE)

    assert desk.server.asked[0].query == sent


async def test_w59_an_inline_query_that_cannot_be_filled_in_is_never_sent(desk: Desk) -> None:
    answer = await desk.metric(QUERY, {"name": "errors", "query": "x{{ nope }}", "threshold": 1})

    assert answer.verdict is Verdict.FAILED
    assert '"{{ nope }}", which is not supported' in answer.message
    assert desk.server.asked == []


async def test_a_web_metric_is_filled_in_for_the_canary(desk: Desk) -> None:
    desk.templates["shop", "t"] = template(
        query="/rates/{{ target }}?window={{ interval }}",
        type="web",
        address=desk.server.url,
        web={"method": "POST", "body": '{"ns": "{{ namespace }}"}', "jsonPath": "{.{{ name }}}"},
    )
    desk.server.says(Say(body=b'{"web": 0.5}'))

    answer = await desk.metric(TEMPLATE, BY_TEMPLATE)

    assert (answer.verdict, answer.value) == (Verdict.PASSED, "0.50")
    (asked,) = desk.server.asked
    assert (asked.method, asked.path, asked.query) == ("POST", "/rates/web", {"window": "1m"})
    assert asked.body == b'{"ns": "shop"}'


@pytest.mark.parametrize("status", [200, 400, 401, 500])
async def test_no_value_of_a_secret_is_in_an_answer(desk: Desk, status: int, caplog: pytest.LogCaptureFixture) -> None:
    secret = {"token": "planted-t0ken", "header.X-Api-Key": "planted-key"}
    complaint = {"status": "error", "errorType": "internal"}
    desk.templates["shop", "t"] = template(address=desk.server.url, secretRef={"name": "s"})
    desk.secrets["shop", "s"] = secret

    async def echo(asked: Asked) -> Say:
        return Say(status, json.dumps(complaint | {"error": " ".join(asked.headers.values())}).encode())

    desk.server.says(echo)
    answer = await desk.metric(TEMPLATE, BY_TEMPLATE)

    assert "[hidden]" in answer.message
    exported = generate_latest(desk.recorder.registry).decode()
    assert not [value for value in secret.values() if value in repr(answer) + caplog.text + exported]


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "Metric template t.shop error: there is no such MetricTemplate"),
        (template(query="{{ variables.nope }}", address="http://x"), "uses variables.nope"),
        (template(query="{{ if x }}{{ end }}", address="http://x"), '"{{ x }}", which is not supported'),
        (template(query="{{ range x }}{{ end }}", address="http://x"), "loops and parts of Go templates"),
        (template(query="{{ if eq target `x` }}up{{ end }}", address="http://x"), "The query is empty once"),
        (template(address="prometheus"), "cannot be used"),
        (template(type="keptn"), "its project has ended"),
        (
            template(address="http://x", secretRef={"name": "s"}),
            "Metric template t.shop error: there is no Secret s in its namespace: create it, or correct spec.provider.",
        ),
    ],
)
async def test_a_users_mistake_in_a_template_is_a_failed_check_as_in_flagger(
    desk: Desk, found: MetricTemplate | None, says: str
) -> None:
    if found is not None:
        desk.templates["shop", "t"] = found

    answer = await desk.metric(TEMPLATE, BY_TEMPLATE)

    assert answer.verdict is Verdict.FAILED
    assert says in answer.message


async def test_a_query_that_prometheus_refuses_is_a_failed_check_as_in_flagger(desk: Desk) -> None:
    desk.server.says(Say(400, b'{"status":"error","errorType":"bad_data","error":"parse error"}'))

    answer = await desk.metric(QUERY, {"name": "errors", "query": "x[", "threshold": 1})

    assert answer == Answer(
        Verdict.FAILED, "Halt advancement the query of metric errors was refused: bad_data: parse error"
    )


async def test_a_metric_without_a_bound_cannot_pass_and_says_why(desk: Desk) -> None:
    desk.server.says(value("0"))

    answer = await desk.metric(QUERY, {"name": "errors", "query": "x"})

    assert answer.verdict is Verdict.FAILED
    assert "errors has no bound to be judged by" in answer.message


async def test_a_secret_that_cannot_be_read_now_says_nothing_about_the_canary(desk: Desk) -> None:
    desk.templates["shop", "t"] = template(address=desk.server.url, secretRef={"name": "s"})
    desk.secrets_unreachable = True

    answer = await desk.metric(TEMPLATE, BY_TEMPLATE)

    assert answer.verdict is Verdict.ERROR
    assert "its Secret could not be read" in answer.message


async def test_a_builtin_name_with_a_template_is_a_plain_number(desk: Desk) -> None:
    desk.templates["shop", "t"] = template(address=desk.server.url)
    desk.server.says(value("0.7"))

    answer = await desk.metric(TEMPLATE, {**DURATION, "templateRef": {"name": "t"}})

    assert answer == Answer(Verdict.PASSED, "", "0.70", "<= 500")


def hooked(url: str) -> Canary:
    return canary(
        analysis={
            "webhooks": [
                {"name": "gate", "type": "confirm-rollout", "url": f"{url}/gate"},
                {"name": "load", "url": f"{url}/load", "metadata": {"cmd": "hey"}},
            ],
            "metrics": [SUCCESS],
        }
    )


async def test_checks_run_in_order_until_one_does_not_pass(desk: Desk) -> None:
    async def answer(asked: Asked) -> Say:
        return Say(403, b"halted") if asked.path == "/load" else Say()

    desk.server.says(answer)
    gate = HookCheck(0, HookType.CONFIRM_ROLLOUT, Phase.WAITING, "k1")
    load = HookCheck(1, HookType.ROLLOUT, Phase.PROGRESSING, "k2")
    never_asked = MetricCheck(0, BUILTIN, "a")

    answers = await desk.run(hooked(desk.server.url), gate, load, never_asked)

    assert answers == {gate: Answer(Verdict.PASSED), load: Answer(Verdict.FAILED, "halted")}
    assert [json.loads(asked.body) for asked in desk.server.asked] == [
        {"name": "web", "namespace": "shop", "phase": "Waiting", "checksum": "664667f95d"},
        {
            "name": "web",
            "namespace": "shop",
            "phase": "Progressing",
            "checksum": "664667f95d",
            "metadata": {"cmd": "hey"},
        },
    ]
    assert [asked.headers["Idempotency-Key"] for asked in desk.server.asked] == ["k1", "k2"]


async def test_a_hook_that_cannot_be_reached_has_failed(desk: Desk) -> None:
    check = HookCheck(1, HookType.ROLLOUT, Phase.PROGRESSING, "k")

    answers = await desk.run(hooked(closed_port()), check)

    assert answers[check].verdict is Verdict.FAILED
    assert "cannot connect" in answers[check].message


def many(url: str, **analysis: Any) -> Canary:
    hooks = [{"name": name, "type": "rollout", "url": f"{url}/{name}"} for name in ("first", "second", "third")]
    return canary(analysis={"webhooks": hooks, **analysis})


def asks(kind: HookType = HookType.ROLLOUT) -> tuple[HookCheck, ...]:
    return tuple(HookCheck(index, kind, Phase.PROGRESSING, f"k{index}") for index in range(3))


async def test_hooks_are_called_at_the_same_time_where_the_canary_wants_it(desk: Desk) -> None:
    """The first is answered when the last has come; the answers keep the order of the list."""
    all_there = asyncio.Event()

    async def wait_for_all(asked: Asked) -> Say:
        if len(desk.server.asked) == 3:
            all_there.set()
        async with asyncio.timeout(30):
            await all_there.wait()
        return Say(403, b"no") if asked.path == "/first" else Say()

    desk.server.says(wait_for_all)
    first, second, third = asks()

    answers = await desk.run(many(desk.server.url, webhooksParallel=True), first, second, third)

    assert list(answers.items()) == [
        (first, Answer(Verdict.FAILED, "no")),
        (second, Answer(Verdict.PASSED)),
        (third, Answer(Verdict.PASSED)),
    ]
    counted = 'flaggerpy_canary_checks_total{check="%s",name="web",namespace="shop",result="passed",type="rollout"}'
    assert desk.counted(counted, "first", "second", "third") == {"first": 0, "second": 1, "third": 1}


async def test_one_by_one_the_first_refusal_is_the_last_call(desk: Desk) -> None:
    desk.server.says(Say(), Say(403, b"no"))

    answers = await desk.run(many(desk.server.url), *asks())

    assert [answer.passed for answer in answers.values()] == [True, False]
    assert [asked.path for asked in desk.server.asked] == ["/first", "/second"]


async def test_metrics_are_measured_one_by_one_whatever_hooks_do(desk: Desk) -> None:
    desk.server.says(value("5"))
    made = many(desk.server.url, webhooksParallel=True, metrics=[SUCCESS, DURATION])

    answers = await desk.run(made, MetricCheck(0, BUILTIN, "a"), MetricCheck(1, BUILTIN, "a"))

    assert [answer.verdict for answer in answers.values()] == [Verdict.FAILED]


@pytest.mark.parametrize("parallel", [False, True])
async def test_a_hook_whose_secret_cannot_be_read_now_ends_the_tick_and_nothing_is_counted(
    desk: Desk, parallel: bool
) -> None:
    header = {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    hooks = [{"name": "load", "url": desk.server.url, "headers": [header]}]
    desk.secrets_unreachable = True

    with pytest.raises(Unreachable):
        await desk.run(
            canary(analysis={"webhooks": hooks, "webhooksParallel": parallel}),
            HookCheck(0, HookType.ROLLOUT, Phase.PROGRESSING, "k"),
        )

    assert desk.server.asked == []
    counted = 'flaggerpy_canary_checks_total{check="load",name="web",namespace="shop",result="%s",type="rollout"}'
    assert set(desk.counted(counted).values()) == {0}


async def test_a_hook_gets_the_secret_of_its_canarys_namespace(desk: Desk) -> None:
    header = {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    hooks = [{"name": "load", "url": desk.server.url, "headers": [header]}]
    desk.secrets["shop", "s"] = {"k": "Bearer ours"}
    desk.secrets["ops", "s"] = {"k": "Bearer theirs"}
    check = HookCheck(0, HookType.ROLLOUT, Phase.PROGRESSING, "k")

    assert (await desk.run(canary(analysis={"webhooks": hooks}), check))[check].passed
    assert desk.server.asked[0].headers["Authorization"] == "Bearer ours"


# Guards


GUARDED = {"name": "errors", "query": 'e{t="{{ target }}"}[{{ interval }}]', "thresholdRange": {"max": 1}}


def queries(desk: Desk) -> list[str]:
    return [asked.query["query"] for asked in desk.server.asked]


async def test_too_few_samples_are_inconclusive_and_the_value_is_shown(desk: Desk) -> None:
    desk.server.says(value("7"), value("41"))

    answer = await desk.metric(
        QUERY, {**GUARDED, "minSamples": 100, "sampleQuery": 'n{t="{{ target }}"}[{{ interval }}]'}
    )

    assert answer == Answer(Verdict.INCONCLUSIVE, "metric errors: 41 samples are too few, 100 are needed", "7.00")
    assert queries(desk) == ['e{t="web"}[1m]', 'n{t="web"}[1m]']
    assert desk.exported() == ['flagger_canary_metric_analysis{metric="errors",name="web",namespace="shop"} 7.0']


async def test_requests_of_a_built_in_check_are_counted_without_a_query(desk: Desk) -> None:
    desk.server.says(value("99.5"), value("500"))

    assert (await desk.metric(BUILTIN, {**SUCCESS, "minSamples": 100})).passed
    assert queries(desk)[1].startswith("sum(increase(http_request_duration_seconds_count{")


async def test_samples_of_a_template_are_counted_by_its_server_and_its_secret_is_read_once(desk: Desk) -> None:
    desk.templates["shop", "t"] = template(address=desk.server.url, secretRef={"name": "s"}, query="e{{ role }}")
    desk.secrets["shop", "s"] = {"token": "t"}
    desk.server.says(value("1"), value("500"), value("2"), value("500"))
    written = {
        **BY_TEMPLATE,
        "minSamples": 9,
        "sampleQuery": "n{{ role }}",
        "compareTo": "primary",
        "ratio": {"max": 1},
    }

    answer = await desk.metric(TEMPLATE, written)

    assert answer == Answer(Verdict.PASSED, "", "1.00", "<= 1, <= 1 × the primary's 2.00")
    assert queries(desk) == ["ecanary", "ncanary", "eprimary", "nprimary"]
    assert {asked.headers["Authorization"] for asked in desk.server.asked} == {"Bearer t"}


async def test_a_built_in_check_is_compared_with_the_primary_in_its_own_unit(desk: Desk) -> None:
    desk.server.says(value("0.45"), value("0.2"))

    answer = await desk.metric(BUILTIN, {"name": "request-duration", "compareTo": "primary", "ratio": {"max": 2}})

    assert answer.message == "Halt web.shop advancement request duration 450ms > 2 × the primary's 200ms"
    assert ["web-primary-[" in query for query in queries(desk)] == [False, True]
    assert desk.exported() == [
        'flagger_canary_metric_analysis{metric="request-duration",name="web",namespace="shop"} 0.45'
    ], "of the canary"


@pytest.mark.parametrize(
    ("query", "web"),
    [
        ("/rates", {"method": "POST", "body": '{"app": "{{ target }}"}', "jsonPath": "{.rate}"}),
        ("/rates", {"jsonPath": "{.{{ role }}}"}),
        ("/rates/{{ target }}", {"method": "POST", "body": '{"of": "{{ target }}"}', "jsonPath": "{.{{ role }}}"}),
    ],
)
async def test_a_web_metric_is_filled_in_for_whom_it_is_asked_about(
    desk: Desk, query: str, web: dict[str, Any]
) -> None:
    desk.templates["shop", "t"] = template(query=query, type="web", address=desk.server.url, web=web)

    async def tell(asked: Asked) -> Say:
        rate = 4 if b"primary" in asked.body else 2
        return Say(body=json.dumps({"rate": rate, "canary": 2, "primary": 4}).encode())

    desk.server.says(tell)
    answer = await desk.metric(TEMPLATE, {**COMPARED, "ratio": {"max": 1}})

    assert (answer.verdict, answer.bound) == (Verdict.PASSED, "<= 1 × the primary's 4.00")
    assert len(desk.server.asked) == 2


async def test_nothing_more_is_asked_of_a_server_that_did_not_answer(desk: Desk) -> None:
    desk.server.says(Say(status=500))

    answer = await desk.metric(
        QUERY, {**GUARDED, "minSamples": 1, "sampleQuery": "n", "compareTo": "primary", "ratio": {"max": 1}}
    )

    assert answer.verdict is Verdict.ERROR
    assert len(desk.server.asked) == 1


async def test_a_window_that_begins_with_the_step_is_in_the_query(desk: Desk) -> None:
    desk.server.says(value("0"))
    of = canary(analysis={"metrics": [{**GUARDED, "interval": "5m", "window": "step"}]})

    await desk.run(of, MetricCheck(0, QUERY, "a", desk.clock.now() - timedelta(seconds=95.5)))

    assert queries(desk) == ['e{t="web"}[95s]']


async def test_after_a_metric_without_a_verdict_the_others_are_measured(desk: Desk) -> None:
    metrics = [{**GUARDED, "name": name, "onNoData": "wait"} for name in ("a", "b", "c", "d")]
    first, second, third, last = (MetricCheck(index, QUERY, "a") for index in range(4))
    desk.server.says(NOTHING, Say(status=500), value("7"), value("0"))

    answers = await desk.run(canary(analysis={"metrics": metrics}), first, second, third, last)

    assert [answers[check].verdict for check in (first, second, third)] == [
        Verdict.INCONCLUSIVE,
        Verdict.ERROR,
        Verdict.FAILED,
    ]
    assert last not in answers, "a failure that is counted ends the round"


async def test_a_server_that_gives_no_answer_is_waited_for_once_a_round(desk: Desk) -> None:
    metrics = [{**GUARDED, "name": name} for name in ("a", "b")] + [BY_TEMPLATE]
    desk.templates["shop", "t"] = template(address=desk.server.url)
    desk.server.says(value("0"))
    first, second, elsewhere = MetricCheck(0, QUERY, "a"), MetricCheck(1, QUERY, "a"), MetricCheck(2, TEMPLATE, "a")

    of = canary(spec={"metricsServer": closed_port()}, analysis={"metrics": metrics})
    answers = await desk.run(of, first, second, elsewhere)

    assert "cannot connect" in answers[first].message
    assert answers[second] == Answer(
        Verdict.ERROR,
        "The metric b could not be measured, the rollout holds: its server has just left another query unanswered",
    )
    assert answers[elsewhere].passed
    queries = 'flaggerpy_metric_query_duration_seconds_count{outcome="%s",provider="prometheus"}'
    assert desk.counted(queries, "unanswered") == {"unanswered": 1}


async def test_an_external_metric_of_another_namespace_is_not_asked_for_where_that_is_forbidden(desk: Desk) -> None:
    async with Outbound(trust_env=False) as outbound:
        confined = Desk(outbound, desk.server, confined=True)
        confined.templates["shop", "t"] = template("shop", "monitoring/q", type="externalmetrics", address="http://m")
        answer = await confined.metric(TEMPLATE, BY_TEMPLATE)
    assert answer.verdict is Verdict.FAILED
    assert "of namespace monitoring, which this controller forbids (--no-cross-namespace-refs)" in answer.message


async def test_a_failure_that_is_not_counted_does_not_end_the_round(desk: Desk) -> None:
    metrics = [{**GUARDED, "name": "tried", "dryRun": True}, GUARDED]
    tried, counts = MetricCheck(0, QUERY, "a", counts=False), MetricCheck(1, QUERY, "a")
    desk.server.says(value("7"), value("0"))

    answers = await desk.run(canary(analysis={"metrics": metrics}), tried, counts)

    assert [answers[tried].verdict, answers[counts].verdict] == [Verdict.FAILED, Verdict.PASSED]
