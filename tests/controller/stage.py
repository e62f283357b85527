"""What one tick of the canary ``web`` reads with and writes with, on an API server that tests fill."""

from __future__ import annotations

from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.clock import SystemClock
from flaggerpy.controller.configs import ConfigDigests
from flaggerpy.controller.execute import Executor
from flaggerpy.controller.observe import Observer
from flaggerpy.controller.pods import PODS_OF_DEPLOYMENTS, PodReader
from flaggerpy.controller.sources import Library
from flaggerpy.controller.takeover import Takeover
from flaggerpy.controller.world import World
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.dependents import Dependents
from flaggerpy.kube.resources import CANARIES, PODS, Ref
from flaggerpy.rollout.decision import Plan
from flaggerpy.rollout.observation import Observation, ServicesSeen
from flaggerpy.rollout.traffic import Capabilities, RouteState
from flaggerpy.settings import Settings
from tests.kube.fake_apiserver import FakeApiServer

KEY = ("shop", "web")
CANARY = Ref(CANARIES, *KEY)


class Stage:
    """Observes the canary, and carries out what a test decides."""

    def __init__(self, server: FakeApiServer, client: Client) -> None:
        self.server = server
        self.caches = Caches(client)
        settings = Settings(mesh_provider="kubernetes")
        library = Library(client, self.caches)
        pods = PodReader(client, Dependents(client, PODS, PODS_OF_DEPLOYMENTS), settings.fail_fast_after)
        digests, takeover = ConfigDigests(client, self.caches), Takeover(client, SystemClock())
        self.observer = Observer(self.caches, digests, pods, library, settings, takeover)
        self.executor = Executor(client, self.caches, self.observer.rules, SystemClock())

    async def look(self) -> World:
        await self.caches.refresh([CANARY])
        world = await self.observer.observe(KEY, frozenset())
        assert world is not None
        return world

    async def do(self, *actions: Any) -> World:
        await self.executor.run(Plan(actions=actions), await self.look())
        return await self.look()


def seen_of(canary: Canary, **fields: Any) -> Observation:
    """Build the observation of a canary that has nothing around it yet; ``fields`` replaces what it has."""
    bare: dict[str, Any] = {
        "target": None,
        "primary": None,
        "services": ServicesSeen(),
        "route": RouteState(routes=None),
        "capabilities": Capabilities(),
        "routed": False,
    }
    return Observation(canary, **{**bare, **fields})
