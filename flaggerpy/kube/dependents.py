"""Objects that are found by whose they are and not by name: followed in a namespace only while somebody wants them.

Of each object only a digest is kept, of all objects of the kind in the namespace, so that an owner that is wanted later
finds its own at once. What is in a digest, and when it is news, is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, NoReturn, TypeVar

import structlog

from flaggerpy.clock import Clock, SystemClock
from flaggerpy.kube.cache import OnChange
from flaggerpy.kube.client import Client
from flaggerpy.kube.objects import JsonObject, name_of
from flaggerpy.kube.reflector import Pace, Reflector, Subject
from flaggerpy.kube.resources import Ref, Resource
from flaggerpy.kube.workqueue import Key

log = structlog.get_logger(__name__)

PATIENCE = 1.0
"""Seconds after the first wish in a namespace before anything is asked: who waits for pods has just asked for them, and
where many do at once, the requests that bring pods about go first."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Digest(Generic[T]):
    """How objects of a kind are read.

    Attributes:
        of: an object's owner and what is kept of it; None for an object that counts as gone.
        is_news: whether the owner should hear of a change; None stands for no object.

    """

    of: Callable[[JsonObject], tuple[Ref, T] | None]
    is_news: Callable[[T | None, T | None], bool]


class Dependents(Generic[T]):
    """What is known of the dependents of each owner. `run` keeps it current."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        digest: Digest[T],
        *,
        clock: Clock | None = None,
        pace: Pace | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._client = client
        self._resource = resource
        self._digest = digest
        self._clock = clock or SystemClock()
        self._pace = pace
        self._rng = rng
        self._wanted: dict[Key, frozenset[Ref]] = {}
        self._places: dict[str, _Place[T]] = {}
        self._callbacks: list[OnChange] = []
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Keep what is wanted current until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for place in self._places.values():
                    place.task = group.create_task(place.reflector.run())
                await asyncio.Event().wait()
            finally:
                self._group = None

    def on_change(self, callback: OnChange) -> None:
        """Call back with the owner for every piece of news of its dependents."""
        self._callbacks.append(callback)

    # Who wants what

    def follow(self, key: Key, owners: Iterable[Ref]) -> None:
        """Replace the set of owners whose dependents a key wants to know.

        The first wish in a namespace begins a list and a watch, and the last that is taken back ends them.
        """
        wanted = frozenset(owners)
        if wanted == self._wanted.get(key, frozenset()):
            return
        self._wanted[key] = wanted
        if not wanted:
            del self._wanted[key]
        self._begin_and_end()

    def clear(self) -> None:
        """Follow nothing for anybody any more."""
        self._wanted.clear()
        self._begin_and_end()

    # Looking

    def look(self, owner: Ref) -> tuple[T, ...] | None:
        """Return an owner's dependents in the order of their names, None while they are not known."""
        place = self._places.get(owner.namespace)
        return place.sink.of(owner) if place is not None else None

    def trouble(self, namespace: str) -> str:
        """Return a sentence if the kind cannot be read in a namespace where it is wanted."""
        place = self._places.get(namespace)
        return place.sink.trouble if place is not None else ""

    def ages(self) -> dict[Subject, float]:
        """Return for each watch that anybody needs the seconds since the server last said anything in it."""
        reflectors = [place.reflector for place in self._places.values()]
        return {reflector.subject: reflector.age_seconds() for reflector in reflectors if not reflector.resting}

    # Inside

    def _begin_and_end(self) -> None:
        wanted = {owner.namespace for owners in self._wanted.values() for owner in owners}
        for namespace in self._places.keys() - wanted:
            task = self._places.pop(namespace).task
            if task is not None:
                task.cancel()
        for namespace in wanted - self._places.keys():
            self._places[namespace] = self._begin(Subject(self._resource, namespace))

    def _begin(self, subject: Subject) -> _Place[T]:
        sink = _Sink(self._digest, self._tell, lambda: self._tell_all(subject.namespace), self._clock)
        reflector = Reflector(self._client, subject, sink, self._clock, pace=self._pace, rng=self._rng)
        place = _Place(sink, reflector)
        if self._group is not None:
            place.task = self._group.create_task(reflector.run())
        return place

    def _tell(self, owner: Ref) -> None:
        if any(owner in owners for owners in self._wanted.values()):
            for callback in self._callbacks:
                callback(owner)

    def _tell_all(self, namespace: str | None) -> None:
        for owner in {owner for owners in self._wanted.values() for owner in owners if owner.namespace == namespace}:
            self._tell(owner)


class _Sink(Generic[T]):
    """What is known in one namespace; a `reflector.Sink`."""

    def __init__(
        self, digest: Digest[T], tell: Callable[[Ref], None], tell_all: Callable[[], None], clock: Clock
    ) -> None:
        self.trouble = ""
        self._clock = clock
        self._digest = digest
        self._tell = tell
        self._tell_all = tell_all
        self._listed = False
        self._known: dict[str, tuple[Ref, T]] = {}

    def of(self, owner: Ref) -> tuple[T, ...] | None:
        """Return an owner's dependents in the order of their names, None while they are not known."""
        if not self._listed:
            return None
        return tuple(kept for _, (whose, kept) in sorted(self._known.items()) if whose == owner)

    async def wanted(self) -> None:
        """Return after a moment: what nobody wants has no reflector, and what is wanted is not urgent."""
        await self._clock.sleep(PATIENCE)

    def list_begins(self) -> frozenset[Ref]:
        """Return nothing: all that a list does not show is gone."""
        return frozenset()

    def shown(self, obj: JsonObject) -> None:
        """Take an object that a list shows."""
        self.changed(obj)

    def list_ended(self, known: frozenset[Ref], seen: set[Ref], resource_version: str) -> None:
        """Forget what the list did not show; who waits for the first one hears of it."""
        del known, resource_version
        for name in self._known.keys() - {ref.name for ref in seen}:
            self._take(name, None)
        if not self._listed:
            self._listed, self.trouble = True, ""
            self._tell_all()

    def changed(self, obj: JsonObject) -> None:
        """Take an object that was added or modified."""
        self._take(name_of(obj), self._digest.of(obj))

    def deleted(self, obj: JsonObject) -> None:
        """Take the last state of an object that is gone."""
        self._take(name_of(obj), None)

    def troubled(self, sentence: str) -> None:
        """Forget what was known, for nothing keeps it true; who depends on it hears of the trouble once."""
        was, self.trouble, self._listed = self.trouble, sentence, False
        self._known.clear()
        if not was:
            log.warning(sentence)
            self._tell_all()

    def _take(self, name: str, found: tuple[Ref, T] | None) -> None:
        before = self._known.pop(name, None)
        if found is not None:
            self._known[name] = found
        owner = found or before
        if owner is not None and self._digest.is_news(before and before[1], found and found[1]):
            self._tell(owner[0])


@dataclass(slots=True)
class _Place(Generic[T]):
    """One namespace while it is followed."""

    sink: _Sink[T]
    reflector: Reflector
    task: asyncio.Task[NoReturn] | None = None
