"""Canaries that Flagger left behind in each of its phases, on a real API server: nobody notices who goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flaggerpy.kube.objects import JsonObject, finalizers_of, metadata_of
from flaggerpy.kube.resources import CANARIES, DAEMONSETS, DEPLOYMENTS, SERVICES
from tests.integration.commands import flaggerpy
from tests.integration.contour import Contour
from tests.integration.flagger import FIRST_HASH, SECOND_HASH, Flagger, flagger
from tests.integration.gateway import Gateway
from tests.integration.objects import blue_green, daemon_set, of_daemon_set, progressive, proxied
from tests.integration.servers import Hooks
from tests.integration.site import IMAGE, Site

pytestmark = [pytest.mark.takeover, pytest.mark.usefixtures("calm")]

STEPS = {"stepWeights": [10, 30, 60]}
NEW: dict[str, Any] = {"applied": SECOND_HASH}


def canary_of(provider: str, **analysis: Any) -> JsonObject:
    """Write a Canary of a provider whose steps are 10, 30 and 60 %, unless it has iterations."""
    if provider == "kubernetes":
        return blue_green(**({"iterations": 3} | analysis))
    made = progressive() if provider == "gatewayapi:v1" else proxied()
    plan = {} if "iterations" in analysis else STEPS
    made["spec"]["analysis"] = {"interval": "1s", "threshold": 2, **plan, **analysis}
    return made


@asynccontextmanager
async def at_rest(site: Site, provider: str = "gatewayapi:v1", **analysis: Any) -> AsyncIterator[Flagger]:
    """A canary that Flagger has initialised."""
    async with flagger(site, provider=provider) as left:
        await left.begin(canary_of(provider, **analysis))
        await left.initialize()
        yield left


@asynccontextmanager
async def rolling(
    site: Site, weight: int, provider: str = "gatewayapi:v1", *, iterations: int = 0, **analysis: Any
) -> AsyncIterator[Flagger]:
    """A rollout that Flagger has brought to this share."""
    async with at_rest(site, provider, **analysis) as left:
        await left.push("6.0.1")
        await left.wake()
        await left.route(weight)
        await left.status("Progressing", canaryWeight=weight, iterations=iterations, **NEW)
        yield left


async def succeeds(site: Site) -> JsonObject:
    """Wait for the end of the rollout and return the status."""
    await site.phase_is("Succeeded", patience=60)
    status: JsonObject = (await site.settled())["status"]
    assert await site.image("podinfo-primary") == "6.0.1"
    assert await site.replicas("podinfo") == 0
    return status


@pytest.mark.parametrize("provider", ["gatewayapi:v1", "contour", "kubernetes"])
@pytest.mark.parametrize("phase", ["Initialized", "Succeeded", "Failed"])
async def test_an_idle_canary_stays_as_it_is(
    site: Site, gateway: Gateway, contour: Contour, provider: str, phase: str
) -> None:
    async with at_rest(site, provider) as left:
        await left.status(phase)
        before = await site.get(DEPLOYMENTS, "podinfo-primary")
    async with site.controller():
        await site.event(f"Taken over from Flagger in phase {phase}: nothing to roll out")
        canary = await site.settled()
        primary = await site.get(DEPLOYMENTS, "podinfo-primary")
    status = canary["status"]
    assert (status["phase"], status["lastAppliedSpec"], status["lastPromotedSpec"]) == (phase, FIRST_HASH, FIRST_HASH)
    assert status["trackedConfigs"] == {}
    assert primary["spec"] == before["spec"]
    assert {*gateway.shares(), *contour.shares()} <= {0}
    assert await site.replicas("podinfo") == 0
    # Nothing that serves users is collected with the Canary any more.
    for resource in (SERVICES, DEPLOYMENTS):
        for obj in (await site.client.list(resource, site.namespace))[0]:
            assert "ownerReferences" not in metadata_of(obj), obj["metadata"]["name"]
    assert "finalizer.flagger.app" in finalizers_of(canary)


async def test_back_at_flagger_an_idle_canary_looks_as_flagger_left_it(site: Site, gateway: Gateway) -> None:
    async with at_rest(site) as left:
        before = (await site.canary())["status"]
        async with site.controller():
            await site.event("Taken over from Flagger")
            await site.settled()
        after = (await site.canary())["status"]
        known = ("phase", "lastAppliedSpec", "lastPromotedSpec", "trackedConfigs", "canaryWeight", "lastTransitionTime")
        assert {key: after[key] for key in known} == {key: before[key] for key in known}
        # Flagger knows no field of ours: its next write of the status drops them, and we take over once more.
        await left.status("Initialized")
    async with site.controller():
        await site.until(lambda: _is_recorded(site), "the second takeover")
        await site.settled()
    assert await site.phase() == "Initialized"
    assert gateway.shares() == [0]


async def _is_recorded(site: Site) -> bool:
    return "applied" in ((await site.canary())["status"].get("rollout") or {})


@pytest.mark.parametrize(("provider", "weight"), [("gatewayapi:v1", 30), ("contour", 30), ("gatewayapi:v1", 0)])
async def test_a_rollout_goes_on_from_the_live_weight(
    site: Site, gateway: Gateway, contour: Contour, provider: str, weight: int
) -> None:
    plane = contour if provider == "contour" else gateway
    async with rolling(site, weight, provider):
        reached = [0] if weight == 0 else [0, weight]
        await site.until(lambda: _shows(plane, reached), "the share that Flagger gave")
    async with site.controller():
        status = await succeeds(site)
    assert plane.shares() == [*reached, *(step for step in (10, 30, 60) if step > weight), 0]
    assert status["lastPromotedSpec"] == SECOND_HASH


async def test_copies_of_requests_go_on_for_the_iterations_that_are_left(site: Site, gateway: Gateway) -> None:
    async with at_rest(site, iterations=3, mirror=True) as left:
        await left.push("6.0.1")
        await left.wake()
        await left.route(0, mirrored=True)
        await left.status("Progressing", iterations=2, **NEW)
        await site.until(lambda: _are_copied(gateway), "copies")
        before = len(gateway.written)
    async with site.controller():
        await site.event("the rollout goes on at 0%, and the canary still gets copies of requests")
        await succeeds(site)
    assert gateway.shares() == [0, 100, 0]
    copied = [_has_copies(route) for route in gateway.written[before:] if gateway.share(route) == 0]
    assert copied == sorted(copied, reverse=True), "copies stopped and began again"
    assert [text for text in await site.events() if "canary iteration" in text or "all traffic" in text] == [
        f"Advance podinfo.{site.namespace} canary iteration 3/3",
        "Stop traffic mirroring and route all traffic to canary",
        "Routing all traffic to primary",
    ]


async def _are_copied(gateway: Gateway) -> bool:
    return any(_has_copies(route) for route in gateway.written[-1:])


def _has_copies(route: JsonObject) -> bool:
    return any(part["type"] == "RequestMirror" for rule in route["spec"]["rules"] for part in rule.get("filters") or ())


async def _shows(plane: Gateway, shares: list[int]) -> bool:
    return plane.shares() == shares


async def test_a_template_that_changed_after_flagger_stopped_starts_at_zero(site: Site, gateway: Gateway) -> None:
    async with rolling(site, 30) as left:
        await site.until(lambda: _shows(gateway, [0, 30]), "the share that Flagger gave")
        await site.until(lambda: _clock_moves_on(site), "the next second")
        await left.push("6.0.2")
        await left.site.until(lambda: _has_looked(site), "the deployment controller")
    async with site.controller():
        await site.phase_is("Succeeded", patience=60)
        await site.settled()
    assert gateway.shares() == [0, 30, 0, 10, 30, 60, 0]
    assert await site.image("podinfo-primary") == "6.0.2"


async def _clock_moves_on(site: Site) -> bool:
    """Times have a resolution of a second, by the server's clock."""
    made = await site.client.create(
        SERVICES,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"generateName": "clock-", "namespace": site.namespace},
            "spec": {"ports": [{"port": 1}]},
        },
    )
    await site.client.delete(site.ref(SERVICES, made["metadata"]["name"]))
    last: str = (await site.canary())["status"]["lastTransitionTime"]
    return str(made["metadata"]["creationTimestamp"]) > last


