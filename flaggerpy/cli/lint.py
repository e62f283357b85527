"""``flaggerpy lint``: faults of manifests before they reach a cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from flaggerpy.cli.flags import DurationType, flag
from flaggerpy.lint.faults import Level
from flaggerpy.lint.formats import FORMATS, summary
from flaggerpy.lint.inventory import Options
from flaggerpy.lint.run import lint as find_faults
from flaggerpy.lint.source import Source
from flaggerpy.targets.labels import LabelRules

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = Path("-")


@click.command("lint", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, allow_dash=True, path_type=Path))
@click.option("-o", "--output", type=click.Choice(list(FORMATS)), default="text", help="How faults are written.")
@click.option("--strict", is_flag=True, help="Fail for warnings too.")
@click.option("-n", "--namespace", default="", help="Namespace of objects that name none; without it: any.")
@flag("mesh-provider", "", "The controller's provider of canaries that name none.")
@flag("min-interval", "10s", "The controller's shortest analysis interval.", type=DurationType())
@flag("selector-labels", "app,name,app.kubernetes.io/name", "The controller's selector labels.")
@click.option("--no-cross-namespace-refs", is_flag=True, help="The controller refuses references to other namespaces.")
def lint(
    files: tuple[Path, ...], output: str, strict: bool, namespace: str, selector_labels: str, **started: Any
) -> None:
    """Find faults in the Canaries, MetricTemplates and AlertProviders of FILES, offline.

    A folder stands for its *.yaml, *.yml and *.json, a dash for standard input. Deployments, Services and so on beside
    them are compared with what canaries say. Ends with 1 when there is an error, with 2 when it was asked wrongly.
    """
    options = Options(namespace=namespace, labels=LabelRules.from_flags(selector_labels, ""), **started)
    report = find_faults(_sources(files), options)
    # As bytes: manifests hold characters that the terminal's encoding may lack.
    click.echo(FORMATS[output](report).encode("utf-8", "backslashreplace"), nl=False)
    click.echo(f"flaggerpy lint: {summary(report)}", err=True)
    if report.count(Level.ERROR) or (strict and report.faults):
        sys.exit(1)


def _sources(files: Iterable[Path]) -> Iterator[Source]:
    """Read what was named, and what is in named folders; each file once."""
    seen: set[Path] = set()
    for named in files:
        if named == STDIN:
            yield Source("stdin", sys.stdin.buffer.read())
            continue
        for path in _walk(named) if named.is_dir() else [named]:
            if path.resolve() not in seen:
                seen.add(path.resolve())
                yield Source(str(path), _read(path), named=path == named)


def _walk(folder: Path) -> Iterator[Path]:
    """Return the manifests of a folder in a fixed order; hidden folders and templates of charts hold none."""
    for place, folders, names in os.walk(folder):
        here = Path(place)
        if "Chart.yaml" in names and "templates" in folders:
            folders.remove("templates")
            hint = f"render it first, as in helm template {here} | flaggerpy lint -"
            click.echo(f"{here / 'templates'} is left out: {hint}", err=True)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (here / name for name in sorted(names) if name.endswith(SUFFIXES) and (here / name).is_file())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}.") from error
