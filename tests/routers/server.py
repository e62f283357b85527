"""As much of an API server as routers meet: server-side apply by one manager, replacement, and JSON Patches.

Lists count as atomic, which is what the routing kinds declare for theirs.
"""

from __future__ import annotations

import copy
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.kube.resources import Ref
from flaggerpy.routers.base import PATCH, Router
from tests.kube.fake_store import json_patch

JsonObject = dict[str, Any]


class Server:
    """The routing objects of one canary."""

    def __init__(self, router: Router, canary: Canary) -> None:
        self.live: dict[Ref, JsonObject] = {}
        self._applied: dict[Ref, JsonObject] = {}
        self._refs = {(ref.resource.kind, ref.name): ref for ref in router.refs(canary)}

    def put(self, obj: JsonObject) -> None:
        """Store an object as its user wrote it."""
        metadata = {"generation": 1, **obj["metadata"], "resourceVersion": "1", "uid": "uid"}
        self.live[self._ref(obj)] = {**copy.deepcopy(obj), "metadata": metadata}

    def write(self, bodies: tuple[JsonObject, ...]) -> None:
        """Carry out what a router asks for."""
        for body in bodies:
            if PATCH in body:
                self._patch(copy.deepcopy(body))
            elif "resourceVersion" in body["metadata"]:
                self.live[self._ref(body)] = copy.deepcopy(body)
            else:
                self._apply(copy.deepcopy(body))

    def delete(self, refs: list[Ref]) -> None:
        """Delete objects."""
        for ref in refs:
            del self.live[ref]

    def _apply(self, body: JsonObject) -> None:
        ref = self._ref(body)
        before = self.live.get(ref, {"metadata": {"resourceVersion": "1", "uid": "uid", "generation": 1}})
        self.live[ref] = _merged(before, self._applied.get(ref, {}), body)
        self._applied[ref] = body

    def _patch(self, body: JsonObject) -> None:
        ref, operations = self._ref(body), body.pop(PATCH)
        self.live[ref] = json_patch(copy.deepcopy(self.live[ref]), operations)
        assert self.live[ref] == body, "the patch leads to what was promised"

    def _ref(self, obj: JsonObject) -> Ref:
        return self._refs[obj["kind"], obj["metadata"]["name"]]


def _merged(live: JsonObject, previous: JsonObject, body: JsonObject) -> JsonObject:
    """Merge what is applied: what was applied before and is left out goes, what others wrote stays."""
    result = {key: value for key, value in live.items() if key not in previous or key in body}
    for key, value in body.items():
        if isinstance(value, dict):
            result[key] = _merged(live.get(key) or {}, previous.get(key) or {}, value)
        else:
            result[key] = value
    return result
