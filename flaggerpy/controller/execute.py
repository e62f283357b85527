"""Execute: carry out a plan's actions in order, then write the status once.

A conflict ends the tick, and the next one decides anew; how writes are made conditional is in ``writes``.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import assert_never

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import FINALIZER
from flaggerpy.api.marks import adopted, made_by_us, owned_through_flagger
from flaggerpy.api.status import CanaryStatus
from flaggerpy.clock import Clock
from flaggerpy.controller.errors import Outdated, SchemaTooOld
from flaggerpy.controller.kept import Keeper
from flaggerpy.controller.leaving import clear, leave
from flaggerpy.controller.removal import Remover, copies_of
from flaggerpy.controller.schema import dropped
from flaggerpy.controller.world import World
from flaggerpy.controller.writes import Writes
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.objects import (
    JsonObject,
    finalizers_of,
    metadata_of,
    resource_version_of,
    without_noise,
)
from flaggerpy.kube.resources import BUDGETS, CANARIES, SCALED_OBJECTS, Ref, ref_of
from flaggerpy.rollout.decision import (
    Action,
    AddFinalizer,
    CopyConfigs,
    CreatePrimary,
    DeleteChildren,
    DeleteScaler,
    DisownPrimary,
    DropCopies,
    ForgetPromoted,
    KeepRevision,
    LeaveRoutes,
    PauseScaler,
    Plan,
    ReleaseRoute,
    ReleaseService,
    RemoveFinalizer,
    RestorePrimary,
    ResumeScaler,
    ScalePrimary,
    ScaleTarget,
    ServiceRole,
    SetRoutes,
    UpdatePrimary,
    WriteBudgets,
    WriteScaler,
    WriteService,
)
from flaggerpy.rollout.traffic import Routes
from flaggerpy.routers.base import Router
from flaggerpy.targets import scaledobject
from flaggerpy.targets.autoscaler import make_primary_scaler, primary_scaler_ref, ref_of_kind, scaler_ref
from flaggerpy.targets.base import Recipe
from flaggerpy.targets.configs import checksum, make_copy
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.services import desired_service, released_service, service_ref


class Executor:
    """Turns actions into requests."""

    def __init__(self, client: Client, caches: Caches, rules: LabelRules, clock: Clock) -> None:
        self._client = client
        self._caches = caches
        self._rules = rules
        self._clock = clock

    async def run(self, plan: Plan, world: World) -> None:
        """Carry out a plan.

        Raises:
            Outdated: something changed since it was observed.
            KubeError: the API server refused or could not be reached.

        """
        tick = _Tick(self._client, self._caches, self._rules, world)
        for action in plan.actions:
            await tick.do(action)
        if plan.status is not None:
            before = world.canary.status
            await tick.write_status(on_time(before, plan.status, self._clock.now()) if plan.actions else plan.status)

    async def let_go(self, raw: JsonObject) -> None:
        """Take our finalizer off a Canary that says nothing that could be done for it first."""
        kept = [name for name in finalizers_of(raw) if name != FINALIZER]
        if len(kept) < len(finalizers_of(raw)):
            patch = {"metadata": {"finalizers": kept, "resourceVersion": resource_version_of(raw)}}
            await self._client.merge_patch(ref_of(CANARIES, raw), patch)


class _Tick:
    """The writes of one plan, which see each other's results."""

    def __init__(self, client: Client, caches: Caches, rules: LabelRules, world: World) -> None:
        self._client = client
        self._caches = caches
        self._rules = rules
        self._world = world
        self._writes = Writes(client, caches, world.live)
        self._keeper = Keeper(self._writes, world, rules)
        self._remover = Remover(client, self._writes, self._keeper, world)
        self._raw = world.raw
        self._gone = False

    @property
    def _canary(self) -> Canary:
        return self._world.canary

    async def do(self, action: Action) -> None:
        match action:
            case AddFinalizer():
                await self._set_finalizers([*finalizers_of(self._raw), FINALIZER])
            case RemoveFinalizer():
                await self._set_finalizers([name for name in finalizers_of(self._raw) if name != FINALIZER])
            case WriteService() | ReleaseService() | SetRoutes() | ReleaseRoute() | LeaveRoutes():
                await self._direct(action)
            case DisownPrimary():
                await self._disown_primary()
            case CopyConfigs(expected):
                await self._copy_configs(dict(expected))
            case CreatePrimary() | UpdatePrimary():
                await self._write_primary()
            case KeepRevision() | ForgetPromoted() | RestorePrimary() | DropCopies():
                await self._keep(action)
            case ScaleTarget() | ScalePrimary() | WriteScaler() | DeleteScaler() | PauseScaler() | ResumeScaler():
                await self._scale(action)
            case WriteBudgets():
                await self._write_budgets()
            case DeleteChildren(serving):
                if not serving:
                    await clear(self._world.routes, self._writes, self._remover)
                await self._remover.children(serving=serving)
            case _ as unreachable:
                assert_never(unreachable)

    async def _direct(self, action: WriteService | ReleaseService | SetRoutes | ReleaseRoute | LeaveRoutes) -> None:
        """Write what says where users go."""
        match action:
            case WriteService(role):
                await self._write_service(role)
            case ReleaseService():
                await self._release_service()
            case SetRoutes(routes):
                await self._set_routes(routes)
            case ReleaseRoute():
                await self._release_route()
                await leave(self._world.formers, self._writes, self._remover)
            case LeaveRoutes():
                await leave(self._world.formers, self._writes, self._remover)

    async def _keep(self, action: KeepRevision | ForgetPromoted | RestorePrimary | DropCopies) -> None:
        match action:
            case KeepRevision():
                await self._keeper.keep(action)
            case ForgetPromoted():
                await self._keeper.forget_last()
            case RestorePrimary():
                await self._keeper.restore()
            case DropCopies(configs):
                await self._keeper.drop_copies(configs)

    async def _scale(
        self, action: ScaleTarget | ScalePrimary | WriteScaler | DeleteScaler | PauseScaler | ResumeScaler
    ) -> None:
        match action:
            case ScaleTarget(replicas):
                await self._resize(self._target_ref(), replicas)
            case ScalePrimary(replicas):
                await self._resize(self._primary_ref(), replicas)
            case WriteScaler(minimum):
                await self._write_scaler(minimum)
            case DeleteScaler(name, kind):
                await self._remover.ours(ref_of_kind(self._canary, kind, name))
            case PauseScaler(name):
                await self._pause(name, on=True)
            case ResumeScaler(name):
                await self._pause(name, on=False)

    async def _resize(self, ref: Ref, replicas: int) -> None:
        kind, live = self._world.target_kind, self._writes.live.get(ref)
        patch = kind.size_patch(live, replicas) if kind is not None and live is not None else None
        if patch is None:
            await self._writes.scale(ref, replicas)
        elif patch:
            await self._writes.change(ref, patch)

    async def write_status(self, status: CanaryStatus) -> None:
        """Put the whole status; fields that we do not know survive. A Canary that was let go has none any more."""
        if self._gone:
            return
        old = self._raw.get("status") or {}
        known = {field.alias or name for name, field in CanaryStatus.model_fields.items()}
        foreign = {key: value for key, value in old.items() if key not in known}
        ours = status.to_json()
        body = {**without_noise(self._raw), "status": {**foreign, **ours}}
        async with self._writes.honest(self._world.ref):
            written = await self._client.replace_status(self._world.ref, body)
            if lost := dropped(ours, written.get("status")):
                raise SchemaTooOld(lost)
            self._caches.record(self._world.ref, written)

    async def _set_finalizers(self, finalizers: list[str]) -> None:
        patch = {"metadata": {"finalizers": finalizers, "resourceVersion": resource_version_of(self._raw)}}
        async with self._writes.honest(self._world.ref):
            self._raw = written = await self._client.merge_patch(self._world.ref, patch)
            self._gone = bool(metadata_of(written).get("deletionTimestamp")) and not finalizers
            self._caches.record(self._world.ref, None if self._gone else written)

    async def _write_service(self, role: ServiceRole) -> None:
        if self._world.facts is None:
            raise Outdated("the target's labels are not known")
        ref = service_ref(self._canary, role)
        body = desired_service(self._canary, role, self._world.facts, self._writes.live.get(ref))
        if body is not None:
            await self._writes.put(ref, body)

    async def _release_service(self) -> None:
        ref = service_ref(self._canary, ServiceRole.APEX)
        body = released_service(self._canary, self._writes.live.get(ref))
        if body is not None:
            await self._writes.put(ref, body)

    async def _copy_configs(self, expected: dict[str, str]) -> None:
        """Copy the tracked configs; all are read and compared before the first is written."""
        namespace = self._canary.namespace
        sources = [(config, await self._writes.read(config.ref(namespace))) for config in self._world.configs]
        found = {config.key: checksum(source) for config, source in sources}
        if found != expected:
            raise Outdated("a tracked config changed after it was analysed")
        for config, source in sources:
            ref = config.copy_ref(namespace)
            live = await self._writes.find(ref)
            body = make_copy(self._canary, source, live, self._rules)
            if live is None or checksum(live) != checksum(source) or not made_by_us(live, self._canary):
                await self._writes.put(ref, body, live=live)

    async def _write_primary(self) -> None:
        kind, target = self._world.target_kind, self._world.target
        if kind is None or target is None:
            raise Outdated("the target is gone")
        ref = kind.primary_ref(self._canary)
        recipe = Recipe(
            rules=self._rules, tracked=self._world.seen.configs.ours, promotion_id=_promotion_id(self._world)
        )
        await self._writes.put(ref, kind.make_primary(self._canary, target, self._writes.live.get(ref), recipe))

    async def _disown_primary(self) -> None:
        """Take Flagger's ownerReferences off the primary and the copies of configs that it reads."""
        refs = [self._primary_ref(), *(copies_of(self._world) if self._world.tracking else ())]
        for ref in refs:
            live = self._writes.live.get(ref) or await self._writes.find(ref)
            if live is not None and owned_through_flagger(live, self._canary):
                await self._writes.put(ref, adopted(live, self._canary), live=live)

    async def _write_scaler(self, minimum: int) -> None:
        ref, target_ref = primary_scaler_ref(self._canary), scaler_ref(self._canary)
        scaler = self._writes.live.get(target_ref) if target_ref is not None else None
        if ref is None or scaler is None:
            raise Outdated("the target's autoscaler is gone")
        live = self._writes.live.get(ref)
        await self._writes.put(ref, make_primary_scaler(self._canary, scaler, live, self._rules, minimum))

    async def _write_budgets(self) -> None:
        for body in self._world.budgets.writes:
            await self._writes.put(ref_of(BUDGETS, body), body)
        for ref in self._world.budgets.deletions:
            await self._remover.ours(ref)

    async def _pause(self, name: str, *, on: bool) -> None:
        """Pause a user's autoscaler at zero pods or take that pause off; no other pause is touched."""
        ref = Ref(SCALED_OBJECTS, self._canary.namespace, name)
        live = self._writes.live.get(ref)
        if live is not None and scaledobject.paused_at_zero(live) is not on:
            await self._writes.patch(ref, scaledobject.pause(on=on))

    async def _set_routes(self, routes: Routes) -> None:
        if self._world.router is None:
            raise Outdated("the provider is not served")
        await self._apply(self._world.router, self._world.router.render(self._canary, self._writes.live, routes))

    async def _release_route(self) -> None:
        if self._world.router is not None:
            await self._apply(self._world.router, self._world.router.restore(self._canary, self._writes.live))

    async def _apply(self, router: Router, bodies: tuple[JsonObject, ...]) -> None:
        """Apply bodies, or what goes ahead of them; the core then sees its wish unfulfilled and repeats it."""
        for body in router.ahead(self._canary, self._writes.live, bodies) or bodies:
            await self._writes.apply(self._ref_of(body), body)

    def _ref_of(self, body: JsonObject) -> Ref:
        if self._world.router is None:
            raise Outdated("the provider is not served")
        name = metadata_of(body).get("name")
        refs = self._world.router.refs(self._canary)
        return next(ref for ref in refs if (ref.resource.kind, ref.name) == (body["kind"], name))

    def _target_ref(self) -> Ref:
        if self._world.target_kind is None:
            raise Outdated("the target's kind is not served")
        return self._world.target_kind.ref(self._canary)

    def _primary_ref(self) -> Ref:
        if self._world.target_kind is None:
            raise Outdated("the target's kind is not served")
        return self._world.target_kind.primary_ref(self._canary)


