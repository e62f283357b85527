"""The load tester of the cluster decides: acceptance tests, the rollback gate, the promotion gate."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Figures
from tests.e2e.place import assert_served, load_tester, new_place, tally
from tests.e2e.workloads import blue_green, gate, progressive, task

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ASKS_VERSION = r"""
exec 3<>/dev/tcp/podinfo-canary.{namespace}/80
printf 'GET /version HTTP/1.0\r\nHost: podinfo\r\n\r\n' >&3
grep -F '"{version}"' <&3 || {{ echo 'this is not version {version}'; exit 1; }}
"""
"""An acceptance test in bash: the canary must tell this version."""


async def test_release_that_fails_its_acceptance_test_gets_no_user(figures: Figures) -> None:
    async with new_place("acceptance") as place:
        await place.set_up()
        script = ASKS_VERSION.format(namespace="acceptance", version="6.0.2")
        hooks = [task("pre-rollout", "acceptance-test", script, type="bash")]
        await place.bootstrap(progressive(place.host, interval="1s", threshold=100, webhooks=hooks))
        async with place.users() as users:
            await place.roll_out("6.0.1")
            message = await place.event("advancement pre-rollout check acceptance-test failed")
            assert "this is not version 6.0.2" in message
            assert await place.weights() == {"podinfo-primary": 100, "podinfo-canary": 0}
            await place.roll_out("6.0.2")
            await place.ends("Succeeded")
        figures(tally(users.summary()))
        assert_served(users.summary())
        assert "6.0.1" not in users.summary().by_version()


async def test_open_rollback_gate_rolls_back_and_says_so(figures: Figures) -> None:
    async with new_place("rollback-gate") as place, load_tester(place) as tester:
        await place.set_up()
        hooks = [gate("rollback", "rollback/check"), gate("confirm-traffic-increase")]
        await place.bootstrap(progressive(place.host, interval="1s", threshold=10, webhooks=hooks))
        async with place.users() as users:
            await tester.open()
            await place.roll_out("6.0.1")
            await place.weight_is(25)
            await tester.close()
            await tester.open("rollback")
            canary = await place.ends("Failed")
            await tester.close("rollback")
        figures(tally(users.summary()))
        assert_served(users.summary())
        reason = "manual webhook invoked: rollback at the load tester"
        assert canary["status"]["rollout"]["failing"] == reason
        await place.event(f"Rolling back podinfo.rollback-gate {reason}")
        assert await place.image("podinfo-primary") == "6.0.0"


async def test_promotion_waits_for_its_gate(figures: Figures) -> None:
    async with new_place("promotion-gate") as place, load_tester(place) as tester:
        await place.set_up(routed=False)
        await place.bootstrap(blue_green(iterations=1, webhooks=[gate("confirm-promotion")]))
        async with place.users(url=f"http://{await place.cluster_ip()}/") as users:
            await place.roll_out("6.0.1")
            await place.phase_is("WaitingPromotion", patience=60)
            assert await place.image("podinfo-primary") == "6.0.0"
            await tester.open()
            await place.ends("Succeeded")
        figures(tally(users.summary()))
        assert_served(users.summary())
        assert await place.image("podinfo-primary") == "6.0.1"
