"""Canaries that every router is tried with, here and on a real API server."""

from __future__ import annotations

import json
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import INGRESSES
from flaggerpy.rollout.traffic import Cookies, Routes
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


ONE_HEADER_OR_COOKIE = {
    **AUDIENCE,
    "match": [{"headers": {"x-canary": {"exact": "insider"}}}, {"headers": {"cookie": {"exact": "beta"}}}],
}
"""What a provider with ``whole_audience`` can choose users by."""

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


ON_AN_INGRESS = ("nginx", "skipper", "alb")
"""Providers that need spec.ingressRef."""


def canaries(provider: str, namespace: str = "shop") -> dict[str, Canary]:
    """Build canaries that use much of what a route can say; every provider must serve them or ignore what it cannot."""
    can = router_for(provider).capabilities
    spec: JsonObject = {"provider": provider}
    if provider in ON_AN_INGRESS:
        spec["ingressRef"] = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "front"}
    audience = ONE_HEADER_OR_COOKIE if can.whole_audience else AUDIENCE
    gateways = {"gatewayRefs": EVERYTHING["gatewayRefs"]}
    sticky = {
        "with cookies": canary(namespace=namespace, spec=spec, service=gateways, analysis={"sessionAffinity": COOKIES}),
        "with cookies and every setting": canary(
            namespace=namespace, spec=spec, service=EVERYTHING, analysis={"sessionAffinity": COOKIES}
        ),
    }
    growing = canary(
        namespace=namespace, spec=spec, service=gateways, analysis={"match": AUDIENCE["match"], "mirrorWeight": 25}
    )
    return {
        "plain": canary(namespace=namespace, spec=spec, service=gateways),
        "with every setting": canary(namespace=namespace, spec=spec, service=EVERYTHING),
        "for an audience": canary(namespace=namespace, spec=spec, service=gateways, analysis=audience),
        "for an audience, with every setting": canary(
            namespace=namespace, spec=spec, service=EVERYTHING, analysis=audience
        ),
        **({} if can.whole_audience else {"for a growing share of an audience": growing}),
        **(sticky if can.affinity else {}),
    }


def admits(router: Router, owner: Canary, routes: Routes) -> bool:
    """Tell whether a router's capabilities admit these shares for a canary."""
    can = router.capabilities
    shared = routes.canary not in {0, 100}
    whole = not can.weights or (can.whole_audience and bool(owner.analysis.match))
    return not (shared and whole) and not (routes.mirrored and not can.mirror)


def prerequisites(router: Router, owner: Canary) -> list[JsonObject]:
    """Build what a user must have made for a route to be written at all."""
    own = own_ingress(owner, {}) if owner.spec.ingress_ref else None
    return [own] if own is not None and INGRESSES in {ref.resource for ref in router.refs(owner)} else []


def own_ingress(owner: Canary, extra: JsonObject) -> JsonObject:
    """Build an Ingress that leads to the apex Service, and to that of others."""
    assert owner.spec.ingress_ref is not None
    ports: dict[str, JsonObject] = {"/": {"number": 80}, "/for-alb": {"name": "use-annotation"}}
    paths = [_path(path, owner.apex_name, port) for path, port in ports.items()]
    rules: list[JsonObject] = [
        {
            "host": f"{owner.namespace}.example.com",
            "http": {"paths": [*paths, _path("/other", "other", {"number": 1})]},
        },
        {"host": "other.example.com"},
    ]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": owner.spec.ingress_ref.name, "namespace": owner.namespace},
        "spec": {"rules": rules} | extra,
    }


def _path(path: str, name: str, port: JsonObject) -> JsonObject:
    return {"path": path, "pathType": "Prefix", "backend": {"service": {"name": name, "port": port}}}


def foreign_routes(router: Router, owner: Canary, **extra: Any) -> list[dict[str, Any]]:
    """Build routing objects that a user made by hand, under the names that the canary needs."""
    if owner.spec.provider in ON_AN_INGRESS:
        return [_foreign_ingress(owner, extra)]
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


def _foreign_ingress(owner: Canary, extra: JsonObject) -> JsonObject:
    group = {"serviceName": owner.apex_name, "servicePort": 80}
    action = {"type": "forward", "forwardConfig": {"targetGroups": [group]}}
    key = f"alb.ingress.kubernetes.io/actions.{owner.apex_name}"
    made = own_ingress(owner, extra)
    made["metadata"] |= {
        "labels": {"mine": "1", "team": "before"},
        "annotations": {"theirs": "2"} | ({key: json.dumps(action)} if owner.spec.provider == "alb" else {}),
    }
    return made


def own_spec(kind: str, owner: Canary) -> JsonObject:
    """Write the spec of a user's own routing object, which leads to the apex Service."""
    match kind:
        case "HTTPRoute":
            return {"rules": [{"backendRefs": [{"name": owner.apex_name, "port": 80}], "name": "own"}]}
        case "HTTPProxy":
            route = {"services": [{"name": owner.apex_name, "port": 80}], "enableWebsockets": True}
            return {"virtualhost": {"fqdn": f"{owner.namespace}.example.com"}, "routes": [route]}
    raise ValueError(f"nobody said what {kind} of a user looks like")


def references(route: JsonObject) -> list[tuple[str, int]]:
    """Return the Services that a routing object names, with their weights as the provider reads them.

    Copies are no share, and nobody misses them.
    """
    spec = route["spec"]
    if route["kind"] == "Ingress":
        return _references_of_ingress(route)
    if route["kind"] == "HTTPProxy":
        parts = [[one for one in part["services"] if not one.get("mirror")] for part in spec["routes"]]
        # Contour: where no Service of a route has a weight, all get the same.
        return [
            (one["name"], int(one.get("weight", 0)) if any(other.get("weight") for other in services) else 1)
            for services in parts
            for one in services
        ]
    rules = [rule.get("backendRefs") or () for rule in spec["rules"]]
    return [(one["name"], int(one.get("weight", 1))) for backends in rules for one in backends]


def _references_of_ingress(route: JsonObject) -> list[tuple[str, int]]:
    """Return the Services of an Ingress with what its annotations say of shares; of a user's own all of it."""
    given = route["metadata"].get("annotations") or {}
    paths = [path for rule in route["spec"]["rules"] for path in (rule.get("http") or {}).get("paths", ())]
    names = dict.fromkeys(path["backend"]["service"]["name"] for path in paths)
    actions = [json.loads(text) for key, text in given.items() if key.startswith("alb.ingress.kubernetes.io/actions.")]
    if actions:
        groups = [group for action in actions for group in action["forwardConfig"]["targetGroups"]]
        return [(group["serviceName"], group.get("weight", 1)) for group in groups]
    if "nginx.ingress.kubernetes.io/canary" in given:
        by_audience = any("canary-by" in key for key in given)
        weight = int(given["nginx.ingress.kubernetes.io/canary-weight"])
        return [(name, 1 if by_audience else weight) for name in names]
    if "zalando.org/backend-weights" in given:
        off = given["zalando.org/skipper-predicate"].startswith("False()")
        weights = json.loads(given["zalando.org/backend-weights"])
        return [(name, 0 if off else weights[name]) for name in names]
    return [(name, 100) for name in names if name != "other"]
