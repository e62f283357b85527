"""spec.service: how the Services and routes of a canary look."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from flaggerpy.api.base import ApiModel, Int32, Number
from flaggerpy.api.matching import OriginMatch, RouteMatch
from flaggerpy.api.schema import stored_default
from flaggerpy.api.traffic_policy import TrafficPolicy

_GROUP: Final[dict[str, Any]] = {
    "maxLength": 253,
    "pattern": r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
}
_KIND: Final[dict[str, Any]] = {
    "minLength": 1,
    "maxLength": 63,
    "pattern": "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$",
}
_NAME: Final[dict[str, Any]] = {"minLength": 1, "maxLength": 253}
_NAMESPACE: Final[dict[str, Any]] = {
    "minLength": 1,
    "maxLength": 63,
    "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
}
_SECTION: Final[dict[str, Any]] = _NAME | {
    "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
}
_PORT: Final[dict[str, Any]] = {"minimum": 1, "maximum": 65535}
_SERVICE_NEEDS_PORT: Final[dict[str, Any]] = {
    "x-kubernetes-validations": [
        {
            "rule": "size(self.group) != 0 || self.kind != 'Service' || has(self.port)",
            "message": "a mirror to a Service needs the Service's port: add backendRef.port",
        }
    ]
}

TargetPort = Annotated[int | str, WithJsonSchema({"x-kubernetes-int-or-string": True})]


class GatewayRef(ApiModel):
    """A Gateway (or Service) that an HTTPRoute attaches to."""

    group: str = Field(
        default="gateway.networking.k8s.io",
        json_schema_extra=_GROUP | stored_default("gateway.networking.k8s.io"),
    )
    """API group of the parent."""
    kind: str = Field(default="Gateway", json_schema_extra=_KIND | stored_default("Gateway"))
    """Kind of the parent."""
    name: str = Field(json_schema_extra=_NAME)
    """Name of the parent."""
    namespace: str | None = Field(default=None, json_schema_extra=_NAMESPACE)
    """Namespace of the parent; the canary's own if absent."""
    section_name: str | None = Field(default=None, json_schema_extra=_SECTION)
    """Listener of the parent; all of them if absent."""
    port: Int32 | None = Field(default=None, json_schema_extra=_PORT)
    """Port of the parent; all of them if absent."""


class MirrorBackend(ApiModel):
    """Who gets a copy of the requests."""

    model_config = ConfigDict(json_schema_extra=_SERVICE_NEEDS_PORT)

    group: str = Field(default="", json_schema_extra=_GROUP | stored_default(""))
    """API group; empty for Services."""
    kind: str = Field(default="Service", json_schema_extra=_KIND | stored_default("Service"))
    """Kind."""
    name: str = Field(json_schema_extra=_NAME)
    """Name."""
    namespace: str | None = Field(default=None, json_schema_extra=_NAMESPACE)
    """Namespace; the canary's own if absent."""
    port: Int32 | None = Field(default=None, json_schema_extra=_PORT)
    """Port; needed for Services."""


class RouteMirror(ApiModel):
    """A permanent mirror of all requests (Gateway API); it has nothing to do with analysis.mirror."""

    backend_ref: MirrorBackend
    """Who gets a copy of the requests."""


class Rewrite(ApiModel):
    """What requests are rewritten to before they reach the pods."""

    uri: str | None = None
    """The new path, or the new prefix."""
    authority: str | None = None
    """The new host."""
    type: str | None = None
    """Gateway API only: ReplacePrefixMatch, or anything else for ReplaceFullPath."""


class Retries(ApiModel):
    """How failed requests are repeated."""

    attempts: Int32 | None = None
    """How often a request is repeated."""
    per_try_timeout: str | None = None
    """Time limit of each attempt, like 2s."""
    retry_on: str | None = None
    """Which failures are repeated, in Envoy's words and separated by commas, like gateway-error."""


class HeaderOperations(ApiModel):
    """What is changed in headers."""

    add: dict[str, str] | None = None
    """Header to a value that is added."""
    set: dict[str, str] | None = None
    """Header to the value that replaces what is there."""
    remove: tuple[str, ...] | None = None
    """Headers that are removed."""


