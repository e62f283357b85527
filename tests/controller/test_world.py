"""What a new leader reads from the server itself before it acts: what it moves traffic or pods on the strength of."""

from __future__ import annotations

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import RELEASE
from flaggerpy.api.status import Phase
from flaggerpy.controller.world import World
from flaggerpy.kube.resources import BUDGETS, DEPLOYMENTS, HTTP_ROUTES, METRIC_TEMPLATES, SERVICES, Ref
from tests.builders import canary, with_metadata, with_status
from tests.controller.stage import seen_of

KINDS = (SERVICES, DEPLOYMENTS, HTTP_ROUTES, METRIC_TEMPLATES, BUDGETS)


def decisive_kinds(owner: Canary) -> set[str]:
    world = World({}, seen_of(owner), live={Ref(kind, "shop", "web"): {} for kind in KINDS})
    return {ref.resource.kind for ref in world.decisive}


@pytest.mark.parametrize("phase", [Phase.SUCCEEDED, Phase.PROGRESSING, Phase.PROMOTING, Phase.FAILED])
def test_in_a_rollout_no_service_is_read_again(phase: Phase) -> None:
    assert decisive_kinds(with_status(canary(), phase)) == {"Deployment", "HTTPRoute"}


@pytest.mark.parametrize("phase", [Phase.NEW, Phase.INITIALIZING, Phase.TERMINATING, Phase.TERMINATED])
def test_where_users_are_moved_by_services_these_are(phase: Phase) -> None:
    assert decisive_kinds(with_status(canary(), phase)) == {"Service", "Deployment", "HTTPRoute"}


def test_a_release_that_was_asked_for_moves_users_by_services() -> None:
    released = with_metadata(with_status(canary(), Phase.SUCCEEDED), annotations={RELEASE: "true"})
    assert decisive_kinds(released) == {"Service", "Deployment", "HTTPRoute"}
