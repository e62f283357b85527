"""docs/reference/providers.md is written from the routers; `python -m tools.providers` renews it."""

from __future__ import annotations

import pytest

from flaggerpy.kube.resources import GATEWAY_ROUTES
from flaggerpy.rollout.traffic import Capabilities
from flaggerpy.routers.registry import END_OF_LIFE, NOT_YET, ROUTERS
from tools import providers

TEXT = providers.PAGE.read_text(encoding="utf-8")


def test_the_page_is_of_today() -> None:
    assert providers.page() == TEXT, "run: python -m tools.providers"


@pytest.mark.parametrize("provider", [*ROUTERS, *NOT_YET, *END_OF_LIFE])
def test_every_provider_is_on_it(provider: str) -> None:
    assert f"`{provider}`" in TEXT


@pytest.mark.parametrize("kind", GATEWAY_ROUTES)
def test_every_kind_of_route_that_users_bring_along_is_on_it(kind: str) -> None:
    assert f"\n| `{kind}` | yes |" in TEXT


@pytest.mark.parametrize(
    ("can", "cells"),
    [
        (Capabilities(), "– | – | yes, users move with the promotion | – | – | – | – | – | –"),
        (Capabilities(weights=True, tcp=True, grpc=True), "yes | – | yes | – | – | yes | yes | – | –"),
        (
            Capabilities(weights=True, match=True, mirror=True, affinity=True),
            "yes | yes | yes | yes, all requests | yes | – | – | – | –",
        ),
        (
            Capabilities(
                weights=True, match=True, whole_audience=True, mirror=True, mirror_weight=True, own_route=True
            ),
            "yes | yes, all of the audience | yes | yes, all requests or a share | – | – | – | yes | –",
        ),
        (
            Capabilities(weights=True, own_route=True, brings=True),
            "yes | – | yes | – | – | – | – | yes | yes, by its weights alone",
        ),
    ],
)
def test_a_row_says_what_the_data_says(can: Capabilities, cells: str) -> None:
    assert providers.row("p", can) == f"| `p` | {cells} |"
