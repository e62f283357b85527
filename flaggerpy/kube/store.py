"""What is known of one kind of object: versions that never go back, tombstones, and whose news it was.

Pure memory: no I/O, no clock. `cache` decides what is followed and asks the server; `reflector` brings the news.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flaggerpy.kube.objects import JsonObject, metadata_of, resource_version_of, version_number
from flaggerpy.kube.resources import Ref, Resource, ref_of

REMEMBERED_WRITES = 8
REMEMBERED_TOMBSTONES = 256


@dataclass(frozen=True, slots=True)
class Present:
    """The object as it is known; the caller may change its copy."""

    obj: JsonObject


@dataclass(frozen=True, slots=True)
class Absent:
    """The server said that there is no such object."""


@dataclass(frozen=True, slots=True)
class NotFollowed:
    """Nothing is known; this never means missing."""


Lookup = Present | Absent | NotFollowed


@dataclass(frozen=True, slots=True)
class Entry:
    """The newest known state of one object; no data is a tombstone."""

    version: int
    data: bytes | None
    floor: int
    """The newest version that did not come from a write of ours."""
    own: tuple[int, ...] = ()
    """Versions above the floor that our own writes made: their echoes are no news."""
    exact: bool = True
    """False when the content was derived from an answer that shows only a part of the object."""

    @property
    def unconfirmed(self) -> bool:
        """Tell whether a write of ours has not come back yet, so that a stranger's may hide below it."""
        return bool(self.own)


