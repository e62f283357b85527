"""The objects of the fake API server: versions, conflicts, patches, finalizers, and a history to watch.

Only what a controller can notice is imitated; there is no validation and no defaulting.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import Ref, Resource, ref_of

WITHOUT_GENERATION = frozenset({"ConfigMap", "Secret", "Event", "Namespace", "Service", "Lease"})


class Refused(Exception):
    """The answer is a Status with this code and reason."""

    def __init__(self, code: int, reason: str, message: str, ref: Ref | None = None) -> None:
        super().__init__(message)
        details = {"name": ref.name, "kind": ref.resource.plural} if ref else {}
        self.code = code
        self.body: JsonObject = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": reason,
            "message": message,
            "code": code,
            "details": details,
        }


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the history."""

    version: int
    type: str
    resource: Resource
    obj: JsonObject


Update = Callable[[JsonObject], JsonObject]


class FakeStore:
    """All objects and how they came to be."""

    def __init__(self) -> None:
        self.version = 1009
        self.objects: dict[Ref, JsonObject] = {}
        self.history: list[Change] = []
        self.oldest = self.version
        self.listeners: list[Callable[[Change], None]] = []
        self._uids = count(1)
        self._applied: dict[tuple[Ref, str], JsonObject] = {}

    # As a stranger changes things

    def put(self, resource: Resource, obj: JsonObject) -> JsonObject:
        """Create the object, or replace its content whatever its version."""
        ref = ref_of(resource, obj)
        if ref not in self.objects:
            return self.create(resource, obj)
        stripped = copy.deepcopy(obj)
        stripped["metadata"].pop("resourceVersion", None)
        return self.update(ref, lambda _: stripped, with_status=True)

    def change(self, ref: Ref, update: Callable[[JsonObject], None]) -> JsonObject:
        """Let a function change the object in place, status included."""

        def changed(obj: JsonObject) -> JsonObject:
            update(obj)
            obj["metadata"].pop("resourceVersion", None)
            return obj

        return self.update(ref, changed, with_status=True)

    def remove(self, ref: Ref) -> None:
        """Delete the object at once, whatever its finalizers."""
        self._remove(ref)

    def compact(self) -> None:
        """Forget the history: whoever wants to go on from before must list again."""
        self.oldest = self.version
        self.history.clear()

    # What the API does

    def get(self, ref: Ref) -> JsonObject:
        if ref not in self.objects:
            raise Refused(404, "NotFound", f'{ref.resource.title} "{ref.name}" not found', ref)
        return copy.deepcopy(self.objects[ref])

    def create(self, resource: Resource, obj: JsonObject) -> JsonObject:
        ref = ref_of(resource, obj)
        if ref in self.objects:
            raise Refused(409, "AlreadyExists", f'{resource.title} "{ref.name}" already exists', ref)
        stored = copy.deepcopy(obj) | {"apiVersion": resource.api_version, "kind": resource.kind}
        metadata = stored["metadata"]
        metadata["uid"] = f"uid-{next(self._uids)}"
        if resource.kind not in WITHOUT_GENERATION:
            metadata["generation"] = 1
        return self._store(ref, stored, "ADDED")

    def update(self, ref: Ref, update: Update, *, with_status: bool = False, only_status: bool = False) -> JsonObject:
        """Change the object as a PUT or PATCH of it, or of its status, does."""
        old = self.get(ref)
        wanted = update(copy.deepcopy(old))
        given = wanted.get("metadata", {}).get("resourceVersion")
        if given and given != old["metadata"]["resourceVersion"]:
            raise Refused(409, "Conflict", f"the object {ref.name} has been modified", ref)
        new = copy.deepcopy(old) if only_status else wanted
        if only_status or not with_status:
            source = wanted if only_status else old
            new.pop("status", None)
            if "status" in source:
                new["status"] = source["status"]
        _keep_identity(old, new)
        if new.get("spec") != old.get("spec") and "generation" in old["metadata"]:
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        if new == old:
            return old
        if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
            return self._remove(ref)
        return self._store(ref, new, "MODIFIED")

    def apply(self, ref: Ref, body: JsonObject, manager: str, *, only_status: bool = False) -> JsonObject:
        """Merge what is applied; what the same manager applied before and leaves out goes (lists are atomic)."""
        before = self._applied.get((ref, manager), {})
        self._applied[ref, manager] = copy.deepcopy(body)
        if ref not in self.objects:
            return self.create(ref.resource, body)

        def merged(obj: JsonObject) -> JsonObject:
            _prune(obj, before, body)
            return dict(merge(obj, body))

        return self.update(ref, merged, only_status=only_status)

    def delete(self, ref: Ref, preconditions: JsonObject) -> JsonObject:
        obj = self.get(ref)
        for name, value in preconditions.items():
            if obj["metadata"].get(name) != value:
                raise Refused(409, "Conflict", f"the {name} in the precondition does not match", ref)
        if obj["metadata"].get("finalizers"):
            if "deletionTimestamp" not in obj["metadata"]:
                obj["metadata"]["deletionTimestamp"] = "2031-05-17T08:30:15Z"
                self._store(ref, obj, "MODIFIED")
            return self.get(ref)
        self._remove(ref)
        return {"kind": "Status", "apiVersion": "v1", "status": "Success", "details": {"name": ref.name}}

    def _store(self, ref: Ref, obj: JsonObject, type_: str) -> JsonObject:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.objects[ref] = obj
        self._publish(Change(self.version, type_, ref.resource, obj))
        return copy.deepcopy(obj)

    def _remove(self, ref: Ref) -> JsonObject:
        obj = self.objects.pop(ref)
        self.version += 1
        last = copy.deepcopy(obj)
        last["metadata"]["resourceVersion"] = str(self.version)
        self._publish(Change(self.version, "DELETED", ref.resource, last))
        return last

    def _publish(self, change: Change) -> None:
        self.history.append(change)
        for listener in tuple(self.listeners):
            listener(change)


