"""When the hooks before the first users are called: pods that are ready are not yet known on every node."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from flaggerpy.rollout.checks import HookCheck, Verdict
from tests.rollout.world import World, hook, initialized, spec

WAITS = "waiting for Services to lead to the new pods of payment.shop"


def ready_canary(**analysis: Any) -> tuple[World, datetime]:
    """Push a revision and go to the moment at which its pods are ready."""
    world = initialized(spec=spec(threshold=5, **analysis)).push("v2")
    while not (world.target and world.target.seen().available_replicas):
        assert world.advance()
        world.tick()
    return world, world.now


def calls(world: World) -> list[datetime]:
    return [at for at, check, _ in world.asked if isinstance(check, HookCheck)]


@pytest.mark.parametrize(("interval", "pause"), [("10s", 2), ("2s", 2), ("1s", 1)])
def test_they_are_called_when_every_node_leads_to_the_pods(interval: str, pause: float) -> None:
    world, ready_at = ready_canary(interval=interval, webhooks=[hook("pre-rollout")])
    assert (calls(world), world.status.rollout.reason) == ([], WAITS)
    assert world.status.rollout.step.ready_at == ready_at
    while not world.weight:
        assert world.advance()
        world.tick()
    assert calls(world) == [ready_at + timedelta(seconds=pause)]
    assert world.status.rollout.step.ready_at is None


def test_an_attempt_that_failed_is_followed_by_the_next_an_interval_later() -> None:
    world, ready_at = ready_canary(webhooks=[hook("pre-rollout")])
    world.hooks["pre-rollout"] = Verdict.FAILED
    world.run_for(25)
    assert calls(world) == [ready_at + timedelta(seconds=after) for after in (2, 12, 22)]


def test_pods_that_were_lost_meanwhile_are_waited_for_anew() -> None:
    world, _ = ready_canary(webhooks=[hook("pre-rollout")])
    world.go_down().run_for(5)
    assert (calls(world), world.status.rollout.step.ready_at) == ([], None)
    back_at = world.now
    world.come_back().run_for(20)
    assert calls(world)[0] == back_at + timedelta(seconds=2)


def test_without_hooks_users_come_as_soon_as_it_is_ready() -> None:
    world, _ = ready_canary(webhooks=[hook("rollout")])
    assert (world.weight, world.status.rollout.step.ready_at) == (10, None)


def test_somebody_who_wants_to_go_on_does_not_wait() -> None:
    world, ready_at = ready_canary(webhooks=[hook("pre-rollout")])
    world.ask("promote").run_for(1)
    assert (world.weight, calls(world)) == (10, [])
    assert world.now - ready_at < timedelta(seconds=2)
