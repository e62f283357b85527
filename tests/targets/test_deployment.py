from datetime import UTC, datetime
from typing import Any

import pytest

from flaggerpy.kube.resources import DEPLOYMENTS, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.targets.base import PodPort
from flaggerpy.targets.deployment import DeploymentTarget
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.podded import PoddedTarget
from flaggerpy.targets.registry import target_for
from tests.builders import canary
from tests.targets.objects import RECIPE, RULES, deployment, stored, template

TARGET = DeploymentTarget()
FLAGGER_OWNER = {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "web", "uid": "1", "controller": True}


def made(target: dict[str, Any] | None = None) -> dict[str, Any]:
    """Build the primary of ``web`` as the API server serves it."""
    return stored(TARGET.make_primary(canary(), target or deployment(), None, RECIPE), generation=5)


def test_where_a_target_and_its_primary_are() -> None:
    assert target_for(canary()).ref(canary()) == Ref(DEPLOYMENTS, "shop", "web")
    assert target_for(canary()).primary_ref(canary()) == Ref(DEPLOYMENTS, "shop", "web-primary")


def test_a_kind_must_say_how_far_its_objects_are_and_what_it_cannot_serve() -> None:
    class Undescribed(PoddedTarget):
        resource = DEPLOYMENTS
        followed = ()

    with pytest.raises(TypeError, match=r"abstract methods '?check'?, '?describe"):
        Undescribed()  # type: ignore[abstract] # that is the mistake


