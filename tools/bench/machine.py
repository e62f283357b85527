"""The machine that the figures are of, and what the kernel tells about one process."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1_000_000
GIGABYTE = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Machine:
    """What figures depend on beside the program."""

    cpu: str
    cores: int
    memory_gb: float
    kernel: str
    python: str

    def sentence(self) -> str:
        """All of it in a line."""
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_gb:g} GB of memory, "
            f"Linux {self.kernel}, Python {self.python}"
        )


def this_machine() -> Machine:
    return Machine(
        cpu=cpu_model(Path("/proc/cpuinfo").read_text(encoding="utf-8")) or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(kilobytes(Path("/proc/meminfo").read_text(encoding="utf-8"), "MemTotal") * 1024 / GIGABYTE, 1),
        kernel=platform.release(),
        python=platform.python_version(),
    )


def cpu_model(cpuinfo: str) -> str:
    """Read the model from /proc/cpuinfo; empty where it names none, as on many arm64 machines."""
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == "model name"), "")


def kilobytes(table: str, name: str) -> int:
    """Read a line like `VmHWM:   71234 kB` of /proc/meminfo or /proc/PID/status; the kernel's kB are 1,024 bytes.

    Raises:
        ValueError: there is no such line.

    """
    for line in table.splitlines():
        title, _, value = line.partition(":")
        if title == name:
            return int(value.split()[0])
    raise ValueError(f"the kernel does not tell {name}")


def ticks(stat: str) -> int:
    """Read from /proc/PID/stat how long a process has kept processors busy, in clock ticks, kernel time included."""
    # The program's name stands in brackets and may hold anything, spaces and brackets too.
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def peak_rss_mb(pid: int) -> float:
    """Return the most resident memory that a living process has had so far, in MB (10⁶ bytes)."""
    return kilobytes(Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), "VmHWM") * 1024 / MEGABYTE


def cpu_seconds(pid: int) -> float:
    """Return how many seconds of processor time a living process has used."""
    return ticks(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")) / os.sysconf("SC_CLK_TCK")
