"""What was promoted is kept, and a lost primary comes back from it; never from what nobody analysed."""

from __future__ import annotations

import pytest

from flaggerpy.api.status import CanaryStatus, Phase
from flaggerpy.rollout import decision as d
from flaggerpy.rollout.checks import Verdict
from tests.rollout.world import World, hook, initialized, spec


def at_weight(world: World, weight: int) -> World:
    """Tick until the canary has this share of the traffic."""
    while world.weight != weight:
        assert world.advance()
        world.tick()
    return world


def kept(world: World) -> list[str]:
    return [one.template for one in world.kept]


def wrote(world: World, *kinds: type) -> list[d.Action]:
    return [action for _, action in world.actions if isinstance(action, kinds)]


def failed_promotion() -> World:
    world = initialized()
    assert world.primary
    world.primary.broken.add("v2")
    return world.push("v2").run()


# What is kept


def test_the_two_last_promoted_revisions_are_kept_and_none_that_failed() -> None:
    world = initialized(spec=spec(webhooks=[hook("rollout")]))
    assert kept(world) == ["v1"]
    world.push("v2").run()
    assert kept(world) == ["v2", "v1"]
    world.hooks["rollout"] = Verdict.FAILED
    world.push("v3").run()
    assert (world.phase, kept(world)) == (Phase.FAILED, ["v2", "v1"])
    world.hooks.clear()
    world.push("v4").run()
    assert kept(world) == ["v4", "v2"]


def test_it_is_kept_after_the_configs_and_before_the_primary_gets_it() -> None:
    world = initialized()
    world.actions.clear()
    world.configure(settings="1").push("v2").run()
    kinds = (d.CopyConfigs, d.KeepRevision, d.UpdatePrimary)
    configs = {"configmap/settings": "1"}
    assert wrote(world, *kinds) == [d.CopyConfigs(configs), d.KeepRevision(configs), d.UpdatePrimary()]


def test_what_an_earlier_version_promoted_is_kept_once() -> None:
    world = initialized(may_keep=False)
    assert not wrote(world, d.KeepRevision)
    world.may_keep = True
    world.touch().run()
    assert wrote(world, d.KeepRevision) == [d.KeepRevision({}, of_primary=True)]
    assert kept(world) == ["v1"]


def test_what_flagger_promoted_is_kept_when_it_is_taken_over() -> None:
    world = initialized(may_keep=False)
    world.status = CanaryStatus(phase=Phase.SUCCEEDED, last_applied_spec="57f8d6", last_promoted_spec="57f8d6")
    world.may_keep = True
    world.touch().run()
    assert kept(world) == ["v1"]
    world.actions.clear()
    world.touch().run()
    assert world.actions == []


def test_what_an_earlier_version_promoted_is_kept_in_mid_analysis_too() -> None:
    world = at_weight(initialized(may_keep=False).push("v2"), 20)
    world.may_keep = True
    world.touch()
    at_weight(world, 30)
    assert wrote(world, d.KeepRevision) == [d.KeepRevision({}, of_primary=True)]
    assert kept(world) == ["v1"]
    world.delete_primary().run()
    assert world.outcomes == ["succeeded"]


def test_what_somebody_deletes_again_and_again_is_kept_again_once_an_interval() -> None:
    world = initialized()
    world.run_for(60)
    world.actions.clear()
    for _ in range(20):
        world.forget().run_for(1)
    assert len(wrote(world, d.KeepRevision)) in {2, 3}


def test_a_primary_that_somebody_edited_by_hand_is_not_kept() -> None:
    world = initialized(may_keep=False)
    assert world.primary
    world.primary.edit("by hand")
    world.suspend().push("v2")
    world.may_keep = True
    world.status = world.status.model_copy(update={"phase": Phase.WAITING})
    world.ask("pause")
    world.suspend(False).run_for(5)
    assert kept(world) == []


def test_w41_copies_that_only_the_revision_before_read_go_at_the_end_of_the_rollout() -> None:
    world = initialized(configs={"configmap/old": "1", "configmap/both": "1"})
    world.configs = {"configmap/both": "2", "configmap/new": "1"}
    world.push("v2").run(Phase.FINALISING)
    assert not world.dropped
    world.run()
    assert world.dropped == ("configmap/old",)


