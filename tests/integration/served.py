"""Are users served? Looks as kube-proxy and a gateway do: at the endpoints behind every Service that gets traffic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import HTTP_PROXIES, HTTP_ROUTES, INGRESSES, SERVICES, Resource
from tests.integration.site import Site
from tests.routers.cases import references

_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")


@dataclass(slots=True)
class Users:
    """Looks again and again whether a request would find a pod."""

    site: Site
    name: str
    failures: list[str] = field(default_factory=list)
    looks: int = 0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._look()
            await asyncio.sleep(0.05)

    async def _look(self) -> None:
        backends = await self._backends()
        slices, _ = await self.site.client.list(_SLICES, self.site.namespace)
        self.looks += 1
        # What lost its traffic while we looked may have lost its pods as well.
        still = await self._backends()
        for service in (name for name in backends if name in still):
            if not any(_is_ready(one) for one in slices if _service_of(one) == service):
                now = datetime.now(UTC)
                self.failures.append(f"{now:%H:%M:%S.%f}: {service} gets traffic and has no pod")

    async def _backends(self) -> list[str]:
        for resource in (HTTP_ROUTES, HTTP_PROXIES):
            route = await self.site.find(resource, self.name)
            if route is not None:
                return [name for name, weight in references(route) if weight]
        ingresses, _ = await self.site.client.list(INGRESSES, self.site.namespace)
        if ingresses:
            return [name for one in ingresses for name, weight in references(one | {"kind": "Ingress"}) if weight]
        return [self.name] if await self.site.find(SERVICES, self.name) else [f"nothing instead of {self.name}"]


async def is_reachable(site: Site, service: str) -> bool:
    """Tell whether a request to a Service would find a pod."""
    slices, _ = await site.client.list(_SLICES, site.namespace)
    return any(_is_ready(one) for one in slices if _service_of(one) == service)


def _service_of(one: JsonObject) -> str:
    return str((one["metadata"].get("labels") or {}).get("kubernetes.io/service-name"))


def _is_ready(one: JsonObject) -> bool:
    return any((endpoint.get("conditions") or {}).get("ready") for endpoint in one.get("endpoints") or ())


LOOKS = 4
"""Fewer say little; a busy machine may need longer for them than for what is looked at."""


@asynccontextmanager
async def always_served(site: Site, name: str = "podinfo") -> AsyncIterator[Users]:
    """Demand that users are served at every look while the block lasts."""
    users = Users(site, name)
    task = asyncio.create_task(users.run())
    try:
        yield users
        while users.looks < LOOKS and not task.done():  # noqa: ASYNC110 -- who looks sleeps between two looks as well
            await asyncio.sleep(0.05)
    finally:
        if task.done():
            task.result()
        task.cancel()
        await asyncio.wait([task])
    assert not users.failures, users.failures
