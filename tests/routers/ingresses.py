"""Ingresses as users write them, and the canaries that name them."""

from __future__ import annotations

from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.kube.resources import INGRESSES, Ref
from tests.builders import canary

JsonObject = dict[str, Any]
OWN = Ref(INGRESSES, "shop", "front")
COPY = Ref(INGRESSES, "shop", "front-canary")


def behind(provider: str, **analysis: Any) -> Canary:
    """Build a canary whose users come through the Ingress front; ``analysis`` is under JSON names."""
    ref = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "front"}
    return canary(spec={"provider": provider, "ingressRef": ref}, analysis=analysis)


def ab_test_behind(provider: str, *match: JsonObject) -> Canary:
    """Build an A/B test whose users come through the Ingress front."""
    return behind(provider, match=list(match), iterations=3, stepWeight=None, maxWeight=None)


def path(service: str, port: JsonObject | None = None, at: str = "/") -> JsonObject:
    """Write a path that leads to a Service."""
    return {
        "path": at,
        "pathType": "Prefix",
        "backend": {"service": {"name": service, "port": port or {"number": 80}}},
    }


def front(*paths: JsonObject, annotations: dict[str, str] | None = None, **spec: Any) -> JsonObject:
    """Write the Ingress front as the API server serves it."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": "front",
            "namespace": "shop",
            "resourceVersion": "1",
            "annotations": annotations or {},
            "labels": {"team": "a"},
        },
        "spec": {"rules": [{"host": "a.example.com", "http": {"paths": list(paths)}}], **spec},
    }


def stored(body: JsonObject, **annotations: str | None) -> JsonObject:
    """Return a body as the API server serves it, with annotations that somebody changed; None takes one away."""
    changed = {**body["metadata"]["annotations"], **annotations}
    kept = {key: value for key, value in changed.items() if value is not None}
    return {**body, "metadata": {**body["metadata"], "resourceVersion": "1", "annotations": kept}}
