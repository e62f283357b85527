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


@dataclass(slots=True)
class Breaker:
    """Keeps the pods of a namespace that it was told of from being ready, and lets them be ready again."""

    site: Site
    broken: list[tuple[str, str]] = field(default_factory=list)
    """Value of the label ``app`` and tag of the image, empty for any."""

    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def break_pods(self, app: str, tag: str = "") -> None:
        """Let pods of this app and image fail their readiness probes from now on."""
        self.broken.append((app, tag))
        self._changed.set()

    def heal(self) -> None:
        """Let all pods pass again."""
        self.broken.clear()
        self._changed.set()

    async def run(self) -> None:
        """Keep every pod as it should look until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            while True:
                await self._changed.wait()
                self._changed.clear()
                pods, _ = await self.site.client.list(PODS, self.site.namespace)
                for pod in pods:
                    await self._look(pod)

    async def _follow(self) -> None:
        client = self.site.client
        _, version = await client.list(PODS, self.site.namespace)
        async for event in client.watch(PODS, self.site.namespace, resource_version=version):
            if event.type in {"ADDED", "MODIFIED"}:
                await self._look(event.object)

    async def _look(self, pod: JsonObject) -> None:
        status = pod.get("status") or {}
        if status.get("phase") != "Running" or pod["metadata"].get("deletionTimestamp"):
            return
        conditions = {row["type"]: row for row in status.get("conditions") or ()}
        wanted = "False" if self._is_broken(pod) else "True"
        if (conditions.get("Ready") or {}).get("status") == wanted:
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        rows = [{"type": kind, "status": wanted, "lastTransitionTime": now} for kind in ("Ready", "ContainersReady")]
        kept = [row for kind, row in conditions.items() if kind not in {"Ready", "ContainersReady"}]
        try:
            await self.site.client.merge_patch(
                self.site.ref(PODS, name_of(pod)), {"status": {"conditions": [*kept, *rows]}}, subresource="status"
            )
        except KubeError:
            return  # the pod is gone or changed; the next look tells

    def _is_broken(self, pod: JsonObject) -> bool:
        app, tag = labels_of(pod).get("app"), pod["spec"]["containers"][0]["image"].rpartition(":")[2]
        return any(app == name and wanted in {"", tag} for name, wanted in self.broken)


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
