"""Starts and stops clusters from outside, and runs commands in them. What happens inside is supervise.py's."""

from __future__ import annotations

import contextlib
import ctypes
import getpass
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

from tests.cluster import node, parts, walls
from tests.cluster.build import obtain
from tests.cluster.cache import only_one
from tests.cluster.components import POD_RANGE, SERVICE_RANGE
from tests.cluster.errors import ClusterError
from tests.cluster.progress import Progress
from tests.cluster.state import Home, Isolation, Kind, Phase, Ports, Spec, birth, homes, states_root

UP_NAME = "default"
"""The name of the cluster that `up` leaves running."""

CHECKOUT = Path(__file__).resolve().parents[2]
_START_LIMIT = 300.0


def up(kind: Kind, kwok_nodes: int, progress: Progress) -> Home:
    """Start the cluster that stays; one that runs already is only told about."""
    home = Home(states_root() / UP_NAME)
    if home.alive():
        raise ClusterError(f"A cluster is running already: {describe(home)}. 'python -m tests.cluster down' ends it.")
    home, process = _start(UP_NAME, kind, kwok_nodes, progress, lifeline=False)
    _follow(home, process, progress)
    return home


@contextlib.contextmanager
def temporary(kind: Kind, kwok_nodes: int, progress: Progress) -> Iterator[Home]:
    """A cluster for the length of a block; it ends with this process, however that ends."""
    home, process = _start(f"run-{os.getpid()}", kind, kwok_nodes, progress, lifeline=True)
    try:
        _follow(home, process, progress)
        yield home
    finally:
        _finish(home, process)


def down(home: Home) -> None:
    """End a cluster and remove everything of it."""
    _end(home)
    walls.clear(home)


def sweep() -> None:
    """Remove what crashed runs left behind."""
    for home in homes():
        if home.abandoned():
            walls.clear(home)


def describe(home: Home) -> str:
    """A few words on a cluster: what, whose, since when."""
    spec, status = home.spec(), home.status()
    if spec is None or status is None:
        return f"{home.name}: unknown"
    minutes = (time.time() - home.folder.stat().st_ctime) / 60
    state = status.phase if home.alive() else "dead"
    return f"{home.name}: {spec.kind}, {state}, pid {status.pid}, started by {spec.owner} ({minutes:.0f} min)"


def environment(home: Home) -> dict[str, str]:
    """What a command in the cluster finds in its environment beside ours."""
    spec = home.spec()
    if spec is None:
        raise ClusterError(f"{home.folder} is no cluster's folder")
    return {
        "KUBECONFIG": str(home.kubeconfig),
        "FLAGGERPY_AUDIT_LOG": str(home.audit_log),
        "FLAGGERPY_CLUSTER_KIND": spec.kind,
        "FLAGGERPY_CLUSTER_STATE": str(home.folder),
        # What these tools remember goes with the cluster, not into the person's home.
        "KUBECACHEDIR": str(home.folder / "kubectl-cache"),
        **{f"HELM_{name}_HOME": str(home.folder / "helm" / name.lower()) for name in ("CACHE", "CONFIG", "DATA")},
        **{name: _past_proxies(name) for name in ("NO_PROXY", "no_proxy")},
        "PATH": os.pathsep.join([str(home.folder / "tools"), *_program_folders(spec.parts), os.environ["PATH"]]),
    }


def entrance(home: Home) -> list[str]:
    """The words before a command that put it into the cluster's network; none where we are in it already."""
    spec, status = home.spec(), home.status()
    if spec is None or status is None or not home.alive():
        raise ClusterError(f"The cluster {home.name} is not running; 'python -m tests.cluster up' starts one.")
    if os.environ.get("FLAGGERPY_CLUSTER_STATE") == str(home.folder):
        return []
    return walls.entrance(spec.isolation, status)


