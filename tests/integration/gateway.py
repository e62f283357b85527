"""Plays the controller of a Gateway API implementation: says of every route that it is served, and keeps a diary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from time import monotonic
from typing import ClassVar, TypeVar

from flaggerpy.kube.errors import KubeError
from flaggerpy.kube.objects import JsonObject, generation_of, name_of
from flaggerpy.kube.resources import HTTP_ROUTES, Resource
from tests.integration.site import Site

CONTROLLER = "example.com/gateway"


def canary_share(route: JsonObject) -> int | None:
    """Return the share of the last backend of the rule that splits traffic, None when no rule does.

    Rules for users with a cookie come before it.
    """
    for rule in reversed(route["spec"].get("rules") or ()):
        weights = [int(backend.get("weight", 1)) for backend in rule.get("backendRefs") or ()]
        if len(weights) == 2:
            return weights[1]
    return None


@dataclass
class Gateway:
    """What the data plane saw of the routes of one namespace."""

    resource: ClassVar[Resource] = HTTP_ROUTES

    site: Site
    diary: list[tuple[str, int, float]] = field(default_factory=list)
    """Route, the canary's share and when it was seen, one entry each time the share changed."""
    written: list[JsonObject] = field(default_factory=list)
    """Routes as they were written, one after the other."""
    refusal: str = ""
    """Why every route is refused, in one word; empty while all are served."""
    silent: bool = False
    """Whether it says nothing of what is written, as one that is down."""

    def shares(self, name: str = "podinfo") -> list[int]:
        """Return the canary's shares one after the other."""
        return [share for route, share, _ in self.diary if route == name]

    def steps(self, name: str = "podinfo") -> list[int]:
        """Return the canary's shares but for all users, whom it gets if the one node has no pod of a primary just then.

        That is so for a moment of each promotion of a DaemonSet; whether the controller looks in it is chance.
        """
        return [share for share in self.shares(name) if share != 100]

    def stays(self, name: str = "podinfo") -> list[float]:
        """Return how long each share but the last stayed, in seconds."""
        times = [seen for route, _, seen in self.diary if route == name]
        return [after - before for before, after in pairwise(times)]

    def share(self, route: JsonObject) -> int | None:
        """Return the canary's share that a route asks for."""
        return canary_share(route)

    def answer(self, route: JsonObject) -> JsonObject | None:
        """Return what is new in the status, None when everything was said."""
        answers = (route.get("status") or {}).get("parents") or ()
        if {row["conditions"][0].get("observedGeneration") for row in answers} == {generation_of(route)}:
            return None
        conditions = _conditions(route, self.refusal)
        parents = [
            {"parentRef": reference, "controllerName": CONTROLLER, "conditions": conditions}
            for reference in route["spec"].get("parentRefs") or ()
        ]
        return {"parents": parents}

    async def run(self) -> None:
        """Watch routes and accept them until cancelled; watches end, and an API server that goes away is waited for."""
        while True:
            with suppress(KubeError):
                await self._follow()
            await asyncio.sleep(0.2)

    async def speak(self) -> None:
        """Say what was not said while it was silent."""
        self.silent = False
        for route in (await self.site.client.list(self.resource, self.site.namespace))[0]:
            await self._look(route)

    async def _follow(self) -> None:
        client = self.site.client
        routes, version = await client.list(self.resource, self.site.namespace)
        for route in routes:
            await self._look(route)
        async for event in client.watch(self.resource, self.site.namespace, resource_version=version):
            if event.type in {"ADDED", "MODIFIED"}:
                await self._look(event.object)

    async def _look(self, route: JsonObject) -> None:
        share, name = self.share(route), name_of(route)
        if not self.written or self.written[-1]["spec"] != route["spec"]:
            self.written.append(route)
        if share is not None and self.shares(name)[-1:] != [share]:
            self.diary.append((name, share, monotonic()))
        status = self.answer(route)
        if status is None or self.silent:
            return
        try:
            await self.site.client.merge_patch(
                self.site.ref(self.resource, name), {"status": status}, subresource="status"
            )
        except KubeError:
            # The route went away or changed meanwhile; the next event brings us back.
            return


def _conditions(route: JsonObject, refusal: str) -> list[JsonObject]:
    return [
        {
            "type": kind,
            "status": "False" if refusal else "True",
            "reason": refusal or kind,
            "message": "as the test wants it" if refusal else "",
            "observedGeneration": generation_of(route),
            "lastTransitionTime": stamp(),
        }
        for kind in ("Accepted", "ResolvedRefs")
    ]


def stamp() -> str:
    """Return the time as the API takes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Data = TypeVar("Data", bound=Gateway)


@asynccontextmanager
async def watching(gateway: Data) -> AsyncIterator[Data]:
    """Let a data plane look and answer while the block lasts."""
    task = asyncio.create_task(gateway.run())
    try:
        yield gateway
    finally:
        if task.done():
            task.result()
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def serving_routes(site: Site) -> AsyncIterator[Gateway]:
    """Accept the routes of a site while the block lasts."""
    async with watching(Gateway(site)) as gateway:
        yield gateway
