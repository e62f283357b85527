import json
from pathlib import Path

import pytest

from flaggerpy.rollout.errors import UserError
from flaggerpy.routers.contour import ContourRouter
from flaggerpy.routers.gatewayapi import GatewayApiRouter
from flaggerpy.routers.kubernetes import KubernetesRouter
from flaggerpy.routers.registry import END_OF_LIFE, ROUTERS, router_for


def test_providers_are_found_by_their_names() -> None:
    assert isinstance(router_for("kubernetes"), KubernetesRouter)
    assert isinstance(router_for("gatewayapi:v1"), GatewayApiRouter)
    assert isinstance(router_for("contour"), ContourRouter)


@pytest.mark.parametrize("provider", ["appmesh", "appmesh:v1beta2", "appmesh:v1beta2:x", "osm"])
def test_what_is_at_its_end_is_said_to_be_so(provider: str) -> None:
    with pytest.raises(UserError, match=f"Provider {provider} is known to Flagger and not built into flaggerpy, as "):
        router_for(provider)


@pytest.mark.parametrize(
    "provider",
    ["gatewayapi", "smi", "smi:v1", "smi:v1alpha1:", "linkerd:x", "knative:x", "nignx", "istio2", "Kubernetes"],
)
def test_w99_an_unknown_provider_is_never_a_guess(provider: str) -> None:
    with pytest.raises(UserError, match=f"Provider {provider} is unknown: choose one of kubernetes, gatewayapi:v1"):
        router_for(provider)


def test_no_provider_at_all_is_said_to_be_so() -> None:
    with pytest.raises(UserError, match="No provider is named"):
        router_for("")


def test_nothing_is_both_built_and_at_its_end() -> None:
    assert not set(END_OF_LIFE) & set(ROUTERS)


def test_every_provider_of_flaggers_is_compared_with_what_flagger_wrote() -> None:
    files = [json.loads(file.read_text()) for file in (Path(__file__).parent / "data").glob("*.json")]
    scenarios = [one if isinstance(one, list) else [one] for file in files for one in file.values()]
    recorded = {stage["canary"]["spec"].get("provider") for stages in scenarios for stage in stages}
    without_objects, not_in_flagger = {"kubernetes"}, {"alb"}
    assert set(ROUTERS) - without_objects - not_in_flagger <= recorded
