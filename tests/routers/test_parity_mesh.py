"""What we write behind meshes and further gateways is what Flagger wrote, but for the differences listed here."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from flaggerpy.api.canary import Canary, parse_canary
from flaggerpy.api.constants import HANDS_OFF
from flaggerpy.kube.objects import JsonObject
from flaggerpy.routers.base import Router
from flaggerpy.routers.registry import router_for
from tests.routers.test_parity import without_differences

pytestmark = pytest.mark.parity

ONLY_OURS: dict[str, frozenset[str]] = {
    # GitOps tools are told to keep off every route, also where Flagger forgets it.
    "TrafficSplit": frozenset(HANDS_OFF),
}
"""Labels and annotations that we write on a kind and Flagger does not; on every kind, see test_parity."""
SCENARIOS = {
    "smi-v1alpha1-progressive": "smi:v1alpha1",
    "smi-v1alpha2-progressive": "smi:v1alpha2",
    "smi-v1alpha3-progressive": "smi:v1alpha3",
    "linkerd-progressive": "linkerd",
    "flags-namespace-smi-istio": "smi:v1alpha1:istio",
    "gatewayapi-v1beta1-progressive": "gatewayapi:v1beta1",
    "gatewayapi-v1beta1-fields": "gatewayapi:v1beta1",
}
every_scenario = pytest.mark.parametrize(
    ("scenario", "router"), [pytest.param(name, router_for(provider), id=name) for name, provider in SCENARIOS.items()]
)


@cache
def _file() -> Any:
    return json.loads((Path(__file__).parent / "data" / "recorded-mesh.json").read_text())


def recorded(scenario: str) -> tuple[Canary, list[JsonObject]]:
    data = copy.deepcopy(_file()[scenario])
    return parse_canary(data["canary"]), data["routes"]


def compared(route: JsonObject, *, ours: bool) -> JsonObject:
    result: JsonObject = without_differences(route)
    for field in ("labels", "annotations") if ours else ():
        kept = {
            key: value
            for key, value in result["metadata"].pop(field, {}).items()
            if key not in ONLY_OURS.get(route["kind"], ())
        }
        result["metadata"] |= {field: kept} if kept else {}
    return result


@every_scenario
def test_every_route_of_a_rollout(scenario: str, router: Router) -> None:
    canary, routes = recorded(scenario)
    assert len(routes) > 2

    for theirs in routes:
        found = router.state(canary, {router.refs(canary)[0]: theirs})
        assert found.routes is not None
        [ours] = router.render(canary, {}, found.routes)
        assert compared(ours, ours=True) == compared(theirs, ours=False)


@every_scenario
def test_shares_are_those_that_flagger_meant(scenario: str, router: Router) -> None:
    canary, routes = recorded(scenario)
    steps = {20: [0, 20, 40, 60, 0], 50: [0, 50, 0]}[int(canary.analysis.step_weight)]
    found = [router.state(canary, {router.refs(canary)[0]: theirs}).routes for theirs in routes]
    assert [one and one.canary for one in found] == steps


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
        assert compared(ours, ours=True)["spec"] == compared(theirs, ours=False)["spec"]
        assert "ownerReferences" not in ours["metadata"]
