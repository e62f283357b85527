"""A hand on pods that only look ready: some are made to look broken, as long as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from flaggerpy.kube.errors import KubeError
from flaggerpy.kube.objects import JsonObject, labels_of, name_of
from flaggerpy.kube.resources import PODS
from tests.integration.site import Site

Selector = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Held:
    """Containers that look as if they could not start.

    Attributes:
        app: value of their pods' label ``app``.
        tag: tag of their image.
        waiting: why, as a kubelet says it.
        restarts: how often it was tried.
        most: how many pods; the others are on better nodes.
        names: the pods that are held.

    """

    app: str
    tag: str
    waiting: JsonObject
    restarts: int = 0
    most: int = 99
    names: set[str] = field(default_factory=set)

    def holds(self, pod: JsonObject) -> bool:
        """Tell whether a pod is held, which the first ones that fit are."""
        if (labels_of(pod).get("app"), _tag(pod)) != (self.app, self.tag):
            return False
        if len(self.names) < self.most:
            self.names.add(name_of(pod))
        return name_of(pod) in self.names


@dataclass(slots=True)
class Breaker:
    """Keeps the pods of a namespace that it was told of from being ready, and lets them be ready again."""

    site: Site
    broken: list[tuple[str, str]] = field(default_factory=list)
    """Value of the label ``app`` and tag of the image, empty for any."""

    held: list[Held] = field(default_factory=list)
    _pods: dict[str, JsonObject] = field(default_factory=dict)
    """By name, as they were last seen."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def break_pods(self, app: str, tag: str = "") -> None:
        """Let pods of this app and image fail their readiness probes from now on."""
        self.broken.append((app, tag))
        self._changed.set()

    def hold(self, app: str, tag: str, reason: str, message: str = "", *, restarts: int = 0, most: int = 99) -> None:
        """Let containers of this app and image look as if they could not start, from now on."""
        waiting = {"reason": reason, **({"message": message} if message else {})}
        self.held.append(Held(app, tag, waiting, restarts, most))
        self._changed.set()

    def heal_pods(self, app: str) -> None:
        """Let all pods of this app pass again."""
        self.broken = [(name, tag) for name, tag in self.broken if name != app]
        self._changed.set()

    def heal(self) -> None:
        """Let all pods pass again."""
        self.broken.clear()
        self.held.clear()
        self._changed.set()

    async def run(self) -> None:
        """Keep every pod as it should look until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            while True:
                await self._changed.wait()
                self._changed.clear()
                for pod in list(self._pods.values()):
                    await self._look(pod)

    async def _follow(self) -> None:
        client = self.site.client
        while True:  # watches end
            pods, version = await client.list(PODS, self.site.namespace)
            self._pods = {name_of(pod): pod for pod in pods}
            for pod in pods:
                await self._look(pod)
            async for event in client.watch(PODS, self.site.namespace, resource_version=version):
                if event.type in {"ADDED", "MODIFIED"}:
                    self._pods[name_of(event.object)] = event.object
                    await self._look(event.object)
                elif event.type == "DELETED":
                    self._pods.pop(name_of(event.object), None)

    async def _look(self, pod: JsonObject) -> None:
        status = pod.get("status") or {}
        if status.get("phase") != "Running" or pod["metadata"].get("deletionTimestamp"):
            return
        conditions = {row["type"]: row for row in status.get("conditions") or ()}
        held = next((one for one in self.held if one.holds(pod)), None)
        wanted = "False" if held or self._is_broken(pod) else "True"
        before = status.get("containerStatuses") or []
        containers = [_container(row, held) for row in before]
        if (conditions.get("Ready") or {}).get("status") == wanted and containers == before:
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        rows = [{"type": kind, "status": wanted, "lastTransitionTime": now} for kind in ("Ready", "ContainersReady")]
        kept = [row for kind, row in conditions.items() if kind not in {"Ready", "ContainersReady"}]
        body = {"conditions": [*kept, *rows], "containerStatuses": containers}
        try:
            await self.site.client.merge_patch(
                self.site.ref(PODS, name_of(pod)), {"status": body}, subresource="status"
            )
        except KubeError:
            return  # the pod is gone or changed; the next look tells

    def _is_broken(self, pod: JsonObject) -> bool:
        app, tag = labels_of(pod).get("app"), _tag(pod)
        return any(app == name and wanted in {"", tag} for name, wanted in self.broken)


def _tag(pod: JsonObject) -> str:
    return str(pod["spec"]["containers"][0]["image"]).rpartition(":")[2]


def _container(row: JsonObject, held: Held | None) -> JsonObject:
    """Write how a container looks: as it is, held, or started after it was held."""
    if held is not None:
        return {**row, "ready": False, "state": {"waiting": held.waiting}, "restartCount": held.restarts}
    if "waiting" not in row["state"]:
        return row
    started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**row, "ready": True, "state": {"running": {"startedAt": started}}}


@asynccontextmanager
async def breaking(site: Site) -> AsyncIterator[Breaker]:
    """Have a hand on the pods of a site while the block lasts."""
    breaker = Breaker(site)
    task = asyncio.create_task(breaker.run())
    try:
        yield breaker
    finally:
        if task.done():
            task.result()
        task.cancel()
        await asyncio.wait([task])
