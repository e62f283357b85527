"""Tasks over HTTP, with real shells behind it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from flaggerpy.loadtester.program import Settings
from tests.loadtester.harness import Answer, Caller, alive, eventually, load_tester, read_pids

RUNNING = 'flaggerpy_loadtester_tasks_running{type="cmd"}'


def tasks(kind: str, result: str) -> str:
    return f'flaggerpy_loadtester_tasks_total{{result="{result}",type="{kind}"}}'


async def test_a_cmd_task_runs_in_the_background_by_a_shell(caller: Caller, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert await caller.ask("/", cmd=f"echo one | tr a-z A-Z > {out}") == Answer(202, "")
    await caller.series_reaches(tasks("cmd", "succeeded"), 1)
    assert out.read_text() == "ONE\n"


@pytest.mark.parametrize("path", ["/", "/load-test", "/gate", "/gate/unknown"])
async def test_every_other_path_starts_a_task(caller: Caller, tmp_path: Path, path: str) -> None:
    assert (await caller.ask(path, type="cmd", cmd=f"touch {tmp_path / 'ran'}")).status == 202
    await eventually((tmp_path / "ran").exists, "the task ran")


async def test_the_same_cmd_does_not_run_twice_while_the_first_runs(caller: Caller, tmp_path: Path) -> None:
    runs, go = tmp_path / "runs", tmp_path / "go"
    cmd = f"echo run >> {runs}; while [ ! -e {go} ]; do sleep 0.02; done"
    for _ in range(3):
        assert await caller.ask("/", cmd=cmd) == Answer(202, "")
    assert await caller.series(RUNNING) == 1
    assert await caller.series(tasks("cmd", "skipped")) == 2
    go.touch()
    await caller.series_reaches(tasks("cmd", "succeeded"), 1)
    assert runs.read_text() == "run\n"

    await caller.ask("/", cmd=cmd)
    await caller.series_reaches(tasks("cmd", "succeeded"), 2)
    assert runs.read_text() == "run\nrun\n"


async def test_w82_the_same_cmd_sent_at_the_same_moment_runs_once(caller: Caller, tmp_path: Path) -> None:
    runs, go = tmp_path / "runs", tmp_path / "go"
    cmd = f"echo run >> {runs}; while [ ! -e {go} ]; do sleep 0.02; done"
    answers = await asyncio.gather(*(caller.ask("/", cmd=cmd) for _ in range(20)))
    assert {answer.status for answer in answers} == {202}
    go.touch()
    await caller.series_reaches(RUNNING, 0)
    assert runs.read_text() == "run\n"


async def test_other_commands_and_other_canaries_are_no_duplicates(caller: Caller, tmp_path: Path) -> None:
    cmd = f"while [ ! -e {tmp_path / 'go'} ]; do sleep 0.02; done"
    await caller.ask("/", canary="podinfo.test", cmd=cmd)
    await caller.ask("/", canary="podinfo.prod", cmd=cmd)
    await caller.ask("/", canary="podinfo.test", cmd=cmd + " # another")
    assert await caller.series(RUNNING) == 3
    (tmp_path / "go").touch()
    await caller.series_reaches(RUNNING, 0)


async def test_w85_a_failed_cmd_is_told_at_the_next_call_when_asked_for(caller: Caller, tmp_path: Path) -> None:
    cmd = f"echo too slow; [ -e {tmp_path / 'good'} ]"
    assert (await caller.ask("/", cmd=cmd, failOnError="true")).status == 202
    await caller.series_reaches(tasks("cmd", "failed"), 1)

    (tmp_path / "good").touch()
    answer = await caller.ask("/", cmd=cmd, failOnError="true")
    assert answer.status == 424
    assert "too slow" in answer.body
    assert "exit status 1" in answer.body

    await caller.series_reaches(tasks("cmd", "succeeded"), 1)
    assert await caller.ask("/", cmd=cmd, failOnError="true") == Answer(202, "")


async def test_a_failed_cmd_is_not_told_to_the_next_revision(caller: Caller) -> None:
    await caller.ask("/", cmd="exit 3", failOnError="true")
    await caller.series_reaches(tasks("cmd", "failed"), 1)
    assert (await caller.of("99f0").ask("/", cmd="exit 3", failOnError="true")).status == 202


async def test_a_repeated_question_is_answered_as_before_and_starts_nothing(caller: Caller, tmp_path: Path) -> None:
    cmd = f"echo run >> {tmp_path / 'runs'}; exit 3"
    await caller.ask("/", cmd=cmd, failOnError="true")
    await caller.series_reaches(tasks("cmd", "failed"), 1)
    again = caller.with_headers(Idempotency_Key="uid/85d5/10/2/load")
    first = await again.ask("/", cmd=cmd, failOnError="true")
    await caller.series_reaches(tasks("cmd", "failed"), 2)
    assert first.status == 424
    assert await again.ask("/", cmd=cmd, failOnError="true") == first
    assert (tmp_path / "runs").read_text() == "run\n" * 2


async def test_a_caller_that_asks_the_same_again_waits_for_the_run_it_started(caller: Caller, tmp_path: Path) -> None:
    runs, go = tmp_path / "runs", tmp_path / "go"
    cmd = f"echo run >> {runs}; while [ ! -e {go} ]; do sleep 0.02; done; echo done"
    asking = caller.with_headers(Idempotency_Key="uid/85d5/10/1/test")
    hung_up = asyncio.create_task(asking.ask("/", type="bash", cmd=cmd))
    await eventually(runs.exists, "the task runs")
    hung_up.cancel()
    again = asyncio.create_task(asking.ask("/", type="bash", cmd=cmd, returnCmdOutput="true"))
    await caller.series_reaches(tasks("bash", "skipped"), 1)
    go.touch()
    assert (await again).status == 200
    assert runs.read_text() == "run\n"


async def test_a_run_that_passed_is_not_repeated_for_a_caller_that_asks_the_same_again(
    caller: Caller, tmp_path: Path
) -> None:
    """A run that ends between a caller's two attempts, the first of which had no more patience."""
    runs, go = tmp_path / "runs", tmp_path / "go"
    cmd = f"echo run >> {runs}; while [ ! -e {go} ]; do sleep 0.02; done; echo done"
    asking = caller.with_headers(Idempotency_Key="uid/85d5/10/1/test")
    hung_up = asyncio.create_task(asking.ask("/", type="bash", cmd=cmd, returnCmdOutput="true"))
    await eventually(runs.exists, "the task runs")
    hung_up.cancel()
    go.touch()
    await caller.series_reaches(tasks("bash", "succeeded"), 1)
    assert await asking.ask("/", type="bash", cmd=cmd, returnCmdOutput="true") == Answer(200, "done\n")
    assert runs.read_text() == "run\n"