# A lost primary


@pytest.mark.parametrize("routed", [True, False])
def test_a_primary_lost_between_rollouts_comes_back_with_its_size(routed: bool) -> None:
    world = initialized(routed=routed)
    world.delete_primary().run()
    assert world.primary
    assert (world.primary.template, world.phase, world.sizes) == ("v1", Phase.INITIALIZED, (0, 2))
    assert "payment-primary.shop is gone: created again from ControllerRevision payment-promoted-1" in world.texts


@pytest.mark.parametrize("routed", [True, False])
def test_a_primary_lost_together_with_a_new_template_comes_back_as_promoted_and_the_new_one_is_analysed(
    routed: bool,
) -> None:
    world = initialized(routed=routed)
    world.suspend().push("v2").delete_primary()
    world.suspend(False).run(Phase.PROGRESSING)
    assert world.primary
    assert world.primary.template == "v1"
    world.run()
    assert (world.primary.template, world.phase, world.outcomes) == ("v2", Phase.SUCCEEDED, ["succeeded"])


def test_a_primary_lost_in_mid_analysis_comes_back_while_the_canary_serves_and_the_analysis_starts_again() -> None:
    world = at_weight(initialized().push("v2"), 20)
    at = world.now
    world.delete_primary()
    while world.primary is None:
        assert world.advance()
        world.tick()
    assert (world.now, world.weight, world.primary.template) == (at, 100, "v1")
    weights = [world.weight]
    while world.phase is not Phase.SUCCEEDED:
        assert world.advance()
        world.tick()
        weights += [world.weight] if world.weight != weights[-1] else []
        assert world.weight < 100 or world.primary.available < 2 or world.phase is Phase.WAITING
    assert weights == [100, 0, 10, 20, 30, 0]
    assert world.outcomes == ["succeeded"]


def test_a_canary_that_is_not_ready_does_not_get_the_users_of_a_lost_primary() -> None:
    world = initialized().push("v2")
    world.run(Phase.PROGRESSING)
    world.delete_primary()
    while world.primary is None:
        assert world.advance()
        world.tick()
    assert world.weight == 0
    world.run()
    assert world.outcomes == ["succeeded"]


def test_a_lost_primary_that_cannot_start_again_is_fixed_forward() -> None:
    world = at_weight(initialized().push("v2"), 20)
    world.primary_breaks = {"v1"}
    world.delete_primary()
    while world.phase is not Phase.SUCCEEDED:
        assert world.advance()
        world.tick()
        assert world.weight == 100 or (world.primary and world.primary.available)
    assert world.primary
    assert world.primary.template == "v2"


def test_a_primary_lost_while_it_is_promoted_gets_what_was_analysed() -> None:
    world = initialized().push("v2")
    world.run(Phase.PROMOTING)
    world.delete_primary().run()
    assert world.primary
    assert (world.primary.template, world.outcomes) == ("v2", ["succeeded"])


@pytest.mark.parametrize("ticks", [0, 1, 2, 3])
def test_a_primary_lost_in_its_promotion_together_with_a_newer_template_is_not_made_from_that(ticks: int) -> None:
    world = initialized().push("v2")
    world.run(Phase.PROMOTING)
    for _ in range(ticks):
        world.advance()
        world.tick()
    world.push("v3").delete_primary()
    while world.primary is None:
        assert world.advance()
        world.tick()
    assert world.primary.template == ("v1" if ticks == 0 else "v2")
    world.run()
    assert world.primary.template == "v3"


def test_a_primary_lost_while_its_promotion_is_paused_comes_back_as_it_was() -> None:
    world = initialized().push("v2")
    world.run(Phase.PROMOTING)
    world.ask("pause")
    world.delete_primary().run()
    assert world.primary
    assert (world.primary.template, world.weight, world.phase) == ("v1", 0, Phase.WAITING)
    world.ask("resume").run()
    assert world.primary.template == "v2"


def test_a_primary_lost_after_its_promotion_failed_comes_back_and_the_canary_serves() -> None:
    world = failed_promotion()
    world.primary_breaks = {"v2"}
    world.delete_primary().run()
    assert world.primary
    assert (world.phase, world.weight, world.primary.template) == (Phase.FAILED, 100, "v2")
    world.push("v3").run()
    assert (world.phase, world.weight, world.primary.template) == (Phase.SUCCEEDED, 0, "v3")


