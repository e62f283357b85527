"""What lies between a user's change of a target and its first pod: as little as there can be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from flaggerpy.api.status import Phase
from flaggerpy.controller.alerts import AlertSender
from flaggerpy.controller.announce import Announcer, Channels
from flaggerpy.controller.check import Checker
from flaggerpy.controller.configs import ConfigDigests
from flaggerpy.controller.execute import Executor
from flaggerpy.controller.hooks import EventHooks, WebhookClient
from flaggerpy.controller.observe import Observer
from flaggerpy.controller.pods import PODS_OF_DEPLOYMENTS, PodReader
from flaggerpy.controller.questions import Sources
from flaggerpy.controller.reconciler import Reconciler, Rooms
from flaggerpy.controller.series import CanarySeries
from flaggerpy.controller.sources import Library
from flaggerpy.controller.takeover import Takeover
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.dependents import Dependents
from flaggerpy.kube.events import EventRecorder
from flaggerpy.kube.objects import JsonObject, generation_of, resource_version_of
from flaggerpy.kube.resources import CANARIES, CONTROLLER_REVISIONS, DEPLOYMENTS, PODS, SERVICES, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.kube.store import Present
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.settings import Settings
from flaggerpy.telemetry.recorder import Recorder
from tests.builders import canary_json
from tests.controller.keeping import no_secrets
from tests.kube.clocks import ManualClock, eventually
from tests.kube.fake_apiserver import FakeApiServer
from tests.targets.objects import deployment

KEY = ("shop", "web")
CANARY, TARGET, PRIMARY = Ref(CANARIES, *KEY), Ref(DEPLOYMENTS, *KEY), Ref(DEPLOYMENTS, "shop", "web-primary")
KEPT = Ref(CONTROLLER_REVISIONS, "shop", "web-promoted-2")
SCALED, RECORDED = f"PATCH {TARGET.path('scale')}", f"PUT {CANARY.path('status')}"
SETTINGS = Settings(mesh_provider="kubernetes", config_tracking=False, min_interval=timedelta(seconds=1))


class Cluster(FakeApiServer):
    """An API server with a canary of provider kubernetes, whose user and Deployment controller are the test."""

    def phase(self) -> str:
        return str((self.objects[CANARY].get("status") or {}).get("phase") or "")

    def push(self, image: str) -> None:
        """A user asks for another image."""
        self.change(TARGET, lambda obj: obj["spec"]["template"]["spec"]["containers"][0].update(image=image))

    def look(self) -> None:
        """The Deployment controller looks at all of them, and pods are ready at once."""
        for ref in (TARGET, PRIMARY):
            if ref in self.objects and self.objects[ref].get("status", {}) != _rolled(self.objects[ref])["status"]:
                self.change(ref, lambda obj: obj.update(_rolled(obj)))

    def asked(self) -> list[str]:
        """Name what was asked of single objects, in order."""
        rows = [f"{seen.method} {seen.path}" for seen in self.requests if not seen.is_watch]
        return [row for row in rows if "/web" in row]


class Controller:
    """A controller whose ticks are the test's."""

    def __init__(self, client: Client, outbound: Outbound) -> None:
        clock = self.clock = ManualClock()
        self.caches = Caches(client, clock=clock)
        library, hooks = Library(client, self.caches), WebhookClient(outbound, no_secrets)
        channels = Channels(EventRecorder(client), EventHooks(hooks), hooks, AlertSender(outbound, library.secret))
        pods = PodReader(client, Dependents(client, PODS, PODS_OF_DEPLOYMENTS), SETTINGS.fail_fast_after)
        digests, takeover = ConfigDigests(client, self.caches), Takeover(client, clock)
        observer = Observer(self.caches, digests, pods, library, SETTINGS, takeover)
        recorder = Recorder(version="0", mesh_provider="kubernetes")
        sources = Sources(library.metric_template, library.secret, SETTINGS.metrics_server, SETTINGS.mesh_provider)
        rooms = Rooms(
            observer=observer,
            checker=Checker(hooks, outbound, sources, recorder, clock),
            executor=Executor(client, self.caches, observer.rules, clock),
            announcer=Announcer(channels, library, clock, lambda _: None),
        )
        self.reconciler = Reconciler(rooms, self.caches, CanarySeries(recorder), clock)

    async def tick(self, cluster: Cluster) -> None:
        """Look at the canary once a second has passed and the watches have shown everything that is there."""
        self.clock.jump(1)
        await eventually(lambda: self._is_current(cluster))
        await self.reconciler(KEY)

    def _is_current(self, cluster: Cluster) -> bool:
        known = {ref: self.caches.get(ref) for ref in cluster.objects if self.caches.keeps(ref)}
        return self.caches.synced() and all(
            isinstance(found, Present) and resource_version_of(found.obj) == resource_version_of(cluster.objects[ref])
            for ref, found in known.items()
        )