async def test_a_run_that_failed_is_repeated_for_a_caller_that_tries_again(caller: Caller, tmp_path: Path) -> None:
    cmd = f"echo run >> {tmp_path / 'runs'}; [ $(wc -l < {tmp_path / 'runs'}) = 2 ]"
    asking = caller.with_headers(Idempotency_Key="uid/85d5/10/1/test")
    assert (await asking.ask("/", type="bash", cmd=cmd)).status == 500
    assert (await asking.ask("/", type="bash", cmd=cmd)).status == 200


async def test_what_is_remembered_of_a_failure_is_bounded(caller: Caller) -> None:
    cmd = "seq 20000; exit 3"
    await caller.ask("/", cmd=cmd, failOnError="true")
    await caller.series_reaches(tasks("cmd", "failed"), 1)
    answer = await caller.ask("/", cmd=cmd, failOnError="true")
    assert answer.body.startswith("the previous run failed: command seq 20000; exit 3 failed: exit status 3: 1\n2\n")
    assert len(answer.body) < 5000


async def test_a_failed_cmd_changes_no_answer_otherwise(caller: Caller) -> None:
    assert (await caller.ask("/", cmd="exit 3")).status == 202
    await caller.series_reaches(tasks("cmd", "failed"), 1)
    assert await caller.ask("/", cmd="exit 3") == Answer(202, "")


@pytest.mark.parametrize(
    ("wanted", "body"),
    [("true", "hi\nand an error\n"), ("1", "hi\nand an error\n"), ("false", ""), ("perhaps", "")],
)
async def test_bash_answers_when_done_and_shows_its_output_when_asked(caller: Caller, wanted: str, body: str) -> None:
    cmd = "[[ hi =~ h ]] && echo hi; echo and an error >&2"
    assert await caller.ask("/", type="bash", cmd=cmd, returnCmdOutput=wanted) == Answer(200, body)


async def test_a_failing_bash_answers_500_with_command_output_and_error(caller: Caller) -> None:
    answer = await caller.ask("/", type="bash", cmd="echo not ok 3 checkout; exit 7")
    assert answer.status == 500
    assert answer.body == "command echo not ok 3 checkout; exit 7 failed: exit status 7: not ok 3 checkout\n"
    assert await caller.series(tasks("bash", "failed")) == 1


