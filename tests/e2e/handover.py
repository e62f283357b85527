"""Watch how a deletion hands users back, and check that nothing of ours is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from flaggerpy.kube.objects import JsonObject, annotations_of, finalizers_of, is_deleting, name_of
from flaggerpy.kube.resources import DEPLOYMENTS, HTTP_ROUTES, SERVICES, Resource
from tests.e2e.place import Place, kubectl
from tests.routers.cases import references

AFTERWARDS = 750
"""Requests, 50 a second, that users still send once the Canary is gone."""
PRIMARY_REPLICAS = 3


@dataclass(slots=True)
class Handover:
    """What the target was like when the primary began to go."""

    target: JsonObject = field(default_factory=dict)
    primary: JsonObject = field(default_factory=dict)
    at_the_end: JsonObject | None = None

    def see(self, kind: str, obj: JsonObject) -> None:
        if name_of(obj) == "podinfo":
            self.target = obj
        elif name_of(obj) == "podinfo-primary":
            if (kind == "DELETED" or is_deleting(obj)) and self.at_the_end is None:
                self.at_the_end = self.target
            elif self.at_the_end is None:
                self.primary = obj

    def assert_target_was_ready(self) -> None:
        assert self.at_the_end is not None, "the primary never went"
        size = self.primary["spec"]["replicas"]
        ready = int(self.at_the_end["status"].get("availableReplicas") or 0)
        assert (self.at_the_end["spec"]["replicas"], ready) == (size, size)


@asynccontextmanager
async def watching(place: Place) -> AsyncIterator[Handover]:
    """Follow target and primary, in the order in which the store saw their changes."""
    seen = Handover()
    items, version = await place.client.list(DEPLOYMENTS, place.namespace)
    for item in items:
        seen.see("ADDED", item)

    async def follow() -> None:
        async for event in place.client.watch(DEPLOYMENTS, place.namespace, resource_version=version):
            if event.type in {"ADDED", "MODIFIED", "DELETED"}:
                seen.see(event.type, event.object)

    task = asyncio.create_task(follow())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait([task])


async def under_control(place: Place, canary: JsonObject) -> None:
    """Put podinfo under a Canary's control, and give its primary a size of its own."""
    await place.bootstrap(canary)
    await place.until(lambda: _sleeps(place), "sleeping target", patience=30)
    await place.client.scale(place.ref(DEPLOYMENTS, "podinfo-primary"), PRIMARY_REPLICAS)
    await place.available("podinfo-primary")


async def _sleeps(place: Place) -> bool:
    return await place.replicas("podinfo") == 0


async def handed_back(place: Place, resource: Resource | None = HTTP_ROUTES, weight: int = 1) -> None:
    """The target serves by itself, users come to it through their route if there is any, nothing of ours is left."""
    target = await place.get(DEPLOYMENTS, "podinfo")
    assert target["status"]["availableReplicas"] == target["spec"]["replicas"] == PRIMARY_REPLICAS
    assert await place.selector("podinfo") == {"app": "podinfo"}
    if resource is not None:
        assert references(await place.get(resource, "podinfo")) == [("podinfo", weight)]
    assert await place.find(DEPLOYMENTS, "podinfo-primary") is None
    assert await place.find(SERVICES, "podinfo-primary") is None
    assert await place.find(SERVICES, "podinfo-canary") is None
    assert await place.ours() == []
    for kind in (DEPLOYMENTS, SERVICES, *([resource] if resource else ())):
        obj = await place.get(kind, "podinfo")
        assert not finalizers_of(obj)
        assert not [key for key in annotations_of(obj) if "flagger" in key]


async def delete(place: Place, way: str = "background") -> None:
    """Ask for the deletion of the Canary as kubectl does."""
    words = ("delete", "canary", "podinfo", f"--cascade={way}", "--wait=false")
    await asyncio.to_thread(kubectl, "-n", place.namespace, *words, check=True)
