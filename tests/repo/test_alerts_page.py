"""docs/guides/alerts.md: every manifest on it is one that the controller would send with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from flaggerpy.api.canary import parse_canary
from flaggerpy.api.templates import parse_alert_provider
from flaggerpy.controller.alerts import receiver_of
from flaggerpy.lint.inventory import Options
from flaggerpy.lint.run import lint
from flaggerpy.lint.source import Source
from flaggerpy.notifiers.link import link_problem
from flaggerpy.notifiers.registry import NOTIFIERS
from tools.ci.phases import ROOT

PAGE: Path = ROOT / "docs" / "guides" / "alerts.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def objects(kind: str) -> list[dict[str, Any]]:
    return [found for block in BLOCKS for found in yaml.safe_load_all(block) if found["kind"] == kind]


def test_every_receiver_has_an_example() -> None:
    assert {provider["spec"]["type"] for provider in objects("AlertProvider")} == set(NOTIFIERS)


@pytest.mark.parametrize("block", BLOCKS)
def test_w73_every_receiver_of_the_guide_is_one_that_the_crd_admits(block: str) -> None:
    assert lint([Source("guide.yaml", block.encode())], Options()).faults == ()


def test_every_example_says_where_to_send_and_names_its_secret() -> None:
    secrets = {(found["metadata"]["namespace"], found["metadata"]["name"]): found for found in objects("Secret")}
    for written in objects("AlertProvider"):
        receiver = receiver_of(parse_alert_provider(written))
        assert receiver.secret is not None
        assert secrets[receiver.secret]["stringData"]["address"].startswith("https://")
        assert link_problem(receiver.link) is None
    (canary,) = objects("Canary")
    assert [entry.severity.value for entry in parse_canary(canary).analysis.alerts] == ["info", "error"]
