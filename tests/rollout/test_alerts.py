"""Whoever waits for a rollout is told once how it ends and once of every halt, whatever dies in between."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import timedelta

import pytest

from flaggerpy.api.status import Change, Condition, Phase
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.observation import AlertsSeen
from flaggerpy.rollout.telling import FAILURE, MISTAKE
from flaggerpy.rollout.transition import ALERTS_DELIVERED
from tests.rollout.test_crash import FLOWS, HOOKS, Step, bootstrap, not_as_primary, play
from tests.rollout.world import World, hook, initialized, spec

BEGUN = "New revision detected, progressing canary analysis."
Scene = Callable[[], World]


def gated(*kinds: str, **analysis: object) -> World:
    """A world at rest whose hooks all pass."""
    hooks = [hook(kind) for kind in kinds]
    return initialized(spec=spec(webhooks=hooks, **analysis))


def waiting() -> World:
    world = gated("confirm-rollout")
    world.hooks["confirm-rollout"] = Verdict.FAILED
    world.push("v2").run(Phase.WAITING)
    world.now += timedelta(seconds=1)
    return world


def progressing() -> World:
    """A rollout that has begun, and no other decision in the very same instant."""
    world = initialized().push("v2").run(Phase.PROGRESSING)
    world.now += timedelta(seconds=1)
    return world


def cancelled() -> World:
    return progressing().push("v1").run()


def withdrawn() -> World:
    return waiting().push("v1").run()


def failed() -> World:
    world = gated("rollout")
    world.hooks["rollout"] = Verdict.FAILED
    return world.push("v2").run()


def failed_and_put_back() -> World:
    return failed().push("v1").run()


def late_after_all() -> World:
    world = initialized()
    not_as_primary(world)
    world.run(Phase.FAILED)
    assert world.primary
    world.primary.broken = set()
    world._settle()
    return world.touch().run()


def aborted() -> World:
    return progressing().ask("abort").run()


def refused() -> World:
    return waiting().ask("abort").run()


def target_gone() -> World:
    return progressing().delete_target().run()


def retried() -> World:
    return failed().ask("retry").run()


ENDS: list[tuple[str, Scene, Phase, list[tuple[str, str]]]] = [
    ("cancelled", cancelled, Phase.SUCCEEDED, [("info", "Rollout of payment.shop cancelled: the promoted")]),
    (
        "withdrawn",
        withdrawn,
        Phase.SUCCEEDED,
        [("warn", "Canary is waiting for approval."), ("info", "The new revision of payment.shop was withdrawn")],
    ),
    (
        "failed and put back",
        failed_and_put_back,
        Phase.SUCCEEDED,
        [("error", "Failed checks threshold reached 2"), ("info", "The revision of payment.shop that failed was")],
    ),
    (
        "late after all",
        late_after_all,
        Phase.SUCCEEDED,
        [("error", "Promotion of payment.shop failed"), ("info", "payment-primary.shop became ready after all")],
    ),
    ("aborted", aborted, Phase.FAILED, [("warn", "Rolling back payment.shop aborted by alice")]),
    (
        "aborted before it began",
        refused,
        Phase.FAILED,
        [("warn", "Canary is waiting for approval."), ("warn", "Rolling back payment.shop aborted by alice")],
    ),
    ("target gone", target_gone, Phase.FAILED, [("error", "payment.shop was deleted during its rollout")]),
    ("failed twice", retried, Phase.FAILED, [("error", "Failed checks threshold reached 2")] * 2),
]


@pytest.mark.parametrize(("way", "scene", "phase", "expected"), ENDS, ids=[row[0] for row in ENDS])
def test_every_way_in_which_a_rollout_ends_is_told_once(
    way: str, scene: Scene, phase: Phase, expected: list[tuple[str, str]]
) -> None:
    world = scene()

    told = [(severity, message) for severity, message in world.alerts[1:] if message != BEGUN]
    assert world.phase is phase
    assert len(told) == len(expected), told
    for (severity, message), (wanted, begins) in zip(told, expected, strict=True):
        assert severity == wanted, way
        assert message.startswith(begins), way


def test_w78_a_closed_gate_for_more_traffic_alerts_once() -> None:
    world = gated("confirm-traffic-increase")
    world.hooks["confirm-traffic-increase"] = Verdict.FAILED
    world.push("v2").run(Phase.PROGRESSING)
    for _ in range(12):
        world.advance()
        world.tick()

    assert [message for severity, message in world.alerts if severity == "warn"] == [
        "Canary traffic increase is waiting for approval."
    ]


def test_a_gate_for_more_traffic_alerts_once_for_each_share_whatever_else_is_waited_for_meanwhile() -> None:
    world = gated("rollout", "confirm-traffic-increase", threshold=50)
    world.push("v2").run(Phase.PROGRESSING)
    for share in (1, 2):
        world.hooks["confirm-traffic-increase"] = Verdict.FAILED
        for verdict in (Verdict.PASSED, Verdict.FAILED, Verdict.PASSED):
            world.hooks["rollout"] = verdict
            world.run_for(25)
        assert [message for severity, message in world.alerts if severity == "warn"] == [
            "Canary traffic increase is waiting for approval."
        ] * share
        before = world.weight
        world.hooks.clear()
        world.run_for(15)
        assert world.weight > before


def halts(world: World) -> list[tuple[str, str]]:
    return [(severity, message) for severity, message in world.alerts if "halted" in message or "paused" in message]


def test_a_rollout_that_somebody_has_to_mend_something_for_is_told_once_and_goes_on_quietly() -> None:
    world = progressing()
    world.problems = ("spec.service.port: 0 is no port number: write 1 to 65535.",)
    for _ in range(3):
        world.touch().tick()

    assert halts(world) == [
        ("error", "Rollout of payment.shop is halted: spec.service.port: 0 is no port number: write 1 to 65535.")
    ]
    world.problems = ()
    world.touch().run()
    assert world.phase is Phase.SUCCEEDED
    assert len(halts(world)) == 1


def test_between_rollouts_nothing_is_halted() -> None:
    world = initialized()
    world.problems = ("something is wrong",)
    world.touch().run()

    assert halts(world) == []


def test_a_suspended_rollout_is_told_once() -> None:
    world = progressing()
    world.suspend().run()
    world.touch().run()

    assert halts(world) == [("warn", "Rollout of payment.shop is halted: suspended by spec.suspend")]
    assert halts(initialized().suspend().run()) == []


def test_a_paused_rollout_is_told_once_with_who_asked() -> None:
    world = progressing().ask("pause")
    for _ in range(4):
        world.advance()
        world.tick()

    assert halts(world) == [("warn", "Rollout of payment.shop is paused by alice.")]
    assert halts(initialized().ask("pause").run()) == []


def test_what_a_rollout_changes_is_kept_for_its_alerts() -> None:
    world = initialized()
    assert world.status.rollout.change is None

    world.push("v2").run()

    assert world.status.rollout.change == Change(before=["app=v1"], after=["app=v2"])
    world.push("v3").run(Phase.PROGRESSING)
    world.push("v4").run()
    assert world.status.rollout.change == Change(before=["app=v2"], after=["app=v4"])


def trouble(world: World) -> list[tuple[str, str, str]]:
    rows = [row for row in world.status.conditions if row.type == ALERTS_DELIVERED]
    return [(row.status, row.reason, row.message) for row in rows]


def look(world: World, mistake: str = "", failure: str | None = None) -> World:
    world.alerts_seen = AlertsSeen(mistake, failure)
    return world.touch().run()


def test_alerts_that_reach_nobody_are_one_event_and_a_condition_until_they_do() -> None:
    world = initialized()

    for _ in range(3):
        look(world, "The alert a cannot be sent: there is no AlertProvider x.shop.")

    said = "The alert a cannot be sent: there is no AlertProvider x.shop."
    assert trouble(world) == [("False", MISTAKE, said)]
    assert world.texts.count(said) == 1
    look(world)
    assert trouble(world) == []


def test_a_receiver_that_fails_is_told_until_one_alert_arrived_and_through_a_restart() -> None:
    world = look(initialized(), failure="The last alert did not reach x.")
    assert trouble(world) == [("False", FAILURE, "The last alert did not reach x.")]

    look(world, failure=None)
    assert len(trouble(world)) == 1, "a process that has sent nothing knows nothing better"
    look(world, failure="The last alert did not reach y.")
    assert trouble(world) == [("False", FAILURE, "The last alert did not reach y.")]
    look(world, failure="")
    assert trouble(world) == []


def test_alerts_that_reach_nobody_hold_up_no_rollout_and_make_nobody_wait() -> None:
    world = look(initialized(), mistake="There is no AlertProvider x.shop.")
    assert (world.condition("Ready"), world.condition("Stalled")) == ("True", "False")

    world.push("v2").run()

    assert world.phase is Phase.SUCCEEDED
    assert len(trouble(world)) == 1


def test_a_canary_that_nothing_was_decided_for_yet_has_no_conditions() -> None:
    world = World()
    world.alerts_seen = AlertsSeen("There is no AlertProvider x.shop.")
    world.delete().tick()

    assert world.status.conditions == list[Condition]()


@pytest.mark.laws
@pytest.mark.parametrize(
    "flow",
    [
        "rollout",
        "rollback of a canary with users",
        "failed promotion, put back",
        "paused and aborted",
        "retried",
        "put back in Progressing",
        "put back in Waiting",
        "put back in Failed",
    ],
)
def test_a_death_anywhere_loses_no_alert_and_repeats_one_with_its_id(flow: str) -> None:
    def fresh() -> World:
        return World(spec=spec(stepWeight=15, webhooks=HOOKS))

    steps = [bootstrap, *FLOWS[flow]]
    undisturbed = play(steps, fresh()).alerts

    def die(world: World, later: list[Step]) -> None:
        for writes in range(12):
            dying = copy.deepcopy(world)
            dying.tick(crash_after=writes)
            dying.announced.clear()  # also where it died after it had told them
            play([bootstrap, *later], dying)
            told = {item.id: (item.severity, item.message) for item in dying.sent if item.kind == "alert"}
            assert list(told.values()) == undisturbed, f"died at {world.now} in {world.phase} after {writes} writes"
            if not dying.crashed:
                return
        raise AssertionError("a tick has more writes than are tried")

    play(steps, fresh(), die)
