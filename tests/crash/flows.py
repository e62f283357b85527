"""The flows whose every write is disturbed: what is there at first, what the user does, and how it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, DAEMONSETS, DEPLOYMENTS, SERVICES, Resource
from tests.crash.journal import image_in
from tests.crash.scene import INTERVAL, NAME, PRIMARY, Scene, asleep, phase_in, rollout_in, settled, weight_in
from tests.crash.watcher import State
from tests.integration.objects import blue_green, config_map, daemon_set, deployment, progressive

STEPS = 2
"""Weights of the progressive flows, and iterations of Blue/Green."""
THRESHOLD = 2

_VOLUME = {"name": "settings", "configMap": {"name": "settings-1"}}
SERVICE: JsonObject = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": NAME},
    "spec": {"selector": {"app": NAME}, "ports": [{"name": "http", "port": 80, "targetPort": 9898}]},
}


@dataclass(frozen=True, slots=True)
class Flow:
    """One thing that a user does with a canary.

    Attributes:
        canary: writes the Canary, given the address of hooks and metrics.
        act: what the user does, once the Canary is Initialized.
        over: whether the run has come to its end.
        initialized: False when the bootstrap is itself what is disturbed.
        armed: False when the trap is armed only in the course of the flow.
        replicas: pods of the target; more than one where their number has to be carried over, and as many as an
            autoscaler wants at least: when it adds some by itself is chance.
        about: parts of the titles of the writes that the flow is there for, where it shares the others with flows that
            disturb them already; empty when all of its writes are disturbed.
        told: the phase that post-rollout hooks must hear of, empty when no rollout ends.
        target: the kind of the target.
        given: what there is besides the configs, the Service and the target.
        also: kinds that the end depends on besides those that are always watched.
        ready_after: seconds until a new pod of a Deployment counts as available.
        before: what somebody did before the first controller starts.

    """

    name: str
    canary: Callable[[str], JsonObject]
    act: Callable[[Scene], Awaitable[None]]
    over: Callable[[State], bool]
    initialized: bool = True
    armed: bool = True
    replicas: int = 1
    about: tuple[str, ...] = ()
    told: str = "Succeeded"
    target: Resource = DEPLOYMENTS
    given: Callable[[], tuple[JsonObject, ...]] = tuple
    also: tuple[Resource, ...] = ()
    ready_after: int = 0
    before: Callable[[Scene], Awaitable[None]] | None = None

    def is_about(self, title: str) -> bool:
        """Tell whether the flow is there for a write."""
        return not self.about or any(part in title for part in self.about)

    def unwritten(self, titles: Iterable[str]) -> list[str]:
        """Return the parts of titles that belong to none of the writes that were made."""
        made = tuple(titles)
        return [part for part in self.about if not any(part in title for title in made)]

    async def prepare(self, scene: Scene) -> None:
        """Bring the scene to where the flow begins, and arm the trap."""
        await self.furnish(scene)
        if self.before is not None:
            await self.before(scene)
        if self.armed and not self.initialized:
            scene.trap.arm()
        scene.live()
        if self.initialized:
            await scene.site.apply(self.canary(scene.oracle.url))
            await scene.phase_is("Initialized")
        if self.armed:
            scene.trap.arm()

    async def furnish(self, scene: Scene) -> None:
        """Apply what there is before the Canary, and wait until the target is ready."""
        scene.target = self.target
        await scene.site.apply(
            config_map("settings-1", {"color": "red"}),
            config_map("settings-2", {"color": "blue"}),
            *self._workloads(),
            *self.given(),
        )
        await scene.watcher.until(lambda state: bool(state.workloads()) and settled(state), "a ready target")

    def _workloads(self) -> tuple[JsonObject, ...]:
        """Write the target and the Service before it, or the Service that is the target and what is behind it."""
        if self.target == DAEMONSETS:
            made = daemon_set(volumes=[_VOLUME])
            # Without it an update takes the pod of a node away before there is another one.
            surge = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
            return SERVICE, {**made, "spec": {**made["spec"], "updateStrategy": surge}}
        if self.target == SERVICES:
            return _versioned("6.0.0"), _behind("6.0.0"), _behind("6.0.1")
        made = deployment(replicas=self.replicas, volumes=[_VOLUME])
        made["spec"]["minReadySeconds"] = self.ready_after
        return SERVICE, made


def _versioned(tag: str) -> JsonObject:
    """Write the Service of one version of an app."""
    spec = {**SERVICE["spec"], "selector": {"app": NAME, "version": tag}}
    return {**SERVICE, "spec": spec}


def _behind(tag: str) -> JsonObject:
    """Write a version of an app that somebody else looks after."""
    made = deployment(f"{NAME}-{tag.replace('.', '-')}", tag, replicas=1)
    labels = {"app": NAME, "version": tag}
    made["spec"]["selector"]["matchLabels"] = made["spec"]["template"]["metadata"]["labels"] = labels
    return made


def analysis(url: str) -> dict[str, Any]:
    """Write what every analysis has: hooks of three kinds and a metric, all answered by the oracle."""
    return {
        "interval": f"{INTERVAL.total_seconds() * 1000:.0f}ms",
        "threshold": THRESHOLD,
        "webhooks": [
            {"name": kind, "type": kind, "url": f"{url}/{kind}", "retries": 0}
            for kind in ("pre-rollout", "rollout", "post-rollout")
        ],
        # A missing answer holds a flow for as long as it needs, and that is all: no pause comes of it.
        "metrics": [
            {
                "name": "quality",
                "query": "quality",
                "interval": "1m",
                "thresholdRange": {"min": 99},
                "consecutiveErrorLimit": 10_000,
            }
        ],
    }


def progressive_with(**more: Any) -> Callable[[str], JsonObject]:
    return lambda url: progressive(step=25, most=25 * STEPS, **analysis(url), **more)


def _blue_green(url: str) -> JsonObject:
    return blue_green(iterations=STEPS, **analysis(url))


def ends(phase: str, primary: str) -> Callable[[State], bool]:
    """At rest in a phase, with the primary running an image, the target asleep, and nothing to wait for."""

    def over(state: State) -> bool:
        target, serving = state.workload(NAME), state.workload(PRIMARY)
        return (
            phase_in(state) == phase
            and (phase == "Failed" or not rollout_in(state).get("reason"))
            and settled(state)
            and target is not None
            and serving is not None
            and asleep(target)
            and image_in(serving) == primary
        )

    return over


def released(state: State) -> bool:
    canary, target = state.get(CANARIES, NAME), state.get(DEPLOYMENTS, NAME)
    alone = state.get(DEPLOYMENTS, PRIMARY) is None and target is not None and target["spec"]["replicas"] > 0
    return canary is None and alone and settled(state)


async def _create(scene: Scene) -> None:
    await scene.site.apply(BOOTSTRAP.canary(scene.oracle.url))


async def push(scene: Scene) -> None:
    await scene.push("6.0.1", config="settings-2")


async def push_bad(scene: Scene) -> None:
    scene.oracle.good = False
    await scene.push("6.0.1")


async def _edit_config(scene: Scene) -> None:
    await scene.configure(config_map("settings-1", {"color": "green"}))


async def push_and_stop_halfway(scene: Scene) -> None:
    """Bring the canary to its first users and keep it there; what leads there is disturbed in another flow."""
    scene.oracle.holding = True
    await scene.push("6.0.1", config="settings-2")
    await scene.watcher.until(lambda state: weight_in(state) > 0, "traffic on the canary")
    scene.trap.arm()


async def _push_twice(scene: Scene) -> None:
    await push_and_stop_halfway(scene)
    await scene.push("6.0.2")
    await scene.watcher.until(lambda state: weight_in(state) == 0, "traffic on the primary alone")
    scene.oracle.holding = False


async def _push_and_revert(scene: Scene) -> None:
    await push_and_stop_halfway(scene)
    await scene.push("6.0.0", config="settings-1")


async def _lose_primary(scene: Scene) -> None:
    await scene.lose_primary()


async def _lose_primary_and_push(scene: Scene) -> None:
    await scene.lose_primary()
    await scene.push("6.0.1", config="settings-2")


async def _delete(scene: Scene) -> None:
    await scene.delete()


async def _push_and_delete(scene: Scene) -> None:
    await push_and_stop_halfway(scene)
    await scene.delete()


async def push_to_promotion(scene: Scene) -> None:
    await push(scene)
    await scene.watcher.until(lambda state: phase_in(state) == "Promoting", "promotion")
    scene.trap.arm()


BOOTSTRAP = Flow(
    "bootstrap", progressive_with(), _create, ends("Initialized", "6.0.0"), initialized=False, replicas=2, told=""
)

FLOWS = {
    flow.name: flow
    for flow in (
        BOOTSTRAP,
        Flow("good rollout", progressive_with(), push, ends("Succeeded", "6.0.1")),
        Flow("blue-green", _blue_green, _edit_config, ends("Succeeded", "6.0.0")),
        Flow("rollback", progressive_with(), push_bad, ends("Failed", "6.0.0"), told="Failed"),
        Flow("restart", progressive_with(), _push_twice, ends("Succeeded", "6.0.2"), armed=False),
        Flow("cancel", progressive_with(), _push_and_revert, ends("Succeeded", "6.0.0"), armed=False, told=""),
        Flow("primary lost", progressive_with(), _lose_primary, ends("Initialized", "6.0.0"), replicas=2, told=""),
        Flow("primary lost, then a push", progressive_with(), _lose_primary_and_push, ends("Succeeded", "6.0.1")),
        Flow("deletion", progressive_with(), _delete, released, replicas=2, told=""),
        Flow("deletion in mid-analysis", progressive_with(), _push_and_delete, released, armed=False, told=""),
        Flow(
            "promotion in steps",
            progressive_with(stepWeightPromotion=25),
            push_to_promotion,
            ends("Succeeded", "6.0.1"),
            armed=False,
        ),
    )
}
