"""Delete what was made for a canary, and nothing else."""

from __future__ import annotations

from contextlib import suppress

from flaggerpy.api.marks import made_by_us
from flaggerpy.controller.kept import Keeper
from flaggerpy.controller.world import World
from flaggerpy.controller.writes import Writes
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import Forbidden
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import BUDGETS, Ref, ref_of
from flaggerpy.rollout.decision import ServiceRole
from flaggerpy.targets.autoscaler import made_scaler_refs
from flaggerpy.targets.configs import config_refs, refs_of_keys
from flaggerpy.targets.services import service_ref


class Remover:
    """The deletions of one tick."""

    def __init__(self, client: Client, writes: Writes, keeper: Keeper, world: World) -> None:
        self._client = client
        self._writes = writes
        self._keeper = keeper
        self._world = world

    async def children(self, *, serving: bool) -> None:
        """Delete what we made; what users come through stays where they are still served, and is not ours any more.

        The primary goes last: it names the copies of configs, so a crash on the way forgets none.
        """
        world, canary = self._world, self._world.canary
        refs = [service_ref(canary, role) for role in (ServiceRole.PRIMARY, ServiceRole.CANARY)]
        if not serving:
            refs.append(service_ref(canary, ServiceRole.APEX))
        for ref in [*refs, *self._routing(serving=serving), *made_scaler_refs(canary)]:
            await self.ours(ref)
        await self._keeper.let_go(copies_of(world))
        await self._keeper.forget()
        await self._budgets()
        if world.target_kind is not None:
            await self.ours(world.target_kind.primary_ref(canary))

    def _routing(self, *, serving: bool) -> tuple[Ref, ...]:
        """Return the routing objects that may go: all, or what is left with our marks once the rest is given back."""
        router = self._world.router
        if router is None or router.capabilities.by_replicas:
            return ()
        if serving and router.restore(self._world.canary, self._writes.live):
            return ()
        return router.refs(self._world.canary)

    async def ours(self, ref: Ref) -> None:
        """Delete an object if it is there and was made by us."""
        live = self._writes.live.get(ref)
        if live is not None and made_by_us(live, self._world.canary):
            await self._writes.delete(ref, live)

    async def _budgets(self) -> None:
        """Delete the primary's budgets, which no name leads to: where they may not be listed, none were made."""
        with suppress(Forbidden):
            budgets, _ = await self._client.list(BUDGETS, self._world.canary.namespace)
            for budget in budgets:
                if made_by_us(budget, self._world.canary):
                    await self._writes.delete(ref_of(BUDGETS, budget), budget)


def copies_of(world: World) -> list[Ref]:
    """Return the copies that the primary reads or read before, and those that it would read next."""
    if world.target_kind is not None and not world.target_kind.copied:
        return []
    namespace = world.canary.namespace
    read = [config.ref(namespace) for config in config_refs(_template(world.primary))]
    made = [config.copy_ref(namespace) for config in config_refs(_template(world.target))]
    kept = [key for one in world.kept for key in one.revision.configs]
    return list(dict.fromkeys([*read, *made, *(config.copy_ref(namespace) for config in refs_of_keys(kept))]))


def _template(workload: JsonObject | None) -> JsonObject:
    template: JsonObject = ((workload or {}).get("spec") or {}).get("template") or {}
    return template
