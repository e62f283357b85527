"""How a Canary points at other objects; each kind of reference admits what Flagger's CRD admits there."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import ConfigDict, Field

from flaggerpy.api.base import ApiModel, Integer


class ObjectRef(ApiModel):
    """An object of the canary's own namespace."""

    api_version: str
    """Group and version of the object, like apps/v1."""
    name: str
    """Name of the object."""


class TargetRef(ObjectRef):
    """The workload under control."""

    kind: Literal["DaemonSet", "Deployment", "Service"]
    """Kind of the workload. A Service of serving.knative.dev/v1 is a Knative service."""

    @property
    def is_knative(self) -> bool:
        """Whether the target is a Knative service."""
        return self.kind == "Service" and self.api_version.startswith("serving.knative.dev/")


class ScalerReplicas(ApiModel):
    """Replica bounds of the primary's scaler."""

    min_replicas: Integer | None = Field(default=None, json_schema_extra={"minimum": 1})
    """Lowest number of pods of the primary; the target scaler's own value if absent."""
    max_replicas: Integer | None = Field(default=None, json_schema_extra={"minimum": 1})
    """Highest number of pods of the primary; the target scaler's own value if absent."""


ScalerKind = Literal["HorizontalPodAutoscaler", "ScaledObject"]


class AutoscalerRef(ObjectRef):
    """The scaler of the target; the primary gets a copy of it."""

    kind: ScalerKind
    """Kind of the scaler."""
    primary_scaler_queries: dict[str, str] | None = None
    """KEDA only: trigger name to the query that the primary's ScaledObject uses instead."""
    primary_scaler_replicas: ScalerReplicas | None = None
    """Replica bounds of the primary's scaler where they differ from the target's."""


class IngressRef(ObjectRef):
    """The Ingress of the providers nginx, skipper and alb."""

    kind: Literal["Ingress"]
    """Kind of the object."""


_BROUGHT_ROUTE: Final[dict[str, Any]] = {
    "x-kubernetes-validations": [
        {
            "rule": "self.kind == 'ApisixRoute' || self.apiVersion.startsWith('gateway.networking.k8s.io/')",
            "message": "a route of this kind is of the Gateway API: write apiVersion gateway.networking.k8s.io/v1",
        },
        {
            "rule": "self.kind != 'ApisixRoute' || !has(self.sectionName)",
            "message": "rules of an ApisixRoute cannot be chosen by sectionName: remove it",
        },
    ]
}


class RouteRef(ObjectRef):
    """Your own route: for provider apisix one that is copied, for the Gateway API one whose weights are changed."""

    model_config = ConfigDict(json_schema_extra=_BROUGHT_ROUTE)

    kind: Literal["ApisixRoute", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"]
    """Kind of the object."""
    section_name: str | None = Field(default=None, json_schema_extra={"minLength": 1, "maxLength": 253})
    """Name of the rule whose users are shared (Gateway API); all that lead to the apex Service if absent."""


class UpstreamRef(ObjectRef):
    """The Upstream that serves as a template for the provider gloo."""

    kind: Literal["Upstream"]
    """Kind of the object."""
    namespace: str | None = None
    """Namespace of the object; the canary's own if absent."""


class NamespacedRef(ApiModel):
    """A MetricTemplate or AlertProvider."""

    name: str
    """Name of the object."""
    namespace: str | None = None
    """Namespace of the object; the canary's own if absent."""


class SecretRef(ApiModel):
    """A Secret in the namespace of the object that refers to it."""

    name: str
    """Name of the Secret."""
