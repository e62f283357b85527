"""Pods that cannot start end a rollout early, on a real API server with the real Deployment controller.

No kubelet runs here: what it would say of containers is written by the test.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import PODS
from flaggerpy.kube.wire import Request, Response, Transport
from tests.integration.gateway import Gateway
from tests.integration.objects import blue_green, careful, progressive
from tests.integration.pods import Breaker
from tests.integration.served import always_served
from tests.integration.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

SOON = timedelta(seconds=2)
MESSAGE = 'Back-off pulling image "ghcr.io/stefanprodan/podinfo:6.0.1": ErrImagePull: not found'
BRIEF = 'Back-off pulling image "ghcr.io/stefanprodan/podinfo:6.0.1": not found'


def patient() -> JsonObject:
    """Write a Deployment that has a minute to become ready, far more than any test here waits for a failure."""
    return careful(progressDeadlineSeconds=60)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def hopeless_since(site: Site) -> str:
    """Return since when the canary is known to wait in vain, empty when it does not."""
    return str(((await site.canary())["status"].get("rollout") or {}).get("hopelessSince") or "")


async def doubted(site: Site) -> str:
    """Wait until the canary is known to wait in vain."""
    return str(await site.until(lambda: hopeless_since(site), "hopelessSince"))


async def test_a_missing_image_is_rolled_back_with_the_kubelets_reason(
    site: Site, gateway: Gateway, pods: Breaker
) -> None:
    pods.hold("podinfo", "6.0.1", "ImagePullBackOff", MESSAGE)
    async with site.controller(fail_fast_after=SOON) as controller:
        await site.apply(patient(), progressive())
        await site.phase_is("Initialized")
        async with always_served(site):
            await site.set_image("6.0.1")
            since = moment(await doubted(site))
            failed = await site.phase_is("Failed", patience=20)
            await site.until(lambda: _asleep(site), "sleep of the target")

        said = f"cannot become ready: container podinfod of 2 of 2 pods: ImagePullBackOff ({BRIEF})"
        assert failed["status"]["rollout"]["failing"] == f"podinfo.{site.namespace} {said}"
        assert datetime.now(UTC) - since >= SOON
        await site.event(said)
        settled = await site.settled()
        assert "hopelessSince" not in settled["status"]["rollout"]
    assert gateway.shares() == [0]
    lists = [path for path in controller.seen if path.endswith("/pods")]
    sets = [path for path in controller.seen if "/replicasets/" in path]
    assert len(lists) == 2, "once for the bootstrap and once for the rollout"
    assert len(set(sets)) == 1, "of the only ReplicaSet whose pods cannot start"


async def test_one_bad_node_does_not_hold_up_a_threshold_that_can_be_reached(site: Site, pods: Breaker) -> None:
    pods.hold("podinfo", "6.0.1", "ImagePullBackOff", most=1)
    async with site.controller(fail_fast_after=SOON):
        await site.apply(patient(), blue_green(iterations=4, canaryReadyThreshold=50))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Succeeded")
    assert await site.image("podinfo-primary") == "6.0.1"


async def test_a_secret_that_arrives_in_time_fails_nothing(site: Site, pods: Breaker) -> None:
    pods.hold("podinfo", "6.0.1", "CreateContainerConfigError", 'secret "token" not found')
    async with site.controller(fail_fast_after=timedelta(seconds=20)):
        await site.apply(patient(), blue_green())
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await doubted(site)
        pods.heal()
        await site.phase_is("Succeeded")
        assert await hopeless_since(site) == ""
    assert not [message for message in await site.events() if "cannot become ready" in message]


async def test_crashes_count_when_they_are_repeated(site: Site, pods: Breaker) -> None:
    pods.hold("podinfo", "6.0.1", "CrashLoopBackOff", restarts=1)
    pods.hold("podinfo", "6.0.2", "CrashLoopBackOff", restarts=2)
    async with site.controller(fail_fast_after=SOON):
        await site.apply(patient(), blue_green())
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.until(lambda: _crash(site, "6.0.1"), "two pods that crash")
        await site.settled()
        assert await hopeless_since(site) == ""
        await site.set_image("6.0.2")
        failed = await site.phase_is("Failed", patience=20)
    assert "CrashLoopBackOff" in failed["status"]["rollout"]["failing"]


async def test_blocked_pods_of_the_template_before_are_not_charged_to_the_fix(site: Site, pods: Breaker) -> None:
    pods.hold("podinfo", "6.0.1", "ImagePullBackOff")
    async with site.controller(fail_fast_after=timedelta(seconds=20)):
        await site.apply(patient(), blue_green())
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await doubted(site)
        await site.set_image("6.0.2")
        await site.until(lambda: _confident(site), "end of the doubt")
        await site.until(lambda: _succeeded_without_doubt(site), "success")
    assert await site.image("podinfo-primary") == "6.0.2"


async def test_a_controller_that_dies_is_followed_by_one_that_goes_on_counting(site: Site, pods: Breaker) -> None:
    limit = timedelta(seconds=6)
    pods.hold("podinfo", "6.0.1", "ImagePullBackOff")
    async with site.controller(fail_fast_after=limit) as first:
        await site.apply(patient(), blue_green())
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        since = await doubted(site)
        await first.kill()
    assert await hopeless_since(site) == since
    async with site.controller(fail_fast_after=limit):
        await site.phase_is("Failed", patience=20)
    assert datetime.now(UTC) - moment(since) >= limit, "not early"
    told = await site.event("cannot become ready")
    assert "ImagePullBackOff" in told


async def test_a_promotion_that_finds_no_image_leaves_users_on_the_canary(
    site: Site, gateway: Gateway, pods: Breaker
) -> None:
    pods.hold("podinfo-primary", "6.0.1", "ImagePullBackOff", MESSAGE)
    async with site.controller(fail_fast_after=SOON):
        await site.apply(patient(), progressive(step=50, most=50))
        await site.phase_is("Initialized")
        async with always_served(site):
            await site.set_image("6.0.1")
            failed = await site.phase_is("Failed")
            assert "Promotion of podinfo" in failed["status"]["rollout"]["failing"]
            assert "container podinfod of " in failed["status"]["rollout"]["failing"]
            assert await site.weights() == {"podinfo-primary": 0, "podinfo-canary": 100}

            pods.heal()
            await site.phase_is("Succeeded")
    assert gateway.shares() == [0, 50, 100, 0]


async def test_a_bootstrap_says_early_what_keeps_the_primary_from_starting(site: Site, pods: Breaker) -> None:
    pods.hold("podinfo-primary", "6.0.0", "InvalidImageName", "couldn't parse image name")
    async with site.controller(fail_fast_after=SOON):
        await site.apply(patient(), blue_green())
        reason = await site.reason_has("cannot become ready", patience=20)
        advice = f"mend the template of podinfo.{site.namespace}"
        assert reason.endswith(f"InvalidImageName (couldn't parse image name): {advice}")
        assert await site.phase() == "Initializing"
        assert await site.replicas("podinfo") == 2
        pods.heal()
        await site.phase_is("Initialized")


class NoPods:
    """A transport to an API server that lets nobody read pods."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    async def send(self, request: Request) -> Response:
        if request.path.endswith("/pods"):
            status = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "pods is forbidden"}
            return Response(403, json.dumps(status).encode())
        return await self._inner.send(request)

    async def stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._inner.stream(request)) as lines:
            async for line in lines:
                yield line


