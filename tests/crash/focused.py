"""Flows that share most of their writes with those of flows.py: only what they are there for is disturbed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flaggerpy.api.constants import OWNER
from flaggerpy.kube.client import Client
from flaggerpy.kube.objects import JsonObject, annotations_of, metadata_of
from flaggerpy.kube.resources import (
    BUDGETS,
    CANARIES,
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    DAEMONSETS,
    HPAS,
    HTTP_ROUTES,
    SCALED_OBJECTS,
    SERVICES,
)
from tests.crash.flows import (
    STEPS,
    Flow,
    analysis,
    ends,
    progressive_with,
    push,
    push_and_stop_halfway,
    push_bad,
    released,
)
from tests.crash.journal import image_in
from tests.crash.scene import COOKIES, NAME, PRIMARY, Scene, phase_in, recorded_weight, rollout_in, settled, weight_in
from tests.crash.watcher import State
from tests.integration.flagger import Flagger
from tests.integration.keda import PAUSED
from tests.integration.objects import (
    autoscaler,
    budget,
    config_map,
    deployment,
    of_daemon_set,
    routed,
    scaled,
    scaled_object,
    under_keda,
)

AUDIENCE = [{"headers": {"x-canary": {"exact": "insider"}}}]
LOW, HIGH = 2, 9


def _iterating(**more: Any) -> Callable[[str], JsonObject]:
    return lambda url: routed(NAME, {"iterations": STEPS, **analysis(url), **more})


def _changed(
    canary: Callable[[str], JsonObject], change: Callable[[JsonObject], JsonObject]
) -> Callable[..., JsonObject]:
    return lambda url: change(canary(url))


def _with_rollback_hook(canary: JsonObject) -> JsonObject:
    analysis = canary["spec"]["analysis"]
    url = analysis["webhooks"][0]["url"].rpartition("/")[0]
    hook = {"name": "rollback", "type": "rollback", "url": f"{url}/rollback", "retries": 0}
    with_it = {**analysis, "webhooks": [*analysis["webhooks"], hook]}
    return {**canary, "spec": {**canary["spec"], "analysis": with_it}}


def _of_service(canary: JsonObject) -> JsonObject:
    named = {"apiVersion": "v1", "kind": "Service", "name": NAME}
    return {**canary, "spec": {**canary["spec"], "targetRef": named}}


AUTOSCALED = _changed(progressive_with(), scaled)


# How they end


def _service_is_promoted(state: State) -> bool:
    primary = state.get(SERVICES, PRIMARY)
    return phase_in(state) == "Succeeded" and settled(state) and primary is not None and image_in(primary) == "6.0.1"


def _protected(state: State) -> bool:
    made = state.get(HPAS, PRIMARY), state.get(BUDGETS, PRIMARY)
    return None not in made and ends("Initialized", "6.0.0")(state)


def _left_alone(state: State) -> bool:
    made = state.get(HPAS, PRIMARY), state.get(BUDGETS, PRIMARY), rollout_in(state).get("scaler")
    return made == (None, None, None) and ends("Initialized", "6.0.0")(state)


def _has_the_pods_of_both(state: State) -> bool:
    """The primary has the pods of both until its autoscaler has seen the users who came, which takes minutes."""
    found = state.get(HPAS, PRIMARY)
    return found is not None and found["spec"]["minReplicas"] == 2 * LOW and ends("Succeeded", "6.0.1")(state)


def _asleep_under_keda(state: State) -> bool:
    found = state.get(SCALED_OBJECTS, NAME)
    return found is not None and PAUSED in annotations_of(found) and ends("Succeeded", "6.0.1")(state)


def _taken_over(state: State) -> bool:
    found = [state.workload(PRIMARY), state.get(HTTP_ROUTES, NAME), *state.all(SERVICES)]
    owned = any(obj is None or "ownerReferences" in metadata_of(obj) for obj in found)
    recorded = bool(rollout_in(state).get("promoted") and state.all(CONTROLLER_REVISIONS))
    return recorded and not owned and ends("Initialized", "6.0.0")(state)


def _led_by_services_alone(state: State) -> bool:
    route = state.get(HTTP_ROUTES, NAME)
    in_hand = route is None or OWNER in annotations_of(route) or rollout_in(state).get("routes")
    return not in_hand and ends("Initialized", "6.0.0")(state)


# What the user does


async def _nothing(_: Scene) -> None:
    pass


async def _create(scene: Scene, canary: Callable[[str], JsonObject]) -> None:
    await scene.site.apply(canary(scene.oracle.url))


async def _push_alone(scene: Scene) -> None:
    await scene.push("6.0.1")


async def _take_autoscaler_and_budget_away(scene: Scene) -> None:
    await scene.watcher.until(_protected, "an autoscaler and a budget of the primary")
    scene.trap.arm()
    await scene.site.client.delete(scene.site.ref(BUDGETS, NAME))
    await scene.site.edit(CANARIES, NAME, {"spec": {"autoscalerRef": None}})


async def _phase(scene: Scene, phase: str) -> None:
    await scene.watcher.until(lambda state: phase_in(state) == phase, f"phase {phase}")


async def _pause_push_and_resume(scene: Scene) -> None:
    await scene.ask("pause")
    await push(scene)
    await _phase(scene, "Waiting")
    await scene.ask("resume")


async def _push_until_recorded(scene: Scene) -> None:
    """Bring the canary to its first users, and wait until the status says so."""
    await push_and_stop_halfway(scene)
    await scene.watcher.until(lambda state: recorded_weight(state) > 0, "record of the traffic on the canary")


async def _push_and_step_by_hand(scene: Scene) -> None:
    await _push_until_recorded(scene)
    weight = weight_in(scene.watcher.now)
    await scene.ask("promote")
    await scene.watcher.until(lambda state: weight_in(state) > weight, "next step")
    await scene.ask("promote-full")


async def _push_pause_and_abort(scene: Scene) -> None:
    await _push_until_recorded(scene)
    await scene.ask("pause")
    await scene.ask("abort")


async def _fail_and_retry(scene: Scene) -> None:
    await push_bad(scene)
    await scene.phase_is("Failed")
    scene.oracle.good = True
    scene.trap.arm()
    await scene.ask("retry")


async def _push_until_primary_has_it(scene: Scene) -> None:
    await scene.push("6.0.1")
    await scene.watcher.until(_primary_has_it, "a primary that runs what was analysed")
    scene.trap.arm()


def _primary_has_it(state: State) -> bool:
    primary = state.workload(PRIMARY)
    return phase_in(state) == "Promoting" and primary is not None and image_in(primary) == "6.0.1"


async def _promote_and_abort(scene: Scene) -> None:
    await _push_until_primary_has_it(scene)
    await scene.ask("abort")


async def _promote_and_call_back(scene: Scene) -> None:
    await _push_until_primary_has_it(scene)
    scene.oracle.calling_back = True


async def _promote_and_push(scene: Scene) -> None:
    await _push_until_primary_has_it(scene)
    await scene.push("6.0.2")


async def _push_and_edit_config(scene: Scene) -> None:
    await push_and_stop_halfway(scene)
    await scene.configure(config_map("settings-2", {"color": "green"}))
    await scene.watcher.until(lambda state: weight_in(state) == 0, "traffic on the primary alone")
    scene.oracle.holding = False


async def _withdraw(scene: Scene) -> None:
    await scene.ask("pause")
    await scene.push("6.0.1")
    await _phase(scene, "Waiting")
    scene.trap.arm()
    await scene.push("6.0.0")


async def _lose_primary_halfway(scene: Scene) -> None:
    await _push_until_recorded(scene)
    await scene.lose_primary()
    scene.oracle.holding = False


async def _lose_primary_and_copy(scene: Scene) -> None:
    await scene.site.client.delete(scene.site.ref(CONFIG_MAPS, "settings-1-primary"))
    await scene.lose_primary()


async def _take_the_provider_away(scene: Scene) -> None:
    await scene.site.edit(CANARIES, NAME, {"spec": {"provider": "kubernetes"}})


async def _delete_with_budget(scene: Scene) -> None:
    await scene.watcher.until(lambda state: state.get(BUDGETS, PRIMARY) is not None, "a budget of the primary")
    scene.trap.arm()
    await scene.delete()


async def _release_and_take_back(scene: Scene) -> None:
    await scene.release(wanted=True)
    await _phase(scene, "Terminated")
    await scene.release(wanted=False)


class _Left(Flagger):
    """Flagger, whose user applies on the server's side."""

    async def apply(self, *objects: JsonObject) -> None:
        await self.site.apply(*objects)


