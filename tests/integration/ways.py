"""Routes of the Gateway API that users bring along, and Canaries that do."""

from __future__ import annotations

from typing import Any

from flaggerpy.kube.objects import JsonObject
from tests.integration.objects import canary

V1 = "gateway.networking.k8s.io/v1"
LIMIT = {"type": "ExtensionRef", "extensionRef": {"group": "example.com", "kind": "Limit", "name": "slow"}}
HEADER = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-way", "value": "mine"}]}}
MOVED = {"type": "RequestRedirect", "requestRedirect": {"hostname": "example.com", "statusCode": 301}}


def service() -> JsonObject:
    """Write the user's own Service."""
    ports = [{"name": "http", "port": 80, "targetPort": 9898, "protocol": "TCP"}]
    spec = {"selector": {"app": "podinfo"}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "podinfo"}, "spec": spec}


def way(kind: str = "HTTPRoute", *rules: JsonObject) -> JsonObject:
    """Write the user's own route, which has no weights and, behind HTTP, more than one rule."""
    leading = {"backendRefs": [{"name": "podinfo", "port": 80}]}
    hosts = {"hostnames": ["podinfo.example.com"]} if kind != "TCPRoute" else {}
    return {
        "apiVersion": V1,
        "kind": kind,
        "metadata": {"name": "podinfo", "labels": {"mine": "1"}},
        "spec": {"parentRefs": [{"name": "public", "namespace": "gateways"}], **hosts, "rules": [*rules, leading]},
    }


def full() -> JsonObject:
    """Write a route with rules, filters and fields that no canary knows of."""
    old = {"name": "moved", "matches": [{"path": {"type": "PathPrefix", "value": "/old"}}], "filters": [MOVED]}
    made = way("HTTPRoute", old)
    made["spec"]["rules"][1] |= {"name": "all", "filters": [LIMIT, HEADER], "timeouts": {"request": "9s"}}
    made["spec"]["rules"][1]["backendRefs"][0]["filters"] = [HEADER]
    return made


def bringing(kind: str = "HTTPRoute", **analysis: Any) -> JsonObject:
    """Write a Canary that brings its route along and advances in two steps."""
    ref = {"apiVersion": V1, "kind": kind, "name": "podinfo"}
    steps = {"stepWeight": 25, "maxWeight": 50, **analysis}
    return canary("podinfo", steps, provider="gatewayapi:v1", routeRef=ref)