def execute(command: list[str], extra: Mapping[str, str], prefix: list[str]) -> int:
    """Run a command to its end and give its exit code; signals meant for us are passed on to it."""
    process = subprocess.Popen([*prefix, *command], env=os.environ | extra, preexec_fn=_end_with_parent)  # noqa: PLW1509 - there is no other thread by now

    def pass_on(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)

    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def control(home: Home, verb: str, component: str) -> None:
    """Ask the supervisor to start, stop, restart, freeze or thaw one of its components."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(home.control))
        with connection.makefile("rw") as line:
            line.write(json.dumps({"verb": verb, "component": component}) + "\n")
            line.flush()
            answer = json.loads(line.readline())
    if answer["error"]:
        raise ClusterError(answer["error"])


def _start(
    name: str, kind: Kind, kwok_nodes: int, progress: Progress, *, lifeline: bool
) -> tuple[Home, subprocess.Popen[bytes]]:
    if sys.platform != "linux":
        raise ClusterError(f"A cluster of our own needs Linux, this is {sys.platform}: set KUBECONFIG to one.")
    isolation = walls.choose(kind)
    if kind is Kind.FULL:
        node.require_tools()
    wanted = parts.FULL_NODE if kind is Kind.FULL else parts.CONTROL_PLANE
    places = {part: str(place) for part, place in obtain(wanted, progress).items()}
    root = states_root()
    root.mkdir(parents=True, exist_ok=True)
    home = Home(root / name)
    with only_one(root / ".lock"):
        sweep()
        if home.folder.exists():
            raise ClusterError(f"A cluster is being started or ended already: {describe(home)}.")
        home.folder.mkdir(mode=0o755)
        home.write_spec(
            Spec(
                kind=kind,
                isolation=isolation,
                owner=f"{getpass.getuser()}, pid {os.getpid()}",
                owner_pid=os.getpid(),
                owner_born=birth(os.getpid()) or 0,
                kwok_nodes=kwok_nodes,
                ports=_free_ports() if isolation is Isolation.NONE else Ports(),
                parts=places,
            )
        )
    command = walls.wrap(isolation, [sys.executable, "-m", "tests.cluster.supervise", str(home.folder)])
    with home.supervisor_log.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            stdin=subprocess.PIPE if lifeline else subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return home, process


def _follow(home: Home, process: subprocess.Popen[bytes], progress: Progress) -> None:
    """Show what the supervisor says until the cluster is ready; a failure is told and cleared away."""
    started = time.monotonic()
    with home.supervisor_log.open() as said:
        while True:
            ended = process.poll() is not None
            for line in said:
                progress.say(f"  {time.monotonic() - started:5.1f} s  {line.rstrip()}")
            status = home.status()
            if status is not None and status.phase is Phase.READY and not ended:
                progress.say(f"  {time.monotonic() - started:5.1f} s  ready")
                return
            if ended or time.monotonic() - started > _START_LIMIT:
                reason = status.sentence if status and status.sentence else home.supervisor_log.read_text()
                kept = _keep_logs(home)
                _finish(home, process)
                raise ClusterError(f"The cluster did not start: {reason}\nIts logs are kept in {kept}.")
            time.sleep(0.05)


def _keep_logs(home: Home) -> Path:
    """Set the logs of a failed start aside: the state folder goes."""
    kept = states_root() / ".failed"
    kept.mkdir(exist_ok=True)
    for log in [home.supervisor_log, *home.folder.glob("logs/*.log")]:
        (kept / log.name).write_bytes(log.read_bytes())
    return kept


def _finish(home: Home, process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    _end(home)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
    walls.clear(home)


def _end(home: Home, limit: float = 10.0) -> None:
    """Ask the supervisor to end, then see that it does."""
    status = home.status()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if status is None or not home.alive():
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(status.pid, number)
        deadline = time.monotonic() + limit
        while home.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
    if home.alive():
        raise ClusterError(f"The supervisor {home.name} does not end.")


def _free_ports() -> Ports:
    """Three ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        api, etcd, peer = (free.getsockname()[1] for free in sockets)
    return Ports(api=api, etcd=etcd, etcd_peer=peer)


def _past_proxies(name: str) -> str:
    """The addresses of the cluster beside those that already bypass the machine's proxy."""
    own = ["127.0.0.1", "localhost", POD_RANGE, SERVICE_RANGE, ".svc", ".cluster.local"]
    return ",".join([*filter(None, [os.environ.get(name)]), *own])


def _program_folders(places: Mapping[str, str]) -> list[str]:
    folders = [Path(place) / below for place in places.values() for below in ("bin", "usr/bin")]
    return [str(folder) for folder in folders if folder.is_dir()]


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
