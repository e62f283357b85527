"""Look at one canary and at what is around it, again and again: all the reading that `watch` and `status` do.

The Canary is watched, so that no state of it is missed; what is around it is read when the Canary changes and every
two seconds, and only what is shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import click

from flaggerpy.api.canary import Canary, parse_canary
from flaggerpy.cli.access import find_canary, sentence
from flaggerpy.cli.ending import needs_configs
from flaggerpy.cli.news import PASSING, News, news_of
from flaggerpy.cli.snapshot import Happening, Pods, Role, Snapshot, happenings, selector_text, troubles
from flaggerpy.clock import Clock, SystemClock
from flaggerpy.kube.client import Client, Only
from flaggerpy.kube.errors import Forbidden, KubeError, NotFound
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import EVENTS, PODS, Ref
from flaggerpy.rollout.workload import Workload
from flaggerpy.targets.base import Recipe
from flaggerpy.targets.configs import ConfigDigest, ConfigRef, config_refs, configs_seen, digest
from flaggerpy.targets.registry import target_for

T = TypeVar("T")

TICK_SECONDS = 1.0
"""Between two pictures of which only the ages differ."""
REFRESH_SECONDS = 2.0


class Looker:
    """Looks at one canary for as long as somebody wants to see it, with its events if they are wanted."""

    def __init__(
        self,
        client: Client,
        ref: Ref,
        *,
        events: bool,
        clock: Clock | None = None,
        tick: float = TICK_SECONDS,
    ) -> None:
        self._client = client
        self._ref = ref
        self._wants_events = events
        self._clock = clock or SystemClock()
        self._tick = tick
        self._last: Snapshot | None = None
        self._looked_at = 0.0

    async def once(self) -> Snapshot:
        """Look once.

        Raises:
            click.ClickException: there is no such canary.
            KubeError: something that is needed cannot be read.

        """
        return await self._look(await find_canary(self._client, self._ref))

    async def until(self, see: Callable[[Snapshot], T | None]) -> T:
        """Show every state of the canary, and the last one again as time passes, until an answer comes back.

        Raises as `once`; also when the canary is deleted meanwhile.
        """
        obj = await find_canary(self._client, self._ref)
        async with news_of(self._client, self._ref, self._clock) as news:
            trouble = ""
            while True:
                answer = see(await self._look_again(obj, trouble))
                if answer is not None:
                    return answer
                match await self._hear(news):
                    case KubeError() as error:
                        trouble = sentence(error)
                    case None:
                        pass
                    case changed:
                        obj, trouble = changed, ""

    async def _hear(self, news: News) -> JsonObject | KubeError | None:
        """Wait for news, at most until the picture is to be drawn again."""
        try:
            async with asyncio.timeout(self._tick):
                item = await news.get()
        except TimeoutError:
            return None
        if isinstance(item, NotFound) and not item.kind_is_missing:
            raise click.ClickException(f"canary {self._ref.namespace}/{self._ref.name} was deleted.") from item
        if isinstance(item, KubeError) and not isinstance(item, PASSING):
            raise item
        return item

    async def _look_again(self, obj: JsonObject, trouble: str) -> Snapshot:
        """Look anew where something may have changed; while the server is silent the last look has to do."""
        last, canary, now = self._last, parse_canary(obj), self._clock.monotonic()
        if last is not None and not trouble and canary == last.canary and now - self._looked_at < REFRESH_SECONDS:
            return replace(last, now=self._clock.now().astimezone())
        try:
            if last is None or not trouble:
                self._last, self._looked_at = await self._look(obj), now
                return self._last
        except PASSING as error:
            if last is None:
                raise
            trouble = sentence(error)
        return replace(last, now=self._clock.now().astimezone(), canary=canary, notes=(trouble,), stale=True)

    async def _look(self, obj: JsonObject) -> Snapshot:
        canary = parse_canary(obj)
        notes: list[str] = []
        kind = target_for(canary)
        target, primary, events = await asyncio.gather(
            self._find(kind.ref(canary)),
            self._find(kind.primary_ref(canary)),
            self._events(canary, notes),
        )
        configs = await self._configs(canary, target, notes) if target is not None and kind.copied else {}
        workloads: list[tuple[Role, JsonObject, Workload]] = []
        if target is not None:
            workloads.append(("canary", target, kind.state(target)))
        recipe = Recipe(tracked=configs)
        state = kind.primary_state(canary, primary, recipe) if primary is not None else None
        if primary is not None and state is not None:
            workloads.append(("primary", primary, state))
        pods = await asyncio.gather(*(self._pods(*row, notes) for row in workloads))
        return Snapshot(
            now=self._clock.now().astimezone(),
            canary=canary,
            pods=tuple(pods),
            configs=configs,
            events=events,
            notes=tuple(dict.fromkeys(notes)),
        )

    async def _find(self, ref: Ref) -> JsonObject | None:
        try:
            return await self._client.get(ref)
        except NotFound:
            return None

    async def _pods(self, role: Role, obj: JsonObject, workload: Workload, notes: list[str]) -> Pods:
        """Read the pods of a workload that has some or wants some."""
        found: list[JsonObject] = []
        selector = selector_text(obj)
        if selector and (workload.replicas or workload.current_replicas):
            try:
                found, _ = await self._client.list(PODS, self._ref.namespace, only=Only(labels=selector))
            except Forbidden as error:
                notes.append(sentence(error))
        return Pods(role, workload.name, workload, troubles(obj, found))

    async def _events(self, canary: Canary, notes: list[str]) -> tuple[Happening, ...]:
        if not self._wants_events:
            return ()
        about = Only(fields=f"involvedObject.uid={canary.metadata.uid}")
        try:
            return happenings((await self._client.list(EVENTS, self._ref.namespace, only=about))[0])
        except Forbidden as error:
            notes.append(sentence(error))
            return ()

    async def _configs(self, canary: Canary, target: JsonObject, notes: list[str]) -> dict[str, str]:
        """Read the checksums of the target's configs, if it matters whether they changed.

        A controller that tracks no configs records none: then there is nothing to compare.
        """
        applied = canary.status.rollout.applied
        if applied is None or not applied.configs or not needs_configs(canary):
            return {}
        refs = config_refs(_template(target))
        digests = await asyncio.gather(*(self._digest(ref, applied.configs, notes) for ref in refs))
        seen, _ = configs_seen(refs, dict(zip(refs, digests, strict=True)), self._ref.namespace)
        return dict(seen.ours)

    async def _digest(self, config: ConfigRef, recorded: dict[str, str], notes: list[str]) -> ConfigDigest | None:
        """Read a config; one that may not be read is taken for unchanged, and that is said."""
        try:
            return digest(await self._client.get(config.ref(self._ref.namespace)))
        except NotFound:
            return None
        except Forbidden as error:
            notes.append(f"{sentence(error)} (taken for unchanged)")
            known = recorded.get(config.key, "")
            return ConfigDigest(tracked=bool(known), ours=known, flagger=known)


def _template(workload: JsonObject) -> dict[str, Any]:
    template: dict[str, Any] = (workload.get("spec") or {}).get("template") or {}
    return template