def test_withdrawing_the_revision_that_waits_for_a_lost_primary() -> None:
    world = at_weight(initialized().push("v2"), 20)
    world.delete_primary()
    world.run(Phase.WAITING)
    world.push("v1").run()
    assert (world.phase, world.weight, world.sizes) == (Phase.SUCCEEDED, 0, (0, 2))


# Where nothing is at hand


def test_without_anything_kept_the_canary_serves_and_the_user_is_asked() -> None:
    world = at_weight(initialized(may_keep=False).push("v2"), 20)
    world.delete_primary().run()
    assert (world.phase, world.weight) == (Phase.FAILED, 100)
    assert world.primary is None, "v2 did not pass its analysis"
    assert "put the promoted template back" in world.status.rollout.reason
    world.push("v1").run()
    assert world.primary
    assert (world.primary.template, world.weight, world.phase) == ("v1", 0, Phase.SUCCEEDED)


def test_without_anything_kept_users_find_the_only_workload_that_there_is() -> None:
    world = initialized(may_keep=False)
    world.suspend().push("v2").delete_primary().scale(2)
    world.run_for(5)
    world.suspend(False).run()
    assert world.primary is None
    assert world.condition("Stalled") == "True"
    assert world.destinations() == {"target"}


def test_a_config_that_is_nowhere_as_promoted_is_named() -> None:
    world = initialized(configs={"configmap/settings": "1"})
    world.lacking = ("ConfigMap settings",)
    world.configs = {"configmap/settings": "2"}
    world.delete_primary().run()
    assert world.primary is None
    assert "its copy of ConfigMap settings" in world.status.rollout.reason
    world.lacking = ()
    world.touch().run()
    assert world.primary


# A cluster that is built again


@pytest.mark.parametrize("routed", [True, False])
@pytest.mark.parametrize("died_after", [None, *range(8)])
def test_a_rebuilt_cluster_begins_with_what_was_promoted(routed: bool, died_after: int | None) -> None:
    world = initialized(routed=routed).push("v2").run()
    world.rebuild("v3")
    if died_after is not None:
        world.advance()
        world.tick(crash_after=died_after)
    world.run(Phase.INITIALIZED)
    assert world.primary
    assert (world.primary.template, kept(world)) == ("v2", ["v2", "v1"])
    assert world.destinations() == {"primary"}
    world.run()
    assert (world.primary.template, world.outcomes) == ("v3", ["succeeded", "succeeded"])


def test_a_rebuilt_cluster_whose_target_is_what_was_promoted_begins_with_it() -> None:
    world = initialized().push("v2").run()
    world.rebuild("v2").run()
    assert world.primary
    assert (world.phase, world.primary.template, world.outcomes) == (Phase.INITIALIZED, "v2", ["succeeded"])


def test_without_anything_kept_a_rebuilt_cluster_begins_with_the_target() -> None:
    world = initialized().push("v2").run()
    world.forget()
    world.rebuild("v3").run()
    assert world.primary
    assert (world.phase, world.primary.template) == (Phase.INITIALIZED, "v3")


def test_a_kept_revision_that_cannot_start_leaves_the_target_serving_and_says_the_way_out() -> None:
    world = initialized().push("v2").run()
    world.primary_breaks = {"v2"}
    world.rebuild("v3").run()
    assert world.phase is Phase.INITIALIZING
    assert "delete ControllerRevision payment-promoted-1" in world.status.rollout.reason
    world.forget().run()
    assert world.primary
    assert (world.phase, world.primary.template) == (Phase.INITIALIZED, "v3")


def test_a_restored_status_without_a_primary_begins_with_what_was_promoted() -> None:
    world = initialized().push("v2").run()
    status = world.status
    world.rebuild("v3")
    world.status = status
    world.run()
    assert world.primary
    assert (world.primary.template, world.outcomes) == ("v3", ["succeeded", "succeeded"])


def test_deleting_the_canary_forgets() -> None:
    world = initialized()
    world.delete().run()
    assert world.gone
    assert kept(world) == []
