"""The picture of one canary: a pure function from a snapshot to something that rich can draw at any width.

Colours never say anything alone: every one of them stands beside a sign and a word, and they are told apart with any
colour vision. Nothing here reads a clock, an object or the terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flaggerpy.api.canary import Canary
from flaggerpy.api.status import CheckResult, Phase
from flaggerpy.cli.progress import due, finding, is_routed, problem, progress, span, untold, what_is_due, why
from flaggerpy.cli.snapshot import Pods, Snapshot
from flaggerpy.durations import format_duration
from flaggerpy.rollout.transition import ANALYSIS, IDLE

GOOD, BAD, HELD, MOVING, QUIET = "bold bright_blue", "bold red", "bold yellow", "bold cyan", "dim"
VERDICTS = {
    "Passed": (GOOD, "✓ passed"),
    "Failed": (BAD, "✗ failed"),
    "Inconclusive": (HELD, "? not judged"),
    "Error": (HELD, "! not measured"),
}
WAITS = frozenset({Phase.WAITING, Phase.WAITING_PROMOTION})


def picture(seen: Snapshot, *, events: int = 8) -> RenderableType:
    """Draw a canary with its last events; the first and the last column stay empty."""
    parts = [_head(seen), *_traffic(seen), *_reason(seen), *_checks(seen), *_pods(seen), *_events(seen, events)]
    notes = [Text(f"! {note}", style=HELD) for note in seen.notes]
    return Group(*(Padding(part, (0, 1, 1, 1)) for part in (*parts, *notes)))


def _head(seen: Snapshot) -> RenderableType:
    canary, spec = seen.canary, seen.canary.spec
    about = (
        f"{spec.target_ref.kind} {canary.target_name}",
        spec.provider or "the controller's provider",
        f"every {format_duration(canary.analysis.interval)}",
    )
    title = Text.assemble((seen.name, "bold"), ("  " + " · ".join(about), QUIET))
    return Group(Sides(title, Text(f"{seen.now:%H:%M:%S}", style=QUIET)), Sides(_standing(seen), _counts(seen)))


def _standing(seen: Snapshot) -> Text:
    """Say the phase, since when, and when something happens next."""
    canary, status = seen.canary, seen.canary.status
    style, sign, more = _mood(canary)
    line = Text.assemble((f"{sign} {status.phase or 'New'}{more}", style))
    since = status.last_transition_time if status.phase in IDLE else status.rollout.step.started_at
    if since is not None:
        line.append(f"  for {span(seen.now - since)}")
    if (moment := due(canary)) is not None:
        when = f"in {span(moment - seen.now)}" if moment > seen.now else "is due"
        line.append(f", {what_is_due(status.phase)} {when}")
    return line


def _mood(canary: Canary) -> tuple[str, str, str]:
    """Return colour, sign, and what the phase does not say."""
    phase = canary.status.phase
    if canary.status.rollout.paused:
        return HELD, "‖", ", paused"
    if canary.spec.suspend:
        return HELD, "‖", ", suspended"
    if problem(canary):
        return HELD, "‖", ", stalled"
    if phase is Phase.FAILED:
        return BAD, "✗", ""
    if phase in WAITS:
        return HELD, "‖", ""
    return (GOOD, "✓", "") if phase in IDLE else (MOVING, "»", "")


def _counts(seen: Snapshot) -> Text:
    failed, threshold = seen.canary.status.failed_checks, seen.canary.analysis.threshold
    if seen.canary.status.phase not in ANALYSIS:
        return Text("")
    return Text(f"{failed} of {threshold} failed checks", style=BAD if failed else QUIET)


def _traffic(seen: Snapshot) -> Iterator[RenderableType]:
    """Draw who serves users, and on the way the steps that are done and those that come."""
    canary, now, routed = seen.canary, progress(seen.canary), is_routed(seen.canary)
    if served := _served(seen.canary):
        yield Text(served)
        return
    by_weight = now.unit == "step"
    labels = tuple(str(step) if by_weight else str(n) for n, step in enumerate(now.steps, start=1))
    weight = f"canary {canary.status.canary_weight} %" if routed else ""
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True)
    rest = f"primary {100 - canary.status.canary_weight} %" if by_weight else weight
    grid.add_row(weight if by_weight else "iterations", Bar(now.percent, now.steps, labels), rest)
    yield Group(grid, Text(_ahead(canary), style=QUIET))


def _served(canary: Canary) -> str:
    """Say who serves users where that is one workload alone; empty on the way."""
    target, primary = canary.target_name, canary.primary_name
    match canary.status.phase:
        case Phase.INITIALIZED | Phase.SUCCEEDED | Phase.FAILED if not canary.status.rollout.serving_canary:
            return f"users are served by {primary}"
        case Phase.INITIALIZED | Phase.SUCCEEDED | Phase.FAILED:
            return f"users are served by {target}, because {primary} cannot"
        case Phase.NEW | Phase.INITIALIZING:
            return f"users are served by {target} until {primary} is ready"
        case Phase.TERMINATING | Phase.TERMINATED:
            return f"users are given back to {target}"
        case _:
            return ""


def _ahead(canary: Canary) -> str:
    match canary.status.phase:
        case Phase.PROMOTING:
            return f"promotion: {canary.primary_name} takes over what was analysed"
        case Phase.FINALISING:
            return f"promoted: users leave {canary.target_name}"
        case _:
            return f"{progress(canary).words}, then promotion"


@dataclass(frozen=True, slots=True)
class Bar:
    """A line from 0 to 100 percent: thick as far as it is done, with the steps marked and named below.

    Without colours thick and thin tell the same.
    """

    percent: int
    steps: tuple[int, ...]
    labels: tuple[str, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw for the width there is."""
        yield self.line(options.max_width)
        yield self.scale(options.max_width)

    def line(self, width: int) -> Text:
        """Draw the line itself."""
        done, marks = self.percent * width // 100, {_column(step, width) for step in self.steps}
        thick = "".join("╋" if column in marks else "━" for column in range(done))
        thin = "".join("┼" if column in marks else "─" for column in range(done, width))
        return Text.assemble((thick, MOVING), (thin, QUIET), no_wrap=True)

    def scale(self, width: int) -> Text:
        """Name the marks from the last one back, as many as there is room for; a name ends under its mark."""
        line, free = "", width
        for step, label in zip(reversed(self.steps), reversed(self.labels), strict=True):
            end = max(_column(step, width) + 1, len(label))
            if end <= free:
                line = label + " " * (0 if not line else free + 1 - end) + line
                free = end - len(label) - 1
        return Text(" " * (free + 1 if line else 0) + line, style=QUIET, no_wrap=True)


