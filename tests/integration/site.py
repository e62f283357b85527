"""A namespace of its own with a controller that serves only this namespace, and the hands of its user.

The controller runs in the test's own event loop, on the real API server, through a transport that a test may wrap.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flaggerpy.app import App
from flaggerpy.clock import SystemClock
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import Conflict, NotFound
from flaggerpy.kube.objects import JsonObject, labels_of, name_of, resource_version_of, version_number
from flaggerpy.kube.resources import (
    ALERT_PROVIDERS,
    BUDGETS,
    CANARIES,
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    DAEMONSETS,
    DEPLOYMENTS,
    DESTINATION_RULES,
    EVENTS,
    GATEWAY_ROUTES,
    HPAS,
    HTTP_PROXIES,
    HTTP_ROUTES,
    HTTP_ROUTES_V1BETA1,
    INGRESSES,
    KNATIVE_SERVICES,
    METRIC_TEMPLATES,
    NAMESPACES,
    SCALED_OBJECTS,
    SECRETS,
    SERVICES,
    TRAEFIK_SERVICES,
    TRAFFIC_SPLITS,
    VIRTUAL_SERVICES,
    Ref,
    Resource,
    gateway_route,
    ref_of,
)
from flaggerpy.kube.transport import connect
from flaggerpy.kube.wire import Transport
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.settings import Settings
from tests.cluster.api import current
from tests.integration.controllers import Controller, Mortal

__all__ = ["Controller", "Site", "new_site"]

PATIENCE = 60.0
IMAGE = "ghcr.io/stefanprodan/podinfo"
KINDS = {
    resource.kind: resource
    for resource in (
        ALERT_PROVIDERS,
        BUDGETS,
        CANARIES,
        CONFIG_MAPS,
        DAEMONSETS,
        DEPLOYMENTS,
        DESTINATION_RULES,
        HPAS,
        HTTP_PROXIES,
        *(gateway_route(kind, "gateway.networking.k8s.io/v1") for kind in GATEWAY_ROUTES),
        INGRESSES,
        METRIC_TEMPLATES,
        SCALED_OBJECTS,
        SECRETS,
        SERVICES,
        TRAEFIK_SERVICES,
        VIRTUAL_SERVICES,
        Resource("", "v1", "resourcequotas", "ResourceQuota"),
        Resource("traefik.io", "v1alpha1", "ingressroutes", "IngressRoute"),
    )
}
"""Kinds that users write."""
_OTHERS = {
    (resource.api_version, resource.kind): resource
    for resource in (HTTP_ROUTES_V1BETA1, KNATIVE_SERVICES, *TRAFFIC_SPLITS.values())
}
"""Kinds of the same name in another group or version."""
_numbers = itertools.count(1)


def resource_of(obj: JsonObject) -> Resource:
    """Return the kind of an object in the version that it is written in."""
    return _OTHERS.get((obj["apiVersion"], obj["kind"])) or KINDS[obj["kind"]]


@dataclass(slots=True)
class Site:
    """One namespace, seen by its user."""

    client: Client
    namespace: str
    settings: Settings
    _controllers: list[Controller] = field(default_factory=list)

    def ref(self, resource: Resource, name: str) -> Ref:
        """Return a reference to an object of this namespace."""
        return Ref(resource, self.namespace, name)

    async def apply(self, *objects: JsonObject) -> None:
        """Apply objects as kubectl does on the server's side."""
        for obj in objects:
            metadata = {**obj["metadata"], "namespace": self.namespace}
            ref = self.ref(resource_of(obj), metadata["name"])
            await self.client.apply(ref, {**obj, "metadata": metadata})

    async def get(self, resource: Resource, name: str) -> JsonObject:
        """Return an object."""
        return await self.client.get(self.ref(resource, name))

    async def find(self, resource: Resource, name: str) -> JsonObject | None:
        """Return an object, None when there is none."""
        try:
            return await self.get(resource, name)
        except NotFound:
            return None

    async def canary(self, name: str = "podinfo") -> JsonObject:
        """Return the Canary."""
        return await self.get(CANARIES, name)

    async def phase(self, name: str = "podinfo") -> str:
        """Return the phase of the Canary, empty when it has none or is gone."""
        found = await self.find(CANARIES, name)
        return str(((found or {}).get("status") or {}).get("phase") or "")

    async def phase_is(self, phase: str, name: str = "podinfo", *, patience: float = PATIENCE) -> JsonObject:
        """Wait for a phase and return the Canary."""

        async def there() -> JsonObject | None:
            found = await self.canary(name)
            return found if (found.get("status") or {}).get("phase") == phase else None

        found: JsonObject = await self.until(there, f"phase {phase}", patience=patience)
        return found

    async def condition(self, kind: str, name: str = "podinfo") -> JsonObject:
        """Return a condition of the Canary, empty when it has none of this type."""
        rows = ((await self.canary(name)).get("status") or {}).get("conditions") or ()
        return next((dict(row) for row in rows if row["type"] == kind), {})

    async def reason(self, name: str = "podinfo") -> str:
        """Return why the Canary waits, in its own words."""
        status = (await self.canary(name)).get("status") or {}
        return str((status.get("rollout") or {}).get("reason") or "")

    async def reason_has(self, words: str, name: str = "podinfo", *, patience: float = PATIENCE) -> str:
        """Wait until the Canary's reason contains these words and return it."""

        async def there() -> str | None:
            reason = await self.reason(name)
            return reason if words in reason else None

        return str(await self.until(there, f"reason with {words!r}", patience=patience))

    async def stalled(self, words: str, name: str = "podinfo", *, patience: float = PATIENCE) -> str:
        """Wait until the Canary says that its user must mend something, in these words; return the sentence."""

        async def there() -> str | None:
            row = await self.condition("Stalled", name)
            return str(row["message"]) if row.get("status") == "True" and words in row["message"] else None

        return str(await self.until(there, f"Stalled condition with {words!r}", patience=patience))

    async def event(self, words: str, *, patience: float = PATIENCE) -> str:
        """Wait for an event of a Canary that contains these words and return it."""

        async def there() -> str | None:
            return next((message for message in await self.events() if words in message), None)

        return str(await self.until(there, f"event with {words!r}", patience=patience))

    async def gone(self, resource: Resource = CANARIES, name: str = "podinfo", *, patience: float = PATIENCE) -> None:
        """Wait until an object is gone."""

        async def there() -> bool:
            return await self.find(resource, name) is None

        await self.until(there, f"end of {resource.kind} {name}", patience=patience)

    async def exists(self, resource: Resource, name: str) -> JsonObject:
        """Wait until an object is there and return it."""
        found: JsonObject = await self.until(lambda: self.find(resource, name), f"{resource.kind} {name}")
        return found

    async def edit(self, resource: Resource, name: str, patch: JsonObject) -> JsonObject:
        """Change an object by a merge patch."""
        return await self.client.merge_patch(self.ref(resource, name), patch)

    async def set_weights(self, primary: int, canary: int, name: str = "podinfo") -> None:
        """Change the weights of the HTTPRoute by hand."""
        path = "/spec/rules/0/backendRefs/{}/weight"
        patch = [
            {"op": "replace", "path": path.format(index), "value": weight}
            for index, weight in enumerate((primary, canary))
        ]
        await self.client.json_patch(self.ref(HTTP_ROUTES, name), patch)

    async def set_image(self, tag: str, name: str = "podinfo") -> None:
        """Push a new revision."""
        path = "/spec/template/spec/containers/0/image"
        await self.client.json_patch(
            self.ref(DEPLOYMENTS, name), [{"op": "replace", "path": path, "value": f"{IMAGE}:{tag}"}]
        )

    async def image(self, name: str) -> str:
        """Return the image that a Deployment runs."""
        found = await self.get(DEPLOYMENTS, name)
        return str(found["spec"]["template"]["spec"]["containers"][0]["image"]).rpartition(":")[2]

    async def scale(self, replicas: int, name: str = "podinfo") -> None:
        """Scale a Deployment as ``kubectl scale`` does."""
        await self.client.scale(self.ref(DEPLOYMENTS, name), replicas)

    async def replicas(self, name: str) -> int:
        """Return the replicas that a Deployment asks for."""
        return int((await self.get(DEPLOYMENTS, name))["spec"]["replicas"])

    async def weights(self, name: str = "podinfo") -> dict[str, int]:
        """Return the weights of the HTTPRoute's backends by Service."""
        rule = (await self.get(HTTP_ROUTES, name))["spec"]["rules"][-1]
        return {backend["name"]: int(backend.get("weight", 1)) for backend in rule["backendRefs"]}

    async def selector(self, name: str) -> dict[str, str]:
        """Return what a Service selects."""
        return dict((await self.get(SERVICES, name))["spec"]["selector"])

    async def events(self) -> list[str]:
        """Return the messages of the Canary's events, oldest first."""
        items, _ = await self.client.list(EVENTS, self.namespace)
        mine = [item for item in items if item["involvedObject"]["kind"] == "Canary"]
        return [
            str(item["message"]) for item in sorted(mine, key=lambda item: int(item["metadata"]["resourceVersion"]))
        ]

    async def ours(self) -> list[str]:
        """Return kind and name of every object that carries our mark."""
        found = []
        for resource in (DEPLOYMENTS, DAEMONSETS, CONTROLLER_REVISIONS, HPAS, BUDGETS, SERVICES, CONFIG_MAPS, SECRETS):
            items, _ = await self.client.list(resource, self.namespace)
            found += [
                f"{resource.kind} {item['metadata']['name']}"
                for item in items
                if labels_of(item).get("app.kubernetes.io/managed-by") == "flaggerpy"
            ]
        return sorted(found)

    async def until(
        self, look: Callable[[], Awaitable[Any]], what: str, *, patience: float = PATIENCE, pause: float = 0.05
    ) -> Any:
        """Look until something is found; fail with what was last seen when patience ends."""
        try:
            async with asyncio.timeout(patience):
                while not (found := await look()):  # noqa: ASYNC110 -- what is waited for happens elsewhere
                    await asyncio.sleep(pause)
                return found
        except TimeoutError:
            canaries, _ = await self.client.list(CANARIES, self.namespace)
            states = {name_of(canary): canary.get("status") for canary in canaries}
            raise AssertionError(f"no {what} within {patience:g}s in {self.namespace}; status: {states}") from None

    async def version_when(
        self,
        resource: Resource,
        name: str,
        holds: Callable[[JsonObject], bool],
        *,
        since: str,
        patience: float = PATIENCE,
    ) -> int:
        """Watch an object from a version on and return the one in which something first holds.

        Versions of all kinds are counted in one row, so two of them tell what came first.
        """
        try:
            async with asyncio.timeout(patience):
                async for event in self.client.watch(resource, self.namespace, resource_version=since):
                    if event.type in {"ADDED", "MODIFIED"} and name_of(event.object) == name and holds(event.object):
                        return version_number(resource_version_of(event.object))
        except TimeoutError:
            pass
        raise AssertionError(f"{resource.kind} {name} never came to be what was waited for in {self.namespace}")

    async def settled(self, name: str = "podinfo", *, quiet: float = 1.5) -> JsonObject:
        """Wait until nobody has written the Canary for a while and return it."""
        last = await self.canary(name)
        while True:
            await asyncio.sleep(quiet)
            now = await self.canary(name)
            if now["metadata"]["resourceVersion"] == last["metadata"]["resourceVersion"]:
                return now
            last = now

    @asynccontextmanager
    async def controller(
        self, wrap: Callable[[Transport], Transport] = lambda inner: inner, **changes: Any
    ) -> AsyncIterator[Controller]:
        """Run a controller for this namespace while the block lasts."""
        settings = self.settings.model_copy(update=changes)
        async with await connect() as transport, Outbound() as outbound:
            mortal = Mortal(wrap(transport))
            controller = Controller(App(settings, mortal, outbound, SystemClock()), mortal)
            async with controller:
                yield controller