async def _leave_behind(scene: Scene) -> None:
    """Flagger initialised a canary and is gone."""
    await scene.site.client.delete(scene.site.ref(SERVICES, NAME))  # Flagger makes its own
    client = Client(scene.wire, field_manager="flagger")
    left = _Left(scene.site, client, "gatewayapi:v1", lambda tag: deployment(tag=tag, replicas=1))
    await left.begin(progressive_with()(scene.oracle.url))
    await left.initialize()
    await scene.watcher.until(settled, "a target that sleeps")


STRATEGIES = (
    Flow("A/B test", _iterating(match=AUDIENCE), push, ends("Succeeded", "6.0.1"), about=("HTTPRoute",)),
    Flow("Blue/Green with a mesh", _iterating(), push, ends("Succeeded", "6.0.1"), about=("HTTPRoute",)),
    Flow("copies", progressive_with(mirror=True), push, ends("Succeeded", "6.0.1"), about=("with copies",)),
    Flow(
        "cookies",
        progressive_with(sessionAffinity=COOKIES),
        push,
        ends("Succeeded", "6.0.1"),
        about=(" rules", "Progressing at 0%, with a cookie"),
    ),
)
TARGETS = (
    Flow(
        "DaemonSet",
        _changed(progressive_with(), of_daemon_set),
        push,
        ends("Succeeded", "6.0.1"),
        target=DAEMONSETS,
        about=("DaemonSet",),
    ),
    Flow(
        "Service",
        _changed(progressive_with(), _of_service),
        _push_alone,
        _service_is_promoted,
        target=SERVICES,
        about=(" Service ",),
    ),
)
AUTOSCALERS = (
    Flow(
        "bootstrap with an autoscaler and a budget",
        AUTOSCALED,
        partial(_create, canary=AUTOSCALED),
        _protected,
        initialized=False,
        told="",
        replicas=LOW,
        given=lambda: (autoscaler(low=LOW, high=HIGH), budget()),
        also=(HPAS, BUDGETS),
        about=("HorizontalPodAutoscaler", "PodDisruptionBudget"),
    ),
    Flow(
        "autoscaler and budget taken away",
        AUTOSCALED,
        _take_autoscaler_and_budget_away,
        _left_alone,
        armed=False,
        told="",
        replicas=LOW,
        given=lambda: (autoscaler(low=LOW, high=HIGH), budget()),
        also=(HPAS, BUDGETS),
        about=("HorizontalPodAutoscaler", "PodDisruptionBudget"),
    ),
    Flow(
        "autoscaled rollout",
        AUTOSCALED,
        push,
        _has_the_pods_of_both,
        replicas=LOW,
        given=lambda: (autoscaler(low=LOW, high=HIGH),),
        also=(HPAS,),
        about=("HorizontalPodAutoscaler", "Deployment podinfo-primary/scale"),
    ),
    Flow(
        "rollout under KEDA",
        _changed(progressive_with(), under_keda),
        push,
        _asleep_under_keda,
        replicas=LOW,
        given=lambda: (scaled_object(low=LOW, high=HIGH),),
        also=(SCALED_OBJECTS,),
        about=("ScaledObject",),
    ),
)
SIZES = (
    Flow(
        "sized by its share",
        progressive_with(canaryScale={"matchTrafficWeight": True}),
        push,
        ends("Succeeded", "6.0.1"),
        replicas=4,
        about=("Deployment podinfo/scale", "asking for pods", "HTTPRoute podinfo 50/50"),
    ),
)
REQUESTS = (
    Flow(
        "paused and resumed",
        progressive_with(),
        _pause_push_and_resume,
        ends("Succeeded", "6.0.1"),
        about=("answers", "paused"),
    ),
    Flow(
        "stepped by hand",
        progressive_with(),
        _push_and_step_by_hand,
        ends("Succeeded", "6.0.1"),
        armed=False,
        about=("answers", "HTTPRoute"),
    ),
    Flow(
        "paused and aborted",
        progressive_with(),
        _push_pause_and_abort,
        ends("Failed", "6.0.0"),
        armed=False,
        told="Failed",
        about=("answers", "failing"),
    ),
    Flow(
        "retried",
        progressive_with(),
        _fail_and_retry,
        ends("Succeeded", "6.0.1"),
        armed=False,
        about=("answers", "Waiting"),
    ),
    Flow(
        "aborted in its promotion",
        progressive_with(),
        _promote_and_abort,
        ends("Failed", "6.0.0"),
        armed=False,
        told="Failed",
        ready_after=2,
        about=("ControllerRevision", "Deployment podinfo-primary", "Promoting at 50%, failing", "HTTPRoute"),
    ),
    Flow(
        "called back in its promotion by a hook",
        _changed(progressive_with(), _with_rollback_hook),
        _promote_and_call_back,
        ends("Failed", "6.0.0"),
        armed=False,
        told="Failed",
        ready_after=2,
        about=("Promoting at 50%",),
    ),
)
CHANGES = (
    Flow(
        "changed in its promotion",
        progressive_with(),
        _promote_and_push,
        ends("Succeeded", "6.0.2"),
        armed=False,
        ready_after=2,
        about=("Promoting at 0%", "HTTPRoute podinfo 100/0"),
    ),
    Flow(
        "config edited in mid-analysis",
        progressive_with(),
        _push_and_edit_config,
        ends("Succeeded", "6.0.1"),
        armed=False,
        about=("Deployment podinfo/scale",),
    ),
    Flow(
        "withdrawn while it waits",
        progressive_with(),
        _withdraw,
        ends("Succeeded", "6.0.0"),
        armed=False,
        told="",
        about=("Succeeded",),
    ),
    Flow(
        "provider left",
        progressive_with(),
        _take_the_provider_away,
        _led_by_services_alone,
        told="",
        about=("HTTPRoute",),
    ),
    Flow(
        "primary and a copy of its configs lost",
        progressive_with(),
        _lose_primary_and_copy,
        ends("Initialized", "6.0.0"),
        told="",
        about=("ConfigMap",),
    ),
    Flow(
        "primary lost in mid-analysis",
        progressive_with(),
        _lose_primary_halfway,
        ends("Succeeded", "6.0.1"),
        armed=False,
        about=("on the canary", "POST Deployment podinfo-primary", "HTTPRoute podinfo 0/100", "Waiting at 0%"),
    ),
)
COMING_AND_GOING = (
    Flow(
        "taken over from Flagger",
        progressive_with(),
        _nothing,
        _taken_over,
        initialized=False,
        told="",
        before=_leave_behind,
        also=(CONTROLLER_REVISIONS,),
    ),
    Flow(
        "deletion with a budget",
        progressive_with(),
        _delete_with_budget,
        released,
        armed=False,
        told="",
        given=lambda: (budget(),),
        also=(BUDGETS,),
        about=("PodDisruptionBudget",),
    ),
    Flow(
        "released and taken back",
        progressive_with(),
        _release_and_take_back,
        ends("Initialized", "6.0.0"),
        told="",
        about=("finalizer", "Terminated"),
    ),
)

FOCUSED = {
    flow.name: flow for flow in (*STRATEGIES, *TARGETS, *AUTOSCALERS, *SIZES, *REQUESTS, *CHANGES, *COMING_AND_GOING)
}
