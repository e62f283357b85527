"""What we make for recorded inputs is what Flagger made, but for the differences listed here on purpose."""

from __future__ import annotations

from typing import Any

import pytest

from flaggerpy.api.canary import Canary, parse_canary
from flaggerpy.rollout.decision import ServiceRole
from flaggerpy.targets.autoscaler import make_primary_scaler, scaler_seen
from flaggerpy.targets.base import Recipe, TargetFacts
from flaggerpy.targets.configs import config_refs, make_copy
from flaggerpy.targets.registry import target_for
from flaggerpy.targets.services import desired_service, released_service, service_ref
from tests.targets.objects import RULES, JsonObject, recorded, recorded_autoscalers

pytestmark = pytest.mark.parity

DIFFERENCES = {
    "ownerReferences": "none on what carries traffic; a label and an annotation say whose an object is",
    "app.kubernetes.io/managed-by": "flaggerpy, on everything that we made; Flagger copies the target's by prefix",
    "flaggerpy.dev/canary": "the owner, in the place of the ownerReference",
    "flaggerpy.dev/metadata": "which keys came from spec.service, so that strangers' keys can stay",
    "flaggerpy.dev/original-service": "the way back for a Service that was taken over",
    "flagger-id": "random; only its presence is compared",
    "deployment.kubernetes.io/revision": "written by the Deployment controller, never by us (W-31)",
    "other/annotation": "a new primary gets the annotations that it will have after a promotion (W-31)",
    "other ports of a Service": "stay when it is taken over (W-34)",
    "protocol of a discovered port": "is the container's (W-42)",
    "binaryData": "is copied (W-30)",
    "affinity": "where a term selects the target's pods, the primary's selects the primary's (W-33): see OWN_TERMS",
    "deprecated.daemonset.template.generation": "written by the API server, never by us",
    "generation": "counted by the API server",
    "an": "annotations follow by --include-label-prefix, as labels do; Flagger copies all of a ScaledObject once",
    "kubectl.kubernetes.io/last-applied-configuration": "kubectl's record of one object is not another's",
    "autoscaling.keda.sh/paused-replicas": "the target's pause is not the primary's (W-133)",
    "horizontalPodAutoscalerConfig": "stays out of the primary's ScaledObject where the target's has none",
    "restoreToOriginalReplicaCount": "false on the primary's: KEDA would shrink it under its users when it is deleted",
    "x": "a label that Flagger copies from an autoscaler whatever --include-label-prefix says; Argo CD would prune it",
}

SCENARIOS = [
    "kubernetes-bluegreen",
    "selector-value-differs",
    "toolkit-labels",
    "headless",
    "port-discovery-default",
    "port-discovery-sidecars",
    "service-metadata",
    "config-change",
    "config-tracking-opt-out",
    "daemonset",
]
OWN_TERMS = {"selector-value-differs", "daemonset"}
"""Scenarios in which Flagger leaves terms about the target's own pods as they are in the primary."""
ADDED_BY_THE_SERVER = {
    "clusterIP",
    "clusterIPs",
    "sessionAffinity",
    "ipFamilies",
    "ipFamilyPolicy",
    "internalTrafficPolicy",
}


