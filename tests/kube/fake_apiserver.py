"""A Kubernetes API over real HTTP on loopback, with faults on demand.

What it stores is in `fake_store`; here are paths, verbs, watches and everything that can go wrong on the way:
dropped and silent watches, conflicts, 429 with Retry-After, 410 in the middle of a watch or a list, hangs, and errors
after the write was applied.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from aiohttp import web

from flaggerpy.kube import resources
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import SELF_SUBJECT_REVIEWS, Ref, Resource, ref_of
from tests.kube.fake_store import Change, FakeStore, Refused, json_patch, merge

KNOWN = tuple(value for value in vars(resources).values() if isinstance(value, Resource))

Then = Literal["status", "hang", "hold", "reset"]
"""An answer of that status, no answer, an answer after `let_go`, or a broken connection."""


@dataclass(slots=True)
class Fault:
    """What happens to the next requests that match."""

    then: Then
    method: str = ""
    path: str = ""
    """A part of the path; empty matches all."""
    status: int = 500
    reason: str = "InternalError"
    retry_after: int | None = None
    applied: bool = False
    """Whether the request takes effect before it goes wrong."""
    times: int = 1

    def hits(self, request: web.Request) -> bool:
        return self.times > 0 and self.method in {"", request.method} and self.path in request.path_qs


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch") == "true"


@dataclass(slots=True)
class Watcher:
    """One open watch."""

    resource: Resource
    namespace: str | None
    metadata_only: bool
    chosen: Callable[[JsonObject], bool]
    connection: asyncio.BaseTransport | None = None
    lines: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    silent: bool = False

    def tell(self, change: Change) -> None:
        fits = self.namespace in {None, change.obj["metadata"].get("namespace")}
        if change.resource == self.resource and fits and not self.silent and self.chosen(change.obj):
            obj = _partial(change.obj) if self.metadata_only else change.obj
            self.lines.put_nowait(_line(change.type, obj))


class FakeApiServer(FakeStore):
    """Use it as an async context manager; `url` is where it listens."""

    def __init__(self, served: tuple[Resource, ...] = KNOWN, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self._tls = tls
        self.url = ""
        self.requests: list[Seen] = []
        self.faults: list[Fault] = []
        self.served = set(served)
        self.forbidden: set[Resource] = set()
        self.pruned: Callable[[JsonObject], JsonObject] = lambda obj: obj
        """What a schema leaves of an object that is put."""
        self.user = "someone"
        self.watchers: list[Watcher] = []
        self._closing = asyncio.Event()
        self._let_go = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self.listeners.append(self._tell_watchers)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after a stop, again at the same place."""
        self._closing = asyncio.Event()
        app = web.Application(client_max_size=2**23)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.5, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Go down as a killed server does; what is stored stays."""
        self._closing.set()
        self._let_go.set()
        self.end_watches()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # Asking what happened

    def seen(self, method: str = "", path: str = "") -> list[Seen]:
        """Return the requests of a method with this in their path."""
        return [s for s in self.requests if method in {"", s.method} and path in s.path]

    def watching(self, resource: Resource) -> list[Watcher]:
        """Return the open watches of a kind."""
        return [w for w in self.watchers if w.resource == resource]

    # Making trouble

    def fail(self, fault: Fault) -> None:
        """Arrange that the next matching requests go wrong."""
        self.faults.append(fault)

    def end_watches(self) -> None:
        """End all watches as the server does when their time is over."""
        for watcher in self.watchers:
            watcher.lines.put_nowait(None)

    def break_watches(self) -> None:
        """Break the connections of all watches in the middle of an answer."""
        for watcher in self.watchers:
            if isinstance(watcher.connection, asyncio.WriteTransport):
                watcher.connection.abort()
            watcher.lines.put_nowait(None)

    def silence_watches(self) -> None:
        """Leave all watches open but say nothing in them any more: a half-open connection."""
        for watcher in self.watchers:
            watcher.silent = True

    def expire_watches(self) -> None:
        """Tell all watches that their version is too old, and forget the history."""
        self.compact()
        status = Refused(410, "Expired", "too old resource version").body
        for watcher in self.watchers:
            watcher.lines.put_nowait(_line("ERROR", status))
            watcher.lines.put_nowait(None)

    def bookmark(self) -> None:
        """Send a bookmark into every watch."""
        for watcher in self.watchers:
            if not watcher.silent:
                watcher.lines.put_nowait(_line("BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}}))

    def let_go(self) -> None:
        """Answer all requests that are held."""
        self._let_go.set()

    # HTTP

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(Seen(request.method, request.path, dict(request.query), dict(request.headers), body))
        fault = next((f for f in self.faults if f.hits(request)), None)
        try:
            if fault is None:
                return await self._answer(request, body)
            fault.times -= 1
            if fault.then == "hold":
                await self._let_go.wait()
                return await self._answer(request, body)
            if fault.applied:
                await self._answer(request, body)
            return await self._go_wrong(request, fault)
        except Refused as refused:
            return web.json_response(refused.body, status=refused.code)

    async def _go_wrong(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.then == "hang":
            await self._closing.wait()
        if fault.then == "status":
            headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
            body = Refused(fault.status, fault.reason, "a fault was arranged").body
            return web.json_response(body, status=fault.status, headers=headers)
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    async def _answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        resource, namespace, name, subresource = self._parse(request.path)
        if resource in self.forbidden:
            raise Refused(403, "Forbidden", f'User "{self.user}" cannot access {resource.title}')
        if name is None:
            if request.method == "POST" and resource == SELF_SUBJECT_REVIEWS:
                who = {"userInfo": {"username": self.user}}
                return web.json_response(json.loads(body) | {"status": who}, status=201)
            if request.method == "POST":
                created = self.create(resource, json.loads(body))
                return web.json_response(created, status=201)
            if request.query.get("watch") == "true":
                return await self._watch(request, resource, namespace)
            return web.json_response(self._list(request, resource, namespace))
        ref = Ref(resource, namespace or "", name)
        return web.json_response(self._on_object(request, ref, subresource, body))

    def _parse(self, path: str) -> tuple[Resource, str | None, str | None, str | None]:
        parts = path.strip("/").split("/")
        group, parts = ("", parts[1:]) if parts[0] == "api" else (parts[1], parts[2:])
        version, *rest = parts
        namespace = None
        if len(rest) > 2 and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        for resource in self.served:
            if (resource.group, resource.version, resource.plural) == (group, version, rest[0]):
                name, subresource, *_ = [*rest[1:], None, None]
                return resource, namespace, name, subresource
        raise _NoSuchPath

    def _on_object(self, request: web.Request, ref: Ref, subresource: str | None, body: bytes) -> JsonObject:
        if request.method == "GET":
            obj = self.get(ref)
            if subresource == "scale":
                return _scale(obj)
            return _partial(obj) if _wants_metadata(request) else obj
        sent = json.loads(body) if body else {}
        if request.method == "DELETE":
            return self.delete(ref, sent.get("preconditions") or {})
        content, status = request.content_type, subresource == "status"
        if request.method == "PATCH" and content == "application/apply-patch+yaml":
            manager = request.query.get("fieldManager", "")
            return self.apply(ref, sent, manager, only_status=status)

        def wanted(obj: JsonObject) -> JsonObject:
            if request.method == "PUT":
                return self.pruned(dict(sent))
            if content == "application/json-patch+json":
                return json_patch(obj, list(sent))
            return dict(merge(obj, sent))

        if request.query.get("dryRun") == "All":
            return wanted(self.get(ref))
        if subresource == "scale":
            return _scale(self.update(ref, lambda obj: _rescaled(obj, wanted(_scale(obj)))))
        return self.update(ref, wanted, only_status=status)

    def _list(self, request: web.Request, resource: Resource, namespace: str | None) -> JsonObject:
        limit = int(request.query.get("limit") or 0)
        version, after = self.version, ""
        if token := request.query.get("continue"):
            version, after = int(token.split(":")[0]), token.split(":", 1)[1]
            if version < self.oldest:
                raise Refused(410, "Expired", "the continue token is too old")
        chosen = _selector(request)
        found = sorted(
            (
                ref
                for ref, obj in self.objects.items()
                if ref.resource == resource and namespace in {None, ref.namespace} and chosen(obj)
            ),
            key=lambda ref: (ref.namespace, ref.name),
        )
        rest = [ref for ref in found if f"{ref.namespace}/{ref.name}" > after]
        page = rest[:limit] if limit else rest
        metadata = {"resourceVersion": str(version)}
        if len(page) < len(rest):
            metadata["continue"] = f"{version}:{page[-1].namespace}/{page[-1].name}"
        items = [self.objects[ref] for ref in page]
        if _wants_metadata(request):
            items = [_partial(obj) for obj in items]
        else:
            # The real server leaves the type out of the items of its built-in lists.
            items = [{k: v for k, v in obj.items() if k not in {"kind", "apiVersion"}} for obj in items]
        return {"kind": f"{resource.kind}List", "metadata": metadata, "items": items}

    async def _watch(self, request: web.Request, resource: Resource, namespace: str | None) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        if since < self.oldest:
            raise Refused(410, "Expired", f"too old resource version: {since} ({self.oldest})")
        watcher = Watcher(resource, namespace, _wants_metadata(request), _selector(request), request.transport)
        for change in self.history:
            if change.version > since:
                watcher.tell(change)
        self.watchers.append(watcher)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        try:
            await response.prepare(request)
            async with asyncio.timeout(float(request.query.get("timeoutSeconds") or 1800)):
                while (line := await watcher.lines.get()) is not None:
                    await response.write(line)
        except (TimeoutError, ConnectionError):
            pass
        finally:
            self.watchers.remove(watcher)
        return response

    def _tell_watchers(self, change: Change) -> None:
        for watcher in self.watchers:
            watcher.tell(change)


class _NoSuchPath(Refused):
    """The server's answer to a path that nobody serves is no Status of an object."""

    def __init__(self) -> None:
        super().__init__(404, "NotFound", "the server could not find the requested resource")


