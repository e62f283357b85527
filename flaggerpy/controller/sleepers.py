"""Which targets were seen without a pod, and at which generation: after a single edit they still have none.

Without this a rollout begins only when the target's own controller has looked at the edit: until then a target that
was scaled to zero may have pods.
"""

from __future__ import annotations

from dataclasses import replace

from flaggerpy.controller.world import World
from flaggerpy.kube.workqueue import Key


class Sleepers:
    """Adds to an observation when its target was last seen asleep. What it remembers is over and stays true."""

    def __init__(self) -> None:
        self._known: dict[Key, tuple[str, int]] = {}

    def observe(self, world: World) -> World:
        """Return the same world, whose target says at which generation it was seen asleep."""
        key, target = world.canary.key, world.seen.target
        if target is None:
            return world
        if target.asleep:
            self._known[key] = (target.uid, target.generation)
        uid, generation = self._known.get(key, ("", None))
        if uid != target.uid:
            return world
        return replace(world, seen=replace(world.seen, target=replace(target, slept_at=generation)))

    def forget(self, key: Key) -> None:
        """Forget a canary that is gone."""
        self._known.pop(key, None)
