"""What we write into a recorded Knative service is what Flagger wrote, but for the differences listed here."""

from __future__ import annotations

import copy
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from flaggerpy.api.canary import Canary, parse_canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.rollout.traffic import to_canary
from flaggerpy.routers.registry import router_for
from flaggerpy.targets.knative import KnativeTarget
from tests.targets.objects import RECIPE

pytestmark = pytest.mark.parity

ONLY_OURS = {
    "flaggerpy.dev/canary": "whose the service is, so that no two canaries take it",
    "flaggerpy.dev/primary-template": "the template of the primary, which can be put back then",
}
ROUTER = router_for("knative")
TARGET = KnativeTarget()
SHARES = [0, 20, 40, 60, 0]


def recorded() -> tuple[Canary, list[JsonObject]]:
    file = Path(__file__).parent / "data" / "knative.json"
    data: Any = copy.deepcopy(json.loads(file.read_text())["knative-progressive"])
    return parse_canary(data["canary"]), data["services"]


def without_differences(service: JsonObject) -> JsonObject:
    """Leave out our notes, and what Flagger's Go structs add to the user's template."""
    made = copy.deepcopy(service)
    annotations = made["metadata"].get("annotations") or {}
    made["metadata"] = {"annotations": {key: text for key, text in annotations.items() if key not in ONLY_OURS}}
    template = made["spec"]["template"]
    if not template.get("metadata"):
        template.pop("metadata", None)
    for container in template["spec"]["containers"]:
        for field in ("name", "resources"):
            if field in container and not container[field]:
                del container[field]
    return {key: made[key] for key in ("apiVersion", "kind", "metadata", "spec")}


def test_every_write_of_a_rollout() -> None:
    canary, services = recorded()
    ref, writes = ROUTER.refs(canary)[0], 0
    for before, theirs in pairwise(services):
        if theirs["metadata"] == before["metadata"] and theirs["spec"] == before["spec"]:
            continue  # Knative's word
        if theirs["spec"]["template"]["spec"]["containers"][0]["image"] != image(before):
            continue  # the user's
        ours = before
        if noted(theirs) != noted(before):
            ours = TARGET.make_primary(canary, ours, ours, RECIPE)
        if theirs["spec"]["traffic"] != before["spec"].get("traffic"):
            routes = ROUTER.state(canary, {ref: theirs}).routes
            assert routes is not None
            [ours] = ROUTER.render(canary, {ref: ours}, routes)
        assert without_differences(ours) == without_differences(theirs)
        writes += 1
    assert writes == 6


def test_shares_are_those_that_flagger_meant() -> None:
    canary, services = recorded()
    states = [ROUTER.state(canary, {ROUTER.refs(canary)[0]: service}).routes for service in services]
    read = [state.canary for state in states if state is not None]
    assert [share for share, before in zip(read, [None, *read], strict=False) if share != before] == SHARES


def test_taking_over_changes_only_marks() -> None:
    canary, services = recorded()
    ref = ROUTER.refs(canary)[0]
    for share in SHARES:
        theirs = next(one for one in services if ROUTER.state(canary, {ref: one}).routes == to_canary(share))
        assert ROUTER.state(canary, {ref: theirs}).drifted, "it lacks our marks"

        [ours] = ROUTER.render(canary, {ref: theirs}, to_canary(share))

        assert not ROUTER.state(canary, {ref: ours}).drifted
        assert ours["spec"] == theirs["spec"]
        assert ours["metadata"]["annotations"].keys() - theirs["metadata"]["annotations"].keys() <= ONLY_OURS.keys()


def image(service: JsonObject) -> str:
    return str(service["spec"]["template"]["spec"]["containers"][0]["image"])


def noted(service: JsonObject) -> str:
    return str((service["metadata"].get("annotations") or {}).get("flagger.app/primary-revision") or "")
