"""One tick of one canary: observe, decide, check, execute, announce."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import RELEASE, REQUEST
from flaggerpy.clock import Clock
from flaggerpy.controller.announce import Announcer, after
from flaggerpy.controller.check import Checker
from flaggerpy.controller.errors import Outdated
from flaggerpy.controller.execute import Executor
from flaggerpy.controller.hooks import longest
from flaggerpy.controller.observe import Observer, Unreadable
from flaggerpy.controller.series import CanarySeries
from flaggerpy.controller.sleepers import Sleepers
from flaggerpy.controller.sources import checksum_of
from flaggerpy.controller.world import World
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.controller import Result
from flaggerpy.kube.errors import Forbidden, Invalid, KubeError
from flaggerpy.kube.objects import generation_of, is_deleting
from flaggerpy.kube.store import Present
from flaggerpy.kube.workqueue import Key
from flaggerpy.rollout.checks import Answer, Check
from flaggerpy.rollout.decide import decide
from flaggerpy.rollout.decision import Decision, NeedChecks, Plan
from flaggerpy.rollout.errors import UserError

log = structlog.get_logger()

REFUSED_AGAIN_IN = timedelta(seconds=10)
"""When a write is tried again that the API server refused; it may only have started and not know the roles yet."""

MOST_ROUNDS = 16
"""Rounds of checks in one tick; more than a handful would be a bug of the core."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """The parts that a tick goes through."""

    observer: Observer
    checker: Checker
    executor: Executor
    announcer: Announcer


class Reconciler:
    """Reconciles canaries, one key at a time."""

    def __init__(self, rooms: Rooms, caches: Caches, series: CanarySeries, clock: Clock) -> None:
        self._rooms = rooms
        self._caches = caches
        self._series = series
        self._clock = clock
        self._sleepers = Sleepers()
        self._acted: set[Key] = set()
        self._leads_since = math.inf
        self._hooks: dict[Key, float] = {}

    @property
    def patience(self) -> float:
        """Seconds that the hooks of a canary that is worked on may take, where that is most."""
        return max(self._hooks.values(), default=0.0)

    def leadership_began(self) -> None:
        """Trust no cache for the first write of any canary: another process may have written meanwhile."""
        self._leads_since = self._clock.monotonic()
        self._acted.clear()
        self._rooms.observer.leadership_began()

    def leadership_ended(self) -> None:
        """Show no canaries any more: from now on another process knows how they are."""
        self._series.forget_all()

    async def __call__(self, key: Key) -> Result:
        """Run one tick and say when to look again.

        Raises:
            KubeError: the tick ended early; it is worth another try.

        """
        began = self._clock.monotonic()
        # For every line of this task, which works on this canary only, those of libraries and of the workers included.
        structlog.contextvars.bind_contextvars(canary=f"{key[1]}.{key[0]}")
        try:
            world = await self._observe(key)
        except Unreadable as error:
            log.warning("canary cannot be read", reason=str(error))
            if is_deleting(error.raw):
                await self._rooms.executor.let_go(error.raw)
            return Result()
        if world is None:
            self._gone(key)
            return Result()
        self._series.show(world.canary)
        self._hooks[key] = longest(world.canary.analysis.webhooks)
        try:
            plan = await self._carry_out(world)
        finally:
            del self._hooks[key]
        self._series.ticked(world.canary, plan, seconds=self._clock.monotonic() - began, now=self._clock.now())
        if not isinstance(self._caches.get(world.ref), Present):
            # We let it go, or it went meanwhile, and no news will come of it: one more look forgets it.
            return Result(self._clock.now())
        self._series.show(after(world.canary, plan.status))
        return Result(plan.wake_at)

    async def _observe(self, key: Key) -> World | None:
        world = await self._rooms.observer.observe(key, self._rooms.announcer.made(key))
        if world is None:
            return None
        alerts = self._rooms.announcer.alerts_seen(world.canary)
        return self._sleepers.observe(replace(world, seen=replace(world.seen, alerts=alerts)))

    async def _carry_out(self, world: World) -> Plan:
        if world.canary.key not in self._acted and _wants_something(decide(world.seen, self._clock.now())):
            # Before the first question or write, not after: hooks would be called for a world that is no more.
            # What was listed since we began to lead shows the last write of who led before.
            fresh = await self._read_again(world, since=self._leads_since)
            if fresh is None:
                return Plan()
            world = fresh
            self._acted.add(world.canary.key)
        world, plan = await self._decide(world)
        try:
            await self._rooms.executor.run(plan, world)
        except (Invalid, Forbidden) as error:
            refusal = f"The API server refused a change for canary {world.canary.name}: {error.message}"
            plan = await self._refused(world, refusal, error)
        except UserError as error:
            plan = await self._refused(world, str(error), Outdated(str(error)))
        self._rooms.announcer.plan(world.raw, after(world.canary, plan.status), plan)
        return plan

    async def _read_again(self, world: World, since: float = math.inf) -> World | None:
        """Read from the server itself what traffic or pods are moved on the strength of, unless listed since a time."""
        await self._caches.refresh([world.ref, *world.decisive], since=since)
        return world if self._is_as_seen(world) else await self._observe(world.canary.key)

    def _is_as_seen(self, world: World) -> bool:
        """Tell whether what was just read has not changed since it was observed, so that it says nothing else."""
        observed = {world.ref: world.raw, **{ref: world.live[ref] for ref in world.decisive}}
        return all(self._caches.get(ref) == Present(obj) for ref, obj in observed.items())

    async def _decide(self, world: World) -> tuple[World, Plan]:
        """Ask the core, run the checks it needs, and ask again.

        Raises:
            Outdated: the world changed while checks ran, so that their answers are about something else.

        """
        answers: Mapping[Check, Answer] = {}
        for _ in range(MOST_ROUNDS):
            seen = replace(world.seen, answers=answers)
            decision = decide(seen, self._clock.now())
            if not isinstance(decision, NeedChecks):
                return replace(world, seen=seen), decision
            answers = {**answers, **await self._run_checks(decision.checks, world.canary)}
            self._still_so(world)
        raise RuntimeError(f"the core asked for checks {MOST_ROUNDS} times in one tick")

    async def _run_checks(self, checks: tuple[Check, ...], canary: Canary) -> dict[Check, Answer]:
        return await self._rooms.checker.run(canary, checks, checksum_of(canary))

    def _still_so(self, world: World) -> None:
        """Refuse stale answers: canary and target must be as they were before the checks."""
        found = self._caches.get(world.ref)
        if not isinstance(found, Present) or _wish(found.obj) != _wish(world.raw):
            raise Outdated("the Canary changed while its checks ran")
        if world.target_kind is None or world.target is None:
            return
        target = self._caches.get(world.target_kind.ref(world.canary))
        if not isinstance(target, Present) or generation_of(target.obj) != generation_of(world.target):
            raise Outdated("the target changed while its checks ran")

    async def _refused(self, world: World, sentence: str, error: KubeError) -> Plan:
        """Say why a change cannot be made; nothing further is tried until something changes or time passes."""
        problems = (*world.seen.problems, sentence)
        seen = replace(world.seen, problems=problems, routable=False, returnable=False)
        decision = decide(seen, self._clock.now())
        if isinstance(decision, NeedChecks) or decision.actions:
            # A rollback or a release goes on whatever a user has to mend; its status must not say what did not happen.
            log.warning(sentence)
            raise error
        told = decision
        if told.status is not None:
            fresh = await self._read_again(world)
            if fresh is None:
                return Plan()
            await self._rooms.executor.run(told, replace(fresh, seen=seen))
        return replace(told, wake_at=self._clock.now() + REFUSED_AGAIN_IN)

    def _gone(self, key: Key) -> None:
        self._acted.discard(key)
        self._sleepers.forget(key)
        self._rooms.announcer.forget(key)
        self._series.forget(key)


def _wants_something(decision: Decision) -> bool:
    return isinstance(decision, NeedChecks) or bool(decision.actions) or decision.status is not None


def _wish(raw: Mapping[str, object]) -> tuple[object, ...]:
    """What a user wants of a Canary: what moves no generation, like deletion and requests, counts too."""
    metadata = raw.get("metadata")
    if not isinstance(metadata, dict):
        return ()
    annotations = metadata.get("annotations") or {}
    return (
        metadata.get("uid"),
        metadata.get("generation"),
        metadata.get("deletionTimestamp"),
        annotations.get(RELEASE),
        annotations.get(REQUEST),
    )
