import os
import re
import select
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tools.ci import __main__ as ci
from tools.ci.phases import CLUSTER_MARKERS, ON_REQUEST, PHASES, ROOT, Phase, chosen
from tools.ci.results import Result, closing_line, failures, from_report, table
from tools.ci.run import run

# A bare pytest starts three times as fast.
QUICK = tuple(f"-pno:{plugin}" for plugin in ("cacheprovider", "asyncio", "xdist", "timeout", "hypothesispytest"))


def pytest_phase(folder: Path, source: str, *options: str) -> Phase:
    file = folder / "test_it.py"
    file.write_text(source, encoding="utf-8")
    command = (
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        os.devnull,
        "-p",
        "no:cacheprovider",
        *options,
        str(file),
    )
    return Phase("sample", (command,), tests=True, paths=(str(folder),))


def test_passed_and_failed_tests_are_counted(tmp_path: Path) -> None:
    result = run(pytest_phase(tmp_path, "def test_a(): pass\ndef test_b(): pass\ndef test_c(): assert False\n"))
    assert (result.passed, result.failed, result.ok) == (2, 1, False)


def test_what_failed_is_said_again_at_the_end_with_the_ends_of_its_error(tmp_path: Path) -> None:
    long = "raise AssertionError(chr(10).join(map(str, range(30))))"
    source = f"def test_a(): {long}\ndef test_b(): assert 'this' == 'that'\n"
    said = failures([run(pytest_phase(tmp_path, source)), Result("other", 1, 0, 0, 1.0)]).strip().split("\n\n")
    assert len(said) == 2
    assert said[0].splitlines()[0].endswith("test_it::test_a")
    assert any(line.strip() == "…" for line in said[0].splitlines())
    assert "assert 'this' == 'that'" in said[1]
    assert max(len(part.splitlines()) for part in said) <= 14


def test_a_phase_that_cannot_be_prepared_has_failed_and_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    phase = pytest_phase(tmp_path, f"def test_a(): open({str(mark)!r}, 'w')\n")
    result = run(replace(phase, prepare=((sys.executable, "-c", "raise SystemExit(4)"),)))
    assert (result.ok, result.note, mark.exists()) == (False, "not prepared: exit status 4", False)


def test_a_phase_that_collects_nothing_has_failed(tmp_path: Path) -> None:
    result = run(pytest_phase(tmp_path, "def test_a(): pass\n", "-k", "nothing_is_called_so"))
    assert (result.passed, result.failed, result.note) == (0, 1, "no tests collected")


def test_a_phase_of_skipped_tests_only_has_failed(tmp_path: Path) -> None:
    source = "import pytest\ndef test_a(): pytest.skip('a reason')\n"
    result = run(pytest_phase(tmp_path, source))
    assert (result.passed, result.failed, result.skipped) == (0, 1, 1)


def test_a_run_that_dies_before_its_report_has_failed(tmp_path: Path) -> None:
    result = run(pytest_phase(tmp_path, "import os\nos._exit(3)\n"))
    assert (result.passed, result.failed, result.note) == (0, 1, "exit status 3")


def test_tests_that_pass_do_not_hide_a_bad_exit_status(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text('<testsuites><testsuite tests="4" failures="0" errors="0" skipped="0"/></testsuites>')
    assert from_report("x", report, 1, 0.0) == Result("x", 4, 1, 0, 0.0, "exit status 1")


@pytest.mark.parametrize(("status", "passed", "failed"), [("0", 1, 0), ("7", 0, 1)])
def test_a_gate_is_one_check(status: str, passed: int, failed: int) -> None:
    exits = (sys.executable, "-c", f"raise SystemExit({status})")
    result = run(Phase("gate", (exits,)))
    assert (result.passed, result.failed) == (passed, failed)


def test_every_command_of_a_gate_runs_although_an_earlier_one_failed(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    bad, good = (
        (sys.executable, "-c", "raise SystemExit(1)"),
        (sys.executable, "-c", f"open({str(mark)!r}, 'w')"),
    )
    assert not run(Phase("gate", (bad, good))).ok
    assert mark.exists()


def test_what_a_phase_leaves_running_ends_with_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    source = (
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pid_file)!r}, 'w').write(str(p.pid))\n"
    )
    assert run(Phase("gate", ((sys.executable, "-c", source),))).ok
    assert gone(int(pid_file.read_text()))


