"""Copies of requests, counted at the canary's pods, while users meet the primary alone."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from flaggerpy.kube.objects import JsonObject
from tests.e2e.conftest import Figures
from tests.e2e.counting import climb
from tests.e2e.place import Place, assert_served, load_tester, new_place, tally
from tests.e2e.workloads import PORT, gate, own_proxy, proxied, root_proxy, routed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

ANSWERS = 2000
AT_LEAST = 100
RATE = 100.0
COUNTED = re.compile(r'^http_request_duration_seconds_count\{.*path="root".*\} ([0-9.e+]+)$', re.MULTILINE)
"""What podinfo says of the requests that users make; kubelet and Prometheus ask for other paths."""
BLUR = 0.05
"""How far the share of copies may be from what was asked for: five times what chance makes of a quarter."""


async def copies(place: Place) -> float:
    """Return how many requests the canary's pods have got."""
    total = 0.0
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        for pod in await place.pods("podinfo"):
            text = (await http.get(f"http://{pod['status']['podIP']}:{PORT}/metrics")).text
            total += sum(float(number) for number in COUNTED.findall(text))
    return total


def canary(place: Place, provider: str, **analysis: Any) -> JsonObject:
    return proxied(**analysis) if provider == "contour" else routed(place.host, **analysis)


async def set_up(place: Place, provider: str) -> None:
    await place.set_up(proxies=(own_proxy(), root_proxy(place.host)) if provider == "contour" else ())


@pytest.mark.parametrize(("provider", "share"), [("gatewayapi", 100), ("contour", 25)])
async def test_blue_green_copies_requests_and_users_meet_the_primary_until_it_is_approved(
    provider: str, share: int, figures: Figures
) -> None:
    async with new_place(f"mirror-{provider}") as place, load_tester(place) as tester:
        await set_up(place, provider)
        hooks = [gate("confirm-promotion")]
        analysis = {"interval": "2s", "iterations": 2, "mirror": True, "mirrorWeight": share, "webhooks": hooks}
        async with place.users(rate=RATE) as users:
            await place.bootstrap(canary(place, provider, **analysis))
            await place.roll_out("6.0.1")
            await place.phase_is("WaitingPromotion", patience=90)
            before, began = await copies(place), datetime.now(UTC)
            await place.answers_to(users, ANSWERS)
            seen = users.summary().between(began, datetime.now(UTC)).by_version()
            copied = await copies(place) - before
            figures(f"{provider}: {seen} answered, {copied:g} copied, {share} % asked")
            assert set(seen) == {"6.0.0"}
            assert copied / sum(seen.values()) == pytest.approx(share / 100, abs=BLUR)
            await tester.open()
            await place.ends("Succeeded")
            await place.all_served_by(users, "6.0.1")
        figures(tally(users.summary()))
        assert_served(users.summary())
        said = [message for message in await place.events() if "traffic" in message]
        assert said == ["Stop traffic mirroring and route all traffic to canary", "Routing all traffic to primary"]


async def test_weights_begin_with_copies(figures: Figures) -> None:
    async with new_place("mirror-weights") as place, load_tester(place) as tester:
        await place.set_up()
        hooks = [gate("confirm-traffic-increase")]
        async with place.users(rate=RATE) as users:
            await place.bootstrap(routed(place.host, interval="5s", stepWeights=[50], mirror=True, webhooks=hooks))
            await place.roll_out("6.0.1")
            await tester.open()
            await place.event("canary weight 0")
            await tester.close()
            before = await copies(place)
            await place.until(lambda: _grown(place, before + AT_LEAST), "copies at the canary")
            assert await place.weights() == {"podinfo-primary": 100, "podinfo-canary": 0}
            await climb(place, tester, 50)
            await tester.open()
            await place.ends("Succeeded")
            await place.all_served_by(users, "6.0.1")
        figures(tally(users.summary()))
        assert_served(users.summary())


async def _grown(place: Place, so_many: float) -> bool:
    return await copies(place) >= so_many
