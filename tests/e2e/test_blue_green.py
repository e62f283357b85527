"""Blue/Green without any router: users come through the apex Service's address."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Figures
from tests.e2e.place import assert_served, new_place, tally
from tests.e2e.workloads import blue_green, says_token, task

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


async def test_blue_green_switches_versions_behind_the_apex_service(figures: Figures) -> None:
    async with new_place("blue-green") as place:
        await place.set_up(routed=False)
        smoke = task("pre-rollout", "smoke-test", says_token("http://podinfo-canary.blue-green"), type="bash")
        async with place.users(url=f"http://{await place.cluster_ip()}/") as users:
            await place.bootstrap(blue_green(webhooks=[smoke]))
            await place.roll_out("6.0.1")
            await place.ends("Succeeded")
            await place.all_served_by(users, "6.0.1")
        summary = users.summary()
        figures(tally(summary))
        assert_served(summary)
        assert await place.image("podinfo-primary") == "6.0.1"
        assert await place.selector("podinfo") == {"app": "podinfo-primary"}
        await place.event("Promotion completed! Scaling down podinfo.blue-green")
        steps = [message for message in await place.events() if "canary iteration" in message]
        assert steps == [f"Advance podinfo.blue-green canary iteration {step}/3" for step in (1, 2, 3)]
