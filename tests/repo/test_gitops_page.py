"""docs/gitops.md: its snippets are what they say, and speak of what there is."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from flaggerpy.api.constants import HANDS_OFF, MANAGED_BY
from flaggerpy.api.status import CanaryStatus, Phase
from tests.rollout.test_status import in_phase
from tests.rollout.world import initialized
from tools.ci.phases import ROOT

PAGE = (ROOT / "docs" / "gitops.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = (ROOT / "docs" / "examples" / "argocd-application.yaml").read_text(encoding="utf-8")
CONDITIONS = {condition.type for condition in initialized().status.conditions}


def snippets(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def objects(page: str) -> list[Any]:
    return [yaml.safe_load(text) for text in snippets(page, "yaml")]


def of_kind(kind: str) -> Any:
    (found,) = [obj for obj in objects(PAGE) if obj.get("kind") == kind]
    return found


def pointers() -> set[str]:
    rules = [rule for obj in objects(PAGE) for rule in (obj.get("spec") or obj).get("ignoreDifferences") or ()]
    return {f"{rule['kind']} {pointer}" for rule in rules for pointer in rule["jsonPointers"]}


def test_every_snippet_is_yaml_and_whole_or_a_part_of_an_application() -> None:
    kinds = [obj.get("kind") or list(obj) for obj in objects(PAGE)]
    assert kinds == ["Application", ["ignoreDifferences"], "ConfigMap", "Kustomization", "HelmRelease"]


def test_the_application_is_the_example() -> None:
    assert snippets(PAGE, "yaml")[0] == EXAMPLE


def test_the_example_and_the_readme_leave_the_replicas_of_the_target_alone() -> None:
    application = yaml.safe_load(EXAMPLE)
    (rule,) = application["spec"]["ignoreDifferences"]
    canary = yaml.safe_load((ROOT / "docs" / "examples" / "canary.yaml").read_text(encoding="utf-8"))
    target = canary["spec"]["targetRef"]
    assert (rule["group"], rule["kind"], rule["name"]) == ("apps", target["kind"], target["name"])
    assert rule["jsonPointers"] == ["/spec/replicas"]
    (shown,) = [obj for obj in objects(README) if "ignoreDifferences" in obj.get("spec", {})]
    assert shown["spec"]["ignoreDifferences"] == application["spec"]["ignoreDifferences"]
    options = application["spec"]["syncPolicy"]["syncOptions"]
    assert shown["spec"]["syncPolicy"]["syncOptions"] == options == ["RespectIgnoreDifferences=true"]


def test_what_flaggerpy_changes_is_ignored() -> None:
    assert pointers() == {
        "Deployment /spec/replicas",
        "Service /spec/selector",
        "Service /spec/ports",
        "HTTPRoute /spec",
        f"HTTPRoute /metadata/labels/{MANAGED_BY.replace('/', '~1')}",
    }
    for key, value in HANDS_OFF.items():
        assert f"`{key}: {value}`" in PAGE


@pytest.mark.parametrize(
    "check",
    [
        of_kind("ConfigMap")["data"]["resource.customizations.health.flagger.app_Canary"],
        *(of_kind("Kustomization")["spec"]["healthCheckExprs"][0][name] for name in ("failed", "current")),
        *snippets(PAGE, "sh"),
    ],
)
def test_health_checks_speak_of_phases_and_conditions_that_there_are(check: str) -> None:
    phases = set(re.findall(r"""status\.phase == ["'](\w+)["']""", check))
    conditions = set(re.findall(r"\bis\.(\w+)|c\.type == '(\w+)'|condition=(\w+)", check))
    named = {name for match in conditions for name in match if name}
    assert phases <= {phase.value for phase in Phase}
    assert named <= CONDITIONS
    assert phases | named


def flux(expression: str, status: CanaryStatus) -> bool:
    """Evaluate an expression of the page as Flux does, as far as it uses what the page uses."""
    holds = {(row.type, row.status) for row in status.conditions}
    words = re.sub(
        r"status\.conditions\.exists\(c, c\.type == ('\w+') && c\.status == ('\w+')\)", r"(\1, \2) in holds", expression
    )
    return bool(eval(words, {"__builtins__": {}}, {"holds": holds}))  # noqa: S307 -- ours


def kstatus(status: CanaryStatus, generation: int) -> str:
    """Say what kstatus, by which Flux waits, makes of conditions."""
    holds = {row.type: row.status for row in status.conditions}
    if status.observed_generation != generation or holds["Reconciling"] == "True":
        return "InProgress"
    if holds["Stalled"] == "True":
        return "Failed"
    return "Current" if holds["Ready"] == "True" else "InProgress"


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.NEW])
def test_flux_is_told_the_truth_in_every_phase(phase: Phase) -> None:
    (checks,) = of_kind("Kustomization")["spec"]["healthCheckExprs"]
    world = in_phase(phase)
    at_rest = phase in {Phase.INITIALIZED, Phase.SUCCEEDED, Phase.TERMINATED}
    assert flux(checks["current"], world.status) == at_rest
    assert flux(checks["failed"], world.status) == (phase is Phase.FAILED)
    ended = "Current" if at_rest else "Failed" if phase is Phase.FAILED else "InProgress"
    assert kstatus(world.status, world.generation) == ended
    assert kstatus(world.status, world.generation + 1) == "InProgress"
    if phase in {Phase.TERMINATING, Phase.TERMINATED}:
        return
    world.problems = ("spec.x is wrong: write y",)
    world.touch().run_for(1)
    assert (flux(checks["current"], world.status), flux(checks["failed"], world.status)) == (False, True)
    assert kstatus(world.status, world.generation) == "Failed"


def test_flux_is_content_when_the_old_revision_is_put_back_after_a_failure() -> None:
    (checks,) = of_kind("Kustomization")["spec"]["healthCheckExprs"]
    world = in_phase(Phase.FAILED)
    asked = world.generation
    world.push("v1").run()
    assert (world.phase, world.outcomes) == (Phase.SUCCEEDED, ["failed"])
    assert kstatus(world.status, asked) == "Current"
    assert (flux(checks["current"], world.status), flux(checks["failed"], world.status)) == (True, False)


def test_the_sentence_about_a_fight_is_the_one_that_users_see() -> None:
    world = initialized()
    world.scale(3).run_for(1)
    quoted = " ".join(line.removeprefix("> ") for line in PAGE.splitlines() if line.startswith("> "))
    assert quoted == world.status.rollout.reason.replace("payment.shop", "payment-service.payments")
