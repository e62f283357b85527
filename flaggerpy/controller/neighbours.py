"""Which canaries of a namespace have targets whose pods nobody could tell apart; the later one is told so.

Whoever has a primary, or is about to get one, comes first, and then the older Canary: a new one must never take users
from one that serves. Before a canary gets its primary its neighbours are looked at, also those that this process has
not come to yet. Between canaries that have one already (Flagger made them, say) what the ticks found out has to do.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, replace

from flaggerpy.api.canary import Canary, parse_canary
from flaggerpy.api.constants import RELEASE
from flaggerpy.api.errors import InvalidObject
from flaggerpy.controller.world import Live, World
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, SERVICES, Ref, ref_of
from flaggerpy.kube.store import Present
from flaggerpy.kube.workqueue import Key
from flaggerpy.rollout.errors import UserError
from flaggerpy.settings import Settings
from flaggerpy.targets.base import Target
from flaggerpy.targets.claims import Claim, claim_of, collision
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.registry import target_for

Group = tuple[str, str, str]
"""Namespace, label and value."""


@dataclass(frozen=True, slots=True)
class _Place:
    """What one canary claims; ``settled`` once it has a primary, or was the first to be about to get one."""

    claim: Claim
    settled: bool
    born: str

    @property
    def rank(self) -> tuple[bool, str, str]:
        """What comes first among those who claim the same."""
        return not self.settled, self.born, self.claim.canary


class Neighbours:
    """Adds to an observation that the target's pods cannot be told from those of another target.

    With ``at_once`` all neighbours are looked at before any canary is judged, for whoever looks only once.
    """

    def __init__(self, client: Client, caches: Caches, settings: Settings, *, at_once: bool = False) -> None:
        self._client = client
        self._caches = caches
        self._at_once = at_once
        self._rules = LabelRules.from_flags(settings.selector_labels, settings.include_label_prefix)
        self._known: dict[Key, Group | None] = {}
        self._groups: dict[Group, dict[Key, _Place]] = defaultdict(dict)
        self._meeting = asyncio.Lock()
        """Many canaries that begin at once need one look at their neighbours, not one each."""

    def forget(self, key: Key) -> None:
        """Forget a Canary that is gone; who could not be told from it may go on."""
        self._take(key, None)
        self._known.pop(key, None)

    def leadership_began(self) -> None:
        """Forget everything: another process may have changed it."""
        self._known.clear()
        self._groups.clear()

    async def observe(self, world: World) -> World:
        """Return the same world, with the problem that the target's pods could be taken for another's, if so.

        Raises:
            KubeError: the neighbours could not be read; it is worth another try.

        """
        canary, key = world.canary, world.canary.key
        if world.facts is None and world.primary is not None:
            return world  # its target is gone or wrong, and its primary serves: what it claimed is still its own
        claim = _claim(world)
        if claim is None:
            self._take(key, None)
            return world
        before = self._groups.get(_group(key, claim), {}).get(key)
        settled = world.primary is not None or (before is not None and before.settled)
        if not settled or self._at_once:
            async with self._meeting:
                await self._meet(key)
        mine = _Place(claim, settled, _born(canary))
        others = self._groups.get(_group(key, claim), {}).values()
        rivals = [place for place in others if place.rank < mine.rank and place.claim.collides(claim)]
        self._take(key, mine if rivals else replace(mine, settled=True))
        if not rivals:
            return world
        problem = collision(claim, min(rivals, key=lambda place: place.rank).claim)
        return replace(world, seen=replace(world.seen, problems=(*world.seen.problems, problem), routable=False))

    async def _meet(self, key: Key) -> None:
        """Look at the neighbours of which nothing is known yet, all at once."""
        namespace, own = key
        names = self._caches.names(CANARIES, namespace) - {own}
        strangers = [self._read(namespace, name) for name in sorted(names) if (namespace, name) not in self._known]
        readable = [stranger for stranger in strangers if stranger is not None]
        live: dict[Ref, JsonObject] = {}
        for resource in {kind.ref(canary).resource for canary, kind in readable} - {SERVICES}:
            found, _ = await self._client.list(resource, namespace)
            live |= {ref_of(resource, obj): obj for obj in found}
        for canary, kind in readable:
            if canary.key not in self._known:  # it may have had a tick meanwhile, which knows better
                self._take(canary.key, _look(canary, kind, live, self._rules))

    def _read(self, namespace: str, name: str) -> tuple[Canary, Target] | None:
        found = self._caches.get(Ref(CANARIES, namespace, name))
        if not isinstance(found, Present):
            return None
        try:
            canary = parse_canary(found.obj)
            return canary, target_for(canary)
        except InvalidObject:
            return None

    def _take(self, key: Key, place: _Place | None) -> None:
        """Note what a canary claims; those who claim the same look again if that is news."""
        before = self._known.get(key)
        after = _group(key, place.claim) if place is not None else None
        known = self._groups[before].get(key) if before is not None else None
        self._known[key] = after
        if known == place:
            return
        if before is not None:
            del self._groups[before][key]
            self._tell(before)
        if place is not None and after is not None:
            if after != before:
                self._tell(after)
            self._groups[after][key] = place

    def _tell(self, group: Group) -> None:
        for namespace, name in self._groups[group]:
            self._caches.tell(Ref(CANARIES, namespace, name))
        if not self._groups[group]:
            del self._groups[group]


def _look(canary: Canary, kind: Target, live: Live, rules: LabelRules) -> _Place | None:
    """Say what a canary claims that has not been observed yet."""
    target, primary = live.get(kind.ref(canary)), live.get(kind.primary_ref(canary))
    if target is None or _is_released(canary):
        return None
    try:
        claim = claim_of(canary, target, kind.facts(canary, target, rules, primary))
    except UserError:
        return None
    return _Place(claim, primary is not None, _born(canary)) if claim is not None else None


def _claim(world: World) -> Claim | None:
    if world.target is None or world.facts is None or _is_released(world.canary):
        return None
    return claim_of(world.canary, world.target, world.facts)


def _is_released(canary: Canary) -> bool:
    return canary.metadata.annotations.get(RELEASE) == "true"


def _group(key: Key, claim: Claim) -> Group:
    return key[0], claim.label, claim.value


def _born(canary: Canary) -> str:
    made = canary.metadata.creation_timestamp
    return made.isoformat() if made is not None else ""
