"""The harness dies well: whoever of it is killed, nothing stays behind and the next start works.

Each row starts a control plane of its own beside the one the tests run in.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.launch import CHECKOUT
from tests.cluster.state import Home, birth, states_root
from tests.cluster.walls import CGROUPS, group_name

pytestmark = pytest.mark.timeout(300)

OURS = ("KUBECONFIG", "FLAGGERPY_AUDIT_LOG", "FLAGGERPY_CLUSTER_KIND", "FLAGGERPY_CLUSTER_STATE")


@dataclass(frozen=True)
class Run:
    """A `run` in progress whose command waits."""

    launcher: subprocess.Popen[str]
    home: Home

    @property
    def first(self) -> int:
        """The first process inside the namespaces."""
        status = self.home.status()
        assert status is not None
        return status.pid


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OURS}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "tests.cluster", *words]


@contextlib.contextmanager
def running(*words: str) -> Iterator[Run]:
    waiting = command("run", *words, "--", "sh", "-c", "echo inside; exec sleep 240")
    with subprocess.Popen(waiting, cwd=CHECKOUT, env=environment(), stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == "inside\n"
        yield Run(launcher, Home(states_root() / f"run-{launcher.pid}"))
        with contextlib.suppress(ProcessLookupError):
            launcher.terminate()


@pytest.fixture
def run() -> Iterator[Run]:
    with running("--control-plane") as run:
        yield run


def wait_until(condition: Callable[[], bool], limit: float = 20.0) -> bool:
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def processes_of(home: Home) -> list[int]:
    """Every process whose arguments name the state folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and str(home.folder) in (entry / "cmdline").read_text():
                found.append(int(entry.name))
    return [pid for pid in found if birth(pid) is not None]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def sweep() -> None:
    """What the next start does first."""
    subprocess.run(command("status"), cwd=CHECKOUT, env=environment(), capture_output=True, check=False, timeout=60)


def assert_nothing_left(home: Home) -> None:
    assert processes_of(home) == []
    assert not home.folder.exists()
    assert list(CGROUPS.glob(f"*/{group_name(home)}")) == []


def machine() -> dict[str, object]:
    """What a node must not change on the machine around it."""
    settings = [Path("/proc/sys") / name for name in ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops")]
    folders = [Path(name) for name in ("/run/netns", "/run/containerd", "/var/lib/kubelet", "/var/lib/cni")]
    return {
        "settings": [setting.read_text() for setting in settings],
        "folders": [folder for folder in folders if folder.exists()],
        "mounts": Path("/proc/self/mounts").read_text(),
        "links": sorted(os.listdir("/sys/class/net")),
    }


VICTIMS: dict[str, Callable[[Run], int]] = {
    "the command line": lambda run: run.launcher.pid,
    "the first process inside": lambda run: run.first,
    "the process that made the namespaces": lambda run: parent_of(run.first),
    "the worker": lambda run: child_of(run.first),
}


@pytest.mark.integration
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_harness_leaves_nothing_that_the_next_start_does_not_clear(run: Run, victim: str) -> None:
    os.kill(VICTIMS[victim](run), signal.SIGKILL)

    assert wait_until(lambda: not run.home.alive())
    run.launcher.terminate()
    run.launcher.wait(30)
    assert wait_until(lambda: processes_of(run.home) == []), processes_of(run.home)
    sweep()
    assert_nothing_left(run.home)


@pytest.mark.integration
def test_a_terminated_run_clears_up_itself(run: Run) -> None:
    run.launcher.terminate()

    assert run.launcher.wait(30) == 128 + signal.SIGTERM
    assert_nothing_left(run.home)


@pytest.mark.integration
def test_the_exit_code_is_the_commands() -> None:
    done = subprocess.run(
        command("run", "--control-plane", "--", "sh", "-c", "kubectl get --raw /readyz && exit 7"),
        cwd=CHECKOUT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    assert (done.returncode, done.stdout) == (7, "ok")


@pytest.mark.e2e
@pytest.mark.parametrize("victim", ["the command line", "the first process inside"])
def test_a_killed_full_node_leaves_the_machine_as_it_was(victim: str) -> None:
    before = machine()
    with running() as run:
        during = machine()
        os.kill(VICTIMS[victim](run), signal.SIGKILL)

        assert wait_until(lambda: not run.home.alive())
        run.launcher.terminate()
        run.launcher.wait(60)
        assert wait_until(lambda: processes_of(run.home) == []), processes_of(run.home)
        sweep()
        assert_nothing_left(run.home)
    assert during == before
    assert machine() == before
