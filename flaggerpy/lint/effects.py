"""Fields that a provider does nothing with: its objects are the same without them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import KNATIVE_SERVICES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Routes
from flaggerpy.routers.base import Router
from flaggerpy.routers.brought import BroughtRouter
from flaggerpy.routers.ingress import own_ref

ROUTING: Final = (
    "gateways",
    "gateway_refs",
    "hosts",
    "delegation",
    "traffic_policy",
    "match",
    "rewrite",
    "retries",
    "headers",
    "mirror",
    "cors_policy",
    "timeout",
    "backend_timeout",
    "mesh_name",
    "backends",
)
"""Fields of spec.service that are for the provider only; the Services read the others."""

_REFERENCES: Final = ("ingress_ref", "route_ref", "upstream_ref")
"""Fields of the spec that name the provider's own objects."""


def without_effect(canary: Canary, router: Router) -> Iterator[str]:
    """Return the paths of the fields that a user wrote for nobody."""
    wanted = _written(canary, router)
    if wanted is None or canary.spec.service is None:
        return
    for field in _filled(canary.spec.service, ROUTING):
        service = canary.spec.service.model_copy(update={field: _default(canary.spec.service, field)})
        if _written(_with_spec(canary, service=service), router) == wanted:
            yield f"spec.service.{_alias(canary.spec.service, field)}"
    if any(metric.query or metric.template_ref for metric in canary.analysis.metrics):
        return  # these may name the Ingress or the route
    for field in _filled(canary.spec, _REFERENCES):
        if _written(_with_spec(canary, **{field: None}), router) == wanted:
            yield f"spec.{_alias(canary.spec, field)}"


def _written(canary: Canary, router: Router) -> Any:
    """Return everything that the router makes of a canary, None when it refuses it."""
    mirrored = router.capabilities.mirror
    users = (ref for ref in router.refs(canary) if ref == own_ref(canary) or ref.resource == KNATIVE_SERVICES)
    live = {ref: _users_own(canary, ref) for ref in users}
    if isinstance(router, BroughtRouter):
        live = {ref: _route(canary, ref) for ref in router.refs(canary)}
    try:
        return (
            router.refs(canary),
            router.render(canary, live, Routes(100, 0)),
            router.render(canary, live, Routes(50, 50) if router.capabilities.weights else Routes(0, 100)),
            router.render(canary, live, Routes(100, 0, mirrored=mirrored)),
        )
    except UserError:
        return None


def _users_own(canary: Canary, ref: Ref) -> JsonObject:
    """Return an Ingress or a service with which every provider can do: only the canary's own fields are in question."""
    ports: tuple[JsonObject, ...] = ({"number": 80}, {"name": "use-annotation"})
    paths = [{"path": "/", "backend": {"service": {"name": canary.apex_name, "port": port}}} for port in ports]
    return {"metadata": {"name": ref.name, "namespace": ref.namespace}, "spec": {"rules": [{"http": {"paths": paths}}]}}


def _route(canary: Canary, ref: Ref) -> JsonObject:
    """Return a route as a user may bring it along, with which there is nothing wrong."""
    rule: JsonObject = {"backendRefs": [{"name": canary.apex_name, "port": 80}]}
    if canary.spec.route_ref and canary.spec.route_ref.section_name:
        rule["name"] = canary.spec.route_ref.section_name
    return {"metadata": {"name": ref.name, "namespace": ref.namespace}, "spec": {"rules": [rule]}}


def _filled(model: Any, fields: tuple[str, ...]) -> Iterator[str]:
    return (field for field in fields if getattr(model, field) != _default(model, field))


def _default(model: Any, field: str) -> Any:
    return type(model).model_fields[field].get_default(call_default_factory=True)


def _alias(model: Any, field: str) -> str:
    return type(model).model_fields[field].alias or field


def _with_spec(canary: Canary, **changes: Any) -> Canary:
    return canary.model_copy(update={"spec": canary.spec.model_copy(update=changes)})
