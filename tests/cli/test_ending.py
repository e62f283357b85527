"""When a rollout has ended and how, asked of the core in its simulated cluster at every instant."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import REQUEST
from flaggerpy.api.request import Request, Verb
from flaggerpy.api.status import AnsweredRequest, Pause, Phase
from flaggerpy.cli.ending import Ending, Exit, ending
from flaggerpy.cli.snapshot import Pods, Snapshot
from flaggerpy.rollout.checks import Verdict
from tests.builders import with_metadata, with_rollout, with_spec
from tests.rollout.world import World, hook, initialized, spec

NAME = "shop/payment"


def look(world: World) -> Snapshot:
    """See the simulated cluster as the command line does."""
    seen = world.observe()
    rows = [Pods("canary", "payment", seen.target)] if seen.target else []
    rows += [Pods("primary", "payment-primary", seen.primary)] if seen.primary else []
    return Snapshot(now=world.now, canary=seen.canary, pods=tuple(rows), configs=seen.configs.ours)


def how(world: World, *, stop_at_pause: bool = True) -> Ending | None:
    return ending(look(world), stop_at_pause=stop_at_pause)


def code(world: World, **more: bool) -> Exit | None:
    end = how(world, **more)
    return None if end is None else end.code


def codes_until_rest(world: World) -> list[Exit | None]:
    """Let everything happen, and ask at every instant."""
    codes = [code(world)]
    while world.advance():
        world.tick()
        codes.append(code(world))
    return codes


def only_at_the_end(codes: list[Exit | None], end: Exit) -> bool:
    """Whether there was no answer for a while and then only the right one."""
    first = codes.index(end)
    return first > 3 and codes[:first] == [None] * first and set(codes[first:]) == {end}


def test_the_bootstrap_ends_well_when_the_primary_serves() -> None:
    assert only_at_the_end(codes_until_rest(World()), Exit.SUCCEEDED)


@pytest.mark.parametrize("routed", [True, False])
def test_the_end_of_the_rollout_before_is_never_taken_for_this_one(routed: bool) -> None:
    world = initialized(routed=routed)
    for template in ("v2", "v3"):
        assert code(world) is Exit.SUCCEEDED
        assert only_at_the_end(codes_until_rest(world.push(template)), Exit.SUCCEEDED), template


def test_not_even_while_the_workloads_controller_has_not_looked_at_the_change() -> None:
    world = initialized()
    assert world.target
    world.target.asleep = True
    world.push("v2")
    assert set(codes_until_rest(world)) == {None}
    world.target.asleep = False
    assert only_at_the_end(codes_until_rest(world.touch()), Exit.SUCCEEDED)


def test_a_failure_is_one_until_something_else_is_asked_for() -> None:
    world = initialized(spec=spec(metrics=[{"name": "latency", "thresholdRange": {"max": 2}, "query": "q"}]))
    world.metrics["latency"] = Verdict.FAILED
    assert only_at_the_end(codes_until_rest(world.push("v2")), Exit.FAILED)
    end = how(world)
    assert end is not None
    assert end.sentence.startswith(f"{NAME} failed: failed checks threshold reached 2: metric latency is 3")
    world.metrics.clear()
    assert only_at_the_end(codes_until_rest(world.push("v3")), Exit.SUCCEEDED)


def test_the_promoted_revision_put_back_after_a_failure_is_served() -> None:
    world = initialized(spec=spec(webhooks=[hook("pre-rollout")]))
    world.hooks["pre-rollout"] = Verdict.FAILED
    world.push("v2").run(Phase.FAILED)
    assert code(world) is Exit.FAILED
    end = how(world.push("v1"))
    assert end is not None
    assert end.sentence.startswith(
        f"{NAME}: payment-primary serves what Deployment payment asks for; the rollout before failed: "
    ), "before the controller has looked"
    assert set(codes_until_rest(world)) == {Exit.SUCCEEDED}
    assert world.phase is Phase.SUCCEEDED


@pytest.mark.parametrize("routed", [True, False])
def test_a_promotion_that_failed_is_a_failure_although_the_primary_has_the_revision(routed: bool) -> None:
    world = initialized(routed=routed)
    assert world.primary
    world.primary.broken = {"v2"}
    assert only_at_the_end(codes_until_rest(world.push("v2")), Exit.FAILED)


def test_the_promoted_revision_put_back_in_the_middle_cancels_and_is_served() -> None:
    world = initialized().push("v2").run(Phase.PROGRESSING)
    world.push("v1")
    assert code(world) is None
    codes = codes_until_rest(world)
    assert codes[-1] is Exit.SUCCEEDED
    assert set(codes) == {None, Exit.SUCCEEDED}


def test_a_change_of_a_config_is_a_rollout_of_its_own() -> None:
    world = World().configure(colours="red").run()
    assert code(world) is Exit.SUCCEEDED
    assert only_at_the_end(codes_until_rest(world.configure(colours="blue")), Exit.SUCCEEDED)


def test_a_new_default_of_the_api_server_is_no_rollout() -> None:
    world = initialized().push("v2").run()
    assert world.target
    assert world.primary
    world.target.default = world.primary.default = "+"
    assert set(codes_until_rest(world.touch())) == {Exit.SUCCEEDED}


def test_approval_is_waited_for_by_a_person() -> None:
    world = initialized(spec=spec(webhooks=[hook("confirm-rollout"), hook("confirm-promotion")]))
    world.hooks |= {"confirm-rollout": Verdict.FAILED, "confirm-promotion": Verdict.FAILED}
    world.push("v2")
    assert code(world) is None, "the gate has not been asked yet"
    world.run(Phase.WAITING)
    end = how(world)
    assert end == Ending(
        Exit.PAUSED, f"{NAME} waits for approval: waiting for the gate the-confirm-rollout to approve the rollout."
    )
    assert code(world, stop_at_pause=False) is None
    world.hooks["confirm-rollout"] = Verdict.PASSED
    world.run(Phase.WAITING_PROMOTION)
    assert code(world) is Exit.PAUSED
    assert code(world, stop_at_pause=False) is None
    world.hooks["confirm-promotion"] = Verdict.PASSED
    assert codes_until_rest(world)[-1] is Exit.SUCCEEDED


def test_a_revision_that_was_withdrawn_waits_for_nobody() -> None:
    world = initialized(spec=spec(webhooks=[hook("confirm-rollout")]))
    world.hooks["confirm-rollout"] = Verdict.FAILED
    world.push("v2").run(Phase.WAITING).push("v1")
    assert code(world) is None
    assert codes_until_rest(world)[-1] is Exit.SUCCEEDED


def test_another_revision_behind_the_promotion_gate_is_analysed_first() -> None:
    world = initialized(spec=spec(webhooks=[hook("confirm-promotion")]))
    world.hooks["confirm-promotion"] = Verdict.FAILED
    world.push("v2").run(Phase.WAITING_PROMOTION).push("v3")
    assert code(world) is None


def changed(world: World, canary: Canary) -> Ending | None:
    return ending(replace(look(world), canary=canary), stop_at_pause=True)


def test_suspended_and_paused_rollouts_wait_for_a_person_unless_they_have_ended() -> None:
    world = initialized().push("v2").run(Phase.PROGRESSING)
    canary = look(world).canary
    suspended, paused = with_spec(canary, suspend=True), with_rollout(canary, paused=Pause(by="alice"))
    assert changed(world, suspended) == Ending(Exit.PAUSED, f"{NAME} is suspended: set spec.suspend to false to go on.")
    assert changed(world, paused) == Ending(
        Exit.PAUSED, f"{NAME} is paused by alice: `flaggerpy resume payment -n shop` goes on."
    )
    world.run()
    ended = look(world).canary
    own = Pause(by="flaggerpy", reason="metric latency gave no verdict")
    assert changed(world, with_rollout(canary, paused=own)) == Ending(
        Exit.PAUSED,
        f"{NAME} is paused by flaggerpy: metric latency gave no verdict. It goes on by itself when there is one.",
    )
    for still in (with_spec(ended, suspend=True), with_rollout(ended, paused=Pause(by="alice"))):
        end = changed(world, still)
        assert end is not None
        assert end.code is Exit.SUCCEEDED


@pytest.mark.parametrize(
    ("verb", "standing", "end"),
    [
        (Verb.RESUME, "paused", None),
        (Verb.PROMOTE, "paused", None),
        (Verb.PAUSE, "paused", Exit.PAUSED),
        (Verb.RETRY, "failed", None),
        (Verb.ABORT, "failed", Exit.FAILED),
    ],
)
def test_what_was_asked_for_and_not_answered_yet_may_go_on(verb: Verb, standing: str, end: Exit | None) -> None:
    world = initialized(spec=spec(webhooks=[hook("pre-rollout")]))
    if standing == "failed":
        world.hooks["pre-rollout"] = Verdict.FAILED
        world.push("v2").run(Phase.FAILED)
        canary = look(world).canary
    else:
        world.push("v2").run(Phase.PROGRESSING)
        canary = with_rollout(look(world).canary, paused=Pause(by="alice"))
    request = Request(id="1", verb=verb, by="bob", at=datetime(2031, 5, 17, tzinfo=UTC))
    asked = with_metadata(canary, annotations={REQUEST: request.to_annotation()})
    found = changed(world, asked)
    assert (found.code if found else None) is end
    answered = with_rollout(asked, request=AnsweredRequest(id="1", verb=verb, accepted=False, answer="no"))
    found = changed(world, answered)
    assert found is not None
    assert found.code is (Exit.FAILED if standing == "failed" else Exit.PAUSED)


def test_deletion_and_release_end_every_wait() -> None:
    world = initialized()
    world.delete()
    assert how(world) == Ending(Exit.ERROR, f"{NAME} is being deleted.")
    world = initialized().release()
    end = how(world)
    assert end is not None
    assert (end.code, "is released" in end.sentence) == (Exit.ERROR, True)


def test_what_was_seen_at_different_times_is_not_judged() -> None:
    seen = look(initialized())
    assert ending(seen, stop_at_pause=True) is not None
    assert ending(replace(seen, stale=True), stop_at_pause=True) is None


def test_without_a_target_nothing_has_ended() -> None:
    assert how(initialized().delete_target()) is None
