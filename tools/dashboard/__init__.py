"""The Grafana dashboard of the chart, written from the list of its panels.

``python -m tools.dashboard`` rewrites charts/flaggerpy/dashboards/flaggerpy.json; a test fails when it is stale.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from tools.dashboard.controller import controller, questions, work
from tools.dashboard.grafana import WIDTH, Json, Panel, choice
from tools.dashboard.rollouts import overview, results, rollouts

FILE = Path(__file__).resolve().parents[2] / "charts" / "flaggerpy" / "dashboards" / "flaggerpy.json"
ROWS: dict[str, tuple[Panel, ...]] = {
    "": overview(),
    "Rollouts": rollouts() + results(),
    "Metrics servers, webhooks, alerts": questions(),
    "Controller": controller() + work(),
}
"""Titles of the rows, and what is in them; the first row has none."""


def panels() -> Iterator[Json]:
    """Lay the panels out from left to right, row under row."""
    number, y = 1, 0
    for title, row in ROWS.items():
        if title:
            yield {"id": number, "type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": _row(y)}
            number, y = number + 1, y + 1
        x, height = 0, 0
        for panel in row:
            if x + panel.width > WIDTH:
                x, y, height = 0, y + height, 0
            yield panel.written(number, x, y)
            number, x, height = number + 1, x + panel.width, max(height, panel.height)
        y += height


def _row(y: int) -> Json:
    return {"x": 0, "y": y, "w": WIDTH, "h": 1}


def dashboard() -> Json:
    """Write the dashboard."""
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}
    choices = [
        choice("namespace", "Namespace", "label_values(flagger_canary_status, namespace)"),
        choice("name", "Canary's target", 'label_values(flagger_canary_status{namespace=~"$namespace"}, name)'),
    ]
    return {
        "uid": "flaggerpy",
        "title": "Progressive delivery / flaggerpy",
        "description": "Rollouts by flaggerpy: phases, weights, checks and outcomes; and how the controller is.",
        "tags": ["flaggerpy", "canary", "progressive delivery"],
        "editable": True,
        "graphTooltip": 1,
        "schemaVersion": 39,
        "version": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [source, *choices]},
        "annotations": {"list": []},
        "panels": list(panels()),
    }


def written() -> str:
    """Return the file's content."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"
