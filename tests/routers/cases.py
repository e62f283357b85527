"""Canaries that every router is tried with, here and on a real API server."""

from __future__ import annotations

from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.routers.base import Router
from tests.builders import canary

EVERYTHING: dict[str, Any] = {
    "name": "shop-front",
    "port": 8080,
    "gatewayRefs": [{"name": "public", "namespace": "gateways"}],
    "hosts": ["shop.example.com"],
    "timeout": "15s",
    "match": [
        {"uri": {"prefix": "/a"}},
        {"uri": {"exact": "/b"}, "headers": {"h": {"exact": "1"}, "g": {"regex": "x.*"}}},
    ],
    "rewrite": {"uri": "/", "authority": "inner.example.com"},
    "headers": {"request": {"set": {"b": "2", "a": "1"}}, "response": {"add": {"c": "3"}, "remove": ["d"]}},
    "corsPolicy": {"allowOrigin": ["https://a.example"], "maxAge": "24h", "allowCredentials": True},
    "mirror": [{"backendRef": {"name": "shadow", "port": 80}}],
    "apex": {"labels": {"team": "a"}, "annotations": {"note": "1"}},
}
AUDIENCE = {
    "match": [{"headers": {"x-canary": {"exact": "insider"}}}, {"queryParams": {"v": {"exact": "2"}}}],
    "iterations": 3,
    "stepWeight": None,
}


def canaries(provider: str, namespace: str = "shop") -> dict[str, Canary]:
    """Build canaries that use much of what a route can say; every provider must serve them or ignore what it cannot."""
    spec = {"provider": provider}
    gateways = {"gatewayRefs": EVERYTHING["gatewayRefs"]}
    return {
        "plain": canary(namespace=namespace, spec=spec, service=gateways),
        "with every setting": canary(namespace=namespace, spec=spec, service=EVERYTHING),
        "for an audience": canary(namespace=namespace, spec=spec, service=gateways, analysis=AUDIENCE),
        "for an audience, with every setting": canary(
            namespace=namespace, spec=spec, service=EVERYTHING, analysis=AUDIENCE
        ),
    }


def foreign_routes(router: Router, owner: Canary, **extra: Any) -> list[dict[str, Any]]:
    """Build routing objects that a user made by hand, under the names that the canary needs."""
    return [
        {
            "apiVersion": ref.resource.api_version,
            "kind": ref.resource.kind,
            "metadata": {
                "name": ref.name,
                "namespace": ref.namespace,
                "labels": {"mine": "1", "team": "before"},
                "annotations": {"theirs": "2", "kustomize.toolkit.fluxcd.io/reconcile": "enabled"},
            },
            "spec": {
                "rules": [{"backendRefs": [{"name": owner.apex_name, "port": 80}], "name": "own"}],
                **extra,
            },
        }
        for ref in router.refs(owner)
    ]