def gone(pid: int) -> bool:
    """Whether the process ends within ten seconds, or has already."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10.0)[0])
    finally:
        os.close(handle)


def test_a_stopped_run_ends_its_phase_and_says_so() -> None:
    # It takes a moment to end, in which the second signal comes.
    sleeper = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('asked', flush=True), time.sleep(0.3), sys.exit(0)))\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(600)\n"
    )
    source = (
        "import sys\n"
        "from tools.ci import __main__ as ci\n"
        "from tools.ci.phases import Phase\n"
        f"ci.chosen = lambda names: (Phase('slow', ((sys.executable, '-c', {sleeper!r}),)),)\n"
        "raise SystemExit(ci.main(()))\n"
    )
    command = (sys.executable, "-c", source)
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = next(int(line) for line in process.stdout if line.strip().isdigit())
    process.send_signal(signal.SIGTERM)
    assert next(process.stdout) == "asked\n"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, "stopped by SIGTERM" in errors) == (143, True)
    assert gone(pid)


def test_the_closing_line_adds_up_all_phases() -> None:
    results = [Result("unit", 40, 0, 0, 2.25), Result("e2e", 3, 1, 0, 60.0), Result("lint", 1, 0, 0, 1.0)]
    assert closing_line(results) == "44 passed, 1 failed in 63.2s"
    assert [line.split()[0] for line in table(results).splitlines()] == ["ok", "FAIL", "ok"]


def test_an_unknown_phase_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SystemExit, match=r"no phase is called 'unti'; there are: lint, types"):
        chosen(("unti",))


def test_ci_runs_every_phase_but_those_on_request() -> None:
    assert {phase.name for phase in PHASES} - {phase.name for phase in chosen(())} == {
        # These four are one phase there.
        "crash",
        "integration",
        "replay",
        "takeover",
        # KEDA takes longer to build than everything else together.
        *ON_REQUEST,
    }


def test_ci_leaves_a_phase_out_whose_parts_are_not_built_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = replace(pytest_phase(tmp_path, "def test_a(): pass\n"), parts=("istiod", "traefik"))
    monkeypatch.setenv("FLAGGERPY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ci, "chosen", lambda _names: (Phase("gate", ((sys.executable, "-c", ""),)), slow))
    assert ci.main(()) == 0
    said = capsys.readouterr().out
    assert "== sample: left out, not in the cache yet: istiod, traefik" in said
    assert "1 passed, 0 failed" in said
    assert ci.main(("sample",)) == 0
    assert "2 passed, 0 failed" in capsys.readouterr().out


def test_ci_leaves_no_marker_of_a_cluster_out() -> None:
    asked = [word for phase in chosen(()) for command in phase.commands for word in command if "not (" not in word]
    words = {part for word in asked for part in word.split()}
    assert set(CLUSTER_MARKERS) - words == ON_REQUEST


def test_phases_run_in_the_order_of_ci_whatever_order_is_asked() -> None:
    assert [phase.name for phase in chosen(("unit", "lint"))] == ["lint", "unit"]


def test_every_make_target_has_a_help_line() -> None:
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    phony = {line.removeprefix(".PHONY: ") for line in lines if line.startswith(".PHONY: ")}
    helped = {line.split(":")[0] for line in lines if re.match(r"[a-z0-9-]+:.*## ", line)}
    assert {target for target in phony if not target.endswith("-installed")} == helped
