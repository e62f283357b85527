"""Execute: carry out a plan's actions in order, then write the status once.

Every write is conditional on what was observed; a conflict ends the tick and the next one decides anew. Each answer
goes into the cache at once, so that the next tick reads its own writes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import assert_never

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import FINALIZER
from flaggerpy.api.marks import made_by_us
from flaggerpy.api.status import CanaryStatus
from flaggerpy.controller.errors import Outdated, SchemaTooOld
from flaggerpy.controller.world import World
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import AlreadyExists, Conflict, Invalid, NotFound
from flaggerpy.kube.objects import (
    JsonObject,
    finalizers_of,
    generation_of,
    metadata_of,
    resource_version_of,
    uid_of,
)
from flaggerpy.kube.resources import CANARIES, Ref, ref_of
from flaggerpy.rollout.decision import (
    Action,
    AddFinalizer,
    CopyConfigs,
    CreatePrimary,
    DeleteChildren,
    Plan,
    ReleaseRoute,
    ReleaseService,
    RemoveFinalizer,
    ScalePrimary,
    ScaleTarget,
    ServiceRole,
    SetRoutes,
    UpdatePrimary,
    WriteService,
)
from flaggerpy.rollout.traffic import Routes
from flaggerpy.targets.base import Recipe
from flaggerpy.targets.configs import checksum, config_refs, make_copy, without_owner
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.services import desired_service, released_service, service_ref


class Executor:
    """Turns actions into requests."""

    def __init__(self, client: Client, caches: Caches, rules: LabelRules) -> None:
        self._client = client
        self._caches = caches
        self._rules = rules

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
            await tick.write_status(plan.status)

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
        self._live = dict(world.live)
        self._raw = world.raw

    @property
    def _canary(self) -> Canary:
        return self._world.canary

    async def do(self, action: Action) -> None:
        match action:
            case AddFinalizer():
                await self._set_finalizers([*finalizers_of(self._raw), FINALIZER])
            case RemoveFinalizer():
                await self._set_finalizers([name for name in finalizers_of(self._raw) if name != FINALIZER])
            case WriteService(role):
                await self._write_service(role)
            case ReleaseService():
                await self._release_service()
            case CopyConfigs(expected):
                await self._copy_configs(dict(expected))
            case CreatePrimary() | UpdatePrimary():
                await self._write_primary()
            case ScaleTarget(replicas):
                await self._scale(self._target_ref(), replicas)
            case ScalePrimary(replicas):
                await self._scale(self._primary_ref(), replicas)
            case SetRoutes(routes):
                await self._set_routes(routes)
            case ReleaseRoute():
                await self._release_route()
            case DeleteChildren(serving):
                await self._delete_children(serving=serving)
            case _ as unreachable:
                assert_never(unreachable)

    async def write_status(self, status: CanaryStatus) -> None:
        """Put the whole status; fields that we do not know survive."""
        old = self._raw.get("status") or {}
        known = {field.alias or name for name, field in CanaryStatus.model_fields.items()}
        foreign = {key: value for key, value in old.items() if key not in known}
        body = {**self._raw, "status": {**foreign, **status.to_json()}}
        async with self._honest(self._world.ref):
            written = await self._client.replace_status(self._world.ref, body)
        if "rollout" not in (written.get("status") or {}):
            raise SchemaTooOld
        self._caches.record(self._world.ref, written)

    async def _set_finalizers(self, finalizers: list[str]) -> None:
        patch = {"metadata": {"finalizers": finalizers, "resourceVersion": resource_version_of(self._raw)}}
        async with self._honest(self._world.ref):
            written = await self._client.merge_patch(self._world.ref, patch)
        self._raw = written
        going = bool(metadata_of(written).get("deletionTimestamp")) and not finalizers
        self._caches.record(self._world.ref, None if going else written)

    async def _write_service(self, role: ServiceRole) -> None:
        if self._world.facts is None:
            raise Outdated("the target's labels are not known")
        ref = service_ref(self._canary, role)
        body = desired_service(self._canary, role, self._world.facts, self._live.get(ref))
        if body is not None:
            await self._put(ref, body)

    async def _release_service(self) -> None:
        ref = service_ref(self._canary, ServiceRole.APEX)
        body = released_service(self._canary, self._live.get(ref))
        if body is not None:
            await self._put(ref, body)

    async def _copy_configs(self, expected: dict[str, str]) -> None:
        """Copy the tracked configs; all are read and compared before the first is written."""
        namespace = self._canary.namespace
        sources = [(config, await self._read(config.ref(namespace))) for config in self._world.configs]
        found = {config.key: checksum(source) for config, source in sources}
        if found != expected:
            raise Outdated("a tracked config changed after it was analysed")
        for config, source in sources:
            ref = config.copy_ref(namespace)
            live = await self._read_if_there(ref)
            body = make_copy(self._canary, source, live, self._rules)
            if live is None or checksum(live) != checksum(source) or not made_by_us(live, self._canary):
                await self._put(ref, body, live=live)

    async def _write_primary(self) -> None:
        kind, target = self._world.target_kind, self._world.target
        if kind is None or target is None:
            raise Outdated("the target is gone")
        ref = kind.primary_ref(self._canary)
        recipe = Recipe(
            rules=self._rules, tracked=self._world.seen.configs.ours, promotion_id=_promotion_id(self._world)
        )
        await self._put(ref, kind.make_primary(self._canary, target, self._live.get(ref), recipe))

    async def _scale(self, ref: Ref, replicas: int) -> None:
        live = self._live.get(ref)
        if live is None:
            raise Outdated(f"{ref} is gone")
        scale = await self._conditional_scale(ref, live, replicas)
        scaled = {
            **live,
            "metadata": {
                **metadata_of(live),
                "resourceVersion": resource_version_of(scale),
                "generation": generation_of(live) + 1,
            },
            "spec": {**(live.get("spec") or {}), "replicas": replicas},
        }
        self._live[ref] = scaled
        self._caches.record_scale(ref, scale)

    async def _conditional_scale(self, ref: Ref, live: JsonObject, replicas: int) -> JsonObject:
        """Scale if it still is the observed object with the observed replicas.

        A resourceVersion would be too strict: the workload's own controller writes its status all the time. A Scale
        leaves zero replicas out.
        """
        observed = (live.get("spec") or {}).get("replicas", 1)
        patch: list[JsonObject] = [
            {"op": "test", "path": "/metadata/uid", "value": uid_of(live)},
            {"op": "test", "path": "/spec", "value": {"replicas": observed} if observed else {}},
            {"op": "add", "path": "/spec/replicas", "value": replicas},
        ]
        async with self._honest(ref):
            try:
                return await self._client.json_patch(ref, patch, subresource="scale")
            except Invalid as error:
                raise Conflict(error.status, error.reason, f"{ref} was scaled by somebody else", error.body) from error

    async def _set_routes(self, routes: Routes) -> None:
        if self._world.router is None:
            raise Outdated("the provider is not served")
        for body in self._world.router.render(self._canary, self._live, routes):
            await self._apply(body)

    async def _release_route(self) -> None:
        if self._world.router is None:
            return
        for body in self._world.router.restore(self._canary, self._live):
            await self._apply(body)

    async def _apply(self, body: JsonObject) -> None:
        """Write a routing object: put a whole one in its place, apply any other on the server's side.

        Both are conditional on the object that was observed.
        """
        ref = self._ref_in_live(body)
        if resource_version_of(body):
            await self._put(ref, body)
            return
        live = self._live.get(ref)
        if live is not None:
            body = {**body, "metadata": {**metadata_of(body), "resourceVersion": resource_version_of(live)}}
        async with self._honest(ref):
            written = await self._client.apply(ref, body)
        self._record(ref, written)

    def _ref_in_live(self, body: JsonObject) -> Ref:
        if self._world.router is None:
            raise Outdated("the provider is not served")
        name = metadata_of(body).get("name")
        refs = self._world.router.refs(self._canary)
        return next(ref for ref in refs if (ref.resource.kind, ref.name) == (body["kind"], name))

    async def _delete_children(self, *, serving: bool) -> None:
        """Delete what we made; what users come through stays where they are still served."""
        refs = [service_ref(self._canary, role) for role in (ServiceRole.PRIMARY, ServiceRole.CANARY)]
        if self._world.target_kind is not None:
            refs.insert(0, self._world.target_kind.primary_ref(self._canary))
        if not serving:
            refs.append(service_ref(self._canary, ServiceRole.APEX))
            refs += self._world.router.refs(self._canary) if self._world.router else ()
        for ref in refs:
            live = self._live.get(ref)
            if live is not None and made_by_us(live, self._canary):
                await self._delete(ref, live)
        await self._delete_copies()

    async def _delete_copies(self) -> None:
        """Let go of the config copies that the primary reads; a copy that another canary needs stays."""
        primary = self._world.primary
        if primary is None:
            return
        template = (primary.get("spec") or {}).get("template") or {}
        for config in config_refs(template):
            ref = config.ref(self._canary.namespace)
            live = await self._read_if_there(ref)
            if live is None or not made_by_us(live, self._canary):
                continue
            kept = without_owner(self._canary, live)
            if kept is None:
                await self._delete(ref, live)
            else:
                await self._put(ref, kept, live=live)

    async def _put(self, ref: Ref, body: JsonObject, *, live: JsonObject | None = None) -> None:
        """Create the object, or replace the one that was observed if it is still that one."""
        known = live if live is not None else self._live.get(ref)
        async with self._honest(ref):
            if known is None:
                written = await self._client.create(ref.resource, body)
            else:
                written = await self._client.replace(ref, body)
        self._record(ref, written)

    async def _delete(self, ref: Ref, live: JsonObject) -> None:
        async with self._honest(ref):
            with suppress(NotFound):
                await self._client.delete(ref, uid=uid_of(live))
        self._live.pop(ref, None)
        if self._caches.keeps(ref):
            self._caches.record(ref, None)

    @asynccontextmanager
    async def _honest(self, ref: Ref) -> AsyncIterator[None]:
        """Read the object again when a conditional write shows that the cache was behind."""
        try:
            yield
        except (AlreadyExists, Conflict, NotFound):
            if self._caches.keeps(ref):
                await self._caches.refresh([ref])
            raise

    async def _read(self, ref: Ref) -> JsonObject:
        found = await self._read_if_there(ref)
        if found is None:
            raise Outdated(f"{ref} is gone")
        return found

    async def _read_if_there(self, ref: Ref) -> JsonObject | None:
        try:
            return await self._client.get(ref)
        except NotFound:
            return None

    def _record(self, ref: Ref, obj: JsonObject) -> None:
        self._live[ref] = obj
        if self._caches.keeps(ref):
            self._caches.record(ref, obj)

    def _target_ref(self) -> Ref:
        if self._world.target_kind is None:
            raise Outdated("the target's kind is not served")
        return self._world.target_kind.ref(self._canary)

    def _primary_ref(self) -> Ref:
        if self._world.target_kind is None:
            raise Outdated("the target's kind is not served")
        return self._world.target_kind.primary_ref(self._canary)


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
