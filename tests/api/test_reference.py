"""The generated reference and the examples of the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from flaggerpy.api import reference
from tests.api.fixtures import ROOT

PAGE = ROOT / "docs" / "reference" / "crds.md"


def test_the_page_is_current() -> None:
    stored = PAGE.read_text(encoding="utf-8")
    assert stored == reference.reference(), "run: python -m flaggerpy.api.reference docs/reference/crds.md"


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    assert reference.main([str(tmp_path / "crds.md")]) == 0
    assert (tmp_path / "crds.md").read_text(encoding="utf-8") == reference.reference()


def test_the_command_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main([]) == 2
    assert "FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    "row",
    [
        "| `spec.service.port` | number | **required** | Port number of the three Services. |",
        "| `spec.service.targetPort` | number or name |  | Number or name of the container's port; the Services'"
        " port if absent. |",
        "| `spec.analysis.webhooks[].timeout` | duration | `10s` | Time limit of each attempt; 0s means the default. |",
        "| `spec.analysis.match[].headers.*.suffix` | string |  | The end of the string. |",
        "| `spec.analysis.sessionAffinity.maxAge` | number | `86400`, stored | How long the cookies live, in seconds;"
        " 0 means the default. |",
        "| `spec.service.mirror[].backendRef.group` | string | `(empty)`, stored | API group; empty for Services. |",
        "| `spec.ingressRef.kind` | `Ingress` | **required** | Kind of the object. |",
        "| `spec.routeRef.kind` | `ApisixRoute` or `HTTPRoute` or `GRPCRoute` or `TLSRoute` or `TCPRoute` |"
        " **required** | Kind of the object. |",
        "| `spec.service.meshName` | string |  | **Not served yet.** Name of the mesh; App Mesh v1beta1 needs it. |",
        "| `spec.provider` | object | **required** | Who answers the query. |",
        "| `status.rollout.step.startedAt` | time |  | Since when it is wanted. |",
    ],
)
def test_a_field_has_its_path_type_default_and_meaning(row: str) -> None:
    assert row in PAGE.read_text(encoding="utf-8").splitlines()
