"""``flaggerpy get``: the table, the other outputs, and where it looks."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import yaml

from flaggerpy.api.status import CanaryStatus, Phase
from flaggerpy.cli.get import table
from flaggerpy.kube.resources import CANARIES
from tests.cli.served import Served, canary, status

NOW = datetime(2031, 5, 17, 8, 30, 15, tzinfo=UTC)


@pytest.fixture(autouse=True)
def three(cluster: Served) -> None:
    rolls = status(Phase.PROGRESSING, canary_weight=20, failed_checks=1, rollout={"reason": "metric latency is 612 ms"})
    cluster.put(CANARIES, canary(rolls))
    cluster.put(CANARIES, canary(None, "api"))
    cluster.put(CANARIES, canary(status(Phase.SUCCEEDED), "web", "bank"))


def test_canaries_of_the_contexts_namespace(cluster: Served) -> None:
    result = cluster.run("get")
    assert result.exit_code == 0
    assert [line.split(maxsplit=5) for line in result.stdout.splitlines()] == [
        ["NAME", "PHASE", "WEIGHT", "FAILED", "AGE", "REASON"],
        ["api", "New", "-", "-", "?"],
        ["web", "Progressing", "20", "1/5", "?", "metric latency is 612 ms"],
    ]


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (["-A"], ["bank web", "shop api", "shop web"]),
        (["-n", "bank"], ["web Succeeded"]),
        (["--context", "bank"], ["web Succeeded"]),
        (["web"], ["web Progressing"]),
    ],
)
def test_where_it_looks(cluster: Served, words: list[str], rows: list[str]) -> None:
    lines = cluster.run("get", *words).stdout.splitlines()[1:]
    assert [" ".join(line.split()[:2]) for line in lines] == rows


def test_wide_shows_target_provider_interval_and_steps(cluster: Served) -> None:
    header, row = cluster.run("get", "web", "-o", "wide").stdout.splitlines()
    cells = dict(zip(header.split(), row.split(maxsplit=9), strict=True))
    assert cells["TARGET"] == "Deployment/web"
    assert (cells["PROVIDER"], cells["INTERVAL"], cells["STEPS"]) == ("gatewayapi:v1", "30s", "10,20,30,40,50")
    assert cells["REASON"] == "metric latency is 612 ms"


@pytest.mark.parametrize(
    ("phase", "cells"),
    [
        (Phase.INITIALIZING, ["-", "-"]),
        (Phase.INITIALIZED, ["0", "-"]),
        (Phase.WAITING, ["0", "-"]),
        (Phase.PROGRESSING, ["0", "2/5"]),
        (Phase.WAITING_PROMOTION, ["0", "2/5"]),
        (Phase.PROMOTING, ["0", "-"]),
        (Phase.FINALISING, ["0", "-"]),
        (Phase.SUCCEEDED, ["0", "-"]),
        (Phase.FAILED, ["0", "-"]),
        (Phase.TERMINATING, ["-", "-"]),
        (Phase.TERMINATED, ["-", "-"]),
    ],
)
def test_numbers_are_shown_where_they_mean_something(phase: Phase, cells: list[str]) -> None:
    row = table([canary(status(phase, failed_checks=2))], NOW, everywhere=False, wide=False)[1]
    assert row.split()[2:4] == cells


def test_names_are_for_kubectl(cluster: Served) -> None:
    assert cluster.run("get", "-o", "name").stdout == "canary.flagger.app/api\ncanary.flagger.app/web\n"


def test_documents_are_whole_but_for_managed_fields(cluster: Served) -> None:
    marked = canary(status(Phase.SUCCEEDED), "marked")
    marked["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    cluster.put(CANARIES, marked)
    one = json.loads(cluster.run("get", "marked", "-o", "json").stdout)
    assert (one["kind"], one["status"]["phase"], "managedFields" in one["metadata"]) == ("Canary", "Succeeded", False)
    all_of_them = json.loads(cluster.run("get", "-o", "json").stdout)
    assert (all_of_them["kind"], len(all_of_them["items"])) == ("List", 3)
    assert yaml.safe_load(cluster.run("get", "-o", "yaml").stdout) == all_of_them


def test_no_canaries_are_no_fault(cluster: Served) -> None:
    result = cluster.run("get", "-n", "empty")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "there are no canaries in namespace empty\n"
    assert json.loads(cluster.run("get", "-n", "empty", "-o", "json").stdout)["items"] == []


@pytest.mark.parametrize("words", [["web", "-A"], ["-A", "-n", "bank"]])
def test_all_namespaces_go_with_nothing_else(cluster: Served, words: list[str]) -> None:
    result = cluster.run("get", *words)
    assert (result.exit_code, "leave the name and -n away" in result.stderr) == (2, True)


def test_a_reason_is_cut_at_the_edge_of_the_terminal_and_nowhere_else() -> None:
    long = canary(CanaryStatus(phase=Phase.PROGRESSING, rollout={"reason": "x" * 300}))
    cut = table([long], NOW, everywhere=True, wide=False, width=100)[1]
    assert (len(cut), cut.endswith("xxx…")) == (100, True)
    assert table([long], NOW, everywhere=True, wide=False)[1].endswith("x" * 300)
    assert table([long], NOW, everywhere=True, wide=False, width=10)[1].endswith(f" {'x' * 19}…"), "a few words stay"


def test_the_age_is_the_objects() -> None:
    made = canary(status(Phase.SUCCEEDED))
    made["metadata"]["creationTimestamp"] = "2031-05-14T08:30:15Z"
    assert table([made], NOW, everywhere=False, wide=False)[1].split()[4] == "3d"


def test_a_canary_that_cannot_be_read_has_a_row_that_says_so() -> None:
    broken = canary()
    del broken["spec"]["targetRef"]
    row = table([broken], NOW, everywhere=True, wide=False)[1]
    assert row.split()[:3] == ["shop", "web", "?"]
    assert "spec.targetRef is missing" in row