def _rolled(obj: JsonObject) -> JsonObject:
    """Return the status of a Deployment whose controller has seen it and whose pods are ready."""
    pods = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    status = dict.fromkeys(pods, obj["spec"]["replicas"]) | {"observedGeneration": generation_of(obj)}
    annotations = {"deployment.kubernetes.io/revision": obj["spec"]["template"]["spec"]["containers"][0]["image"][-1]}
    return {"metadata": {**obj["metadata"], "annotations": annotations}, "status": status}


@asynccontextmanager
async def controller(cluster: Cluster) -> AsyncIterator[Controller]:
    """Start a controller that leads at once."""
    async with HttpTransport(Server(cluster.url)) as transport, Outbound(trust_env=False) as outbound:
        made = Controller(Client(transport), outbound)
        running = asyncio.ensure_future(made.caches.run())
        try:
            await eventually(made.caches.synced)
            made.clock.jump(1)
            made.reconciler.leadership_began()
            yield made
        finally:
            running.cancel()
            await asyncio.wait({running})


@asynccontextmanager
async def at_rest(**analysis: Any) -> AsyncIterator[tuple[Cluster, Controller]]:
    """Have a canary initialized, and its target sent to sleep."""
    async with Cluster() as cluster:
        cluster.put(DEPLOYMENTS, deployment())
        blue_green = {"stepWeight": None, "maxWeight": None, "iterations": 2}
        cluster.put(CANARIES, canary_json(analysis={**blue_green, **analysis}))
        async with controller(cluster) as made:
            while cluster.phase() != Phase.INITIALIZED or cluster.objects[TARGET]["status"]["replicas"]:
                await made.tick(cluster)
                cluster.look()
            await made.tick(cluster)
            cluster.requests.clear()
            yield cluster, made


async def test_a_new_image_has_the_target_scaled_up_before_its_own_controller_looks() -> None:
    async with at_rest() as (cluster, made):
        cluster.push("example/web:2")
        await made.tick(cluster)
        assert cluster.asked() == [SCALED, RECORDED]
        assert cluster.phase() == Phase.PROGRESSING


async def test_a_new_leader_reads_the_canary_before_its_first_write_and_lists_the_rest() -> None:
    async with at_rest() as (cluster, _), controller(cluster) as other:
        await other.tick(cluster)
        await eventually(lambda: all(map(cluster.watching, (DEPLOYMENTS, SERVICES, CONTROLLER_REVISIONS))))
        cluster.requests.clear()

        cluster.push("example/web:2")
        await other.tick(cluster)
        assert cluster.asked() == [f"GET {CANARY.path()}", SCALED, RECORDED]


async def test_who_leads_once_more_trusts_no_list_from_before() -> None:
    async with at_rest() as (cluster, made):
        made.reconciler.leadership_ended()
        made.clock.jump(1)
        made.reconciler.leadership_began()
        cluster.push("example/web:2")
        await made.tick(cluster)
        reads = {f"GET {ref.path()}" for ref in (CANARY, TARGET, PRIMARY, KEPT)}
        assert set(cluster.asked()[:-2]) == reads
        assert cluster.asked()[-2:] == [SCALED, RECORDED]
