"""An audience that comes first: all of it meets the canary from the first weight on, and of all others the weight."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Figures
from tests.e2e.counting import SIGNIFICANT, climb, counted
from tests.e2e.place import assert_served, load_tester, new_place, tally
from tests.e2e.workloads import gate, own_proxy, proxied, root_proxy, routed
from tests.traffic.binomial import two_sided

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

MATCH = [{"headers": {"x-canary": {"exact": "insider"}}}]
WEIGHT = 20
AT_LEAST = 2000
RATE = 200.0


@pytest.mark.parametrize("provider", ["gatewayapi", "contour"])
async def test_insiders_meet_the_canary_and_of_everybody_else_the_weight(provider: str, figures: Figures) -> None:
    async with new_place(f"audience-{provider}") as place, load_tester(place) as tester:
        await place.set_up(proxies=(own_proxy(), root_proxy(place.host)) if provider == "contour" else ())
        hooks = [gate("confirm-traffic-increase")]
        analysis = {"interval": "2s", "stepWeights": [WEIGHT, 50], "match": MATCH, "matchFirst": True}
        written = proxied if provider == "contour" else lambda **settings: routed(place.host, **settings)
        async with place.users(rate=RATE) as everyone, place.users(headers={"x-canary": "insider"}) as insiders:
            await place.bootstrap(written(**analysis, webhooks=hooks))
            await place.roll_out("6.0.1")
            before = await counted(place, insiders, 100)
            await climb(place, tester, WEIGHT)
            chosen = await counted(place, insiders, 200)
            others = await counted(place, everyone, AT_LEAST)
            await tester.open()
            await place.ends("Succeeded")
            for users in (everyone, insiders):
                await place.all_served_by(users, "6.0.1")
        for users in (everyone, insiders):
            figures(tally(users.summary()))
            assert_served(users.summary())
        total, canary = sum(others.values()), others.get("6.0.1", 0)
        figures(f"{provider}: asked {WEIGHT} % of others, got {canary} of {total}; insiders {chosen}")
        assert (set(before), set(chosen)) == ({"6.0.0"}, {"6.0.1"})
        assert two_sided(canary, total, WEIGHT / 100) >= SIGNIFICANT
