from typing import Any

import pytest

from flaggerpy.api.marks import (
    has_canary_owner,
    last_applied,
    made_by_us,
    refusal,
    without_canary_owners,
    without_marks,
)
from tests.builders import canary

OWNER = "flaggerpy.dev/canary"
MARKED = {"labels": {"app.kubernetes.io/managed-by": "flaggerpy"}, "annotations": {OWNER: "shop/web"}}
POD_OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "p"}


def flagger(name: str = "web", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": name, "controller": True, **fields}


@pytest.mark.parametrize(
    ("title", "metadata", "ours"),
    [
        ("both marks", MARKED, True),
        ("a Service that was found only has the annotation", {"annotations": {OWNER: "shop/web"}}, False),
        ("another canary's", {**MARKED, "annotations": {OWNER: "shop/api"}}, False),
        ("made by Flagger for this canary", {"ownerReferences": [flagger()]}, True),
        ("made by Flagger for another", {"ownerReferences": [flagger("api")]}, False),
        ("one owner among others", {"ownerReferences": [flagger(controller=False)]}, False),
        ("nobody's", {}, False),
    ],
)
def test_what_we_made(title: str, metadata: dict[str, Any], ours: bool) -> None:
    assert made_by_us({"metadata": metadata}, canary()) is ours, title


@pytest.mark.parametrize(
    ("title", "metadata", "holder"),
    [
        ("nobody's object may be taken", {}, None),
        ("our own may be changed", MARKED, None),
        ("another canary's may not", {"annotations": {OWNER: "shop/api"}}, "shop/api"),
        ("nor one that Flagger made for another", {"ownerReferences": [flagger("api")]}, "shop/api"),
        ("one shared with us may", {"annotations": {OWNER: "shop/api,shop/web"}}, None),
        ("a copy from another namespace is nobody's", {"annotations": {OWNER: "blog/web"}}, None),
    ],
)
def test_what_may_not_be_touched(title: str, metadata: dict[str, Any], holder: str | None) -> None:
    reason = refusal({"kind": "Service", "metadata": {"name": "web", **metadata}}, canary())
    assert (f"Service web belongs to canary {holder}" in (reason or "")) if holder else reason is None, title


def test_only_canaries_are_dropped_from_the_owners() -> None:
    metadata = {"name": "web", "ownerReferences": [flagger(), POD_OWNER]}
    assert has_canary_owner({"metadata": metadata})
    assert without_canary_owners(metadata) == {"name": "web", "ownerReferences": [POD_OWNER]}
    assert without_canary_owners({"ownerReferences": [flagger()]}) == {}


def test_an_object_that_is_given_back_has_no_mark_left() -> None:
    metadata = {
        "labels": {"app.kubernetes.io/managed-by": "flaggerpy", "own": "1"},
        "annotations": {
            OWNER: "shop/web",
            "flaggerpy.dev/x": "1",
            "kustomize.toolkit.fluxcd.io/reconcile": "disabled",
            "own": "2",
        },
        "ownerReferences": [flagger()],
    }
    assert without_marks(metadata) == {"labels": {"own": "1"}, "annotations": {"own": "2"}}
    helm = {"labels": {"app.kubernetes.io/managed-by": "Helm"}}
    assert without_marks(helm)["labels"] == helm["labels"]


@pytest.mark.parametrize(
    ("text", "expected"), [('{"spec": {"a": 1}}', {"spec": {"a": 1}}), ("", {}), ("[]", {}), ("{", {}), (None, {})]
)
def test_what_kubectl_last_applied(text: str | None, expected: dict[str, Any]) -> None:
    annotations = {} if text is None else {"kubectl.kubernetes.io/last-applied-configuration": text}
    assert last_applied({"metadata": {"annotations": annotations}}) == expected
