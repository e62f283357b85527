"""Hold a write of a controller in the API server, from the moment it was sent until the test lets it land.

A validating admission webhook that the test itself serves. It refuses nothing: it looks, and now and then it waits.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from flaggerpy.kube.client import Client
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CONFIG_MAPS, Ref, Resource
from tests.cluster.components import NODE_IP
from tests.kube.certificates import Authority

CONFIGURATIONS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)
_POD = "authentication.kubernetes.io/pod-name"
_RULES = {
    "": ("services", "configmaps"),
    "apps": ("deployments", "deployments/scale"),
    "flagger.app": ("canaries", "canaries/status"),
    "gateway.networking.k8s.io": ("httproutes",),
}


@dataclass(slots=True)
class Held:
    """A write that waits in the API server."""

    label: str
    request: JsonObject
    landing: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pod(self) -> str:
        """The Pod whose process sent it."""
        return str(self.request["userInfo"]["extra"][_POD][0])


@dataclass(slots=True)
class Door:
    """What passes from one ServiceAccount to the API server, and what is stopped on the way.

    Writes have labels that say what they do; the same thing done again in one rollout is ``#2``, and so on.
    """

    account: str
    passed: list[str] = field(default_factory=list)
    wanted: Callable[[str], bool] = lambda _: False
    held: asyncio.Queue[Held] = field(default_factory=asyncio.Queue)
    works: asyncio.Event = field(default_factory=asyncio.Event)
    _seen: Counter[str] = field(default_factory=Counter)

    def begin(self, wanted: Callable[[str], bool] = lambda _: False) -> None:
        """Begin to count a new rollout; ``wanted`` says which of its writes are to be held."""
        while not self.held.empty():
            self.held.get_nowait().landing.set()
        self.passed.clear()
        self._seen.clear()
        self.wanted = wanted

    async def review(self, request: JsonObject) -> None:
        """See a write, and return when it may land."""
        self.works.set()
        if request["userInfo"]["username"] != self.account or request.get("dryRun"):
            return
        what = describe(request)
        self._seen[what] += 1
        label = what if self._seen[what] == 1 else f"{what} #{self._seen[what]}"
        self.passed.append(label)
        if self.wanted(label):
            held = Held(label, request)
            self.held.put_nowait(held)
            await held.landing.wait()


def is_repetition(label: str) -> bool:
    """Whether a label is of a write that was made before in the same rollout."""
    return " #" in label


def describe(request: JsonObject) -> str:
    """Say in a few words what a write does."""
    kind = "/".join(filter(None, (request["resource"]["resource"], request.get("subResource"))))
    name = request.get("name") or ""
    obj = request.get("object") or {}
    match kind:
        case "canaries/status":
            status = obj.get("status") or {}
            rollout = status.get("rollout") or {}
            marks = [word for word in ("failing", "pending") if rollout.get(word)]
            return " ".join(["status", str(status.get("phase")), f"{status.get('canaryWeight', 0)}%", *marks])
        case "httproutes":
            weights = [str(ref.get("weight")) for ref in obj["spec"]["rules"][-1]["backendRefs"]]
            return f"route {':'.join(weights)}"
        case "deployments/scale":
            return f"scale {name} to {(obj.get('spec') or {}).get('replicas')}"
        case _:
            return f"{request['operation'].lower()} {kind} {name}"


@asynccontextmanager
async def door(client: Client, namespace: str, account: str, folder: Path) -> AsyncIterator[Door]:
    """Stand at the door of a namespace while the block lasts."""
    seen = Door(account)

    async def answer(request: web.Request) -> web.Response:
        review = await request.json()
        await seen.review(review["request"])
        response = {"uid": review["request"]["uid"], "allowed": True}
        return web.json_response({**{key: review[key] for key in ("apiVersion", "kind")}, "response": response})

    authority = Authority(folder)
    pair = authority.sign("door", NODE_IP)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    listener = socket.create_server((NODE_IP, 0))
    await web.SockSite(runner, listener, ssl_context=context).start()
    address = f"https://{NODE_IP}:{listener.getsockname()[1]}/"
    name = f"door-{namespace}"
    try:
        await client.create(CONFIGURATIONS, _configuration(name, namespace, address, authority.root.read_bytes()))
        await _knock(client, namespace, seen)
        yield seen
    finally:
        await client.delete(Ref(CONFIGURATIONS, "", name))
        await runner.cleanup()


async def _knock(client: Client, namespace: str, seen: Door) -> None:
    """Write something until the API server asks at the door: it learns of it a moment later."""
    ref = Ref(CONFIG_MAPS, namespace, "knock")
    async with asyncio.timeout(30):
        while not seen.works.is_set():
            await client.apply(ref, {"metadata": {"name": "knock"}, "data": {"at": str(time.time())}})
            await asyncio.sleep(0.1)


def _configuration(name: str, namespace: str, address: str, bundle: bytes) -> JsonObject:
    rules = [
        {"apiGroups": [group], "apiVersions": ["*"], "operations": ["*"], "resources": list(resources)}
        for group, resources in _RULES.items()
    ]
    webhook = {
        "name": "door.tests.flaggerpy.dev",
        "clientConfig": {"url": address, "caBundle": base64.b64encode(bundle).decode()},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": rules,
        "failurePolicy": "Ignore",
        "sideEffects": "None",
        "timeoutSeconds": 30,
        "admissionReviewVersions": ["v1"],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [webhook],
    }
