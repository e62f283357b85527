"""Users who change their minds in the middle of a rollout, and primaries that cannot follow."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest

from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, PODS, Resource
from flaggerpy.kube.wire import Request, Response, Transport
from tests.integration.gateway import Gateway
from tests.integration.objects import blue_green, canary, deployment, progressive
from tests.integration.pods import Breaker
from tests.integration.served import always_served
from tests.integration.servers import Call, Hooks
from tests.integration.site import Site

pytestmark = pytest.mark.integration

QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")


def images(writes: list[Request], name: str = "podinfo-primary") -> list[str]:
    """Return the tags that were written to a Deployment, one after the other, repetitions left out."""
    found: list[str] = []
    for request in writes:
        if not request.body or "/deployments" not in request.path or request.method not in {"POST", "PUT"}:
            continue
        body = json.loads(request.body)
        if body["metadata"]["name"] == name:
            tag = body["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]
            found += [tag] if found[-1:] != [tag] else []
    return found


async def test_a_newer_revision_in_mid_analysis_starts_it_again(site: Site, gateway: Gateway, hooks: Hooks) -> None:
    hooks.close("confirm-promotion")
    async with site.controller() as controller:
        webhooks = [hooks.webhook("pre-rollout"), hooks.webhook("confirm-promotion")]
        await site.apply(deployment(), progressive(step=25, most=50, webhooks=webhooks))
        await site.phase_is("Initialized")
        async with always_served(site):
            await site.set_image("6.0.1")
            await site.phase_is("WaitingPromotion")

            await site.set_image("6.0.2")
            await site.event("New revision detected! Restarting analysis")
            hooks.open("confirm-promotion")
            await site.phase_is("Succeeded")

    assert gateway.shares() == [0, 25, 50, 0, 25, 50, 0]
    assert images(controller.writes) == ["6.0.0", "6.0.2"]
    assert hooks.asked("pre-rollout") == 2


async def test_putting_the_promoted_revision_back_takes_users_off_the_canary_w06(
    site: Site, gateway: Gateway, hooks: Hooks
) -> None:
    hooks.close("confirm-promotion")
    async with site.controller() as controller:
        await site.apply(deployment(), progressive(step=50, most=50, webhooks=[hooks.webhook("confirm-promotion")]))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("WaitingPromotion")

        await site.set_image("6.0.0")
        await site.phase_is("Succeeded")
        hooks.open("confirm-promotion")
        await site.settled()

        assert await site.phase() == "Succeeded"
        assert await site.replicas("podinfo") == 0
    assert gateway.shares() == [0, 50, 0]
    assert images(controller.writes) == ["6.0.0"]


async def test_a_fix_pushed_after_a_failure_while_the_primary_is_not_ready_is_not_lost_w01(
    site: Site, pods: Breaker, hooks: Hooks
) -> None:
    hooks.close("pre-rollout")
    async with site.controller():
        await site.apply(deployment(), blue_green(iterations=1, threshold=1, webhooks=[hooks.webhook("pre-rollout")]))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Failed")
        hooks.open("pre-rollout")
        pods.break_pods("podinfo-primary")
        await site.until(lambda: _available(site, "podinfo-primary", 0), "a primary that is not ready")

        await site.set_image("6.0.2")
        await site.reason_has("before a rollout starts")
        assert await site.phase() == "Failed"
        pods.heal()
        await site.phase_is("Succeeded")
    assert await site.image("podinfo-primary") == "6.0.2"


async def conditions(site: Site) -> dict[str, str]:
    """What whoever waits by kstatus reads."""
    return {kind: (await site.condition(kind))["status"] for kind in ("Ready", "Reconciling", "Stalled")}


async def test_the_old_revision_put_back_ends_a_failure_and_the_failed_one_is_tried_again(
    site: Site, hooks: Hooks
) -> None:
    hooks.close("pre-rollout")
    async with site.controller():
        await site.apply(deployment(), blue_green(iterations=1, threshold=1, webhooks=[hooks.webhook("pre-rollout")]))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Failed")
        await site.settled()
        assert await conditions(site) == {"Ready": "False", "Reconciling": "False", "Stalled": "True"}
        await site.set_image("6.0.0")
        await site.phase_is("Succeeded")
        await site.settled()
        assert await conditions(site) == {"Ready": "True", "Reconciling": "False", "Stalled": "False"}
        assert await site.replicas("podinfo") == 0

        hooks.open("pre-rollout")
        await site.set_image("6.0.1")
        await site.phase_is("Succeeded")
        await site.until(lambda: _runs(site, "6.0.1"), "the promoted revision")


async def test_a_revision_pushed_while_the_gate_answers_is_analysed_before_it_is_promoted_w14(
    site: Site, hooks: Hooks
) -> None:
    async def push(call: Call) -> None:
        if len(hooks.to(call.path)) == 1:
            await site.set_image("6.0.2")

    hooks.before["confirm-promotion"] = push
    async with site.controller() as controller:
        webhooks = [hooks.webhook("pre-rollout"), hooks.webhook("confirm-promotion")]
        await site.apply(deployment(), blue_green(iterations=1, webhooks=webhooks))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")

    assert images(controller.writes) == ["6.0.0", "6.0.2"]
    assert hooks.asked("pre-rollout") == 2


async def test_a_revision_pushed_while_the_primary_is_written_waits_its_turn_w14(
    site: Site, gateway: Gateway, hooks: Hooks
) -> None:
    """The push lands between the decision to promote and the write: the primary gets what was analysed."""
    async with site.controller(lambda inner: _Pusher(inner, site)) as controller:
        await site.apply(deployment(), progressive(step=50, most=50, webhooks=[hooks.webhook("pre-rollout")]))
        await site.phase_is("Initialized")
        async with always_served(site):
            await site.set_image("6.0.1")
            await site.until(lambda: _runs(site, "6.0.2"), "promotion of the second push", patience=60)
            await site.phase_is("Succeeded")

    assert images(controller.writes) == ["6.0.0", "6.0.1", "6.0.2"]
    assert hooks.asked("pre-rollout") == 2


async def test_an_edit_while_a_hook_hangs_never_makes_two_ticks_of_one_canary_w17(site: Site, hooks: Hooks) -> None:
    async def slow(_: Call) -> None:
        await asyncio.sleep(1.5)

    hooks.before["rollout"] = slow
    async with site.controller():
        await site.apply(deployment(), blue_green(iterations=3, webhooks=[hooks.webhook("rollout")]))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        for asked, interval in enumerate(("2s", "3s", "1s"), start=1):
            await site.until(partial(_asked, hooks, asked), "a question")
            await site.edit(CANARIES, "podinfo", {"spec": {"analysis": {"interval": interval}}})
        await site.phase_is("Succeeded")

    assert hooks.most_at_once == 1
    assert await site.image("podinfo-primary") == "6.0.1"


async def test_a_canary_that_meets_a_bug_hurts_no_other_w27(site: Site) -> None:
    async with site.controller(lambda inner: _Cursed(inner, "/deployments/cursed")):
        await site.apply(deployment("cursed"), blue_green("cursed"))
        await site.apply(deployment(), blue_green(iterations=1))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Succeeded")

        assert await site.phase("cursed") in {"", "Initializing"}
        assert await site.replicas("cursed") == 2


async def test_an_analysis_survives_an_edit_of_everything_but_the_template(site: Site, hooks: Hooks) -> None:
    hooks.close("confirm-promotion")
    async with site.controller():
        made = canary(
            "podinfo", {"iterations": 1, "webhooks": [hooks.webhook("confirm-promotion")]}, provider="kubernetes"
        )
        await site.apply(deployment(), made)
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("WaitingPromotion")
        await site.edit(DEPLOYMENTS, "podinfo", {"metadata": {"labels": {"team": "payments"}}})
        await site.edit(DEPLOYMENTS, "podinfo", {"spec": {"revisionHistoryLimit": 3}})
        await asyncio.sleep(3)
        assert await site.phase() == "WaitingPromotion"
        assert not any("Restarting" in text for text in await site.events())


class _Pusher:
    """A transport that pushes one more revision just before the first promotion is written."""

    def __init__(self, inner: Transport, site: Site) -> None:
        self._inner = inner
        self._site = site
        self._done = False
        self.stream = inner.stream

    async def send(self, request: Request) -> Response:
        if not self._done and request.method == "PUT" and request.path.endswith("/deployments/podinfo-primary"):
            self._done = True
            await self._site.set_image("6.0.2")
        return await self._inner.send(request)


class _Cursed:
    """A transport in which one path is a bug."""

    def __init__(self, inner: Transport, path: str) -> None:
        self._inner = inner
        self._path = path
        self.stream = inner.stream

    async def send(self, request: Request) -> Response:
        if self._path in request.path:
            raise ZeroDivisionError("a bug that nobody foresaw")
        return await self._inner.send(request)


async def _available(site: Site, name: str, pods: int) -> bool:
    return int((await site.get(DEPLOYMENTS, name))["status"].get("availableReplicas") or 0) == pods


async def _used(site: Site) -> bool:
    pods, _ = await site.client.list(PODS, site.namespace)
    used = ((await site.get(QUOTAS, "room")).get("status") or {}).get("used") or {}
    return bool(used.get("pods") == str(len(pods)) == "4")


async def _asleep(site: Site) -> bool:
    return await site.replicas("podinfo") == 0


async def _runs(site: Site, tag: str) -> bool:
    return await site.image("podinfo-primary") == tag


async def _share_below(gateway: Gateway, share: int) -> bool:
    return 50 in gateway.shares() and gateway.shares()[-1] < share


async def _asked(hooks: Hooks, times: int, path: str = "rollout") -> bool:
    return len(hooks.to(path)) >= times
