"""The supervisor: the first process of a cluster. It starts the parts, watches them and ends with them.

Run as `python -m tests.cluster.supervise FOLDER`, only by launch.py. It stops when its standard input is closed
by whoever holds the other end, when it is told to, or when a part dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tests.cluster import bringup, walls
from tests.cluster.components import Component
from tests.cluster.errors import ClusterError
from tests.cluster.state import Home, Isolation, Phase, Status, birth

_DIE_WITH_PARENT = 1
_SIGNALS = {"freeze": signal.SIGSTOP, "thaw": signal.SIGCONT}


class StopError(Exception):
    """Somebody asked for the end."""


class Supervisor:
    """Runs components as children and answers on a socket; everything happens on one thread."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._components: dict[str, Component] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(home.control))
        self._listener.listen()
        self._selector.register(self._listener, selectors.EVENT_READ, self._answer)
        with contextlib.suppress(PermissionError):  # /dev/null cannot be waited for: nobody holds a lifeline
            self._selector.register(0, selectors.EVENT_READ, self._lifeline)

    def say(self, sentence: str) -> None:
        """One line for the person who waits outside."""
        print(sentence, flush=True)

    def start(self, component: Component) -> None:
        """Start a component; its output goes to its log."""
        self._components[component.name] = component
        log = self.home.log(component.name)
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as output:
            self._processes[component.name] = subprocess.Popen(
                component.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | component.environment,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - the supervisor has one thread
            )

    def stop(self, name: str, patience: float = 1.0) -> None:
        """End a component and wait for it; until it is started again nobody misses it.

        The API server would drain its watches for a minute: after a moment it is killed, as machines do.
        """
        process = self._processes.pop(name)
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def pause(self, limit: float = 0.05) -> None:
        """Serve the socket for a moment; raises when a part died or the end was asked for."""
        for key, _ in self._selector.select(limit):
            key.data()
        for name, process in self._processes.items():
            code = process.poll()
            if code is not None:
                raise ClusterError(f"{name} ended with {code}. Its last lines:\n{_tail(self.home.log(name))}")

    def wait_for(self, what: str, ready: Callable[[], bool], limit: float = 60.0) -> None:
        """Wait until `ready` says so, at most `limit` seconds."""
        deadline = time.monotonic() + limit
        while not ready():
            if time.monotonic() > deadline:
                raise ClusterError(f"{what} did not come about within {limit:.0f} s; the logs: {self.home.folder}/logs")
            self.pause()

    def end_all(self) -> None:
        """Kill what still runs; nothing here outlives the state folder, so nothing needs a soft end."""
        for process in reversed(self._processes.values()):
            process.kill()
        for process in self._processes.values():
            process.wait()

    def _lifeline(self) -> None:
        if not os.read(0, 1):
            raise StopError

    def _answer(self) -> None:
        """One request on the socket: a JSON line with a verb and a component."""
        connection, _ = self._listener.accept()
        connection.settimeout(5)
        with contextlib.suppress(OSError, ValueError), connection, connection.makefile("rw") as line:
            request = json.loads(line.readline())
            refusal = self._obey(str(request.get("verb")), str(request.get("component")))
            line.write(json.dumps({"error": refusal}) + "\n")

    def _obey(self, verb: str, name: str) -> str:
        """Carry one request out; gives the reason where it cannot be done, else nothing."""
        if name not in self._components:
            return f"There is no component {name}. There are: {', '.join(self._components)}."
        if verb in {"stop", "restart"} and name in self._processes:
            self.stop(name)
        if verb in {"start", "restart"} and name not in self._processes:
            self.start(self._components[name])
        if verb in _SIGNALS and name in self._processes:
            self._processes[name].send_signal(_SIGNALS[verb])
        return ""


def main(folder: str) -> None:
    """Furnish the namespaces, bring the cluster up, and stay until the end."""
    home = Home(Path(folder))
    spec = home.spec()
    if spec is None:
        raise ClusterError(f"{folder} is no cluster's folder")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _on_signal)
    pid = walls.host_pid()
    born = birth(pid) or 0

    def report(phase: Phase, sentence: str = "") -> None:
        home.write_status(Status(phase, pid, born, sentence))

    report(Phase.STARTING)
    try:
        walls.furnish(home, spec.isolation)
        if spec.isolation is not Isolation.NONE:
            _become_init()
        _serve(home, lambda: report(Phase.READY))
    except StopError:
        pass
    except Exception as error:
        if not isinstance(error, ClusterError):
            traceback.print_exc()
        report(Phase.FAILED, str(error))
        sys.exit(1)


def _serve(home: Home, ready: Callable[[], None]) -> None:
    supervisor = Supervisor(home)
    try:
        bringup.bring_up(supervisor)
        ready()
        while True:
            supervisor.pause(1.0)
    finally:
        supervisor.end_all()


def _become_init() -> None:
    """Split in two: the first process only reaps orphans, the second one goes on and does the work.

    When the second ends, so does the first, and the kernel ends everything else in the namespace.
    """
    worker = os.fork()
    if worker == 0:
        _die_with_parent()
        return
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(worker, number))
    while True:
        pid, status = os.wait()
        if pid == worker:
            os._exit(os.waitstatus_to_exitcode(status) & 0x7F)


def _on_signal(_number: int, _frame: FrameType | None) -> NoReturn:
    raise StopError


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def _tail(log: Path, lines: int = 12) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


if __name__ == "__main__":
    main(sys.argv[1])
