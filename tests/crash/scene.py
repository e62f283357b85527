"""The stage of one run: a namespace, its user, its eyes, and a controller that comes back whenever it dies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flaggerpy.api.constants import RELEASE, REQUEST, SCALE_TO_ZERO
from flaggerpy.kube.objects import JsonObject, uid_of
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, HTTP_ROUTES, SERVICES, Resource
from flaggerpy.kube.wire import Transport
from tests.crash.journal import Did, Journal, Lost, Requested, now, weights_in
from tests.crash.mortal import Life, Trap
from tests.crash.questions import Oracle, oracle
from tests.crash.watcher import WATCHED, State, Watcher
from tests.integration.site import IMAGE, Site, new_site

NAME = "podinfo"
PRIMARY = f"{NAME}-primary"
INTERVAL = timedelta(milliseconds=400)
COOKIES = {"cookieName": "seen", "primaryCookieName": "known"}


@dataclass(slots=True)
class Scene:
    """Everything that a flow needs to play its part."""

    site: Site
    wire: Transport
    watcher: Watcher
    journal: Journal
    trap: Trap
    oracle: Oracle
    target: Resource = DEPLOYMENTS
    """The kind of the target."""
    _lives: list[Life] = field(default_factory=list)
    _over: bool = False

    # The controller

    def live(self) -> None:
        """Start a controller."""
        if not self._lives:
            self.watcher.begin()
        life = Life(len(self._lives) + 1, self.journal, self.trap, self._on_death)
        self._lives.append(life)
        life.begin(self.site.settings, self.wire)

    def _on_death(self) -> None:
        if not self._over:
            self.live()

    async def end(self) -> None:
        """Kill the last controller and see that none is left."""
        self._over = True
        for life in self._lives:
            life.die()
        for life in self._lives:
            await life.bury()

    # The user

    async def push(self, tag: str, *, config: str = "") -> None:
        """Push a new revision, perhaps with another config, in one edit."""
        edits = {"/spec/template/spec/containers/0/image": f"{IMAGE}:{tag}"}
        if self.target == SERVICES:
            edits = {"/spec/selector/version": tag}
        if config:
            edits["/spec/template/spec/volumes/0/configMap/name"] = config
        operations: list[JsonObject] = [{"op": "replace", "path": path, "value": to} for path, to in edits.items()]
        await self.site.client.json_patch(self.site.ref(self.target, NAME), operations)
        self.journal.add(Did("image", tag, now()))

    async def configure(self, config: JsonObject) -> None:
        """Change a config."""
        await self.site.apply(config)
        self.journal.add(Did("config", "", now()))

    async def lose_primary(self) -> None:
        """Delete the primary and wait until there is another one."""
        lost = uid_of(await self.site.get(DEPLOYMENTS, PRIMARY))
        self.journal.add(Lost(now()))
        await self.site.client.delete(self.site.ref(DEPLOYMENTS, PRIMARY))
        await self.watcher.until(
            lambda state: uid_of(state.get(DEPLOYMENTS, PRIMARY) or {}) not in {"", lost}, "another primary"
        )

    async def delete(self) -> None:
        """Delete the Canary."""
        await self.site.client.delete(self.site.ref(CANARIES, NAME))
        self.journal.add(Did("delete", "", now()))

    async def ask(self, verb: str) -> None:
        """Ask something of the rollout, as the command line does, and wait for the answer."""
        number = str(len(self.journal.requested()) + 1)
        await self._annotate(REQUEST, json.dumps({"id": number, "verb": verb, "by": "alice"}))
        self.journal.add(Requested(verb, now()))
        await self.watcher.until(lambda state: _answered(state, number), f"answer to {verb}")

    async def release(self, *, wanted: bool) -> None:
        """Ask for the release of the canary, or take that back."""
        await self._annotate(RELEASE, "true" if wanted else None)
        self.journal.add(Did("release" if wanted else "adopt", "", now()))

    async def _annotate(self, name: str, value: str | None) -> None:
        await self.site.edit(CANARIES, NAME, {"metadata": {"annotations": {name: value}}})

    # Waiting

    async def phase_is(self, phase: str) -> None:
        """Wait for a phase with nothing left to do."""
        await self.watcher.until(lambda state: phase_in(state) == phase and settled(state), f"phase {phase}")


def phase_in(state: State) -> str:
    """The phase of the Canary, empty without one."""
    canary = state.get(CANARIES, NAME) or {}
    return str((canary.get("status") or {}).get("phase") or "")


def rollout_in(state: State) -> dict[str, Any]:
    """What the Canary records of its rollout, empty without one."""
    canary = state.get(CANARIES, NAME) or {}
    return dict((canary.get("status") or {}).get("rollout") or {})


def weight_in(state: State) -> int:
    """The canary's weight in the route."""
    return weights_in(state.get(HTTP_ROUTES, NAME) or {}).get(f"{NAME}-canary", 0)


def recorded_weight(state: State) -> int:
    """The canary's weight as its status records it."""
    canary = state.get(CANARIES, NAME) or {}
    return int((canary.get("status") or {}).get("canaryWeight") or 0)


def settled(state: State) -> bool:
    """Whether announcements are made and every Deployment is what it should be."""
    pending = rollout_in(state).get("pending")
    return not pending and all(_complete(workload) for workload in state.workloads())


def asleep(workload: JsonObject) -> bool:
    """Whether a workload asks for no pods."""
    if "replicas" in workload["spec"]:
        return bool(workload["spec"]["replicas"] == 0)
    return SCALE_TO_ZERO in (workload["spec"]["template"]["spec"].get("nodeSelector") or {})


def ready_pods(workload: JsonObject) -> int:
    """The number of a workload's pods that can serve."""
    status = workload.get("status") or {}
    return int(status.get("readyReplicas") or status.get("numberReady") or 0)


def _complete(workload: JsonObject) -> bool:
    status = workload.get("status") or {}
    counts = [status.get(field) or 0 for field in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
    wanted = workload["spec"].get("replicas")
    if wanted is None:
        fields = ("currentNumberScheduled", "updatedNumberScheduled", "numberReady", "numberAvailable")
        counts, wanted = [status.get(field) or 0 for field in fields], status.get("desiredNumberScheduled") or 0
        if (wanted == 0) is not asleep(workload):
            return False
    return status.get("observedGeneration") == workload["metadata"]["generation"] and counts == [wanted] * 4


def _answered(state: State, request: str) -> bool:
    return (rollout_in(state).get("request") or {}).get("id") == request


@asynccontextmanager
async def scene(trap: Trap, wire: Transport, also: tuple[Resource, ...] = ()) -> AsyncIterator[Scene]:
    """Set up a stage on which these kinds are watched as well, and clear it away afterwards."""
    journal = Journal()
    async with oracle(journal) as answers, new_site(wire=wire) as site:
        site.settings = site.settings.model_copy(update={"min_interval": INTERVAL, "metrics_server": answers.url})
        watcher = Watcher(site.client, site.namespace, (*WATCHED, *also))
        await watcher.open()
        watching = asyncio.get_running_loop().create_task(watcher.run())
        stage = Scene(site, wire, watcher, journal, trap, answers)
        try:
            yield stage
        finally:
            await stage.end()
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
