"""What we write behind meshes and further gateways is what Flagger wrote, but for the differences listed here."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from flaggerpy.api.canary import Canary, parse_canary
from flaggerpy.api.constants import HANDS_OFF, LAST_APPLIED_CONFIGURATION
from flaggerpy.kube.objects import JsonObject
from flaggerpy.rollout.traffic import ALL_TO_CANARY, ALL_TO_PRIMARY, to_canary
from flaggerpy.routers.base import Router
from flaggerpy.routers.registry import router_for
from tests.routers.test_parity import without_differences

pytestmark = pytest.mark.parity

ONLY_OURS: dict[str, frozenset[str]] = {
    # GitOps tools are told to keep off every route, also where Flagger forgets it.
    "TrafficSplit": frozenset(HANDS_OFF),
    "Upstream": frozenset(HANDS_OFF),
    "ApisixRoute": frozenset(HANDS_OFF),
}
"""Labels and annotations that we write on a kind and Flagger does not; on every kind, see test_parity."""
ONLY_FLAGGERS: dict[str, frozenset[str]] = {
    # The selector of the target beside the labels of spec.service.apex (W-35): a route selects no pods.
    "TrafficRoute": frozenset({"app"}),
    # What other tools know the user's own route by: they would take the copy for theirs, and prune it.
    "ApisixRoute": frozenset({"own", "my", LAST_APPLIED_CONFIGURATION}),
}
"""Labels and annotations that Flagger writes on a kind and we do not."""
SCENARIOS = {
    "smi-v1alpha1-progressive": "smi:v1alpha1",
    "smi-v1alpha2-progressive": "smi:v1alpha2",
    "smi-v1alpha3-progressive": "smi:v1alpha3",
    "linkerd-progressive": "linkerd",
    "flags-namespace-smi-istio": "smi:v1alpha1:istio",
    "gatewayapi-v1beta1-progressive": "gatewayapi:v1beta1",
    "gatewayapi-v1beta1-fields": "gatewayapi:v1beta1",
    "kuma-progressive": "kuma",
    "gloo-progressive": "gloo",
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
    left_out = (ONLY_OURS if ours else ONLY_FLAGGERS).get(route["kind"], frozenset())
    for field in ("labels", "annotations"):
        kept = {key: value for key, value in result["metadata"].pop(field, {}).items() if key not in left_out}
        result["metadata"] |= {field: kept} if kept else {}
    return result


@every_scenario
def test_every_route_of_a_rollout(scenario: str, router: Router) -> None:
    canary, routes = recorded(scenario)
    assert len(routes) > 2

    for theirs in routes:
        found = router.state(canary, {router.refs(canary)[0]: theirs})
        assert found.routes is not None
        *_, ours = router.render(canary, {}, found.routes)
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

        *others, ours = router.render(canary, {ref: theirs}, before.routes)

        beside = dict(zip(router.refs(canary)[1:], others, strict=True))
        assert not router.state(canary, {ref: ours, **beside}).drifted
        assert compared(ours, ours=True)["spec"] == compared(theirs, ours=False)["spec"]
        assert "ownerReferences" not in ours["metadata"]


@pytest.mark.parametrize("scenario", ["gloo-progressive", "ab-gloo"])
def test_upstreams(scenario: str) -> None:
    """Flagger names the pods of a Service once more, and loses what it does not know of the template (W-37)."""
    canary, _ = recorded(scenario)
    theirs = {obj["metadata"]["name"]: obj for obj in _file()[scenario]["others"]}
    template = theirs.pop("config", None)
    router = router_for("gloo")
    live = {router.refs(canary)[-1]: template} if template else {}

    *upstreams, _ = router.render(canary, live, ALL_TO_PRIMARY)

    assert [ours["metadata"]["name"] for ours in upstreams] == list(theirs)
    for ours, flaggers in zip(upstreams, theirs.values(), strict=True):
        wanted = copy.deepcopy(flaggers)
        assert wanted["spec"]["kube"].pop("selector")
        if template:
            assert wanted["spec"]["loadBalancerConfig"] == {}
            wanted["spec"]["loadBalancerConfig"] = template["spec"]["loadBalancerConfig"]
        assert compared(ours, ours=True) == compared(wanted, ours=False)


def test_everybody_else_has_a_route_in_an_ab_test_of_gloo() -> None:
    """Flagger writes one for the audience only, and whoever is not part of it is answered 404."""
    canary, routes = recorded("ab-gloo")
    router = router_for("gloo")
    ref = router.refs(canary)[0]
    for theirs, shares in zip(routes, (ALL_TO_PRIMARY, ALL_TO_CANARY, ALL_TO_PRIMARY), strict=True):
        assert router.state(canary, {ref: theirs}).routes == shares

        *_, ours = router.render(canary, {router.refs(canary)[-1]: _file()["ab-gloo"]["others"][0]}, shares)

        audience, everybody = ours["spec"]["routes"]
        assert [audience] == theirs["spec"]["routes"]
        assert [everybody] == [
            {key: value for key, value in routes[0]["spec"]["routes"][0].items() if key != "matchers"}
        ]


def test_the_copy_of_an_apisix_route() -> None:
    """Flagger writes ``websocket: false`` where the user wrote nothing, which means the same."""
    canary, routes = recorded("apisix-progressive")
    router = router_for("apisix")
    ref, own = router.refs(canary)
    live = {own: _file()["apisix-progressive"]["others"][0]}
    shares = (0, 20, 40, 60, 0)
    assert len(routes) == len(shares)
    for theirs, share in zip(routes, shares, strict=True):
        assert router.state(canary, {**live, ref: theirs}).routes == to_canary(share)

        [made] = router.render(canary, live, to_canary(share))
        [taken] = router.render(canary, {**live, ref: theirs}, to_canary(share))

        wanted = copy.deepcopy(theirs)
        assert wanted["spec"]["http"][0].pop("websocket") is False
        assert compared(made, ours=True) == compared(wanted, ours=False)
        assert taken["spec"] == made["spec"]
        assert "ownerReferences" not in taken["metadata"]
