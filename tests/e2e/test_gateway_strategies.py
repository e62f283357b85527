"""A/B tests and Blue/Green behind the Gateway API: who meets which version, and when everybody does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.audiences import audience, meets_the_canary_alone
from tests.e2e.conftest import Figures
from tests.e2e.counting import counted
from tests.e2e.place import assert_served, load_tester, new_place, tally
from tests.e2e.workloads import gate, routed, says_token, task

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


async def test_an_audience_meets_the_canary_and_nobody_else_does(figures: Figures) -> None:
    async with new_place("gateway-ab") as place, load_tester(place) as tester:
        await place.set_up()
        hooks = [gate("confirm-promotion")]
        canary = routed(place.host, interval="2s", iterations=2, match=audience(), webhooks=hooks)
        await meets_the_canary_alone(place, tester, canary, figures)


METRICS = [
    {"name": "request-success-rate", "interval": "20s", "thresholdRange": {"min": 99}},
    {"name": "request-duration", "interval": "20s", "threshold": 500},
]
"""The second bound is as older manifests have it."""
UNTIL_MEASURED = 10
"""Failed checks, one every five seconds: Prometheus needs two scrapes of the canary's pods before it tells a rate."""


async def test_blue_green_moves_everybody_at_once_after_the_iterations(figures: Figures) -> None:
    async with new_place("gateway-blue-green") as place, load_tester(place) as tester:
        await place.set_up()
        address = f"http://podinfo-canary.{place.namespace}"
        hooks = [
            task("pre-rollout", "smoke-test", says_token(address), type="bash"),
            task("rollout", "load-test", f"hey -z 1m -q 10 -c 2 {address}/", timeout="5s"),
            gate("confirm-promotion"),
        ]
        judged: dict[str, Any] = {"threshold": UNTIL_MEASURED, "metrics": METRICS, "webhooks": hooks}
        async with place.users() as users:
            await place.bootstrap(routed(place.host, interval="5s", iterations=2, **judged))
            await place.roll_out("6.0.1")
            await place.phase_is("WaitingPromotion", patience=90)
            before = await counted(place, users, 200)
            await tester.open()
            await place.weight_is(100)
            assert await place.image("podinfo-primary") == "6.0.0", "the canary is judged with all users first"
            await place.all_served_by(users, "6.0.1")
            await place.ends("Succeeded")
            await place.all_served_by(users, "6.0.1")
        figures(tally(users.summary()))
        assert_served(users.summary())
        assert set(before) == {"6.0.0"}
        assert await place.image("podinfo-primary") == "6.0.1"
        steps = [text for text in await place.events() if "canary iteration" in text or "all traffic" in text]
        assert steps == [
            "Advance podinfo.gateway-blue-green canary iteration 1/2",
            "Advance podinfo.gateway-blue-green canary iteration 2/2",
            "Routing all traffic to canary",
            "Routing all traffic to primary",
        ]
