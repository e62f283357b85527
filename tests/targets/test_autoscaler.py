"""The primary's HorizontalPodAutoscaler: what it takes from the target's, and what its user is told."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.api.status import PrimaryScaler
from flaggerpy.kube.resources import HPAS, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.observation import Bounds, ScalerSeen
from flaggerpy.targets.autoscaler import (
    made_scaler_refs,
    make_primary_scaler,
    primary_scaler_ref,
    scaler_notes,
    scaler_ref,
)
from tests.builders import canary, with_rollout
from tests.targets.objects import RULES, JsonObject, autoscaler
from tests.targets.scalers import made, seen

NAMED = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "web"}
FLAGGER_OWNER = {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "web", "uid": "1", "controller": True}


def scaled(**ref: Any) -> Canary:
    return canary(spec={"autoscalerRef": NAMED | ref})


def test_a_new_one_is_the_targets_but_for_name_and_marks() -> None:
    assert make_primary_scaler(scaled(), autoscaler(), None, RULES, 2) == {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": "web-primary",
            "namespace": "shop",
            "labels": {"app.kubernetes.io/managed-by": "flaggerpy"},
            "annotations": {"flaggerpy.dev/canary": "shop/web"},
        },
        "spec": autoscaler()["spec"]
        | {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web-primary"}},
    }


def test_where_they_are() -> None:
    owner = scaled(name="web-hpa")
    assert scaler_ref(owner) == Ref(HPAS, "shop", "web-hpa")
    assert primary_scaler_ref(owner) == Ref(HPAS, "shop", "web-hpa-primary")
    renamed = with_rollout(owner, scaler=PrimaryScaler(name="old-primary"))
    assert made_scaler_refs(renamed) == [Ref(HPAS, "shop", "web-hpa-primary"), Ref(HPAS, "shop", "old-primary")]


def test_a_canary_that_names_none_has_none() -> None:
    owner = canary(spec={})
    assert (scaler_ref(owner), primary_scaler_ref(owner), made_scaler_refs(owner)) == (None, None, [])


def test_metrics_behavior_and_what_nobody_here_knows_are_copied() -> None:
    odd = autoscaler(behavior={"scaleDown": {"stabilizationWindowSeconds": 7, "tolerance": "0.05"}}, fromTheFuture=[1])
    spec = made(scaled(), odd)["spec"]
    assert {key: spec[key] for key in ("metrics", "behavior", "fromTheFuture")} == {
        key: odd["spec"][key] for key in ("metrics", "behavior", "fromTheFuture")
    }


def test_what_was_written_is_as_it_should_be() -> None:
    owner, target = scaled(), autoscaler()
    found = seen(owner, target, made(owner, target))
    assert found == ScalerSeen("web-primary", Bounds(2, 10), Bounds(2, 10), minimum=2, source="web", active=2)
    assert seen(owner, target).minimum is None
    floored = seen(owner, target, made(owner, target, 7))
    assert (floored.minimum, floored.drifted) == (7, False), "a floor is the core's business"


@pytest.mark.parametrize(
    "change",
    [
        {"maxReplicas": 11},
        {"metrics": []},
        {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 9}}},
    ],
)
def test_an_edit_on_either_side_is_noticed_and_written(change: JsonObject) -> None:
    owner, target = scaled(), autoscaler()
    live = made(owner, target)
    assert seen(owner, autoscaler(**change), live).drifted
    stranger = copy.deepcopy(live)
    stranger["spec"] |= change
    assert seen(owner, target, stranger).drifted
    assert make_primary_scaler(owner, target, stranger, RULES, 2)["spec"] == live["spec"]


@pytest.mark.parametrize(
    ("overrides", "bounds"),
    [
        ({}, Bounds(2, 10)),
        ({"minReplicas": 4}, Bounds(4, 10)),
        ({"maxReplicas": 30}, Bounds(2, 30)),
        ({"minReplicas": 4, "maxReplicas": 5}, Bounds(4, 5)),
    ],
)
def test_bounds_of_the_canary_are_the_primarys_and_not_the_targets(overrides: JsonObject, bounds: Bounds) -> None:
    owner = scaled(primaryScalerReplicas=overrides)
    found = seen(owner, autoscaler())
    assert (found.target, found.primary) == (Bounds(2, 10), bounds)
    spec = made(owner, autoscaler(), found.primary.low)["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (bounds.low, bounds.high)


@pytest.mark.parametrize(
    ("behavior", "seconds"),
    [
        (None, 300),
        ({"scaleUp": {}}, 300),
        ({"scaleDown": {"selectPolicy": "Max"}}, 300),
        ({"scaleDown": {"stabilizationWindowSeconds": 1800}}, 1800),
        ({"scaleDown": {"stabilizationWindowSeconds": 0}}, 60),
    ],
)
def test_how_long_it_goes_by_what_pods_did_before(behavior: JsonObject | None, seconds: int) -> None:
    assert seen(scaled(), autoscaler(behavior=behavior)).memory == timedelta(seconds=seconds)


def test_a_minimum_that_nobody_wrote_is_one() -> None:
    assert seen(scaled(), autoscaler(minReplicas=None)).target == Bounds(1, 10)


def test_w36_labels_and_annotations_follow_by_the_operators_prefixes_and_leave_again() -> None:
    owner, target = scaled(), autoscaler()
    target["metadata"] |= {
        "labels": {"app.kubernetes.io/part-of": "shop", "own": "x", "kustomize.toolkit.fluxcd.io/name": "f"},
        "annotations": {"app.kubernetes.io/note": "n", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
    }
    live = made(owner, target)
    assert live["metadata"]["labels"] == {
        "app.kubernetes.io/part-of": "shop",
        "app.kubernetes.io/managed-by": "flaggerpy",
    }
    assert live["metadata"]["annotations"] == {"app.kubernetes.io/note": "n", "flaggerpy.dev/canary": "shop/web"}
    live["metadata"]["labels"]["strangers"] = "s"
    assert not seen(owner, target, live).drifted, "what others add stays"
    target["metadata"]["labels"].pop("app.kubernetes.io/part-of")
    assert seen(owner, target, live).drifted
    mended = make_primary_scaler(owner, target, live, RULES, 2)["metadata"]["labels"]
    assert mended == {"app.kubernetes.io/managed-by": "flaggerpy", "strangers": "s"}


def test_what_flagger_made_loses_its_owner_and_the_labels_that_it_copied() -> None:
    owner, target = scaled(), autoscaler()
    live = made(owner, target)
    labels = {"argocd.argoproj.io/instance": "shop"}
    live["metadata"] |= {"ownerReferences": [FLAGGER_OWNER], "labels": labels, "annotations": {}}
    assert seen(owner, target, live).drifted
    metadata = make_primary_scaler(owner, target, live, RULES, 2)["metadata"]
    assert (metadata["labels"], "ownerReferences" in metadata) == ({"app.kubernetes.io/managed-by": "flaggerpy"}, False)
    assert metadata["resourceVersion"] == live["metadata"]["resourceVersion"], "written under a condition"


@pytest.mark.parametrize(
    ("owner", "target", "live", "words"),
    [
        (scaled(), None, None, "HorizontalPodAutoscaler web does not exist in namespace shop"),
        (canary(), None, None, "spec.autoscalerRef is missing"),
        (scaled(apiVersion="apps/v1"), autoscaler(), None, "spec.autoscalerRef.apiVersion is apps/v1"),
        (scaled(), autoscaler(scales="web-primary"), None, "scales web-primary: let it scale web;"),
        (
            scaled(primaryScalerReplicas={"minReplicas": 11}),
            autoscaler(),
            None,
            "the primary would have 11 at least and 10 at most",
        ),
        (scaled(), autoscaler(), autoscaler("web-primary", "web-primary"), "web-primary was not made for a canary"),
        (
            scaled(),
            autoscaler(),
            made(canary("other", spec={"autoscalerRef": NAMED}), autoscaler()),
            "belongs to canary shop/other",
        ),
    ],
)
def test_what_cannot_be_served_is_told(
    owner: Canary, target: JsonObject | None, live: JsonObject | None, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        seen(owner, target, live)


@pytest.mark.parametrize("version", ["autoscaling/v1", "autoscaling/v2beta2", "autoscaling/v2"])
def test_every_version_means_the_same_object(version: str) -> None:
    assert seen(scaled(apiVersion=version), autoscaler()).name == "web-primary"


def test_an_autoscaler_of_something_else_is_remarked_on_and_served() -> None:
    (note,) = scaler_notes(scaled(), autoscaler(scales="worker"))
    assert "does not scale web" in note
    assert seen(scaled(), autoscaler(scales="worker")).name == "web-primary"
    assert scaler_notes(scaled(), autoscaler()) == ()
    assert scaler_notes(scaled(), None) == ()
