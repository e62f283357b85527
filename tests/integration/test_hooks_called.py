"""Webhooks of every type against a receiver on loopback: what they are told, when, and what their answers do."""

from __future__ import annotations

import asyncio
import json

import pytest
import structlog

from tests.integration.beside import another_goes_on
from tests.integration.gateway import Gateway
from tests.integration.objects import blue_green, deployment, progressive
from tests.integration.pods import Breaker
from tests.integration.servers import Before, Call, Hooks
from tests.integration.site import Site

pytestmark = pytest.mark.integration

GATES = ("confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion", "post-rollout")


async def test_every_hook_is_called_in_order_with_flaggers_payload(site: Site, gateway: Gateway, hooks: Hooks) -> None:
    hooks.close("rollback")
    webhooks = [hooks.webhook(kind) for kind in (*GATES, "rollback", "event")]
    webhooks[2]["metadata"] = {"type": "cmd", "cmd": "true"}
    async with site.controller():
        await site.apply(deployment(), progressive(step=50, most=50, webhooks=webhooks))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")
        await site.until(lambda: _called(hooks, "post-rollout"), "call of the post-rollout hook")

    told = [(call.path, call.body["phase"]) for call in hooks.calls if call.path != "event"]
    # A primary that is not ready for an interval is asked about once more.
    assert [entry for entry, before in zip(told, [None, *told], strict=False) if entry != before] == [
        ("confirm-rollout", "Initialized"),
        ("rollback", "Progressing"),
        ("pre-rollout", "Progressing"),
        ("confirm-traffic-increase", "Progressing"),
        ("rollback", "Progressing"),
        ("rollout", "Progressing"),
        ("confirm-traffic-increase", "Progressing"),
        ("confirm-promotion", "Progressing"),
        ("rollback", "Promoting"),
        ("rollback", "Finalising"),
        ("post-rollout", "Succeeded"),
    ]
    for call in hooks.calls:
        with_metadata = call.path in {"rollout", "event"}
        assert list(call.body) == ["name", "namespace", "phase", "checksum", *(["metadata"] if with_metadata else [])]
        assert (call.body["name"], call.body["namespace"]) == ("podinfo", site.namespace)
        assert call.headers["Content-Type"] == "application/json"
    assert hooks.to("rollout")[0].body["metadata"] == {"type": "cmd", "cmd": "true"}
    of_this_rollout = {call.body["checksum"] for call in hooks.calls if call.path in set(GATES[1:])}
    assert len(of_this_rollout) == 1
    keys = [call.key for call in hooks.calls]
    assert len(keys) == len(set(keys))


async def test_the_event_webhook_hears_the_story_in_order(site: Site, gateway: Gateway, hooks: Hooks) -> None:
    webhooks = [hooks.webhook(kind) for kind in (*GATES, "event")]
    async with site.controller():
        await site.apply(deployment(), progressive(step=50, most=50, webhooks=webhooks))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")
        await site.until(lambda: _called(hooks, "post-rollout"), "call of the post-rollout hook")
        await site.until(lambda: _told(hooks, "Post-rollout check"), "event of the post-rollout hook")

    for call in hooks.to("event"):
        assert set(call.body["metadata"]) == {"eventMessage", "eventType", "timestamp"}
        assert call.body["metadata"]["timestamp"].isdigit()
    told = [call.body["metadata"]["eventMessage"] for call in hooks.to("event")]
    story = [
        f"Initialization done! podinfo.{site.namespace}",
        "Confirm-rollout check confirm-rollout passed",
        f"New revision detected! Scaling up podinfo.{site.namespace}",
        f"Starting canary analysis for podinfo.{site.namespace}",
        "Pre-rollout check pre-rollout passed",
        "Confirm-traffic-increase check confirm-traffic-increase passed",
        f"Advance podinfo.{site.namespace} canary weight 50",
        "Confirm-traffic-increase check confirm-traffic-increase passed",
        "Confirm-promotion check confirm-promotion passed",
        f"Copying podinfo.{site.namespace} template spec to podinfo-primary.{site.namespace}",
        "Routing all traffic to primary",
        f"Promotion completed! Scaling down podinfo.{site.namespace}",
        "Post-rollout check post-rollout passed",
    ]
    assert [message for message in told if message in story] == story
    kinds = {call.body["metadata"]["eventType"] for call in hooks.to("event") if _message(call) in story}
    assert kinds == {"Normal"}


