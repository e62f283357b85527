"""Verbs on objects: raw JSON in, raw JSON out, errors from `errors`, a time-out on everything.

Writes ask the fence first and again when the bytes are about to leave. A write that was begun is finished
even when its caller is cancelled, so that a shutdown never leaves one half known. Nothing is retried here but
a server's request to come back later.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Literal

from flaggerpy.kube.errors import TooManyRequests, Unreachable, from_answer, from_status
from flaggerpy.kube.fence import Fence
from flaggerpy.kube.objects import JsonObject, metadata_of, resource_version_of, with_type
from flaggerpy.kube.resources import Ref, Resource
from flaggerpy.kube.throttle import Throttle
from flaggerpy.kube.wire import Request, Response, Session, Transport

PAGE = 100
LIST_TIMEOUT = 30.0
RETRIES_AFTER_429 = 2
LONGEST_PAUSE = 10.0

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

EventType = Literal["OPENED", "ADDED", "MODIFIED", "DELETED", "BOOKMARK"]


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch; errors are raised instead, and OPENED (without an object) opens every watch."""

    type: EventType
    object: JsonObject


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; every page of one list carries the same resourceVersion."""

    items: list[JsonObject]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Only:
    """Which objects of a kind a list shows, in the words of kubectl's ``-l`` and ``--field-selector``; empty: all."""

    labels: str = ""
    fields: str = ""

    @property
    def params(self) -> tuple[tuple[str, str], ...]:
        """Return the query of a list or watch."""
        given = (("labelSelector", self.labels), ("fieldSelector", self.fields))
        return tuple((name, value) for name, value in given if value)


EVERYTHING = Only()


