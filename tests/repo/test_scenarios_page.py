"""docs/development/scenarios.md: every scenario of Flagger's tests has a row, and the tests that are named exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from flaggerpy.api.status import Phase
from tests.e2e import test_takeover, test_takeover_phases
from tests.repo import nodes
from tools.ci.phases import ROOT

PAGE = (ROOT / "docs" / "development" / "scenarios.md").read_text(encoding="utf-8")
SCRIPTS = {
    *(f"kubernetes/test-{name}.sh" for name in ("deployment", "daemonset", "hpa")),
    "keda/test-scaledobject.sh",
    *(f"istio/test-canary.sh{part}" for part in ("", " (B/G)", " (A/B)", " (revert)")),
    *(f"istio/test-{name}.sh" for name in ("skip-analysis", "delegation", "session-affinity")),
    *(f"gatewayapi/test-{name}.sh" for name in ("canary", "bg", "ab", "session-affinity")),
    *(f"linkerd/test-{name}.sh" for name in ("canary", "steps")),
    *(f"nginx/test-{name}.sh" for name in ("canary", "lifecycle")),
    *(f"{name}/test-canary.sh" for name in ("contour", "gloo", "kuma", "traefik", "skipper", "apisix", "knative")),
}
PACKAGES = {"controller", "canary", "router", "metrics", "notifier", "loadtester"}
SITUATIONS = ["bootstrap", "adoption", "promotion", "rollback", "deletion", "takeover from Flagger"]
RATE = 50
"""Requests a second."""
_TEST = re.compile(r"`(tests/[^`]+\.py::[^`]+)`")


def rows(title: str) -> list[tuple[str, list[str]]]:
    """Return the first cell of each row of a section's table, and the tests in its last one."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [(cells[0], _TEST.findall(cells[-1])) for cells in lines[1:]]


SCENARIOS, BEHAVIOURS, SERVED = (
    rows(title) for title in ("Scenarios on a real cluster", "Behaviour in its unit tests", "No request fails")
)


def test_every_script_has_one_row_and_every_package_some() -> None:
    assert sorted(script for script, _ in SCENARIOS) == sorted(SCRIPTS)
    assert {package for package, _ in BEHAVIOURS} == PACKAGES
    assert [situation for situation, _ in SERVED] == SITUATIONS


@pytest.mark.parametrize("row", [*SCENARIOS, *BEHAVIOURS, *SERVED], ids=lambda row: row[0])
def test_the_tests_that_a_row_names_exist(row: tuple[str, list[str]]) -> None:
    _, named = row
    assert named
    assert [test for test in named if not nodes.exists(test)] == []


def test_a_test_that_is_gone_is_missed() -> None:
    here = "tests/repo/test_scenarios_page.py"
    assert nodes.exists(f"{here}::test_a_test_that_is_gone_is_missed")
    assert not nodes.exists(f"{here}::test_that_never_was")
    assert not nodes.exists(f"{here}::rows")
    assert not nodes.exists("tests/repo/test_that_never_was.py::test_a")


def calls(test: ast.AST, name: str) -> Iterator[ast.Call]:
    """Find the calls of a function or method of this name."""
    for node in ast.walk(test):
        if isinstance(node, ast.Call) and name in {getattr(node.func, "attr", ""), getattr(node.func, "id", "")}:
            yield node


def rate(call: ast.Call, module: ast.Module) -> float:
    """How many requests a second users send: a number, or a constant of the module."""
    given = next((word.value for word in call.keywords if word.arg == "rate"), None)
    constants = {
        target.id: node.value
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    if given is None:
        return RATE
    return float(ast.literal_eval(constants[given.id] if isinstance(given, ast.Name) else given))


@pytest.mark.parametrize("node_id", sorted({test for _, named in SERVED for test in named}))
def test_users_come_at_the_rate_and_every_answer_counts(node_id: str) -> None:
    path, _, name = node_id.partition("::")
    test = nodes.functions(path)[name]
    rates = [rate(call, nodes.module(path)) for call in calls(test, "users")]
    assert max(rates) >= RATE
    (checked, *_) = calls(test, "assert_served")
    assert (len(checked.args), checked.keywords) == (1, []), "some lost requests are forgiven"


def test_the_takeover_is_tried_in_every_phase() -> None:
    others = [case.phase.lower() for case in (*test_takeover_phases.BEFORE_A_ROLLOUT, *test_takeover_phases.HELD)]
    left = {phase.value.lower() for phase in Phase} - {Phase.NEW.value, Phase.TERMINATED.value.lower()}
    assert sorted([*(phase for phase, *_ in test_takeover.PHASES), *others]) == sorted(left)
