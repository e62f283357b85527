"""A leader that is paused or cut off in mid-rollout costs no user a request; the other one goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

import pytest

from tests.e2e import own
from tests.e2e.conftest import Figures
from tests.e2e.place import Place, assert_served, new_place, tally
from tests.e2e.workloads import progressive
from tests.integration.process import TAKEOVER

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

OUTAGE = 60.0


@pytest.mark.parametrize(
    ("way", "lose", "restore", "seconds"),
    [
        # A kubelet ends what does not answer its probes for half a minute.
        ("paused", own.freeze, own.thaw, TAKEOVER),
        ("cut-off", own.cut_off, own.reconnect, OUTAGE),
    ],
)
async def test_a_lost_leader_is_followed_and_users_do_not_notice(
    figures: Figures,
    way: str,
    lose: Callable[[int], None],
    restore: Callable[[int], None],
    seconds: float,
) -> None:
    async with new_place(f"leader-{way}", own_controller=True) as place:
        controller = await own.install(place)
        await place.set_up()
        async with place.users(rate=25) as users:
            await place.bootstrap(progressive(place.host, step=10, most=50, interval="4s"))
            await place.available(own.RELEASE)
            leader = await controller.leader()
            pid = own.process_of(leader)
            await place.roll_out("6.0.1")
            await place.weight_is(20)
            lose(pid)
            began = monotonic()
            try:
                await controller.leader(after=leader)
                figures(f"{place.namespace}: followed after {monotonic() - began:.1f} s")
                assert monotonic() - began <= TAKEOVER
                await place.weight_is(30)
                await asyncio.sleep(max(0.0, began + seconds - monotonic()))
            finally:
                restore(pid)
            await place.ends("Succeeded")
            await place.all_served_by(users, "6.0.1")

            # Both are there again: the next rollout goes on when the second leader is ended.
            await place.available(own.RELEASE)
            second = await controller.leader(after=leader)
            await place.roll_out("6.0.2")
            await place.weight_is(20)
            own.kill(own.process_of(second))
            await controller.remove(second)
            await place.until(lambda: _promoted(place, "6.0.2"), "promotion by the third leader", patience=120)
            await place.ends("Succeeded")
        figures(tally(users.summary()))
        assert_served(users.summary())


async def _promoted(place: Place, tag: str) -> bool:
    return await place.image("podinfo-primary") == tag
