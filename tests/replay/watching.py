"""Writes down every state of the objects of a namespace that was empty when it began."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from flaggerpy.kube.client import Client
from flaggerpy.kube.objects import name_of, resource_version_of, version_number
from flaggerpy.kube.resources import (
    CANARIES,
    CONFIG_MAPS,
    DAEMONSETS,
    DEPLOYMENTS,
    HPAS,
    HTTP_PROXIES,
    HTTP_ROUTES,
    SCALED_OBJECTS,
    SECRETS,
    SERVICES,
    Resource,
)
from tests.integration.watching import changes_from
from tests.replay.story import Change, JsonObject

WATCHED = (
    CANARIES,
    DEPLOYMENTS,
    DAEMONSETS,
    SERVICES,
    CONFIG_MAPS,
    SECRETS,
    HPAS,
    SCALED_OBJECTS,
    HTTP_ROUTES,
    HTTP_PROXIES,
)


class Watcher:
    """Follows one namespace."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._versions: dict[Resource, str] = {}
        self._seen: list[tuple[int, Change]] = []
        self._news = asyncio.Event()
        self._last = asyncio.get_running_loop().time()

    @property
    def changes(self) -> list[Change]:
        """All changes in the order in which the API server made them."""
        return [change for _, change in sorted(self._seen, key=lambda seen: seen[0])]

    def statuses(self, name: str, since: int) -> list[JsonObject]:
        """Return the statuses of a canary after so many changes."""
        return [
            change.obj.get("status") or {}
            for _, change in self._seen[since:]
            if change.kind == "Canary" and change.name == name and change.obj is not None
        ]

    def count(self) -> int:
        """Return how many changes were seen."""
        return len(self._seen)

    async def open(self) -> None:
        """Take note of where the story begins."""
        for resource in WATCHED:
            _, self._versions[resource] = await self._client.list(resource, self._namespace)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for resource, version in self._versions.items():
                group.create_task(self._follow(resource, version))

    def wake(self) -> None:
        """Have everybody who waits look again."""
        self._news.set()

    async def until(self, true: Callable[[], bool], what: str, patience: float) -> None:
        """Wait until something holds, looking whenever there is news."""
        try:
            async with asyncio.timeout(patience):
                while not true():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no {what} within {patience:g} s; the canaries: {self._canaries()}") from None

    async def quiet(self, seconds: float, patience: float) -> None:
        """Wait until nothing has changed for so long; what never rests is left after ``patience``."""
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        while (rest := min(self._last + seconds, end) - loop.time()) > 0:  # noqa: ASYNC110 -- nothing happens at its end
            await asyncio.sleep(rest)

    def _canaries(self) -> dict[str, JsonObject]:
        return {
            change.name: change.obj.get("status") or {}
            for _, change in self._seen
            if change.kind == "Canary" and change.obj is not None
        }

    async def _follow(self, resource: Resource, version: str) -> None:
        async with aclosing(changes_from(self._client, resource, self._namespace, version)) as changes:
            async for event in changes:
                at = version_number(resource_version_of(event.object))
                obj = None if event.type == "DELETED" else event.object
                self._seen.append((at, Change(resource.kind, name_of(event.object), obj)))
                self._last = asyncio.get_running_loop().time()
                self.wake()