async def test_the_error_is_near_the_beginning_however_long_the_command_is(caller: Caller) -> None:
    answer = await caller.ask("/", type="bash", cmd=f"true {'x' * 5000}; seq 5000; exit 7")
    assert "… failed: exit status 7: 1\n2\n" in answer.body[:512]


async def test_a_bash_killed_from_outside_is_a_failure(caller: Caller) -> None:
    answer = await caller.ask("/", type="bash", cmd="kill -9 $$")
    assert answer.status == 500
    assert "killed by signal 9" in answer.body


async def test_equal_bash_tasks_each_get_their_answer(caller: Caller, tmp_path: Path) -> None:
    cmd = f"echo run >> {tmp_path / 'runs'}"
    answers = await asyncio.gather(*(caller.ask("/", type="bash", cmd=cmd) for _ in range(3)))
    assert answers == [Answer(200, "")] * 3
    assert (tmp_path / "runs").read_text() == "run\n" * 3


@pytest.mark.parametrize("shell", ["sh", "bash"])
async def test_w86_a_task_out_of_time_dies_with_everything_it_started(
    settings: Settings, tmp_path: Path, shell: str
) -> None:
    pids = tmp_path / "pids"
    stubborn = f"{shell} -c 'trap \"\" TERM; echo $$ >> {pids}; while :; do sleep 30; done'"
    cmd = f"echo before; echo $$ >> {pids}; {stubborn} & sleep 300 & echo $! >> {pids}; wait"
    async with load_tester(replace(settings, time_limit=0.4)) as caller:
        answer = await caller.ask("/", type="bash", cmd=cmd)
        assert answer.status == 500
        assert "not finished after 0.4 seconds, killed" in answer.body
        assert "before" in answer.body
        found = read_pids(pids)
        assert len(found) == 3
        assert [pid for pid in found if alive(pid)] == []
        assert await caller.series(tasks("bash", "timed_out")) == 1


async def test_a_cmd_out_of_time_may_start_again(settings: Settings, tmp_path: Path) -> None:
    async with load_tester(replace(settings, time_limit=0.1)) as caller:
        await caller.ask("/", cmd=f"echo $$ >> {tmp_path / 'pids'}; sleep 300")
        await caller.series_reaches(tasks("cmd", "timed_out"), 1)
        assert [pid for pid in read_pids(tmp_path / "pids") if alive(pid)] == []
        await caller.ask("/", cmd=f"echo $$ >> {tmp_path / 'pids'}; sleep 300")
        await caller.series_reaches(tasks("cmd", "timed_out"), 2)
        assert await caller.series(tasks("cmd", "skipped")) == 0


