"""What is known of the objects that canaries depend on: Present, Absent or NotFollowed, never a guess.

Decides what is followed and when the server is asked; how versions are compared is in `store`, how news arrives in
`reflector`. Own kinds are kept whole, of other kinds only the objects that some key refers to.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field

from flaggerpy.clock import Clock, SystemClock
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import Forbidden, NotFound
from flaggerpy.kube.feed import Feed
from flaggerpy.kube.keeping import METADATA_ONLY, WITHOUT_STATUS, kept_part
from flaggerpy.kube.objects import (
    JsonObject,
    generation_of,
    resource_version_of,
    version_number,
)
from flaggerpy.kube.reflector import Pace, Reflector, Subject, trouble_sentence
from flaggerpy.kube.resources import (
    ALERT_PROVIDERS,
    CANARIES,
    METRIC_TEMPLATES,
    Ref,
    Resource,
)
from flaggerpy.kube.scope import EVERYWHERE, Scope
from flaggerpy.kube.store import Absent, KindStore, Lookup, NotFollowed, Present
from flaggerpy.kube.workqueue import Key

__all__ = ["Absent", "Caches", "Lookup", "NotFollowed", "OnChange", "Present", "Scope"]

OWN_KINDS = (CANARIES, METRIC_TEMPLATES, ALERT_PROVIDERS)
PARALLEL_GETS = 16

OnChange = Callable[[Ref], None]


@dataclass(slots=True)
class _Writing:
    """News held back during writes of ours: the versions that were heard of, and those that we made."""

    held: set[int] = field(default_factory=set)
    own: set[int] = field(default_factory=set)


class Caches:
    """All stores, who depends on what, and the reflectors that feed them. `run` keeps them fed."""

    def __init__(
        self,
        client: Client,
        *,
        own: tuple[Resource, ...] = OWN_KINDS,
        scope: Scope = EVERYWHERE,
        clock: Clock | None = None,
        pace: Pace | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._client = client
        self._needed = self._own = own
        self._scope = scope
        self._clock = clock or SystemClock()
        self._pace = pace or Pace()
        self._rng = rng
        self._stores: dict[Resource, KindStore] = {}
        self._owners: dict[Ref, set[Key]] = {}
        self._refs: dict[Key, frozenset[Ref]] = {}
        self._callbacks: list[OnChange] = []
        self._writing: dict[Ref, _Writing] = {}
        self._feeds: dict[tuple[Resource, str | None], Feed] = {}
        self._reflectors: dict[tuple[Resource, str | None], Reflector] = {}
        self._group: asyncio.TaskGroup | None = None
        self._gets = asyncio.Semaphore(PARALLEL_GETS)
        for resource in self._own:
            for namespace in scope.at_start(resource):
                self._feed(resource, namespace)

    def keep_whole(self, resource: Resource) -> None:
        """Keep all objects of another kind, which are found by what they say; it need not be readable."""
        self._own = (*self._own, resource)
        for namespace in self._scope.at_start(resource):
            self._feed(resource, namespace)

    # Running

    async def run(self) -> None:
        """Keep the caches fed until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for reflector in self._reflectors.values():
                    group.create_task(reflector.run())
                await asyncio.Event().wait()
            finally:
                self._group = None

    def synced(self) -> bool:
        """Tell whether our own kinds have been listed whole, as readiness demands."""
        return all(feed.listed for (resource, _), feed in self._feeds.items() if resource in self._needed)

    def ages(self) -> dict[Subject, float]:
        """Return for each watch that anybody needs the seconds since the server last said anything in it."""
        return {one.subject: one.age_seconds() for one in self._reflectors.values() if not one.resting}

    def trouble(self, resource: Resource, namespace: str | None = None) -> str | None:
        """Return a sentence if the kind cannot be read (in the namespace, when one is given), else None."""
        for (kind, where), feed in self._feeds.items():
            if kind == resource and feed.trouble and (where is None or namespace in {None, where}):
                return feed.trouble
        return None

    def on_change(self, callback: OnChange) -> None:
        """Call back for every piece of news of an own kind, and of objects that somebody follows."""
        self._callbacks.append(callback)

    # Who depends on what

    def follow(self, key: Key, refs: Iterable[Ref]) -> None:
        """Replace the set of objects that a key depends on; reflectors start with the first reference."""
        wanted = frozenset(refs)
        before = self._refs.get(key, frozenset())
        if wanted:
            self._refs[key] = wanted
        else:
            self._refs.pop(key, None)
        for ref in wanted - before:
            self._owners.setdefault(ref, set()).add(key)
            self._feed(ref.resource, self._scope.of(ref)).new_interest()
        for ref in before - wanted:
            self._owners[ref].discard(key)
            if not self._owners[ref]:
                del self._owners[ref]
                if ref.resource not in self._own:
                    self._store(ref.resource).drop(ref)

    def forget(self, key: Key) -> None:
        """Follow nothing for the key any more."""
        self.follow(key, ())

    def owners(self, ref: Ref) -> frozenset[Key]:
        """Return the keys that depend on the object."""
        return frozenset(self._owners.get(ref, ()))

    # Looking

    def get(self, ref: Ref) -> Lookup:
        """Return what is known of the object, without asking the server."""
        found = self._store(ref.resource).lookup(ref)
        if isinstance(found, NotFollowed) and self._is_known_whole(ref):
            return Absent()
        return found

    def all(self, resource: Resource) -> list[JsonObject]:
        """Return all objects of an own kind."""
        if resource not in self._own:
            raise ValueError(f"{resource.title} is not kept whole")
        return self._store(resource).objects()

    def names(self, resource: Resource, namespace: str) -> set[str]:
        """Return the names of objects of an own kind in a namespace, without reading one; some may be gone."""
        return {ref.name for ref in self._store(resource) if ref.namespace == namespace}

    def in_namespace(self, resource: Resource, namespace: str) -> list[JsonObject] | None:
        """Return the objects of a kind that is kept whole in one namespace, None while not all of them are known."""
        return self._store(resource).objects(namespace) if self._is_known_whole(Ref(resource, namespace, "")) else None

    # Asking the server

    async def ensure(self, refs: Iterable[Ref]) -> None:
        """Ask the server once for each object of which nothing is known; they must be followed first.

        An object of a kind that is in trouble stays NotFollowed: ask `trouble` for the sentence.
        """
        unknown = [ref for ref in dict.fromkeys(refs) if isinstance(self.get(ref), NotFollowed)]
        await self._fetch_all(unknown)

    async def refresh(self, refs: Iterable[Ref], *, since: float = float("inf")) -> None:
        """Ask the server for the objects, known or not, unless their kind was listed after that monotonic time."""
        feeds = {ref: self._feed(ref.resource, self._scope.of(ref)) for ref in refs}
        await self._fetch_all([ref for ref, feed in feeds.items() if feed.current_since <= since])

    @contextmanager
    def writing(self, ref: Ref) -> Iterator[None]:
        """Hold back the news of an object while a write of ours is on its way and until it is recorded.

        The watch often shows our write before its answer is here; only afterwards is it known whose news it was.
        """
        outer = self._writing.get(ref)
        mine = self._writing[ref] = outer or _Writing()
        try:
            yield
        finally:
            if outer is None:
                del self._writing[ref]
                if mine.held - mine.own or (mine.held and self._is_shared(ref)):
                    self.tell(ref)

    def record(self, ref: Ref, obj: JsonObject | None) -> None:
        """Take the answer to a write of ours at once (None: deleted), so that the next look sees it."""
        self._claim(ref, obj)
        kept = None if obj is None else kept_part(ref.resource, obj)
        if self._store(ref.resource).record(ref, kept):
            self._tell_others(ref)

    def record_scale(self, ref: Ref, scale: JsonObject) -> None:
        """Take the answer to a write of the scale subresource, which shows only the replicas.

        The generation moves by one exactly when the replicas change, so that a rollout is not taken for finished
        on the strength of a status from before.
        """
        known = self.get(ref)
        self._claim(ref, scale)
        if not isinstance(known, Present):
            return
        obj, version = known.obj, resource_version_of(scale)
        if version_number(version) <= version_number(resource_version_of(obj)):
            return
        spec = dict(obj.get("spec") or {})
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        moved = spec.get("replicas", 1) != replicas
        metadata = {**obj["metadata"], "resourceVersion": version, "generation": generation_of(obj) + moved}
        derived = {**obj, "metadata": metadata, "spec": {**spec, "replicas": replicas}}
        if self._store(ref.resource).record(ref, derived, exact=False):
            self._tell_others(ref)

    # Inside

    async def _fetch_all(self, refs: list[Ref]) -> None:
        for ref in refs:
            if not self.keeps(ref):
                raise ValueError(f"{ref} must be followed before it is asked for")
        outcomes = await asyncio.gather(*map(self._fetch, refs), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _fetch(self, ref: Ref) -> None:
        feed = self._feed(ref.resource, self._scope.of(ref))
        if feed.trouble:
            return
        store = self._store(ref.resource)
        before = store.entry(ref)
        obj: JsonObject | None = None
        try:
            async with self._gets:
                fetched = await self._client.get(ref, metadata_only=ref.resource in METADATA_ONLY)
            obj = kept_part(ref.resource, fetched)
        except (NotFound, Forbidden) as error:
            if isinstance(error, Forbidden) or error.kind_is_missing:
                if feed.listed:  # the reflector is well, so the trouble is not with the whole kind
                    raise
                feed.troubled(trouble_sentence(feed.subject, error))
                return
        if store.fetched(ref, obj, before):
            self._tell_others(ref)

    def _store(self, resource: Resource) -> KindStore:
        store = self._stores.get(resource)
        if store is None:
            store = self._stores[resource] = KindStore(
                resource, self.keeps, whole=resource in self._own, by_content=resource in WITHOUT_STATUS
            )
        return store

    def _is_known_whole(self, ref: Ref) -> bool:
        feed = self._feeds.get((ref.resource, self._scope.of(ref)))
        return ref.resource in self._own and feed is not None and feed.listed and not feed.trouble

    def _feed(self, resource: Resource, namespace: str | None) -> Feed:
        feed = self._feeds.get((resource, namespace))
        if feed is None:
            subject = Subject(resource, namespace, metadata_only=resource in METADATA_ONLY)
            feed = self._feeds[resource, namespace] = Feed(subject, self._store(resource), self, self._clock)
            reflector = Reflector(self._client, subject, feed, self._clock, pace=self._pace, rng=self._rng)
            self._reflectors[resource, namespace] = reflector
            if self._group is not None:
                # It outlives the tick that first needed it, and its log lines are not about that canary.
                self._group.create_task(reflector.run(), context=Context())
        return feed

    # What feeds ask

    def keeps(self, ref: Ref) -> bool:
        """Tell whether anybody wants to know of the object."""
        return ref in self._owners or ref.resource in self._own

    def followed(self, subject: Subject) -> frozenset[Ref]:
        """Return the references that a feed is responsible for."""
        return frozenset(
            ref for ref in self._owners if ref.resource == subject.resource and self._scope.of(ref) == subject.namespace
        )

    def tell(self, ref: Ref, version: int = 0) -> None:
        """Call back about news of an object that anybody wants to know of."""
        if ref in self._writing:
            self._writing[ref].held.add(version)
        elif self.keeps(ref):
            for callback in self._callbacks:
                callback(ref)

    def _claim(self, ref: Ref, obj: JsonObject | None) -> None:
        """Note that a version is our own doing."""
        writing = self._writing.get(ref)
        if writing is None:
            return
        if obj is None:
            writing.own |= writing.held  # whatever was heard, it ended with our deletion
        else:
            writing.own.add(version_number(resource_version_of(obj)))

    def _tell_others(self, ref: Ref) -> None:
        """Tell about what a key learnt by itself: it needs no wake-up, others who share the object do."""
        if self._is_shared(ref):
            self.tell(ref)

    def _is_shared(self, ref: Ref) -> bool:
        return len(self._owners.get(ref, ())) > 1
