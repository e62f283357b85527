"""Canaries that every router is tried with, here and on a real API server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.api.status import CanaryStatus, Revision, RolloutStatus
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import GATEWAY_ROUTES, INGRESSES, Ref
from flaggerpy.rollout.traffic import Cookies, Routes
from flaggerpy.routers.base import Router
from flaggerpy.routers.knative import KnativeRouter
from flaggerpy.routers.registry import router_for, router_of
from flaggerpy.routers.traefik import TraefikRouter
from tests.builders import canary, same_but

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
OF_ISTIO: dict[str, dict[str, Any]] = {
    "at a gateway, with a traffic policy": {
        "gateways": ["public/gateway", "mesh"],
        "trafficPolicy": {"loadBalancer": {"simple": "LEAST_REQUEST"}, "tls": {"mode": "ISTIO_MUTUAL"}},
        "portDiscovery": True,
    },
    "as a delegate": {"delegation": True, "portDiscovery": True, "match": [{"uri": {"prefix": "/a"}}]},
    "of TCP": {"appProtocol": "TCP", "gateways": ["public/tcp"], "match": [{"port": 6379}]},
}
BESIDE = frozenset({"DestinationRule", "Upstream"})
"""Kinds of objects that lead nobody anywhere, and go with our Services."""
ABORTED = {"httpStatus": 503, "percentage": {"value": 0.1}}
WITHOUT_GENERATION = frozenset({"RouteTable"})
"""Kinds whose data plane does not tell which generation its answer is about."""
AT_ONCE = (TraefikRouter, KnativeRouter)
"""Providers whose proxies learn of routes, Services and addresses together, so that nothing has to go ahead."""
PRIMARY = "web-00001"
"""The revision of a Knative service that is its primary."""

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


AUDIENCES_OF_ROUTES = {"HTTPRoute": AUDIENCE["match"], "GRPCRoute": [{"headers": {"x-canary": {"regex": "in.*"}}}]}
"""Kinds of routes that users bring along and that choose users, and whom."""

TESTS_OF_ROUTES: dict[str, JsonObject] = {"": AUDIENCE, " first": {"matchFirst": True}}
"""What becomes of everybody else meanwhile, by how their cases are called."""

ON_AN_INGRESS = ("nginx", "skipper", "alb")
"""Providers that need spec.ingressRef."""


def canaries(provider: str, namespace: str = "shop") -> dict[str, Canary]:
    """Build canaries that use much of what a route can say; every provider must serve them or ignore what it cannot."""
    can = router_for(provider).capabilities
    if provider == "knative":
        return {"plain": of_knative(namespace)}
    spec: JsonObject = {"provider": provider}
    if provider in ON_AN_INGRESS:
        spec["ingressRef"] = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "front"}
    if provider == "apisix":
        spec["routeRef"] = {"apiVersion": "apisix.apache.org/v2", "kind": "ApisixRoute", "name": "way"}
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
    audiences = {
        "for an audience": canary(namespace=namespace, spec=spec, service=gateways, analysis=audience),
        "for an audience, with every setting": canary(
            namespace=namespace, spec=spec, service=EVERYTHING, analysis=audience
        ),
        **({} if can.whole_audience else {"for a growing share of an audience": growing}),
    }
    first = {"match": audience["match"], "matchFirst": True, "mirrorWeight": 25}
    audiences |= {
        "for an audience first": canary(namespace=namespace, spec=spec, service=gateways, analysis=first),
        "for an audience first, with every setting": canary(
            namespace=namespace, spec=spec, service=EVERYTHING, analysis=first
        ),
    }
    return {
        "plain": canary(namespace=namespace, spec=spec, service=gateways),
        "with every setting": canary(namespace=namespace, spec=spec, service=EVERYTHING),
        # Without users there is no audience; where users are moved, a provider that cannot choose them refuses it.
        **(audiences if can.match or not can.weights else {}),
        **(sticky if can.affinity else {}),
        **{
            f"with {kind} brought along": canary(namespace=namespace, spec=spec | brought(kind))
            for kind in (GATEWAY_ROUTES if can.brings else ())
        },
        **{
            f"with {kind} brought along, for an audience{title}": canary(
                namespace=namespace, spec=spec | brought(kind), analysis={**analysis, "match": match}
            )
            for kind, match in (AUDIENCES_OF_ROUTES.items() if can.brings else ())
            for title, analysis in TESTS_OF_ROUTES.items()
        },
        **{
            title: canary(namespace=namespace, spec=spec, service=service)
            for title, service in (OF_ISTIO if provider == "istio" else {}).items()
        },
    }


def of_knative(namespace: str) -> Canary:
    """Build a canary of a Knative service whose first revision was promoted."""
    target = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "web"}
    made = canary(namespace=namespace, spec={"provider": "knative", "targetRef": target, "service": None})
    promoted = Revision(template="v1", controller_revision=PRIMARY)
    return same_but(made, status=CanaryStatus(rollout=RolloutStatus(promoted=promoted)))


def brought(kind: str, **ref: str) -> JsonObject:
    """Write the reference to a route of the Gateway API that its user brings along."""
    return {"routeRef": {"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "name": "way", **ref}}


def router_behind(owner: Canary) -> Router:
    """Return the router of one of these canaries."""
    return router_of(owner, owner.spec.provider or "")


def admits_copies(router: Router, owner: Canary) -> bool:
    """Tell whether requests of a canary can be copied; connections cannot."""
    service = owner.spec.service
    return router.capabilities.mirror and (service is None or service.app_protocol != "TCP")


def routes_in(live: Mapping[Ref, JsonObject]) -> list[JsonObject]:
    """Return the objects through which users come."""
    return [obj for obj in live.values() if obj["kind"] not in BESIDE]


def admits(router: Router, owner: Canary, routes: Routes) -> bool:
    """Tell whether a router's capabilities admit these shares for a canary."""
    can = router.capabilities
    shared = routes.canary not in {0, 100}
    chosen = bool(owner.analysis.match) and not owner.analysis.audience_first
    whole = not can.weights or (can.whole_audience and chosen)
    return not (shared and whole) and not (routes.mirrored and not admits_copies(router, owner))