async def test_a_closed_gate_before_the_rollout_keeps_the_target_asleep(site: Site, hooks: Hooks) -> None:
    hooks.close("confirm-rollout")
    async with site.controller():
        await site.apply(deployment(), blue_green(iterations=1, webhooks=[hooks.webhook("confirm-rollout")]))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        found = await site.phase_is("Waiting")
        await site.until(lambda: _called(hooks, "confirm-rollout", times=3), "three questions")

        assert await site.replicas("podinfo") == 0
        assert found["status"]["failedChecks"] == 0
        assert "confirm-rollout" in await site.reason()
        await site.event("waiting for approval")
        halts = [text for text in await site.events() if "waiting for approval" in text]
        assert halts == [f"Halt podinfo.{site.namespace} advancement waiting for approval confirm-rollout"]
        assert hooks.phases("confirm-rollout") == ["Initialized", "Waiting"]

        hooks.open("confirm-rollout")
        await site.phase_is("Succeeded")
        assert await site.image("podinfo-primary") == "6.0.1"


async def test_a_revision_that_waits_can_be_withdrawn(site: Site, hooks: Hooks) -> None:
    hooks.close("confirm-rollout")
    async with site.controller():
        await site.apply(deployment(), blue_green(iterations=1, webhooks=[hooks.webhook("confirm-rollout")]))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Waiting")

        await site.set_image("6.0.0")
        await site.phase_is("Succeeded")

        hooks.open("confirm-rollout")
        await site.settled()
        assert await site.phase() == "Succeeded"
        assert await site.replicas("podinfo") == 0


async def test_a_closed_gate_before_the_promotion_keeps_the_weight_w13(
    site: Site, gateway: Gateway, hooks: Hooks
) -> None:
    hooks.close("confirm-promotion")
    async with site.controller():
        webhooks = [hooks.webhook("rollout"), hooks.webhook("confirm-promotion")]
        await site.apply(deployment(), progressive(step=50, most=50, webhooks=webhooks))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("WaitingPromotion")
        await site.until(lambda: _called(hooks, "confirm-promotion", times=3), "three questions")

        status = (await site.canary())["status"]
        assert (status["phase"], status["canaryWeight"], status["failedChecks"]) == ("WaitingPromotion", 50, 0)
        assert await site.weights() == {"podinfo-primary": 50, "podinfo-canary": 50}
        # The canary is judged as long as it serves users.
        assert len(hooks.to("rollout")) >= 3

        hooks.open("confirm-promotion")
        await site.phase_is("Succeeded")
        assert gateway.shares() == [0, 50, 0]


async def test_failures_count_while_the_promotion_waits(site: Site, gateway: Gateway, hooks: Hooks) -> None:
    hooks.close("confirm-promotion")
    async with site.controller():
        webhooks = [hooks.webhook("rollout"), hooks.webhook("confirm-promotion")]
        await site.apply(deployment(), progressive(step=50, most=50, webhooks=webhooks))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("WaitingPromotion")

        hooks.close("rollout")
        await site.phase_is("Failed")

        assert gateway.shares() == [0, 50, 0]
        assert await site.image("podinfo-primary") == "6.0.0"


