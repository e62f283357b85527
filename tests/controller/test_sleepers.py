"""What is remembered of targets that sleep."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flaggerpy.controller.sleepers import Sleepers
from flaggerpy.controller.world import World
from flaggerpy.rollout.observation import Observation, ServicesSeen
from flaggerpy.rollout.traffic import Capabilities, RouteState
from flaggerpy.rollout.workload import Workload
from tests.builders import canary
from tests.rollout.world import World as Simulated

SIMULATED = Simulated().target
assert SIMULATED
ASLEEP = replace(
    SIMULATED.seen(), uid="uid-1", generation=2010, observed_generation=2010, replicas=0, current_replicas=0
)
EDITED = replace(ASLEEP, generation=2011)


def world(target: Workload | None) -> World:
    seen = Observation(
        canary=canary(),
        target=target,
        primary=None,
        services=ServicesSeen(),
        route=RouteState(routes=None),
        capabilities=Capabilities(),
        routed=False,
    )
    return World({}, seen)


def seen(sleepers: Sleepers, target: Workload, **changes: Any) -> Workload:
    found = sleepers.observe(world(replace(target, **changes))).seen.target
    assert found
    return found


def test_one_edit_of_a_sleeping_target_gives_it_no_pods() -> None:
    sleepers = Sleepers()
    assert not seen(sleepers, ASLEEP).falling_asleep
    assert not seen(sleepers, EDITED).falling_asleep
    assert seen(sleepers, EDITED, generation=2012).falling_asleep
    assert seen(sleepers, EDITED, current_replicas=1).falling_asleep


def test_what_was_never_seen_asleep_may_have_pods() -> None:
    sleepers = Sleepers()
    assert seen(sleepers, ASLEEP, current_replicas=1).falling_asleep
    assert seen(sleepers, ASLEEP, observed_generation=2009).falling_asleep
    assert seen(sleepers, EDITED).falling_asleep


def test_a_target_that_was_made_anew_and_a_canary_that_is_gone_are_not_remembered() -> None:
    sleepers = Sleepers()
    seen(sleepers, ASLEEP)
    assert seen(sleepers, EDITED, uid="uid-2").falling_asleep
    assert sleepers.observe(world(None)).seen.target is None
    assert not seen(sleepers, EDITED).falling_asleep
    sleepers.forget(canary().key)
    assert seen(sleepers, EDITED).falling_asleep
