""".ci/run with a `make` of ours: its exit status is CI's, and what it started ends with it."""

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from tools.ci.phases import ROOT


def ci(folder: Path, make: str) -> subprocess.Popen[str]:
    stub = folder / "make"
    stub.write_text(f"#!/bin/bash\n{make}\n", encoding="utf-8")
    stub.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "CI": "true"}
    # Whoever runs the tests in the background may have signals ignored, and a shell cannot trap those.
    heard = "env", "--default-signal=HUP,INT,TERM"
    return subprocess.Popen(
        [*heard, "bash", str(ROOT / ".ci" / "run")],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("status", [0, 1, 5])
def test_the_exit_status_is_that_of_make_test(tmp_path: Path, status: int) -> None:
    process = ci(tmp_path, f'echo "make $* in $PWD"; exit {status}')
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (status, f"make test in {ROOT}\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_everything_that_was_started(tmp_path: Path, number: signal.Signals) -> None:
    process = ci(tmp_path, "sleep 600 & echo $!; wait")
    assert process.stdout is not None
    handle = os.pidfd_open(int(process.stdout.readline()))
    process.send_signal(number)
    try:
        assert select.select([handle], [], [], 10.0)[0], "the sleep outlived CI"
        assert process.wait(timeout=10) == {signal.SIGINT: 130}.get(number, 143)
    finally:
        os.close(handle)
        process.communicate()
