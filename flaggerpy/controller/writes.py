"""Conditional writes of one tick: each depends on what was observed, and each answer goes into the cache at once.

What is written and why is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from flaggerpy.controller.errors import Outdated
from flaggerpy.controller.world import Live
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import AlreadyExists, Conflict, Invalid, NotFound
from flaggerpy.kube.objects import JsonObject, generation_of, metadata_of, resource_version_of, uid_of
from flaggerpy.kube.resources import Ref
from flaggerpy.routers.base import PATCH


class Writes:
    """Writes that see each other's results, and nothing that others wrote after the observation."""

    def __init__(self, client: Client, caches: Caches, live: Live) -> None:
        self._client = client
        self._caches = caches
        self.live = dict(live)

    async def put(self, ref: Ref, body: JsonObject, *, live: JsonObject | None = None) -> None:
        """Create the object, or replace the one that was observed if it is still that one."""
        known = live if live is not None else self.live.get(ref)
        async with self.honest(ref):
            if known is None:
                written = await self._client.create(ref.resource, body)
            else:
                written = await self._client.replace(ref, body)
            self._record(ref, written)

    async def apply(self, ref: Ref, body: JsonObject) -> None:
        """Put a whole object in its place, apply any other on the server's side, or send the patch that leads to it.

        The first two are conditional on the object that was observed; a whole one carries its resourceVersion.
        """
        if PATCH in body:
            await self._amend(ref, body[PATCH])
            return
        if resource_version_of(body):
            await self.put(ref, body)
            return
        live = self.live.get(ref)
        if live is not None:
            body = {**body, "metadata": {**metadata_of(body), "resourceVersion": resource_version_of(live)}}
        async with self.honest(ref):
            self._record(ref, await self._client.apply(ref, body))

    async def patch(self, ref: Ref, patch: JsonObject) -> None:
        """Change what the merge patch names and nothing else, if it still is the object that was observed."""
        live = self.live.get(ref)
        if live is None:
            raise Outdated(f"{ref} is gone")
        metadata = {**metadata_of(patch), "resourceVersion": resource_version_of(live)}
        async with self.honest(ref):
            self._record(ref, await self._client.merge_patch(ref, {**patch, "metadata": metadata}))

    async def scale(self, ref: Ref, replicas: int) -> None:
        """Scale if it still is the observed object with the observed replicas.

        A resourceVersion would be too strict: the workload's own controller writes its status all the time. A Scale
        leaves zero replicas out.
        """
        live = self.live.get(ref)
        if live is None:
            raise Outdated(f"{ref} is gone")
        observed = (live.get("spec") or {}).get("replicas", 1)
        patch: list[JsonObject] = [
            {"op": "test", "path": "/metadata/uid", "value": uid_of(live)},
            {"op": "test", "path": "/spec", "value": {"replicas": observed} if observed else {}},
            {"op": "add", "path": "/spec/replicas", "value": replicas},
        ]
        async with self.honest(ref):
            try:
                scale = await self._client.json_patch(ref, patch, subresource="scale")
            except Invalid as error:
                raise Conflict(error.status, error.reason, f"{ref} was scaled by somebody else", error.body) from error
            self._caches.record_scale(ref, scale)
        # What follows in this tick must not be conditional on a version that this write has just replaced.
        metadata = {**metadata_of(live), "resourceVersion": resource_version_of(scale)}
        self.live[ref] = {**live, "metadata": metadata, "spec": {**(live.get("spec") or {}), "replicas": replicas}}

    async def change(self, ref: Ref, patch: list[JsonObject]) -> None:
        """Change single fields of an object if it still is the observed one with the observed spec.

        Its generation says so: a resourceVersion would be too strict, see `scale`.
        """
        live = self.live.get(ref)
        if live is None:
            raise Outdated(f"{ref} is gone")
        tests: list[JsonObject] = [
            {"op": "test", "path": "/metadata/uid", "value": uid_of(live)},
            {"op": "test", "path": "/metadata/generation", "value": generation_of(live)},
        ]
        async with self.honest(ref):
            try:
                self._record(ref, await self._client.json_patch(ref, [*tests, *patch]))
            except Invalid as error:
                raise Conflict(error.status, error.reason, f"{ref} was changed by somebody else", error.body) from error

    async def _amend(self, ref: Ref, patch: list[JsonObject]) -> None:
        """Change single fields of an object by a patch that tests what it depends on, whatever else has changed."""
        live = self.live.get(ref)
        if live is None:
            raise Outdated(f"{ref} is gone")
        same: JsonObject = {"op": "test", "path": "/metadata/uid", "value": uid_of(live)}
        async with self.honest(ref):
            try:
                self._record(ref, await self._client.json_patch(ref, [same, *patch]))
            except Invalid as error:
                if (error.body.get("details") or {}).get("name"):
                    raise  # the server names an object that would not be valid, and none where a test has failed
                raise Conflict(error.status, error.reason, f"{ref} was changed by somebody else", error.body) from error

    async def delete(self, ref: Ref, live: JsonObject) -> None:
        """Delete the object that was observed; one that is gone already is fine."""
        async with self.honest(ref):
            with suppress(NotFound):
                await self._client.delete(ref, uid=uid_of(live))
            self.live.pop(ref, None)
            if self._caches.keeps(ref):
                self._caches.record(ref, None)

    async def read(self, ref: Ref) -> JsonObject:
        """Read an object from the server.

        Raises:
            Outdated: it is gone.

        """
        found = await self.find(ref)
        if found is None:
            raise Outdated(f"{ref} is gone")
        return found

    async def find(self, ref: Ref) -> JsonObject | None:
        """Read an object from the server, None when there is none."""
        try:
            return await self._client.get(ref)
        except NotFound:
            return None

    @asynccontextmanager
    async def honest(self, ref: Ref) -> AsyncIterator[None]:
        """Surround a write and the record of its answer.

        The watch may show the write before its answer is here, which is no news; and when a conditional write shows
        that the cache was behind, the object is read again.
        """
        try:
            with self._caches.writing(ref):
                yield
        except (AlreadyExists, Conflict, NotFound):
            if self._caches.keeps(ref):
                await self._caches.refresh([ref])
            raise

    def _record(self, ref: Ref, obj: JsonObject) -> None:
        self.live[ref] = obj
        if self._caches.keeps(ref):
            self._caches.record(ref, obj)
