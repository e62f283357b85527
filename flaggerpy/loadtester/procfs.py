"""What the kernel says about processes: who lives in a group, which orphans wait to be reaped.

Only reading and reaping; who is started and who is killed is decided in children.py.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class ProcessEntry:
    """One process as /proc shows it."""

    pid: int
    state: str
    parent: int
    group: int

    @property
    def is_zombie(self) -> bool:
        """Dead, and only waiting for its parent to ask for the exit status."""
        return self.state in {"Z", "X"}


def parse_stat(line: str) -> ProcessEntry:
    """Read a line of /proc/PID/stat; the command name in it may contain blanks and parentheses."""
    pid, _, rest = line.partition(" (")
    state, parent, group = rest[rest.rindex(")") + 2 :].split(" ", 3)[:3]
    return ProcessEntry(pid=int(pid), state=state, parent=int(parent), group=int(group))


def processes() -> Iterator[ProcessEntry]:
    """Every process that can be seen; those which end while we look are passed over."""
    for entry in os.listdir(_PROC):
        if entry.isdecimal():
            try:
                yield parse_stat((_PROC / entry / "stat").read_text(errors="replace"))
            except (OSError, ValueError):
                continue


def group_lives(group: int) -> bool:
    """Whether a process group has a member that still runs (zombies do not count)."""
    if _PROC.joinpath("self", "stat").exists():
        return any(entry.group == group and not entry.is_zombie for entry in processes())
    try:  # no procfs, as on a developer's Mac: zombies count here, which only means waiting a little longer
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def signal_group(group: int, number: int) -> None:
    """Send a signal to every member of a process group; a group that is gone is no error."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
        return


def become_subreaper() -> bool:
    """Have orphaned descendants handed to this process, as the first process of a container has.

    Returns whether the kernel agreed (Linux only). Whoever calls this must call `reap_orphans` now and then.
    """
    try:
        return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def reap_orphans(keep: Collection[int]) -> int:
    """Collect the exit status of dead children that nobody else waits for; `keep` are those somebody does."""
    me = os.getpid()
    dead = [entry.pid for entry in processes() if entry.parent == me and entry.is_zombie and entry.pid not in keep]
    for pid in dead:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue
    return len(dead)
