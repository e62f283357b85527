"""What the kernel says about processes: who lives in a session, who descends from us, which orphans wait to be reaped.

Only reading, reaping and signalling; who is started and who is killed is decided in children.py.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Collection, Iterator, Mapping
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
    session: int

    @property
    def is_zombie(self) -> bool:
        """Dead, and only waiting for its parent to ask for the exit status."""
        return self.state in {"Z", "X"}


def parse_stat(line: str) -> ProcessEntry:
    """Read a line of /proc/PID/stat; the command name in it may contain blanks and parentheses."""
    pid, _, rest = line.partition(" (")
    state, parent, group, session = rest[rest.rindex(")") + 2 :].split(" ", 4)[:4]
    return ProcessEntry(pid=int(pid), state=state, parent=int(parent), group=int(group), session=int(session))


def processes() -> Iterator[ProcessEntry]:
    """Every process that can be seen; those which end while we look are passed over."""
    for entry in os.listdir(_PROC) if _has_procfs() else ():
        if entry.isdecimal():
            try:
                yield parse_stat((_PROC / entry / "stat").read_text(errors="replace"))
            except (OSError, ValueError):
                continue


def session_lives(session: int) -> bool:
    """Whether a session has a member that still runs, in whatever process group of it (zombies do not count)."""
    if _has_procfs():
        return any(entry.session == session and not entry.is_zombie for entry in processes())
    try:  # as on a developer's Mac: zombies count here, which only means waiting a little longer
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def signal_session(session: int, number: int) -> None:
    """Send a signal to every process group of a session: its leader's, and those that shells and `timeout` make.

    A group that is gone is no error.
    """
    for group in {session, *(entry.group for entry in processes() if entry.session == session)}:
        try:
            os.killpg(group, number)
        except (ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
            continue


def kill_descendants() -> int:
    """Kill every process that descends from this one, in whatever session; return how many there were."""
    parents = {entry.pid: entry.parent for entry in processes() if not entry.is_zombie}
    found = [pid for pid in parents if os.getpid() in _ancestors(pid, parents)]
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    return len(found)


def _ancestors(pid: int, parents: Mapping[int, int]) -> Iterator[int]:
    while (pid := parents.get(pid, 0)) > 0:
        yield pid


def _has_procfs() -> bool:
    return _PROC.joinpath("self", "stat").exists()


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
