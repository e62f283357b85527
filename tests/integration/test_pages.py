"""What stands on the pages of providers is taken by a real API server as it stands there, to the last field."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from flaggerpy.kube.objects import JsonObject
from flaggerpy.routers.registry import ROUTERS
from tests.integration.site import Site, resource_of
from tools.providers import DOCS, page_of

pytestmark = pytest.mark.integration

PAGES = sorted({*map(page_of, ROUTERS), DOCS / "providers" / "bring-your-own.md"})
INSTALLED = frozenset(
    {
        "flagger.app",
        "gateway.networking.k8s.io",
        "networking.istio.io",
        "networking.k8s.io",
        "projectcontour.io",
        "serving.knative.dev",
        "split.smi-spec.io",
        "traefik.io",
    }
)
"""Groups whose kinds the tests' cluster has; those of the others are their projects' business."""
_BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def objects(page: Path) -> list[JsonObject]:
    """Return the whole objects on a page, in their order."""
    found = (obj for block in _BLOCK.findall(page.read_text("utf-8")) for obj in yaml.safe_load_all(block))
    return [obj for obj in found if "kind" in obj and obj["apiVersion"].partition("/")[0] in INSTALLED]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
async def test_a_page_is_applied_as_it_stands(site: Site, page: Path) -> None:
    written = objects(page)
    assert "Canary" in {obj["kind"] for obj in written}
    for obj in written:
        await site.apply(obj)
        stored = await site.get(resource_of(obj), obj["metadata"]["name"])
        assert _holds(stored["spec"], obj["spec"]), "no field gets lost"


def _holds(stored: Any, written: Any) -> bool:
    """Tell whether everything that was written is there, beside what the server adds."""
    if isinstance(written, dict):
        return all(key in stored and _holds(stored[key], value) for key, value in written.items())
    if isinstance(written, list):
        return len(stored) == len(written) and all(map(_holds, stored, written))
    return bool(stored == written)