class KindStore:
    """Objects of one kind, as compact bytes that are parsed at every look.

    Parsing costs some 30 µs an object and happens only in ticks; holding the parsed form would cost five to ten
    times the memory for objects that rest most of the time. With ``by_content`` a version that brings nothing new in
    what is kept is no news.
    """

    def __init__(
        self, resource: Resource, keeps: Callable[[Ref], bool], *, whole: bool, by_content: bool = False
    ) -> None:
        self.resource = resource
        self.whole = whole
        self._by_content = by_content
        self._keeps = keeps
        self._entries: dict[Ref, Entry] = {}
        self._tombstones: deque[Ref] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Ref]:
        return iter(tuple(self._entries))

    def entry(self, ref: Ref) -> Entry | None:
        """Return what is known, for comparing identities later."""
        return self._entries.get(ref)

    def lookup(self, ref: Ref) -> Lookup:
        """Return the newest known state."""
        entry = self._entries.get(ref)
        if entry is None:
            return NotFollowed()
        return Absent() if entry.data is None else Present(json.loads(entry.data))

    def objects(self, namespace: str | None = None) -> list[JsonObject]:
        """Return all objects that are known to be there, or those of one namespace."""
        there = ((ref, entry.data) for ref, entry in self._entries.items() if entry.data is not None)
        return [json.loads(data) for ref, data in there if namespace in {None, ref.namespace}]

    def drop(self, ref: Ref) -> None:
        """Know nothing of the object any more."""
        self._entries.pop(ref, None)

    def see(self, obj: JsonObject, *, relisted: bool = False) -> bool:
        """Take the state that a list or a watch shows; returns whether it is news."""
        ref = ref_of(self.resource, obj)
        if not self._keeps(ref):
            return False
        version = version_number(resource_version_of(obj))
        entry = self._entries.get(ref)
        if entry is None or version > entry.version:
            self._entries[ref] = Entry(version, _dump(obj), version)
            return not (self._by_content and entry is not None and _alike(entry.data, obj))
        return self._see_known(ref, entry, obj, version, relisted=relisted)

    def see_gone(self, obj: JsonObject) -> bool:
        """Take a deletion that a watch shows; returns whether it is news."""
        ref = ref_of(self.resource, obj)
        if not self._keeps(ref):
            return False
        version = version_number(resource_version_of(obj))
        entry = self._entries.get(ref)
        if entry is not None and version < entry.version:
            return False
        self._entries[ref] = Entry(version, None, version)
        if self.whole:
            self._limit_tombstones(ref)
        return entry is None or entry.data is not None

    def vanish(self, known: frozenset[Ref], seen: set[Ref], resource_version: str, namespace: str | None) -> list[Ref]:
        """Bury what a whole list no longer shows; returns what had been there.

        `known` are the references that were followed when the list began: of others the list may have dropped the
        object before anybody cared. What is newer than the list stays. References never heard of become absent.
        """
        gone: list[Ref] = []
        version = version_number(resource_version)
        candidates = (set(self._entries) if self.whole else set(known)) - seen
        for ref in candidates:
            entry = self._entries.get(ref)
            if namespace and ref.namespace != namespace:
                continue
            if entry is None:
                if self._keeps(ref):
                    self._entries[ref] = Entry(version, None, version)
            elif entry.version <= version:
                if entry.data is not None:
                    gone.append(ref)
                self._bury(ref, version)
        return gone

    def record(self, ref: Ref, obj: JsonObject | None, *, exact: bool = True) -> bool:
        """Take the answer to a write of ours (None: deleted); returns whether it is newer than what was known."""
        if not self._keeps(ref):
            return False
        entry = self._entries.get(ref)
        floor, own = (entry.floor, entry.own) if entry else (0, ())
        if obj is None:
            version = entry.version if entry else 0
            self._entries[ref] = Entry(version, None, floor, own)
            return entry is None or entry.data is not None
        version = version_number(resource_version_of(obj))
        if entry is not None and version <= entry.version:
            return False
        remembered = (*own, version)[-REMEMBERED_WRITES:]
        self._entries[ref] = Entry(version, _dump(obj), floor, remembered, exact)
        return True

    def fetched(self, ref: Ref, obj: JsonObject | None, before: Entry | None) -> bool:
        """Take the answer to a GET (None: not found); returns whether it changed what is known.

        "Not found" has no version: it counts only if nothing was learnt since the GET was sent.
        """
        if not self._keeps(ref):
            return False
        entry = self._entries.get(ref)
        if obj is not None:
            version = version_number(resource_version_of(obj))
            if entry is not None and (version < entry.version or (version == entry.version and entry.exact)):
                return False
            self._entries[ref] = Entry(version, _dump(obj), version)
            return True
        if entry is not before:
            return False
        version = entry.version if entry else 0
        self._entries[ref] = Entry(version, None, version)
        return entry is None or entry.data is not None

    def _see_known(self, ref: Ref, entry: Entry, obj: JsonObject, version: int, *, relisted: bool) -> bool:
        """Compare with an entry that is at least as new: is it an echo, or did somebody write below our write?"""
        if version == entry.version and entry.data is not None:
            data = entry.data if entry.exact else _dump(obj)
            self._entries[ref] = Entry(version, data, version)
            return data != entry.data or (relisted and entry.unconfirmed)
        return entry.floor < version < entry.version and version not in entry.own

    def _limit_tombstones(self, newest: Ref) -> None:
        """Of a kind kept whole nobody says when a dead object stops mattering: only the last ones are remembered."""
        self._tombstones.append(newest)
        if len(self._tombstones) > REMEMBERED_TOMBSTONES:
            oldest = self._tombstones.popleft()
            entry = self._entries.get(oldest)
            if entry is not None and entry.data is None:
                del self._entries[oldest]

    def _bury(self, ref: Ref, version: int) -> None:
        if self.whole:
            self._entries.pop(ref, None)
        else:
            self._entries[ref] = Entry(version, None, version)


def _alike(data: bytes | None, obj: JsonObject) -> bool:
    """Tell whether two states differ in nothing but their version."""
    if data is None:
        return False
    return _unversioned(json.loads(data)) == _unversioned(obj)


def _unversioned(obj: JsonObject) -> JsonObject:
    metadata = {key: value for key, value in metadata_of(obj).items() if key != "resourceVersion"}
    return {**obj, "metadata": metadata}


def _dump(obj: JsonObject) -> bytes:
    return json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode()
