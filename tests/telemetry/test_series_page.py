"""The tables of series are written from the registry; `python -m tools.series` renews them."""

import re

import pytest
import yaml

from flaggerpy.telemetry.catalogue import Series
from flaggerpy.telemetry.recorder import Recorder
from tests.telemetry.queries import RULES
from tools import series

TEXT = series.PAGE.read_text(encoding="utf-8")


def test_the_tables_are_the_registry_of_today() -> None:
    assert series.renewed(TEXT) == TEXT, "run: python -m tools.series"


def test_every_series_is_in_one_table() -> None:
    listed = re.findall(r"^\| `(flagger\w+)` \| (?:gauge|counter|histogram) ", TEXT, re.MULTILINE)
    assert sorted(listed) == sorted(one.name for one in Recorder(version="", mesh_provider="").catalogue.series)


def test_a_series_that_changes_makes_the_page_stale() -> None:
    assert series.renewed(TEXT.replace("| gauge |", "| counter |", 1)) == TEXT
    assert (
        series.row(Series("flaggerpy_x", "gauge", "New.", ("a", "b"))) == "| `flaggerpy_x` | gauge | `a`, `b` | New. |"
    )


def test_a_page_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the series of canaries"):
        series.renewed(TEXT.replace(series.BEGIN.format("of canaries"), ""))


def test_every_alert_is_explained_with_its_severity() -> None:
    explained = dict(re.findall(r"^\| `(Flaggerpy\w+)` \| (\w+) \|", TEXT, re.MULTILINE))
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    assert explained == {rule["alert"]: rule["labels"]["severity"] for group in groups for rule in group["rules"]}