def without_differences(obj: JsonObject) -> JsonObject:
    """Drop what differs on purpose, and what only the API server writes."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in DIFFERENCES}
    for field in ("labels", "annotations"):
        kept = {key: value for key, value in (metadata.pop(field, None) or {}).items() if key not in DIFFERENCES}
        if kept:
            metadata[field] = kept
    return {**{key: value for key, value in obj.items() if key not in DIFFERENCES}, "metadata": metadata}


def read(scenario: str) -> tuple[Any, Canary, Recipe]:
    data = recorded(scenario)
    canary = parse_canary(data["canary"])
    return data, canary, Recipe(RULES, tuple(data["canary"]["status"]["trackedConfigs"]), "promotion-7")


def comparable(primary: JsonObject, scenario: str) -> JsonObject:
    if scenario in OWN_TERMS:
        spec = primary["spec"]["template"]["spec"]
        terms = [spec.pop(field, None) for field in ("affinity", "topologySpreadConstraints")]
        assert any(terms)
    annotations = primary["spec"]["template"]["metadata"]["annotations"]
    assert annotations.pop("flagger-id")
    return without_differences(primary)


@pytest.mark.parametrize("scenario", [*SCENARIOS, "existing-service-taken-over"])
def test_a_new_primary(scenario: str) -> None:
    data, canary, recipe = read(scenario)

    ours = target_for(canary).make_primary(canary, data["target"]["first"], None, recipe)

    assert comparable(ours, scenario) == comparable(data["primary"]["first"], scenario)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_promoted_primary(scenario: str) -> None:
    data, canary, recipe = read(scenario)
    before = target_for(canary).make_primary(canary, data["target"]["first"], None, recipe)

    ours = target_for(canary).make_primary(canary, data["target"]["last"], before, recipe)

    assert comparable(ours, scenario) == comparable(data["primary"]["last"], scenario)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_primary_that_flagger_promoted_runs_the_targets_template(scenario: str) -> None:
    data, canary, recipe = read(scenario)
    for obj in data["target"], data["primary"]:
        obj["last"].pop("status", None)

    primary = target_for(canary).primary_state(canary, data["primary"]["last"], recipe)

    assert primary is not None
    assert primary.template == target_for(canary).state(data["target"]["last"]).template


def served(service: JsonObject) -> JsonObject:
    """Drop what the API server adds, and order ports by number: Flagger's order is random."""
    plain = without_differences(service)
    spec = {key: value for key, value in plain["spec"].items() if key not in ADDED_BY_THE_SERVER}
    spec["headless"] = plain["spec"].get("clusterIP") == "None"
    return {**plain, "spec": {**spec, "ports": sorted(spec["ports"], key=lambda port: str(port["port"]))}}


def facts_of(data: Any, canary: Canary) -> TargetFacts:
    return target_for(canary).facts(canary, data["target"]["last"], RULES, data["primary"]["last"])


@pytest.mark.parametrize("role", list(ServiceRole), ids=lambda role: role.value)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_service(scenario: str, role: ServiceRole) -> None:
    data, canary, _ = read(scenario)
    name = service_ref(canary, role).name
    theirs = next(service for service in data["services"] if service["metadata"]["name"] == name)
    for field in ("labels", "annotations"):
        # Someone else wrote these; unmanagedMetadata kept them.
        theirs["metadata"][field] = {k: v for k, v in theirs["metadata"][field].items() if not k.startswith("unm-")}

    for port in theirs["spec"]["ports"]:
        if port["name"] == "tcp-side-2":
            port |= {"name": "udp-side-2", "protocol": "UDP"}

    ours = desired_service(canary, role, facts_of(data, canary), None)

    assert ours is not None
    assert served(ours) == served(theirs)


@pytest.mark.parametrize("role", list(ServiceRole), ids=lambda role: role.value)
@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "port-discovery-sidecars"])
def test_taking_over_from_flagger_changes_only_marks(scenario: str, role: ServiceRole) -> None:
    data, canary, _ = read(scenario)
    name = service_ref(canary, role).name
    theirs = next(service for service in data["services"] if service["metadata"]["name"] == name)

    ours = desired_service(canary, role, facts_of(data, canary), theirs)

    assert ours is not None
    assert ours["spec"] == theirs["spec"]
    assert without_differences(ours) == without_differences(theirs)


def test_a_service_that_was_there_before_is_taken_over_and_given_back() -> None:
    data, canary, _ = read("existing-service-taken-over")
    theirs = next(service for service in data["services"] if service["metadata"]["name"] == "podinfo-svc")

    ours = desired_service(canary, ServiceRole.APEX, facts_of(data, canary), data["found"])

    assert ours is not None
    assert without_differences(ours)["metadata"] == without_differences(theirs)["metadata"]
    assert ours["spec"]["selector"] == theirs["spec"]["selector"]
    assert ours["spec"]["ports"][:1] == theirs["spec"]["ports"]
    assert [port["port"] for port in ours["spec"]["ports"][1:]] == [9898, 9999]
    released = released_service(canary, ours)
    assert released is not None
    assert without_differences(released) == without_differences(data["found"])


