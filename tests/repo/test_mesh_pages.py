"""Pages of providers: their manifests are served, and what they say is written is what is written."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from flaggerpy.api.canary import Canary, parse_canary
from flaggerpy.api.validation import problems
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import Ref
from flaggerpy.rollout.traffic import to_canary
from flaggerpy.routers.base import Router
from flaggerpy.routers.registry import router_of
from tools.ci.phases import ROOT

PAGES = ["alb", "apisix", "bring-your-own", "gatewayapi-v1beta1", "gloo", "knative", "kuma", "nginx", "skipper", "smi"]
WRITTEN = {"kuma": "TrafficRoute", "smi": "TrafficSplit"}
"""Pages that show what is written, and its kind."""
_BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def objects(page: str) -> dict[str, JsonObject]:
    """Return the objects on a page by their kinds."""
    text = (ROOT / "docs" / "providers" / f"{page}.md").read_text(encoding="utf-8")
    found = (obj for block in _BLOCK.findall(text) for obj in yaml.safe_load_all(block))
    return {obj["kind"]: obj for obj in found if "kind" in obj}


def of(page: str) -> tuple[Canary, Router]:
    obj = objects(page)["Canary"]
    owner = parse_canary({**obj, "metadata": {"namespace": "shop", **obj["metadata"]}})
    return owner, router_of(owner, owner.spec.provider or "")


def own(page: str, router: Router, owner: Canary) -> dict[Ref, JsonObject]:
    """Return what the page has the user make, or says that the user has."""
    settings: dict[str, Any] = {"metadata": {"name": "settings"}, "spec": {}}
    route = next(filter(None, map(objects(page).get, ("ApisixRoute", "HTTPRoute", "Ingress"))), None)
    named = {"shop": route, "settings": settings, "podinfo": objects(page).get("Service")}
    if named["podinfo"] is not None:
        named["podinfo"]["metadata"]["annotations"] = {"flagger.app/primary-revision": "podinfo-00001"}
    return {ref: obj for ref in router.refs(owner) if (obj := named.get(ref.name))}


@pytest.mark.parametrize("page", PAGES)
def test_the_manifest_is_served(page: str) -> None:
    owner, router = of(page)
    assert owner.faults == ()
    assert problems(owner) == ()
    assert router.problems(owner) == ()
    assert router.render(owner, own(page, router, owner), to_canary(10))


@pytest.mark.parametrize("page", WRITTEN)
def test_what_is_shown_is_written(page: str) -> None:
    owner, router = of(page)
    shown = objects(page)[WRITTEN[page]]

    [body] = router.render(owner, {}, to_canary(10))

    assert shown.pop("metadata") == {"name": body.pop("metadata")["name"]}
    assert shown == body


def test_names_of_what_is_written_for_gloo_and_apisix() -> None:
    for page in ("gloo", "apisix"):
        owner, router = of(page)
        text = (ROOT / "docs" / "providers" / f"{page}.md").read_text(encoding="utf-8")
        for body in router.render(owner, own(page, router, owner), to_canary(10)):
            name = body["metadata"]["name"]
            assert f"`{name}`" in text or name == owner.apex_name
