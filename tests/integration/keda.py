"""Plays KEDA for the ScaledObjects of one namespace, as far as they scale without looking at metrics.

Like the operator it goes to zero at once where a pause says so, and wakes a workload that has fewer pods than
``minReplicaCount``; unlike it, it does so within a fraction of a second, which is worse for everybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from flaggerpy.kube.errors import Conflict, NotFound
from flaggerpy.kube.objects import JsonObject, annotations_of, labels_of, name_of
from flaggerpy.kube.resources import DEPLOYMENTS, SCALED_OBJECTS
from tests.integration.site import Site

PAUSED = "autoscaling.keda.sh/paused-replicas"
NAME = "scaledobject.keda.sh/name"
EVERY = 0.1
"""Seconds between two looks."""


@dataclass(slots=True)
class Keda:
    """What KEDA did."""

    site: Site
    scaled: list[tuple[str, int]] = field(default_factory=list)
    """Which workload was scaled to how many pods, in order."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            for scaler in (await self.site.client.list(SCALED_OBJECTS, self.site.namespace))[0]:
                with suppress(NotFound, Conflict):
                    await self._look(scaler)
            await asyncio.sleep(EVERY)

    async def _look(self, scaler: JsonObject) -> None:
        name = name_of(scaler)
        if labels_of(scaler).get(NAME) != name:
            await self.site.edit(SCALED_OBJECTS, name, {"metadata": {"labels": {NAME: name}}})
        paused = annotations_of(scaler).get(PAUSED)
        await self._scale(scaler, int(paused) if paused is not None else None)

    async def _scale(self, scaler: JsonObject, paused: int | None) -> None:
        workload, spec = scaler["spec"]["scaleTargetRef"]["name"], scaler["spec"]
        live = int((await self.site.get(DEPLOYMENTS, workload))["spec"]["replicas"])
        wanted = paused if paused is not None else max(live, int(spec.get("minReplicaCount") or 0))
        if wanted != live:
            self.scaled.append((workload, wanted))
            await self.site.client.merge_patch(
                self.site.ref(DEPLOYMENTS, workload), {"spec": {"replicas": wanted}}, subresource="scale"
            )


@asynccontextmanager
async def scaling(site: Site) -> AsyncIterator[Keda]:
    """Have the ScaledObjects of a site obeyed while the block lasts."""
    keda = Keda(site)
    task = asyncio.create_task(keda.run())
    try:
        yield keda
    finally:
        if task.done():
            task.result()
        task.cancel()
        await asyncio.wait([task])
