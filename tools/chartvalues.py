"""The values of both charts in docs/reference/charts.md, from their values.yaml: each with its default and its comment.

``python -m tools.chartvalues`` rewrites the page; a test fails when it is stale.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "charts.md"
CHARTS = ("flaggerpy", "loadtester")
HEAD = """# Values of the charts

Written by `python -m tools.chartvalues` from the charts' `values.yaml`. What differs from Flagger's charts, and which
rights the values give, is told beside the charts: [flaggerpy](../../charts/flaggerpy/README.md),
[loadtester](../../charts/loadtester/README.md). A value that does not exist is refused.
"""
_NOT_OURS = {"podAnnotations", "resources", "context", "affinity", "podSecurityContext", "labels"}
"""Values whose keys are named by Kubernetes or by the user: one row each."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a chart: its name with dots, its default, and what the comment above it says."""

    name: str
    default: Any
    comment: str


def values_of(text: str) -> Iterator[Value]:
    """Return the values that a user sets: those without values below them, maps of free keys, and lists."""
    root = yaml.compose(text)
    if not isinstance(root, yaml.MappingNode):
        raise TypeError("a values.yaml is a mapping")
    yield from _below(root, (), text.splitlines(), "")


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *(_section(chart) for chart in CHARTS)])


def _below(node: yaml.MappingNode, path: tuple[str, ...], lines: list[str], inherited: str) -> Iterator[Value]:
    for key, child in node.value:
        name, comment = (*path, key.value), _comment(lines, key.start_mark.line)
        if isinstance(child, yaml.MappingNode) and _is_branch(child, name):
            yield from _below(child, name, lines, comment)
        else:
            yield Value(".".join(name), yaml.safe_load(yaml.serialize(child)), comment or inherited)
        inherited = ""


def _is_branch(node: yaml.MappingNode, name: tuple[str, ...]) -> bool:
    """Whether the values below are named by the chart."""
    return bool(node.value) and name[-1] not in _NOT_OURS


def _comment(lines: list[str], line: int) -> str:
    """Return what stands in the comment lines right above a line."""
    above = []
    for text in reversed(lines[:line]):
        if not text.lstrip().startswith("#"):
            break
        above.append(text.strip().removeprefix("#").strip())
    return " ".join(reversed(above))


def _section(chart: str) -> str:
    text = (ROOT / "charts" / chart / "values.yaml").read_text(encoding="utf-8")
    rows = [f"| `{value.name}` | {_default(value.default)} | {_cell(value.comment)} |" for value in values_of(text)]
    return "\n".join([f"## Chart {chart}", "", "| value | default | meaning |", "|---|---|---|", *rows, ""])


def _default(value: Any) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`".replace("|", "\\|")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
