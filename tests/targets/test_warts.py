"""What Flagger gets wrong about targets and their Services, one test a wart that no other test is named after."""

from __future__ import annotations

from typing import Any

import pytest

from flaggerpy.rollout.decision import ServiceRole
from flaggerpy.targets.base import PodPort, Recipe, TargetFacts
from flaggerpy.targets.configs import checksum, config_refs, configs_seen, digest, make_copy
from flaggerpy.targets.deployment import DeploymentTarget
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.ports import wanted_ports
from flaggerpy.targets.services import desired_service, service_notes
from tests.builders import canary
from tests.targets.objects import RECIPE, RULES, config_map, deployment, stored, template, user_service

FACTS = TargetFacts("app", "web", "web-primary")
APEX = ServiceRole.APEX


def written(live: dict[str, Any] | None = None, **service: Any) -> dict[str, Any]:
    """Return the apex Service as the API server serves it after it was put right."""
    body = desired_service(canary(service=service), APEX, FACTS, live)
    served = live if body is None else body if live is not None else stored(body)
    assert served is not None
    return {**served, "spec": {"clusterIP": "10.0.0.1", **served["spec"]}}


@pytest.mark.parametrize("prefixes", ["", "app.kubernetes.io", "*"])
def test_w31_a_primary_has_the_same_annotations_after_its_creation_and_after_a_promotion(prefixes: str) -> None:
    recipe = Recipe(LabelRules.from_flags("app", prefixes), RECIPE.tracked, "promotion-1")
    target = deployment()
    target["metadata"]["annotations"] = {
        "deployment.kubernetes.io/revision": "3",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "app.kubernetes.io/instance": "one",
        "own": "x",
    }

    first = DeploymentTarget().make_primary(canary(), target, None, recipe)
    promoted = DeploymentTarget().make_primary(canary(), target, stored(first), recipe)

    assert promoted["metadata"]["annotations"] == first["metadata"]["annotations"]
    assert not first["metadata"]["annotations"].keys() & {
        "deployment.kubernetes.io/revision",
        "kubectl.kubernetes.io/last-applied-configuration",
    }


def test_w34_traffic_distribution_follows_the_canary_after_the_creation() -> None:
    live = written()
    assert "trafficDistribution" not in live["spec"]

    live = written(live, trafficDistribution="PreferSameZone")
    assert live["spec"]["trafficDistribution"] == "PreferSameZone"

    assert "trafficDistribution" not in written(live)["spec"]


def test_w34_traffic_distribution_of_a_service_that_was_there_before_is_its_users() -> None:
    theirs = user_service()
    theirs["spec"]["trafficDistribution"] = "PreferClose"
    assert written(theirs)["spec"]["trafficDistribution"] == "PreferClose"


def test_w34_a_service_that_is_taken_over_keeps_its_other_ports() -> None:
    taken = written(user_service(), targetPort=8080)
    assert [(port["port"], port["targetPort"]) for port in taken["spec"]["ports"]] == [(80, 8080), (9797, 9797)]


@pytest.mark.parametrize(("made", "wanted"), [(False, True), (True, False)])
def test_w34_headless_cannot_change_and_that_is_said(made: bool, wanted: bool) -> None:
    live = written(headless=made)
    assert service_notes(canary(service={"headless": made}), [live]) == ()

    [note] = service_notes(canary(service={"headless": wanted}), [live])

    assert note.startswith(f"Service web was made {'without' if wanted else 'with'} spec.service.headless")
    assert written(live, headless=wanted)["spec"]["clusterIP"] == live["spec"]["clusterIP"]
    assert service_notes(canary(service={"headless": wanted}), [user_service()]) == (), "a user's own is theirs"


def test_w40_spaces_in_the_selector_labels_flag_do_not_count() -> None:
    rules = LabelRules.from_flags("app, name , app.kubernetes.io/name", " app.kubernetes.io , own")
    assert rules.selector_label({"name": "web"}) == "name"
    assert rules.copied({"own": "x"}) == {"own": "x"}


def test_w42_discovered_ports_keep_their_protocol_and_none_gets_lost() -> None:
    settings = canary(service={"portDiscovery": True}).spec.service
    assert settings is not None
    found = (
        PodPort("web", 0, "http", 80),
        PodPort("web", 1, "dns", 53, "UDP"),
        PodPort("web", 2, "dns", 53, "TCP"),
        PodPort("side", 0, "dns", 5353, "UDP"),
    )

    ports = wanted_ports(settings, found)

    assert [(port["port"], port["protocol"]) for port in ports] == [
        (80, "TCP"),
        (53, "UDP"),
        (53, "TCP"),
        (5353, "UDP"),
    ]
    assert len({port["name"] for port in ports}) == len(ports), "the names of a Service's ports differ"


def test_w30_binary_data_of_a_config_is_copied_and_its_change_is_a_new_revision() -> None:
    before, after = config_map(binaryData={"logo": "AAAA"}), config_map(binaryData={"logo": "BBBB"})
    copied = make_copy(canary(), after, None, RULES)
    assert copied["binaryData"] == {"logo": "BBBB"}
    assert checksum(copied) == checksum(after)
    refs = [ref for ref in config_refs(template()) if ref.name == "settings"]
    seen = [configs_seen(tuple(refs), {refs[0]: digest(config)}, "shop")[0] for config in (before, after)]
    assert seen[0].ours != seen[1].ours
    assert seen[0].flagger == seen[1].flagger, "what Flagger would not have noticed"


def test_w35_what_is_written_depends_on_the_canary_and_not_on_what_was_written_before() -> None:
    read = canary(service={"apex": {"labels": {"team": "a"}, "annotations": {"note": "1"}}})
    before = read.model_dump()
    facts = TargetFacts("app", "web", "web-primary", (), ())
    first = [desired_service(read, role, facts, None) for role in ServiceRole]
    assert [desired_service(read, role, facts, None) for role in ServiceRole] == first
    assert read.model_dump() == before