def _column(percent: int, width: int) -> int:
    return max(min(percent * width // 100, width) - 1, 0)


def _reason(seen: Snapshot) -> Iterator[RenderableType]:
    canary = seen.canary
    if problem(canary):
        yield Text.assemble(("to be mended: ", HELD), problem(canary))
    elif reason := why(canary):
        yield Text.assemble(("why: ", "bold"), reason)


def _checks(seen: Snapshot) -> Iterator[RenderableType]:
    known = {check.name: check for check in seen.canary.status.rollout.checks}
    names = list(dict.fromkeys([*(metric.name for metric in seen.canary.analysis.metrics), *known]))
    if not names or (seen.canary.status.phase in IDLE and not known):
        return
    table = _table("check", "value", "accepted", "verdict", "")
    for name in names:
        check = known.get(name)
        if check is None:
            table.add_row(name, "–", "", Text("· not yet", style=QUIET), "")
            continue
        style, verdict = VERDICTS[check.verdict]
        style, verdict = (QUIET, f"{verdict}, dry run") if check.dry_run else (style, verdict)
        age = span(seen.now - check.at) if check.at else ""
        table.add_row(name, check.value or "none", check.bound or "", Text(verdict, style=style), age)
    yield Group(table, *(Text(_words(check), style=QUIET) for check in known.values() if _needs_words(check)))


def _words(check: CheckResult) -> str:
    """Give the reason of a verdict; that of a sequential test that passed does not name its metric."""
    named = check.name in check.reason or check.verdict != "Passed"
    return finding(check) if named else f"{check.name}: {finding(check)}"


def _needs_words(check: CheckResult) -> bool:
    """Whether value and bound do not tell what went wrong, or what a sequential test has found out."""
    if check.sequential is not None:
        return bool(check.reason)
    return check.verdict in {"Inconclusive", "Error"} or (check.verdict == "Failed" and check.value is None)


def _pods(seen: Snapshot) -> Iterator[RenderableType]:
    if not seen.pods:
        return
    table, said = _table("pods", "", "available", ""), why(seen.canary)
    for row in seen.pods:
        troubles = "\n".join(untold(trouble, said) for trouble in row.troubles)
        table.add_row(row.role, row.name, _available(row), Text(troubles))
    yield table


def _available(row: Pods) -> Text:
    workload = row.workload
    if workload.replicas == 0 and workload.current_replicas == 0:
        return Text("none wanted", style=QUIET)
    enough = workload.available_replicas >= workload.replicas
    if not workload.sleeps:  # its pods are not ours to count
        return Text("✓ ready", style=GOOD) if enough else Text("… not ready", style=HELD)
    counts = f"{workload.available_replicas} of {workload.replicas}"
    return Text(f"✓ {counts}", style=GOOD) if enough else Text(f"… {counts}", style=HELD)


def _events(seen: Snapshot, most: int) -> Iterator[RenderableType]:
    shown = seen.events[-most:] if most > 0 else ()
    if not shown:
        return
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", style=QUIET, no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()  # gives way where a line is too short; the others keep their width
    for event in shown:
        warning = event.type == "Warning"
        message = Text(event.message, no_wrap=True, overflow="ellipsis")
        table.add_row(span(seen.now - event.at), Text("!" if warning else " ", style=HELD), message)
    yield table


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=QUIET)
    for title in titles:
        table.add_column(title, overflow="fold")
    return table


@dataclass(frozen=True, slots=True)
class Sides:
    """One text at each side of a line, or one below the other where the line is too short."""

    left: Text
    right: Text

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        """Draw for the width there is."""
        gap = options.max_width - self.left.cell_len - self.right.cell_len
        if gap > 1 or not self.right:
            yield Text.assemble(self.left, " " * max(gap, 0), self.right)
        else:
            yield self.left
            yield self.right
