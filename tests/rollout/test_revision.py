"""Which revision is it? See docs/design/0001-which-revision.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flaggerpy.api.status import CanaryStatus, Phase, Revision, RolloutStatus
from flaggerpy.rollout import revision
from flaggerpy.rollout.observation import ConfigsSeen, Observation
from tests.rollout.world import World, initialized

TARGET = World().target
assert TARGET
SEEN = replace(TARGET.seen(), template="v1-a", generation=2009, observed_generation=2009, controller_revision="7")
RECORD = Revision(template="v1-a", configs={"configmap/x": "1"}, uid="uid-1", generation=2009, controller_revision="7")


def observation(**status: Any) -> Observation:
    seen = World(status=CanaryStatus(rollout=RolloutStatus(**status))).observe()
    return replace(seen, configs=ConfigsSeen(ours={"configmap/x": "1"}))


@pytest.mark.parametrize(
    ("title", "now", "answer"),
    [
        ("nothing changed", {}, "same"),
        ("a scale moves the generation only", {"generation": 2010, "observed_generation": 2010}, "same"),
        ("a new server adds a default: no generation", {"template": "v1-b"}, "same"),
        (
            "a default and a scale: the controller's revision did not move",
            {"template": "v1-b", "generation": 2010, "observed_generation": 2010},
            "same",
        ),
        (
            "a new template moves both",
            {"template": "v1-b", "generation": 2010, "observed_generation": 2010, "controller_revision": "8"},
            "changed",
        ),
        (
            "a generation that its controller has not seen yet proves nothing",
            {"template": "v1-b", "generation": 2010},
            "unclear",
        ),
        (
            "a paused workload is not counted: wait until it is resumed",
            {"template": "v1-b", "generation": 2010, "observed_generation": 2010, "paused": True},
            "unclear",
        ),
        ("a workload made anew with the same template is the same", {"uid": "other", "generation": 1}, "same"),
        (
            "a workload made anew with another template is not, whatever its numbers say",
            {"uid": "other", "template": "v1-b"},
            "changed",
        ),
    ],
)
def test_same_changed_or_unclear(title: str, now: dict[str, Any], answer: str) -> None:
    target = replace(SEEN, **now)
    found = "unclear" if revision.unclear(RECORD, observation(), target) else "changed"
    found = "same" if revision.same(RECORD, observation(), target) else found
    assert found == answer, title


OLD, NEW = (("web", "web:1"),), (("web", "web:2"),)


@pytest.mark.parametrize(
    ("title", "primary", "now", "answer"),
    [
        ("no server has a default for an image", "v1-a", {"images": NEW}, "changed"),
        ("the same images, so it may be a default", "v1-a", {"images": OLD}, "unclear"),
        ("the primary runs something else than the record", "v1-0", {"images": NEW}, "unclear"),
        ("nothing is to start while it is paused", "v1-a", {"images": NEW, "paused": True}, "unclear"),
    ],
)
def test_another_image_is_a_change_before_any_controller_looks(
    title: str, primary: str, now: dict[str, Any], answer: str
) -> None:
    seen = replace(observation(), primary=replace(SEEN, name="payment-primary", template=primary, images=OLD))
    target = replace(SEEN, template="v1-b", generation=2010, **now)
    assert not revision.same(RECORD, seen, target)
    assert ("unclear" if revision.unclear(RECORD, seen, target) else "changed") == answer, title


def test_a_changed_config_is_a_change_whatever_the_template_says() -> None:
    seen = replace(observation(), configs=ConfigsSeen(ours={"configmap/x": "2"}))
    assert not revision.same(RECORD, seen, SEEN)
    assert not revision.unclear(RECORD, seen, replace(SEEN, template="v1-b", generation=2010))


def test_a_revision_number_counts_only_when_the_controller_has_seen_the_generation() -> None:
    behind = replace(SEEN, generation=2010)
    assert revision.current(observation(), behind).controller_revision is None
    assert revision.current(observation(), replace(SEEN, paused=True)).controller_revision is None
    assert revision.current(observation(), SEEN).controller_revision == "7"


@pytest.mark.parametrize(
    ("title", "now", "primary", "promoted"),
    [
        ("the recorded template", {}, "v1-a", True),
        ("a default that both show", {"template": "v1-b", "generation": 1, "uid": "other"}, "v1-b", True),
        ("another template than the primary's", {"template": "v1-b", "uid": "other"}, "v1-a", False),
        (
            "A, then B, then A again has a new number and is still A",
            {"generation": 2011, "observed_generation": 2011, "controller_revision": "9"},
            "v1-a",
            True,
        ),
        (
            "the same with a default added meanwhile: the primary tells",
            {"template": "v1-a+", "generation": 2011, "observed_generation": 2011, "controller_revision": "9"},
            "v1-a+",
            True,
        ),
    ],
)
def test_what_counts_as_promoted(title: str, now: dict[str, Any], primary: str, promoted: bool) -> None:
    seen = replace(observation(promoted=RECORD), primary=replace(SEEN, name="payment-primary", template=primary))
    assert revision.promoted(seen, replace(SEEN, **now)) is promoted, title


def test_no_default_of_a_newer_server_starts_a_rollout() -> None:
    world = initialized()
    for workload in (world.target, world.primary):
        assert workload
        workload.default = "+"
    world.touch().run()
    world.scale(3).run()
    assert world.outcomes == []
    assert world.phase.value == "Initialized"


def test_a_scale_and_a_default_before_the_controller_looks_start_nothing_either() -> None:
    world = initialized()
    assert world.target
    assert world.primary
    world.target.asleep = True
    world.target.default = "+"
    world.scale(1).run()
    assert world.status.rollout.reason == "waiting for the cluster to look at the change of payment.shop"
    world.target.asleep = False
    world.touch().run()
    assert world.outcomes == []


def test_a_paused_target_is_rolled_out_when_it_is_resumed() -> None:
    world = initialized()
    assert world.target
    world.target.paused = True
    world.target.generation += 1
    world.push("v2").run()
    assert "is paused: resume it" in world.status.rollout.reason
    assert world.phase.value == "Initialized"
    world.target.paused = False
    world.target.generation += 1
    world.touch().run()
    assert world.outcomes == ["succeeded"]


def test_a_revision_recorded_before_its_controller_saw_it_is_never_taken_for_the_one_before() -> None:
    world = initialized().push("v2")
    assert world.target
    world.run(world.phase.PROMOTING)
    world.run()
    world.target.asleep = True
    world.target.edit("v3")
    world.touch()
    world.advance()
    world.tick()
    world.target.edit("v2")
    world.target.asleep = False
    world.touch().run()
    assert world.primary
    assert world.primary.template == "v2"
    assert world.outcomes == ["succeeded"]


def test_a_new_image_starts_a_rollout_before_the_targets_controller_looks() -> None:
    world = initialized().run()
    assert world.target
    world.target.asleep = True
    world.push("v2")
    world.tick()
    assert (world.phase, world.target.replicas) == (Phase.PROGRESSING, 2)
    assert (world.target.observed_generation, world.target.pods) == (world.target.generation - 2, [])
    assert world.wake_at
    assert world.wake_at > world.now, "its controller tells when there is something to see"
    world.target.asleep = False
    world.touch().run()
    assert world.outcomes == ["succeeded"]
    assert world.primary
    assert world.primary.template == "v2"


@pytest.mark.parametrize("between", ["another edit", "a scale", "another controller"])
def test_a_target_that_may_have_pods_is_not_scaled_up_before_its_controller_looks(between: str) -> None:
    world = initialized().run()
    assert world.target
    world.target.asleep = True
    if between == "a scale":
        world.target.edit(replicas=3)
    world.target.edit("v2", replicas=0)
    if between == "another edit":
        world.target.edit("v3")
    if between == "another controller":
        world.slept = ("", None)
    world.touch().tick()
    assert (world.phase, world.target.replicas) == (Phase.INITIALIZED, 0)
    world.target.asleep = False
    world.touch().run()
    assert world.outcomes == ["succeeded"]