def test_a_new_primary() -> None:
    target = deployment()
    target["metadata"] |= {
        "labels": {"app.kubernetes.io/part-of": "shop", "own": "x"},
        "annotations": {"app.kubernetes.io/instance": "one", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
    }

    primary = TARGET.make_primary(canary(), target, None, RECIPE)

    assert primary["metadata"] == {
        "name": "web-primary",
        "namespace": "shop",
        "labels": {
            "app.kubernetes.io/part-of": "shop",
            "app": "web-primary",
            "app.kubernetes.io/managed-by": "flaggerpy",
        },
        "annotations": {"app.kubernetes.io/instance": "one", "flaggerpy.dev/canary": "shop/web"},
    }
    spec = primary["spec"]
    assert spec["selector"] == {"matchLabels": {"app": "web-primary"}}
    assert spec["replicas"] == 2
    assert {
        key: spec[key] for key in ("strategy", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    } == {
        key: target["spec"][key]
        for key in ("strategy", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    }
    assert spec["template"]["metadata"]["labels"] == {"app": "web-primary", "tier": "front"}
    assert spec["template"]["metadata"]["annotations"] == {"flagger-id": "promotion-7"}
    [container] = spec["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": "settings-primary"}}]
    assert container["env"][0]["valueFrom"] == {"secretKeyRef": {"name": "key-primary", "key": "k"}}


@pytest.mark.parametrize(("replicas", "expected"), [(0, 1), (None, 1), (3, 3)])
def test_a_new_primary_has_the_targets_replicas_or_one(replicas: int | None, expected: int) -> None:
    assert made(deployment(replicas=replicas))["spec"]["replicas"] == expected


def test_a_promotion_replaces_the_template_whole_and_keeps_what_is_not_ours() -> None:
    live = made()
    live["metadata"]["annotations"] |= {"deployment.kubernetes.io/revision": "4", "app.kubernetes.io/old": "gone"}
    live["metadata"]["ownerReferences"] = [FLAGGER_OWNER]
    live["metadata"]["labels"] |= {"stranger": "s", "app.kubernetes.io/old": "gone"}
    live["spec"] |= {"replicas": 9, "paused": True, "minReadySeconds": 1}
    live["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "STRANGER", "value": "1"})
    new = deployment(pod=template(containers=[{"name": "web", "image": "example/web:2"}]), minReadySeconds=7)

    promoted = TARGET.make_primary(canary(), new, live, RECIPE)

    assert promoted["spec"]["template"]["spec"] == {"containers": [{"name": "web", "image": "example/web:2"}]}
    assert (promoted["spec"]["replicas"], promoted["spec"]["paused"], promoted["spec"]["minReadySeconds"]) == (
        9,
        True,
        7,
    )
    assert promoted["spec"]["selector"] == live["spec"]["selector"]
    assert promoted["metadata"]["resourceVersion"] == "3141", "the write is conditional on what was read"
    assert "ownerReferences" not in promoted["metadata"]
    assert promoted["metadata"]["labels"] == {
        "stranger": "s",
        "app": "web-primary",
        "app.kubernetes.io/managed-by": "flaggerpy",
    }
    assert promoted["metadata"]["annotations"] == {
        "deployment.kubernetes.io/revision": "4",
        "flaggerpy.dev/canary": "shop/web",
    }


def test_a_field_that_the_target_no_longer_sets_leaves_the_primary() -> None:
    target = deployment()
    del target["spec"]["minReadySeconds"]
    assert "minReadySeconds" not in TARGET.make_primary(canary(), target, made(), RECIPE)["spec"]


def test_a_primary_that_runs_the_targets_template_compares_equal_and_another_does_not() -> None:
    one, other = deployment(), deployment(pod=template(hostNetwork=True))

    primary = TARGET.primary_state(canary(), made(one), RECIPE)

    assert primary.template == TARGET.state(one).template
    assert primary.template != TARGET.state(other).template


def test_the_selector_label_of_a_live_primary_is_read_back() -> None:
    target = deployment(selector={"matchLabels": {"app": "web", "name": "frontend"}})
    target["spec"]["template"]["metadata"]["labels"]["name"] = "frontend"
    live = made(target)
    renamed = LabelRules.from_flags("name,app", "")

    facts = TARGET.facts(canary(), target, renamed, live)

    assert (facts.selector_label, facts.selector_value, facts.primary_value) == ("app", "web", "web-primary")
    assert TARGET.facts(canary(), target, renamed, None).selector_label == "name"


@pytest.mark.parametrize(
    ("title", "target", "primary", "sentence"),
    [
        (
            "no selector label",
            deployment(selector={"matchLabels": {"tier": "front"}}),
            None,
            r"selects its pods by tier=front, but by none of app, name, app.kubernetes.io/name.*--selector-labels",
        ),
        ("a value too long for the suffix", deployment("w" * 60), None, "longer than the 63 characters"),
        (
            "a label that changed under a serving primary",
            deployment(selector={"matchLabels": {"app": "other"}}),
            made(),
            r"web-primary selects its pods by app=web-primary, which no longer goes with app=other.*put the labels",
        ),
        (
            "a stranger in the primary's place",
            deployment(),
            deployment("web-primary", selector={"matchLabels": {"app": "web-primary", "x": "y"}}),
            "selects its pods by app=web-primary, x=y",
        ),
    ],
)
def test_labels_that_cannot_be_served(
    title: str, target: dict[str, Any], primary: dict[str, Any] | None, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        TARGET.facts(canary(), target, RULES, primary)
    with pytest.raises(UserError, match=sentence):
        TARGET.make_primary(canary(), target, primary, RECIPE)


def test_two_canaries_cannot_share_a_target() -> None:
    with pytest.raises(UserError, match="web-primary belongs to canary shop/web: let only one of the two"):
        TARGET.make_primary(
            canary("copy", spec={"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}),
            deployment(),
            made(),
            RECIPE,
        )


def test_the_ports_of_target_and_primary_are_those_of_their_own_templates() -> None:
    live = made()
    new = deployment(pod=template(containers=[{"name": "web", "ports": [{"containerPort": 53, "protocol": "UDP"}]}]))

    facts = TARGET.facts(canary(), new, RULES, live)

    assert facts.ports == (PodPort("web", 0, "", 53, "UDP"),)
    assert facts.primary_ports == (PodPort("web", 0, "http", 8080, "TCP"),)


def test_what_a_deployment_says_of_itself() -> None:
    target = deployment(replicas=3, paused=True)
    target["metadata"] |= {
        "annotations": {"deployment.kubernetes.io/revision": "12"},
        "deletionTimestamp": "2026-01-02T03:04:05Z",
    }
    target["status"] = {
        "observedGeneration": 1617,
        "replicas": 5,
        "updatedReplicas": 4,
        "availableReplicas": 2,
        "conditions": [
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
            {
                "type": "Available",
                "status": "False",
                "reason": "MinimumReplicasUnavailable",
                "lastUpdateTime": "2026-01-02T03:04:05Z",
            },
        ],
    }

    state = TARGET.state(target)

    assert (state.name, state.uid, state.generation, state.observed_generation) == ("web", "uid-of-web", 1618, 1617)
    assert (state.controller_revision, state.paused, state.deleting) == ("12", True, True)
    assert (state.replicas, state.current_replicas, state.updated_replicas, state.available_replicas) == (3, 5, 4, 2)
    assert state.deadline_exceeded
    assert state.unavailable_since == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_deployment_without_status_has_no_pods_and_no_trouble() -> None:
    target = deployment()
    del target["spec"]["replicas"]

    state = TARGET.state(target)

    assert (state.replicas, state.current_replicas, state.available_replicas) == (1, 0, 0)
    assert (state.deadline_exceeded, state.unavailable_since, state.controller_revision) == (False, None, None)


def test_an_available_deployment_is_not_unavailable_since_anything() -> None:
    condition = {
        "type": "Available",
        "status": "True",
        "reason": "MinimumReplicasAvailable",
        "lastUpdateTime": "2026-01-02T03:04:05Z",
    }
    assert TARGET.state({**deployment(), "status": {"conditions": [condition]}}).unavailable_since is None