def merge(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def json_patch(obj: JsonObject, operations: list[JsonObject]) -> JsonObject:
    """Apply the operations add, replace, remove and test of a JSON Patch."""
    for operation in operations:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        try:
            place: Any = obj
            for part in parents:
                place = place[int(part)] if isinstance(place, list) else place[part]
            _operate(place, last, operation)
        except (KeyError, IndexError, ValueError) as error:
            raise Refused(422, "Invalid", f"the patch does not fit: {json.dumps(operation)}") from error
    return obj


def _operate(place: Any, last: str, operation: JsonObject) -> None:
    key: Any = last
    if isinstance(place, list):
        key = len(place) if last == "-" else int(last)
    match operation["op"]:
        case "test":
            if place[key] != operation["value"]:
                raise ValueError("test failed")
        case "add" if isinstance(place, list):
            place.insert(key, operation["value"])
        case "add":
            place[key] = operation["value"]
        case "replace":
            _ = place[key]
            place[key] = operation["value"]
        case "remove":
            del place[key]
        case other:
            raise ValueError(f"unknown operation {other}")


def _prune(obj: JsonObject, before: JsonObject, now: JsonObject) -> None:
    for key, value in before.items():
        if key not in now:
            obj.pop(key, None)
        elif isinstance(value, dict) and isinstance(now[key], dict) and isinstance(obj.get(key), dict):
            _prune(obj[key], value, now[key])


def _keep_identity(old: JsonObject, new: JsonObject) -> None:
    new["apiVersion"], new["kind"] = old["apiVersion"], old["kind"]
    metadata = new.setdefault("metadata", {})
    for name in ("name", "namespace", "uid", "generation", "resourceVersion", "deletionTimestamp"):
        metadata.pop(name, None)
        if name in old["metadata"]:
            metadata[name] = old["metadata"][name]