def on_time(before: CanaryStatus, after: CanaryStatus, now: datetime) -> CanaryStatus:
    """Let the clocks that a plan starts run from when its writes are done: a slow write must not shorten a step."""
    old, new = before.rollout, after.rollout
    step = new.step.model_copy(
        update={
            "started_at": _no_sooner(old.step.started_at, new.step.started_at, now),
            "checked_at": _no_sooner(old.step.checked_at, new.step.checked_at, now),
        }
    )
    moved, exposed = _no_sooner(old.moved_at, new.moved_at, now), _no_sooner(old.exposed_at, new.exposed_at, now)
    clocks = {"step": step, "moved_at": moved, "exposed_at": exposed}
    return after.model_copy(update={"rollout": new.model_copy(update=clocks)})


def _no_sooner(before: datetime | None, after: datetime | None, now: datetime) -> datetime | None:
    return after if after is None or after == before else max(after, now)


def _promotion_id(world: World) -> str:
    """Name a promotion: the same when a crash makes it repeat, so that a repetition restarts no pod."""
    step = world.canary.status.rollout.step
    target = world.seen.target
    parts = [
        world.canary.metadata.uid,
        target.template if target else "",
        sorted(world.seen.configs.ours.items()),
        step.started_at.isoformat() if step.started_at else "",
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
