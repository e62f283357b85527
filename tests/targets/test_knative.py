"""Knative services as targets: one annotation says which of their revisions is the primary."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.api.status import CanaryStatus, Revision, RolloutStatus
from flaggerpy.controller.served import choose_target
from flaggerpy.kube.resources import KNATIVE_SERVICES, Ref
from flaggerpy.rollout.decision import ServiceRole
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.observation import ServicesSeen
from flaggerpy.rollout.workload import Workload
from flaggerpy.targets.base import target_state
from flaggerpy.targets.budgets import BudgetChanges, budget_changes
from flaggerpy.targets.claims import claim_of
from flaggerpy.targets.knative import KnativeTarget
from flaggerpy.targets.registry import target_for
from flaggerpy.targets.services import desired_service
from tests.builders import canary, same_but
from tests.targets.objects import RECIPE, RULES

JsonObject = dict[str, Any]

TARGET = KnativeTarget()
NAMED = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "web"}
CANARY = canary(spec={"targetRef": NAMED, "provider": "knative", "service": None})
PRIMARY = "flagger.app/primary-revision"
FAILED = 'Revision "web-00002" failed with message: no such image.'


def service(
    image: str = "web:1", *, newest: str = "web-00001", ready: str = "web-00001", noted: str = "", **status: Any
) -> JsonObject:
    """Build a service as Knative left it; ``status`` adds to its status."""
    template = {"spec": {"containers": [{"image": image}]}}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "uid": "uid-of-web",
            "generation": 7,
            "resourceVersion": "12",
            "annotations": {"team": "a", **({PRIMARY: noted} if noted else {})},
        },
        "spec": {"template": template},
        "status": {
            "observedGeneration": 7,
            "latestCreatedRevisionName": newest,
            "latestReadyRevisionName": ready,
            **status,
        },
    }


def condition(kind: str, status: str, reason: str = "", message: str = "") -> JsonObject:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-27T10:00:00Z",
    }


def known(**revisions: Revision) -> Canary:
    """Build a canary that has these on record."""
    return same_but(CANARY, status=CanaryStatus(rollout=RolloutStatus(**revisions)))


def primary(obj: JsonObject, owner: Canary = CANARY) -> Workload:
    state = TARGET.primary_state(owner, obj, RECIPE)
    assert state is not None
    return state


def test_target_and_primary_are_one_object() -> None:
    target, problems = choose_target(CANARY)
    assert target is target_for(CANARY)
    assert problems == ()
    assert target.ref(CANARY) == target.primary_ref(CANARY) == Ref(KNATIVE_SERVICES, "shop", "web")


def test_the_newest_revision_is_ready_when_knative_says_so() -> None:
    state = TARGET.state(service())
    assert (state.replicas, state.available_replicas, state.controller_revision) == (1, 1, "web-00001")
    assert state.observed_generation == state.generation == 7
    assert state.unavailable_since is None
    assert not state.sleeps


def test_one_that_is_not_ready_says_since_when_and_why() -> None:
    """Flagger waits for it for ever (W-98)."""
    failed = [condition("ConfigurationsReady", "False", "RevisionFailed", FAILED)]

    state = TARGET.state(service(newest="web-00002", conditions=failed))

    assert state.available_replicas == 0
    assert state.unavailable_since == datetime(2026, 11, 27, 10, tzinfo=UTC)
    assert state.unready == FAILED


@pytest.mark.parametrize(
    "status",
    [
        {"observedGeneration": 6},
        {"conditions": [condition("ConfigurationsReady", "Unknown", "OutOfDate")]},
    ],
)
def test_a_template_that_knative_has_not_looked_at_has_no_revision_yet(status: JsonObject) -> None:
    state = TARGET.state(service("web:2", **status))
    assert state.observed_generation == state.generation - 1
    assert not state.has_revision


def test_a_service_without_any_revision_has_no_primary_yet() -> None:
    bare = service(newest="", ready="")
    assert not TARGET.state(bare).has_revision
    assert TARGET.state(bare).available_replicas == 0
    assert TARGET.primary_state(CANARY, bare, RECIPE) is None
    assert TARGET.primary_state(CANARY, {"metadata": {"name": "web"}}, RECIPE) is None


def test_promoting_notes_the_newest_revision_and_changes_nothing_else() -> None:
    target = service("web:2", newest="web-00002", ready="web-00002", noted="web-00001")
    before = copy.deepcopy(target)

    made = TARGET.make_primary(CANARY, target, target, RECIPE)

    assert target == before
    annotations = made["metadata"].pop("annotations")
    before["metadata"].pop("annotations")
    assert made == before
    assert annotations == {
        "team": "a",
        PRIMARY: "web-00002",
        "flaggerpy.dev/primary-template": f"web-00002 {TARGET.state(target).template}",
        "flaggerpy.dev/canary": "shop/web",
    }


def test_what_is_promoted_is_the_revision_that_was_analysed() -> None:
    """Another one of the same template may be newer: somebody put it back before anybody looked."""
    target = service("web:2", newest="web-00004", noted="web-00001")
    analysed = Revision(template=TARGET.state(target).template, controller_revision="web-00002")

    made = TARGET.make_primary(known(applied=analysed), target, target, RECIPE)

    assert made["metadata"]["annotations"][PRIMARY] == "web-00002"


def test_a_service_that_was_made_anew_begins_with_its_own_revisions() -> None:
    """Its names are those of the one before, from the start."""
    target = service("web:2", newest="web-00001", ready="web-00001")
    before = Revision(template=TARGET.state(target).template, controller_revision="web-00007", uid="of-the-one-before")
    owner = known(applied=before, promoted=before)

    assert TARGET.primary_state(owner, target, RECIPE) is None
    made = TARGET.make_primary(owner, target, None, RECIPE)

    assert made["metadata"]["annotations"][PRIMARY] == "web-00001"


def test_the_primary_runs_what_the_target_asks_for_once_it_is_promoted() -> None:
    target = service()
    stored = TARGET.make_primary(CANARY, target, None, RECIPE)
    assert primary(stored).name == "web-00001"
    assert primary(stored).template == TARGET.state(stored).template

    stored["spec"] = service("web:2")["spec"]
    stored["metadata"]["generation"] = 8
    assert primary(stored).template == TARGET.state(target).template, "an edit of the target is none of the primary"
    stored["status"] |= {"observedGeneration": 8, "latestCreatedRevisionName": "web-00002"}
    assert primary(stored).template == TARGET.state(target).template
    assert primary(stored).available_replicas == 1


def test_of_a_revision_that_flagger_promoted_only_the_name_is_known() -> None:
    target = service("web:2", newest="web-00002", noted="web-00001")
    assert primary(target).template == "web-00001"
    assert primary(target, known(promoted=Revision(template="v1", controller_revision="web-00001"))).template == "v1"


def test_a_service_that_lost_its_annotation_has_its_primary_on_record() -> None:
    """Flagger crashes (W-98)."""
    lost = service("web:2", newest="web-00002")
    found = primary(lost, known(promoted=Revision(template="v1", controller_revision="web-00001")))
    assert (found.name, found.template) == ("web-00001", "v1")


@pytest.mark.parametrize(
    ("said", "available"),
    [
        (condition("RoutesReady", "True"), 1),
        (
            condition(
                "RoutesReady", "False", "RevisionMissing", 'Revision "web-00009" referenced in traffic not found'
            ),
            1,
        ),
        (
            condition(
                "RoutesReady", "False", "RevisionMissing", 'Revision "web-00001" referenced in traffic not found'
            ),
            0,
        ),
    ],
)
def test_an_old_revision_serves_until_the_route_says_otherwise(said: JsonObject, available: int) -> None:
    target = service("web:2", newest="web-00002", noted="web-00001", conditions=[said])
    assert primary(target).available_replicas == available
    assert bool(primary(target).unready) is not bool(available)


def test_a_primary_that_is_the_newest_revision_is_as_ready_as_that() -> None:
    assert primary(service(newest="web-00002", noted="web-00002")).available_replicas == 0
    assert primary(service(newest="web-00002", ready="web-00002", noted="web-00002")).available_replicas == 1


def test_it_needs_no_services_no_labels_and_no_budgets() -> None:
    target = service()
    facts = TARGET.facts(CANARY, target, RULES, None)
    assert all(desired_service(CANARY, role, facts, None) is None for role in ServiceRole)
    assert claim_of(CANARY, target, facts) is None
    target["spec"]["template"]["metadata"] = {"labels": {"app": "web"}}
    budget = {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}}}
    assert budget_changes(CANARY, target, facts, [budget], RULES) == BudgetChanges()
    assert TARGET.size_patch(target, 3) == []


def test_a_step_of_the_shares_leaves_a_revision_as_ready_as_it_was() -> None:
    """Each one moves the generation, and Knative takes a moment to look at it."""
    target = service("web:2", newest="web-00002", ready="web-00002", observedGeneration=6)
    same = Revision(template=TARGET.state(target).template, controller_revision="web-00002")
    for owner, looked_at in (
        (known(applied=same), True),
        (known(promoted=same), True),
        (known(applied=same_but(same, template="v1")), False),
        (known(applied=same_but(same, controller_revision="web-00001")), False),
        (CANARY, False),
    ):
        seen = target_state(TARGET, target, TARGET.facts(owner, target, RULES, None), ServicesSeen())
        assert seen
        assert (seen.observed_generation == seen.generation) is looked_at


def test_two_canaries_do_not_share_a_service() -> None:
    taken = TARGET.make_primary(canary("other", spec={"targetRef": NAMED}), service(), None, RECIPE)
    with pytest.raises(UserError, match="Service web belongs to canary shop/other"):
        TARGET.facts(CANARY, taken, RULES, None)


def test_other_words_for_the_same_template_are_the_same_revision() -> None:
    """Flagger writes ``name: ""`` into templates, of which Knative makes no revision."""
    target = service(noted="web-00001")
    target["spec"]["template"]["spec"]["containers"][0] |= {"name": "", "resources": {}}
    assert primary(target).template == TARGET.state(target).template
