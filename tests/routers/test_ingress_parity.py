"""What we write for recorded canaries behind an Ingress is what Flagger wrote, but for the differences listed here."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from flaggerpy.api.canary import Canary, parse_canary
from flaggerpy.kube.resources import INGRESSES, Ref
from flaggerpy.routers.base import Options, Router
from flaggerpy.routers.registry import router_for
from tests.routers.test_parity import DIFFERENCES

pytestmark = pytest.mark.parity

JsonObject = dict[str, Any]
ON_THE_COPY = {
    "kubectl.kubernetes.io/last-applied-configuration": "nobody applied the copy with kubectl",
    "kustomize.toolkit.fluxcd.io/reconcile": "on Skipper's copy as on any other, so that Flux leaves it alone",
    "helm.toolkit.fluxcd.io/driftDetection": "as above",
}
NGINX = router_for("nginx")
SKIPPER = router_for("skipper")
SCENARIOS: list[tuple[str, Router, list[int]]] = [
    ("nginx-progressive", NGINX, [0, 20, 40, 60, 0]),
    ("ab-nginx", NGINX, [0, 100, 0]),
    ("flags-nginx-prefix", router_for("nginx", Options(ingress_annotations_prefix="ingress.example.com")), [0, 50, 0]),
    ("skipper-progressive", SKIPPER, [0, 20, 40, 60, 0]),
]
every_scenario = pytest.mark.parametrize(
    ("scenario", "router", "weights"), [pytest.param(*one, id=one[0]) for one in SCENARIOS]
)


@cache
def _file() -> Any:
    return json.loads((Path(__file__).parent / "data" / "ingresses.json").read_text())


def recorded(scenario: str) -> tuple[Canary, JsonObject, list[JsonObject]]:
    data = copy.deepcopy(_file()[scenario])
    return parse_canary(data["canary"]), data["ingress"], data["routes"]


def without_differences(route: JsonObject) -> JsonObject:
    known = {**DIFFERENCES, **ON_THE_COPY}
    metadata = {key: value for key, value in route["metadata"].items() if key not in known}
    for field in ("labels", "annotations"):
        metadata[field] = {key: value for key, value in (metadata.get(field) or {}).items() if key not in known}
    return {**route, "metadata": metadata}


def switched_off(route: JsonObject) -> JsonObject:
    """Skipper's copy takes nobody from the beginning, as Flagger has it from the end of the first rollout on."""
    annotations = route["metadata"]["annotations"]
    weights = json.loads(annotations.get("zalando.org/backend-weights", "{}"))
    if 100 in weights.values() and "Weight(100)" in annotations["zalando.org/skipper-predicate"]:
        off = annotations["zalando.org/skipper-predicate"].replace("Weight(100)", "False()")
        route["metadata"]["annotations"] = {**annotations, "zalando.org/skipper-predicate": off}
    return route


def own_ref(canary: Canary) -> Ref:
    assert canary.spec.ingress_ref is not None
    return Ref(INGRESSES, canary.namespace, canary.spec.ingress_ref.name)


@every_scenario
def test_every_route_of_a_rollout(scenario: str, router: Router, weights: list[int]) -> None:
    canary, own, routes = recorded(scenario)
    ref = router.refs(canary)[0]
    read = [router.state(canary, {ref: theirs, own_ref(canary): own}).routes for theirs in routes]
    assert [found and found.canary for found in read] == weights

    for theirs, found in zip(routes, read, strict=True):
        assert found is not None
        [ours] = router.render(canary, {own_ref(canary): own}, found)
        assert without_differences(ours) == without_differences(switched_off(theirs))


@every_scenario
def test_taking_over_changes_only_marks(scenario: str, router: Router, weights: list[int]) -> None:
    canary, own, routes = recorded(scenario)
    ref = router.refs(canary)[0]
    assert len(routes) == len(weights)
    for theirs in routes:
        theirs["metadata"]["resourceVersion"] = "1"
        live = {ref: theirs, own_ref(canary): own}
        before = router.state(canary, live)
        assert before.routes is not None
        assert before.drifted, "it lacks our marks"

        [ours] = router.render(canary, live, before.routes)

        assert not router.state(canary, {**live, ref: ours}).drifted
        assert ours["spec"] == theirs["spec"]
        assert "ownerReferences" not in ours["metadata"]
        assert without_differences(ours)["metadata"] == without_differences(switched_off(theirs))["metadata"]


def test_every_difference_is_one() -> None:
    """A difference that no recording shows is no difference."""
    seen: set[str] = set()
    for scenario, router, _ in SCENARIOS:
        canary, own, routes = recorded(scenario)
        for theirs in routes:
            found = router.state(canary, {router.refs(canary)[0]: theirs, own_ref(canary): own}).routes
            assert found is not None
            [ours] = router.render(canary, {own_ref(canary): own}, found)
            pair = [one["metadata"]["annotations"].items() for one in (ours, theirs)]
            seen |= {key for key, _ in pair[0] ^ pair[1]}
    assert ON_THE_COPY.keys() <= seen
