"""The page of the charts' values is what the charts say today."""

from __future__ import annotations

from tools.chartvalues import PAGE, Value, page, values_of

EXAMPLE = """\
# About the chart.

# What it is.
image:
  repository: here
  # Empty: the newest.
  tag: ""
# Any keys.
labels:
  team: a
hosts: []
"""


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tools.chartvalues"


def test_values_come_with_the_comment_above_them() -> None:
    assert list(values_of(EXAMPLE)) == [
        Value("image.repository", "here", "What it is."),
        Value("image.tag", "", "Empty: the newest."),
        Value("labels", {"team": "a"}, "Any keys."),
        Value("hosts", [], ""),
    ]
