"""The schemas on a real API server, under a group of their own so that nobody else's canaries are in the way."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from flaggerpy.api.canary import parse_canary
from flaggerpy.api.constants import VERSION
from flaggerpy.api.crds import KINDS, definitions
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import ApiError, NotFound
from flaggerpy.kube.resources import CRDS, NAMESPACES, Ref, Resource
from flaggerpy.kube.transport import connect
from tests.api.fixtures import CANARIES, NONSENSE, OTHERS, SEED, STATUSES, JsonObject
from tests.api.test_status import full
from tests.builders import canary_json, flagger_crd
from tests.cluster.api import Cluster

pytestmark = pytest.mark.integration

PATIENCE = 20.0


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so, at most for PATIENCE seconds."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 -- it is the API server's state, nothing here can tell
            await asyncio.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Ground:
    """An API group of one's own with a namespace of the same name."""

    client: Client
    group: str
    namespace: str

    def resource(self, kind: str) -> Resource:
        plural = next(ours.plural for ours in KINDS if ours.kind == kind)
        return Resource(self.group, VERSION, plural, kind)

    async def install(self, *crds: JsonObject) -> None:
        for crd in crds:
            moved = copy.deepcopy(crd)
            moved["spec"]["group"] = self.group
            moved["metadata"]["name"] = f"{crd['spec']['names']['plural']}.{self.group}"
            installed = await self.client.apply(Ref(CRDS, "", moved["metadata"]["name"]), moved)
            await self.established(installed["metadata"]["name"])

    async def established(self, name: str) -> None:
        async def is_served() -> bool:
            crd = await self.client.get(Ref(CRDS, "", name))
            conditions = crd.get("status", {}).get("conditions") or ()
            stated = {each["type"]: each["status"] for each in conditions}
            assert stated.get("NonStructuralSchema", "False") == "False", conditions
            return stated.get("Established") == "True"

        await until(is_served)

    async def create(self, obj: JsonObject, name: str = "") -> JsonObject:
        metadata = {**obj["metadata"], "namespace": self.namespace, "name": name or obj["metadata"]["name"]}
        for server_side in ("uid", "resourceVersion", "generation", "finalizers"):
            metadata.pop(server_side, None)
        moved = {**obj, "apiVersion": f"{self.group}/{VERSION}", "metadata": metadata}
        resource = self.resource(obj["kind"])
        stored: list[JsonObject] = []

        async def is_created() -> bool:
            with contextlib.suppress(NotFound):  # the API server serves a new kind a moment after it says so
                stored.append(await self.client.create(resource, moved))
            return bool(stored)

        await until(is_created)
        return stored[0]

    async def set_status(self, stored: JsonObject, status: JsonObject) -> JsonObject:
        ref = Ref(self.resource(stored["kind"]), self.namespace, stored["metadata"]["name"])
        live = await self.client.get(ref)
        return await self.client.replace_status(ref, live | {"status": status})


@asynccontextmanager
async def ground(name: str) -> AsyncIterator[Ground]:
    group = f"{name}.flagger.test"
    async with await connect() as transport:
        client = Client(transport, field_manager="test")
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        try:
            yield Ground(client, group, name)
        finally:
            await client.delete(Ref(NAMESPACES, "", name))
            for kind in KINDS:
                with contextlib.suppress(NotFound):
                    await client.delete(Ref(CRDS, "", f"{kind.plural}.{group}"))


async def test_the_schemas_are_accepted_and_admit_what_flagger_admits_without_pruning(control_plane: Cluster) -> None:
    async with ground("kinds-admit") as on:
        await on.install(*definitions())
        for number, obj in enumerate([SEED, *CANARIES, *NONSENSE, *OTHERS]):
            stored = await on.create(obj, f"object-{number}")
            assert without_defaults(stored["spec"]) == without_defaults(obj["spec"]), obj["metadata"]
        for number, status in enumerate(STATUSES):
            stored = await on.create(canary_json(), f"status-{number}")
            assert (await on.set_status(stored, status))["status"] == status


def without_defaults(spec: JsonObject) -> JsonObject:
    """Leave out what both CRDs write into stored objects."""
    spec = copy.deepcopy(spec)
    service = spec.get("service", {})
    for parent in [*service.get("gatewayRefs", ()), *(mirror["backendRef"] for mirror in service.get("mirror", ()))]:
        for field, default in (("group", "gateway.networking.k8s.io"), ("kind", "Gateway")):
            if parent.get(field) == default:
                del parent[field]
        for field, default in (("group", ""), ("kind", "Service")):
            if parent.get(field) == default:
                del parent[field]
    affinity = spec.get("analysis", {}).get("sessionAffinity", {})
    if affinity.get("maxAge") == 86400:
        del affinity["maxAge"]
    return spec


async def test_the_api_server_refuses_what_flagger_refuses(control_plane: Cluster) -> None:
    mirror = {"mirror": [{"backendRef": {"name": "copy"}}]}
    refused = {
        "two plans": canary_json(analysis={"iterations": 3}),
        "no plan": canary_json(analysis={"stepWeight": None}),
        "hours": canary_json(analysis={"interval": "1h"}),
        "no port": canary_json(service={"port": None}),
        "a StatefulSet": canary_json(spec={"targetRef": {"apiVersion": "v1", "kind": "StatefulSet", "name": "a"}}),
        "a mirror to a Service without port": canary_json(service=mirror),
        "two ways to match": canary_json(service={"match": [{"uri": {"exact": "/", "prefix": "/"}}]}),
        "two addresses": {
            "kind": "AlertProvider",
            "metadata": {"name": "a"},
            "spec": {"type": "slack", "address": "https://a.test", "secretRef": {"name": "a"}},
        },
    }
    async with ground("kinds-refuse") as on:
        await on.install(*definitions())
        for number, (title, obj) in enumerate(refused.items()):
            with pytest.raises(ApiError) as caught:
                await on.create(obj, f"refused-{number}")
            assert caught.value.status == 422, (title, caught.value)
        whole = {"mirror": [{"backendRef": {"name": "copy", "port": 80}}]}
        stored = await on.create(canary_json(service=whole), "mirror")
        assert stored["spec"]["service"]["mirror"][0]["backendRef"]["kind"] == "Service"


async def test_our_status_survives_only_under_our_schema_and_an_upgrade_loses_nothing(control_plane: Cluster) -> None:
    status = full().to_json()
    async with ground("kinds-upgrade") as on:
        await on.install(flagger_crd())
        stored = await on.create(canary_json(), "web")
        pruned = (await on.set_status(stored, status))["status"]
        assert status.keys() - pruned.keys() == {"observedGeneration", "rollout"}
        await on.install(*definitions())

        async def is_kept() -> bool:
            return bool((await on.set_status(stored, status))["status"] == status)

        await until(is_kept)  # the API server takes a new schema up a moment later
        after = await on.client.get(Ref(on.resource("Canary"), on.namespace, "web"))
        assert after["spec"] == stored["spec"]
        assert parse_canary(after).status.to_json() == status
