"""Which kinds there are and where they live in the API: resources, and references to single objects.

Paths are built here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flaggerpy.kube.objects import name_of, namespace_of


@dataclass(frozen=True, slots=True, order=True)
class Resource:
    """One kind of object in one version, as the API serves it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """Return what objects of this kind carry as apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def title(self) -> str:
        """Return the name that people know from kubectl, for sentences: `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the path of a collection (the cluster's if no namespace is given), object or subresource."""
        parts = ["", "apis", self.group, self.version] if self.group else ["", "api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        if subresource is not None:
            parts.append(subresource)
        return "/".join(parts)


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """One object by name; the namespace is empty for objects of the cluster."""

    resource: Resource
    namespace: str
    name: str

    def path(self, subresource: str | None = None) -> str:
        """Return the object's path."""
        return self.resource.path(self.namespace or None, self.name, subresource)

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.resource.kind} {where}"


def ref_of(resource: Resource, obj: Mapping[str, Any]) -> Ref:
    """Return the reference to an object that is known to be of this resource."""
    return Ref(resource, namespace_of(obj), name_of(obj))


CANARIES = Resource("flagger.app", "v1beta1", "canaries", "Canary")
METRIC_TEMPLATES = Resource("flagger.app", "v1beta1", "metrictemplates", "MetricTemplate")
ALERT_PROVIDERS = Resource("flagger.app", "v1beta1", "alertproviders", "AlertProvider")

DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
DAEMONSETS = Resource("apps", "v1", "daemonsets", "DaemonSet")
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet")
CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
SERVICES = Resource("", "v1", "services", "Service")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
PODS = Resource("", "v1", "pods", "Pod")
EVENTS = Resource("", "v1", "events", "Event")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
HPAS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
SCALED_OBJECTS = Resource("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject")
BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
HTTP_ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
HTTP_ROUTES_V1BETA1 = Resource("gateway.networking.k8s.io", "v1beta1", "httproutes", "HTTPRoute")
GATEWAY_ROUTES = {
    "HTTPRoute": "httproutes",
    "GRPCRoute": "grpcroutes",
    "TLSRoute": "tlsroutes",
    "TCPRoute": "tcproutes",
}
"""Kinds of routes of the Gateway API, of which canaries name one in the version that they write."""
HTTP_PROXIES = Resource("projectcontour.io", "v1", "httpproxies", "HTTPProxy")
VIRTUAL_SERVICES = Resource("networking.istio.io", "v1beta1", "virtualservices", "VirtualService")
DESTINATION_RULES = Resource("networking.istio.io", "v1beta1", "destinationrules", "DestinationRule")
TRAEFIK_SERVICES = Resource("traefik.io", "v1alpha1", "traefikservices", "TraefikService")
TRAFFIC_SPLITS = {
    version: Resource("split.smi-spec.io", version, "trafficsplits", "TrafficSplit")
    for version in ("v1alpha1", "v1alpha2", "v1alpha3")
}
TRAFFIC_ROUTES = Resource("kuma.io", "v1alpha1", "trafficroutes", "TrafficRoute", namespaced=False)
ROUTE_TABLES = Resource("gateway.solo.io", "v1", "routetables", "RouteTable")
UPSTREAMS = Resource("gloo.solo.io", "v1", "upstreams", "Upstream")
KNATIVE_SERVICES = Resource("serving.knative.dev", "v1", "services", "Service")
APISIX_ROUTES = Resource("apisix.apache.org", "v2", "apisixroutes", "ApisixRoute")
INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", "Ingress")
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
SELF_SUBJECT_REVIEWS = Resource(
    "authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False
)


def gateway_route(kind: str, api_version: str) -> Resource:
    """Return one of the kinds of routes of the Gateway API in a version, which the cluster may or may not serve."""
    group, _, version = api_version.rpartition("/")
    return Resource(group, version, GATEWAY_ROUTES[kind], kind)
