"""The walls around a cluster: namespaces and cgroups, entered from outside or furnished from inside.

With a process namespace of its own every process of the cluster dies with the first one, mounts and networks
vanish with their namespaces, and only the cgroups and the state folder are left to be removed.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import time
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.state import Home, Isolation, Kind, Status

CGROUPS = Path("/sys/fs/cgroup")
_PODS = "k8s.io"
"""The cgroup in which containerd puts the containers when the kubelet names none."""
_CLUSTER_WEIGHT, _PODS_WEIGHT = 4, 16
"""Left alone, all pods together weigh as much as a single process of the control plane: proxies would starve first."""
_NEW_CGROUP_NAMESPACE = 0x02000000
_SET_FLAGS, _FLAG_UP = 0x8914, 0x1


def choose(kind: Kind) -> Isolation:
    """The strongest walls that this user may build; the full node needs root's."""
    if os.geteuid() == 0:
        return Isolation.ROOT
    if kind is Kind.FULL:
        raise ClusterError(
            "The full node needs root: it mounts file systems, makes cgroups and programs iptables in namespaces of "
            "its own. Run it as root, take 'run --control-plane' (no root needed), or set KUBECONFIG to a cluster."
        )
    allowed = shutil.which("unshare") and subprocess.run(
        [*_unshare(Isolation.USER), "true"], capture_output=True, check=False
    )
    return Isolation.USER if allowed and allowed.returncode == 0 else Isolation.NONE


def wrap(isolation: Isolation, command: list[str]) -> list[str]:
    """`command` as the first process inside new walls."""
    return [*_unshare(isolation), *command]


def _unshare(isolation: Isolation) -> list[str]:
    match isolation:
        case Isolation.ROOT:
            return ["unshare", "--pid", "--mount", "--net", "--fork", "--kill-child", "--"]
        case Isolation.USER:
            return ["unshare", "-U", "-r", "--pid", "--mount", "--net", "--fork", "--kill-child", "--"]
        case Isolation.NONE:
            return []


def entrance(isolation: Isolation, status: Status) -> list[str]:
    """The words before a command that put it into the cluster's network.

    It is nsenter and not `ip netns exec`: that one also mounts a new /sys, which hides the cgroups.
    """
    match isolation:
        case Isolation.ROOT:
            return ["nsenter", f"--net=/proc/{status.pid}/ns/net", "--"]
        case Isolation.USER:
            return ["nsenter", f"--target={status.pid}", "--user", "--net", "--preserve-credentials", "--"]
        case Isolation.NONE:
            return []


# Inside -------------------------------------------------------------------------------------------------


def host_pid() -> int:
    """This process as the host counts it; true only before `furnish` mounts a /proc of our own."""
    return int(os.readlink("/proc/self"))


def furnish(home: Home, isolation: Isolation) -> None:
    """Make the new namespaces usable."""
    if isolation is Isolation.NONE:
        return
    _call("mount", "--make-rprivate", "/")
    _call("mount", "-t", "proc", "proc", "/proc")
    _loopback_up()
    if isolation is Isolation.ROOT:
        _own_folders(home)
        _own_cgroups(home)


def _loopback_up() -> None:
    """A new network namespace begins with its loopback down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", _FLAG_UP))


def _own_folders(home: Home) -> None:
    """Private copies of the folders whose names are built into containerd, the kubelet and CNI."""
    _call("mount", "-t", "tmpfs", "tmpfs", "/run")
    for name in ("lib", "log"):
        above, work = home.folder / "var" / name, home.folder / "var" / f"{name}.work"
        above.mkdir(parents=True)
        work.mkdir()
        options = f"lowerdir=/var/{name},upperdir={above},workdir={work}"
        _call("mount", "-t", "overlay", "-o", options, "overlay", f"/var/{name}")


def _own_cgroups(home: Home) -> None:
    """Move into a cgroup of our own and show only what is below it."""
    hierarchies = _hierarchies()
    for place in hierarchies:
        own = place / group_name(home)
        own.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            # A new cpuset of version 1 is empty, and nothing can enter it.
            if (own / file).exists() and not (own / file).read_text().strip():
                (own / file).write_text((place / file).read_text())
        (own / "cgroup.procs").write_text("0")
        _weigh(own, _CLUSTER_WEIGHT)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_CGROUP_NAMESPACE) != 0:
        raise OSError(ctypes.get_errno(), "no cgroup namespace of our own")
    _call("mount", "-t", "tmpfs", "tmpfs", str(CGROUPS))
    for place, words in hierarchies.items():
        place.mkdir(parents=True, exist_ok=True)
        _call("mount", *words, "cgroup", str(place))
        if (place / "cgroup.controllers").exists() and place == CGROUPS:
            # Version 2 allows processes only in leaves once controllers are handed down.
            (place / "init").mkdir()
            (place / "init" / "cgroup.procs").write_text("0")
        _favour_pods(place)


def _favour_pods(root: Path) -> None:
    """Let the pods of a hierarchy that shares out processors weigh more than the processes beside them."""
    second = root / "cgroup.subtree_control"
    if second.exists() and "cpu" in (root / "cgroup.controllers").read_text().split():
        second.write_text("+cpu")
    elif not (root / "cpu.shares").exists():
        return
    (root / _PODS).mkdir()
    _weigh(root / _PODS, _PODS_WEIGHT)


def _weigh(group: Path, times: int) -> None:
    """Give a group so many times the processor time of a single process beside it, where that can be said."""
    for file, one in (("cpu.shares", 1024), ("cpu.weight", 100)):
        if (group / file).exists():
            (group / file).write_text(str(times * one))


def _hierarchies() -> dict[Path, list[str]]:
    """Every mounted cgroup hierarchy with the arguments that mount it again."""
    plain = {"rw", "ro", "relatime", "noatime", "nosuid", "nodev", "noexec"}
    found: dict[Path, list[str]] = {}
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup":
            chosen = [word for word in options.split(",") if word not in plain and "=" not in word]
            named = [word for word in options.split(",") if word.startswith("name=")]
            found[Path(where)] = ["-t", "cgroup", "-o", ",".join(named or chosen)]
        elif kind == "cgroup2":
            found[Path(where)] = ["-t", "cgroup2"]
    return found


def _call(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"'{' '.join(words)}' failed: {done.stderr.strip()}")


# Afterwards ---------------------------------------------------------------------------------------------


def group_name(home: Home) -> str:
    """The name of the cluster's cgroup in every hierarchy."""
    return f"flaggerpy-{home.name}"


def clear(home: Home, limit: float = 10.0) -> None:
    """Remove what outlives the processes: the cgroups and the state folder."""
    if os.geteuid() == 0:
        deadline = time.monotonic() + limit
        for place in _hierarchies():
            _remove_group(place / group_name(home), deadline)
    shutil.rmtree(home.folder, ignore_errors=True)
    if home.folder.exists():
        raise ClusterError(f"{home.folder} could not be removed; is something still using it?")


def _remove_group(group: Path, deadline: float) -> None:
    """Remove a cgroup and those below it, waiting for the last processes in it to be gone."""
    if not group.is_dir():
        return
    below = sorted((path for path in group.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
    for path in [*below, group]:
        while True:
            try:
                path.rmdir()
                break
            except FileNotFoundError:
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ClusterError(f"the cgroup {path} is still in use: {error}") from error
                time.sleep(0.05)