@asynccontextmanager
async def new_site(*, wire: Transport | None = None, **changes: Any) -> AsyncIterator[Site]:
    """Make a namespace and clear it away afterwards."""
    async with AsyncExitStack() as stack:
        if wire is None:
            wire = await stack.enter_async_context(await connect())
        client = Client(wire, field_manager="kubectl")
        name = f"site-{os.getpid()}-{next(_numbers)}"
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        settings = Settings(
            namespaces=(name,),
            mesh_provider="kubernetes",
            min_interval=timedelta(seconds=0.5),
            accept_within=timedelta(seconds=0.5),
            leader_election_namespace=name,
            port=0,
            qps=1000,
            burst=1000,
        ).model_copy(update=changes)
        site = Site(client, name, settings)
        try:
            yield site
        finally:
            await (_quieten if current().kind == "control-plane" else _remove)(client, name)


async def _quieten(client: Client, namespace: str) -> None:
    """Leave a namespace to the end of its cluster, without what somebody would go on looking at.

    To delete it costs the API server hundreds of requests, as much as many a test.
    """
    for resource in (HPAS, HTTP_PROXIES, HTTP_ROUTES):
        with suppress(NotFound):
            for left in (await client.list(resource, namespace))[0]:
                with suppress(NotFound):
                    await client.delete(ref_of(resource, left))


async def _remove(client: Client, namespace: str) -> None:
    """Delete a namespace, whatever a test left in it; one that cannot end would keep the cluster busy."""
    with suppress(NotFound, Conflict):
        for canary in (await client.list(CANARIES, namespace))[0]:
            with suppress(NotFound):
                await client.merge_patch(ref_of(CANARIES, canary), {"metadata": {"finalizers": None}})
    with suppress(NotFound, Conflict):  # a test may have deleted it
        await client.delete(Ref(NAMESPACES, "", namespace))