async def test_a_closed_gate_between_steps_holds_the_weight(site: Site, gateway: Gateway, hooks: Hooks) -> None:
    async with site.controller():
        webhooks = [hooks.webhook("confirm-traffic-increase")]
        await site.apply(deployment(), progressive(step=25, most=50, webhooks=webhooks))
        await site.phase_is("Initialized")
        hooks.before["confirm-traffic-increase"] = _close_after_first(hooks)
        await site.set_image("6.0.1")
        await site.until(lambda: _called(hooks, "confirm-traffic-increase", times=4), "four questions")

        status = (await site.canary())["status"]
        assert (status["phase"], status["canaryWeight"], status["failedChecks"]) == ("Progressing", 25, 0)
        assert gateway.shares() == [0, 25]
        assert await site.reason() == "waiting for traffic increase approval confirm-traffic-increase"


@pytest.mark.parametrize("where", ["Progressing", "WaitingPromotion"])
async def test_a_rollback_hook_takes_users_off_the_canary(
    site: Site, gateway: Gateway, hooks: Hooks, where: str
) -> None:
    hooks.close("rollback", "confirm-promotion", *(["confirm-traffic-increase"] if where == "Progressing" else []))
    kinds = ("rollback", "confirm-promotion", "confirm-traffic-increase", "post-rollout")
    async with site.controller():
        webhooks = [hooks.webhook(kind) for kind in kinds]
        await site.apply(deployment(), progressive(step=50, most=50, webhooks=webhooks))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is(where)
        hooks.open("rollback")
        await site.phase_is("Failed")
        await site.until(lambda: _called(hooks, "post-rollout"), "call of the post-rollout hook")
        await site.until(lambda: _asleep(site), "sleep of the target")

        assert hooks.to("rollback")[-1].body["phase"] == where
        assert hooks.to("post-rollout")[0].body["phase"] == "Failed"
        assert gateway.shares()[-1] == 0
        assert await site.image("podinfo-primary") == "6.0.0"
        assert "manual webhook invoked: rollback" in await site.reason()


async def test_a_rollback_hook_is_asked_while_the_rollout_waits_w05(site: Site, hooks: Hooks) -> None:
    hooks.close("confirm-rollout", "rollback")
    async with site.controller():
        webhooks = [hooks.webhook("confirm-rollout"), hooks.webhook("rollback")]
        await site.apply(deployment(), blue_green(webhooks=webhooks))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Waiting")
        hooks.open("rollback")
        await site.phase_is("Failed")

        assert hooks.phases("rollback") == ["Waiting"]
        assert await site.replicas("podinfo") == 0


async def test_a_rollback_hook_takes_a_promotion_back(
    site: Site, gateway: Gateway, hooks: Hooks, pods: Breaker
) -> None:
    hooks.close("rollback")
    async with site.controller():
        await site.apply(deployment(), progressive(step=50, most=50, webhooks=[hooks.webhook("rollback")]))
        await site.phase_is("Initialized")
        pods.break_pods("podinfo-primary", "6.0.1")
        await site.set_image("6.0.1")
        await site.phase_is("Promoting")
        await site.until(lambda: _has_image(site, "podinfo-primary", "6.0.1"), "new template of the primary")
        assert gateway.shares()[-1] == 50
        hooks.open("rollback")
        await site.phase_is("Failed")
        await site.until(lambda: _asleep(site), "sleep of the target")

        assert hooks.to("rollback")[-1].body["phase"] == "Promoting"
        assert gateway.shares()[-1] == 0
        assert await site.image("podinfo-primary") == "6.0.0"
        assert "manual webhook invoked: rollback" in await site.reason()


async def test_a_rollback_hook_that_passes_too_late_is_told_about(site: Site, gateway: Gateway, hooks: Hooks) -> None:
    hooks.close("rollback")
    webhooks = [hooks.webhook("rollback"), hooks.webhook("confirm-promotion")]

    async def open_in_the_end(call: Call) -> None:
        if call.body["phase"] == "Finalising":
            hooks.open("rollback")

    hooks.before["rollback"] = open_in_the_end
    async with site.controller():
        await site.apply(deployment(), progressive(step=50, most=50, webhooks=webhooks))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")
        told = await site.event("passed too late")

    assert told.startswith(
        f"Rollback check rollback passed too late: all users are on podinfo-primary.{site.namespace}; put the template"
    )
    # A question that a write conflict repeats has the same key.
    assert len({call.key for call in hooks.to("rollback") if call.body["phase"] == "Finalising"}) == 1


