"""Every PromQL expression that the chart ships, and what is wrong with one against the series that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flaggerpy.telemetry.recorder import Recorder
from tests.telemetry.promql import Use, labels_of_text, uses

CHART = Path(__file__).resolve().parents[2] / "charts" / "flaggerpy"
DASHBOARD = CHART / "dashboards" / "flaggerpy.json"
RULES = CHART / "alerts" / "flaggerpy.yaml"
SCRAPED = frozenset({"job", "instance"})
"""Labels that Prometheus gives to every series of a target, whatever its configuration."""
_VALUES = re.compile(r"label_values\((?P<selector>.*), (?P<label>\w+)\)")

Exposed = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Shipped:
    """One expression, where it is, and the labels that texts beside it name."""

    where: str
    expression: str
    named: frozenset[str] = frozenset()


def dashboard() -> dict[str, Any]:
    """Read the dashboard."""
    read: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return read


def panels() -> dict[str, list[Shipped]]:
    """Return the queries of every panel by its title."""
    found = {}
    for panel in dashboard()["panels"]:
        queries = [(target["expr"], labels_of_text(target["legendFormat"])) for target in panel.get("targets", ())]
        if queries:
            title = f"{panel['id']} {panel['title']}"
            found[title] = [Shipped(title, expression, frozenset(named)) for expression, named in queries]
    return found


def variables() -> list[Shipped]:
    """Return what the dashboard's variables offer values of."""
    found = []
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            match = _VALUES.fullmatch(variable["definition"])
            assert match, variable["definition"]
            where = f"variable {variable['name']}"
            found.append(Shipped(where, match["selector"], frozenset({match["label"]})))
    return found


def rules() -> list[Shipped]:
    """Return the alerts."""
    found = []
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            named = labels_of_text(" ".join(rule["annotations"].values()))
            found.append(Shipped(f"alert {rule['alert']}", rule["expr"], frozenset(named)))
    return found


def shipped() -> list[Shipped]:
    """Return everything."""
    return [*(query for queries in panels().values() for query in queries), *variables(), *rules()]


def renamed(text: str) -> str:
    """Write a file as the chart does where Prometheus keeps the label namespace for the scraped Pod's."""
    return re.sub(r"\bnamespace\b", "exported_namespace", text)


def exposed() -> dict[str, frozenset[str]]:
    """Return the names that the controller's registry serves, each with its labels."""
    recorder = Recorder(version="1", mesh_provider="")
    process = {
        sample.name: frozenset(sample.labels)
        for family in recorder.registry.collect()
        for sample in family.samples
        if sample.name.startswith("process_")
    }
    return process | {name: labels for one in recorder.catalogue.series for name, labels in one.exposed.items()}


def faults(query: Shipped, series: Exposed) -> Iterator[str]:
    """Say what an expression uses that nobody exposes."""
    found = uses(query.expression)
    available: set[str] = set()
    for use in found:
        if use.metric not in series:
            yield f"{query.where}: there is no series {use.metric}"
            continue
        labels = series[use.metric] | SCRAPED
        available |= _left(use, labels)
        for label in sorted(use.wanted - labels):
            yield f"{query.where}: {use.metric} has no label {label}"
        for label in sorted(use.lost):
            yield f"{query.where}: {use.metric} has lost its label {label} where it is asked for"
    for label in sorted(query.named - available):
        yield f"{query.where}: a text names the label {label}, which the result does not have"


def _left(use: Use, labels: frozenset[str]) -> set[str]:
    return (set(labels) if use.left is None else use.left) | use.made


def filled(expression: str, *, namespace: str = ".*", window: str = "1m") -> str:
    """Fill Grafana's variables in, as a person who looks at one namespace."""
    values = {
        "$__rate_interval": window,
        "$__interval": window,
        "$__range": window,
        "$namespace": namespace,
        "$name": ".*",
    }
    for variable in sorted(values, key=len, reverse=True):
        expression = expression.replace(variable, values[variable])
    assert "$" not in expression.replace('"$1"', ""), expression
    return expression
