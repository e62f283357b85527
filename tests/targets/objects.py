"""Deployments, configs and Services for the tests of targets; the recordings that parity is measured against."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

from flaggerpy.targets.base import Recipe
from flaggerpy.targets.labels import LabelRules

JsonObject = dict[str, Any]

DATA = Path(__file__).parent / "data"
RULES = LabelRules.from_flags("app,name,app.kubernetes.io/name", "app.kubernetes.io")
RECIPE = Recipe(rules=RULES, tracked=("configmap/settings", "secret/key"), promotion_id="promotion-7")


def template(**spec: Any) -> JsonObject:
    """Build a pod template of ``web`` that reads a ConfigMap and a Secret; ``spec`` adds to the pod spec."""
    container = {
        "name": "web",
        "image": "example/web:1",
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}],
    }
    return {"metadata": {"labels": {"app": "web", "tier": "front"}}, "spec": {"containers": [container], **spec}}


def deployment(name: str = "web", *, pod: JsonObject | None = None, **spec: Any) -> JsonObject:
    """Build a Deployment that selects by ``app``, with two replicas; ``spec`` replaces fields of the spec."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-of-{name}",
            "generation": 1618,
            "resourceVersion": "2718",
        },
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": copy.deepcopy(pod or template()),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "minReadySeconds": 3,
            "revisionHistoryLimit": 5,
            "progressDeadlineSeconds": 61,
            **spec,
        },
    }


def daemon_set(name: str = "web", *, pod: JsonObject | None = None, **spec: Any) -> JsonObject:
    """Build a DaemonSet that selects by ``app``; ``spec`` replaces fields of the spec."""
    made = deployment(name, pod=pod)
    kept = {key: made["spec"][key] for key in ("selector", "template", "minReadySeconds", "revisionHistoryLimit")}
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    return {**made, "kind": "DaemonSet", "spec": {**kept, "updateStrategy": strategy, **spec}}


def stored(obj: JsonObject, **metadata: Any) -> JsonObject:
    """Build what the API server serves after an object was created."""
    return {**obj, "metadata": {**obj["metadata"], "uid": "uid", "resourceVersion": "3141", **metadata}}


def config_map(name: str = "settings", **fields: Any) -> JsonObject:
    """Build a ConfigMap with one entry; ``fields`` replaces top-level fields."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app.kubernetes.io/part-of": "shop", "own": "x"}},
        "data": {"color": "red"},
        **fields,
    }


def user_service(name: str = "web", **metadata: Any) -> JsonObject:
    """Build a Service that its user made before there was a canary."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "resourceVersion": "1414",
            "labels": {"mine": "1"},
            "annotations": {"team": "a"},
            **metadata,
        },
        "spec": {
            "type": "NodePort",
            "clusterIP": "10.0.0.7",
            "sessionAffinity": "ClientIP",
            "selector": {"app": "web"},
            "ports": [
                {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080, "nodePort": 30080},
                {"name": "metrics", "protocol": "TCP", "port": 9797, "targetPort": 9797, "nodePort": 30097},
            ],
        },
    }


def autoscaler(name: str = "web", scales: str = "web", *, low: int = 2, high: int = 10, **spec: Any) -> JsonObject:
    """Build a HorizontalPodAutoscaler that goes by the processor; ``spec`` replaces fields of the spec."""
    utilization = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-of-{name}", "resourceVersion": "1732"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": scales},
            "minReplicas": low,
            "maxReplicas": high,
            "metrics": [{"type": "Resource", "resource": utilization}],
            **spec,
        },
    }


def scaled_object(name: str = "web", scales: str = "web", *, pause: str = "", **spec: Any) -> JsonObject:
    """Build a ScaledObject that goes by requests; ``spec`` replaces fields of the spec, None takes one out."""
    query = 'sum(rate(http_requests_total{app="web",svc="web-canary"}[30s]))'
    trigger = {"type": "prometheus", "name": "reqs", "metadata": {"serverAddress": "http://p:9090", "query": query}}
    wanted = {
        "scaleTargetRef": {"name": scales},
        "pollingInterval": 10,
        "minReplicaCount": 2,
        "maxReplicaCount": 10,
        "triggers": [trigger, {"type": "cpu", "name": "cpu", "metadata": {"value": "80"}}],
        **spec,
    }
    metadata: JsonObject = {"name": name, "namespace": "shop", "uid": f"uid-of-{name}", "resourceVersion": "1732"}
    if pause:
        metadata["annotations"] = {"autoscaling.keda.sh/paused-replicas": pause}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata,
        "spec": {key: value for key, value in wanted.items() if value is not None},
    }


@cache
def _file(name: str) -> Any:
    return json.loads((DATA / name).read_text())


def recorded(scenario: str) -> Any:
    """Read what Flagger made in one scenario; a copy, so that a test may change it."""
    return copy.deepcopy(_file("recorded.json")[scenario])


def recorded_autoscalers(scenario: str) -> Any:
    """Read a canary, its target's autoscaler and the one that Flagger made for the primary."""
    return copy.deepcopy(_file("autoscalers.json")[scenario])


def vectors() -> Any:
    """Read Flagger's checksums, and pod templates as an API server stored them."""
    return copy.deepcopy(_file("vectors.json"))