async def test_a_child_that_a_task_detached_ends_with_the_time_limit(settings: Settings, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    async with load_tester(replace(settings, time_limit=0.5)) as caller:
        answer = await caller.ask("/", type="bash", cmd=f"sleep 300 >/dev/null 2>&1 & echo $! > {pids}")
        assert answer == Answer(200, "")
        (pid,) = read_pids(pids)
        assert alive(pid)
        await eventually(lambda: not alive(pid), "the detached child is dead")


async def test_no_child_outlives_the_load_tester(settings: Settings, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    async with load_tester(settings) as caller:
        await caller.ask("/", cmd=f"trap '' TERM; echo $$ >> {pids}; while :; do sleep 30; done")
        await caller.ask("/", cmd=f"sleep 300 >/dev/null 2>&1 & echo $! >> {pids}")
        await eventually(lambda: len(read_pids(pids)) == 2, "both children run")
        assert all(alive(pid) for pid in read_pids(pids))
    assert [pid for pid in read_pids(pids) if alive(pid)] == []


async def test_a_child_in_a_process_group_of_its_own_ends_with_its_task(settings: Settings, tmp_path: Path) -> None:
    """As a shell with job control makes them, and `timeout` for what it runs."""
    pids = tmp_path / "pids"
    stubborn = tmp_path / "stubborn"
    stubborn.write_text(f"trap '' TERM; echo $$ >> {pids}; while :; do sleep 30; done\n")
    async with load_tester(settings) as caller:
        await caller.ask("/", cmd=f"bash -c 'set -m; sleep 300 & echo $! >> {pids}; wait'")
        await caller.ask("/", cmd=f"bash -c 'set -m; sh {stubborn} & wait'")
        await eventually(lambda: len(read_pids(pids)) == 2, "both children run")
        for pid in read_pids(pids):
            assert os.getpgid(pid) != os.getsid(pid), "they are in no group of their own: nothing is tested"
    assert [pid for pid in read_pids(pids) if alive(pid)] == []


async def test_a_long_output_keeps_its_beginning_and_its_end(settings: Settings) -> None:
    cmd = "echo the beginning; head -c 20000000 /dev/zero | tr '\\0' 'x'; echo; echo the end"
    async with load_tester(replace(settings, output_limit=1000)) as caller:
        answer = await caller.ask("/", type="bash", cmd=cmd, returnCmdOutput="true")
    assert answer.status == 200
    assert answer.body.startswith("the beginning\nxxx")
    assert answer.body.endswith("xxx\nthe end\n")
    assert "19999023 bytes left out" in answer.body
    assert len(answer.body) < 1100


@pytest.mark.parametrize(("kind", "program"), [("kubectl", "kubectl"), ("helm", "helm"), ("helmv3", "helm")])
async def test_w83_programs_get_their_arguments_as_a_shell_would_split_them(
    caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, program: str
) -> None:
    fake = tmp_path / program
    fake.write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    cmd = "test podinfo --set 'a=b c' -n \"x y\" $HOME;ls"
    answer = await caller.ask("/", type=kind, cmd=cmd, returnCmdOutput="true")
    assert answer == Answer(200, "<test><podinfo><--set><a=b c><-n><x y><$HOME;ls>")


async def test_a_program_that_is_not_there_is_named(
    caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = await caller.ask("/", type="helm", cmd="test podinfo")
    assert answer.status == 500
    assert "cannot start helm: No such file or directory" in answer.body


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        pytest.param({}, ["metadata not found in payload"], id="no metadata"),
        pytest.param({"type": "cmd"}, ["metadata.cmd is missing"], id="no cmd"),
        pytest.param({"type": "bash", "cmd": " "}, ["metadata.cmd is missing"], id="a blank cmd"),
        pytest.param({"type": "helm"}, ["metadata.cmd is missing"], id="helm without arguments"),
        pytest.param({"type": "kubectl", "cmd": "get 'x"}, ["no closing quotation"], id="an open quote"),
        pytest.param({"cmd": "a\0b"}, ["NUL"], id="a NUL character"),
    ],
)
async def test_a_payload_that_makes_no_task_is_refused_with_a_sentence(
    caller: Caller, metadata: dict[str, str], words: list[str]
) -> None:
    answer = await caller.ask("/", **metadata)
    assert answer.status == 400
    for word in words:
        assert word in answer.body
    assert await caller.series(tasks("unknown", "refused")) == 1
    assert (await caller.send("/healthz")).status == 200


async def test_w80_a_type_that_nobody_knows_is_refused_with_those_that_there_are(caller: Caller) -> None:
    answer = await caller.ask("/", type="k6", cmd="run x.js")
    known = "bash, cmd, concord, helm, helmv3, kubectl, ngrinder, result"
    assert answer == Answer(400, f'task type "k6" is not known; known types are {known}')


async def test_more_tasks_than_allowed_are_put_off(settings: Settings, tmp_path: Path) -> None:
    wait = f"while [ ! -e {tmp_path / 'go'} ]; do sleep 0.02; done"
    async with load_tester(replace(settings, max_tasks=2)) as caller:
        await caller.ask("/", cmd=wait)
        await caller.ask("/", canary="other.test", cmd=wait)
        answer = await caller.ask("/", type="bash", cmd="true")
        assert answer.status == 503
        assert "2 tasks are running" in answer.body
        (tmp_path / "go").touch()
        await caller.series_reaches(RUNNING, 0)
        assert (await caller.ask("/", type="bash", cmd="true")).status == 200


async def test_a_task_goes_on_when_its_caller_has_hung_up(caller: Caller, tmp_path: Path) -> None:
    go, done = tmp_path / "go", tmp_path / "done"
    cmd = f"while [ ! -e {go} ]; do sleep 0.02; done; touch {done}"
    call = asyncio.create_task(caller.ask("/", type="bash", cmd=cmd))
    await caller.series_reaches('flaggerpy_loadtester_tasks_running{type="bash"}', 1)
    call.cancel()
    await asyncio.wait({call})
    go.touch()
    await eventually(done.exists, "the task went on")
