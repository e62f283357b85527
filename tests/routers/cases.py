"""Canaries that every router is tried with, here and on a real API server."""

from __future__ import annotations

from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.rollout.traffic import Cookies
from flaggerpy.routers.base import Router
from flaggerpy.routers.registry import router_for
from tests.builders import canary

EVERYTHING: dict[str, Any] = {
    "name": "shop-front",
    "port": 8080,
    "gatewayRefs": [{"name": "public", "namespace": "gateways"}],
    "hosts": ["shop.example.com"],
    "timeout": "15s",
    "retries": {"attempts": 3, "perTryTimeout": "1s", "retryOn": "5xx,reset"},
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


COOKIES = {
    "cookieName": "shop.seen",
    "primaryCookieName": "shop-old",
    "domain": "example.com",
    "httpOnly": True,
    "partitioned": True,
    "path": "/",
    "sameSite": "None",
    "secure": True,
}


def cookies_at(weight: int, *, primary: bool = True) -> Cookies:
    """Build the cookies that a route with this share for the canary may know."""
    if weight == 0:
        return Cookies(expired="shop.seen=before")
    return Cookies(canary="shop.seen=now", primary="shop-old=now" if primary and weight < 100 else "")


def canaries(provider: str, namespace: str = "shop") -> dict[str, Canary]:
    """Build canaries that use much of what a route can say; every provider must serve them or ignore what it cannot."""
    spec = {"provider": provider}
    gateways = {"gatewayRefs": EVERYTHING["gatewayRefs"]}
    sticky = {
        "with cookies": canary(namespace=namespace, spec=spec, service=gateways, analysis={"sessionAffinity": COOKIES}),
        "with cookies and every setting": canary(
            namespace=namespace, spec=spec, service=EVERYTHING, analysis={"sessionAffinity": COOKIES}
        ),
    }
    return {
        "plain": canary(namespace=namespace, spec=spec, service=gateways),
        "with every setting": canary(namespace=namespace, spec=spec, service=EVERYTHING),
        "for an audience": canary(namespace=namespace, spec=spec, service=gateways, analysis=AUDIENCE),
        "for an audience, with every setting": canary(
            namespace=namespace, spec=spec, service=EVERYTHING, analysis=AUDIENCE
        ),
        "for a growing share of an audience": canary(
            namespace=namespace, spec=spec, service=gateways, analysis={"match": AUDIENCE["match"], "mirrorWeight": 25}
        ),
        **(sticky if router_for(provider).capabilities.affinity else {}),
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
            "spec": own_spec(ref.resource.kind, owner) | extra,
        }
        for ref in router.refs(owner)
    ]


def own_spec(kind: str, owner: Canary) -> JsonObject:
    """Write the spec of a user's own routing object, which leads to the apex Service."""
    match kind:
        case "HTTPRoute":
            return {"rules": [{"backendRefs": [{"name": owner.apex_name, "port": 80}], "name": "own"}]}
        case "HTTPProxy":
            route = {"services": [{"name": owner.apex_name, "port": 80}], "enableWebsockets": True}
            return {"virtualhost": {"fqdn": f"{owner.namespace}.example.com"}, "routes": [route]}
        case "TrafficSplit":
            return {"service": owner.apex_name, "backends": [{"service": owner.apex_name, "weight": 1}]}
    raise ValueError(f"nobody said what {kind} of a user looks like")


def references(route: JsonObject) -> list[tuple[str, int]]:
    """Return the Services that a routing object names, with their weights as the provider reads them.

    Copies are no share, and nobody misses them.
    """
    spec = route["spec"]
    if route["kind"] == "HTTPProxy":
        parts = [[one for one in part["services"] if not one.get("mirror")] for part in spec["routes"]]
        # Contour: where no Service of a route has a weight, all get the same.
        return [
            (one["name"], int(one.get("weight", 0)) if any(other.get("weight") for other in services) else 1)
            for services in parts
            for one in services
        ]
    if route["kind"] == "TrafficSplit":
        return [(one["service"], int(one["weight"])) for one in spec["backends"]]
    rules = [rule.get("backendRefs") or () for rule in spec["rules"]]
    return [(one["name"], int(one.get("weight", 1))) for backends in rules for one in backends]
