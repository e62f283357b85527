"""What a person asks: the table on the page, cell by cell, and what comes of each request."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.rollout.checks import Verdict
from flaggerpy.rollout.decision import RestorePrimary, SetRoutes
from tests.rollout.world import World, hook, initialized, spec

PAGE = Path(__file__).parents[2] / "docs" / "requests.md"
VERBS = ("pause", "resume", "promote", "promote-full", "abort", "retry")


def rolling(*until: Phase, closed: str = "", **analysis: object) -> World:
    """A world in mid-rollout, perhaps before a closed gate."""
    world = initialized(spec=spec(**({"webhooks": [hook(closed)]} if closed else {}), **analysis))
    if closed:
        world.hooks[closed] = Verdict.FAILED
    return world.push("v2").run(*until)


def progressing(weight: int = 10, **analysis: object) -> World:
    world = initialized(spec=spec(**analysis)).push("v2")
    while world.weight < weight:
        assert world.advance()
        world.tick()
    return world


def failed() -> World:
    world = initialized(spec=spec(webhooks=[hook("rollout")]))
    world.hooks["rollout"] = Verdict.FAILED
    world.push("v2").run(Phase.FAILED)
    world.hooks.clear()
    return world


def suspended() -> World:
    return progressing().suspend()


def paused() -> World:
    return asked(progressing(), "pause")


SCENES: dict[str, Callable[[], World]] = {
    "Initializing": lambda: World().run(Phase.INITIALIZING),
    "Initialized": initialized,
    "Waiting": lambda: rolling(Phase.WAITING, closed="confirm-rollout"),
    "Progressing": progressing,
    "WaitingPromotion": lambda: rolling(Phase.WAITING_PROMOTION, closed="confirm-promotion"),
    "Promoting": lambda: rolling(Phase.PROMOTING),
    "Promoting in steps": lambda: rolling(Phase.PROMOTING, stepWeightPromotion=10),
    "Finalising": lambda: rolling(Phase.FINALISING),
    "Succeeded": lambda: initialized().push("v2").run(),
    "Failed": failed,
    "Terminating": lambda: initialized().delete().run(Phase.TERMINATING),
    "Terminated": lambda: initialized().release().run(),
    "suspended": suspended,
    "paused": paused,
}


def cells() -> Iterator[tuple[str, str, bool]]:
    """What the page says, cell by cell."""
    rows = [line.strip("| \n").split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if "|" in line]
    for row in rows:
        if len(row) != 1 + len(VERBS) or row[0].strip() in {"phase", "---"}:
            continue
        for scene in re.sub("`", "", row[0]).strip().split(", "):
            for verb, cell in zip(VERBS, row[1:], strict=True):
                assert cell.strip()[0] in "+–", cell
                yield scene, verb, cell.strip().startswith("+")


def asked(world: World, verb: str) -> World:
    """Ask, and have it answered."""
    world.ask(verb)
    assert world.advance()
    world.tick()
    answer = world.status.rollout.request
    assert answer is not None
    assert (answer.id, answer.verb, answer.by) == (f"request-{world.asks}", verb, "alice")
    return world


def answer(world: World) -> tuple[bool, str]:
    request = world.status.rollout.request
    assert request is not None
    return request.accepted, request.answer


def weights(world: World) -> list[int]:
    return [int(text.rsplit(" ", 1)[1]) for text in world.texts if "canary weight" in text]


def test_the_page_has_every_phase() -> None:
    scenes = {scene for scene, _, _ in cells()}
    assert scenes == set(SCENES)
    assert {phase.value for phase in Phase if phase is not Phase.NEW} <= scenes


@pytest.mark.parametrize(
    ("scene", "verb", "accepted"), [pytest.param(*cell, id=" ".join(cell[:2])) for cell in cells()]
)
def test_each_cell_of_the_page(scene: str, verb: str, accepted: bool) -> None:
    world = SCENES[scene]()
    phase, users = world.phase, world.destinations()
    world = asked(world, verb)
    given, sentence = answer(world)
    assert given is accepted, sentence
    assert sentence
    world.tick()
    told = [item for item in world.sent if "-request-" in item.id]
    wanted = f"{verb} by alice: {sentence}" if accepted else f"{verb} by alice refused: {sentence}"
    assert [(item.severity, item.message) for item in told][-1:] == [("info" if accepted else "warn", wanted)]
    if not accepted:
        assert world.phase is phase or (phase, world.phase) == (Phase.TERMINATING, Phase.TERMINATED)
        assert world.destinations() <= users | {"primary"}
        assert world.status.rollout.advance is None
        assert (world.status.rollout.paused is not None) == (scene == "paused")


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("verb", VERBS)
def test_whatever_was_asked_it_ends_at_rest(scene: str, verb: str) -> None:
    world = asked(SCENES[scene](), verb)
    world.hooks.clear()
    world.suspend(False)
    world.ask("resume").run()
    assert world.gone or world.phase in {Phase.INITIALIZED, Phase.SUCCEEDED, Phase.FAILED, Phase.TERMINATED}
    assert world.status.rollout.advance is None


def test_a_request_is_answered_once() -> None:
    world = asked(progressing(), "pause")
    asked(world, "resume")
    world.run()
    before = (world.status_writes, world.status.rollout.request)
    world.touch().run()
    assert (world.status_writes, world.status.rollout.request) == before
    assert len([item for item in world.sent if "-request-" in item.id]) == 2


def test_a_paused_rollout_keeps_its_weight_and_goes_on_where_it_was() -> None:
    world = paused()
    assert answer(world) == (
        True,
        "payment.shop is paused at 10%: checks go on, and a bad canary is still rolled back",
    )
    world.run_for(600)
    assert (world.phase, world.weight) == (Phase.PROGRESSING, 10)
    assert world.status.rollout.reason == "paused by alice"
    asked(world, "resume").run()
    assert (world.phase, weights(world)) == (Phase.SUCCEEDED, [10, 20, 30])


def test_a_paused_canary_that_gets_worse_is_rolled_back() -> None:
    world = asked(progressing(webhooks=[hook("rollout")]), "pause")
    world.hooks["rollout"] = Verdict.FAILED
    world.run_for(60)
    assert (world.phase, world.weight) == (Phase.FAILED, 0)


def test_a_new_revision_waits_while_paused_and_costs_nothing() -> None:
    world = asked(initialized(), "pause")
    world.push("v2").run()
    assert (world.phase, world.status.rollout.reason) == (Phase.WAITING, "paused by alice")
    assert world.target
    assert world.target.replicas == 0
    assert not world.advance(), "nobody looks again before somebody does something"
    asked(world, "resume").run()
    assert world.phase is Phase.SUCCEEDED


def test_a_paused_bootstrap_leaves_users_on_the_target() -> None:
    world = asked(World().run(Phase.INITIALIZING), "pause").run()
    assert (world.phase, world.destinations()) == (Phase.INITIALIZING, {"target"})
    asked(world, "resume").run()
    assert (world.phase, world.destinations()) == (Phase.INITIALIZED, {"primary"})


def test_a_paused_rollout_does_not_call_the_hooks_that_prepare_it() -> None:
    world = initialized(spec=spec(webhooks=[hook("pre-rollout")])).push("v2").run(Phase.PROGRESSING)
    world = asked(world, "pause").run()
    assert world.asked == []
    asked(world, "resume").run()
    assert world.phase is Phase.SUCCEEDED
    assert len(world.asked) == 1


def test_promote_takes_one_step_at_a_time_while_paused() -> None:
    world = asked(initialized(), "pause").push("v2").run()
    seen = []
    for _ in range(6):
        asked(world, "promote").run_for(300)
        seen.append((world.phase, world.weight))
    assert seen == [
        (Phase.PROGRESSING, 0),
        (Phase.PROGRESSING, 10),
        (Phase.PROGRESSING, 20),
        (Phase.PROGRESSING, 30),
        (Phase.PROMOTING, 30),
        (Phase.PROMOTING, 30),
    ]
    assert answer(world) == (False, "payment.shop is being promoted already")
    assert world.status.rollout.reason == "paused by alice"
    asked(world, "resume").run()
    assert world.phase is Phase.SUCCEEDED


def test_promote_skips_what_the_step_waits_for() -> None:
    world = rolling(Phase.WAITING_PROMOTION, closed="confirm-promotion")
    asked(world, "promote").run()
    assert (world.phase, world.outcomes) == (Phase.SUCCEEDED, ["succeeded"])
    assert world.hooks == {"confirm-promotion": Verdict.FAILED}, "the gate has not been opened"


def test_promote_is_worth_nothing_for_a_canary_that_is_not_ready() -> None:
    world = initialized()
    assert world.target
    world.target.broken = {"v2"}
    world.push("v2").run(Phase.PROGRESSING)
    asked(world, "promote").run()
    assert (world.phase, weights(world)) == (Phase.FAILED, [])


def test_promote_in_full_goes_past_a_pause_and_every_gate() -> None:
    hooks = [hook("confirm-rollout"), hook("pre-rollout"), hook("confirm-promotion")]
    world = asked(initialized(spec=spec(webhooks=hooks)), "pause")
    world.hooks.update(dict.fromkeys(("confirm-rollout", "pre-rollout", "confirm-promotion"), Verdict.FAILED))
    world.push("v2").run()
    asked(world, "promote-full").run()
    assert (world.phase, weights(world), world.asked) == (Phase.SUCCEEDED, [], [])
    assert world.primary
    assert world.primary.template == "v2"
    assert world.status.rollout.paused is None


def test_promote_does_not_hold_for_another_revision() -> None:
    world = rolling(Phase.WAITING, closed="confirm-rollout")
    world.ask("promote-full")
    world.advance()
    world.meanwhile = lambda world: world.push("v3")
    world.tick()
    world.run_for(60)
    assert world.phase is Phase.WAITING, "v3 waits for its own gate"


def test_abort_goes_back_with_the_name_of_who_asked() -> None:
    world = asked(progressing(20), "abort").run()
    assert (world.phase, world.weight) == (Phase.FAILED, 0)
    assert world.status.rollout.failing == "aborted by alice"
    assert ("warn", "Rolling back payment.shop aborted by alice") in world.alerts
    assert world.outcomes == ["failed"]


def test_an_abort_under_a_mistake_about_the_route_is_done_when_that_is_mended_and_said_so() -> None:
    """Nobody can be moved until then, and the status must not say that they were."""
    mistake = "spec.provider is contuor: write contour"
    world = progressing(20).err(mistake, routable=False, returnable=False)
    world.tick()
    asked(world, "abort").run_for(30)
    assert answer(world) == (True, f"the rollout of payment.shop is aborted as soon as this is mended: {mistake}")
    assert (world.phase, world.status.rollout.step.weight, world.weight) == (Phase.PROGRESSING, 20, 20)
    assert (world.status.rollout.reason, world.condition("Stalled")) == (mistake, "True")
    assert world.texts.count(mistake) == 1

    world.err().run()
    assert (world.phase, world.weight) == (Phase.FAILED, 0)
    assert world.status.rollout.failing == "aborted by alice"


@pytest.mark.parametrize("routable", [True, False])
def test_an_abort_under_a_mistake_that_lets_users_return_is_done_at_once(routable: bool) -> None:
    world = progressing(20).err("spec.x is wrong: write y", routable=routable)
    world.tick()
    asked(world, "abort").run_for(3)
    assert (world.phase, world.weight) == (Phase.FAILED, 0)


def test_a_rollback_waits_for_a_route_that_can_be_written() -> None:
    world = progressing(20)
    world.status = world.status.model_copy(
        update={"rollout": world.status.rollout.model_copy(update={"failing": "it was slow"})}
    )
    world.err("spec.service.match cannot be said: leave it out", routable=False, returnable=False).run_for(30)
    assert (world.phase, world.weight, world.status.rollout.failing) == (Phase.PROGRESSING, 20, "it was slow")
    world.err().run_for(3)
    assert (world.phase, world.weight) == (Phase.FAILED, 0)


@pytest.mark.parametrize("phase", [Phase.PROGRESSING, Phase.PROMOTING])
def test_a_lost_target_is_not_said_to_have_lost_its_users_while_the_route_cannot_be_written(phase: Phase) -> None:
    world = progressing(20) if phase is Phase.PROGRESSING else rolling(Phase.PROMOTING)
    weight = world.weight
    world.err(
        "spec.service.match cannot be said: leave it out", routable=False, returnable=False
    ).delete_target().run_for(30)
    assert (world.phase, world.weight, world.status.rollout.step.weight) == (phase, weight, weight)
    world.err().run_for(3)
    assert (world.phase, world.weight) == (Phase.FAILED, 0)


@pytest.mark.parametrize("routed", [True, False])
@pytest.mark.parametrize("ticks", [0, 1, 2])
def test_abort_of_a_promotion_gives_the_primary_back_what_it_ran(routed: bool, ticks: int) -> None:
    world = initialized(routed=routed).push("v2")
    world.run(Phase.PROMOTING)
    for _ in range(ticks):
        world.advance()
        world.tick()
    assert world.phase is Phase.PROMOTING
    asked(world, "abort").run()
    assert (world.phase, world.status.rollout.failing) == (Phase.FAILED, "aborted by alice")
    assert world.primary
    assert (world.primary.template, world.primary.complete(), world.sizes) == ("v1", True, (0, 2))
    assert world.destinations() == {"primary"}
    assert [one.template for one in world.kept] == ["v1"]
    asked(world, "retry").run()
    assert (world.phase, world.primary.template) == (Phase.SUCCEEDED, "v2")


def test_a_primary_that_never_got_the_aborted_revision_is_not_written() -> None:
    world = rolling(Phase.PROMOTING)
    world.actions.clear()
    asked(world, "abort").run()
    assert not [action for _, action in world.actions if isinstance(action, RestorePrimary)]


def test_a_primary_that_cannot_go_back_leaves_the_users_on_the_canary() -> None:
    world = rolling(Phase.PROMOTING)
    world.advance()
    world.tick()
    assert world.primary
    world.primary.broken = {"v1", "v2"}
    world.laws.sabotaged = True
    asked(world, "abort").run()
    assert (world.phase, world.destinations()) == (Phase.FAILED, {"target"})
    world.primary.broken = set()
    world.touch().run()
    assert (world.phase, world.destinations(), world.primary.template) == (Phase.FAILED, {"primary"}, "v1")


def test_another_push_while_a_promotion_is_undone_is_rolled_out_after_it() -> None:
    world = rolling(Phase.PROMOTING)
    world.advance()
    world.tick()
    asked(world, "abort")
    world.push("v3").run()
    assert world.primary
    assert (world.phase, world.primary.template, world.outcomes) == (Phase.SUCCEEDED, "v3", ["failed", "succeeded"])


@pytest.mark.parametrize("lost", ["configs", "kept"])
def test_a_promotion_whose_way_back_is_gone_goes_on(lost: str) -> None:
    world = initialized(may_keep=lost != "kept", configs={"configmap/settings": "1"})
    world.configure(settings="2" if lost == "configs" else "1").push("v2").run(Phase.PROMOTING)
    world.may_keep = True
    world.advance()
    world.tick()
    asked(world, "abort")
    accepted, sentence = answer(world)
    assert not accepted
    assert ("are overwritten" if lost == "configs" else "is not kept") in sentence
    world.run()
    assert world.phase is Phase.SUCCEEDED


def test_abort_before_the_start_fails_the_revision() -> None:
    world = asked(rolling(Phase.WAITING, closed="confirm-rollout"), "abort").run()
    assert (world.phase, world.status.rollout.failing) == (Phase.FAILED, "aborted by alice")
    assert world.target
    assert world.target.replicas == 0


def test_retry_rolls_the_failed_revision_out_again() -> None:
    world = asked(failed(), "retry").run()
    assert (world.phase, world.outcomes) == (Phase.SUCCEEDED, ["failed", "succeeded"])
    assert world.primary
    assert world.primary.template == "v2"


def test_retry_of_what_was_put_back_is_refused() -> None:
    world = asked(failed().push("v1"), "retry")
    assert answer(world) == (False, "payment.shop asks for the promoted revision again: there is nothing to retry")
    world.run()
    assert answer(asked(world, "retry")) == (False, "no revision of payment.shop has failed: there is nothing to retry")


def test_a_promotion_in_steps_is_held_and_hurried() -> None:
    world = asked(rolling(Phase.PROMOTING, stepWeightPromotion=10), "pause")
    world.run_for(300)
    assert (world.phase, world.weight) == (Phase.PROMOTING, 30)
    asked(world, "promote").run_for(300)
    assert (world.phase, world.weight) == (Phase.PROMOTING, 20)
    asked(world, "promote-full").run_for(1)
    assert (world.phase, world.weight) == (Phase.FINALISING, 0)


def test_an_annotation_that_is_no_request_is_told_once() -> None:
    world = initialized()
    world.annotations = {"flaggerpy.dev/request": "please stop"}
    world.touch().run()
    world.touch().run()
    assert answer(world) == (
        False,
        "annotation flaggerpy.dev/request cannot be read: write it with 'flaggerpy' or as JSON with an id, a verb "
        "(pause, resume, promote, promote-full, abort, retry) and by",
    )
    assert len([item for item in world.sent if "-request-" in item.id]) == 1


def test_a_new_life_of_the_canary_does_not_answer_again() -> None:
    world = asked(initialized(), "pause")
    world.release().run()
    world.release(wanted=False).run()
    assert (world.phase, world.destinations()) == (Phase.INITIALIZING, {"target"}), "still paused"
    assert len([item for item in world.sent if "-request-" in item.id]) == 1
    asked(world, "resume").run(Phase.INITIALIZED)


@pytest.mark.parametrize("paused", [False, True])
def test_a_promotion_in_full_outlives_a_step_that_a_crash_left_unrecorded(paused: bool) -> None:
    world = progressing(10, webhooks=[hook("rollout")])
    world.hooks["rollout"] = Verdict.FAILED
    if paused:
        asked(world, "pause")
    world.run_for(2)
    world.ask("promote").tick()
    world.tick(crash_after=1)
    assert (world.weight, world.status.rollout.step.weight) == (20, 10)
    world.ask("promote-full").run()
    assert world.status.rollout.request
    assert world.status.rollout.request.accepted
    assert (world.outcomes, world.texts.count("Advance payment.shop canary weight 30")) == (["succeeded"], 0)


def test_users_who_have_returned_from_an_aborted_promotion_stay_where_they_are_through_a_crash() -> None:
    world = rolling(Phase.PROMOTING)
    world.run_for(1)
    world.ask("abort")
    while (dying := dead_after_a_write(world)).weight > 0:
        world.tick()
    assert (dying.phase, dying.crashed) == (Phase.PROMOTING, True)
    dying.actions.clear()
    dying.run()
    assert dying.phase is Phase.FAILED
    assert [action for _, action in dying.actions if isinstance(action, SetRoutes)] == []


def test_users_who_had_returned_unrecorded_when_a_promotion_is_aborted_stay_where_they_are() -> None:
    world = rolling(Phase.PROMOTING)
    while (moved := dead_after_a_write(world)).weight > 0:
        world.tick()
    assert (moved.phase, moved.status.canary_weight > 0) == (Phase.PROMOTING, True)
    moved.actions.clear()
    asked(moved, "abort").run()
    assert (moved.phase, moved.primary and moved.primary.template) == (Phase.FAILED, "v1")
    assert [action for _, action in moved.actions if isinstance(action, SetRoutes)] == []


def dead_after_a_write(world: World) -> World:
    """A copy of a world whose controller dies after the first write of its next tick."""
    assert world.advance()
    dying = copy.deepcopy(world)
    dying.tick(crash_after=1)
    return dying


def test_an_abort_of_a_promotion_says_what_it_waits_for() -> None:
    world = initialized()
    assert world.primary
    world.primary_breaks, world.primary.broken = {"v2"}, {"v2"}
    world.push("v2").run(Phase.PROMOTING).run_for(1)
    world.problems = ("MetricTemplate x does not exist.",)
    world.ask("abort").run_for(5)
    answer = world.status.rollout.request
    assert answer is not None
    assert (
        answer.answer
        == "the rollout of payment.shop is aborted as soon as this is mended: MetricTemplate x does not exist."
    )
    world.problems = ()
    assert world.touch().run().phase is Phase.FAILED
    assert (world.primary.template, world.destinations()) == ("v1", {"primary"})


@pytest.mark.parametrize("verb", ["promote", "promote-full"])
def test_nobody_promotes_what_was_pushed_before_the_answer(verb: str) -> None:
    world = rolling(Phase.WAITING, closed="confirm-rollout")
    assert world.target
    world.ask(verb, template=world.target.template).push("v3").run_for(30)
    answer = world.status.rollout.request
    assert answer is not None
    assert not answer.accepted
    assert "payment.shop asks for another revision than when this was asked" in answer.answer
    assert (world.phase, world.primary and world.primary.template) == (Phase.WAITING, "v1")


def test_a_failed_revision_is_not_retried_in_the_place_of_another() -> None:
    world = rolling(Phase.PROGRESSING).ask("abort").run()
    assert world.phase is Phase.FAILED
    world.hooks["confirm-rollout"] = Verdict.FAILED
    world.ask("retry", template="v2").push("v3").advance()
    world.tick()
    answer = world.status.rollout.request
    assert answer is not None
    assert not answer.accepted


@pytest.mark.parametrize("template", ["v2", None, "v0-of-another-version"])
def test_what_was_seen_is_promoted(template: str | None) -> None:
    world = rolling(Phase.WAITING, closed="confirm-rollout")
    world.ask("promote-full", template=template).run()
    assert (world.phase, world.primary and world.primary.template) == (Phase.SUCCEEDED, "v2")
