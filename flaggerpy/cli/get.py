"""``flaggerpy get``: canaries as a table, with why each of them stands where it does."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import click
import yaml

from flaggerpy.api.canary import Canary, parse_canary
from flaggerpy.api.errors import InvalidObject
from flaggerpy.cli.access import Access, access, find_canary, run
from flaggerpy.cli.progress import progress, span, why
from flaggerpy.clock import SystemClock
from flaggerpy.durations import format_duration
from flaggerpy.kube.objects import JsonObject, name_of, namespace_of, without_noise
from flaggerpy.kube.resources import CANARIES
from flaggerpy.rollout.transition import ANALYSIS, BOOTSTRAP

Cells = list[str]
GAP: Final = 3
LEAST: Final = 20
"""Columns that a reason gets however narrow the terminal is."""


@click.command("get")
@click.argument("name", required=False)
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Canaries of all namespaces.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["wide", "name", "json", "yaml"]),
    default=None,
    help="wide: more columns and whole reasons.",
)
@access()
def get(at: Access, *, name: str | None, everywhere: bool, output: str | None) -> None:
    """Show canaries, or the one called NAME: phase, weight, failed checks, age, and why it stands there."""
    if everywhere and (name or at.namespace):
        raise click.UsageError("-A asks for every canary of the cluster: leave the name and -n away.")
    found = run(_found(at, name, everywhere=everywhere))
    match output:
        case "json":
            click.echo(json.dumps(_document(found, one=name is not None), indent=2, ensure_ascii=False))
        case "yaml":
            click.echo(
                yaml.safe_dump(_document(found, one=name is not None), sort_keys=False, allow_unicode=True), nl=False
            )
        case "name":
            for obj in found:
                click.echo(f"canary.{CANARIES.group}/{name_of(obj)}")
        case _ if not found:
            click.echo("there are no canaries" + ("" if everywhere else f" in namespace {at.meant}"), err=True)
        case _:
            wide = output == "wide"
            width = None if wide or not sys.stdout.isatty() else shutil.get_terminal_size().columns
            for line in table(found, SystemClock().now(), everywhere=everywhere, wide=wide, width=width):
                click.echo(line)


async def _found(at: Access, name: str | None, *, everywhere: bool) -> list[JsonObject]:
    async with at.client() as client:
        if name is not None:
            return [await find_canary(client, at.canary(name))]
        found, _ = await client.list(CANARIES, None if everywhere else at.meant)
        return sorted(found, key=lambda obj: (namespace_of(obj), name_of(obj)))


def _document(found: list[JsonObject], *, one: bool) -> JsonObject:
    items = [without_noise(obj) for obj in found]
    return items[0] if one else {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}


def table(
    found: Sequence[JsonObject], now: datetime, *, everywhere: bool, wide: bool, width: int | None = None
) -> list[str]:
    """Write the table; reasons come last, because they alone have spaces, and are cut where the line ends.

    Args:
        found: the canaries as the API server has them.
        now: the time.
        everywhere: whether the namespace is a column.
        wide: whether to show more columns.
        width: columns of the terminal; None where nothing is cut.

    """
    columns = [column for column in COLUMNS if (everywhere or column[0] != "NAMESPACE") and (wide or not column[2])]
    rows = [[title for title, _, _ in columns], *(_row(obj, columns, now) for obj in found)]
    widths = [max(len(row[n]) for row in rows) + GAP for n in range(len(columns) - 1)]
    room = None if width is None else max(LEAST, width - sum(widths))
    return [_line(row, widths, room) for row in rows]


def _line(row: Cells, widths: list[int], room: int | None) -> str:
    last = row[-1] if room is None or len(row[-1]) <= room else row[-1][: room - 1] + "…"
    return ("".join(cell.ljust(size) for cell, size in zip(row, widths, strict=False)) + last).rstrip()


def _row(obj: JsonObject, columns: list[Column], now: datetime) -> Cells:
    try:
        canary = parse_canary(obj)
    except InvalidObject as error:
        known = {"NAMESPACE": namespace_of(obj), "NAME": name_of(obj), "REASON": str(error)}
        return [known.get(title, "?") for title, _, _ in columns]
    return [show(canary, now) for _, show, _ in columns]


def _steps(canary: Canary) -> str:
    now = progress(canary)
    return ",".join(map(str, now.steps)) if now.unit == "step" else f"{len(now.steps)} iterations"


def _weight(canary: Canary) -> str:
    """Say the canary's share; before the first rollout nothing is shared, and the target serves."""
    return "-" if canary.status.phase in BOOTSTRAP else str(canary.status.canary_weight)


def _failed(canary: Canary) -> str:
    """Say how many checks failed; they count during an analysis only, and begin at 0 when it is over."""
    status = canary.status
    return f"{status.failed_checks}/{canary.analysis.threshold}" if status.phase in ANALYSIS else "-"


def _age(canary: Canary, now: datetime) -> str:
    made = canary.metadata.creation_timestamp
    return span(now - made) if made else "?"


Column = tuple[str, Callable[[Canary, datetime], str], bool]
"""Title, content, and whether it is shown with ``-o wide`` only."""

COLUMNS: Final[tuple[Column, ...]] = (
    ("NAMESPACE", lambda canary, _: canary.namespace, False),
    ("NAME", lambda canary, _: canary.name, False),
    ("PHASE", lambda canary, _: canary.status.phase or "New", False),
    ("WEIGHT", lambda canary, _: _weight(canary), False),
    ("FAILED", lambda canary, _: _failed(canary), False),
    ("TARGET", lambda canary, _: f"{canary.spec.target_ref.kind}/{canary.target_name}", True),
    ("PROVIDER", lambda canary, _: canary.spec.provider or "-", True),
    ("INTERVAL", lambda canary, _: format_duration(canary.analysis.interval), True),
    ("STEPS", lambda canary, _: _steps(canary), True),
    ("AGE", _age, False),
    ("REASON", lambda canary, _: why(canary), False),
)
