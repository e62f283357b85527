"""What we write for recorded canaries is what Flagger wrote, but for the differences listed here on purpose."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from flaggerpy.api.canary import Canary, parse_canary
from flaggerpy.rollout.traffic import Acceptance
from flaggerpy.routers.gatewayapi import GatewayApiRouter

pytestmark = pytest.mark.parity

DIFFERENCES = {
    "ownerReferences": "none on what carries traffic; a label and an annotation say whose a route is",
    "app.kubernetes.io/managed-by": "the mark on everything that we made",
    "flaggerpy.dev/canary": "the owner, in the place of the ownerReference",
    "generation": "counted by the API server",
}
ROUTER = GatewayApiRouter()
SCENARIOS = [
    "gatewayapi-v1-progressive",
    "gatewayapi-fields",
    "ab-gatewayapi",
    "bluegreen-mirror-gatewayapi",
    "step-weights",
]


@cache
def _file() -> Any:
    return json.loads((Path(__file__).parent / "data" / "recorded.json").read_text())


def recorded(scenario: str) -> tuple[Canary, list[dict[str, Any]]]:
    data = copy.deepcopy(_file()[scenario])
    return parse_canary(data["canary"]), data["routes"]


def without_differences(route: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in route["metadata"].items() if key not in DIFFERENCES}
    for field in ("labels", "annotations"):
        kept = {key: value for key, value in (metadata.pop(field, None) or {}).items() if key not in DIFFERENCES}
        if kept:
            metadata[field] = kept
    return {"apiVersion": route["apiVersion"], "kind": route["kind"], "metadata": metadata, "spec": route["spec"]}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_route_of_a_rollout(scenario: str) -> None:
    canary, routes = recorded(scenario)
    assert len(routes) > 2

    for theirs in routes:
        ref = ROUTER.refs(canary)[0]
        found = ROUTER.state(canary, {ref: theirs})
        assert found.routes is not None
        [ours] = ROUTER.render(canary, {}, found.routes)
        assert without_differences(ours) == without_differences(theirs)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_taking_over_changes_only_marks(scenario: str) -> None:
    canary, routes = recorded(scenario)
    ref = ROUTER.refs(canary)[0]
    for theirs in routes:
        before = ROUTER.state(canary, {ref: theirs})
        assert before.routes is not None
        assert before.drifted, "it lacks our marks"

        [ours] = ROUTER.render(canary, {ref: theirs}, before.routes)

        assert not ROUTER.state(canary, {ref: ours}).drifted
        assert ours["spec"] == theirs["spec"]
        assert "ownerReferences" not in ours["metadata"]


def test_acceptance_as_a_gateway_gave_and_withdrew_it() -> None:
    canary, routes = recorded("gatewayapi-accepted-condition")
    ref = ROUTER.refs(canary)[0]
    assert [ROUTER.state(canary, {ref: route}).accepted for route in routes] == [
        Acceptance.UNKNOWN,
        Acceptance.YES,
        Acceptance.UNKNOWN,
        Acceptance.NO,
        Acceptance.YES,
        Acceptance.UNKNOWN,
        Acceptance.YES,
    ]
