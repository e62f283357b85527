"""The figures: one row for each number of canaries, what else is worth printing, and the targets beside them.

Everything here is pure but for reading and writing the file of the last run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.bench.errors import BenchError
from tools.bench.machine import Machine

ROOT = Path(__file__).resolve().parents[2]
LATEST = ROOT / ".bench" / "latest.json"
"""Where the figures of the last bench are kept."""
TARGETS_ARE_FOR = 500
"""The number of canaries present that the targets speak of."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one run measured with so many canaries present; how is told in docs/operations/sizing.md."""

    n: int
    idle_requests: int
    """Requests of the controller in ``idle_s`` seconds in which nothing happened, watches and the lease aside."""
    idle_s: float
    requests_per_rollout: float
    rollout_s: float
    """From the patch of the target until the primary has 100 %: the middle one (p50) of those that began at once."""
    need_s: float
    """Number of analyses × interval: what no controller could do without."""
    paced_p50_s: float
    paced_p99_s: float
    burst_p99_s: float
    peak_rss_mb: float
    """In MB of 10⁶ bytes."""
    cpu_s: float
    synced_s: float


@dataclass(frozen=True, slots=True)
class Details:
    """What is printed beside the row and not kept."""

    rolled: int
    """How many canaries rolled out, each time."""
    burst_p50_s: float
    rollout_min_s: float
    rollout_max_s: float
    requests: dict[str, int]
    """The requests of the rollouts that began at once, by verb and resource."""
    idle: dict[str, int]
    """The requests that ``idle_requests`` counts, by verb and resource."""
    idle_watches: int
    idle_leases: int
    idle_cpu_s: float
    initialized_s: float
    """From the first manifest until the last canary was Initialized."""
    looked_s: float
    """From the start of the process until it had looked at every canary."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """All that one run found."""

    row: Row
    details: Details

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Measurement:
        raw = json.loads(text)
        return cls(Row(**raw["row"]), Details(**raw["details"]))


@dataclass(frozen=True, slots=True)
class Report:
    """What is kept of a whole bench, as .bench/latest.json."""

    rows: tuple[Row, ...]
    machine: Machine
    version: str
    measured_at: str
    """In UTC, to the second."""

    def dump(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def read(cls, file: Path) -> Report:
        """Read what the last bench wrote.

        Raises:
            BenchError: there is nothing, or it is something else.

        """
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
            rows = tuple(Row(**row) for row in raw["rows"])
            return cls(rows, Machine(**raw["machine"]), str(raw["version"]), str(raw["measured_at"]))
        except FileNotFoundError as error:
            raise BenchError(f"There are no figures in {file} yet: run `make bench` first.") from error
        except (ValueError, TypeError, KeyError) as error:
            raise BenchError(f"{file} is not what `make bench` writes ({error}): run it again.") from error


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least so many percent of the values do not exceed (nearest rank).

    It always is a value that was measured; of 50 values, p99 is the greatest.
    """
    if not values:
        raise ValueError("there is no percentile of nothing")
    rank = max(1, math.ceil(len(values) * percent / 100))
    return sorted(values)[rank - 1]


# Targets


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: a field of the row, its words, and the most that is aimed at."""

    field: str
    title: str
    form: Callable[[float], str]
    most: Callable[[Row], float] | None = None


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _tenths(value: float) -> str:
    return f"{value:,.1f}"


def seconds(value: float) -> str:
    """Write a time as precisely as it means something."""
    return f"{1000 * value:,.0f} ms" if value < 1 else f"{value:,.1f} s"


def megabytes(value: float) -> str:
    return f"{value:,.0f} MB"


FIGURES = (
    Figure("idle_requests", "requests while idle, but watches and lease", _count, lambda _: 0),
    Figure("idle_s", "length of the idle window", seconds),
    Figure("requests_per_rollout", "requests a rollout, events included", _tenths, lambda _: 40),
    Figure("rollout_s", "change → primary at 100 %, p50", seconds, lambda row: 1.1 * row.need_s + 3),
    Figure("need_s", "analyses × interval: what that takes at least", seconds),
    Figure("paced_p50_s", "change → scale-up at 5 changes/s, p50", seconds),
    Figure("paced_p99_s", "change → scale-up at 5 changes/s, p99", seconds, lambda _: 0.25),
    Figure("burst_p99_s", "change → scale-up of all at once, p99", seconds, lambda _: 2),
    Figure("peak_rss_mb", "peak resident memory", megabytes, lambda _: 130),
    Figure("cpu_s", "processor time of the whole run", seconds),
    Figure("synced_s", "start → synced", seconds, lambda _: 5),
)


def target(figure: Figure, rows: Iterable[Row]) -> str:
    """Say what is aimed at and whether it was reached, for the row that the targets speak of; empty without one."""
    row = next((row for row in rows if row.n == TARGETS_ARE_FOR), None)
    if row is None or figure.most is None:
        return ""
    most = figure.most(row)
    return f"{'reached' if getattr(row, figure.field) <= most else 'missed'}, ≤ {figure.form(most)}"


def table(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return the lines of the table, its heading first: a title, a figure for each row, the target."""
    heading = ("", *(f"N = {row.n}" for row in rows), f"target at N = {TARGETS_ARE_FOR}")
    lines = [
        (figure.title, *(figure.form(getattr(row, figure.field)) for row in rows), target(figure, rows))
        for figure in FIGURES
    ]
    return [heading, *lines]


def render(measurements: Sequence[Measurement], machine: Machine) -> str:
    """Return what is printed at the end."""
    width = max(len(figure.title) for figure in FIGURES)
    lines = [
        "   " + "  ".join([f"{title:<{width}}", *(f"{value:>9}" for value in values), aim]).rstrip()
        for title, *values, aim in table([one.row for one in measurements])
    ]
    for one in measurements:
        lines += ["", *_beside(one)]
    return "\n".join([*lines, "", f"   on {machine.sentence()}"])


def _beside(one: Measurement) -> list[str]:
    row, more = one.row, one.details
    return [
        f"   N = {row.n}, {more.rolled} of them rolling",
        f"     change → primary at 100 %: min {seconds(more.rollout_min_s)}, p50 {seconds(row.rollout_s)}, "
        f"max {seconds(more.rollout_max_s)}; change → scale-up of all at once, p50: {seconds(more.burst_p50_s)}",
        f"     idle: {more.idle_watches} watches ended, {more.idle_leases} renewals of the lease, "
        f"{more.idle_cpu_s:.2f} s of processor time; other requests: {_kinds(more.idle)}",
        f"     requests of {more.rolled} rollouts: {_kinds(more.requests)}",
        f"     first manifest → all Initialized: {seconds(more.initialized_s)}; "
        f"start → every canary looked at: {seconds(more.looked_s)}",
    ]


def _kinds(counted: dict[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counted.items(), key=lambda item: -item[1])) or "none"
