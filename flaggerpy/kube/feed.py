"""One reflector's ear: turns what it hears into knowledge in a store and into wake-ups.

Holds no knowledge of its own but whether the kind was listed, since when, and whether it is in trouble.
"""

from __future__ import annotations

import asyncio
import math
from typing import Protocol

from flaggerpy.clock import Clock
from flaggerpy.kube.keeping import kept_part
from flaggerpy.kube.objects import JsonObject, resource_version_of, version_number
from flaggerpy.kube.reflector import Subject
from flaggerpy.kube.resources import Ref, ref_of
from flaggerpy.kube.store import KindStore


class Interest(Protocol):
    """What a feed asks of the caches it belongs to."""

    def keeps(self, ref: Ref) -> bool:
        """Tell whether anybody wants to know of the object."""
        ...

    def followed(self, subject: Subject) -> frozenset[Ref]:
        """Return the references that a feed is responsible for."""
        ...

    def tell(self, ref: Ref, version: int = 0) -> None:
        """Call back about news of an object; the version is given when one state of it is the news."""
        ...


class Feed:
    """What is heard of one kind in one namespace or everywhere; a `reflector.Sink`."""

    def __init__(self, subject: Subject, store: KindStore, interest: Interest, clock: Clock) -> None:
        self.subject = subject
        self.listed = False
        self.current_since = -math.inf
        """When the last list that was read to its end was begun, by the monotonic clock: what is known is no older."""
        self.trouble: str | None = None
        self._clock = clock
        self._list_began = -math.inf
        self._store = store
        self._interest = interest
        self._arrived = asyncio.Event()

    def new_interest(self) -> None:
        """Take it that somebody follows one more object."""
        self._arrived.set()

    async def wanted(self) -> None:
        """Return when anybody is interested: kinds that nobody refers to are not even asked for."""
        while not self._store.whole and not self._interest.followed(self.subject):
            self._arrived.clear()
            await self._arrived.wait()

    def list_begins(self) -> frozenset[Ref]:
        """Return what is followed at this moment."""
        self._list_began = self._clock.monotonic()
        return self._interest.followed(self.subject)

    def shown(self, obj: JsonObject) -> None:
        """Take an object that a list shows."""
        self._see(obj, relisted=True)

    def list_ended(self, known: frozenset[Ref], seen: set[Ref], resource_version: str) -> None:
        """Bury what the list did not show; a kind that was in trouble is healed, and its followers hear of it."""
        for ref in self._store.vanish(known, seen, resource_version, self.subject.namespace):
            self._interest.tell(ref)
        self.listed, self.current_since = True, self._list_began
        if self.trouble:
            self.trouble = None
            for ref in self._interest.followed(self.subject):
                self._interest.tell(ref)

    def changed(self, obj: JsonObject) -> None:
        """Take an object that was added or modified."""
        self._see(obj, relisted=False)

    def deleted(self, obj: JsonObject) -> None:
        """Take the last state of an object that is gone."""
        if self._store.see_gone(obj):
            self._interest.tell(ref_of(self.subject.resource, obj), version_number(resource_version_of(obj)))

    def troubled(self, sentence: str) -> None:
        """Forget what was known, for nothing keeps it true; who depends on it hears of the trouble once."""
        was, self.trouble, self.listed = self.trouble, sentence, False
        known = [ref for ref in self._store if self.subject.namespace in {None, ref.namespace}]
        for ref in known:
            self._store.drop(ref)
        if not was:
            for ref in {*known, *self._interest.followed(self.subject)}:
                self._interest.tell(ref)

    def _see(self, obj: JsonObject, *, relisted: bool) -> None:
        ref = ref_of(self.subject.resource, obj)
        if not self._interest.keeps(ref):
            return
        if self._store.see(kept_part(self.subject.resource, obj), relisted=relisted):
            self._interest.tell(ref, version_number(resource_version_of(obj)))
