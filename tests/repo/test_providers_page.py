"""docs/reference/providers.md is written from the routers; `python -m tools.providers` renews it."""

from __future__ import annotations

import re

import pytest
import yaml

from flaggerpy.api.canary import parse_canary
from flaggerpy.api.validation import problems
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import GATEWAY_ROUTES
from flaggerpy.rollout.traffic import Capabilities
from flaggerpy.routers.registry import END_OF_LIFE, ROUTERS, router_for
from tools import providers

TEXT = providers.PAGE.read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_page_is_of_today() -> None:
    assert providers.page() == TEXT, "run: python -m tools.providers"


@pytest.mark.parametrize("provider", [*ROUTERS, *END_OF_LIFE])
def test_every_provider_is_on_it(provider: str) -> None:
    assert f"`{provider}`" in TEXT


@pytest.mark.parametrize("kind", GATEWAY_ROUTES)
def test_every_kind_of_route_that_users_bring_along_is_on_it(kind: str) -> None:
    assert f"\n| `{kind}` | yes |" in TEXT


@pytest.mark.parametrize(
    ("can", "cells"),
    [
        (Capabilities(), "– | – | – | yes, users move with the promotion | – | – | – | – | – | – | –"),
        (Capabilities(weights=True, tcp=True, grpc=True), "yes | – | – | yes | – | – | yes | yes | – | – | –"),
        (
            Capabilities(weights=True, match=True, mirror=True, affinity=True),
            "yes | yes | yes | yes | yes, all requests | yes | – | – | – | – | –",
        ),
        (
            Capabilities(
                weights=True,
                match=True,
                whole_audience=True,
                mirror=True,
                mirror_weight=True,
                own_route=True,
                answers=True,
            ),
            "yes | yes, all of the audience | yes | yes | yes, all requests or a share | – | – | – | yes | yes | –",
        ),
        (
            Capabilities(weights=True, own_route=True, brings=True),
            "yes | – | – | yes | – | – | – | – | yes | – | yes, by its weights alone",
        ),
    ],
)
def test_a_row_says_what_the_data_says(can: Capabilities, cells: str) -> None:
    assert providers.row("p", can) == f"| p | {cells} |"


@pytest.mark.parametrize("provider", ROUTERS)
def test_every_provider_has_a_page_with_a_canary_that_it_serves(provider: str) -> None:
    text = providers.page_of(provider).read_text(encoding="utf-8")
    objects = [obj for block in _BLOCK.findall(text) for obj in yaml.safe_load_all(block)]
    owners = [parse_canary(with_namespace(obj)) for obj in objects if obj.get("kind") == "Canary"]
    assert providers.page_of(provider) in {providers.page_of(owner.spec.provider or "") for owner in owners}
    for owner in owners:
        router = router_for(owner.spec.provider or "")
        assert (owner.faults, problems(owner), router.problems(owner)) == ((), (), ())
    assert "\n```sh\nkubectl " in text, "how to look at what is written"
    assert re.search(r"built-in (checks|metrics)|## Metrics", text, re.IGNORECASE)


def test_the_signs_of_all_data_planes_that_give_one_are_told() -> None:
    """Istio's newer versions give none, so nothing waits for it."""
    text = (providers.DOCS / "concepts.md").read_text(encoding="utf-8")
    table = text.partition("| provider | its sign |")[2].partition("| all others | none")[0]
    told = {provider for row in table.splitlines() for provider in re.findall(r"`([^`]+)`", row.partition(" | ")[0])}
    assert told == {name for name in ROUTERS if router_for(name).capabilities.answers} | {"istio"}


def with_namespace(obj: JsonObject) -> JsonObject:
    return {**obj, "metadata": {"namespace": "shop", **obj["metadata"]}}


def test_a_provider_without_a_page_is_found() -> None:
    with pytest.raises(LookupError, match=r"docs/providers/unheard\.md is missing"):
        providers.page_of("unheard:of")
