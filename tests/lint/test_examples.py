"""What works is not complained about: the documentation's examples, and canaries that Flagger worked with."""

from __future__ import annotations

from datetime import timedelta

import pytest
import yaml

from flaggerpy.lint.faults import Level, Rule
from flaggerpy.lint.inventory import Options
from flaggerpy.lint.run import Report, lint
from flaggerpy.lint.source import Source
from tests.api.fixtures import CANARIES, DATA, EXAMPLES
from tools.demo.play import seed_canary

REFUSED_BY_THE_API_SERVER = "spec.service.rewrite.type ReplacePrefixMatch works with exactly one match"


def report(*paths: str, options: Options | None = None) -> Report:
    files = [path for place in (EXAMPLES, DATA) for path in sorted(place.iterdir()) if path.name in paths]
    return lint([Source(path.name, path.read_bytes()) for path in files], options or Options())


def test_the_seeds_canary_asks_for_a_port_that_no_service_has_and_has_no_other_fault() -> None:
    [fault] = report("canary.yaml").faults
    assert (fault.line, fault.column, fault.level) == (31, 9, Level.ERROR)
    assert fault.sentence == (
        "spec.analysis.webhooks[0].metadata.cmd: http://payment-service-canary/ asks for port 80, but Service"
        " payment-service-canary has 8080: write http://payment-service-canary:8080/."
    )


def test_the_seeds_canary_as_the_demo_corrects_it_has_no_fault() -> None:
    source = Source("demo.yaml", yaml.safe_dump(seed_canary()).encode())
    at_a_demos_pace = Options(mesh_provider="gatewayapi:v1", min_interval=timedelta(seconds=1))
    assert lint([source], at_a_demos_pace).faults == ()


def test_other_peoples_examples_are_left_alone() -> None:
    found = report("argo-rollout.yaml", "argocd-application.yaml")
    assert (found.faults, found.objects) == ((), {})


def test_of_what_flagger_worked_with_only_what_is_not_built_yet_is_told() -> None:
    found = report("canaries.yaml")
    assert found.objects == {"Canary": len(CANARIES)}
    errors = [fault for fault in found.faults if fault.level is Level.ERROR]
    assert {fault.rule for fault in errors} == {Rule.NOT_SERVED}
    odd = [
        fault.sentence for fault in errors if "not built" not in fault.sentence and "this version" not in fault.sentence
    ]
    assert [sentence for sentence in odd if not sentence.startswith(REFUSED_BY_THE_API_SERVER)] == []
    assert {fault.rule for fault in found.faults} <= {Rule.NOT_SERVED, Rule.NO_EFFECT}


@pytest.mark.parametrize("name", ["alert-providers.yaml", "metric-templates.yaml"])
def test_templates_and_receivers_that_flagger_accepted_have_no_fault(name: str) -> None:
    assert report(name).faults == ()
