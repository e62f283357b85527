"""Canaries that Flagger left in mid-rollout, behind Envoy at 50 requests a second: nobody notices who goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from flaggerpy.kube.objects import JsonObject
from tests.e2e import own, stage, workloads
from tests.e2e.conftest import Figures
from tests.e2e.place import assert_served, new_place, tally
from tests.integration.flagger import SECOND_HASH, Flagger, flagger

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

BEFORE = 250
"""Answers, 50 a second, between Flagger's last write and our first: it takes a while to exchange controllers."""
NEW: dict[str, Any] = {"applied": SECOND_HASH}


def written(tag: str) -> JsonObject:
    """Write the user's Deployment; its size is left to Flagger."""
    made = workloads.deployment(tag)
    del made["spec"]["replicas"]
    return made


async def _at_rest(left: Flagger) -> None:
    await left.status("Succeeded")


async def _progressing(left: Flagger) -> None:
    await left.push("6.0.1")
    await left.wake()
    await left.route(30)
    await left.status("Progressing", canaryWeight=30, **NEW)


async def _promoting(left: Flagger) -> None:
    await _progressing(left)
    await left.route(60)
    await left.promote()
    await left.status("Promoting", canaryWeight=60, **NEW)


async def _finalising(left: Flagger) -> None:
    await _promoting(left)
    await left.site.until(left.primary_is_ready, "the primary")
    await left.route(0)
    await left.status("Finalising", **NEW)


PHASES = (
    ("succeeded", _at_rest, "6.0.0"),
    ("progressing", _progressing, "6.0.1"),
    ("promoting", _promoting, "6.0.1"),
    ("finalising", _finalising, "6.0.1"),
)
"""The others are in test_takeover_phases.py."""


@pytest.mark.parametrize(("phase", "leave", "version"), PHASES)
async def test_users_do_not_notice_the_takeover(
    phase: str, leave: Callable[[Flagger], Awaitable[None]], version: str, figures: Figures
) -> None:
    async with (
        new_place(f"handed-over-{phase}", own_controller=True) as place,
        flagger(place, written=written) as left,
    ):
        await left.begin(workloads.progressive(place.host, step=30, most=60, interval="4s"))
        await left.initialize()
        await place.answers(stage.ENVOY)
        async with place.users() as users:
            await leave(left)
            await place.answers_to(users, BEFORE)
            await own.install(place)
            await place.event("Taken over from Flagger")
            await place.ends("Succeeded")
            await place.all_served_by(users, version)
        figures(tally(users.summary()))
        assert_served(users.summary())
        assert await place.image("podinfo-primary") == version