async def _has_looked(site: Site) -> bool:
    found = await site.get(DEPLOYMENTS, "podinfo")
    return bool(found["status"]["observedGeneration"] == found["metadata"]["generation"])


@pytest.mark.parametrize(("pushed", "then"), [("", [0]), ("6.0.2", [0, 10, 30, 60, 0])])
async def test_a_daemon_set_that_changed_after_flagger_stopped_starts_at_zero_and_another_goes_on(
    site: Site, gateway: Gateway, hooks: Hooks, pushed: str, then: list[int]
) -> None:
    gate = {"name": "approval", "type": "confirm-promotion", "url": f"{hooks.url}/approve"}
    hooks.close("approve")
    async with site.controller():
        await site.apply(daemon_set(), of_daemon_set(canary_of("gatewayapi:v1", webhooks=[gate])))
        await site.phase_is("Initialized")
        await site.apply(daemon_set(tag="6.0.1"))
        await site.reason_has("waiting for promotion approval", patience=60)
    async with flagger(site) as left:
        # A status as Flagger writes it, without anything of ours; Kubernetes made the ControllerRevisions.
        await left.status("WaitingPromotion", **NEW)
    await site.until(lambda: _clock_moves_on(site), "the next second")
    if pushed:
        await site.apply(daemon_set(tag=pushed))
    hooks.open("approve")
    async with site.controller():
        await site.event("Taken over from Flagger in phase WaitingPromotion")
        await site.phase_is("Succeeded", patience=60)
        await site.settled()
    assert gateway.steps() == [0, 10, 30, 60, *then]
    container = (await site.get(DAEMONSETS, "podinfo-primary"))["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == f"{IMAGE}:{pushed or '6.0.1'}"


@pytest.mark.parametrize("provider", ["gatewayapi:v1", "kubernetes"])
async def test_a_promotion_that_waits_for_approval_goes_on_waiting(
    site: Site, gateway: Gateway, hooks: Hooks, provider: str
) -> None:
    gate = {"name": "approval", "type": "confirm-promotion", "url": f"{hooks.url}/approve"}
    hooks.close("approve")
    async with rolling(site, 60, provider, iterations=3, webhooks=[gate]) as left:
        # What Flagger writes there is not so: the weight is 60, and all iterations are done.
        false: dict[str, Any] = {"iterations": 2 if provider == "kubernetes" else -1}
        await left.status("WaitingPromotion", **NEW, **false)
    async with site.controller():
        await site.reason_has("waiting for promotion approval")
        status = (await site.canary())["status"]
        routed = provider != "kubernetes"
        assert (status["phase"], status["canaryWeight"]) == ("WaitingPromotion", 60 if routed else 0)
        assert status["iterations"] == (0 if routed else 3)
        hooks.open("approve")
        await succeeds(site)
    assert gateway.shares() == ([0, 60, 0] if routed else [])


@pytest.mark.parametrize("provider", ["gatewayapi:v1", "contour", "kubernetes"])
@pytest.mark.parametrize("phase", ["Promoting", "Finalising"])
async def test_a_promotion_comes_to_its_end(
    site: Site, gateway: Gateway, contour: Contour, provider: str, phase: str
) -> None:
    async with rolling(site, 60, provider) as left:
        await left.promote()
        if phase == "Finalising":
            await left.route(0)
        await left.status(phase, canaryWeight=60 if phase == "Promoting" else 0, **NEW)
        written = (await site.get(DEPLOYMENTS, "podinfo-primary"))["spec"]["template"]
    async with site.controller():
        status = await succeeds(site)
        primary = await site.get(DEPLOYMENTS, "podinfo-primary")
    assert primary["spec"]["template"] == written, "pods of the primary are not restarted once more"
    assert status["lastPromotedSpec"] == SECOND_HASH
    assert {*gateway.shares()[2:], *contour.shares()[2:]} <= {0}


async def test_a_promotion_in_steps_goes_on_at_the_live_share(site: Site, gateway: Gateway) -> None:
    async with rolling(site, 60, stepWeightPromotion=25) as left:
        await left.promote()
        await left.route(35)
        await left.status("Promoting", canaryWeight=35, **NEW)
        await site.until(lambda: _ends_with(gateway, 35), "the share that Flagger gave")
    async with site.controller():
        await succeeds(site)
    assert gateway.shares()[-3:] == [35, 10, 0]


async def _ends_with(plane: Gateway, share: int) -> bool:
    return plane.shares()[-1:] == [share]


async def test_a_gate_that_is_closed_stays_closed(site: Site, gateway: Gateway, hooks: Hooks) -> None:
    gate = {"name": "approval", "type": "confirm-rollout", "url": f"{hooks.url}/approve"}
    hooks.close("approve")
    async with at_rest(site, webhooks=[gate]) as left:
        await left.push("6.0.1")
        await left.status("Waiting")
    async with site.controller():
        await site.reason_has("waiting for the gate approval")
        assert (await site.phase(), await site.replicas("podinfo")) == ("Waiting", 0)
        hooks.open("approve")
        await succeeds(site)
    assert gateway.shares() == [0, 10, 30, 60, 0]


@pytest.mark.parametrize("provider", ["gatewayapi:v1", "kubernetes"])
async def test_a_bootstrap_goes_on(site: Site, gateway: Gateway, provider: str) -> None:
    async with flagger(site, provider=provider) as left:
        await left.begin(canary_of(provider))
        before = (await site.get(DEPLOYMENTS, "podinfo-primary"))["spec"]["template"]
    async with site.controller():
        await site.phase_is("Initialized")
        await site.settled()
        primary = await site.get(DEPLOYMENTS, "podinfo-primary")
    assert primary["spec"]["template"] == before
    assert await site.selector("podinfo") == {"app": "podinfo-primary"}
    assert await site.replicas("podinfo") == 0


async def test_a_failed_revision_is_not_tried_again_and_a_new_one_is(site: Site, gateway: Gateway) -> None:
    async with at_rest(site) as left:
        await left.push("6.0.9")
        await site.until(lambda: _has_looked(site), "the deployment controller")
        await left.status("Failed", **NEW)
        async with site.controller():
            await site.event("Taken over from Flagger in phase Failed: nothing to roll out")
            await site.settled()
            assert (await site.phase(), await site.replicas("podinfo")) == ("Failed", 0)
            await left.push("6.0.1")
            await succeeds(site)
    assert gateway.shares() == [0, 10, 30, 60, 0]


async def test_after_a_failed_promotion_users_stay_on_the_target(site: Site, gateway: Gateway) -> None:
    async with rolling(site, 60) as left:
        await left.promote()
        await left.route(100)
        await left.status("Failed", canaryWeight=100, **NEW)
        await site.until(lambda: _ends_with(gateway, 100), "the share that Flagger gave")
    async with site.controller():
        # The primary is ready after all: users return to it, and it has what was analysed.
        await site.phase_is("Succeeded")
        await site.settled()
    assert gateway.shares()[-2:] == [100, 0]
    assert await site.image("podinfo-primary") == "6.0.1"


@pytest.mark.parametrize("provider", ["gatewayapi:v1", "kubernetes"])
async def test_a_deletion_that_flagger_began_is_finished(site: Site, gateway: Gateway, provider: str) -> None:
    made = canary_of(provider)
    made["spec"]["revertOnDeletion"] = True
    made["metadata"]["finalizers"] = ["finalizer.flagger.app"]
    async with flagger(site, provider=provider) as left:
        await left.begin(made)
        await left.initialize()
        await site.client.delete(site.ref(CANARIES, "podinfo"))
        await left.status("Terminating")
    async with site.controller():
        await site.gone()
    assert await site.selector("podinfo") == {"app": "podinfo"}
    assert await site.replicas("podinfo") == 1
    assert await site.find(DEPLOYMENTS, "podinfo-primary") is None


async def test_traffic_stays_where_it_is_while_flagger_still_writes(site: Site, gateway: Gateway) -> None:
    async with rolling(site, 10) as left:
        await site.until(lambda: _shows(gateway, [0, 10]), "the share that Flagger gave")
        await site.until(lambda: _clock_moves_on(site), "the next second")
        async with site.controller() as controller:
            await site.event("Taken over from Flagger")
            await left.status("Progressing", canaryWeight=10, failedChecks=1, **NEW)
            sentence = await site.stalled("Flagger still runs")
            assert "scaling its Deployment to 0" in sentence
            shares = gateway.shares()
            await site.until(lambda: _clock_moves_on(site), "the next second")
            # It still does: another share of its own, which nobody takes back.
            await left.route(30)
            await left.status("Progressing", canaryWeight=30, **NEW)
            await site.until(lambda: _ends_with(gateway, 30), "the share that Flagger gave")
            written = len([request for request in controller.writes if "httproutes" in request.path])
            await site.stalled("Flagger still runs")
            assert len([request for request in controller.writes if "httproutes" in request.path]) == written
            # Now it is silent.
            await succeeds(site)
    assert gateway.shares() == [*shares, 30, 60, 0]
    assert (await site.condition("Stalled"))["status"] == "False"


async def test_the_report_says_what_then_happens(site: Site, gateway: Gateway) -> None:
    async with rolling(site, 30):
        code, said = await flaggerpy("adopt", "--dry-run", "-n", site.namespace)
    assert (code, "the rollout goes on at 30%" in said) == (0, True), said
    assert "applied" not in ((await site.canary())["status"].get("rollout") or {})
    async with site.controller():
        await site.event("Taken over from Flagger in phase Progressing: the rollout goes on at 30%")
        await succeeds(site)
    code, said = await flaggerpy("adopt", "--dry-run", "-n", site.namespace)
    assert (code, "has been taken over already" in said) == (0, True), said
