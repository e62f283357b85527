"""What we write for recorded canaries of Istio and Traefik is what Flagger wrote, but for what is listed here."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from flaggerpy.api.canary import Canary, parse_canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import Ref
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, Routes
from flaggerpy.routers.base import Router
from flaggerpy.routers.registry import router_for

pytestmark = pytest.mark.parity

METADATA = {
    "ownerReferences": "none on what carries traffic; a label and an annotation say whose an object is",
    "generation": "counted by the API server",
}
KEYS = {
    "app.kubernetes.io/managed-by": "the mark on everything that we made",
    "flaggerpy.dev/canary": "the owner, in the place of the ownerReference",
    "app": "the selector's label, which Flagger adds to a route beside metadata of the user (W-35)",
    "flagger.kubernetes.io/original-configuration": "a spec of Flagger's own, which nobody wants back (W-91)",
}


@cache
def _file(provider: str) -> Any:
    return json.loads((Path(__file__).parent / "data" / f"{provider}.json").read_text())


def recorded(provider: str, scenario: str) -> list[tuple[Canary, list[JsonObject]]]:
    """Return the canary as its user left it each time, with what Flagger wrote for it."""
    stages = copy.deepcopy(_file(provider)[scenario])
    return [(parse_canary(stage["canary"]), stage["objects"]) for stage in stages]


CASES = [
    pytest.param(router_for(provider), provider, scenario, id=scenario)
    for provider in ("istio", "traefik")
    for scenario in _file(provider)
]
every_scenario = pytest.mark.parametrize(("router", "provider", "scenario"), CASES)


def ref_of(router: Router, canary: Canary, obj: JsonObject) -> Ref:
    named = {(ref.resource.api_version, ref.resource.kind, ref.name): ref for ref in router.refs(canary)}
    return named[obj["apiVersion"], obj["kind"], obj["metadata"]["name"]]


def without_differences(obj: JsonObject) -> JsonObject:
    metadata = {key: value for key, value in obj["metadata"].items() if key not in METADATA}
    for field in ("labels", "annotations"):
        kept = {key: value for key, value in (metadata.pop(field, None) or {}).items() if key not in KEYS}
        if kept and obj["kind"] != "DestinationRule":  # which has none from Flagger, and from us those of the route
            metadata[field] = kept
    return {**obj, "metadata": metadata, "spec": spec_without_differences(obj["spec"])}


def spec_without_differences(spec: JsonObject) -> JsonObject:
    """Leave out how a cookie is taken back (W-92), no gateways, and the weight of a destination that is alone."""
    found: JsonObject = json.loads(re.sub(r"; Max-Age=-1[^\"]*", "; Max-Age=-1", json.dumps(spec)))
    if not found.get("gateways"):
        found.pop("gateways", None)
    for route in found.get("http", ()):
        if len(route["route"]) == 1:
            del route["route"][0]["weight"]
    return found


@every_scenario
def test_every_object_of_a_rollout(router: Router, provider: str, scenario: str) -> None:
    live: dict[Ref, JsonObject] = {}
    for canary, objects in recorded(provider, scenario):
        for theirs in objects:
            ref = ref_of(router, canary, theirs)
            live[ref] = theirs
            # DestinationRules come before the VirtualService, and are the same at every share.
            found = router.state(canary, live).routes or ALL_TO_PRIMARY
            ours = {ref_of(router, canary, one): one for one in router.render(canary, {}, found)}
            assert without_differences(ours[ref]) == without_differences(theirs)
        assert ours.keys() == live.keys()


@every_scenario
def test_taking_over_changes_only_marks(router: Router, provider: str, scenario: str) -> None:
    live: dict[Ref, JsonObject] = {}
    for canary, objects in recorded(provider, scenario):
        live |= {ref_of(router, canary, theirs): theirs for theirs in objects}
        before = router.state(canary, live)
        assert before.routes is not None
        assert before.drifted, "the objects lack our marks"

        ours = {ref_of(router, canary, one): one for one in router.render(canary, live, before.routes)}

        assert router.state(canary, ours).routes == before.routes
        assert not router.state(canary, ours).drifted
        for ref, theirs in live.items():
            assert spec_without_differences(ours[ref]["spec"]) == spec_without_differences(theirs["spec"])
            assert "ownerReferences" not in ours[ref]["metadata"]


def test_the_shares_are_read_as_flagger_meant_them() -> None:
    [(canary, objects)] = recorded("istio", "progressive-mirror-istio")
    router = router_for("istio")
    routes = [{ref_of(router, canary, one): one} for one in objects if one["kind"] == "VirtualService"]
    assert [router.state(canary, one).routes for one in routes] == [
        Routes(100, 0),
        Routes(100, 0, mirrored=True),
        Routes(70, 30),
        Routes(40, 60),
        Routes(100, 0),
    ]
