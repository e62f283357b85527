"""A namespace in which many canaries play at the same time, seen through a few watches instead of many questions."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from flaggerpy.kube.errors import KubeError
from flaggerpy.kube.objects import JsonObject, name_of, resource_version_of
from flaggerpy.kube.resources import CANARIES, CONFIG_MAPS, DEPLOYMENTS, HTTP_ROUTES, SERVICES, Resource
from tests.integration.gateway import Gateway, canary_share, serving_routes
from tests.integration.pods import Breaker, breaking
from tests.integration.servers import Hooks
from tests.integration.site import Site

KINDS = (CANARIES, CONFIG_MAPS, DEPLOYMENTS, HTTP_ROUTES, SERVICES)
GONE = "gone"
QUIET = 2.5
"""Seconds without any change after which nothing more is expected; more than two of the shortest intervals."""


@dataclass(slots=True)
class Stage:
    """What is known of every canary of one namespace, and the hands on its gates and pods."""

    site: Site
    gateway: Gateway
    pods: Breaker
    hooks: Hooks
    objects: dict[tuple[str, str], JsonObject] = field(default_factory=dict)
    phases: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    places: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    sizes: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    iterations: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    changed: defaultdict[str, float] = field(default_factory=lambda: defaultdict(monotonic))
    """When something of a canary was last seen to change; the rest by name, the present value last."""

    def find(self, resource: Resource, name: str) -> JsonObject | None:
        """Return an object as it was last seen, None when there is none."""
        return self.objects.get((resource.kind, name))

    def get(self, resource: Resource, name: str) -> JsonObject:
        """Return an object that has to be there."""
        found = self.find(resource, name)
        assert found is not None, f"there is no {resource.kind} {name}"
        return found

    def status(self, name: str) -> JsonObject:
        """Return the status of a Canary, empty when it is gone."""
        return dict((self.find(CANARIES, name) or {}).get("status") or {})

    def rollout(self, name: str) -> JsonObject:
        """Return what we keep in the status of a Canary."""
        return dict(self.status(name).get("rollout") or {})

    def phase(self, name: str) -> str:
        """Return the phase of a Canary."""
        return self.phases[name][-1] if self.phases[name] else ""

    def share(self, name: str) -> int:
        """Return the canary's share of a route, 0 where none is split."""
        return canary_share(self.find(HTTP_ROUTES, name) or {"spec": {}}) or 0

    def place(self, name: str) -> str:
        """Return where users are sent: to the target, to the primary or to both; empty when nowhere."""
        share = canary_share(self.find(HTTP_ROUTES, name) or {"spec": {}})
        if share is not None:
            return {0: "primary", 100: "target"}.get(share, "both")
        service = self.find(SERVICES, name)
        if service is None:
            return ""
        return "primary" if service["spec"]["selector"]["app"] == f"{name}-primary" else "target"

    def replicas(self, name: str) -> int:
        """Return the replicas that a Deployment asks for."""
        return int(self.get(DEPLOYMENTS, name)["spec"]["replicas"])

    def image(self, name: str) -> str:
        """Return the tag that a Deployment runs, empty when there is no such Deployment."""
        found = self.find(DEPLOYMENTS, name)
        if found is None:
            return ""
        return str(found["spec"]["template"]["spec"]["containers"][0]["image"]).rpartition(":")[2]

    def is_ready(self, name: str) -> bool:
        """Tell whether a Deployment has all the pods that it asks for."""
        found = self.find(DEPLOYMENTS, name)
        return found is not None and (found.get("status") or {}).get("readyReplicas", 0) == found["spec"]["replicas"]

    async def until(self, name: str, look: Callable[[], Any], what: str, *, patience: float = 90.0) -> None:
        """Wait until a look is true; fail with what was last seen of a canary."""
        end = monotonic() + patience
        while not look():
            if monotonic() > end:
                told = (self.phases[name], self.places[name], self.sizes[name], self.status(name))
                raise AssertionError(f"{name}: no {what} within {patience:g}s: {told}")
            await asyncio.sleep(0.05)

    async def quiet(self, name: str) -> None:
        """Wait until nothing has happened to a canary for a while; that its gates are asked again is nothing."""
        await self.until(name, lambda: monotonic() - self.changed[name] > QUIET, "rest")

    async def follow(self, resource: Resource) -> None:
        """Keep what is known of one kind up to date until cancelled."""
        client, namespace = self.site.client, self.site.namespace
        while True:  # watches end
            with suppress(KubeError):
                items, version = await client.list(resource, namespace)
                there = {name_of(item) for item in items}
                for kind, name in list(self.objects):
                    if kind == resource.kind and name not in there:
                        self._lose(resource, name)
                for item in items:
                    self._see(resource, item)
                async for event in client.watch(resource, namespace, resource_version=version):
                    if event.type in {"ADDED", "MODIFIED"}:
                        self._see(resource, event.object)
                    elif event.type == "DELETED":
                        self._lose(resource, name_of(event.object))
            await asyncio.sleep(0.2)

    def _see(self, resource: Resource, found: JsonObject) -> None:
        key = (resource.kind, name_of(found))
        if key in self.objects and resource_version_of(self.objects[key]) == resource_version_of(found):
            return
        self.objects[key] = found
        self._remember(resource, name_of(found))

    def _lose(self, resource: Resource, name: str) -> None:
        self.objects.pop((resource.kind, name), None)
        self._remember(resource, name)

    def _remember(self, resource: Resource, name: str) -> None:
        owner = name.partition("-")[0]
        known = len(self.phases[name])
        if resource is CANARIES:
            found = self.find(CANARIES, name)
            _add(self.phases[name], str(self.status(name).get("phase") or "") if found else GONE)
            self.iterations[name] = max(self.iterations[name], int(self.status(name).get("iterations") or 0))
        elif resource is DEPLOYMENTS and name == owner and self.find(DEPLOYMENTS, name):
            _add(self.sizes[name], self.replicas(name))
        elif resource in {HTTP_ROUTES, SERVICES}:
            _add(self.places[owner], self.place(owner))
        if resource is not CANARIES or len(self.phases[name]) > known:
            self.changed[owner] = monotonic()


def _add(history: list[Any], value: object) -> None:
    if history[-1:] != [value]:
        history.append(value)


@asynccontextmanager
async def staging(site: Site, hooks: Hooks) -> AsyncIterator[Stage]:
    """Watch a site, accept its routes and hold its pods while the block lasts; a controller runs in it."""
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(serving_routes(site))
        pods = await stack.enter_async_context(breaking(site))
        await stack.enter_async_context(site.controller(workers=40))
        stage = Stage(site, gateway, pods, hooks)
        tasks = [asyncio.create_task(stage.follow(resource)) for resource in KINDS]
        try:
            yield stage
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
