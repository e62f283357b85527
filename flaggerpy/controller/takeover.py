"""What only matters when a cluster is taken over from Flagger: whether it still runs, and what changed since it ended.

Flagger shows in the record that the API server keeps of who wrote a Canary when; it comes with every Canary. Only a
write that is newer than the one that was there when we began to lead counts: what Flagger wrote before it was stopped
is no alarm, whatever the clocks say. The objects in which Kubernetes keeps templates (ReplicaSets, ControllerRevisions)
are read once, in the tick that takes a rollout in flight over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from flaggerpy.clock import Clock
from flaggerpy.controller.world import World
from flaggerpy.kube.client import Client, Only
from flaggerpy.kube.errors import Forbidden
from flaggerpy.kube.objects import uid_of, writers_of
from flaggerpy.kube.workqueue import Key
from flaggerpy.rollout.adopt import depends_on_history
from flaggerpy.rollout.observation import History
from flaggerpy.targets.history import CHRONICLES

log = structlog.get_logger()

FLAGGER = "flagger"
"""Field manager of Flagger's writes: the first part of its user agent."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of Flagger's writes of one Canary: the time on the last, and when it was noticed as news."""

    uid: str
    stamp: datetime | None
    noticed_at: datetime | None = None


class Takeover:
    """Adds to an observation what taking a canary over depends on."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._began = clock.now()
        self._known: dict[Key, _Known] = {}

    def leadership_began(self) -> None:
        """From now on Flagger should not write; until now it could."""
        self._began = self._clock.now()
        self._known.clear()

    def forget(self, key: Key) -> None:
        """Forget a Canary that is gone."""
        self._known.pop(key, None)

    async def observe(self, world: World) -> World:
        """Return the same world, with Flagger's last write and the history of the target where it matters.

        Raises:
            KubeError: the kept templates could not be read; it is worth another try.

        """
        wrote, history = self._wrote(world), await self._history(world)
        return replace(world, seen=replace(world.seen, flagger_wrote_at=wrote, history=history))

    def _wrote(self, world: World) -> datetime | None:
        """Return when Flagger was last noticed writing this Canary, by our own clock; None if it was not."""
        key, uid, stamp = world.canary.key, uid_of(world.raw), writers_of(world.raw).get(FLAGGER)
        known = self._known.get(key)
        if known is None or known.uid != uid:
            known = self._known[key] = _Known(uid, stamp)
        elif stamp is not None and (known.stamp is None or stamp > known.stamp):
            news = stamp >= self._began.replace(microsecond=0)
            known = self._known[key] = _Known(uid, stamp, self._clock.now() if news else known.noticed_at)
        return known.noticed_at

    async def _history(self, world: World) -> History | None:
        kind, target, facts = world.target_kind, world.target, world.facts
        if kind is None or target is None or facts is None or not depends_on_history(world.seen):
            return None
        chronicle = CHRONICLES.get(kind.ref(world.canary).resource)
        if chronicle is None:
            return None
        only = Only(labels=f"{facts.selector_label}={facts.selector_value}")
        try:
            found, _ = await self._client.list(
                chronicle.resource, world.canary.namespace, metadata_only=chronicle.metadata_only, only=only
            )
        except Forbidden as error:
            log.warning("whether the target changed after Flagger stopped cannot be told", reason=error.message)
            return None
        return chronicle.read(target, found)
