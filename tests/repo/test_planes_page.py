"""The table of data planes in end-to-end.md is that of the tests, and what is written for each fits its provider."""

from __future__ import annotations

import re

import pytest

from flaggerpy.api.canary import parse_canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.routers.registry import router_for
from tests.e2e.audiences import audience
from tests.planes.planes import PLANES, Plane
from tools.ci.phases import ROOT

HOST = "x.local"
ROW = re.compile(r"^\| `([a-z-]+)` \| `([a-z0-9:]+)` \| [^|]+ \| ([^|]+) \|$", re.M)


def scenes(plane: Plane) -> str:
    """Say as the page does which scenes a plane plays."""
    if not plane.can.weights:
        return "rollback, Blue/Green, deletion"
    return "all" if plane.can.match else "all but the audience, which a TraefikService cannot choose"


def analyses(plane: Plane) -> list[JsonObject]:
    """Return the strategies of its scenes."""
    weighted = [{"stepWeights": [24, 48]}] if plane.can.weights else []
    return [{"iterations": 2}, *weighted, *([{"iterations": 2, "match": audience(plane.cookie)}] * plane.can.match)]


def test_the_page_has_every_plane_with_its_scenes() -> None:
    text = (ROOT / "docs/development/end-to-end.md").read_text(encoding="utf-8")
    assert sorted(ROW.findall(text)) == sorted((plane.name, plane.provider, scenes(plane)) for plane in PLANES)


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
def test_what_is_written_for_a_plane_is_served_by_its_provider(plane: Plane) -> None:
    for analysis in analyses(plane):
        written = plane.canary(HOST, interval="2s", **analysis)
        canary = parse_canary({**written, "metadata": {**written["metadata"], "namespace": "x", "uid": "1"}})
        assert router_for(plane.provider).problems(canary) == ()


@pytest.mark.parametrize("plane", [plane for plane in PLANES if plane.resource], ids=lambda plane: plane.name)
def test_the_object_with_the_weights_comes_last_of_what_a_user_has(plane: Plane) -> None:
    assert plane.resource is not None
    last = plane.routes(HOST)[-1]
    assert (last["kind"], last["apiVersion"]) == (plane.resource.kind, plane.resource.api_version)
    assert last["metadata"]["name"] == "podinfo"
