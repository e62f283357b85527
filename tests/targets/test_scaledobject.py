"""The primary's ScaledObject: its queries and bounds, and whose pause is on the target's."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.api.status import PrimaryScaler
from flaggerpy.kube.resources import SCALED_OBJECTS, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.observation import Bounds, ScalerSeen
from flaggerpy.targets.autoscaler import (
    make_primary_scaler,
    paused_scalers,
    scaler_notes,
    scaler_seen,
    target_scaler_refs,
)
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.scaledobject import pause, paused_at_zero, paused_otherwise, primary_query
from tests.builders import canary, with_rollout
from tests.targets.objects import RULES, JsonObject, scaled_object, stored
from tests.targets.scalers import made, seen

NAMED = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "web"}
PAUSED = "autoscaling.keda.sh/paused"
EVERYTHING = LabelRules(include_prefixes=("*",))


def scaled(**ref: Any) -> Canary:
    return canary(spec={"autoscalerRef": NAMED | ref})


def queries(owner: Canary, target: JsonObject) -> list[str | None]:
    return [trigger["metadata"].get("query") for trigger in made(owner, target)["spec"]["triggers"]]


def test_a_new_one_is_the_targets_but_for_workload_name_queries_and_marks() -> None:
    target = scaled_object(fallback={"failureThreshold": 3, "replicas": 4}, fromTheFuture=[1])
    ours = make_primary_scaler(scaled(), target, None, RULES, 2)
    assert ours["metadata"] == {
        "name": "web-primary",
        "namespace": "shop",
        "labels": {"app.kubernetes.io/managed-by": "flaggerpy"},
        "annotations": {"flaggerpy.dev/canary": "shop/web"},
    }
    wanted = copy.deepcopy(target["spec"])
    wanted["scaleTargetRef"]["name"] = "web-primary"
    wanted["triggers"][0]["metadata"]["query"] = (
        'sum(rate(http_requests_total{app="web-primary",svc="web-primary"}[30s]))'
    )
    assert (ours["apiVersion"], ours["kind"], ours["spec"]) == ("keda.sh/v1alpha1", "ScaledObject", wanted)


def test_what_else_a_reference_to_the_workload_says_is_kept() -> None:
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "envSourceContainerName": "app"}
    assert made(scaled(), scaled_object(scaleTargetRef=ref))["spec"]["scaleTargetRef"] == ref | {"name": "web-primary"}


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ('r{d="web"}', 'r{d="web-primary"}'),
        ('r{d="web-canary"}', 'r{d="web-primary"}'),
        ('r{d="web-primary"}', 'r{d="web-primary"}'),
        ('r{d="web", pod=~"web-canary-.*"}', 'r{d="web-primary", pod=~"web-primary-.*"}'),
        ("r{d='web', c='shop_web-canary_80'}", "r{d='web-primary', c='shop_web-primary_80'}"),
        ('web_requests{d="web"} / myweb / web2', 'web_requests{d="web-primary"} / myweb / web2'),
        ("sum:trace.web.hits{kube_deployment:web}", "sum:trace.web-primary.hits{kube_deployment:web-primary}"),
        ('r{d="a\\"web"} + web', 'r{d="a\\"web-primary"} + web-primary'),
        ("r{d=`web`}", "r{d=`web-primary`}"),
        ('r{d="an open quote of web', 'r{d="an open quote of web-primary'),
        ("up", "up"),
    ],
)
def test_a_query_asks_for_the_primary(query: str, asked: str) -> None:
    assert primary_query(query, "web", "web-primary") == asked
    assert primary_query(asked, "web", "web-primary") == asked, "nothing is doubled"


def test_a_query_of_the_canarys_own_is_taken_as_it_is_and_then_no_other_is_rewritten() -> None:
    target = scaled_object()
    target["spec"]["triggers"].append({"type": "prometheus", "metadata": {"query": "q{app='web'}"}})
    assert queries(scaled(primaryScalerQueries={"reqs": "mine"}), target) == ["mine", None, "q{app='web'}"]
    assert queries(scaled(primaryScalerQueries={}), target)[2] == "q{app='web-primary'}"


def test_what_was_written_is_as_it_should_be() -> None:
    owner, target = scaled(), scaled_object()
    assert seen(owner, target, made(owner, target)) == ScalerSeen(
        "web-primary",
        Bounds(2, 10),
        Bounds(2, 10),
        minimum=2,
        kind="ScaledObject",
        source="web",
        active=2,
        pausable=True,
    )
    floored = seen(owner, target, made(owner, target, 7))
    assert (floored.minimum, floored.drifted) == (7, False), "a floor is the core's business"
    stranger = made(owner, target)
    stranger["spec"]["triggers"] = []
    assert seen(owner, target, stranger).drifted


def test_what_keda_writes_on_its_objects_is_no_drift() -> None:
    owner, target = scaled(), scaled_object()
    target["metadata"]["labels"] = {"scaledobject.keda.sh/name": "web"}
    live = stored(make_primary_scaler(owner, target, None, EVERYTHING, 2))
    assert "scaledobject.keda.sh/name" not in live["metadata"]["labels"]
    live["metadata"] |= {"finalizers": ["finalizer.keda.sh"]}
    live["metadata"]["labels"]["scaledobject.keda.sh/name"] = "web-primary"
    assert not scaler_seen(owner, target, live, EVERYTHING).drifted


def test_a_pause_of_the_target_is_not_the_primarys_and_one_of_the_primary_stays() -> None:
    owner, target = scaled(), scaled_object(pause="0")
    live = stored(make_primary_scaler(owner, target, None, EVERYTHING, 2))
    assert "autoscaling.keda.sh/paused-replicas" not in live["metadata"]["annotations"]
    live["metadata"]["annotations"]["autoscaling.keda.sh/paused-replicas"] = "5"
    assert not scaler_seen(owner, target, live, EVERYTHING).drifted


@pytest.mark.parametrize(
    ("spec", "overrides", "target", "primary", "active"),
    [
        ({}, {}, Bounds(2, 10), Bounds(2, 10), 2),
        ({"minReplicaCount": None, "maxReplicaCount": None}, {}, Bounds(0, 100), Bounds(0, 100), 0),
        ({}, {"minReplicas": 1, "maxReplicas": 7}, Bounds(2, 10), Bounds(1, 7), 1),
        ({"idleReplicaCount": 0}, {}, Bounds(2, 10), Bounds(0, 10), 2),
        ({"idleReplicaCount": 0}, {"minReplicas": 0}, Bounds(2, 10), Bounds(0, 10), 0),
    ],
)
def test_bounds_and_what_is_left_while_nothing_goes_on(
    spec: JsonObject, overrides: JsonObject, target: Bounds, primary: Bounds, active: int
) -> None:
    owner = scaled(primaryScalerReplicas=overrides)
    found = seen(owner, scaled_object(**spec))
    assert (found.target, found.primary, found.active) == (target, primary, active)
    live = made(owner, scaled_object(**spec), found.primary.low)
    again = seen(owner, scaled_object(**spec), live)
    assert (again.minimum, again.drifted) == (primary.low, False)


@pytest.mark.parametrize("pods", range(12))
@pytest.mark.parametrize("idle", [None, 0])
def test_a_floor_holds_at_any_time_and_is_read_back(pods: int, idle: int | None) -> None:
    owner, target = scaled(), scaled_object(idleReplicaCount=idle)
    found = seen(owner, target)
    minimum = found.least(pods)
    spec = made(owner, target, minimum)["spec"]
    assert min(pods, 10) <= spec.get("idleReplicaCount", spec["minReplicaCount"])
    assert 2 <= spec["minReplicaCount"] <= 10
    again = seen(owner, target, made(owner, target, minimum))
    assert (again.minimum, again.drifted) == (minimum, False)


def test_a_value_that_nobody_wrote_is_not_written_for_them() -> None:
    target = scaled_object(minReplicaCount=None, maxReplicaCount=None)
    spec = made(scaled(), target, 0)["spec"]
    assert "minReplicaCount" not in spec
    assert "maxReplicaCount" not in spec


@pytest.mark.parametrize(
    ("advanced", "copied"),
    [
        (
            {"horizontalPodAutoscalerConfig": {"name": "mine"}},
            {"horizontalPodAutoscalerConfig": {"name": "mine-primary"}},
        ),
        ({"horizontalPodAutoscalerConfig": {}}, {"horizontalPodAutoscalerConfig": {}}),
        ({"restoreToOriginalReplicaCount": True}, {"restoreToOriginalReplicaCount": False}),
        ({"scalingModifiers": {"formula": "reqs * 2"}}, {"scalingModifiers": {"formula": "reqs * 2"}}),
    ],
)
def test_advanced_settings_are_copied_but_for_a_name_and_a_danger(advanced: JsonObject, copied: JsonObject) -> None:
    target = scaled_object(advanced=advanced)
    assert made(scaled(), target)["spec"]["advanced"] == copied
    assert target["spec"]["advanced"] == advanced, "the user's is not touched"


@pytest.mark.parametrize(
    ("window", "polling", "seconds"), [(None, None, 300), (30, None, 90), (30, 300, 360), (600, 300, 600)]
)
def test_how_long_it_goes_by_what_pods_did_before(window: int | None, polling: int | None, seconds: int) -> None:
    behavior = {"behavior": {"scaleDown": {"stabilizationWindowSeconds": window}}} if window else {}
    target = scaled_object(advanced={"horizontalPodAutoscalerConfig": behavior}, pollingInterval=polling)
    assert seen(scaled(), target).memory == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("annotations", "ours", "somebodys"),
    [
        ({}, False, False),
        ({f"{PAUSED}-replicas": "0"}, True, False),
        ({f"{PAUSED}-replicas": "3"}, False, True),
        ({PAUSED: "true"}, False, True),
        ({PAUSED: "yes"}, False, True),
        ({PAUSED: "false"}, False, False),
        ({PAUSED: "true", f"{PAUSED}-replicas": "0"}, True, True),
        ({f"{PAUSED}-scale-in": "true"}, False, False),
    ],
)
def test_whose_pause_it_is(annotations: dict[str, str], ours: bool, somebodys: bool) -> None:
    target = scaled_object()
    target["metadata"]["annotations"] = annotations
    assert (paused_at_zero(target), paused_otherwise(target)) == (ours, somebodys)
    assert seen(scaled(), target).pausable is not somebodys
    notes = scaler_notes(scaled(), target)
    assert any("is paused by an annotation that is not flaggerpy's, which stays" in note for note in notes) is somebodys


def test_a_pause_is_one_annotation_and_nothing_else() -> None:
    assert pause(on=True) == {"metadata": {"annotations": {f"{PAUSED}-replicas": "0"}}}
    assert pause(on=False) == {"metadata": {"annotations": {f"{PAUSED}-replicas": None}}}


def test_a_former_one_that_is_still_paused_is_known() -> None:
    record = PrimaryScaler(name="old-primary", kind="ScaledObject", source="old")
    owner = with_rollout(scaled(), scaler=record)
    refs = [Ref(SCALED_OBJECTS, "shop", "web"), Ref(SCALED_OBJECTS, "shop", "old")]
    assert target_scaler_refs(owner) == refs
    live = {refs[0]: scaled_object(), refs[1]: scaled_object("old", pause="0")}
    assert paused_scalers(owner, live) == ("old",)
    assert paused_scalers(with_rollout(canary(), scaler=record), live) == ("old",)


@pytest.mark.parametrize(
    ("owner", "target", "words"),
    [
        (scaled(), None, "ScaledObject web does not exist in namespace shop"),
        (scaled(apiVersion="autoscaling/v2"), scaled_object(), "autoscaling/v2, which has no ScaledObject: write keda"),
        (scaled(), scaled_object(scales="web-primary"), "scales web-primary: let it scale web;"),
        (scaled(primaryScalerReplicas={"minReplicas": 11}), scaled_object(), "the primary would have 11 at least"),
    ],
)
def test_what_cannot_be_served_is_told(owner: Canary, target: JsonObject | None, words: str) -> None:
    with pytest.raises(UserError, match=words):
        seen(owner, target)


@pytest.mark.parametrize(
    ("owner", "target", "words"),
    [
        (scaled(primaryScalerQueries={"typo": "q"}), scaled_object(), "has no trigger named typo"),
        (scaled(), scaled_object(scales="worker"), "does not scale web"),
        (scaled(), scaled_object(minReplicaCount=0), "may scale to zero"),
        (scaled(), scaled_object(minReplicaCount=None), "may scale to zero"),
        (scaled(), scaled_object(idleReplicaCount=0), "may scale to zero"),
    ],
)
def test_what_was_probably_meant_differently_is_remarked_on(owner: Canary, target: JsonObject, words: str) -> None:
    (note,) = scaler_notes(owner, target)
    assert words in note
    assert scaler_notes(scaled(), scaled_object()) == ()
