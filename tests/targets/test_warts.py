"""Flagger's faults in objects that must not come back, each under its number in docs/reference/warts.md."""

from __future__ import annotations

import pytest

from flaggerpy.rollout.decision import ServiceRole
from flaggerpy.targets.base import PodPort, TargetFacts
from flaggerpy.targets.configs import checksum, config_refs, configs_seen, digest, make_copy
from flaggerpy.targets.deployment import DeploymentTarget
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.services import desired_service
from tests.builders import canary
from tests.targets.objects import RECIPE, RULES, config_map, deployment, template


def test_w30_binary_data_of_a_config_is_copied_and_its_change_is_a_new_revision() -> None:
    before, after = config_map(binaryData={"logo": "AAAA"}), config_map(binaryData={"logo": "BBBB"})
    copied = make_copy(canary(), after, None, RULES)
    assert copied["binaryData"] == {"logo": "BBBB"}
    assert checksum(copied) == checksum(after)
    refs = [ref for ref in config_refs(template()) if ref.name == "settings"]
    seen = [configs_seen(tuple(refs), {refs[0]: digest(config)}, "shop")[0] for config in (before, after)]
    assert seen[0].ours != seen[1].ours
    assert seen[0].flagger == seen[1].flagger, "what Flagger would not have noticed"


def test_w31_a_new_primary_gets_the_annotations_of_a_promoted_one() -> None:
    target = deployment()
    target["metadata"]["annotations"] = {
        "app.kubernetes.io/instance": "one",
        "deployment.kubernetes.io/revision": "7",
        "own": "x",
    }
    new = DeploymentTarget().make_primary(canary(), target, None, RECIPE)
    promoted = DeploymentTarget().make_primary(canary(), target, new, RECIPE)
    assert new["metadata"]["annotations"] == promoted["metadata"]["annotations"]
    assert new["metadata"]["annotations"].keys() == {"app.kubernetes.io/instance", "flaggerpy.dev/canary"}


def test_w35_what_is_written_depends_on_the_canary_and_not_on_what_was_written_before() -> None:
    read = canary(service={"apex": {"labels": {"team": "a"}, "annotations": {"note": "1"}}})
    before = read.model_dump()
    facts = TargetFacts("app", "web", "web-primary", (), ())
    first = [desired_service(read, role, facts, None) for role in ServiceRole]
    assert [desired_service(read, role, facts, None) for role in ServiceRole] == first
    assert read.model_dump() == before


def test_w40_spaces_between_labels_do_not_count() -> None:
    assert LabelRules.from_flags("app, name ", "").selector_labels == ("app", "name")


@pytest.mark.parametrize("role", list(ServiceRole))
def test_w42_discovered_ports_keep_their_protocol_and_none_is_lost_to_an_equal_name(role: ServiceRole) -> None:
    found = (
        PodPort("web", 0, "dns", 53, "UDP"),
        PodPort("web", 1, "metrics", 9797),
        PodPort("side", 0, "metrics", 9798),
    )
    facts = TargetFacts("app", "web", "web-primary", found, found)
    body = desired_service(canary(service={"portDiscovery": True}), role, facts, None)
    assert body is not None
    assert [(port["name"], port["protocol"], port["port"]) for port in body["spec"]["ports"][1:]] == [
        ("dns", "UDP", 53),
        ("metrics", "TCP", 9797),
        ("metrics-9798", "TCP", 9798),
    ]