class Headers(ApiModel):
    """What is changed in the headers of requests and responses."""

    request: HeaderOperations | None = None
    """Changes of requests."""
    response: HeaderOperations | None = None
    """Changes of responses."""


class CorsPolicy(ApiModel):
    """Cross-origin resource sharing."""

    allow_credentials: bool | None = None
    """Whether requests may carry credentials."""
    allow_headers: tuple[str, ...] | None = None
    """Headers that requests may carry."""
    allow_methods: tuple[str, ...] | None = None
    """Methods that requests may use."""
    allow_origin: tuple[str, ...] | None = None
    """Origins that may send requests."""
    allow_origins: tuple[OriginMatch, ...] | None = None
    """Origins that may send requests, as patterns (Istio)."""
    expose_headers: tuple[str, ...] | None = None
    """Headers of responses that scripts may read."""
    max_age: str | None = None
    """How long a browser may remember the answer, like 24h."""


class ServiceMetadata(ApiModel):
    """Extra metadata of a generated Service."""

    labels: dict[str, str] | None = None
    """Labels to add."""
    annotations: dict[str, str] | None = None
    """Annotations to add."""


class UnmanagedMetadata(ApiModel):
    """Metadata keys of generated Services that somebody else looks after."""

    labels: tuple[str, ...] | None = None
    """Label keys to leave as they are."""
    annotations: tuple[str, ...] | None = None
    """Annotation keys to leave as they are."""


class CanaryService(ApiModel):
    """The Services and the route of a canary."""

    name: str | None = None
    """Name of the apex Service; the target's name if absent. The other two add -primary and -canary."""
    port: Number
    """Port number of the three Services."""
    port_name: str = "http"
    """Name of the Services' port."""
    target_port: TargetPort | None = None
    """Number or name of the container's port; the Services' port if absent."""
    app_protocol: str | None = None
    """Application protocol of the Services' port."""
    traffic_distribution: Literal["PreferClose", "PreferSameZone", "PreferSameNode"] | None = None
    """Which pods the Services prefer."""
    port_discovery: bool = False
    """Whether the Services get all other ports of the target's containers too."""
    headless: bool = False
    """Whether the Services have no cluster address of their own."""
    timeout: str | None = None
    """Time limit of a request, like 15s."""
    backend_timeout: str | None = None
    """Time limit of one attempt of the proxy to reach a pod, like 5s (Gateway API)."""
    gateways: tuple[str, ...] = ()
    """Gateways of the VirtualService (Istio); the mesh if empty."""
    gateway_refs: tuple[GatewayRef, ...] = Field(default=(), json_schema_extra={"maxItems": 32})
    """Gateways of the HTTPRoute; the Gateway API providers need at least one."""
    hosts: tuple[str, ...] = ()
    """Host names of the route."""
    delegation: bool = False
    """Whether the VirtualService is a delegate of another one (Istio)."""
    traffic_policy: TrafficPolicy | None = None
    """How Istio connects to the pods of both versions."""
    match: tuple[RouteMatch, ...] = ()
    """Conditions on the requests that the route takes; one of them must hold."""
    rewrite: Rewrite | None = None
    """What requests are rewritten to."""
    retries: Retries | None = None
    """How failed requests are repeated."""
    headers: Headers | None = None
    """What is changed in headers."""
    mirror: tuple[RouteMirror, ...] = ()
    """Permanent mirrors of all requests (Gateway API)."""
    cors_policy: CorsPolicy | None = None
    """Cross-origin resource sharing."""
    mesh_name: str | None = None
    """Name of the mesh; App Mesh v1beta1 needs it."""
    backends: tuple[str, ...] = ()
    """Virtual services that the pods may call (App Mesh)."""
    apex: ServiceMetadata | None = None
    """Extra metadata of the apex Service and of the route."""
    primary: ServiceMetadata | None = None
    """Extra metadata of the primary's Service."""
    canary: ServiceMetadata | None = None
    """Extra metadata of the canary's Service."""
    unmanaged_metadata: UnmanagedMetadata | None = None
    """Metadata keys of the Services that somebody else looks after."""

    @property
    def pod_port(self) -> int | str:
        """Number or name of the container's port; a target port of 0 counts as absent, as in Flagger."""
        return self.port if self.target_port in {None, 0, "0", ""} else (self.target_port or self.port)
