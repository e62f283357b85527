"""What is made of a target is admitted by a real API server, and its defaults never look like a change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.kube.errors import Conflict
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CONFIG_MAPS, DEPLOYMENTS, SERVICES
from flaggerpy.rollout.decision import ServiceRole
from flaggerpy.targets.base import Recipe
from flaggerpy.targets.configs import checksum, config_key, config_refs, make_copy
from flaggerpy.targets.deployment import DeploymentTarget
from flaggerpy.targets.labels import LabelRules
from flaggerpy.targets.services import desired_service, released_service, service_ref
from tests.builders import canary
from tests.integration.site import Site
from tests.targets.objects import vectors

pytestmark = pytest.mark.integration

TARGET = DeploymentTarget()
RULES = LabelRules.from_flags("app", "")


async def target_of(site: Site, template: JsonObject, name: str) -> JsonObject:
    await site.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template},
        }
    )
    return await site.get(DEPLOYMENTS, name)


def owner_of(site: Site, name: str, **service: object) -> Canary:
    return canary(name, site.namespace, service=service)


@pytest.mark.parametrize("vector", vectors()["templates"], ids=lambda vector: vector["name"])
async def test_a_primary_runs_its_targets_template_as_the_server_stores_both(site: Site, vector: JsonObject) -> None:
    name = vector["name"]
    owner = owner_of(site, name)
    target = await target_of(site, vector["template"], name)
    tracked = [ref.key for ref in config_refs(vector["template"])]
    recipe = Recipe(RULES, tracked, "promotion-1")

    primary = await site.client.create(DEPLOYMENTS, TARGET.make_primary(owner, target, None, recipe))
    assert TARGET.primary_state(owner, primary, recipe).template == TARGET.state(target).template

    async def promoted() -> JsonObject | None:
        live = await site.get(DEPLOYMENTS, owner.primary_name)
        try:
            body = TARGET.make_primary(owner, target, live, replace(recipe, promotion_id="promotion-2"))
            return await site.client.replace(TARGET.primary_ref(owner), body)
        except Conflict:  # the Deployment controller wrote its status in between
            return None

    again = await site.until(promoted, "promotion")
    assert again["spec"]["template"]["metadata"]["annotations"]["flagger-id"] == "promotion-2"
    assert TARGET.primary_state(owner, again, recipe).template == TARGET.state(target).template


PORTS = [
    {"name": "http", "containerPort": 9898},
    {"name": "metrics", "containerPort": 9797},
    {"containerPort": 53, "protocol": "UDP"},
]


def pod(name: str) -> JsonObject:
    containers = [
        {"name": "web", "image": "example/web:1", "ports": PORTS},
        {"name": "side", "image": "example/side:1", "ports": [{"name": "metrics", "containerPort": 9799}]},
    ]
    return {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}}


SERVICE_SETTINGS = {
    "plain": {"targetPort": "http"},
    "discovering": {"targetPort": "http", "portDiscovery": True, "appProtocol": "http"},
    "headless": {"headless": True, "trafficDistribution": "PreferClose"},
    "with metadata": {"apex": {"labels": {"a": "b"}, "annotations": {"c": "d"}}},
}


@pytest.mark.parametrize("settings", SERVICE_SETTINGS.values(), ids=SERVICE_SETTINGS.keys())
async def test_services_are_admitted_and_then_right_as_they_are(site: Site, settings: JsonObject) -> None:
    owner = owner_of(site, "web", **settings)
    facts = TARGET.facts(owner, await target_of(site, pod("web"), "web"), RULES, None)

    for role in ServiceRole:
        body = desired_service(owner, role, facts, None)
        assert body is not None
        served = await site.client.create(SERVICES, body)
        assert desired_service(owner, role, facts, served) is None

    apex = await site.get(SERVICES, owner.apex_name)
    released = released_service(owner, apex)
    assert released is not None
    left = await site.client.replace(service_ref(owner, ServiceRole.APEX), released)
    assert released_service(owner, left) is None
    assert left["spec"]["selector"] == {"app": "web"}


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort"])
async def test_a_users_service_is_taken_over_and_given_back_exactly(site: Site, kind: str) -> None:
    owner = owner_of(site, "web", port=8080, targetPort="http", portName="http")
    facts = TARGET.facts(owner, await target_of(site, pod("web"), "web"), RULES, None)
    ports = [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "metrics", "port": 9797}]
    metadata = {"name": "web", "labels": {"mine": "1"}, "annotations": {"team": "a"}}
    await site.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"type": kind, "selector": {"app": "web"}, "ports": ports, "sessionAffinity": "ClientIP"},
        }
    )
    before = await site.get(SERVICES, "web")
    ref = service_ref(owner, ServiceRole.APEX)

    body = desired_service(owner, ServiceRole.APEX, facts, before)
    assert body is not None
    taken = await site.client.replace(ref, body)
    assert desired_service(owner, ServiceRole.APEX, facts, taken) is None
    assert {port["port"] for port in taken["spec"]["ports"]} == {8080, 80, 9797}

    released = released_service(owner, taken)
    assert released is not None
    after = await site.client.replace(ref, released)
    assert after["spec"] == before["spec"]
    assert {field: after["metadata"].get(field) for field in ("labels", "annotations")} == {
        "labels": {"mine": "1"},
        "annotations": {"team": "a"},
    }


async def test_copies_of_configs_are_admitted_with_all_their_content(site: Site) -> None:
    owner = owner_of(site, "web")
    await site.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings"},
            "data": {"a": "<b>&"},
            "binaryData": {"c": "AAEC"},
            "immutable": True,
        }
    )
    source = await site.get(CONFIG_MAPS, "settings")

    copy = await site.client.create(CONFIG_MAPS, make_copy(owner, source, None, RULES))
    again = await site.client.replace(
        config_refs({"spec": {"volumes": [{"configMap": {"name": "settings"}}]}})[0].copy_ref(site.namespace),
        make_copy(owner, source, copy, RULES),
    )

    assert checksum(again) == checksum(source)
    assert config_key("ConfigMap", "settings") == "configmap/settings"
