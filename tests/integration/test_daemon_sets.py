"""DaemonSets under Kubernetes' own controller; their pods only look ready."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.api.constants import SCALE_TO_ZERO
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, DAEMONSETS, SERVICES, Resource
from tests.integration.gateway import Gateway
from tests.integration.objects import blue_green, daemon_set, of_daemon_set, progressive
from tests.integration.pods import Breaker
from tests.integration.site import IMAGE, Site

pytestmark = pytest.mark.integration

NODES = Resource("", "v1", "nodes", "Node", namespaced=False)


async def nodes(site: Site) -> int:
    return len((await site.client.list(NODES, None))[0])


async def node_selector(site: Site, name: str = "podinfo") -> dict[str, str]:
    spec = (await site.get(DAEMONSETS, name))["spec"]["template"]["spec"]
    return dict(spec.get("nodeSelector") or {})


async def status(site: Site, name: str) -> JsonObject:
    found: JsonObject = (await site.get(DAEMONSETS, name))["status"]
    return found


async def push(site: Site, tag: str) -> None:
    path = "/spec/template/spec/containers/0/image"
    await site.client.json_patch(
        site.ref(DAEMONSETS, "podinfo"), [{"op": "replace", "path": path, "value": f"{IMAGE}:{tag}"}]
    )


async def image(site: Site, name: str) -> str:
    spec = (await site.get(DAEMONSETS, name))["spec"]["template"]["spec"]
    return str(spec["containers"][0]["image"]).rpartition(":")[2]


def foreign(obj: JsonObject) -> dict[str, Any]:
    """What of the user's DaemonSet is nobody's to change."""
    spec = obj["spec"]
    pod = {key: value for key, value in spec["template"]["spec"].items() if key != "nodeSelector"}
    return {**spec, "template": {**spec["template"], "spec": pod}, "labels": obj["metadata"].get("labels")}


async def test_a_daemon_set_is_rolled_out_and_sleeps_in_between(site: Site) -> None:
    async with site.controller():
        await site.apply(daemon_set(nodeSelector={"kubernetes.io/os": "linux"}), of_daemon_set(blue_green()))
        mine = foreign(await site.get(DAEMONSETS, "podinfo"))
        await site.phase_is("Initialized")
        assert await node_selector(site) == {"kubernetes.io/os": "linux", SCALE_TO_ZERO: "true"}
        assert await node_selector(site, "podinfo-primary") == {"kubernetes.io/os": "linux"}
        assert (await status(site, "podinfo-primary"))["numberAvailable"] == await nodes(site)
        assert foreign(await site.get(DAEMONSETS, "podinfo")) == mine
        await site.settled()
        assert await site.phase() == "Initialized", "sleeping is no new revision"

        await push(site, "6.0.1")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")

        assert await image(site, "podinfo-primary") == "6.0.1"
        assert SCALE_TO_ZERO in await node_selector(site)
        await site.settled()
        assert await site.phase() == "Succeeded"


async def test_a_daemon_set_gets_traffic_in_steps(site: Site, gateway: Gateway) -> None:
    async with site.controller():
        await site.apply(daemon_set(), of_daemon_set(progressive()))
        await site.phase_is("Initialized")
        await push(site, "6.0.1")
        await site.phase_is("Succeeded")
    assert gateway.steps() == [0, 25, 50, 0]


async def test_a_daemon_set_that_never_becomes_ready_is_rolled_back_at_the_deadline(site: Site, pods: Breaker) -> None:
    async with site.controller(fail_fast_after=timedelta(0)):
        await site.apply(daemon_set(), of_daemon_set(blue_green(), progressDeadlineSeconds=4))
        await site.phase_is("Initialized")
        pods.break_pods("podinfo", "6.0.1")
        await push(site, "6.0.1")
        await site.phase_is("Failed")
        assert await image(site, "podinfo-primary") == "6.0.0"
        await site.until(lambda: asleep(site), "a DaemonSet that sleeps")


async def test_a_daemon_set_whose_image_is_missing_is_rolled_back_at_once(site: Site, pods: Breaker) -> None:
    pods.hold("podinfo", "6.0.1", "ImagePullBackOff")
    async with site.controller(fail_fast_after=timedelta(seconds=1)):
        await site.apply(daemon_set(), of_daemon_set(blue_green()))
        await site.phase_is("Initialized")
        await push(site, "6.0.1")
        failed = await site.phase_is("Failed")
        assert "container podinfod of 1 of 1 pods: ImagePullBackOff" in failed["status"]["rollout"]["failing"]


async def asleep(site: Site) -> bool:
    return SCALE_TO_ZERO in await node_selector(site)


async def test_a_daemon_set_that_somebody_wakes_is_sent_to_sleep_again(site: Site) -> None:
    async with site.controller():
        await site.apply(daemon_set(), of_daemon_set(blue_green()))
        await site.phase_is("Initialized")
        await site.edit(DAEMONSETS, "podinfo", {"spec": {"template": {"spec": {"nodeSelector": None}}}})
        await site.event("something else wakes podinfo")
        await site.until(lambda: asleep(site), "a DaemonSet that sleeps")
        assert await site.phase() == "Initialized"


async def test_deletion_wakes_the_daemon_set_first_and_leaves_nothing_of_ours(site: Site) -> None:
    async with site.controller():
        await site.apply(daemon_set(), of_daemon_set(blue_green()))
        await site.phase_is("Initialized")

        await site.client.delete(site.ref(CANARIES, "podinfo"))
        await site.gone()

        assert await node_selector(site) == {}
        assert (await status(site, "podinfo"))["numberAvailable"] == await nodes(site)
        assert (await site.get(SERVICES, "podinfo"))["spec"]["selector"] == {"app": "podinfo"}
        assert await site.find(DAEMONSETS, "podinfo-primary") is None
        assert await site.ours() == []


async def test_w39_a_primary_that_is_made_again_while_its_target_sleeps_is_awake(site: Site) -> None:
    async with site.controller():
        await site.apply(daemon_set(), of_daemon_set(blue_green()))
        await site.phase_is("Initialized")
        before = (await site.get(DAEMONSETS, "podinfo-primary"))["metadata"]["uid"]

        await site.client.delete(site.ref(DAEMONSETS, "podinfo-primary"))

        async def again() -> bool:
            found = await site.find(DAEMONSETS, "podinfo-primary")
            return found is not None and found["metadata"]["uid"] != before

        await site.until(again, "another primary")
        assert await node_selector(site, "podinfo-primary") == {}


async def test_a_daemon_set_that_cannot_have_a_primary_is_answered_in_a_sentence(site: Site) -> None:
    async with site.controller():
        await site.apply(daemon_set(hostNetwork=True), of_daemon_set(blue_green()))
        await site.stalled("DaemonSet podinfo takes port 9898 of its nodes")
        assert await site.find(DAEMONSETS, "podinfo-primary") is None
