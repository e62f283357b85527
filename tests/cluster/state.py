"""The folder of one cluster: what was asked for, what it became, and whether it still lives.

Both sides read it: the command line from outside and the supervisor inside its namespaces. No process is
started or ended here.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Kind(StrEnum):
    """How much of a cluster there is."""

    FULL = "full"
    CONTROL_PLANE = "control-plane"


class Isolation(StrEnum):
    """Which walls stand around it."""

    ROOT = "root"
    """Namespaces of its own for processes, mounts, network and cgroups, made by root."""
    USER = "user"
    """The same without cgroups, inside a user namespace: no root needed."""
    NONE = "none"
    """No namespaces: loopback of the host with free ports (control plane only)."""


class Phase(StrEnum):
    """How far the supervisor came."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the parts listen; fixed in a network namespace, free ones on the host's loopback."""

    api: int = 6443
    etcd: int = 2379
    etcd_peer: int = 2380


@dataclass(frozen=True, slots=True)
class Spec:
    """What was asked for; written once, before the supervisor starts."""

    kind: Kind
    isolation: Isolation
    owner: str
    owner_pid: int
    owner_born: int
    kwok_nodes: int
    ports: Ports
    parts: dict[str, str]


@dataclass(frozen=True, slots=True)
class Status:
    """What it became; written by the supervisor. `pid` is as the host sees it."""

    phase: Phase
    pid: int
    born: int
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one cluster and the names of the files in it."""

    folder: Path

    @property
    def name(self) -> str:
        """The name that the command line knows it by."""
        return self.folder.name

    @property
    def kubeconfig(self) -> Path:
        """For the person and the tests: an administrator."""
        return self.folder / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """One JSON line for each finished request."""
        return self.folder / "audit.log"

    @property
    def control(self) -> Path:
        """The supervisor's socket."""
        return self.folder / "control.sock"

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor says while it starts."""
        return self.folder / "supervisor.log"

    def log(self, component: str) -> Path:
        """What a component printed."""
        return self.folder / "logs" / f"{component}.log"

    def write_spec(self, spec: Spec) -> None:
        """Record what was asked for."""
        _write(self.folder / "spec.json", asdict(spec))

    def spec(self) -> Spec | None:
        """What was asked for, or None when the folder is not (yet) a cluster's."""
        raw = _read(self.folder / "spec.json")
        if raw is None:
            return None
        fixed = {"kind": Kind(raw["kind"]), "isolation": Isolation(raw["isolation"]), "ports": Ports(**raw["ports"])}
        return Spec(**(raw | fixed))

    def write_status(self, status: Status) -> None:
        """Record how far it came."""
        _write(self.folder / "status.json", asdict(status))

    def status(self) -> Status | None:
        """How far it came, or None before the supervisor said anything."""
        raw = _read(self.folder / "status.json")
        return None if raw is None else Status(**(raw | {"phase": Phase(raw["phase"])}))

    def alive(self) -> bool:
        """Whether the supervisor that wrote the status is still that process."""
        status = self.status()
        return status is not None and birth(status.pid) == status.born

    def abandoned(self) -> bool:
        """Whether neither the supervisor nor whoever started it lives: the folder is a leftover."""
        spec = self.spec()
        started_by_somebody = spec is not None and birth(spec.owner_pid) == spec.owner_born
        return not self.alive() and not started_by_somebody


def states_root() -> Path:
    """Where this user's clusters keep their folders: short, since socket paths are limited to 107 bytes."""
    return Path("/var/tmp") / f"flaggerpy-clusters-{os.geteuid()}"


def homes() -> list[Home]:
    """Every cluster's folder, living or dead."""
    root = states_root()
    if not root.is_dir():
        return []
    return [Home(path) for path in sorted(root.iterdir()) if path.is_dir() and path.name[0] != "."]


def birth(pid: int) -> int | None:
    """When a living process started, in clock ticks since boot: with the pid it names one process for ever."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def _write(place: Path, content: object) -> None:
    scratch = place.with_suffix(".new")
    scratch.write_text(json.dumps(content))
    scratch.replace(place)


def _read(place: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(place.read_text())
    except FileNotFoundError:
        return None
    return content
