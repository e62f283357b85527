"""Load tests that gate a step: bounds on what they measured, and hooks that ask how they went."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flaggerpy.loadtester.board import BoardUnavailable, MemoryBoard
from flaggerpy.loadtester.program import Settings
from flaggerpy.loadtester.results import KEPT, MOST, Result, Results, read_result
from flaggerpy.loadtester.tasks import Question
from tests.loadtester.harness import LIMIT, Answer, Caller, load_tester

DATA = Path(__file__).parent / "data"
START = datetime(2031, 5, 17, 8, 30, tzinfo=UTC)


def measures(name: str) -> str:
    """A command that prints what a real load generator once printed."""
    return f"cat {DATA / name}.txt"


def tasks(kind: str, result: str) -> str:
    return f'flaggerpy_loadtester_tasks_total{{result="{result}",type="{kind}"}}'


async def test_w85_a_load_test_that_misses_its_bounds_fails_the_hook_that_waits_for_it(caller: Caller) -> None:
    bounds = {"maxErrorRate": "1%", "maxP99": "1s"}
    assert (await caller.ask("/", type="bash", cmd=measures("hey-good"), **bounds)).status == 200
    answer = await caller.ask("/", type="bash", cmd=measures("hey-bad"), **bounds)
    assert answer.status == 500
    said = "31 of 100 requests failed: 31 %, which is more than 1 %"
    assert answer.body.startswith(f"command {measures('hey-bad')} failed: {said}: \nSummary:")
    assert await caller.series(tasks("bash", "missed")) == 1


async def test_a_bad_exit_status_fails_within_all_bounds_too(caller: Caller) -> None:
    answer = await caller.ask("/", type="bash", cmd=f"{measures('hey-good')}; exit 2", maxErrorRate="1%")
    assert answer.status == 500
    assert "failed: exit status 2: " in answer.body


async def test_a_background_load_test_that_misses_its_bounds_is_told_at_the_next_call(caller: Caller) -> None:
    load = {"cmd": measures("wrk-bad"), "failOnError": "true", "maxErrorRate": "5"}
    assert (await caller.ask("/", **load)).status == 202
    await caller.series_reaches(tasks("cmd", "missed"), 1)
    answer = await caller.ask("/", **load)
    assert answer.status == 424
    assert "12 of 40 requests failed: 30 %, which is more than 5 %" in answer.body


async def test_a_later_hook_asks_how_the_last_run_went(caller: Caller) -> None:
    await caller.ask("/", cmd=measures("hey-good"), id="load", maxErrorRate="1%")
    await caller.series_reaches(tasks("cmd", "succeeded"), 1)
    assert await caller.ask("/", type="result", task="load") == Answer(200, "")

    await caller.ask("/", cmd=measures("hey-bad"), id="load", maxErrorRate="1%")
    await caller.series_reaches(tasks("cmd", "missed"), 1)
    for _ in range(2):
        answer = await caller.ask("/", type="result", task="load")
        assert answer.status == 424
        assert answer.body.endswith("hey-bad.txt failed: 31 of 100 requests failed: 31 %, which is more than 1 %")
    assert await caller.series('flaggerpy_loadtester_result_questions_total{answer="failed"}') == 2


@pytest.mark.parametrize(
    ("kind", "command"), [("cmd", "exit 3"), ("bash", "exit 3"), ("kubectl", "--no-such-flag-at-all")]
)
async def test_every_type_of_task_may_have_an_id(caller: Caller, kind: str, command: str) -> None:
    await caller.ask("/", type=kind, cmd=command, id="smoke")
    answer = await caller.ask("/", type="result", task="smoke", wait="30s")
    assert answer.status == 424
    assert command in answer.body


async def test_a_result_that_is_not_there_fails_the_hook_unless_that_is_good_enough(caller: Caller) -> None:
    sentence = 'no run of task "load" of this revision has ended within the last 10m0s'
    assert await caller.ask("/", type="result", task="load") == Answer(424, sentence)
    assert await caller.ask("/", type="result", task="load", onNoResult="pass") == Answer(200, sentence)


@pytest.mark.parametrize("other", ["podinfo.prod", "backend.test"])
async def test_a_result_is_of_its_canary_its_revision_and_its_id(caller: Caller, other: str) -> None:
    await caller.ask("/", type="bash", cmd="true", id="load")
    assert (await caller.ask("/", type="result", task="load")).status == 200
    assert (await caller.ask("/", type="result", task="load", canary=other)).status == 424
    assert (await caller.ask("/", type="result", task="smoke")).status == 424
    assert (await caller.of("99f0").ask("/", type="result", task="load")).status == 424
    assert (await caller.of("").ask("/", type="result", task="load")).status == 200, "a person with curl"


async def test_a_question_waits_for_the_run_that_is_under_way(caller: Caller, tmp_path: Path) -> None:
    go = tmp_path / "go"
    await caller.ask("/", cmd=f"while [ ! -e {go} ]; do sleep 0.02; done", id="load")
    question = asyncio.create_task(caller.ask("/", type="result", task="load", wait="1m"))
    await caller.series_reaches('flaggerpy_loadtester_tasks_running{type="cmd"}', 1)
    assert not question.done()
    go.touch()
    assert await question == Answer(200, "")


async def test_a_question_whose_caller_has_hung_up_is_over(settings: Settings) -> None:
    """Or each check would leave another one that asks the API server every two seconds, as long as `wait` says."""
    asked, over = asyncio.Event(), asyncio.Event()

    class Slow(MemoryBoard):
        async def read(self) -> Mapping[str, str]:
            asked.set()
            try:
                await asyncio.Event().wait()
            finally:
                over.set()
            return {}

    async with load_tester(settings, Slow()) as caller:
        call = asyncio.create_task(caller.ask("/", type="result", task="load", wait="1h"))
        async with asyncio.timeout(LIMIT):
            await asked.wait()
            call.cancel()
            await over.wait()


async def test_a_question_does_not_wait_for_ever(caller: Caller) -> None:
    assert (await caller.ask("/", type="result", task="load", wait="20ms")).status == 424


async def test_a_result_that_is_too_old_is_none(caller: Caller) -> None:
    await caller.ask("/", type="bash", cmd="true", id="load")
    assert (await caller.ask("/", type="result", task="load", maxAge="1us")).status == 424


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        pytest.param({"type": "result"}, "metadata.task is missing", id="of which task?"),
        pytest.param({"type": "result", "task": "a b"}, '"a b" is no id', id="an id with a blank"),
        pytest.param({"cmd": "true", "id": "-load"}, '"-load" is no id', id="an id that begins with a sign"),
        pytest.param({"cmd": "true", "id": "x" * 64}, "up to 63", id="a long id"),
        pytest.param({"type": "result", "task": "a", "wait": "1d"}, "metadata.wait", id="no duration"),
        pytest.param({"type": "result", "task": "a", "maxAge": "0s"}, "not longer than zero", id="no time at all"),
        pytest.param(
            {"type": "result", "task": "a", "onNoResult": "wait"}, "neither fail nor pass", id="another answer"
        ),
        pytest.param({"cmd": "true", "maxP99": "5"}, "metadata.maxP99", id="a bound that is none"),
        pytest.param({"cmd": "true", "maxLatency": "5s"}, "metadata.maxLatency is no bound", id="an unknown bound"),
        pytest.param(
            {"type": "ngrinder", "server": "http://x", "clone": "1", "username": "u", "passwd": "cHc=", "maxP99": "1s"},
            "no output to hold them against",
            id="a bound of a job that prints nothing",
        ),
    ],
)
async def test_nonsense_is_refused_with_a_sentence(caller: Caller, metadata: dict[str, str], words: str) -> None:
    answer = await caller.ask("/", **metadata)
    assert answer.status == 400
    assert words in answer.body


async def test_results_are_kept_by_canaries_only(caller: Caller) -> None:
    body = {"metadata": {"type": "result", "task": "load"}}
    answer = await caller.send("/", json.dumps(body).encode())
    assert answer == Answer(400, "results are kept by canary: name and namespace must be those of one")


# The board ----------------------------------------------------------------------------------------------------------


async def test_as_many_results_as_fit_are_kept_and_what_is_not_ours_stays() -> None:
    board, now = MemoryBoard(), START
    old = Result(START - KEPT - timedelta(seconds=1), passed=True, revision="85d5", sentence="")
    rows = {f"result.podinfo.test.{number}": Result(START - timedelta(seconds=number), True, "85d5", "").text()
            for number in range(MOST)}  # fmt: skip
    strange = {"gate.podinfo.test": "open", "result.x.y.z": "what?"}
    await board.change(lambda _: {**rows, **strange, "result.podinfo.test.old": old.text()})
    await Results(board, lambda: now).file("podinfo.test", "new", revision="85d5", fault="")
    left = await board.read()
    assert len(left) == MOST + 1
    assert left["gate.podinfo.test"] == "open"
    gone = {f"result.podinfo.test.{MOST - 1}", "result.podinfo.test.old", "result.x.y.z"}
    assert not gone & left.keys()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "7", '{"at": "soon", "passed": true, "revision": "", "why": ""}', "null",
             '{"at": "2031-05-17T08:30:00", "passed": true, "revision": "", "why": ""}']
)  # fmt: skip
def test_what_nobody_can_read_is_no_result(text: str) -> None:
    assert read_result(text) is None


def test_what_is_written_is_read_again() -> None:
    result = Result(at=START, passed=False, revision="85d5", sentence="p99 is 2s — too slow")
    assert read_result(result.text()) == result


async def test_a_long_sentence_keeps_what_ran_and_what_went_wrong() -> None:
    results = Results(MemoryBoard(), lambda: START)
    await results.file("podinfo.test", "load", revision="85d5", fault=f"command hey {'x' * 5000} failed: exit status 1")
    found = await results.last(Question("podinfo.test", "load", "85d5", timedelta(minutes=1)))
    assert found is not None
    assert found.sentence.startswith("command hey xxx")
    assert found.sentence.endswith("failed: exit status 1")
    assert len(found.sentence) < 700


async def test_a_question_hears_of_a_result_that_another_replica_keeps() -> None:
    board = MemoryBoard()
    one, two = (Results(board, lambda: START, look_again=0.02) for _ in range(2))
    question = Question("podinfo.test", "load", "85d5", timedelta(minutes=1), patience=30)
    asked = asyncio.create_task(one.last(question))
    await asyncio.sleep(0)
    await two.file("podinfo.test", "load", revision="85d5", fault="")
    found = await asked
    assert found is not None
    assert found.passed


async def test_a_result_that_cannot_be_kept_hurts_no_task() -> None:
    class Broken(MemoryBoard):
        async def change(self, edit: object) -> None:
            raise BoardUnavailable("gone")

    await Results(Broken(), lambda: START).file("podinfo.test", "load", revision="85d5", fault="")
