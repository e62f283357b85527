"""What a person asks of a rollout, through the Canary in the API server; docs/requests.md has the whole table."""

from __future__ import annotations

import json
import uuid
from contextlib import AsyncExitStack
from functools import partial

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, EVENTS
from tests.integration.gateway import Gateway
from tests.integration.objects import blue_green, deployment, progressive
from tests.integration.served import always_served
from tests.integration.servers import Hooks
from tests.integration.site import Site

pytestmark = pytest.mark.integration


async def write(site: Site, verb: str, *, by: str = "alice") -> str:
    """Write a request as the command line does; return its id."""
    identity = str(uuid.uuid4())
    request = json.dumps({"id": identity, "verb": verb, "by": by, "at": "2026-11-27T08:00:00.000000Z"})
    await site.edit(CANARIES, "podinfo", {"metadata": {"annotations": {"flaggerpy.dev/request": request}}})
    return identity


async def ask(site: Site, verb: str, *, by: str = "alice") -> JsonObject:
    """Ask, and return the answer."""
    identity = await write(site, verb, by=by)

    async def answered() -> JsonObject | None:
        request = ((await site.canary()).get("status") or {}).get("rollout", {}).get("request") or {}
        return request if request.get("id") == identity else None

    answer: JsonObject = await site.until(answered, f"answer to {verb}")
    return answer


async def test_paused_stepped_by_hand_and_resumed(site: Site, gateway: Gateway) -> None:
    async with site.controller(), AsyncExitStack() as stack:
        await site.apply(deployment(), progressive(step=20, most=60))
        await site.phase_is("Initialized")
        await stack.enter_async_context(always_served(site))
        assert (await ask(site, "pause"))["accepted"]
        await site.set_image("6.0.1")
        await site.phase_is("Waiting")
        assert await site.reason() == "paused by alice"
        assert await site.replicas("podinfo") == 0

        await ask(site, "promote")
        await site.reason_has("paused by alice")
        await site.phase_is("Progressing")
        for weight in (20, 40):
            await site.until(lambda: _ready(site), "a ready canary")
            answer = await ask(site, "promote", by="bob")
            assert answer["accepted"], answer
            await site.until(partial(_at, site, weight), f"{weight}%")
        await ask(site, "resume", by="bob")
        await site.phase_is("Succeeded")

    assert gateway.shares() == [0, 20, 40, 60, 0]
    assert await site.image("podinfo-primary") == "6.0.1"
    for told in ("pause by alice: ", "promote by bob: ", "resume by bob: "):
        assert (await site.event(told)).startswith(told)


async def test_an_abort_that_nobody_heard_is_carried_out_by_the_next_controller(
    site: Site, gateway: Gateway, hooks: Hooks
) -> None:
    hooks.close("confirm-promotion")
    async with site.controller() as first:
        await site.apply(deployment(), progressive(step=50, most=50, webhooks=[hooks.webhook("confirm-promotion")]))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("WaitingPromotion")
        await first.kill()

    identity = await write(site, "abort")
    async with site.controller():
        found = await site.phase_is("Failed")
        assert found["status"]["rollout"]["request"]["id"] == identity
        assert found["status"]["rollout"]["failing"] == "aborted by alice"
        await site.event("abort by alice: the rollout of podinfo")

        # Answered is answered, for this controller and for the next one.
        answer = await ask(site, "retry")
        assert answer["accepted"], answer
        await site.phase_is("WaitingPromotion")
        answer = await ask(site, "promote")
        assert answer["accepted"], answer
        await site.phase_is("Succeeded")
    assert gateway.shares() == [0, 50, 0, 50, 0]


async def test_a_request_that_makes_no_sense_is_refused_with_a_sentence(site: Site) -> None:
    async with site.controller() as controller:
        await site.apply(deployment(), blue_green())
        await site.phase_is("Initialized")
        await site.settled()
        before = len(controller.writes)
        answer = await ask(site, "abort")
        assert (answer["accepted"], answer["answer"]) == (
            False,
            f"no rollout of podinfo.{site.namespace} is running",
        )
        await site.event("abort by alice refused: no rollout of podinfo")
        await site.settled()
        assert {request.path.rpartition("/")[2] for request in controller.writes[before:]} == {"status"}
        kinds = {item["type"] for item in await _events(site) if "refused" in item["message"]}
        assert kinds == {"Warning"}


async def test_promoted_in_full_without_asking_any_gate(site: Site, gateway: Gateway, hooks: Hooks) -> None:
    for gate in ("confirm-rollout", "pre-rollout", "confirm-promotion"):
        hooks.close(gate)
    webhooks = [hooks.webhook(gate) for gate in ("confirm-rollout", "pre-rollout", "confirm-promotion")]
    async with site.controller(), AsyncExitStack() as stack:
        await site.apply(deployment(), progressive(step=20, most=60, webhooks=webhooks))
        await site.phase_is("Initialized")
        await stack.enter_async_context(always_served(site))
        await site.set_image("6.0.1")
        await site.phase_is("Waiting")
        answer = await ask(site, "promote-full")
        assert answer["accepted"], answer
        await site.phase_is("Succeeded")
    assert set(gateway.shares()) == {0}
    assert hooks.to("pre-rollout") == []
    assert await site.image("podinfo-primary") == "6.0.1"


async def _events(site: Site) -> list[JsonObject]:
    items, _ = await site.client.list(EVENTS, site.namespace)
    return [item for item in items if item["involvedObject"]["kind"] == "Canary"]


async def _at(site: Site, weight: int) -> bool:
    return int((await site.canary())["status"]["canaryWeight"]) == weight


async def _ready(site: Site) -> bool:
    status = (await site.get(DEPLOYMENTS, "podinfo")).get("status") or {}
    return int(status.get("availableReplicas") or 0) == 2
