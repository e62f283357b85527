"""The flows whose every write is disturbed: what is there at first, what the user does, and how it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS
from tests.crash.scene import INTERVAL, NAME, PRIMARY, Scene, phase_in, settled, weight_in
from tests.crash.watcher import State
from tests.integration.objects import blue_green, config_map, deployment, progressive

STEPS = 2
"""Weights of the progressive flows, and iterations of Blue/Green."""
THRESHOLD = 2

_VOLUME = {"name": "settings", "configMap": {"name": "settings-1"}}
_SERVICE: JsonObject = {
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
        replicas: pods of the target; more than one where their number has to be carried over.

    """

    name: str
    canary: Callable[[str], JsonObject]
    act: Callable[[Scene], Awaitable[None]]
    over: Callable[[State], bool]
    initialized: bool = True
    armed: bool = True
    replicas: int = 1

    async def prepare(self, scene: Scene) -> None:
        """Bring the scene to where the flow begins, and arm the trap."""
        await scene.site.apply(
            config_map("settings-1", {"color": "red"}),
            config_map("settings-2", {"color": "blue"}),
            _SERVICE,
            deployment(replicas=self.replicas, volumes=[_VOLUME]),
        )
        await scene.watcher.until(lambda state: bool(state.all(DEPLOYMENTS)) and settled(state), "a ready target")
        scene.live()
        if self.initialized:
            await scene.site.apply(self.canary(scene.oracle.url))
            await scene.phase_is("Initialized")
        if self.armed:
            scene.trap.arm()


def _analysis(url: str) -> dict[str, Any]:
    return {
        "interval": f"{INTERVAL.total_seconds() * 1000:.0f}ms",
        "threshold": THRESHOLD,
        "webhooks": [
            {"name": kind, "type": kind, "url": f"{url}/{kind}", "retries": 0}
            for kind in ("pre-rollout", "rollout", "post-rollout")
        ],
        "metrics": [{"name": "quality", "query": "quality", "interval": "1m", "thresholdRange": {"min": 99}}],
    }


def _progressive(**more: Any) -> Callable[[str], JsonObject]:
    return lambda url: progressive(step=25, most=25 * STEPS, **_analysis(url), **more)


def _blue_green(url: str) -> JsonObject:
    return blue_green(iterations=STEPS, **_analysis(url))


def _ends(phase: str, primary: str) -> Callable[[State], bool]:
    """At rest in a phase, with the primary running an image and the target asleep."""

    def over(state: State) -> bool:
        target, serving = state.get(DEPLOYMENTS, NAME), state.get(DEPLOYMENTS, PRIMARY)
        return (
            phase_in(state) == phase
            and settled(state)
            and target is not None
            and serving is not None
            and target["spec"]["replicas"] == 0
            and _image(serving) == primary
        )

    return over


def _released(state: State) -> bool:
    canary, target = state.get(CANARIES, NAME), state.get(DEPLOYMENTS, NAME)
    alone = state.get(DEPLOYMENTS, PRIMARY) is None and target is not None and target["spec"]["replicas"] > 0
    return canary is None and alone and settled(state)


def _image(workload: JsonObject) -> str:
    return str(workload["spec"]["template"]["spec"]["containers"][0]["image"]).rpartition(":")[2]


async def _take_over(scene: Scene) -> None:
    await scene.site.apply(BOOTSTRAP.canary(scene.oracle.url))


async def _push(scene: Scene) -> None:
    await scene.push("6.0.1", config="settings-2")


async def _push_bad(scene: Scene) -> None:
    scene.oracle.good = False
    await scene.push("6.0.1")


async def _edit_config(scene: Scene) -> None:
    await scene.configure(config_map("settings-1", {"color": "green"}))


async def _push_and_stop_halfway(scene: Scene) -> None:
    """Bring the canary to its first users and keep it there; what leads there is disturbed in another flow."""
    scene.oracle.holding = True
    await scene.push("6.0.1", config="settings-2")
    await scene.watcher.until(lambda state: weight_in(state) > 0, "traffic on the canary")
    scene.trap.arm()


async def _push_twice(scene: Scene) -> None:
    await _push_and_stop_halfway(scene)
    await scene.push("6.0.2")
    await scene.watcher.until(lambda state: weight_in(state) == 0, "traffic on the primary alone")
    scene.oracle.holding = False


async def _push_and_revert(scene: Scene) -> None:
    await _push_and_stop_halfway(scene)
    await scene.push("6.0.0", config="settings-1")


async def _lose_primary(scene: Scene) -> None:
    await scene.lose_primary()


async def _lose_primary_and_push(scene: Scene) -> None:
    await scene.lose_primary()
    await scene.push("6.0.1", config="settings-2")


async def _delete(scene: Scene) -> None:
    await scene.delete()


async def _push_and_delete(scene: Scene) -> None:
    await _push_and_stop_halfway(scene)
    await scene.delete()


async def _push_to_promotion(scene: Scene) -> None:
    await _push(scene)
    await scene.watcher.until(lambda state: phase_in(state) == "Promoting", "promotion")
    scene.trap.arm()


BOOTSTRAP = Flow("bootstrap", _progressive(), _take_over, _ends("Initialized", "6.0.0"), initialized=False, replicas=2)

FLOWS = {
    flow.name: flow
    for flow in (
        BOOTSTRAP,
        Flow("good rollout", _progressive(), _push, _ends("Succeeded", "6.0.1")),
        Flow("blue-green", _blue_green, _edit_config, _ends("Succeeded", "6.0.0")),
        Flow("rollback", _progressive(), _push_bad, _ends("Failed", "6.0.0")),
        Flow("restart", _progressive(), _push_twice, _ends("Succeeded", "6.0.2"), armed=False),
        Flow("cancel", _progressive(), _push_and_revert, _ends("Succeeded", "6.0.0"), armed=False),
        Flow("primary lost", _progressive(), _lose_primary, _ends("Initialized", "6.0.0"), replicas=2),
        Flow("primary lost, then a push", _progressive(), _lose_primary_and_push, _ends("Succeeded", "6.0.1")),
        Flow("deletion", _progressive(), _delete, _released, replicas=2),
        Flow("deletion in mid-analysis", _progressive(), _push_and_delete, _released, armed=False),
        Flow(
            "promotion in steps",
            _progressive(stepWeightPromotion=25),
            _push_to_promotion,
            _ends("Succeeded", "6.0.1"),
            armed=False,
        ),
    )
}
