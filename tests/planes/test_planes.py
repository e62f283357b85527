"""The same scenes on every data plane, all under load: a release, a rollback, an audience, Blue/Green, a deletion."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flaggerpy.kube.objects import JsonObject
from tests.e2e.audiences import audience, meets_the_canary_alone
from tests.e2e.conftest import Figures
from tests.e2e.counting import SIGNIFICANT, climb, counted, passes
from tests.e2e.handover import AFTERWARDS, delete, handed_back, under_control, watching
from tests.e2e.place import Place, assert_served, load_tester, new_place, tally
from tests.e2e.workloads import builtin_metrics, gate
from tests.planes.planes import PLANES, Plane
from tests.routers.cases import references
from tests.traffic.binomial import two_sided
from tests.traffic.client import SteadyClient

pytestmark = [pytest.mark.planes, pytest.mark.timeout(400)]

WEIGHTS = tuple(range(24, 101, 4))
"""Twenty of them, one every two seconds once the first has been held."""
HELD = WEIGHTS[0]
AT_LEAST = 2000
RATE = 200.0
UNTIL_MEASURED = 30
"""Failed checks, one every two seconds: Prometheus needs two scrapes of the canary's share before it tells a rate."""

on_every_plane = pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
on_planes_with_weights = pytest.mark.parametrize(
    "plane", [plane for plane in PLANES if plane.can.weights], ids=lambda plane: plane.name
)
on_planes_with_audiences = pytest.mark.parametrize(
    "plane", [plane for plane in PLANES if plane.can.match], ids=lambda plane: plane.name
)


@asynccontextmanager
async def served(plane: Plane, scene: str) -> AsyncIterator[tuple[Place, str]]:
    """Make a namespace whose podinfo users reach through a plane; return it with the address at which they come in."""
    # The controller of these tests looks at all namespaces.
    async with new_place(f"{plane.name}-{scene}", own_controller=True) as place:
        await place.set_up(routed=False)
        await place.apply(*plane.routes(place.host))
        url = await plane.url(place)
        await place.answers(url)
        yield place, url


@asynccontextmanager
async def following(plane: Plane, place: Place) -> AsyncIterator[list[int]]:
    """Collect the canary's weights in the routing object, in the order in which the store saw them.

    Events do not tell: an object may have 25 at once, and one in 10 seconds after that.
    """
    assert plane.resource is not None
    resource, weights = plane.resource, [0]
    _, version = await place.client.list(resource, place.namespace)

    async def follow() -> None:
        async for event in place.client.watch(resource, place.namespace, resource_version=version):
            if event.type == "MODIFIED":
                weight = dict(references(event.object)).get("podinfo-canary", 0)
                weights.extend([weight] if weight != weights[-1] else [])

    task = asyncio.create_task(follow())
    try:
        yield weights
    finally:
        if task.done():
            task.result()
        task.cancel()
        await asyncio.wait([task])


async def shares(plane: Plane, place: Place) -> dict[str, int]:
    """Return what the routing object says, without Services to which nobody is sent."""
    if plane.resource is None:
        return {}
    named = references(await place.get(plane.resource, "podinfo"))
    return {service: weight for service, weight in named if weight}


def report(figures: Figures, *everyone: SteadyClient) -> None:
    """Every request of everyone was served."""
    for users in everyone:
        figures(tally(users.summary()))
    for users in everyone:
        assert_served(users.summary())


@on_planes_with_weights
async def test_a_release_takes_twenty_weights_in_a_row_and_a_held_one_is_the_share(
    plane: Plane, figures: Figures
) -> None:
    metrics = builtin_metrics() if plane.measured else []
    hooks = [gate("confirm-traffic-increase")]
    async with served(plane, "release") as (place, url), load_tester(place) as tester:
        canary = plane.canary(
            place.host,
            interval="2s",
            stepWeights=list(WEIGHTS),
            threshold=UNTIL_MEASURED,
            metrics=metrics,
            webhooks=hooks,
        )
        async with place.users(rate=RATE, url=url) as users:
            await place.bootstrap(canary)
            async with following(plane, place) as weights:
                await place.roll_out("6.0.1")
                await climb(place, tester, HELD)
                seen = await counted(place, users, AT_LEAST, after=plane.follows_within)
                held = await shares(plane, place)
                await passes(place, *(metric["name"] for metric in metrics))
                await tester.open()
                await place.ends("Succeeded", patience=180)
            await place.all_served_by(users, "6.0.1")
        chance = two_sided(seen.get("6.0.1", 0), sum(seen.values()), HELD / 100)
        figures(f"{HELD} % asked: {seen}, p {chance:.3g}")
        report(figures, users)
        assert held == {"podinfo-primary": 100 - HELD, "podinfo-canary": HELD}, "the gate did not hold the weight"
        assert chance >= SIGNIFICANT
        assert weights == [0, *WEIGHTS, 0]
        assert await shares(plane, place) == {"podinfo-primary": 100}
        assert await place.image("podinfo-primary") == "6.0.1"


