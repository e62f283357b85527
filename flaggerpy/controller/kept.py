"""Keep what is promoted, and make a lost primary from what is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from flaggerpy.api.marks import made_by_us
from flaggerpy.controller.errors import Outdated
from flaggerpy.controller.world import World
from flaggerpy.controller.writes import Writes
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import Ref
from flaggerpy.rollout.decision import KeepRevision
from flaggerpy.targets.base import Recipe
from flaggerpy.targets.configs import checksum, config_refs, make_copy, refs_of_keys, without_owner
from flaggerpy.targets.kept import kept_ref, kept_refs, make_kept, template_of_primary, with_kept
from flaggerpy.targets.labels import LabelRules


class Keeper:
    """The writes of one tick that are about kept revisions and the copies of their configs."""

    def __init__(self, writes: Writes, world: World, rules: LabelRules) -> None:
        self._writes = writes
        self._world = world
        self._rules = rules

    async def keep(self, action: KeepRevision) -> None:
        """Write the next revision into the object that holds the last but one."""
        world = self._world
        number = 1 + max((kept.number for kept in world.kept), default=0)
        ref = kept_ref(world.canary, number)
        configs = await self._read_by_primary(action) if action.of_primary else action.configs
        body = make_kept(world.canary, self._template(action), configs, replicas=self._replicas(), number=number)
        old = self._writes.live.get(ref)
        if old is not None:
            await self._writes.delete(ref, old)
        await self._writes.put(ref, body)

    def _template(self, action: KeepRevision) -> JsonObject:
        world = self._world
        if world.target is None or world.facts is None:
            raise Outdated("the target is gone")
        if not action.of_primary:
            template: JsonObject = (world.target.get("spec") or {}).get("template") or {}
            return template
        if world.primary is None:
            raise Outdated("the primary is gone")
        selector = (world.facts.selector_label, world.facts.selector_value)
        tracked = frozenset({*action.configs, *world.seen.configs.ours})
        return template_of_primary(world.canary, world.primary, selector, self._rules, tracked)

    async def _read_by_primary(self, action: KeepRevision) -> dict[str, str]:
        """Return what the primary's own copies hold: what it read is not always on record, as after Flagger."""
        world, configs = self._world, dict(action.configs)
        template = ((world.primary or {}).get("spec") or {}).get("template") or {}
        if not world.tracking:
            return configs  # nor is there the right to look
        there = {ref.ref(world.canary.namespace) for ref in config_refs(template)}
        for config in refs_of_keys({*action.configs, *world.seen.configs.ours}):
            ref = config.copy_ref(world.canary.namespace)
            copy = await self._writes.find(ref) if ref in there else None
            if copy is not None:
                configs[config.key] = checksum(copy)
        return configs

    def _replicas(self) -> int:
        workloads = (self._world.seen.target, self._world.seen.primary)
        return max(1, *(workload.replicas for workload in workloads if workload is not None))

    async def restore(self) -> None:
        """Make the primary from what was promoted last: its configs first."""
        world = self._world
        if world.target_kind is None or world.target is None or not world.kept:
            raise Outdated("the target or what was kept is gone")
        kept = world.kept[0]
        target = with_kept(world.target, await self._writes.read(kept.ref))
        if target is None:
            raise Outdated(f"{kept.ref} holds no pod template")
        tracked = kept.revision.configs if world.tracking else {}
        await self._restore_copies(tracked)
        ref = world.target_kind.primary_ref(world.canary)
        stamp = hashlib.sha256(f"{world.canary.metadata.uid} {kept.number}".encode()).hexdigest()[:16]
        recipe = Recipe(rules=self._rules, tracked=tracked, promotion_id=stamp)
        live = self._writes.live.get(ref)
        await self._writes.put(ref, world.target_kind.make_primary(world.canary, target, live, recipe))

    async def _restore_copies(self, promoted: dict[str, str]) -> None:
        """Mend copies from their sources while these are as promoted; others stay what the primary read last."""
        namespace = self._world.canary.namespace
        for config in refs_of_keys(promoted):
            wanted, ref = promoted[config.key], config.copy_ref(namespace)
            live = await self._writes.find(ref)
            if live is not None and checksum(live) == wanted:
                continue
            source = await self._writes.find(config.ref(namespace))
            if source is not None and checksum(source) == wanted:
                await self._writes.put(ref, make_copy(self._world.canary, source, live, self._rules), live=live)
            elif live is None:
                raise Outdated(f"{ref} is gone, and {config.ref(namespace)} is not as promoted")

    async def drop_copies(self, keys: Iterable[str]) -> None:
        """Let go of copies by the keys of their configs."""
        await self.let_go(config.copy_ref(self._world.canary.namespace) for config in refs_of_keys(keys))

    async def let_go(self, copies: Iterable[Ref]) -> None:
        """Let go of copies of configs; one that another canary needs stays."""
        if not self._world.tracking:
            return  # nor is there the right to look
        for ref in copies:
            live = await self._writes.find(ref)
            if live is None or not made_by_us(live, self._world.canary):
                continue
            kept = without_owner(self._world.canary, live)
            if kept is None:
                await self._writes.delete(ref, live)
            else:
                await self._writes.put(ref, kept, live=live)

    async def forget_last(self) -> None:
        """Delete what was promoted last."""
        for kept in self._world.kept[:1]:
            await self._writes.delete(kept.ref, self._writes.live[kept.ref])

    async def forget(self) -> None:
        """Delete what is kept."""
        for ref in kept_refs(self._world.canary):
            live = self._writes.live.get(ref)
            if live is not None and made_by_us(live, self._world.canary):
                await self._writes.delete(ref, live)
