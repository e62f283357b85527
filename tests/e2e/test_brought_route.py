"""A route that its user brings along, through Contour: under traffic, rollouts and a deletion change only weights."""

from __future__ import annotations

import httpx
import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import HTTP_ROUTES
from tests.e2e import stage, workloads
from tests.e2e.conftest import Figures
from tests.e2e.counting import SIGNIFICANT, climb, counted
from tests.e2e.handover import AFTERWARDS, delete
from tests.e2e.place import Place, assert_served, load_tester, new_place, tally
from tests.e2e.workloads import PORT, gate
from tests.integration import objects
from tests.traffic.binomial import two_sided

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

ENOUGH = 400


def way(host: str) -> JsonObject:
    """Write a route with a redirect, a rule for insiders, and a header for everybody."""
    made = workloads.route(host)
    backends = made["spec"]["rules"][0]["backendRefs"]
    marked = [
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-way", "value": "mine"}]}}
    ]
    moved = {
        "type": "RequestRedirect",
        "requestRedirect": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/"}},
    }
    made["spec"]["rules"] = [
        {"name": "moved", "matches": [{"path": {"type": "Exact", "value": "/old"}}], "filters": [moved]},
        {
            "name": "insiders",
            "matches": [{"headers": [{"name": "x-insider", "value": "always"}]}],
            "backendRefs": backends,
        },
        {"name": "everybody", "filters": marked, "backendRefs": backends},
    ]
    return made


def bringing(section: str = "", **analysis: object) -> JsonObject:
    """Write a Canary that brings the route along, or one rule of it."""
    ref = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "podinfo"}
    ref |= {"sectionName": section} if section else {}
    return objects.canary("podinfo", analysis, provider="gatewayapi:v1", routeRef=ref, service={"targetPort": PORT})


async def rules_hold(place: Place) -> None:
    """Demand that the redirect and the header are there for users."""
    async with httpx.AsyncClient(base_url=stage.ENVOY, headers={"Host": place.host}, trust_env=False) as http:
        moved, page = await http.get("/old"), await http.get("/")
    assert moved.status_code == 302
    assert page.headers["x-way"] == "mine"


async def test_shares_are_exact_and_everything_else_stays_the_users(figures: Figures) -> None:
    async with new_place("brought") as place, load_tester(place) as tester:
        await place.set_up()
        await place.apply(way(place.host))
        before = (await place.get(HTTP_ROUTES, "podinfo"))["spec"]
        hooks = [gate("confirm-traffic-increase")]
        async with place.users() as users:
            await place.bootstrap(bringing(interval="2s", stepWeights=[20, 50], webhooks=hooks))
            await rules_hold(place)
            await place.roll_out("6.0.1")
            await climb(place, tester, 20)
            seen = await counted(place, users, ENOUGH)
            await rules_hold(place)
            await tester.open()
            await place.ends("Succeeded")
            await place.all_served_by(users, "6.0.1")
            await delete(place)
            await place.gone(patience=90)
            await place.answers_to(users, AFTERWARDS)
            await rules_hold(place)
        figures(f"20 % asked: {seen}")
        figures(tally(users.summary()))
        assert_served(users.summary())
        assert two_sided(seen.get("6.0.1", 0), sum(seen.values()), 0.2) > SIGNIFICANT
        assert await place.ours() == []
        assert await place.selector("podinfo") == {"app": "podinfo"}
        assert (await place.get(HTTP_ROUTES, "podinfo"))["spec"] == before


async def test_one_rule_is_shared_and_the_others_stay_on_the_primary(figures: Figures) -> None:
    async with new_place("brought-section") as place, load_tester(place) as tester:
        await place.set_up()
        await place.apply(way(place.host))
        hooks = [gate("confirm-promotion")]
        async with place.users() as everyone, place.users(headers={"x-insider": "always"}) as insiders:
            await place.bootstrap(bringing("insiders", interval="2s", stepWeight=100, maxWeight=100, webhooks=hooks))
            await place.roll_out("6.0.1")
            await place.phase_is("WaitingPromotion", patience=90)
            seen = [await counted(place, users, 200) for users in (everyone, insiders)]
            await tester.open()
            await place.ends("Succeeded")
            for users in (everyone, insiders):
                await place.all_served_by(users, "6.0.1")
        for users in (everyone, insiders):
            figures(tally(users.summary()))
            assert_served(users.summary())
        assert [set(versions) for versions in seen] == [{"6.0.0"}, {"6.0.1"}]
