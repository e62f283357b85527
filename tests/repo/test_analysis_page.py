"""docs/guides/analysis.md: its manifests are ones about which nobody complains."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from flaggerpy.api.validation import problems, remarks
from flaggerpy.controller.served import measured_of
from flaggerpy.metrics.queries import queries_of
from tests.builders import canary

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "analysis.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def test_there_are_examples() -> None:
    assert len(BLOCKS) == 4


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_an_example_is_served_as_it_reads(block: dict[str, Any]) -> None:
    example = canary(spec={"provider": "istio"}, analysis={"maxWeight": None, **block["analysis"]})

    assert (problems(example), remarks(example)) == ((), ())
    for metric in example.analysis.metrics:
        text = metric.query or (None if metric.built_in else 'errors{app="{{ target }}"}')
        assert queries_of(metric, measured_of(example, metric), text).value