def _wants_metadata(request: web.Request) -> bool:
    return "as=PartialObjectMetadata" in request.headers.get("Accept", "")


def _selector(request: web.Request) -> Callable[[JsonObject], bool]:
    """Read the selectors of a list or watch; only ``a=b`` and ``key in (b,c)`` are imitated."""
    terms = [
        (("metadata", "labels", key) if name == "labelSelector" else tuple(key.split(".")), values)
        for name in ("labelSelector", "fieldSelector")
        for key, values in _terms(request.query.get(name, ""))
    ]
    return lambda obj: all(_at(obj, path) in values for path, values in terms)


def _terms(selector: str) -> Iterator[tuple[str, set[str]]]:
    for term in re.findall(r"[^,(]+(?:\([^)]*\))?", selector):
        key, _, several = term.partition(" in ")
        if several:
            yield key, set(several.strip("()").split(","))
        else:
            key, _, value = term.partition("=")
            yield key, {value}


def _at(obj: JsonObject, path: tuple[str, ...]) -> object:
    value: object = obj
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _partial(obj: JsonObject) -> JsonObject:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj["metadata"],
    }


def _line(type_: str, obj: JsonObject) -> bytes:
    return json.dumps({"type": type_, "object": obj}).encode() + b"\n"


def _scale(obj: JsonObject) -> JsonObject:
    spec, metadata = obj.get("spec") or {}, obj["metadata"]
    kept = {k: metadata[k] for k in ("name", "namespace", "uid", "resourceVersion") if k in metadata}
    replicas = spec.get("replicas", 1)
    # The real server leaves zero out.
    wish = {"replicas": replicas} if replicas else {}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": kept, "spec": wish}


def _rescaled(obj: JsonObject, scale: JsonObject) -> JsonObject:
    version = (scale.get("metadata") or {}).get("resourceVersion")
    metadata = {**obj["metadata"], "resourceVersion": version}
    return {**obj, "metadata": metadata, "spec": {**obj["spec"], "replicas": scale["spec"].get("replicas", 0)}}


def refs(server: FakeApiServer, resource: Resource) -> list[Ref]:
    """Return what the server has of a kind."""
    return [ref_of(resource, obj) for ref, obj in server.objects.items() if ref.resource == resource]