async def test_without_a_right_to_pods_everything_else_goes_on_and_that_is_said_once(site: Site, pods: Breaker) -> None:
    said = "so whatever its pods say, waiting for canary deployment podinfo"
    async with site.controller(NoPods, fail_fast_after=SOON):
        await site.apply(patient(), blue_green())
        await site.phase_is("Initialized")
        pods.break_pods("podinfo", "6.0.1")
        await site.set_image("6.0.1")
        reason = await site.reason_has(said)
        assert reason.startswith(f"flaggerpy may not list and watch pods in namespace {site.namespace}: ")
        pods.heal()
        await site.phase_is("Succeeded")
        assert await site.reason() == ""
    not_ready = [message for message in await site.events() if message.startswith("canary deployment podinfo")]
    assert len(not_ready) <= 2, "once without and once with the reason"


async def _asleep(site: Site) -> bool:
    return await site.replicas("podinfo") == 0


async def _crash(site: Site, tag: str) -> bool:
    pods, _ = await site.client.list(PODS, site.namespace)
    mine = [pod["status"] for pod in pods if pod["spec"]["containers"][0]["image"].endswith(f":{tag}")]
    states = [status["containerStatuses"][0]["state"] for status in mine if "containerStatuses" in status]
    return [state.get("waiting") for state in states] == [{"reason": "CrashLoopBackOff"}] * 2


async def _confident(site: Site) -> bool:
    return await hopeless_since(site) == ""


async def _succeeded_without_doubt(site: Site) -> bool:
    assert await _confident(site), "only pods of the template before cannot start"
    return await site.phase() == "Succeeded"
