"""In every phase of a rollout users can be taken off the new revision, also when nothing else works any more."""

from __future__ import annotations

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.traffic import Routes
from flaggerpy.rollout.transition import IDLE, ROLLING
from tests.rollout.test_status import in_phase
from tests.rollout.world import World

PROMOTED = {Phase.PROMOTING, Phase.FINALISING}
"""Phases in which the revision has passed its analysis, and its copy is being made."""
WAYS = [
    *((phase, "put back") for phase in sorted(ROLLING - PROMOTED)),
    *((phase, "abort") for phase in sorted(ROLLING - {Phase.FINALISING})),
]


def stuck(phase: Phase) -> World:
    """A rollout of v2 whose gates are closed from now on, and whose canary does not get better."""
    world = in_phase(phase)
    for kind in ("confirm-rollout", "confirm-promotion", "rollout"):
        world.hooks[kind] = Verdict.FAILED
    return world


@pytest.mark.parametrize(("phase", "way"), WAYS)
def test_a_revision_is_left_whatever_is_closed(phase: Phase, way: str) -> None:
    world = stuck(phase)
    _ = world.ask("abort") if way == "abort" else world.push("v1")
    world.run()
    assert world.phase in IDLE
    assert world.destinations() == {"primary"}
    assert world.primary
    assert (world.primary.template, world.sizes) == ("v1", (0, 2))


@pytest.mark.parametrize("phase", sorted(PROMOTED))
def test_a_revision_that_has_passed_is_promoted_and_what_is_put_back_is_rolled_out_next(phase: Phase) -> None:
    world = stuck(phase)
    world.run()
    world.push("v1").run_for(60)
    assert world.primary
    assert (world.phase, world.primary.template) == (Phase.WAITING, "v2"), "the gates are asked for it as for any other"
    world.hooks.clear()
    world.run()
    assert (world.phase, world.primary.template) == (Phase.SUCCEEDED, "v1")


def test_once_all_users_are_on_the_promoted_primary_nothing_is_left_to_abort() -> None:
    world = stuck(Phase.FINALISING).ask("abort")
    world.run()
    assert world.status.rollout.request
    assert not world.status.rollout.request.accepted
    assert world.phase is Phase.SUCCEEDED


@pytest.mark.parametrize("phase", sorted(ROLLING))
@pytest.mark.parametrize("way", ["deletion", "release"])
def test_traffic_can_be_given_back_whatever_is_closed(phase: Phase, way: str) -> None:
    world = stuck(phase)
    _ = world.delete() if way == "deletion" else world.release()
    world.run()
    assert world.gone or world.phase is Phase.TERMINATED
    assert world.destinations() == {"target"}
    assert world.primary is None


@pytest.mark.parametrize(("primary", "canary"), [(90, 20), (100, 1), (110, -10), (0, 0)])
def test_shares_add_up_to_a_hundred_or_do_not_exist(primary: int, canary: int) -> None:
    with pytest.raises(ValueError, match="add up to 100"):
        Routes(primary, canary)
