"""docs/reference/differences.md: its table about routing objects is what the comparisons with recordings leave out."""

from __future__ import annotations

import re

from tests.routers import test_ingress_parity, test_istio_parity, test_parity, test_parity_knative, test_parity_mesh
from tools.ci.phases import ROOT

OF_THE_RECORDED_USER = {"own", "my"}
"""Labels and annotations of the user's own object in a recording, which Flagger copies."""
_SECTION = re.compile(r"^## In routing objects\n(.*?)^## ", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| `([^`]+)` \|(.+)\|$", re.MULTILINE)


def left_out() -> set[str]:
    """Name what the comparisons do not look at."""
    on_one_kind = [*test_parity_mesh.ONLY_OURS.values(), *test_parity_mesh.ONLY_FLAGGERS.values()]
    return {
        *test_parity.DIFFERENCES,
        *test_istio_parity.METADATA,
        *test_istio_parity.KEYS,
        *test_ingress_parity.ON_THE_COPY,
        *test_parity_knative.ONLY_OURS,
        *(key for keys in on_one_kind for key in keys),
    } - OF_THE_RECORDED_USER


def test_every_difference_is_listed_with_its_reason_and_nothing_else_is() -> None:
    [section] = _SECTION.findall((ROOT / "docs" / "reference" / "differences.md").read_text(encoding="utf-8"))
    rows = {key: [cell.strip() for cell in cells.split("|")] for key, cells in _ROW.findall(section)}
    assert rows.keys() == left_out()
    assert all(len(cells) == 3 and all(cells) for cells in rows.values())
