"""What a user of the integration tests writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flaggerpy.kube.objects import JsonObject
from tests.integration.site import IMAGE


def deployment(name: str = "podinfo", tag: str = "6.0.0", *, replicas: int = 2, **pod: Any) -> JsonObject:
    """Write a Deployment; ``pod`` adds to its pod spec."""
    container = {
        "name": "podinfod",
        "image": f"{IMAGE}:{tag}",
        "ports": [{"name": "http", "containerPort": 9898}],
        **pod.pop("container", {}),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, **pod},
            },
        },
    }


def careful(**spec: object) -> JsonObject:
    """Write a Deployment that counts as stuck after five seconds and never drops a pod before the next is ready."""
    made = deployment()
    made["spec"] |= {
        "progressDeadlineSeconds": 5,
        "minReadySeconds": 2,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        **spec,
    }
    return made


def daemon_set(name: str = "podinfo", tag: str = "6.0.0", **pod: Any) -> JsonObject:
    """Write a DaemonSet; ``pod`` adds to its pod spec."""
    made = deployment(name, tag, **pod)
    return {**made, "kind": "DaemonSet", "spec": {key: made["spec"][key] for key in ("selector", "template")}}


def of_daemon_set(canary: JsonObject, **spec: Any) -> JsonObject:
    """Write the same Canary with a DaemonSet as its target; ``spec`` replaces fields of its spec."""
    target = {**canary["spec"]["targetRef"], "kind": "DaemonSet"}
    return {**canary, "spec": {**canary["spec"], "targetRef": target, **spec}}


def budget(name: str = "podinfo", app: str = "podinfo", **spec: Any) -> JsonObject:
    """Write a PodDisruptionBudget that keeps one pod of an app; ``spec`` replaces fields of its spec."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": app}}, **spec},
    }


def config_map(name: str, data: Mapping[str, str], binary: Mapping[str, str] | None = None) -> JsonObject:
    """Write a ConfigMap; binary values are base64."""
    body: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(data)}
    return body | ({"binaryData": dict(binary)} if binary else {})


def blue_green(name: str = "podinfo", *, iterations: int = 2, **analysis: Any) -> JsonObject:
    """Write a Canary of provider kubernetes."""
    return canary(name, {"iterations": iterations, **analysis}, provider="kubernetes")


def progressive(name: str = "podinfo", *, step: int = 25, most: int = 50, **analysis: Any) -> JsonObject:
    """Write a Canary of provider gatewayapi:v1 that advances in equal steps."""
    return routed(name, {"stepWeight": step, "maxWeight": most, **analysis})


def routed(name: str, analysis: Mapping[str, Any]) -> JsonObject:
    """Write a Canary of provider gatewayapi:v1."""
    gateway = {"name": "contour", "namespace": "projectcontour"}
    service = {"gatewayRefs": [gateway], "hosts": ["podinfo.local"]}
    return canary(name, analysis, provider="gatewayapi:v1", service=service)


def proxied(analysis: Mapping[str, Any] | None = None, name: str = "podinfo") -> JsonObject:
    """Write a Canary of provider contour; without an analysis it advances in two equal steps."""
    return canary(name, analysis or {"stepWeight": 25, "maxWeight": 50}, provider="contour")


def canary(
    name: str, analysis: Mapping[str, Any], *, service: Mapping[str, Any] | None = None, **spec: Any
) -> JsonObject:
    """Write a Canary; ``spec`` adds to or replaces fields of its spec."""
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": name},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "service": {"port": 80, "targetPort": 9898, **(service or {})},
            "analysis": {"interval": "1s", "threshold": 2, **analysis},
            "progressDeadlineSeconds": 60,
            **spec,
        },
    }


def autoscaler(name: str = "podinfo", *, low: int = 2, high: int = 6, **spec: Any) -> JsonObject:
    """Write a HorizontalPodAutoscaler; without a metrics server it only keeps within its bounds."""
    processor = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
            "minReplicas": low,
            "maxReplicas": high,
            "metrics": [{"type": "Resource", "resource": processor}],
            **spec,
        },
    }


def scaled_object(query: str = "up", name: str = "podinfo", *, low: int = 2, high: int = 6, **spec: Any) -> JsonObject:
    """Write a ScaledObject of KEDA that goes by a query."""
    trigger = {
        "type": "prometheus",
        "name": "requests",
        "metadata": {"serverAddress": "http://prometheus.monitoring:9090", "query": query, "threshold": "5"},
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"name": "podinfo"},
            "minReplicaCount": low,
            "maxReplicaCount": high,
            "triggers": [trigger],
            **spec,
        },
    }


def under_keda(canary: JsonObject, **ref: Any) -> JsonObject:
    """Write the same Canary with a reference to a ScaledObject."""
    return scaled(canary, apiVersion="keda.sh/v1alpha1", kind="ScaledObject", **ref)


def scaled(canary: JsonObject, name: str = "podinfo", **ref: Any) -> JsonObject:
    """Write the same Canary with a reference to an autoscaler."""
    named = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": name, **ref}
    return {**canary, "spec": {**canary["spec"], "autoscalerRef": named}}
