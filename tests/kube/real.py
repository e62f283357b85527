"""A real API server, for integration tests of the machinery: clients, a namespace, and users with few rights."""

from __future__ import annotations

import asyncio
import base64
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from flaggerpy.kube.client import Client
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import NAMESPACES, Ref, Resource
from flaggerpy.kube.transport import HttpTransport, connect
from flaggerpy.kube.wire import Request
from tests.cluster.api import Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.state import Home

SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace of its own, and a client that may do everything."""

    client: Client
    transport: HttpTransport
    namespace: str

    def meta(self, name: str) -> JsonObject:
        return {"name": name, "namespace": self.namespace}

    def deployment(self, name: str = "podinfo", replicas: int = 1) -> JsonObject:
        """Return a Deployment of which no pod will ever be ready."""
        labels = {"app": name}
        container = {"name": "main", "image": "registry.invalid/none:1", "imagePullPolicy": "Never"}
        return {
            "metadata": self.meta(name),
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }

    async def user(self, folder: Path, name: str = "guest") -> str:
        """Make a service account without rights and return the path of a kubeconfig with its token."""
        await self.client.create(SERVICE_ACCOUNTS, {"metadata": self.meta(name)})
        path = SERVICE_ACCOUNTS.path(self.namespace, name, "token")
        request: JsonObject = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = await self.transport.send(
            Request("POST", path, body=yaml.safe_dump(request).encode(), content_type="application/yaml")
        )
        token = yaml.safe_load(answer.body)["status"]["token"]
        config = _own_kubeconfig()
        config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": token}}]
        target = folder / f"{name}.kubeconfig"
        target.write_text(yaml.safe_dump(config))
        return str(target)

    async def allow(self, name: str, group: str, plural: str) -> None:
        """Let a service account of this namespace read one kind in it."""
        rule = {"apiGroups": [group], "resources": [plural], "verbs": ["get", "list", "watch"]}
        await self.client.create(ROLES, {"metadata": self.meta(plural), "rules": [rule]})
        binding = {
            "metadata": self.meta(plural),
            "roleRef": {"apiGroup": ROLES.group, "kind": "Role", "name": plural},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}],
        }
        await self.client.create(ROLE_BINDINGS, binding)


async def forget_history(cluster: Cluster) -> None:
    """Compact the store and restart the server, so that neither remembers what was before."""
    spec = Home(cluster.home).spec() if cluster.home else None
    if spec is None:
        raise ClusterError("The store of an external cluster cannot be compacted from here.")
    etcd = f"http://127.0.0.1:{spec.ports.etcd}/v3/kv"
    async with aiohttp.ClientSession() as session:
        key = base64.b64encode(b"/").decode()
        async with session.post(f"{etcd}/range", json={"key": key}) as answer:
            revision = (await answer.json())["header"]["revision"]
        async with session.post(f"{etcd}/compaction", json={"revision": revision, "physical": True}) as answer:
            answer.raise_for_status()
    await asyncio.to_thread(cluster.restart_apiserver)


def _own_kubeconfig() -> Any:
    return yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    """Make a namespace and take it away afterwards, without waiting for its end."""
    async with await connect() as transport:
        client = Client(transport)
        name = f"kube-{uuid.uuid4().hex[:8]}"
        await client.create(NAMESPACES, {"metadata": {"name": name}})
        try:
            yield Place(client, transport, name)
        finally:
            await client.delete(Ref(NAMESPACES, "", name))
