"""Plays the controller of a Gateway API implementation: says of every route that it is served, and keeps a diary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from time import monotonic

from flaggerpy.kube.errors import KubeError
from flaggerpy.kube.objects import JsonObject, generation_of, name_of
from flaggerpy.kube.resources import HTTP_ROUTES
from tests.integration.site import Site

CONTROLLER = "example.com/gateway"


@dataclass(slots=True)
class Gateway:
    """What the data plane saw of the routes of one namespace."""

    site: Site
    diary: list[tuple[str, int, float]] = field(default_factory=list)
    """Route, the canary's share and when it was seen, one entry each time the share changed."""

    def shares(self, name: str = "podinfo") -> list[int]:
        """Return the canary's shares one after the other."""
        return [share for route, share, _ in self.diary if route == name]

    def stays(self, name: str = "podinfo") -> list[float]:
        """Return how long each share but the last stayed, in seconds."""
        times = [seen for route, _, seen in self.diary if route == name]
        return [after - before for before, after in pairwise(times)]

    async def run(self) -> None:
        """Watch routes and accept them until cancelled."""
        client = self.site.client
        routes, version = await client.list(HTTP_ROUTES, self.site.namespace)
        for route in routes:
            await self._look(route)
        async for event in client.watch(HTTP_ROUTES, self.site.namespace, resource_version=version):
            if event.type in {"ADDED", "MODIFIED"}:
                await self._look(event.object)

    async def _look(self, route: JsonObject) -> None:
        share, name = canary_share(route), name_of(route)
        if share is not None and self.shares(name)[-1:] != [share]:
            self.diary.append((name, share, monotonic()))
        answers = (route.get("status") or {}).get("parents") or ()
        observed = {row["conditions"][0].get("observedGeneration") for row in answers}
        if observed != {generation_of(route)}:
            await self._accept(route)

    async def _accept(self, route: JsonObject) -> None:
        parents = [
            {"parentRef": reference, "controllerName": CONTROLLER, "conditions": _conditions(route)}
            for reference in route["spec"].get("parentRefs") or ()
        ]
        try:
            await self.site.client.merge_patch(
                self.site.ref(HTTP_ROUTES, name_of(route)), {"status": {"parents": parents}}, subresource="status"
            )
        except KubeError:
            # The route went away or changed meanwhile; the next event brings us back.
            return


def canary_share(route: JsonObject) -> int | None:
    """Return the share of the last backend of the rule that splits traffic, None when no rule does."""
    for rule in route["spec"].get("rules") or ():
        weights = [int(backend.get("weight", 1)) for backend in rule.get("backendRefs") or ()]
        if len(weights) == 2:
            return weights[1]
    return None


def _conditions(route: JsonObject) -> list[JsonObject]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [
        {
            "type": kind,
            "status": "True",
            "reason": kind,
            "message": "",
            "observedGeneration": generation_of(route),
            "lastTransitionTime": now,
        }
        for kind in ("Accepted", "ResolvedRefs")
    ]


@asynccontextmanager
async def serving_routes(site: Site) -> AsyncIterator[Gateway]:
    """Accept the routes of a site while the block lasts."""
    gateway = Gateway(site)
    task = asyncio.create_task(gateway.run())
    try:
        yield gateway
    finally:
        if task.done():
            task.result()
        task.cancel()
        await asyncio.wait([task])
