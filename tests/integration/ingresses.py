"""Ingresses as users have them before any canary, and the Canaries behind them."""

from __future__ import annotations

import json

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import INGRESSES
from tests.integration.objects import canary

REF = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "front"}
PORTS: dict[str, JsonObject] = {"nginx": {"number": 80}, "skipper": {"number": 80}, "alb": {"name": "use-annotation"}}
ACTION = "alb.ingress.kubernetes.io/actions.podinfo"


def front(provider: str) -> JsonObject:
    """Write the Ingress that a user has before any canary."""
    group = {"serviceName": "podinfo", "servicePort": 80}
    action = json.dumps({"type": "forward", "forwardConfig": {"targetGroups": [group]}})
    backend = {"service": {"name": "podinfo", "port": PORTS[provider]}}
    return {
        "apiVersion": INGRESSES.api_version,
        "kind": INGRESSES.kind,
        "metadata": {
            "name": "front",
            "labels": {"team": "payments"},
            "annotations": {ACTION: action} if provider == "alb" else {},
        },
        "spec": {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]},
    }


def behind(provider: str) -> JsonObject:
    """Write a Canary that advances in two equal steps."""
    return canary("podinfo", {"stepWeight": 25, "maxWeight": 50}, provider=provider, ingressRef=REF)
