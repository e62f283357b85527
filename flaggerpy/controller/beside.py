"""What is learnt of a canary beside the objects around it, each by a part of its own that remembers what it needs."""

from __future__ import annotations

from typing import Protocol

from flaggerpy.controller.world import World
from flaggerpy.kube.workqueue import Key


class Beside(Protocol):
    """Adds to an observation what its own objects do not show."""

    def leadership_began(self) -> None:
        """What was known of the process that led before does not hold any more."""

    def forget(self, key: Key) -> None:
        """Forget a Canary that is gone."""

    async def observe(self, world: World) -> World:
        """Return the same world with more in its observation.

        Raises:
            KubeError: something could not be read; it is worth another try.

        """


class InOrder:
    """Several of them, each of which sees what those before it have added."""

    def __init__(self, *parts: Beside) -> None:
        self._parts = parts

    def leadership_began(self) -> None:
        """Tell all of them."""
        for part in self._parts:
            part.leadership_began()

    def forget(self, key: Key) -> None:
        """Let all of them forget a Canary."""
        for part in self._parts:
            part.forget(key)

    async def observe(self, world: World) -> World:
        """Let each of them add to the observation."""
        for part in self._parts:
            world = await part.observe(world)
        return world
