"""Grafana's vocabulary: panels and queries as values, written as its JSON."""

from dataclasses import dataclass, field, replace
from typing import Any

Json = dict[str, Any]

SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
GREEN, BLUE, YELLOW, ORANGE, RED, PURPLE, GRAY = "green", "blue", "yellow", "orange", "red", "purple", "#808080"
WIDTH = 24
"""Columns of the grid."""


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression, and how its series are called."""

    expr: str
    legend: str = "__auto"
    instant: bool = False
    table: bool = False

    def target(self, number: int) -> Json:
        """Write it as Grafana does."""
        return {
            "refId": chr(ord("A") + number),
            "datasource": SOURCE,
            "expr": self.expr,
            "legendFormat": self.legend,
            "instant": self.instant,
            "range": not self.instant,
            "format": "table" if self.table else "time_series",
        }


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: a question as its title, and the queries that answer it. A grid is 24 wide."""

    title: str
    about: str
    kind: str
    queries: tuple[Query, ...]
    width: int = 8
    height: int = 8
    unit: str = "none"
    custom: Json = field(default_factory=dict)
    defaults: Json = field(default_factory=dict)
    options: Json = field(default_factory=dict)
    overrides: tuple[Json, ...] = ()
    more: Json = field(default_factory=dict)
    """Other fields of the panel."""

    def written(self, number: int, x: int, y: int) -> Json:
        """Write it as Grafana does."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.about,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [query.target(position) for position, query in enumerate(self.queries)],
            "fieldConfig": {
                "defaults": {"unit": self.unit, "custom": self.custom, **self.defaults},
                "overrides": list(self.overrides),
            },
            "options": self.options,
            **self.more,
        }


def stat(title: str, about: str, expr: str, *, bad: bool = False, unit: str = "none", width: int = 4) -> Panel:
    """One number; a bad one turns red above zero."""
    steps = [{"color": GREEN if bad else BLUE, "value": None}, *([{"color": RED, "value": 1}] if bad else [])]
    return Panel(
        title,
        about,
        "stat",
        (Query(expr, instant=True),),
        width,
        4,
        unit,
        defaults={"decimals": 0, "thresholds": {"mode": "absolute", "steps": steps}},
        options={"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "none"},
    )


def graph(title: str, about: str, *queries: Query, unit: str = "none", width: int = 8, **custom: Any) -> Panel:
    """Lines over time."""
    legend = {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}
    return Panel(
        title,
        about,
        "timeseries",
        queries,
        width,
        8,
        unit,
        custom={"fillOpacity": 10, "showPoints": "never", "spanNulls": False, **custom},
        defaults={"min": 0},
        options={"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}},
    )


def bars(title: str, about: str, *queries: Query) -> Panel:
    """Counts over time, stacked; each bar is of an interval that holds several scrapes."""
    stacked: Json = {"drawStyle": "bars", "fillOpacity": 80, "stacking": {"mode": "normal", "group": "A"}}
    return replace(graph(title, about, *queries, width=6, **stacked), more={"interval": "2m"})


def quantile(of: str, bucket: str, by: str, *, matching: str = "", window: str = "$__rate_interval") -> str:
    """Write a quantile of a histogram."""
    chosen = f"{{{matching}}}" if matching else ""
    return f"histogram_quantile({of}, sum by (le, {by}) (rate({bucket}{chosen}[{window}])))"


def override(column: str, *, cell: str = "", **properties: Any) -> Json:
    found = [{"id": name, "value": value} for name, value in properties.items()]
    if cell:
        found.append({"id": "custom.cellOptions", "value": {"type": cell}})
    return {"matcher": {"id": "byName", "options": column}, "properties": found}


def mapping(*texts: str) -> Json:
    return {"type": "value", "options": {str(number): {"text": text} for number, text in enumerate(texts)}}


def choice(name: str, title: str, query: str) -> Json:
    """Write a variable that offers values of a label, one, some or all."""
    return {
        "name": name,
        "label": title,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": "values"},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