class Client:
    """The API of one server as this process may use it."""

    def __init__(
        self,
        transport: Transport,
        *,
        fence: Fence | None = None,
        field_manager: str = "flaggerpy",
        throttle: Throttle | None = None,
        session: Session = "requests",
        timeout: float = 10.0,
    ) -> None:
        self._transport = transport
        self._fence = fence
        self._manager = field_manager
        self._throttle = throttle or Throttle()
        self._session: Session = session
        self._timeout = timeout

    # Reading

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> JsonObject:
        """Return the object as the server has it now."""
        accept = _METADATA if metadata_only else "application/json"
        obj = await self._call(Request("GET", ref.path(), accept=accept))
        return with_type(obj, ref.resource.api_version, ref.resource.kind)

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        metadata_only: bool = False,
        page: int = PAGE,
        only: Only = EVERYTHING,
    ) -> tuple[list[JsonObject], str]:
        """Return all objects of a kind and the resourceVersion from which to watch on."""
        items: list[JsonObject] = []
        version = ""
        async with aclosing(
            self.pages(resource, namespace, metadata_only=metadata_only, page=page, only=only)
        ) as pages:
            async for one in pages:
                items += one.items
                version = one.resource_version
        return items, version

    async def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        metadata_only: bool = False,
        page: int = PAGE,
        only: Only = EVERYTHING,
    ) -> AsyncGenerator[Page, None]:
        """Yield a list page by page, so that a big one never has to be held whole.

        Without a resourceVersion the list is as new as the store. With one (and resourceVersionMatch) it may
        come from the server's cache, but then older servers ignore the limit and send everything at once.
        """
        accept = _METADATA_LIST if metadata_only else "application/json"
        token = ""
        while True:
            params = (("limit", str(page)), *only.params, *((("continue", token),) if token else ()))
            request = Request("GET", resource.path(namespace), params=params, accept=accept)
            body = await self._call(request, timeout=max(self._timeout, LIST_TIMEOUT))
            typed = [with_type(o, resource.api_version, resource.kind) for o in body.get("items") or ()]
            yield Page(typed, resource_version_of(body))
            token = str(metadata_of(body).get("continue") or "")
            if not token:
                return

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        timeout_seconds: int = 300,
        inactivity: float = 150.0,
        metadata_only: bool = False,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Yield what happens after a resourceVersion; ends when the server ends it.

        Raises `Expired` when the version is too old (as an answer's status or as an event), other `ApiError`s
        likewise, and `Unreachable` when the connection breaks or is silent for longer than `inactivity`.
        """
        accept = _METADATA if metadata_only else "application/json"
        params = _watch_params(resource_version, timeout_seconds)
        request = Request("GET", resource.path(namespace), params=params, accept=accept, timeout=inactivity)
        async with aclosing(self._events(request, resource)) as events:
            async for event in events:
                yield event

    async def watch_one(
        self, ref: Ref, *, resource_version: str, timeout_seconds: int = 300, inactivity: float = 150.0
    ) -> AsyncGenerator[WatchEvent, None]:
        """Yield what happens to one object after a resourceVersion, as `watch` does for all of a kind."""
        params = (
            *_watch_params(resource_version, timeout_seconds),
            *Only(fields=f"metadata.name={ref.name}").params,
        )
        request = Request("GET", ref.resource.path(ref.namespace or None), params=params, timeout=inactivity)
        async with aclosing(self._events(request, ref.resource)) as events:
            async for event in events:
                yield event

    # Writing

    async def create(self, resource: Resource, body: JsonObject) -> JsonObject:
        """Create the object and return it as stored; `AlreadyExists` when the name is taken."""
        path = resource.path(str(metadata_of(body).get("namespace") or "") or None)
        return await self._write(Request("POST", path, body=_dump(body)))

    async def replace(
        self, ref: Ref, body: JsonObject, *, subresource: str | None = None, dry_run: bool = False
    ) -> JsonObject:
        """Put the whole object; conditional when the body has a metadata.resourceVersion.

        A dry run is answered as if it had been done.
        """
        params = (("dryRun", "All"),) if dry_run else ()
        return await self._write(Request("PUT", ref.path(subresource), params=params, body=_dump(body)))

    async def replace_status(self, ref: Ref, body: JsonObject, *, dry_run: bool = False) -> JsonObject:
        """Put the whole status; conditional when the body has a metadata.resourceVersion."""
        return await self.replace(ref, body, subresource="status", dry_run=dry_run)

    async def merge_patch(self, ref: Ref, patch: JsonObject, subresource: str | None = None) -> JsonObject:
        """Apply a JSON merge patch; conditional when it names a metadata.resourceVersion."""
        return await self._patch(ref, MERGE_PATCH, patch, subresource)

    async def json_patch(self, ref: Ref, ops: Sequence[JsonObject], subresource: str | None = None) -> JsonObject:
        """Apply a JSON Patch; a failed `test` operation raises `Invalid`."""
        return await self._patch(ref, JSON_PATCH, list(ops), subresource)

    async def apply(
        self, ref: Ref, body: JsonObject, *, force: bool = True, subresource: str | None = None
    ) -> JsonObject:
        """Apply on the server's side: what the body names becomes ours, what it names no longer goes."""
        typed = with_type(body, ref.resource.api_version, ref.resource.kind)
        params = (("force", "true" if force else "false"),)
        return await self._patch(ref, APPLY_PATCH, typed, subresource, params)

    async def scale(self, ref: Ref, replicas: int, *, resource_version: str | None = None) -> JsonObject:
        """Set the replicas through the scale subresource and return the Scale.

        The Scale's resourceVersion is the scaled object's own.
        """
        patch: JsonObject = {"spec": {"replicas": replicas}}
        if resource_version:
            patch["metadata"] = {"resourceVersion": resource_version}
        return await self.merge_patch(ref, patch, subresource="scale")

    async def delete(
        self,
        ref: Ref,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
    ) -> JsonObject:
        """Delete the object if it still is the one meant; returns a Status or the object going away."""
        options: JsonObject = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        given = {"uid": uid, "resourceVersion": resource_version}
        if preconditions := {name: value for name, value in given.items() if value}:
            options["preconditions"] = preconditions
        return await self._write(Request("DELETE", ref.path(), body=_dump(options)), manager=False)

    # Below the verbs

    async def _events(self, request: Request, resource: Resource) -> AsyncGenerator[WatchEvent, None]:
        async with aclosing(self._transport.stream(request)) as lines:
            async for line in lines:
                yield _event(line, resource) if line else WatchEvent("OPENED", {})

    async def _patch(
        self,
        ref: Ref,
        content_type: str,
        patch: object,
        subresource: str | None,
        params: tuple[tuple[str, str], ...] = (),
    ) -> JsonObject:
        request = Request("PATCH", ref.path(subresource), params=params, body=_dump(patch), content_type=content_type)
        return await self._write(request)

    async def _write(self, request: Request, *, manager: bool = True) -> JsonObject:
        if manager:
            request = replace(request, params=(*request.params, ("fieldManager", self._manager)))
        if self._fence is not None:
            request = replace(request, before_send=self._fence.check)
        return await self._call(request)

    async def _call(self, request: Request, *, timeout: float | None = None) -> JsonObject:
        request = replace(request, session=self._session, timeout=timeout or self._timeout)
        retries = RETRIES_AFTER_429
        while True:
            try:
                return await self._call_once(request)
            except TooManyRequests as error:
                if not retries or error.retry_after > min(LONGEST_PAUSE, self._timeout):
                    raise
                retries -= 1
                await self._throttle.pause(error.retry_after)

    async def _call_once(self, request: Request) -> JsonObject:
        if request.before_send is not None:
            request.before_send()
        if self._session == "requests":
            await self._throttle.admit()
        if request.is_write and self._fence is not None:
            self._fence.check()
            request = replace(request, timeout=self._fence.limit(request.timeout))
        response = await (self._finish(request) if request.is_write else self._transport.send(request))
        if not 200 <= response.status < 300:
            raise from_answer(response.status, response.body, response.retry_after)
        return _decoded(response)

    async def _finish(self, request: Request) -> Response:
        """Send a write and wait for its end even if the caller is cancelled meanwhile."""
        sending = asyncio.ensure_future(self._transport.send(request))
        try:
            return await asyncio.shield(sending)
        except asyncio.CancelledError:
            await asyncio.wait({sending})
            if not sending.cancelled():
                sending.exception()  # looked at, so that the loop does not report it as forgotten
            raise


def _watch_params(resource_version: str, timeout_seconds: int) -> tuple[tuple[str, str], ...]:
    return (
        ("watch", "true"),
        ("resourceVersion", resource_version),
        ("allowWatchBookmarks", "true"),
        ("timeoutSeconds", str(timeout_seconds)),
    )


def _dump(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _decoded(response: Response) -> JsonObject:
    try:
        body = json.loads(response.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Unreachable("the answer was no JSON object; something between us and the API server sent it")
    return body


def _event(line: bytes, resource: Resource) -> WatchEvent:
    try:
        event = json.loads(line)
        kind, obj = event["type"], event["object"]
    except (ValueError, KeyError, TypeError) as error:
        raise Unreachable("a watch sent a line that is no event") from error
    if kind == "ERROR":
        raise from_status(obj)
    return WatchEvent(kind, with_type(obj, resource.api_version, resource.kind))
