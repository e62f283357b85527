"""Plays Flagger: makes and writes objects as it does, under its field manager, with its ownerReferences.

Objects are created with POST and replaced with PUT. What the user gives is applied by kubectl on the client's side, as
in most clusters that Flagger serves. Nothing here decides anything: a test says which phase is to be left behind.
"""

from __future__ import annotations

import asyncio
import copy
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import Conflict
from flaggerpy.kube.objects import JsonObject, metadata_of, observed_generation_of
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, HTTP_PROXIES, HTTP_ROUTES, SERVICES, Ref, Resource
from flaggerpy.kube.transport import connect
from tests.integration.objects import deployment
from tests.integration.site import Site

FIRST_HASH, SECOND_HASH = "8dbdc448", "64c5fc694f"
HANDS_OFF = {
    "helm.toolkit.fluxcd.io/driftDetection": "disabled",
    "kustomize.toolkit.fluxcd.io/reconcile": "disabled",
}
PROMOTED = {"Initialized": "True", "Succeeded": "True", "Failed": "False"}
KINDS = {"gatewayapi:v1": HTTP_ROUTES, "contour": HTTP_PROXIES}


def workload(tag: str) -> JsonObject:
    """Write the user's Deployment; its size is left to Flagger."""
    made = deployment(tag=tag)
    del made["spec"]["replicas"]
    return made


