"""What a user of the end-to-end tests writes: podinfo with a Service and a route of its own, and Canaries for it."""

from __future__ import annotations

from typing import Any

from flaggerpy.kube.objects import JsonObject
from tests.integration import objects
from tests.integration.site import IMAGE

GATEWAY: JsonObject = {"name": "contour", "namespace": "projectcontour"}
PORT = 9898
LOADTESTER = "http://flagger-loadtester.test"


def container(tag: str, *flags: str, **more: Any) -> JsonObject:
    """Write podinfo's container; it goes on serving for three seconds after it was told to end."""
    return {
        "name": "podinfod",
        "image": f"{IMAGE}:{tag}",
        "command": ["./podinfo", f"--port={PORT}", "--level=error", *flags],
        "ports": [{"name": "http", "containerPort": PORT}],
        # A release that is bad on purpose is bad to probes as well.
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": "http"},
            "periodSeconds": 1,
            "timeoutSeconds": 2,
            "failureThreshold": 10,
        },
        "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
        # More than a controller asks for: what serves users goes first on a busy machine.
        "resources": {"requests": {"cpu": "20m", "memory": "16Mi"}},
        **more,
    }


def deployment(
    tag: str = "6.0.0", *, replicas: int = 2, volumes: tuple[JsonObject, ...] = (), **more: Any
) -> JsonObject:
    """Write podinfo's Deployment; ``more`` adds to its container."""
    labels = {"app": "podinfo"}
    scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "podinfo", "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": scraped},
                "spec": {"containers": [container(tag, **more)], "volumes": list(volumes)},
            },
        },
    }


def daemon_set(tag: str = "6.0.0") -> JsonObject:
    """Write podinfo as a DaemonSet whose old pods go when new ones are ready, as there is one node only."""
    made = deployment(tag)
    spec = {key: made["spec"][key] for key in ("selector", "template")}
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    return {**made, "kind": "DaemonSet", "spec": {**spec, "updateStrategy": strategy}}


def service() -> JsonObject:
    """Write the user's own Service."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "podinfo", "labels": {"team": "payments"}},
        "spec": {"selector": {"app": "podinfo"}, "ports": [{"name": "http", "port": 80, "targetPort": PORT}]},
    }


def route(host: str, gateway: JsonObject = GATEWAY) -> JsonObject:
    """Write the user's own HTTPRoute."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "podinfo"},
        "spec": {
            "parentRefs": [gateway],
            "hostnames": [host],
            "rules": [{"backendRefs": [{"name": "podinfo", "port": 80}]}],
        },
    }


def ingress(host: str) -> JsonObject:
    """Write the user's own Ingress, which knows nothing of canaries."""
    backend = {"service": {"name": "podinfo", "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "podinfo"},
        "spec": {"rules": [{"host": host, "http": {"paths": [path]}}]},
    }


def root_proxy(host: str) -> JsonObject:
    """Write the HTTPProxy that has the host and includes the service's own."""
    include = {"name": "podinfo", "conditions": [{"prefix": "/"}]}
    return proxy("front", {"virtualhost": {"fqdn": host}, "includes": [include]})


def own_proxy(host: str = "") -> JsonObject:
    """Write the user's own HTTPProxy for the service, with a host or to be included."""
    spec = {"routes": [{"services": [{"name": "podinfo", "port": 80}]}]}
    return proxy("podinfo", spec | ({"virtualhost": {"fqdn": host}} if host else {}))


def proxy(name: str, spec: JsonObject) -> JsonObject:
    """Write an HTTPProxy."""
    return {"apiVersion": "projectcontour.io/v1", "kind": "HTTPProxy", "metadata": {"name": name}, "spec": spec}


def proxied(**analysis: Any) -> JsonObject:
    """Write a Canary of provider contour."""
    return objects.proxied(analysis)


def progressive(host: str, *, step: int = 25, most: int = 50, revert: bool = False, **analysis: Any) -> JsonObject:
    """Write a Canary whose traffic grows in steps behind the Gateway."""
    return routed(host, revert=revert, stepWeight=step, maxWeight=most, **analysis)


def routed(host: str, *, revert: bool = False, **analysis: Any) -> JsonObject:
    """Write a Canary behind the Gateway."""
    return objects.canary(
        "podinfo",
        analysis,
        provider="gatewayapi:v1",
        service={"gatewayRefs": [GATEWAY], "hosts": [host]},
        revertOnDeletion=revert,
    )


def blue_green(*, iterations: int = 3, **analysis: Any) -> JsonObject:
    """Write a Canary that switches at the apex Service."""
    return objects.blue_green(iterations=iterations, **analysis)


def builtin_metrics(window: str = "20s", *, slowest: int = 500) -> list[JsonObject]:
    """Write the two built-in checks, ``slowest`` in milliseconds; Prometheus scrapes every five seconds."""
    return [
        {"name": "request-success-rate", "interval": window, "thresholdRange": {"min": 99}},
        {"name": "request-duration", "interval": window, "thresholdRange": {"max": slowest}},
    ]


def gate(kind: str, path: str = "gate/check") -> JsonObject:
    """Write a hook that asks a gate of the load tester."""
    return {"name": f"{kind} at the load tester", "type": kind, "url": f"{LOADTESTER}/{path}", "timeout": "5s"}


def task(kind: str, name: str, cmd: str, *, timeout: str = "30s", **metadata: str) -> JsonObject:
    """Write a hook that has the load tester run a command."""
    metadata = {"cmd": cmd, **metadata}
    return {"name": name, "type": kind, "url": f"{LOADTESTER}/", "timeout": timeout, "metadata": metadata}


def says_token(address: str, *, host: str = "") -> str:
    """Write an acceptance test: podinfo gives whoever asks a token."""
    named = f"-H 'Host: {host}' " if host else ""
    return f"curl --silent --fail --data anybody {named}{address}/token | grep --fixed-strings token"


def autoscaler(*, low: int = 2, high: int = 5, millicores: int = 4) -> JsonObject:
    """Write an autoscaler that wants little of the processor from each pod, and forgets what was before at once."""
    processor = {"name": "cpu", "target": {"type": "AverageValue", "averageValue": f"{millicores}m"}}
    return objects.autoscaler(
        low=low,
        high=high,
        metrics=[{"type": "Resource", "resource": processor}],
        behavior={"scaleDown": {"stabilizationWindowSeconds": 0}},
    )
