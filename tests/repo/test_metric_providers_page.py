"""docs/reference/metric-providers.md: every provider has a section, and its manifests are right."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from flaggerpy.api.templates import parse_metric_template
from flaggerpy.cli.lint import lint
from flaggerpy.kube.objects import JsonObject
from flaggerpy.metrics.registry import ENDED, PROVIDERS
from tests.metrics.test_provider_faults import CASES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metric-providers.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
_BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def manifests(section: str) -> list[str]:
    return [block for block in _BLOCK.findall(SECTIONS[section]) if block.startswith("apiVersion:")]


def objects(section: str) -> list[JsonObject]:
    return [obj for block in manifests(section) for obj in yaml.safe_load_all(block)]


@pytest.mark.parametrize("kind", [*PROVIDERS, *ENDED])
def test_every_provider_has_a_section(kind: str) -> None:
    assert kind in SECTIONS


@pytest.mark.parametrize("kind", PROVIDERS)
def test_the_manifests_of_a_provider_are_of_its_type(kind: str) -> None:
    found = [obj for obj in objects(kind) if obj["kind"] == "MetricTemplate"]

    assert found
    assert {parse_metric_template(obj).spec.provider.type for obj in found} == {kind}


@pytest.mark.parametrize("kind", PROVIDERS)
def test_every_key_of_the_secret_is_told(kind: str) -> None:
    keys = {re.sub(r"^header\..*", "header.<name>", key) for key in CASES[kind].secret}

    told = SECTIONS[kind] + (SECTIONS["prometheus"] if "(#prometheus)" in SECTIONS[kind] else "")
    assert {key for key in keys if f"`{key}`" not in told} == set()


@pytest.mark.parametrize("section", [name for name in SECTIONS if manifests(name)])
def test_lint_finds_no_fault_in_what_is_shown(section: str, tmp_path: Path) -> None:
    for number, block in enumerate(manifests(section)):
        file = tmp_path / f"{number}.yaml"
        file.write_text(block)
        result = CliRunner().invoke(lint, ["-o", "json", str(file)])
        assert json.loads(result.stdout) == []
