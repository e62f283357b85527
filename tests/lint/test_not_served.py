"""What the reference of the kinds says is not served yet: providers that are built read the rest and nothing of it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flaggerpy.api import reference
from flaggerpy.api.canary import Canary
from flaggerpy.api.crds import KINDS
from flaggerpy.api.schema import structural
from flaggerpy.lint.effects import ROUTING, without_effect
from flaggerpy.metrics.registry import PROVIDERS
from flaggerpy.routers.base import DEFAULTS
from flaggerpy.routers.registry import ROUTERS
from tests.builders import canary

JsonObject = dict[str, Any]
GATEWAYS = [{"name": "public"}]
UNREAD: dict[str, Any] = {
    "spec.service.meshName": "mesh",
    "spec.service.backends": ["other"],
}
READ: dict[str, Any] = {
    "gatewayRefs": [*GATEWAYS, {"name": "inner"}],
    "gateways": ["public"],
    "delegation": True,
    "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}},
    "hosts": ["a.example.com"],
    "match": [{"uri": {"prefix": "/x"}}],
    "rewrite": {"uri": "/x"},
    "retries": {"attempts": 2},
    "headers": {"request": {"set": {"x-a": "x"}}},
    "mirror": [{"backendRef": {"name": "x", "port": 80}}],
    "corsPolicy": {"allowOrigin": ["https://a.example.com"]},
    "timeout": "15s",
    "backendTimeout": "5s",
}


READ_BY_ONE: dict[str, Any] = {
    "spec.routeRef": {"apiVersion": "apisix.apache.org/v2", "kind": "ApisixRoute", "name": "x"},
    "spec.upstreamRef": {"apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "name": "x"},
}
"""References to objects of a provider's own."""


INGRESS = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "x"}


def having(path: str, value: Any) -> Canary:
    """Write a canary with one field, so that no more than this is read or not."""
    if path.startswith("spec.service."):
        field = path.removeprefix("spec.service.")
        whole = {"match": [{field.removeprefix("match[]."): value}]} if "[]" in field else {field: value}
        return canary(service={"gatewayRefs": GATEWAYS, **whole})
    return canary(service={"gatewayRefs": GATEWAYS}, spec={path.removeprefix("spec."): value})


def readers(of: Canary, path: str) -> set[str]:
    """Name the providers whose objects are others because of a field."""
    routers = {name: make(DEFAULTS) for name, make in ROUTERS.items()}
    served = {name: router for name, router in routers.items() if not router.problems(of)}
    return {name for name, router in served.items() if path not in without_effect(of, router)}


@pytest.mark.parametrize("path", UNREAD)
def test_what_is_marked_is_read_by_no_provider(path: str) -> None:
    assert path in reference.NOT_SERVED_YET
    assert readers(having(path, UNREAD[path]), path.partition("[]")[0]) == set()


@pytest.mark.parametrize("field", READ)
def test_what_is_not_marked_is_read(field: str) -> None:
    path = f"spec.service.{field}"
    assert path not in reference.NOT_SERVED_YET
    assert readers(having(path, READ[field]), path)


@pytest.mark.parametrize(("path", "provider"), [("spec.routeRef", "apisix"), ("spec.upstreamRef", "gloo")])
def test_a_reference_is_read_by_the_provider_that_it_is_for(path: str, provider: str) -> None:
    assert path not in reference.NOT_SERVED_YET
    router = ROUTERS[provider](DEFAULTS)
    without, named = canary(service={"gatewayRefs": GATEWAYS}), having(path, READ_BY_ONE[path])
    name = READ_BY_ONE[path]["name"]
    assert name in {ref.name for ref in router.refs(named)} - {ref.name for ref in router.refs(without)}


def test_an_ingress_is_read_by_those_who_need_one() -> None:
    assert readers(having("spec.ingressRef", INGRESS), "spec.ingressRef") == {"nginx", "skipper", "alb"}


def test_every_field_for_providers_is_one_or_the_other() -> None:
    fields = {re.sub(r"_(.)", lambda found: found[1].upper(), field) for field in ROUTING}
    unread = {path.removeprefix("spec.service.") for path in UNREAD}
    assert fields == {*READ, *(field for field in unread if field in fields)}
    assert set(UNREAD) == reference.NOT_SERVED_YET


def test_all_marks_are_of_fields_that_exist() -> None:
    parts = [(part, model) for kind in KINDS for part, model in (("spec", kind.spec), ("status", kind.status)) if model]
    paths = {row.path for part, model in parts for row in reference.rows(model, structural(model), part)}
    assert reference.NOT_SERVED_YET | reference.SERVED_SO_FAR.keys() <= paths


@pytest.mark.parametrize(("path", "built"), [("spec.provider", ROUTERS), ("spec.provider.type", PROVIDERS)])
def test_what_is_served_so_far_is_what_is_built(path: str, built: JsonObject) -> None:
    assert reference.SERVED_SO_FAR[path].startswith(f"Served so far: {', '.join(built)}")
