"""Runs phases one after another, each in a process group of its own that ends with it."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tools.ci.phases import ROOT, Phase
from tools.ci.results import Result, from_gate, from_report

GRACE_SECONDS = 90


class StoppedError(Exception):
    """CI itself was asked to stop (SIGINT, SIGTERM, SIGHUP)."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def stopping() -> Iterator[None]:
    """Turn the signals that end a run into an exception, so that every `finally` on the way out is kept."""

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(number: int, _frame: FrameType | None) -> None:
        # make passes on what the terminal has sent already: a second signal must not interrupt the way out.
        for one in signals:
            signal.signal(one, signal.SIG_IGN)
        raise StoppedError(number)

    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what the phase started: first asked, so that a cluster goes down in order, then by force."""
    for number, patience in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, 5)):
        if not _alive(process.pid):
            break
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        until = time.monotonic() + patience
        while time.monotonic() < until and _alive(process.pid):
            process.poll()
            time.sleep(0.05)
    process.wait()


def call(command: tuple[str, ...]) -> int:
    """Run one command in the checkout; whatever it leaves running is ended with it."""
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdin=subprocess.DEVNULL)
    try:
        return process.wait()
    finally:
        _end(process)


def run(phase: Phase) -> Result:
    """Run a phase to its end and say how it went."""
    began = time.monotonic()
    if not phase.tests:
        status = 0
        for command in phase.commands:
            status = call(command) or status
        return from_gate(phase.name, status, time.monotonic() - began)
    for command in phase.prepare:
        status = call(command)
        if status:
            return Result(phase.name, 0, 1, 0, time.monotonic() - began, f"not prepared: exit status {status}")
    with tempfile.TemporaryDirectory(prefix="flaggerpy-ci-") as folder:
        report = Path(folder) / "report.xml"
        (command,) = phase.commands
        status = call((*phase.prefix, *command, f"--junitxml={report}"))
        return from_report(phase.name, report, status, time.monotonic() - began)
