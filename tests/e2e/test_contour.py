"""Releases behind Contour's own HTTPProxy, which another one with the host includes: shares, an audience, deletion."""

from __future__ import annotations

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import HTTP_PROXIES
from tests.e2e import stage
from tests.e2e.audiences import audience, meets_the_canary_alone
from tests.e2e.conftest import Figures
from tests.e2e.counting import SIGNIFICANT, climb, counted, passes
from tests.e2e.handover import AFTERWARDS, delete, handed_back, under_control, watching
from tests.e2e.place import Place, assert_served, load_tester, new_place, tally
from tests.e2e.workloads import builtin_metrics, gate, own_proxy, proxied, root_proxy
from tests.routers.cases import references
from tests.traffic.binomial import two_sided

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

AT_LEAST = 2000
RATE = 200.0
UNTIL_MEASURED = 30
"""Failed checks, one every two seconds: Prometheus needs two scrapes of the canary's share before it tells a rate."""


def included(place: Place) -> tuple[JsonObject, ...]:
    """Write the proxies of a user whose host is in one of its own."""
    return (own_proxy(), root_proxy(place.host))


async def test_shares_and_metrics_at_the_proxy_are_the_canarys(figures: Figures) -> None:
    async with new_place("contour") as place, load_tester(place) as tester:
        await place.set_up(proxies=included(place))
        hooks = [gate("confirm-traffic-increase")]
        steps = {"stepWeights": [20, 50], "threshold": UNTIL_MEASURED, "metrics": builtin_metrics(), "webhooks": hooks}
        async with place.users(rate=RATE) as users:
            await place.bootstrap(proxied(interval="2s", **steps))
            await place.roll_out("6.0.1")
            chances = []
            for weight in (20, 50):
                await climb(place, tester, weight)
                seen = await counted(place, users, AT_LEAST)
                proxy = await place.get(HTTP_PROXIES, "podinfo")
                assert references(proxy) == [("podinfo-primary", 100 - weight), ("podinfo-canary", weight)]
                chances.append(two_sided(seen.get("6.0.1", 0), sum(seen.values()), weight / 100))
                figures(f"{weight} % asked: {seen}")
            await passes(place, "request-success-rate", "request-duration")
            await tester.open()
            await place.ends("Succeeded")
            await place.all_served_by(users, "6.0.1")
        figures(tally(users.summary()))
        assert_served(users.summary())
        assert min(chances) >= SIGNIFICANT
        assert await place.image("podinfo-primary") == "6.0.1"


async def test_an_audience_meets_the_canary_and_nobody_else_does(figures: Figures) -> None:
    async with new_place("contour-ab") as place, load_tester(place) as tester:
        await place.set_up(proxies=included(place))
        match, hooks = audience({"suffix": "canary=always"}), [gate("confirm-promotion")]
        canary = proxied(interval="2s", iterations=2, match=match, webhooks=hooks)
        await meets_the_canary_alone(place, tester, canary, figures)


@pytest.mark.parametrize("way", ["included", "host"])
async def test_deleting_a_canary_loses_no_request_and_gives_the_users_proxy_back(way: str, figures: Figures) -> None:
    async with new_place(f"contour-{way}") as place:
        await place.set_up(proxies=included(place) if way == "included" else (own_proxy(place.host),))
        before = await place.get(HTTP_PROXIES, "podinfo")
        async with place.users() as users:
            await under_control(place, proxied(interval="2s", stepWeight=25, maxWeight=50))
            async with watching(place) as handover:
                await delete(place)
                await place.gone(patience=90)
                await place.answers_to(users, AFTERWARDS)
        figures(tally(users.summary()))
        assert_served(users.summary())
        handover.assert_target_was_ready()
        await handed_back(place, HTTP_PROXIES)
        assert (await place.get(HTTP_PROXIES, "podinfo"))["spec"] == before["spec"]


async def test_a_proxy_that_we_made_stays_for_its_users(figures: Figures) -> None:
    async with new_place("contour-made") as place:
        await place.set_up(routed=False)
        await place.apply(root_proxy(place.host))
        await under_control(place, proxied(interval="2s", stepWeight=25, maxWeight=50))
        await place.answers(stage.ENVOY)
        async with place.users() as users, watching(place) as handover:
            await delete(place)
            await place.gone(patience=90)
            await place.answers_to(users, AFTERWARDS)
        figures(tally(users.summary()))
        assert_served(users.summary())
        handover.assert_target_was_ready()
        await handed_back(place, HTTP_PROXIES, weight=100)