@on_every_plane
async def test_a_rollback_gives_all_users_the_old_version_again(plane: Plane, figures: Figures) -> None:
    steps: dict[str, Any] = {"stepWeights": [HELD, 2 * HELD]} if plane.can.weights else {"iterations": 2}
    hooks = [
        gate("rollback", "rollback/check"),
        gate("confirm-traffic-increase" if plane.can.weights else "confirm-promotion"),
    ]
    async with served(plane, "rollback") as (place, url), load_tester(place) as tester:
        async with place.users(url=url) as users:
            await place.bootstrap(plane.canary(place.host, interval="2s", threshold=10, webhooks=hooks, **steps))
            await place.roll_out("6.0.1")
            if plane.can.weights:
                await climb(place, tester, HELD)
            else:
                await place.phase_is("WaitingPromotion", patience=90)
            during = await counted(place, users, 200, after=plane.follows_within)
            await tester.open("rollback")
            await place.ends("Failed")
            await tester.close("rollback")
            await place.all_served_by(users, "6.0.0")
        report(figures, users)
        assert set(during) == ({"6.0.0", "6.0.1"} if plane.can.weights else {"6.0.0"})
        assert await shares(plane, place) == ({"podinfo-primary": 100} if plane.resource else {})
        assert await place.image("podinfo-primary") == "6.0.0"


@on_planes_with_audiences
async def test_an_audience_meets_the_canary_and_nobody_else_does(plane: Plane, figures: Figures) -> None:
    async with served(plane, "audience") as (place, url), load_tester(place) as tester:
        match, hooks = audience(plane.cookie), [gate("confirm-promotion")]
        canary = plane.canary(place.host, interval="2s", iterations=2, match=match, webhooks=hooks)
        await meets_the_canary_alone(place, tester, canary, figures, url=url)


@on_every_plane
async def test_blue_green_moves_everybody_at_once(plane: Plane, figures: Figures) -> None:
    async with served(plane, "blue-green") as (place, url), load_tester(place) as tester:
        hooks = [gate("confirm-promotion")]
        async with place.users(url=url) as users:
            await place.bootstrap(plane.canary(place.host, interval="2s", iterations=2, webhooks=hooks))
            await place.roll_out("6.0.1")
            await place.phase_is("WaitingPromotion", patience=90)
            before = await counted(place, users, 200, after=plane.follows_within)
            await tester.open()
            await place.ends("Succeeded")
            await place.all_served_by(users, "6.0.1")
        report(figures, users)
        assert set(before) == {"6.0.0"}
        assert await place.image("podinfo-primary") == "6.0.1"
        iterations = [f"Advance podinfo.{place.namespace} canary iteration {number}/2" for number in (1, 2)]
        moves = ["Routing all traffic to canary", "Routing all traffic to primary"] if plane.can.weights else []
        steps = [text for text in await place.events() if "canary iteration" in text or "all traffic" in text]
        assert steps == [*iterations, *moves]


@on_every_plane
async def test_deleting_a_canary_loses_no_request_and_gives_the_users_route_back(
    plane: Plane, figures: Figures
) -> None:
    async with served(plane, "deleted") as (place, url):
        before = await route(plane, place)
        async with place.users(url=url) as users:
            steps: dict[str, Any] = {"stepWeight": 25, "maxWeight": 50} if plane.can.weights else {"iterations": 2}
            await under_control(place, plane.canary(place.host, interval="2s", **steps))
            async with watching(place) as handover:
                await delete(place)
                await place.gone(patience=90)
                await place.answers_to(users, AFTERWARDS)
        report(figures, users)
        handover.assert_target_was_ready()
        await handed_back(place, plane.resource, plane.apex_weight)
        assert await route(plane, place) == before
        if plane.beside is not None:
            assert (await place.client.list(plane.beside, place.namespace))[0] == []


async def route(plane: Plane, place: Place) -> JsonObject | None:
    """Return what is in the user's routing object, None where there is no such kind."""
    return None if plane.resource is None else (await place.get(plane.resource, "podinfo"))["spec"]
