"""When the primary's PodDisruptionBudgets are written."""

from __future__ import annotations

from flaggerpy.api.status import Phase
from flaggerpy.rollout.decision import WriteBudgets
from tests.rollout.world import World, initialized


def written(world: World) -> int:
    return sum(isinstance(action, WriteBudgets) for _, action in world.actions)


def test_a_primary_is_protected_once_it_serves() -> None:
    world = World(budgets=False).run()
    assert (world.phase, world.budgets, written(world)) == (Phase.INITIALIZED, True, 1)
    names = [type(action).__name__ for _, action in world.actions]
    assert names.index("WriteBudgets") > names.index("ScaleTarget"), "until the bootstrap ends it serves nobody"


def test_what_is_right_is_left_alone_through_a_whole_rollout() -> None:
    world = initialized()
    world.push("v2").run()
    assert written(world) == 0


def test_a_stranger_is_answered_once_an_interval() -> None:
    world = initialized()
    world.run_for(60)
    for _ in range(3):
        world.budgets = False
        world.touch().run_for(1)
    assert written(world) == 1
    world.run_for(10)
    assert written(world) == 2
    assert world.budgets