async def test_hooks_of_one_type_are_called_at_the_same_time_where_the_canary_wants_it(
    site: Site, hooks: Hooks
) -> None:
    names = ("first", "second", "third")
    both = asyncio.Event()

    async def wait_for_all(_: Call) -> None:
        if all(hooks.to(name) for name in names):
            both.set()
        async with asyncio.timeout(20):
            await both.wait()

    hooks.before |= dict.fromkeys(names, wait_for_all)
    webhooks = [hooks.webhook("pre-rollout", name, timeout="30s") for name in names]
    async with site.controller():
        await site.apply(deployment(), blue_green(webhooks=webhooks, webhooksParallel=True))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Succeeded")

    assert hooks.most_at_once == 3


async def test_a_planted_secret_is_sent_and_told_to_nobody_else(site: Site, gateway: Gateway, hooks: Hooks) -> None:
    """The receiver repeats what it was sent; logs, events, status and other receivers are searched for it."""
    planted = "pl4nted-v4lue"
    header = {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "gate", "key": "token"}}}
    kinds = ("confirm-rollout", "pre-rollout", "rollout", "post-rollout", "rollback")
    webhooks = [hooks.webhook(kind, headers=[header]) for kind in kinds] + [hooks.webhook("event")]
    for kind in ("rollout", "post-rollout", "rollback"):
        hooks.answers[kind] = (403, f"nobody is called\nBearer {planted}")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "gate"}}
    with structlog.testing.capture_logs() as logs:
        async with site.controller():
            await site.apply(secret | {"stringData": {"token": f"Bearer {planted}\n"}})
            await site.apply(deployment(), progressive(step=50, most=50, threshold=1, webhooks=webhooks))
            await site.phase_is("Initialized")
            await site.set_image("6.0.1")
            await site.phase_is("Failed")
            told = await site.event("Post-rollout hook post-rollout failed")
            await site.until(lambda: _told(hooks, "Post-rollout hook"), "event of the post-rollout hook")
            found = await site.canary()
            events = await site.events()

    assert {kind: {call.headers.get("Authorization") for call in hooks.to(kind)} for kind in kinds} == {
        kind: {f"Bearer {planted}"} for kind in kinds
    }
    assert told.endswith("failed nobody is called [hidden]")
    assert any("external check rollout failed nobody is called [hidden]" in text for text in events)
    heard = [(call.body, call.headers) for call in hooks.to("event")]
    assert logs
    assert heard
    for output in (logs, found, events, heard):
        assert planted not in json.dumps(output, default=str)


async def test_a_secret_that_is_not_there_is_named_and_one_that_comes_later_is_used(
    site: Site, gateway: Gateway, hooks: Hooks
) -> None:
    header = {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "gate", "key": "token"}}}
    async with site.controller():
        webhooks = [hooks.webhook("pre-rollout", headers=[header])]
        await site.apply(deployment(), progressive(step=50, most=50, threshold=100, webhooks=webhooks))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        told = await site.event("pre-rollout check pre-rollout failed")
        lacking = f"the Secret gate, which does not exist in namespace {site.namespace}: create it"
        assert told.endswith(f"its header Authorization needs {lacking}")
        assert hooks.calls == []
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "gate"}}
        await site.apply(secret | {"stringData": {"token": "Bearer late"}})
        await site.phase_is("Succeeded")

    assert {call.headers["Authorization"] for call in hooks.to("pre-rollout")} == {"Bearer late"}


