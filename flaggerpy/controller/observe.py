"""Observe: put together everything the core may depend on, from caches; the API server is asked only once an object.

User mistakes found on the way become sentences in the observation; none of them is raised.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace

from flaggerpy.api.canary import parse_canary
from flaggerpy.api.confine import confined
from flaggerpy.api.errors import InvalidObject
from flaggerpy.api.marks import owned_through_flagger
from flaggerpy.api.validation import cross_namespace, remarks
from flaggerpy.api.validation import problems as problems_of
from flaggerpy.controller.beside import Beside
from flaggerpy.controller.configs import ConfigDigests
from flaggerpy.controller.draft import Draft
from flaggerpy.controller.pods import PodReader
from flaggerpy.controller.routable import find_out, says_its_route
from flaggerpy.controller.served import choose_router, choose_target, provider_of, unserved
from flaggerpy.controller.sources import Library, alert_refs, template_refs, unmeasured
from flaggerpy.controller.world import World
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import BUDGETS, CANARIES, CONTROLLER_REVISIONS, UPSTREAMS, Ref, ref_of
from flaggerpy.kube.store import Absent, Present
from flaggerpy.kube.workqueue import Key
from flaggerpy.rollout.decision import ServiceRole
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.observation import KeptSeen, Limits, Observation, ScalerSeen, ServicesSeen
from flaggerpy.rollout.traffic import Acceptance, Capabilities, RouteState
from flaggerpy.routers.base import Options
from flaggerpy.routers.former import former_routes, place_of
from flaggerpy.settings import Settings
from flaggerpy.targets.autoscaler import (
    is_former,
    made_scaler_refs,
    paused_scalers,
    primary_scaler_ref,
    scaler_notes,
    scaler_ref,
    scaler_seen,
    target_scaler_refs,
)
from flaggerpy.targets.base import Recipe, target_state
from flaggerpy.targets.budgets import BudgetChanges, budget_changes
from flaggerpy.targets.configs import ConfigDigest, ConfigRef, config_refs, configs_seen, refs_of_keys
from flaggerpy.targets.kept import foreign, kept_refs, kept_revisions
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.services import (
    desired_service,
    leads_elsewhere,
    released_service,
    service_notes,
    service_ref,
)

NO_ROUTE = RouteState(routes=None, accepted=Acceptance.YES)


class Unreadable(Exception):
    """The Canary cannot be read at all; the message is a sentence for its author, ``raw`` is the object."""

    def __init__(self, sentence: str, raw: JsonObject) -> None:
        super().__init__(sentence)
        self.raw = raw


class Observer:
    """Reads one canary and its surroundings."""

    def __init__(
        self,
        caches: Caches,
        digests: ConfigDigests,
        pods: PodReader,
        library: Library,
        settings: Settings,
        beside: Beside,
    ) -> None:
        self._caches = caches
        self._beside = beside
        self._library = library
        self._digests = digests
        self._pods = pods
        self._settings = settings
        self.rules = LabelRules.from_flags(settings.selector_labels, settings.include_label_prefix)
        self._configs: dict[Key, tuple[Ref, ...]] = {}
        self._options = Options(
            ingress_class=settings.ingress_class,
            ingress_annotations_prefix=settings.ingress_annotations_prefix,
            gateway_mirror_percent=settings.gateway_mirror_percent,
        )
        self._limits = Limits(
            min_interval=settings.min_interval,
            accept_within=settings.accept_within,
            fail_fast_after=settings.fail_fast_after,
        )

    def leadership_began(self) -> None:
        """What was known of the process that led before does not hold any more."""
        self._beside.leadership_began()

    async def observe(self, key: Key, announced: frozenset[str]) -> World | None:
        """Return the world of one canary, None when the Canary does not exist.

        Raises:
            Unreadable: the Canary lacks something without which it means nothing.

        """
        found = self._caches.get(Ref(CANARIES, *key))
        if not isinstance(found, Present):
            self._caches.forget(key)
            self._pods.forget(key)
            self._beside.forget(key)
            self._configs.pop(key, None)
            return None
        try:
            canary = parse_canary(found.obj)
        except InvalidObject as error:
            self._pods.forget(key)
            raise Unreadable(str(error), found.obj) from error
        draft = Draft(found.obj, canary, list(problems_of(canary)))
        if self._settings.no_cross_namespace_refs:
            draft.problems += cross_namespace(canary)
            draft.canary = confined(canary)
        self._choose(draft)
        await self._read(draft, key)
        world = self._world(draft, announced)
        world = replace(world, seen=replace(world.seen, pods=await self._pods.read(world)))
        return await self._beside.observe(world)

    def _choose(self, draft: Draft) -> None:
        """Pick the translators; what is not served is a problem."""
        draft.target, unserved_target = choose_target(draft.canary)
        draft.router, unserved_route = choose_router(draft.canary, self._settings.mesh_provider, self._options)
        draft.problems += [*unserved_target, *unserved_route]
        draft.routable = not unserved_route and says_its_route(
            draft.canary, inside=self._settings.no_cross_namespace_refs
        )
        draft.place = place_of(draft.canary, self._settings.mesh_provider, draft.router)
        draft.formers = former_routes(draft.canary, draft.router, self._options, draft.place)

    async def _read(self, draft: Draft, key: Key) -> None:
        """Follow and read every object around the canary; first those with fixed names, then what the target names."""
        canary = draft.canary
        refs = [service_ref(canary, role) for role in ServiceRole]
        if draft.target is not None:
            refs += [draft.target.ref(canary), draft.target.primary_ref(canary)]
        if draft.router is not None:
            refs += draft.router.refs(canary)
        former = [ref for one in draft.formers for ref in one.refs if ref not in refs]
        refs += former
        refs += [*target_scaler_refs(canary), *made_scaler_refs(canary)]
        refs += [*template_refs(canary), *(alerts := alert_refs(canary)), *kept_refs(canary)]
        if self._settings.no_cross_namespace_refs:
            refs = [ref for ref in refs if ref.resource != UPSTREAMS or ref.namespace == canary.namespace]
        await self._load(draft, key, refs, silent=[*former, *alerts])
        served = draft.router is not None
        mesh, alone = self._settings.mesh_provider, self._settings.no_cross_namespace_refs
        draft.problems += unmeasured(canary, self._library, mesh, served=served, confined=alone)
        draft.kept = kept_revisions(canary, draft.live)
        target = draft.object(draft.target.ref(canary) if draft.target else None)
        copied = draft.target is not None and draft.target.copied
        if target is None or not copied or not self._settings.config_tracking:
            return
        configs = config_refs((target.get("spec") or {}).get("template") or {})
        lost = self._lost_configs(draft)
        copies = tuple(config.copy_ref(canary.namespace) for config in lost)
        followed = (config.ref(canary.namespace) for config in (*configs, *lost))
        self._configs[key] = (*followed, *copies)
        self._caches.follow(key, [*refs, *self._configs[key]])
        digests = await self._digests.read({*configs, *lost}, canary.namespace)
        if lost:
            draft.lacking = await self._lacking(draft, lost, digests)
        seen, problems = configs_seen(configs, digests, canary.namespace)
        draft.seen_configs = seen
        draft.problems += problems
        draft.configs = tuple(config for config in configs if config.key in seen.ours)

    def _lost_configs(self, draft: Draft) -> tuple[ConfigRef, ...]:
        """The configs that a primary has to get back that is not there."""
        primary = draft.object(draft.target.primary_ref(draft.canary) if draft.target else None)
        return refs_of_keys(draft.kept[0].revision.configs) if primary is None and draft.kept else ()

    async def _lacking(
        self, draft: Draft, lost: tuple[ConfigRef, ...], digests: Mapping[ConfigRef, ConfigDigest | None]
    ) -> tuple[str, ...]:
        """Name the configs of which there is no copy, and which do not have the promoted content themselves."""
        namespace, promoted = draft.canary.namespace, draft.kept[0].revision.configs
        copies = [config.copy_ref(namespace) for config in lost]
        await self._caches.ensure(copies)
        gone = [config for config, ref in zip(lost, copies, strict=True) if isinstance(self._caches.get(ref), Absent)]
        sources = {config: digests.get(config) for config in gone}
        return tuple(
            f"{config.resource.kind} {config.name}"
            for config, found in sources.items()
            if found is None or found.ours != promoted[config.key]
        )

    async def _load(self, draft: Draft, key: Key, refs: list[Ref], silent: Container[Ref]) -> None:
        """Follow and read objects; that there are none of a kind is no trouble where they are only to be let go."""
        self._caches.follow(key, [*refs, *self._configs.get(key, ())])
        await self._caches.ensure(refs)
        for ref in refs:
            untold = ref.resource == CONTROLLER_REVISIONS or ref in silent or is_former(draft.canary, ref)
            trouble = None if untold else self._caches.trouble(ref.resource)
            if trouble is not None and trouble not in draft.problems:
                draft.problems.append(trouble)
            found = self._caches.get(ref)
            if isinstance(found, Present):
                draft.live[ref] = found.obj

    def _world(self, draft: Draft, announced: frozenset[str]) -> World:
        canary, target = draft.canary, draft.target
        target_obj = draft.object(target.ref(canary) if target else None)
        primary_obj = draft.object(target.primary_ref(canary) if target else None)
        recipe = Recipe(rules=self.rules, tracked=draft.seen_configs.ours)
        if target is not None and target_obj is None:
            draft.problems.append(
                f"{canary.spec.target_ref.kind} {canary.target_name} does not exist in namespace {canary.namespace}: "
                "create it, or correct spec.targetRef."
            )
        services = self._services(draft, target_obj, primary_obj)
        budgets = self._budgets(draft, target_obj)
        scaler = self._scaler(draft)
        route, released = self._route(draft)
        left_behind = any(former.is_held(draft.live) for former in draft.formers)
        heard = all(former.is_heard(draft.live) for former in draft.formers)
        seen = Observation(
            canary=canary,
            target=target_state(target, target_obj, draft.facts, services),
            primary=target.primary_state(canary, primary_obj, recipe) if target and primary_obj is not None else None,
            services=services,
            route=route,
            capabilities=draft.router.capabilities if draft.router else Capabilities(),
            routed=bool(draft.router and draft.router.capabilities.weights),
            scaler=scaler,
            budgets=not budgets,
            paused=paused_scalers(canary, draft.live),
            configs=draft.seen_configs,
            kept=self._kept(draft, target_obj),
            limits=self._limits,
            route_released=released and not left_behind,
            place=draft.place,
            left_behind=left_behind,
            left_to_canary=any(former.leads_to_canary(draft.live) for former in draft.formers),
            left_accepted=Acceptance.YES if heard else Acceptance.UNKNOWN,
            problems=tuple(dict.fromkeys(draft.problems)),
            routable=draft.routable,
            returnable=draft.returnable,
            notes=self._notes(draft),
            announced=announced,
            primary_is_owned=primary_obj is not None and owned_through_flagger(primary_obj, canary),
        )
        return World(
            draft.raw,
            seen,
            draft.live,
            target_kind=target,
            router=draft.router,
            formers=draft.formers,
            facts=draft.facts,
            budgets=budgets,
            configs=draft.configs,
            kept=draft.kept,
            tracking=self._settings.config_tracking,
        )

    def _kept(self, draft: Draft, target: JsonObject | None) -> KeptSeen:
        unreadable = self._caches.trouble(CONTROLLER_REVISIONS, draft.canary.namespace)
        copied = draft.target is not None and draft.target.copied
        has_template = copied and bool(((target or {}).get("spec") or {}).get("template"))
        if unreadable or not has_template or foreign(draft.canary, draft.live):
            return KeptSeen()
        if not draft.kept:
            return KeptSeen(usable=True)
        last, before = draft.kept[0], next((kept.revision for kept in draft.kept[1:]), None)
        return KeptSeen(True, last.revision, last.ref.name, before, draft.lacking)

    def _services(self, draft: Draft, target: JsonObject | None, primary: JsonObject | None) -> ServicesSeen:
        canary = draft.canary
        apex_ref = service_ref(canary, ServiceRole.APEX)
        released = released_service(canary, draft.object(apex_ref)) is None
        if draft.target is None or target is None:
            return ServicesSeen(apex_released=released)
        try:
            draft.facts = draft.target.facts(canary, target, self.rules, primary)
            right = {
                role: desired_service(canary, role, draft.facts, draft.object(service_ref(canary, role))) is None
                for role in ServiceRole
            }
        except UserError as error:
            draft.problems.append(str(error))
            draft.routable = False
            return ServicesSeen(apex_released=released)
        return ServicesSeen(
            canary=right[ServiceRole.CANARY],
            primary=right[ServiceRole.PRIMARY],
            apex=right[ServiceRole.APEX],
            apex_released=released,
            apex_elsewhere=leads_elsewhere(draft.facts, draft.object(apex_ref)),
        )

    def _scaler(self, draft: Draft) -> ScalerSeen | None:
        """The autoscalers of target and primary; None where there are to be none, and where they cannot be served."""
        canary = draft.canary
        ref = scaler_ref(canary)
        if ref is None or self._caches.trouble(ref.resource, canary.namespace):
            return None
        target, primary = draft.object(ref), draft.object(primary_scaler_ref(canary))
        try:
            return scaler_seen(canary, target, primary, self.rules)
        except UserError as error:
            draft.problems.append(str(error))
            return None

    def _budgets(self, draft: Draft, target: JsonObject | None) -> BudgetChanges:
        """What is to be done about the PodDisruptionBudgets in the namespace; nothing where they may not be read."""
        canary = draft.canary
        budgets = self._caches.in_namespace(BUDGETS, canary.namespace)
        if budgets is None or target is None or draft.facts is None:
            return BudgetChanges()
        draft.live |= {ref_of(BUDGETS, budget): budget for budget in budgets}
        return budget_changes(canary, target, draft.facts, budgets, self.rules)

    def _route(self, draft: Draft) -> tuple[RouteState, bool]:
        """The routing object's state, and whether it is as it stays after a release."""
        find_out(draft, self._caches)
        if draft.router is None:
            return NO_ROUTE, True
        released = not draft.router.restore(draft.canary, draft.live)
        return draft.router.state(draft.canary, draft.live), released

    def _notes(self, draft: Draft) -> tuple[str, ...]:
        """Settings that work and are served differently from how they read."""
        notes = [*remarks(draft.canary), *scaler_notes(draft.canary, draft.object(scaler_ref(draft.canary)))]
        unkept = self._caches.trouble(CONTROLLER_REVISIONS, draft.canary.namespace) or foreign(draft.canary, draft.live)
        if unkept:
            notes.append(f"A primary that is lost could not be made again from what was promoted: {unkept}")
        made = (draft.object(service_ref(draft.canary, role)) for role in ServiceRole)
        notes += service_notes(draft.canary, [service for service in made if service is not None])
        if draft.router is not None:
            provider = provider_of(draft.canary, self._settings.mesh_provider)
            notes += unserved(provider, draft.router.capabilities, draft.canary.analysis)
        return tuple(notes)
