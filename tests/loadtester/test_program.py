"""The program as a container runs it: flags, log lines, signals."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from flaggerpy.loadtester.__main__ import main
from tests.loadtester.harness import Answer, alive, eventually, program, read_pids, zombies_of


async def test_sigterm_ends_the_program_and_every_child(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    async with program() as running:
        await running.caller.ask("/", cmd=f"echo $$ >> {pids}; sleep 300 & echo $! >> {pids}; wait")
        await eventually(lambda: len(read_pids(pids)) == 2, "the children run")
        running.process.send_signal(signal.SIGTERM)
        lines = await running.lines()
        assert running.process.returncode == 0
    assert [pid for pid in read_pids(pids) if alive(pid)] == []
    assert lines[-1]["msg"] == "load tester has ended"


async def test_what_left_its_tasks_session_ends_with_the_program(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    async with program() as running:
        daemon = f"echo $$ >> {pids}; sleep 300 & echo $! >> {pids}; wait"
        await running.caller.ask("/", type="bash", cmd=f"setsid sh -c '{daemon}' >/dev/null 2>&1 &")
        await eventually(lambda: len(read_pids(pids)) == 2, "the daemon and its child run")
        running.process.send_signal(signal.SIGTERM)
        await running.lines()
        assert running.process.returncode == 0
    assert [pid for pid in read_pids(pids) if alive(pid)] == []


async def test_a_caller_that_waits_gets_the_grace_period(tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with program() as running:
        call = asyncio.create_task(
            running.caller.ask(
                "/",
                type="bash",
                cmd=f"touch {tmp_path / 'began'}; while [ ! -e {go} ]; do sleep 0.02; done; echo done",
                returnCmdOutput="true",
            )
        )
        await eventually((tmp_path / "began").exists, "the task runs")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.stderr is not None
        async with asyncio.timeout(10):
            while b"shutting down" not in await running.process.stderr.readline():
                pass
        go.touch()
        assert await call == Answer(200, "done\n")
        await running.lines()
        assert running.process.returncode == 0


async def test_a_task_longer_than_the_grace_period_is_interrupted_and_says_so(tmp_path: Path) -> None:
    async with program("-shutdown-grace=50ms") as running:
        call = asyncio.create_task(running.caller.ask("/", type="bash", cmd=f"touch {tmp_path / 'began'}; sleep 300"))
        await eventually((tmp_path / "began").exists, "the task runs")
        running.process.send_signal(signal.SIGTERM)
        answer = await call
        assert answer.status == 500
        assert "shutting down" in answer.body


async def test_orphans_of_tasks_leave_no_zombies(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    async with program() as running:
        parent = running.process.pid
        cmd = f"setsid sh -c 'echo $$ >> {pids}; kill -9 $$' >/dev/null 2>&1 &"
        await running.caller.ask("/", type="bash", cmd=cmd)
        await eventually(lambda: len(read_pids(pids)) == 1, "the orphan lived")
        (pid,) = read_pids(pids)
        await eventually(lambda: not Path(f"/proc/{pid}").exists(), "the orphan was reaped")
        assert zombies_of(parent) == []


async def test_log_lines_have_flaggers_keys() -> None:
    async with program("--log-level", "info", "--zap-replace-globals", "-zap-encoding=json") as running:
        await running.caller.ask("/", canary="podinfo.prod", type="bash", cmd="echo well; exit 4")
        await running.caller.ask("/", canary="podinfo.prod", cmd="echo quiet", logCmdOutput="true")
        await running.caller.series_reaches('flaggerpy_loadtester_tasks_total{result="succeeded",type="cmd"}', 1)
        running.process.send_signal(signal.SIGTERM)
        lines = await running.lines()
    assert all({"level", "ts", "caller", "msg"} <= line.keys() for line in lines)
    (failed,) = [line for line in lines if line["msg"] == "command failed"]
    assert failed["level"] == "error"
    assert failed["canary"] == "podinfo.prod"
    assert failed["output"] == "well\n"
    assert failed["error"] == "exit status 4"
    (finished,) = [line for line in lines if line["msg"] == "command finished"]
    assert (finished["level"], finished["output"]) == ("info", "quiet\n")


async def test_the_flags_reach_the_server() -> None:
    async with program("--namespace-regexp=^prod$", "-timeout", "100ms", "--output-limit", "256") as running:
        assert (await running.caller.ask("/gate/open", canary="podinfo.test")).status == 403
        late = await running.caller.ask("/", canary="podinfo.prod", type="bash", cmd="sleep 300")
        assert late.status == 500
        assert "0.1 seconds" in late.body


async def test_the_flags_of_who_may_ask_for_what_reach_the_server(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret", encoding="utf-8")
    flags = (f"-token-file={tmp_path / 'token'}", "-allow-command", "echo .*", "--allow-command=printf .*")
    async with program(*flags) as running:
        assert (await running.caller.ask("/", type="bash", cmd="echo hi")).status == 401
        known = running.caller.with_headers(Authorization="Bearer s3cret")
        assert (await known.ask("/", type="bash", cmd="printf hi", returnCmdOutput="true")) == Answer(200, "hi")
        assert (await known.ask("/", type="bash", cmd="ls")).status == 403
        assert (await known.ask("/", type="bash", cmd="echo hi | cat")).status == 403
        assert running.first_lines[-1]["commands"] == "allow-list"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param(["-allow-command", "("], "no regular expression", id="a bad pattern of commands"),
        pytest.param(["-token-file", "/nowhere/token"], "/nowhere/token cannot be read", id="no file of tokens"),
        pytest.param(["-token-file", "/dev/null"], "/dev/null holds no token", id="a file without a token"),
        pytest.param(["-namespace-regexp", "("], "no regular expression", id="a bad pattern"),
        pytest.param(["-timeout", "1d"], "1d", id="a duration that Go refuses"),
        pytest.param(["-timeout=-1s"], "not longer than zero", id="a time that is over before it begins"),
        pytest.param(["-log-level", "loud"], "loud", id="an unknown level"),
        pytest.param(["-port", "70000"], "70000", id="a port that is none"),
        pytest.param(["-meshProvider", "x"], "No such option", id="a flag of another program"),
        pytest.param(["leftover"], "leftover", id="something that is no flag"),
    ],
)
def test_flags_that_make_no_sense_are_refused_with_a_sentence(flags: list[str], words: str) -> None:
    result = CliRunner().invoke(main, flags)
    assert result.exit_code == 2
    assert words in result.output
