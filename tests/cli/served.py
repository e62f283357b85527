"""A fake API server for commands, which bring an event loop of their own: it runs in a thread, with a kubeconfig."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from click.testing import CliRunner, Result

from flaggerpy.api.base import ApiModel
from flaggerpy.api.status import CanaryStatus, Phase, Revision, RolloutStatus
from flaggerpy.cli.main import main
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, Ref, Resource
from flaggerpy.targets.identity import template_identity
from tests.builders import canary_json
from tests.kube.clocks import eventually, settle
from tests.kube.fake_apiserver import FakeApiServer
from tests.targets.objects import deployment, template

T = TypeVar("T")

WEB = Ref(CANARIES, "shop", "web")
TARGET = Ref(DEPLOYMENTS, "shop", "web")
READY = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


@dataclass(slots=True)
class Served:
    """The server, seen from the test's thread."""

    server: FakeApiServer
    kubeconfig: Path
    _loop: asyncio.AbstractEventLoop
    _scripts: list[Future[None]] = field(default_factory=list)

    def do(self, action: Callable[[FakeApiServer], T]) -> T:
        """Do something with the server in its own thread."""

        async def done() -> T:
            return action(self.server)

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(10)

    def put(self, resource: Resource, obj: JsonObject) -> JsonObject:
        return self.do(lambda server: server.put(resource, obj))

    def meanwhile(self, script: Callable[[FakeApiServer], Awaitable[None]]) -> None:
        """Let something happen once the command has begun to watch a canary."""
        self.once(lambda server: server.watching(CANARIES), script)

    def once(self, seen: Callable[[FakeApiServer], object], script: Callable[[FakeApiServer], Awaitable[None]]) -> None:
        """Let something happen once the server has seen something of the command."""

        async def run() -> None:
            await eventually(lambda: seen(self.server), what="what the command does first")
            await script(self.server)

        self._scripts.append(asyncio.run_coroutine_threadsafe(run(), self._loop))

    @contextmanager
    def beside(self, other: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Keep another server open in this one's thread while the block lasts."""
        opened = asyncio.run_coroutine_threadsafe(other.__aenter__(), self._loop).result(10)
        try:
            yield opened
        finally:
            asyncio.run_coroutine_threadsafe(other.__aexit__(None, None, None), self._loop).result(10)

    def run(self, *words: str) -> Result:
        """Run a command; whatever was to happen meanwhile must have happened without a fault."""
        result = CliRunner().invoke(main, words, catch_exceptions=False)
        for script in self._scripts:
            script.result(10)
        return result


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Serve while the block lasts; the kubeconfig's context means namespace shop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fake API server")
    thread.start()
    server = FakeApiServer()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
        yield Served(server, kubeconfig(folder, server.url), loop)
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _stop(server: FakeApiServer) -> None:
    """Stop with every connection closed: those that were just opened become known first, the others close after."""
    await settle()
    await server.stop()
    await settle()


def kubeconfig(folder: Path, url: str) -> Path:
    """Write a kubeconfig with the contexts ``shop`` and ``bank``, each of which means its namespace."""
    contexts = [
        {"name": name, "context": {"cluster": "fake", "user": "me", "namespace": name}} for name in ("shop", "bank")
    ]
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "shop",
        "contexts": contexts,
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {"token": "t"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(body), encoding="utf-8")
    return path


# What stands on the server


def pod_template(tag: str = "1") -> JsonObject:
    """Build the pod template of a revision; it reads ConfigMap settings and Secret key."""
    made = template()
    made["spec"]["containers"][0]["image"] = f"example/web:{tag}"
    return made


def revision(tag: str = "1", **fields: Any) -> Revision:
    """Build the record of a revision as the controller writes it."""
    return Revision(template=template_identity(pod_template(tag)), **fields)


def status(phase: Phase, tag: str = "1", *, rollout: dict[str, Any] | None = None, **fields: Any) -> CanaryStatus:
    """Build the status of a canary whose rollout of this revision is in this phase."""
    return CanaryStatus(phase=phase, rollout=RolloutStatus(**{"applied": revision(tag), **(rollout or {})}), **fields)


def canary(at: ApiModel | None = None, name: str = "web", namespace: str = "shop", **spec: Any) -> JsonObject:
    """Build a Canary with a status."""
    written = canary_json(name, namespace, spec={"provider": "gatewayapi:v1", **spec})
    return written | ({"status": at.to_json()} if at is not None else {})


def workloads(tag: str = "1") -> tuple[JsonObject, JsonObject]:
    """Build a target that asks for a revision, and a primary of the first one; both are ready."""
    primary = deployment("web-primary", pod=pod_template())
    return deployment(pod=pod_template(tag)) | {"status": READY}, primary | {"status": READY}


def set_status(at: CanaryStatus) -> Callable[[JsonObject], None]:
    """Return the change that gives a Canary another status."""
    return lambda obj: obj.update(status=at.to_json())
