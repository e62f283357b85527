"""Worlds as Flagger leaves them: its status, false where its is, its ownerReferences, and nothing of ours."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flaggerpy.api.status import CanaryStatus, Phase
from flaggerpy.rollout.observation import History
from tests.rollout.world import World, initialized, spec


def left(world: World, phase: Phase, **status: Any) -> World:
    """Exchange the status for the one that Flagger would have left: only its own fields, and its false ones."""
    known = {
        "canary_weight": world.weight if phase in {Phase.PROGRESSING, Phase.PROMOTING} else 0,
        "last_applied_spec": "64c5fc694f",
        "last_promoted_spec": "8dbdc448",
        "tracked_configs": dict(world.configs),
        "last_transition_time": world.now.replace(microsecond=0),
    }
    world.status = CanaryStatus(phase=phase, **known | status)
    world.owned = True
    world.finalizer = False
    world.history = History(world.now - timedelta(minutes=5))
    world.events.clear()
    world.actions.clear()
    world.outcomes.clear()
    world.wake_at = world.now
    return world.touch()


def given_up() -> World:
    """A bootstrap that Flagger gave up, with the target asleep though its users are on it."""
    world = World(routed=False, primary_breaks={"v1"})
    while world.primary is None:
        assert world.advance()
        world.tick()
    assert world.target
    world.target.edit(replicas=0)
    return left(world, Phase.FAILED, last_promoted_spec=None)


def rolling(weight: int = 20, **analysis: Any) -> World:
    """A rollout under way."""
    world = initialized(spec=spec(**analysis)).push("v2")
    while world.weight < weight or world.phase is not Phase.PROGRESSING:
        assert world.advance()
        world.tick()
    return world


def promoting(**analysis: Any) -> World:
    return rolling(30, **analysis).run(Phase.PROMOTING).touch()