async def test_a_failing_pre_rollout_hook_ends_it_before_any_user_was_moved_w71(
    site: Site, gateway: Gateway, hooks: Hooks
) -> None:
    hooks.answers["pre-rollout"] = (500, "the smoke test failed at step 3")
    async with site.controller():
        await site.apply(deployment(), progressive(webhooks=[hooks.webhook("pre-rollout")], threshold=2))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Failed")
        told = await site.event("pre-rollout check pre-rollout failed")

        assert told.endswith("the smoke test failed at step 3")
        assert hooks.asked("pre-rollout") == 2
        assert gateway.shares() == [0]
        assert await site.image("podinfo-primary") == "6.0.0"


async def test_any_2xx_passes_w70(site: Site, hooks: Hooks) -> None:
    hooks.answers |= {"pre-rollout": (204, ""), "rollout": (206, "partly")}
    async with site.controller():
        webhooks = [hooks.webhook("pre-rollout"), hooks.webhook("rollout")]
        await site.apply(deployment(), blue_green(webhooks=webhooks))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")
        assert hooks.to("rollout")


@pytest.mark.usefixtures("calm")
async def test_a_hook_that_hangs_fails_the_check_when_its_time_is_over_and_holds_nobody_else(
    site: Site, gateway: Gateway, hooks: Hooks
) -> None:
    async def hang(_: Call) -> None:
        await asyncio.sleep(60)

    hooks.before["rollout"] = hang
    async with site.controller():
        webhooks = [hooks.webhook("rollout", timeout="2s")]
        await site.apply(deployment(), progressive(step=50, most=50, threshold=30, webhooks=webhooks))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        told = await site.event("external check rollout failed")
        assert told.endswith("no answer within 2 s")
        await another_goes_on(site)
        assert await site.reason() == "rollout check rollout failed"
        assert gateway.shares() == [0, 50]

        del hooks.before["rollout"]
        await site.phase_is("Succeeded")
    assert gateway.shares() == [0, 50, 0]


async def test_a_question_keeps_its_idempotency_key_over_a_crash(site: Site, hooks: Hooks) -> None:
    asked = asyncio.Event()

    async def hang(_: Call) -> None:
        asked.set()
        await asyncio.sleep(60)

    hooks.before["pre-rollout"] = hang
    async with site.controller() as first:
        webhooks = [hooks.webhook("pre-rollout", timeout="30s"), hooks.webhook("rollout")]
        await site.apply(deployment(), blue_green(webhooks=webhooks))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        async with asyncio.timeout(20):
            await asked.wait()
        await first.kill()
    del hooks.before["pre-rollout"]
    async with site.controller():
        await site.phase_is("Succeeded")

    before, after = hooks.to("pre-rollout")
    assert before.key == after.key
    keys = [call.key for call in hooks.to("rollout")]
    assert len(keys) == len(set(keys)) >= 2


async def test_a_question_asked_again_after_a_failure_has_a_new_key(site: Site, hooks: Hooks) -> None:
    hooks.close("rollout")
    async with site.controller():
        await site.apply(deployment(), blue_green(webhooks=[hooks.webhook("rollout")], threshold=3))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Failed")

    keys = [call.key for call in hooks.to("rollout")]
    assert len(keys) == len(set(keys)) == 3


async def _called(hooks: Hooks, path: str, times: int = 1) -> bool:
    return len(hooks.to(path)) >= times


async def _told(hooks: Hooks, words: str) -> bool:
    return any(words in _message(call) for call in hooks.to("event"))


def _message(call: Call) -> str:
    return str(call.body["metadata"]["eventMessage"])


async def _has_image(site: Site, name: str, tag: str) -> bool:
    return await site.image(name) == tag


async def _asleep(site: Site) -> bool:
    return await site.replicas("podinfo") == 0


def _close_after_first(hooks: Hooks) -> Before:
    async def close(call: Call) -> None:
        if len(hooks.to(call.path)) > 1:
            hooks.close(call.path)

    return close