def prerequisites(router: Router, owner: Canary) -> list[JsonObject]:
    """Build what a user must have made for a route to be written at all."""
    if owner.spec.route_ref:
        return [obj for obj in foreign_routes(router, owner) if obj["metadata"]["name"] == owner.spec.route_ref.name]
    if owner.spec.target_ref.is_knative:
        return foreign_routes(router, owner)
    own = own_ingress(owner, {}) if owner.spec.ingress_ref else None
    return [own] if own is not None and INGRESSES in {ref.resource for ref in router.refs(owner)} else []


def own_ingress(owner: Canary, extra: JsonObject) -> JsonObject:
    """Build an Ingress that leads to the apex Service, and to that of others."""
    assert owner.spec.ingress_ref is not None
    ports: dict[str, JsonObject] = {"/": {"number": _port(owner)}, "/for-alb": {"name": "use-annotation"}}
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


def _port(owner: Canary) -> int:
    return owner.spec.service.port if owner.spec.service else 80


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
            "spec": (_own_service(owner) if owner.spec.target_ref.is_knative else own_spec(ref.resource.kind, owner))
            | extra,
            **({"mesh": "default"} if ref.resource.kind == "TrafficRoute" else {}),
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


def _own_service(owner: Canary) -> JsonObject:
    """Write the spec of a Knative service as a user's own."""
    template = {"spec": {"containers": [{"image": f"registry.example.com/{owner.target_name}:1"}]}}
    return {"template": template, "traffic": [{"latestRevision": True, "percent": 100}]}


def own_spec(kind: str, owner: Canary) -> JsonObject:
    """Write the spec of a user's own routing object, which leads to the apex Service."""
    match kind:
        case "HTTPRoute" | "GRPCRoute" | "TLSRoute" | "TCPRoute":
            more: JsonObject = {"hostnames": ["tls.example.com"]} if kind == "TLSRoute" else {}
            rule = {"backendRefs": [{"name": owner.apex_name, "port": _port(owner)}], "name": "own"}
            return {**more, "parentRefs": EVERYTHING["gatewayRefs"], "rules": [rule]}
        case "HTTPProxy":
            route = {"services": [{"name": owner.apex_name, "port": 80}], "enableWebsockets": True}
            return {"virtualhost": {"fqdn": f"{owner.namespace}.example.com"}, "routes": [route]}
        case "VirtualService":
            own = {"name": "own", "route": [{"destination": {"host": owner.apex_name}}], "fault": {"abort": ABORTED}}
            protocol = "tcp" if owner.spec.service and owner.spec.service.app_protocol == "TCP" else "http"
            routes = {"tcp": [{"route": own["route"]}], "http": [own]}
            return {"hosts": [owner.apex_name], "exportTo": ["."], protocol: routes[protocol]}
        case "DestinationRule":
            hashed = {"loadBalancer": {"consistentHash": {"useSourceIp": True}}}
            return {"host": owner.primary_service_name, "trafficPolicy": hashed, "subsets": [{"name": "v1"}]}
        case "TraefikService":
            return {"weighted": {"services": [{"name": owner.apex_name, "port": 80}], "sticky": {"cookie": {}}}}
        case "TrafficRoute":
            mine = {"kuma.io/service": f"{owner.apex_name}_{owner.namespace}_svc_8080"}
            conf = {"split": [{"destination": mine, "weight": 1}], "loadBalancer": {"random": {}}}
            return {"sources": [{"match": {"kuma.io/service": "*"}}], "destinations": [{"match": mine}], "conf": conf}
        case "RouteTable":
            kube = {"ref": {"name": owner.apex_name, "namespace": owner.namespace}, "port": 80}
            return {"routes": [{"matchers": [{"prefix": "/"}], "routeAction": {"single": {"kube": kube}}}]}
        case "Upstream":
            return {"kube": {"serviceName": owner.apex_name, "serviceNamespace": owner.namespace, "servicePort": 80}}
        case "ApisixRoute":
            backends = [{"serviceName": owner.apex_name, "servicePort": _port(owner)}]
            return {"http": [{"name": "rule", "match": {"paths": ["/*"]}, "backends": backends}]}
        case "TrafficSplit":
            return {"service": owner.apex_name, "backends": [{"service": owner.apex_name, "weight": 1}]}
    raise ValueError(f"nobody said what {kind} of a user looks like")