def stamp() -> str:
    """Write a time as Flagger does, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@asynccontextmanager
async def flagger(
    site: Site, *, provider: str = "gatewayapi:v1", written: Callable[[str], JsonObject] = workload
) -> AsyncIterator[Flagger]:
    """Let Flagger work on the canary of a site while the block lasts; ``written`` is what the user applies by tag."""
    async with await connect() as transport:
        yield Flagger(site, Client(transport, field_manager="flagger"), provider, written)


@dataclass
class Flagger:
    """Flagger in one namespace, at work on one canary."""

    site: Site
    client: Client
    provider: str
    written: Callable[[str], JsonObject]
    canary: JsonObject = field(default_factory=dict)

    name: ClassVar[str] = "podinfo"

    async def apply(self, *objects: JsonObject) -> None:
        """Apply the user's objects as ``kubectl apply`` does on the client's side."""
        text = "\n---\n".join(json.dumps(obj) for obj in objects)
        words = ["kubectl", "apply", "--namespace", self.site.namespace, "--filename", "-"]
        done = await asyncio.to_thread(
            subprocess.run, words, input=text, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr

    # What it makes

    async def begin(self, canary: JsonObject) -> None:
        """See a new Canary and make what it makes first: two Services and the primary."""
        await self.apply(self.written("6.0.0"), canary)
        await self.site.until(lambda: self._ready(self.name), "the target")
        self.canary = await self.site.canary(self.name)
        await self.status("Initializing", applied=None, promoted=None, tracked=None)
        await self._service(f"{self.name}-canary", self.name)
        await self._service(f"{self.name}-primary", f"{self.name}-primary")
        await self._primary()
        await self.site.until(self.primary_is_ready, "the primary")

    async def initialize(self) -> None:
        """Move users to the primary and let the target sleep."""
        await self._service(self.name, f"{self.name}-primary")
        await self.scale(0)
        if self.provider in KINDS:
            await self._create(KINDS[self.provider], self._route(0))
        await self.status("Initialized")

    async def _create(self, resource: Resource, body: JsonObject) -> None:
        owner = {
            "apiVersion": "flagger.app/v1beta1",
            "kind": "Canary",
            "name": self.name,
            "uid": self.canary["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        metadata = {**body["metadata"], "namespace": self.site.namespace, "ownerReferences": [owner]}
        await self.client.create(resource, {**body, "metadata": metadata})

    async def _service(self, name: str, selected: str) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "labels": {"app": name}, "annotations": HANDS_OFF},
            "spec": {
                "type": "ClusterIP",
                "selector": {"app": selected},
                "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 9898}],
            },
        }
        await self._create(SERVICES, body)

    async def _primary(self) -> None:
        target = await self.site.get(DEPLOYMENTS, self.name)
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": f"{self.name}-primary",
                "labels": {"app": f"{self.name}-primary"},
                # Flagger copies all annotations at creation, kubectl's among them.
                "annotations": metadata_of(target)["annotations"],
            },
            "spec": {
                **{key: target["spec"][key] for key in ("progressDeadlineSeconds", "revisionHistoryLimit", "strategy")},
                "replicas": target["spec"]["replicas"],
                "selector": {"matchLabels": {"app": f"{self.name}-primary"}},
                "template": self._template(target, "first"),
            },
        }
        await self._create(DEPLOYMENTS, body)

    def _template(self, target: JsonObject, mark: str) -> JsonObject:
        template: JsonObject = copy.deepcopy(target["spec"]["template"])
        metadata = template["metadata"]
        metadata["labels"] = {**metadata["labels"], "app": f"{self.name}-primary"}
        metadata["annotations"] = {**(metadata.get("annotations") or {}), "flagger-id": mark}
        return template

    def _route(self, weight: int, *, mirrored: bool = False) -> JsonObject:
        names = ((f"{self.name}-primary", 100 - weight), (f"{self.name}-canary", weight))
        metadata = {"name": self.name, "annotations": HANDS_OFF}
        if self.provider == "contour":
            services = [self._proxied(name, share) for name, share in names]
            spec = {"routes": [{"conditions": [{"prefix": "/"}], "services": services}]}
            return {"apiVersion": "projectcontour.io/v1", "kind": "HTTPProxy", "metadata": metadata, "spec": spec}
        backends = [{"group": "", "kind": "Service", "name": name, "port": 80, "weight": w} for name, w in names]
        service = self.canary["spec"]["service"]
        gateway = {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
        rule: JsonObject = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": backends}
        if mirrored:
            copied = {key: value for key, value in backends[1].items() if key != "weight"}
            rule["filters"] = [{"type": "RequestMirror", "requestMirror": {"backendRef": copied}}]
        return {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": metadata,
            "spec": {
                "hostnames": service["hosts"],
                "parentRefs": [{**gateway, **reference} for reference in service["gatewayRefs"]],
                "rules": [rule],
            },
        }

    def _proxied(self, name: str, weight: int) -> JsonObject:
        host = {"name": "l5d-dst-override", "value": f"{name}.{self.site.namespace}.svc.cluster.local:80"}
        return {"name": name, "port": 80, "weight": weight, "requestHeadersPolicy": {"set": [host]}}

    # What it writes later

    async def push(self, tag: str) -> None:
        """Let the user give the target a new revision."""
        await self.apply(self.written(tag))

    async def scale(self, replicas: int) -> None:
        """Scale the target, by writing it whole as Flagger does."""
        await self._write(DEPLOYMENTS, self.name, {"replicas": replicas})

    async def wake(self) -> None:
        """Scale the target up and wait until it is ready."""
        await self.scale(1)
        await self.site.until(lambda: self._ready(self.name), "the canary")

    async def route(self, weight: int, *, mirrored: bool = False) -> None:
        """Give the canary this share of users, and copies of requests as it does with the Gateway API."""
        if self.provider not in KINDS:
            return
        await self._write(KINDS[self.provider], self.name, self._route(weight, mirrored=mirrored)["spec"])

    async def promote(self) -> None:
        """Copy the target's template to the primary."""
        target = await self.site.get(DEPLOYMENTS, self.name)
        await self._write(DEPLOYMENTS, f"{self.name}-primary", {"template": self._template(target, "second")})

    async def primary_is_ready(self) -> bool:
        """Tell whether the primary runs what it was given last."""
        return await self._ready(f"{self.name}-primary")

    async def _write(self, resource: Resource, name: str, spec: JsonObject) -> None:
        """Replace an object with these fields in its spec, again if somebody else wrote it meanwhile."""
        ref = Ref(resource, self.site.namespace, name)
        while True:
            live = await self.client.get(ref)
            with suppress(Conflict):
                await self.client.replace(ref, {**live, "spec": {**live["spec"], **spec}})
                return

    async def status(
        self,
        phase: str,
        *,
        applied: str | None = FIRST_HASH,
        promoted: str | None = FIRST_HASH,
        tracked: JsonObject | None = {},  # noqa: B006 -- never changed
        **fields: Any,
    ) -> None:
        """Put the whole status, with nothing in it that Flagger does not know."""
        ref = Ref(CANARIES, self.site.namespace, self.name)
        now = stamp()
        status: JsonObject = {
            "phase": phase,
            "canaryWeight": 0,
            "failedChecks": 0,
            "iterations": 0,
            "lastAppliedSpec": applied,
            "lastPromotedSpec": promoted,
            "lastTransitionTime": now,
            "trackedConfigs": tracked,
            "conditions": [
                {
                    "type": "Promoted",
                    "status": PROMOTED.get(phase, "Unknown"),
                    "reason": phase,
                    "message": f"{phase}.",
                    "lastUpdateTime": now,
                    "lastTransitionTime": now,
                }
            ],
            **fields,
        }
        known = {key: value for key, value in status.items() if value is not None}
        while True:
            live = await self.client.get(ref)
            with suppress(Conflict):
                self.canary = await self.client.replace_status(ref, {**live, "status": known})
                return

    async def _ready(self, name: str) -> bool:
        found = await self.site.get(DEPLOYMENTS, name)
        status, wanted = found.get("status") or {}, found["spec"]["replicas"]
        seen = observed_generation_of(found) == metadata_of(found)["generation"]
        numbers = {status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")}
        return seen and numbers == {wanted}
