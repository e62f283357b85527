"""What we write for recorded canaries is what Flagger wrote, but for the differences listed here on purpose."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from flaggerpy.api.canary import Canary, parse_canary
from flaggerpy.rollout.traffic import Acceptance, Routes
from flaggerpy.routers.base import Options, Router
from flaggerpy.routers.registry import router_for

pytestmark = pytest.mark.parity

DIFFERENCES = {
    "ownerReferences": "none on what carries traffic; a label and an annotation say whose a route is",
    "app.kubernetes.io/managed-by": "the mark on everything that we made",
    "flaggerpy.dev/canary": "the owner, in the place of the ownerReference",
    "generation": "counted by the API server",
}
GATEWAY_API = router_for("gatewayapi:v1")
CONTOUR = router_for("contour")
SCENARIOS = [
    ("gatewayapi-v1-progressive", GATEWAY_API),
    ("gatewayapi-fields", GATEWAY_API),
    ("ab-gatewayapi", GATEWAY_API),
    ("bluegreen-mirror-gatewayapi", GATEWAY_API),
    ("step-weights", GATEWAY_API),
    ("session-affinity-gatewayapi", GATEWAY_API),
    ("contour-progressive", CONTOUR),
    ("contour-fields", CONTOUR),
    ("ab-contour", CONTOUR),
    ("flags-contour-ingress-class", router_for("contour", Options(ingress_class="contour-external"))),
]
every_scenario = pytest.mark.parametrize(("scenario", "router"), [pytest.param(*one, id=one[0]) for one in SCENARIOS])


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
    spec = without_attributes(route["spec"])
    return {"apiVersion": route["apiVersion"], "kind": route["kind"], "metadata": metadata, "spec": spec}


def without_attributes(spec: dict[str, Any]) -> dict[str, Any]:
    """Leave out what we say of a cookie that is taken back: without its path and domain no browser knows it (W-92)."""
    found: dict[str, Any] = json.loads(re.sub(r"; Max-Age=-1[^\"]*", "; Max-Age=-1", json.dumps(spec)))
    return found


@every_scenario
def test_every_route_of_a_rollout(scenario: str, router: Router) -> None:
    canary, routes = recorded(scenario)
    assert len(routes) > 2

    for theirs in routes:
        ref = router.refs(canary)[0]
        found = router.state(canary, {ref: theirs})
        assert found.routes is not None
        [ours] = router.render(canary, {}, found.routes)
        assert without_differences(ours) == without_differences(theirs)


@every_scenario
def test_taking_over_changes_only_marks(scenario: str, router: Router) -> None:
    canary, routes = recorded(scenario)
    ref = router.refs(canary)[0]
    for theirs in routes:
        before = router.state(canary, {ref: theirs})
        assert before.routes is not None
        assert before.drifted, "it lacks our marks"

        [ours] = router.render(canary, {ref: theirs}, before.routes)

        assert not router.state(canary, {ref: ours}).drifted
        assert without_attributes(ours["spec"]) == theirs["spec"]
        assert "ownerReferences" not in ours["metadata"]


def test_acceptance_as_a_gateway_gave_and_withdrew_it() -> None:
    canary, routes = recorded("gatewayapi-accepted-condition")
    ref = GATEWAY_API.refs(canary)[0]
    assert [GATEWAY_API.state(canary, {ref: route}).accepted for route in routes] == [
        Acceptance.UNKNOWN,
        Acceptance.YES,
        Acceptance.BEHIND,
        Acceptance.NO,
        Acceptance.YES,
        Acceptance.BEHIND,
        Acceptance.YES,
    ]


def test_an_audience_of_two_parts_differs_on_purpose() -> None:
    """Flagger asks for both headers at once, with two conditions on the path: Contour drops such a route (W-131)."""
    canary, routes = recorded("ab-contour-two-headers")
    ref = CONTOUR.refs(canary)[0]
    shares = (Routes(100, 0), Routes(0, 100), Routes(100, 0))
    assert tuple(CONTOUR.state(canary, {ref: theirs}).routes for theirs in routes) == shares

    for theirs, asked in zip(routes, shares, strict=True):
        [ours] = CONTOUR.render(canary, {ref: theirs}, asked)

        both, everyone = theirs["spec"]["routes"]
        assert len(both["conditions"]) == 2
        parts = [{**both, "conditions": [condition]} for condition in both["conditions"]]
        assert ours["spec"] == {"routes": [*parts, everyone]}