def answer(route: JsonObject, generation: int, *, good: bool = True) -> JsonObject:
    """Write the status in which a data plane says that it serves a route in a generation, or why not."""
    truth = {"status": str(good), "observedGeneration": generation, "reason": "Why", "message": "so it is"}
    match route["kind"]:
        case "HTTPRoute" | "GRPCRoute" | "TLSRoute" | "TCPRoute":
            conditions = [{"type": kind, **truth} for kind in ("Accepted", "ResolvedRefs")]
            return {"parents": [{"parentRef": one, "conditions": conditions} for one in route["spec"]["parentRefs"]]}
        case "HTTPProxy":
            return {"conditions": [{"type": "Valid", **truth}]}
        case "ApisixRoute":
            return {"conditions": [{"type": "ResourcesAvailable", **truth}]}
        case "Service":
            conditions = [{"type": "RoutesReady", "status": str(good), "message": "so it is"}]
            return {"observedGeneration": generation, "traffic": route["spec"]["traffic"], "conditions": conditions}
        case "RouteTable":
            return {"statuses": {"gloo-system": {"state": "Accepted" if good else "Rejected", "reason": "so it is"}}}
    raise ValueError(f"nobody said how a data plane answers about {route['kind']}")


def references(route: JsonObject) -> list[tuple[str, int]]:
    """Return the Services that a routing object names, with their weights as the provider reads them.

    Copies are no share, and nobody misses them.
    """
    spec = route["spec"]
    if route["kind"] == "VirtualService":
        return [
            (one["destination"]["host"], int(one.get("weight", 0)) if len(part["route"]) > 1 else 100)
            for part in (*spec.get("http", ()), *spec.get("tcp", ()))
            for one in part["route"]
        ]
    if route["kind"] == "TraefikService":
        return [(one["name"], int(one.get("weight", 1))) for one in spec["weighted"]["services"]]
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
    if route["kind"] == "RouteTable":
        actions = [part["routeAction"] for part in spec["routes"]]
        everybody = [(action["single"]["kube"]["ref"]["name"], 1) for action in actions if "single" in action]
        several = [one for action in actions if "multi" in action for one in action["multi"]["destinations"]]
        return everybody + [(_service_behind(one["destination"]), one.get("weight", 0)) for one in several]
    if route["kind"] == "TrafficRoute":
        split = [(one["destination"]["kuma.io/service"], one["weight"]) for one in spec["conf"]["split"]]
        return [(name.partition("_")[0], weight) for name, weight in split]
    if route["kind"] == "ApisixRoute":
        rules = [rule["backends"] for rule in spec["http"]]
        return [(one["serviceName"], one.get("weight", 100)) for backends in rules for one in backends]
    if route["kind"] == "Service":
        name, pinned = route["metadata"]["name"], any(one.get("revisionName") == PRIMARY for one in spec["traffic"])
        newest = f"{name}-canary" if pinned or "flaggerpy.dev/canary" in route["metadata"]["annotations"] else name
        return [(newest if one.get("latestRevision") else f"{name}-primary", one["percent"]) for one in spec["traffic"]]
    if route["kind"] == "TrafficSplit":
        return [(one["service"], int(one["weight"])) for one in spec["backends"]]
    rules = [rule.get("backendRefs") or () for rule in spec["rules"]]
    return [(one["name"], int(one.get("weight", 1))) for backends in rules for one in backends]


def audience_and_others(route: JsonObject, owner: Canary) -> tuple[set[int], set[int]]:
    """Return the canary's shares of the audience, and of everybody else, in percent."""
    if route["kind"] == "Ingress":
        given = route["metadata"]["annotations"]
        chosen = any("canary-by" in key for key in given)
        return {100 if chosen else 0}, {int(given["nginx.ingress.kubernetes.io/canary-weight"])}
    field = {"HTTPRoute": "rules", "GRPCRoute": "rules", "VirtualService": "http"}.get(route["kind"], "routes")
    found: tuple[set[int], set[int]] = set(), set()
    for part in route["spec"][field]:
        weights = dict(references({**route, "spec": {field: [part]}}))
        share = round(100 * weights[owner.canary_service_name] / sum(weights.values()))
        asked = any(json.dumps(word) in json.dumps(part) for word in ("x-canary", "v"))
        found[0 if asked else 1].add(share)
    return found


def _service_behind(destination: JsonObject) -> str:
    """Return the Service of a destination of Gloo; the name of an Upstream of ours has it in the middle."""
    if "kube" in destination:
        return str(destination["kube"]["ref"]["name"])
    upstream = destination["upstream"]
    service, _, _ = upstream["name"].removeprefix(f"{upstream['namespace']}-").rpartition("upstream-")
    return str(service)


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
