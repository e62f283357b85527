"""Flagger's faults that must not come back, each under its number in the list of known ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.controller.served import unserved
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import HookCheck, Verdict
from flaggerpy.rollout.observation import Observation
from tests.rollout.world import COOKIES, World, hook, initialized, spec


def at_weight(world: World, weight: int) -> World:
    while world.weight < weight:
        assert world.advance()
        world.tick()
    return world


def failed() -> World:
    world = at_weight(initialized(spec=spec(webhooks=[hook("rollback")])).push("v2"), 10)
    world.hooks["rollback"] = Verdict.PASSED
    world.run()
    world.hooks.clear()
    assert world.phase is Phase.FAILED
    return world


def message(world: World, kind: str) -> str:
    return next(row.message for row in world.status.conditions if row.type == kind)


def test_w01_a_revision_seen_in_failed_while_the_primary_is_unready_still_starts_later() -> None:
    world = failed()
    assert world.primary
    world.primary.ready_after *= 5
    world.primary.edit(replicas=3)
    world.primary.sync(world.now)
    world.push("v3")
    world.advance()
    world.tick()
    assert world.phase is Phase.FAILED
    assert world.status.last_applied_spec == "v2", "not recorded before it starts"
    assert "before a rollout starts" in world.status.rollout.reason
    world.run()
    assert world.outcomes == ["failed", "succeeded"]
    assert world.primary.template == "v3"


@pytest.mark.parametrize("routed", [True, False])
def test_w02_a_broken_primary_is_fixed_forward_while_the_canary_serves(routed: bool) -> None:
    world = initialized(routed=routed)
    assert world.primary
    world.primary.broken = {"v2"}
    world.push("v2").run(Phase.FAILED)
    world.run()
    assert not routed or world.destinations() == {"target"}
    world.push("v3").run()
    assert world.phase is Phase.SUCCEEDED
    assert (world.primary.template, world.primary.complete()) == ("v3", True)
    assert world.destinations() == {"primary"}


def test_w02_a_failed_fix_sends_nobody_to_a_primary_without_pods() -> None:
    world = initialized(spec=spec(webhooks=[hook("rollback")]))
    assert world.primary
    world.primary.broken = {"v1", "v2"}  # not even the old pods survive
    world.laws.sabotaged = True
    world.push("v2")
    world.run_for(400)
    world.push("v3").run_for(5)
    world.hooks["rollback"] = Verdict.PASSED
    world.run()
    assert world.phase is Phase.FAILED
    assert world.destinations() == {"target"}


@pytest.mark.parametrize("routed", [True, False])
def test_w03_a_bootstrap_that_never_ends_never_scales_the_target_down(routed: bool) -> None:
    world = World(routed=routed, primary_breaks={"v1"}).run()
    world.run_for(7200)
    assert world.phase is Phase.INITIALIZING
    assert not [action for _, action in world.actions if isinstance(action, d.ScaleTarget)]
    assert world.destinations() == {"target"}


def test_w04_a_rollout_that_dies_by_its_deadline_says_so_in_an_event_and_an_alert() -> None:
    world = initialized()
    assert world.target
    world.target.broken.add("v2")
    world.push("v2").run()
    assert world.phase is Phase.FAILED
    severity, message = world.alerts[-1]
    assert severity == "error"
    assert message.startswith("Rolling back payment.shop payment.shop did not become ready: ")
    assert message in world.texts


def test_w05_a_rollback_hook_is_heard_while_the_revision_waits_for_approval() -> None:
    world = initialized(spec=spec(webhooks=[hook("rollback"), hook("confirm-rollout")]))
    world.hooks["confirm-rollout"] = Verdict.FAILED
    world.push("v2").run(Phase.WAITING)
    world.hooks["rollback"] = Verdict.PASSED
    world.run()
    assert (world.phase, world.outcomes) == (Phase.FAILED, ["failed"])
    assert world.alerts[-1] == ("warn", "Rolling back payment.shop manual webhook invoked: the-rollback")
    assert world.target
    assert world.target.replicas == 0, "the revision never ran"


def test_w06_the_promoted_template_put_back_cancels_and_starts_nothing_afterwards() -> None:
    world = at_weight(initialized().push("v2"), 20)
    world.push("v1").run()
    assert (world.phase, world.weight, world.outcomes) == (Phase.SUCCEEDED, 0, [])
    assert world.status.last_promoted_spec == "v1"
    world.touch().run_for(3600)
    assert world.outcomes == []


def test_w07_a_waiting_revision_is_withdrawn_by_the_promoted_template() -> None:
    world = initialized(spec=spec(webhooks=[hook("confirm-rollout")]))
    world.hooks["confirm-rollout"] = Verdict.FAILED
    world.push("v2").run(Phase.WAITING)
    world.push("v1").run()
    world.hooks.clear()
    world.touch().run_for(3600)
    assert (world.phase, world.outcomes) == (Phase.SUCCEEDED, [])


def test_w08_a_config_that_is_put_back_cancels_and_starts_nothing_afterwards() -> None:
    world = at_weight(initialized(configs={"configmap/app": "1"}).configure(app="2"), 20)
    world.configure(app="1").run()
    world.touch().run_for(3600)
    assert (world.phase, world.weight, world.outcomes) == (Phase.SUCCEEDED, 0, [])
    assert world.primary_configs == {"configmap/app": "1"}


@pytest.mark.parametrize("analysis", [{}, {"iterations": 2}])
def test_w09_mirroring_that_the_provider_cannot_do_starts_the_analysis_once(analysis: dict[str, int]) -> None:
    kinds = [hook("pre-rollout"), hook("rollout")]
    cannot = frozenset({"mirror", "mirror_weight"})
    world = initialized(spec=spec(**analysis, mirror=True, webhooks=kinds), cannot=cannot).push("v2").run()
    assert world.outcomes == ["succeeded"]
    assert world.texts.count("Starting canary analysis for payment.shop") == 1
    types = [check.type.value for _, check, _ in world.asked if isinstance(check, HookCheck)]
    assert types.count("pre-rollout") == 1
    assert not [a for _, a in world.actions if isinstance(a, d.SetRoutes) and a.routes.mirrored], (
        "nor are copies asked for"
    )


@pytest.mark.parametrize(
    ("now", "then", "expected"),
    [
        ([10, 50, 100], [20, 40], [10, 20, 40, 0]),
        ([10, 50, 100], [5, 8], [10, 0]),
        ([10, 20], [10, 15, 60], [10, 15, 60, 0]),
    ],
)
def test_w10_step_weights_edited_in_mid_rollout_go_on_with_the_next_higher_one(
    now: list[int], then: list[int], expected: list[int]
) -> None:
    world = at_weight(initialized(spec=spec(stepWeights=now)).push("v2"), 10)
    world.edit(stepWeights=then).run()
    shares = [action.routes.canary for _, action in world.actions if isinstance(action, d.SetRoutes)]
    assert (world.outcomes, shares[1:]) == (["succeeded"], expected), "the first is the bootstrap's"


@pytest.mark.parametrize("died_after", [1, 2])
def test_w12_a_promotion_that_dies_after_its_last_shift_ends_all_the_same(died_after: int) -> None:
    world = initialized(spec=spec(stepWeight=50, maxWeight=50, stepWeightPromotion=30)).push("v2")
    world.run(Phase.PROMOTING)
    while not (world.weight == 20 and world.phase is Phase.PROMOTING):
        world.advance()
        world.tick()
    world.advance()
    world.now = max(world.now, world.wake_at or world.now)
    world.tick(crash_after=died_after)
    assert (world.weight, world.crashed) == (0, True)
    world.run()
    assert world.outcomes == ["succeeded"]


@pytest.mark.parametrize(("analysis", "weight", "iterations"), [({}, 30, 0), ({"iterations": 3}, 0, 3)])
def test_w13_waiting_for_promotion_keeps_weight_and_iterations_and_asks_every_interval(
    analysis: dict[str, int], weight: int, iterations: int
) -> None:
    world = initialized(spec=spec(**analysis, webhooks=[hook("confirm-promotion"), hook("pre-rollout")]))
    world.hooks["confirm-promotion"] = Verdict.FAILED
    world.push("v2").run(Phase.WAITING_PROMOTION)
    before = len(world.asked)
    world.run_for(50)
    status = world.status
    assert (status.phase, status.canary_weight, status.iterations) == (Phase.WAITING_PROMOTION, weight, iterations)
    assert world.weight == weight
    assert len(world.asked) - before == 5, "the gate, and no pre-rollout hook again"
    assert [message for severity, message in world.alerts if severity == "warn"] == [
        "Canary promotion is waiting for approval."
    ]
    world.hooks.clear()
    world.run()
    assert world.outcomes == ["succeeded"]


def test_w14_what_lands_during_the_promotion_is_analysed_before_it_is_promoted() -> None:
    world = initialized().push("v2")
    world.run(Phase.PROMOTING)
    world.advance()
    world.tick()
    assert world.primary
    world.push("v3").run(Phase.SUCCEEDED)
    assert world.primary.template == "v2"
    world.run()
    assert (world.outcomes, world.primary.template) == (["succeeded", "succeeded"], "v3")


def test_w14_what_lands_before_the_primary_is_written_is_not_promoted_unanalysed() -> None:
    world = initialized().push("v2")
    world.run(Phase.PROMOTING)
    world.actions.clear()
    world.push("v3")
    assert world.primary
    while world.advance() and world.phase is not Phase.SUCCEEDED:
        world.tick()
        assert world.primary.template != "v2", "that was withdrawn before anything was written"
    shares = [action.routes.canary for _, action in world.actions if isinstance(action, d.SetRoutes)]
    assert (world.outcomes, world.primary.template, shares) == (["succeeded"], "v3", [0, 10, 20, 30, 0])


@pytest.mark.parametrize("phase", [Phase.PROMOTING, Phase.FINALISING])
def test_w15_a_target_that_gets_stuck_after_its_analysis_is_no_rollback(phase: Phase) -> None:
    world = initialized().push("v2")
    world.run(phase)
    assert world.target
    world.laws.sabotaged = True
    world.target.broken.add("v2")
    world.target.deadline, world.target.arrived = timedelta(seconds=1), False
    world.touch()
    stuck_in = set()
    while world.advance():
        if world.target.exceeded():
            stuck_in.add(world.phase)
        world.tick()
    assert phase in stuck_in
    assert world.outcomes == ["succeeded"]
    assert world.primary
    assert (world.status.last_promoted_spec, world.primary.template) == ("v2", "v2")


def test_w16_failed_checks_are_not_carried_into_a_success() -> None:
    world = at_weight(initialized(spec=spec(threshold=5, webhooks=[hook("rollout")])).push("v2"), 10)
    world.hooks["rollout"] = Verdict.FAILED
    world.run_for(25)
    assert world.status.failed_checks == 2
    world.hooks.clear()
    world.run()
    assert (world.phase, world.status.failed_checks) == (Phase.SUCCEEDED, 0)


def test_w18_a_suspended_canary_is_silent() -> None:
    world = initialized()
    world.suspend().run()
    world.events.clear()
    for _ in range(10):
        world.touch().run_for(60)
    assert world.events == []


def test_w21_a_canary_that_is_released_says_what_it_does_and_ends_in_terminated() -> None:
    world = initialized().release().run(Phase.TERMINATING)
    assert message(world, "Promoted") == "Giving the traffic back to Deployment payment."
    world.run()
    assert world.phase is Phase.TERMINATED
    assert message(world, "Promoted") == "Released: Deployment payment serves its users itself."


@pytest.mark.parametrize("phase", [Phase.INITIALIZED, Phase.SUCCEEDED, Phase.FAILED])
def test_w22_at_rest_nothing_is_written_and_the_time_of_the_last_transition_stays(phase: Phase) -> None:
    world = failed() if phase is Phase.FAILED else initialized()
    if phase is Phase.SUCCEEDED:
        world.push("v2").run()
    assert world.phase is phase
    writes, since = world.status_writes, world.status.last_transition_time
    for _ in range(5):
        world.touch().run_for(60)
    assert world.status_writes == writes
    world.edit(threshold=7, webhooks=[hook("rollback")]).run()
    assert (world.status.observed_generation, world.status.last_transition_time) == (2, since)


def test_w22_the_last_transition_is_when_something_of_the_rollout_moved() -> None:
    world = at_weight(initialized().push("v2"), 10)
    assert world.status.last_transition_time == world.now.replace(microsecond=0)
    since = world.status.last_transition_time
    world.ask("pause").run_for(5)
    assert world.status.rollout.paused
    assert world.status.last_transition_time == since


def test_w23_without_analysis_users_wait_for_a_ready_primary_all_the_same() -> None:
    world = World(spec=spec(_skipAnalysis=True), primary_breaks={"v1"}).run()
    world.run_for(7200)
    assert world.phase is Phase.INITIALIZING
    assert world.destinations() == {"target"}, "the bootstrap does not move them to pods that never start"
    assert world.primary
    world.primary.broken = {"v2"}
    world.touch().run()
    world.push("v2").run()
    assert (world.phase, world.destinations()) == (Phase.FAILED, {"target"}), "nor does a promotion"
    assert [action for _, action in world.actions if action == d.ScaleTarget(0)] == [d.ScaleTarget(0)], "bootstrap's"


def test_w24_one_replica_at_half_the_threshold_needs_a_pod() -> None:
    world = initialized(spec=spec(canaryReadyThreshold=50))
    assert world.primary
    world.primary.edit(replicas=1)
    assert world.target
    world.target.broken.add("v2")
    world.push("v2").run()
    assert not [a for _, a in world.actions if isinstance(a, d.SetRoutes) and a.routes.canary]


def test_w25_a_primary_that_somebody_scaled_to_zero_has_a_pod_before_it_gets_users() -> None:
    world = initialized()
    assert world.primary
    world.laws.sabotaged = True
    world.primary.edit(replicas=0)
    world.push("v2").run()
    assert world.outcomes == ["succeeded"]
    assert world.sizes == (0, 1), "the canary had one pod, and so has the primary"
    world.primary.edit(replicas=0)
    world.delete().run()
    assert world.sizes == (1, 0), "nor is a deletion's target made as small"


@pytest.mark.parametrize("missing", ["target", "primary", "route", "apex"])
def test_w26_whatever_is_missing_the_finalizer_goes(missing: str) -> None:
    world = initialized()
    world.laws.sabotaged = True
    setattr(world, missing, None)
    world.problems = ("spec.x is wrong: write y",)
    world.delete().run()
    assert world.gone


@pytest.mark.parametrize("routed", [True, False])
def test_w43_a_deleted_canary_leaves_its_target_serving(routed: bool) -> None:
    world = initialized(routed=routed)
    assert world.sizes == (0, 2)
    world.delete().run()
    assert world.gone
    assert world.sizes == (2, 0)
    assert world.destinations() == {"target"}


@pytest.mark.parametrize("analysis", [{}, {"mirror": True}, {"sessionAffinity": COOKIES}])
def test_w90_what_drifts_in_mid_rollout_is_mended_at_the_weights_that_there_are(analysis: dict[str, Any]) -> None:
    world, shares, mended = initialized(spec=spec(**analysis)).push("v2"), [0], 0
    while world.phase is not Phase.PROMOTING:
        assert world.advance()
        if drifts := world.weight > 0 and world.route is not None:
            world.route.drifted = True
        world.tick()
        shares.append(world.weight)
        mended += drifts and world.route is not None and not world.route.drifted
    assert shares == sorted(shares), "no weight falls"
    assert mended > 2
    world.run()
    assert world.outcomes == ["succeeded"]


class WithoutWeights(World):
    """A canary with the provider kubernetes, and what is said about its settings."""

    def observe(self) -> Observation:
        seen = super().observe()
        return replace(seen, notes=tuple(unserved("kubernetes", seen.capabilities, seen.canary.analysis)))


def test_w79_weights_where_there_are_none_are_told_once_for_each_edit() -> None:
    world = WithoutWeights(routed=False).run(Phase.INITIALIZED)
    world.push("v2").run(Phase.SUCCEEDED)
    told = (
        "Progressive traffic is not supported when using the kubernetes provider: ten iterations are done instead; "
        "set spec.analysis.iterations to choose their number"
    )
    assert world.texts.count(told) == 1
    assert len([text for text in world.texts if "iterations are done" in text or "Progressive traffic" in text]) == 1
    world.edit(threshold=3).run_for(60)
    assert world.texts.count(told) == 2
