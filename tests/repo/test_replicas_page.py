"""docs/replicas.md: its manifest is one that lint admits, and its numbers are those that the core chooses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from flaggerpy.cli.lint import lint
from flaggerpy.rollout.sizing import in_words, nearest

PAGE = (Path(__file__).parents[2] / "docs" / "replicas.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^( *)```yaml\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
ROWS = re.findall(r"^\| (\d+) pods? \| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)


def test_the_manifest_is_right(tmp_path: Path) -> None:
    (tmp_path / "canary.yaml").write_text(SNIPPETS[0][1], encoding="utf-8")
    result = CliRunner().invoke(lint, [str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "warning" not in result.output


def test_the_second_setting_is_right_in_the_place_of_the_first(tmp_path: Path) -> None:
    manifest, part = yaml.safe_load(SNIPPETS[0][1]), yaml.safe_load(SNIPPETS[2][1])
    manifest["spec"] |= part | {"service": {"port": 80, "targetPort": 9898}}
    (tmp_path / "canary.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
    result = CliRunner().invoke(lint, [str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "warning" not in result.output


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[0]))
def test_the_shares_are_those_that_pods_make(row: tuple[str, ...]) -> None:
    primary = int(row[0])
    made = [in_words(asked, nearest(primary, asked), primary) for asked in (10, 25, 50)]
    told = [words.partition(", ")[2].replace("pods ", "") for words in made]
    assert [re.sub(" +", " ", cell) for cell in row[1:]] == told


def test_the_table_is_there() -> None:
    assert len(ROWS) == 4