@pytest.mark.parametrize("scenario", ["config-change", "config-tracking-opt-out", "existing-service-taken-over"])
def test_copies_of_configs(scenario: str) -> None:
    data, canary, recipe = read(scenario)
    configs = {(config["kind"], config["metadata"]["name"]): config for config in data["configs"]}
    tracked = [ref for ref in config_refs(data["target"]["last"]["spec"]["template"]) if ref.key in recipe.tracked]
    assert tracked

    for ref in tracked:
        theirs = configs[ref.resource.kind, f"{ref.name}-primary"]
        source = configs[ref.resource.kind, ref.name]
        assert without_differences(make_copy(canary, source, None, RULES)) == without_differences(theirs)
        assert make_copy(canary, source, theirs, RULES).get("binaryData") == source.get("binaryData")


@pytest.mark.parametrize("scenario", ["hpa", "hpa-primary-replicas"])
def test_the_autoscaler_of_a_primary(scenario: str) -> None:
    data = recorded_autoscalers(scenario)
    canary = parse_canary(data["canary"])
    minimum = scaler_seen(canary, data["target"], None, RULES).primary.low

    ours = make_primary_scaler(canary, data["target"], None, RULES, minimum)

    assert without_differences(ours) == without_differences(data["primary"])


@pytest.mark.parametrize("scenario", ["hpa", "hpa-primary-replicas"])
def test_taking_an_autoscaler_over_from_flagger_changes_only_marks(scenario: str) -> None:
    data = recorded_autoscalers(scenario)
    canary = parse_canary(data["canary"])

    seen = scaler_seen(canary, data["target"], data["primary"], RULES)
    ours = make_primary_scaler(canary, data["target"], data["primary"], RULES, seen.primary.low)

    assert (seen.minimum, seen.drifted) == (seen.primary.low, True)
    assert ours["spec"] == data["primary"]["spec"]
    assert without_differences(ours) == without_differences(data["primary"])
    assert "ownerReferences" not in ours["metadata"]


def scaling(scaled_object: JsonObject) -> JsonObject:
    """Drop what differs on purpose from a ScaledObject."""
    left = without_differences(scaled_object)
    advanced = dict(left["spec"].get("advanced") or {})
    if not advanced.get("horizontalPodAutoscalerConfig"):
        advanced.pop("horizontalPodAutoscalerConfig", None)
    advanced.pop("restoreToOriginalReplicaCount", None)
    spec = {key: value for key, value in left["spec"].items() if key != "advanced"}
    return {**left, "spec": spec | ({"advanced": advanced} if advanced else {})}


@pytest.mark.parametrize("flagger_made", [False, True])
@pytest.mark.parametrize("scenario", ["keda", "keda-primary-queries"])
def test_the_scaled_object_of_a_primary(scenario: str, flagger_made: bool) -> None:
    data = recorded_autoscalers(scenario)
    canary = parse_canary(data["canary"])
    live = data["primary"] if flagger_made else None
    seen = scaler_seen(canary, data["target"], live, RULES)

    ours = make_primary_scaler(canary, data["target"], live, RULES, seen.primary.low)

    assert scaling(ours) == scaling(data["primary"])
    assert "ownerReferences" not in ours["metadata"]


def test_a_primary_is_not_paused_with_its_target_and_a_metric_keeps_its_name() -> None:
    data = recorded_autoscalers("keda-primary-recreated")
    canary = parse_canary(data["canary"])
    (trigger,) = data["primary"]["spec"]["triggers"]
    assert data["primary"]["metadata"]["annotations"]["autoscaling.keda.sh/paused-replicas"] == "0"

    ours = make_primary_scaler(canary, data["target"], data["primary"], RULES, 0)

    assert "autoscaling.keda.sh/paused-replicas" not in ours["metadata"]["annotations"]
    # Flagger asks for podinfo-primary_requests, which no Prometheus can read.
    (ours_trigger,) = ours["spec"]["triggers"]
    assert ours_trigger["metadata"].pop("query") == "sum(rate(podinfo_requests[30s]))"
    assert trigger["metadata"].pop("query") == "sum(rate(podinfo-primary_requests[30s]))"
    assert scaling(ours) == scaling(data["primary"])
