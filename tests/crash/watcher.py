"""Eyes on one namespace: every state of its objects, in the order in which the API server made them.

All kinds live in one etcd, whose revision is every object's resourceVersion: sorted by it, changes of different kinds
are in their true order, however late a watch tells of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

from flaggerpy.kube.client import Client
from flaggerpy.kube.objects import JsonObject, generation_of, name_of, resource_version_of, version_number
from flaggerpy.kube.resources import CANARIES, DAEMONSETS, DEPLOYMENTS, HTTP_ROUTES, SERVICES, Ref, Resource
from tests.integration.watching import changes_from

WORKLOADS = (DEPLOYMENTS, DAEMONSETS)
WATCHED = (CANARIES, *WORKLOADS, HTTP_ROUTES, SERVICES)
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Change:
    """An object as it was from a resourceVersion on, None when it was gone."""

    version: int
    resource: Resource
    name: str
    obj: JsonObject | None


@dataclass(slots=True)
class State:
    """The objects of one instant by kind and name."""

    objects: dict[tuple[Resource, str], JsonObject] = field(default_factory=dict)

    def get(self, resource: Resource, name: str) -> JsonObject | None:
        """Return an object, None when it does not exist."""
        return self.objects.get((resource, name))

    def all(self, resource: Resource) -> list[JsonObject]:
        """Return all objects of a kind."""
        return [obj for (kind, _), obj in self.objects.items() if kind == resource]

    def workload(self, name: str) -> JsonObject | None:
        """Return a workload of any kind, None when there is none of this name."""
        return next((found for kind in WORKLOADS if (found := self.get(kind, name)) is not None), None)

    def workloads(self) -> list[JsonObject]:
        """Return all workloads."""
        return [obj for kind in WORKLOADS for obj in self.all(kind)]

    def take(self, change: Change) -> None:
        """Become the next state."""
        if change.obj is None:
            self.objects.pop((change.resource, change.name), None)
        else:
            self.objects[change.resource, change.name] = change.obj


class Watcher:
    """Follows a namespace that was empty when it began, and plays the gateway that accepts every route."""

    begun = 0
    """The resourceVersion at which the first controller came; what was before is no controller's doing."""

    def __init__(self, client: Client, namespace: str, kinds: tuple[Resource, ...] = WATCHED) -> None:
        self.now = State()
        self.changes: list[Change] = []
        self._client = client
        self._namespace = namespace
        self._kinds = kinds
        self._waiting: list[tuple[Callable[[State], bool], asyncio.Future[None]]] = []
        self._versions: dict[Resource, str] = {}
        self._broken: ExceptionGroup | None = None

    async def open(self) -> None:
        """Take note of where the story begins."""
        for resource in self._kinds:
            items, self._versions[resource] = await self._client.list(resource, self._namespace)
            assert not items, f"{self._namespace} was not empty"

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for resource, version in self._versions.items():
                    group.create_task(self._follow(resource, version))
        except ExceptionGroup as error:
            self._broken = error
            for _, over in self._waiting:
                if not over.done():
                    over.set_exception(error)

    async def until(self, true: Callable[[State], bool], what: str, *, patience: float = PATIENCE) -> None:
        """Wait for a state that is as wanted, however short it lasts."""
        if true(self.now):
            return
        if self._broken is not None:
            raise self._broken
        waiter = (true, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(patience):
                await waiter[1]
        except TimeoutError:
            raise AssertionError(f"no {what} within {patience:g} s; {await self._story()}") from None
        finally:
            self._waiting.remove(waiter)

    async def _story(self) -> str:
        """Say what was heard, and what the API server has now, which may be more."""
        told = {name_of(canary): canary.get("status") for canary in self.now.all(CANARIES)}
        sizes = {name_of(one): one["spec"].get("replicas") for one in self.now.workloads()}
        heard = dict(Counter(change.resource.plural for change in self.changes))
        there = [one for kind in WORKLOADS for one in (await self._client.list(kind, self._namespace))[0]]
        real = {name_of(one): (one["metadata"]["creationTimestamp"], one.get("status")) for one in there}
        return f"sizes: {sizes}; status: {told}; changes heard of: {heard}; workloads there are: {real}"

    async def change_beyond(self, count: int) -> None:
        """Wait a little until more changes were seen than so many."""
        await self.until(lambda _: len(self.changes) > count, "further change", patience=3)

    def begin(self) -> None:
        """Take note that controllers come now."""
        self.begun = max((change.version for change in self.changes), default=0)

    def states(self) -> Iterator[tuple[Change, State]]:
        """Yield every change since controllers came with the state that it led to."""
        state = State()
        for change in sorted(self.changes, key=lambda change: change.version):
            state.take(change)
            if change.version > self.begun:
                yield change, state

    async def _follow(self, resource: Resource, version: str) -> None:
        async with aclosing(changes_from(self._client, resource, self._namespace, version)) as changes:
            async for event in changes:
                await self._take(resource, event.object, gone=event.type == "DELETED")

    async def _take(self, resource: Resource, obj: JsonObject, *, gone: bool) -> None:
        version = version_number(resource_version_of(obj))
        change = Change(version, resource, name_of(obj), None if gone else obj)
        self.changes.append(change)
        self.now.take(change)
        for true, over in self._waiting:
            if not over.done() and true(self.now):
                over.set_result(None)
        if resource == HTTP_ROUTES and not gone:
            await self._accept(obj)

    async def _accept(self, route: JsonObject) -> None:
        """Do what a gateway controller does with a new generation of a route."""
        parents = (route.get("status") or {}).get("parents") or ()
        generation = generation_of(route)
        if any(
            condition["observedGeneration"] == generation for parent in parents for condition in parent["conditions"]
        ):
            return
        answer = [
            {
                "parentRef": reference,
                "controllerName": "example.com/gateway",
                "conditions": [
                    {
                        "type": kind,
                        "status": "True",
                        "reason": kind,
                        "message": "",
                        "observedGeneration": generation,
                        "lastTransitionTime": "2024-01-01T00:00:00Z",
                    }
                    for kind in ("Accepted", "ResolvedRefs")
                ],
            }
            for reference in route["spec"]["parentRefs"]
        ]
        ref = Ref(HTTP_ROUTES, self._namespace, name_of(route))
        await self._client.merge_patch(ref, {"status": {"parents": answer}}, subresource="status")
