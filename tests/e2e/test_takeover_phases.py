"""Canaries that Flagger left where no traffic moves, behind Envoy at 50 requests a second each: nobody notices.

One controller takes several of them over at once, each in a namespace of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from flaggerpy.api.constants import FINALIZER
from flaggerpy.kube.objects import JsonObject, generation_of, observed_generation_of
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS
from tests.e2e import own, stage, workloads
from tests.e2e.conftest import Figures
from tests.e2e.handover import AFTERWARDS
from tests.e2e.place import Place, assert_served, load_tester, new_place, tally
from tests.e2e.test_takeover import BEFORE, NEW, written
from tests.e2e.workloads import gate
from tests.integration.flagger import Flagger, flagger
from tests.traffic.client import SteadyClient

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

NOTHING_TO_DO = "Taken over from Flagger in phase {}: nothing to roll out"


@dataclass(frozen=True, slots=True)
class Case:
    """How Flagger leaves a canary, what then happens, and which version its users end with."""

    phase: str
    leave: Callable[[Flagger], Awaitable[None]]
    goes_on: Callable[[Place, SteadyClient], Awaitable[None]]
    version: str = "6.0.0"
    held_by: str = ""

    @property
    def namespace(self) -> str:
        return f"left-{self.phase.lower()}"

    def canary(self, host: str) -> JsonObject:
        hooks = [gate(self.held_by)] if self.held_by else []
        made = workloads.progressive(host, step=30, most=60, interval="4s", revert=True, webhooks=hooks)
        made["metadata"]["finalizers"] = [FINALIZER]
        return made


# What Flagger wrote last


async def _nothing_more(_left: Flagger) -> None:
    """Leave the canary as it is."""


async def _pushed(left: Flagger) -> None:
    """Let the user push a revision of which the cluster has taken note."""
    await left.push("6.0.1")

    async def noted() -> bool:
        target = await left.site.get(DEPLOYMENTS, "podinfo")
        return observed_generation_of(target) == generation_of(target)

    await left.site.until(noted, "the deployment controller")


async def _failed(left: Flagger) -> None:
    await _pushed(left)
    await left.status("Failed", **NEW)


async def _waiting(left: Flagger) -> None:
    await _pushed(left)
    await left.status("Waiting")


async def _waiting_promotion(left: Flagger) -> None:
    """Stop at a closed gate; the weight and the iterations in Flagger's status are not so."""
    await left.push("6.0.1")
    await left.wake()
    await left.route(60)
    await left.status("Progressing", canaryWeight=60, **NEW)
    false: dict[str, Any] = {"canaryWeight": 0, "iterations": -1}
    await left.status("WaitingPromotion", **NEW, **false)


async def _terminating(left: Flagger) -> None:
    await left.site.client.delete(left.site.ref(CANARIES, "podinfo"))
    await left.status("Terminating")


# What happens then


async def _is_initialized(place: Place, _users: SteadyClient) -> None:
    await place.ends("Initialized")
    assert await place.selector("podinfo") == {"app": "podinfo-primary"}


async def _stays_initialized(place: Place, _users: SteadyClient) -> None:
    await place.event(NOTHING_TO_DO.format("Initialized"))
    await place.ends("Initialized")


async def _stays_failed(place: Place, _users: SteadyClient) -> None:
    await place.event(NOTHING_TO_DO.format("Failed"))
    await place.ends("Failed")


async def _waits_for_its_start(place: Place, users: SteadyClient) -> None:
    await place.reason_has("waiting for the gate", patience=90)
    await place.answers_to(users, BEFORE)
    assert (await place.phase(), await place.replicas("podinfo")) == ("Waiting", 0)
    await _approved(place)


async def _waits_for_its_promotion(place: Place, users: SteadyClient) -> None:
    await place.reason_has("waiting for promotion approval", patience=90)
    await place.answers_to(users, BEFORE)
    status = (await place.canary())["status"]
    assert (status["phase"], status["canaryWeight"], status["iterations"]) == ("WaitingPromotion", 60, 0)
    assert await place.weights() == {"podinfo-primary": 40, "podinfo-canary": 60}
    await _approved(place)


async def _approved(place: Place) -> None:
    async with load_tester(place) as tester:
        await tester.open()
    await place.ends("Succeeded")


async def _is_gone(place: Place, users: SteadyClient) -> None:
    await place.gone(patience=120)
    await place.answers_to(users, AFTERWARDS)
    assert await place.selector("podinfo") == {"app": "podinfo"}
    assert await place.find(DEPLOYMENTS, "podinfo-primary") is None
    assert await place.ours() == []


BEFORE_A_ROLLOUT = (
    Case("Initializing", _nothing_more, _is_initialized),
    Case("Initialized", _nothing_more, _stays_initialized),
    Case("Failed", _failed, _stays_failed),
)
HELD = (
    Case("Waiting", _waiting, _waits_for_its_start, "6.0.1", held_by="confirm-rollout"),
    Case("WaitingPromotion", _waiting_promotion, _waits_for_its_promotion, "6.0.1", held_by="confirm-promotion"),
    Case("Terminating", _terminating, _is_gone),
)


@asynccontextmanager
async def begun(case: Case) -> AsyncIterator[tuple[Place, Flagger]]:
    """A canary of Flagger's that users reach; while it initializes, they come by a Service and route of their own."""
    async with new_place(case.namespace, own_controller=True) as place, flagger(place, written=written) as left:
        bootstrapping = case.phase == "Initializing"
        if bootstrapping:
            await place.apply(workloads.service(), workloads.route(place.host))
        await left.begin(case.canary(place.host))
        if not bootstrapping:
            await left.initialize()
        await place.answers(stage.ENVOY)
        yield place, left


@pytest.mark.parametrize("cases", [BEFORE_A_ROLLOUT, HELD], ids=["before-a-rollout", "held"])
async def test_users_do_not_notice_the_takeover(cases: tuple[Case, ...], figures: Figures) -> None:
    async with AsyncExitStack() as stack:
        entering = [stack.enter_async_context(begun(case)) for case in cases]
        all_left = await asyncio.gather(*entering)
        places = [place for place, _ in all_left]
        async with AsyncExitStack() as asking:
            crowds = [await asking.enter_async_context(place.users()) for place in places]
            await asyncio.gather(*(case.leave(left) for case, (_, left) in zip(cases, all_left, strict=True)))
            await asyncio.gather(*map(Place.answers_to, places, crowds, [BEFORE] * len(cases)))
            await own.install(places[0], watchNamespaces=[place.namespace for place in places])
            every = list(zip(cases, places, crowds, strict=True))
            await asyncio.gather(*(case.goes_on(place, users) for case, place, users in every))
            await asyncio.gather(*(place.all_served_by(users, case.version) for case, place, users in every))
        for case, _, users in every:
            figures(f"{case.phase}: {tally(users.summary())}")
        for _, _, users in every:
            assert_served(users.summary())
