"""Dashboard and alerts ask for series that exist; `python -m tools.dashboard` renews the dashboard."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import get_args

import pytest
import yaml

from flaggerpy.api.status import Phase
from flaggerpy.rollout.checks import Verdict
from flaggerpy.telemetry.controller import Ended, QueryOutcome
from tests.telemetry.queries import (
    DASHBOARD,
    RULES,
    Shipped,
    dashboard,
    exposed,
    faults,
    panels,
    renamed,
    rules,
    shipped,
    variables,
)
from tools.dashboard import written
from tools.dashboard.rollouts import COLORS

SERIES = exposed()


@pytest.mark.parametrize("query", shipped(), ids=lambda query: query.where)
def test_every_series_and_label_is_exposed(query: Shipped) -> None:
    assert list(faults(query, SERIES)) == []


@pytest.mark.parametrize(
    ("expression", "named", "fault"),
    [
        ("flagger_canary_state", set(), "there is no series flagger_canary_state"),
        (
            "sum(rate(flaggerpy_reconcile_duration_seconds[5m]))",
            set(),
            "there is no series flaggerpy_reconcile_duration",
        ),
        ('flagger_canary_weight{name="web"}', set(), "flagger_canary_weight has no label name"),
        ("sum by (pod) (flaggerpy_leader)", set(), "flaggerpy_leader has no label pod"),
        ("sum(flaggerpy_leader) by (code)", set(), "flaggerpy_leader has no label code"),
        ("flaggerpy_leader and on (name) flagger_canary_status", set(), "flaggerpy_leader has no label name"),
        ("max by (name) (flagger_canary_status) and on (namespace) flagger_canary_total", set(), "has lost its label"),
        ("flaggerpy_leader", {"name"}, "a text names the label name"),
        ("max by (name) (flagger_canary_status)", {"namespace"}, "a text names the label namespace"),
        ("flaggerpy_leader", {"instance"}, ""),
        ("sum by (le) (rate(flagger_canary_duration_seconds_bucket[5m]))", set(), ""),
    ],
)
def test_the_check_finds_what_is_wrong(expression: str, named: set[str], fault: str) -> None:
    found = list(faults(Shipped("here", expression, frozenset(named)), SERIES))
    assert [fault in sentence for sentence in found] == ([True] if fault else [])


def test_there_is_something_to_check() -> None:
    assert len(panels()) > 25
    assert {query.where for query in variables()} == {"variable namespace", "variable name"}
    assert {query.where for query in rules()} >= {
        "alert FlaggerpyRolloutFailed",
        "alert FlaggerpyCanaryStalled",
        "alert FlaggerpyNoLeader",
        "alert FlaggerpyWatchStale",
    }


@pytest.mark.parametrize("query", shipped(), ids=lambda query: query.where)
def test_values_of_labels_exist(query: Shipped) -> None:
    known = {
        "phase": {phase.value for phase in Phase} - {""} | {"New"},
        "outcome": set(get_args(QueryOutcome)),
        "result": {*get_args(Ended), *(verdict.value.lower() for verdict in Verdict)},
    }
    for label, text in re.findall(r'\b(phase|outcome|result)(?:=~?|!=)"([^"]*)"', query.expression):
        assert set(text.split("|")) <= known[label]


def test_every_phase_has_a_colour_in_the_timeline() -> None:
    assert set(COLORS) == set(Phase) - {Phase.NEW}


def test_the_dashboard_is_what_the_list_of_panels_says() -> None:
    assert DASHBOARD.read_text(encoding="utf-8") == written(), "run: python -m tools.dashboard"


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    found = dashboard()["panels"]
    assert len({panel["id"] for panel in found}) == len(found)
    places = {panel["title"]: panel["gridPos"] for panel in found}
    assert all(place["x"] + place["w"] <= 24 for place in places.values())
    for (one, a), (other, b) in combinations(places.items(), 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        under = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or under, (one, other)


def test_every_panel_says_what_it_shows_and_asks_the_chosen_prometheus() -> None:
    for panel in dashboard()["panels"]:
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


def test_columns_that_the_table_arranges_come_from_its_queries() -> None:
    (table,) = (panel for panel in dashboard()["panels"] if panel["type"] == "table")
    (organize,) = (step["options"] for step in table["transformations"] if step["id"] == "organize")
    values = {f"Value #{target['refId']}" for target in table["targets"]}
    labels = {"namespace", "name", "phase"}
    assert set(organize["indexByName"]) <= values | labels
    assert set(organize["renameByName"]) <= values | labels
    assert set(organize["indexByName"]) | set(organize["excludeByName"]) == values | labels | {"Time"}


def test_every_alert_says_how_bad_it_is_what_happened_and_what_to_do() -> None:
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"warning", "critical"}
            assert set(rule["annotations"]) == {"summary", "description"}


def test_where_prometheus_renames_the_label_only_queries_change() -> None:
    before, after = dashboard(), json.loads(renamed(DASHBOARD.read_text(encoding="utf-8")))
    for one, other in zip(before["panels"], after["panels"], strict=True):
        assert (one["title"], one.get("description")) == (other["title"], other.get("description"))
    for variable in after["templating"]["list"]:
        assert "exported" not in variable["label"]
    texts = [
        rule["annotations"].values()
        for group in yaml.safe_load(renamed(RULES.read_text(encoding="utf-8")))["groups"]
        for rule in group["rules"]
    ]
    for text in (text for pair in texts for text in pair):
        assert "exported_namespace" not in text.replace("$labels.exported_namespace", "")


def test_the_dashboard_is_json_that_a_person_can_compare() -> None:
    text = DASHBOARD.read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
