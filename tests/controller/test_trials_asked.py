"""Sequential tests: the four counters that are asked for, where, and what comes back with the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.api.sequential import SequentialRecord
from flaggerpy.api.templates import parse_metric_template
from flaggerpy.metrics.counters import grown
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.rollout.checks import MetricCheck, MetricSource, Trial, Verdict
from tests.builders import canary
from tests.controller.desk import Desk, value
from tests.controller.test_check import queries, template
from tests.metrics.loopback import Say, closed_port, loopback

COUNTERS = MetricSource.COUNTERS
COUNTED = {"good": 'ok{app="{{ target }}"}', "total": 'all{app="{{ target }}"}'}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with Outbound(trust_env=False) as outbound, loopback() as server:
        yield Desk(outbound, server)


def on_trial(
    desk: Desk, written: dict[str, Any], *, last: bool = False, seen: SequentialRecord | None = None
) -> tuple[Canary, MetricCheck]:
    """A canary with this one metric, and the question of its test about the last minute."""
    of = canary(analysis={"metrics": [written]})
    test = of.analysis.metrics[0].sequential
    assert test is not None
    trial = Trial(test, seen or SequentialRecord(), desk.clock.now() - timedelta(minutes=1), last=last)
    return of, MetricCheck(0, COUNTERS, "a", trial=trial)


async def test_a_test_asks_how_far_four_counters_went_and_keeps_what_it_saw(desk: Desk) -> None:
    desk.server.says(value("990"), value("1000"), value("8999"), value("9000"))
    of, check = on_trial(desk, {"name": "errors", "sequential": COUNTED})
    answer = (await desk.run(of, check))[check]

    assert check.trial is not None
    assert check.trial.since is not None
    assert queries(desk) == [
        grown(f'{counter}{{app="{app}"}}', check.trial.since, desk.clock.now(), 'all{app="web-primary"}')
        for app in ("web", "web-primary")
        for counter in ("ok", "all")
    ]
    assert answer.record is not None
    assert (answer.record.until, answer.record.intervals) == (desk.clock.now(), 1)
    assert (answer.record.canary.total, answer.record.primary.good) == (1000, 8999)
    assert answer.value == "+0.99 points (1.00% of 1,000, primary 0.01% of 9,000)"


async def test_the_built_in_check_has_counters_of_its_own(desk: Desk) -> None:
    desk.server.says(value("1000"), value("1000"), value("9000"), value("9000"))
    of, check = on_trial(desk, {"name": "request-success-rate", "sequential": {}})

    assert (await desk.run(of, check))[check].passed
    counted = [query.partition(" and on() ")[0] for query in queries(desk)]
    assert [('status!~"5.*"' in query, "web-primary-[" in query) for query in counted] == [
        (True, False),
        (False, False),
        (True, True),
        (False, True),
    ]


async def test_evidence_grows_over_looks_until_it_is_a_proof(desk: Desk) -> None:
    desk.server.says(value("490"), value("500"), value("500"), value("500"))
    verdicts: list[Verdict] = []
    seen = SequentialRecord()
    while not verdicts or verdicts[-1] is not Verdict.FAILED:
        of, check = on_trial(desk, {"name": "errors", "sequential": COUNTED}, seen=seen)
        desk.server.says(value("490"), value("500"), value("500"), value("500"))
        answer = (await desk.run(of, check))[check]
        assert answer.record is not None
        seen = answer.record
        verdicts.append(answer.verdict)

    assert verdicts == [Verdict.PASSED, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, Verdict.FAILED]
    assert (seen.intervals, seen.asked) == (4, 2)
    assert answer.message.startswith("Halt web.shop advancement errors: the canary fails more often")


async def test_while_one_side_has_all_users_nothing_is_asked(desk: Desk) -> None:
    of, check = on_trial(desk, {"name": "errors", "sequential": COUNTED})
    assert check.trial is not None
    alone = replace(check, trial=replace(check.trial, since=None))

    answer = (await desk.run(of, alone))[alone]

    assert answer.verdict is Verdict.INCONCLUSIVE
    assert desk.server.asked == []


@pytest.mark.parametrize(
    ("say", "verdict", "words"),
    [
        (Say(status=500), Verdict.ERROR, "could not be measured, the rollout holds"),
        (value("-1"), Verdict.ERROR, "-1 is no number of requests"),
        (
            Say(422, b'{"status":"error","errorType":"execution","error":"expanding series: store is away"}'),
            Verdict.ERROR,
            "the rollout holds: Prometheus at",
        ),
        (value("+Inf"), Verdict.ERROR, "inf is no number of requests"),
        (Say(400, b'{"status":"error","errorType":"bad_data","error":"no"}'), Verdict.FAILED, "was refused"),
    ],
)
async def test_what_is_no_count_says_nothing_and_is_asked_again(
    desk: Desk, say: Say, verdict: Verdict, words: str
) -> None:
    desk.server.says(say)
    of, check = on_trial(desk, {"name": "errors", "sequential": COUNTED})

    answer = (await desk.run(of, check))[check]

    assert (answer.verdict, answer.record) == (verdict, None)
    assert words in answer.message


async def test_counters_are_read_where_the_template_measures(desk: Desk) -> None:
    elsewhere = {"metricsServer": closed_port()}
    desk.templates["shop", "t"] = template(address=desk.server.url, secretRef={"name": "s"})
    desk.secrets["shop", "s"] = {"token": "t"}
    desk.server.says(value("1000"))
    written = {"name": "errors", "templateRef": {"name": "t"}, "sequential": COUNTED}
    _, check = on_trial(desk, written)

    answer = (await desk.run(canary(spec=elsewhere, analysis={"metrics": [written]}), check))[check]

    assert answer.passed
    assert {asked.headers["Authorization"] for asked in desk.server.asked} == {"Bearer t"}


async def test_only_a_prometheus_has_counters(desk: Desk) -> None:
    desk.templates["shop", "t"] = parse_metric_template(
        {
            "metadata": {"name": "t", "namespace": "shop"},
            "spec": {"provider": {"type": "graphite", "address": desk.server.url}, "query": "x"},
        }
    )
    of, check = on_trial(desk, {"name": "errors", "templateRef": {"name": "t"}, "sequential": COUNTED})

    answer = (await desk.run(of, check))[check]

    assert answer.verdict is Verdict.FAILED
    assert "use a MetricTemplate of type prometheus" in answer.message


async def test_a_server_that_left_a_test_unanswered_is_not_asked_again_in_the_round(desk: Desk) -> None:
    metrics = [{"name": name, "sequential": COUNTED} for name in ("a", "b")]
    _, check = on_trial(desk, metrics[0])
    of = canary(spec={"metricsServer": closed_port()}, analysis={"metrics": metrics})

    answers = await desk.run(of, check, replace(check, index=1))

    assert "cannot connect" in answers[check].message
    assert "has just left another query unanswered" in answers[replace(check, index=1)].message
