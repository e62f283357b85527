"""An audit log as the API server writes it, without a cluster: one JSON line a request, in audit.k8s.io/v1."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flaggerpy.kube.objects import JsonObject
from tests.cluster.api import Cluster
from tests.integration.process import Account

CONTROLLER = "system:serviceaccount:site-1-1:bench"
USER = "admin"
START = datetime(2031, 5, 17, 8, 30, 15, 250_009, tzinfo=UTC)
GROUPS = {"deployments": "apps", "httproutes": "gateway.networking.k8s.io", "canaries": "flagger.app"}


def request(
    at: float, user: str, what: str, name: str, *, code: int = 200, body: JsonObject | None = None, **fields: Any
) -> JsonObject:
    """Write a finished request; ``what`` is the verb and the resource, as in ``patch deployments/scale``."""
    verb, _, where = what.partition(" ")
    resource, _, subresource = where.partition("/")
    reference = {
        "resource": resource,
        "namespace": "site-1-1",
        "name": name,
        "apiGroup": GROUPS.get(resource),
        "apiVersion": "v1",
        "subresource": subresource or None,
    }
    received = (START + timedelta(seconds=at)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    event = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata" if body is None else "Request",
        "stage": "ResponseComplete",
        "requestURI": f"/apis/{resource}/{name}",
        "verb": verb,
        "user": {"username": user, "groups": ["system:authenticated"]},
        "objectRef": {field: value for field, value in reference.items() if value is not None},
        "responseStatus": {"metadata": {}, "code": code},
        "requestObject": body,
        "requestReceivedTimestamp": received,
        "stageTimestamp": received,
        **fields,
    }
    return {field: value for field, value in event.items() if value is not None}


def route(at: float, name: str, canary: int, **fields: Any) -> JsonObject:
    """Write the controller's apply of a route that gives the canary this share."""
    backends = [
        {"group": "", "kind": "Service", "name": f"{name}-{which}", "port": 80, "weight": weight}
        for which, weight in (("primary", 100 - canary), ("canary", canary))
    ]
    body = {"kind": "HTTPRoute", "metadata": {"name": name}, "spec": {"rules": [{"backendRefs": backends}]}}
    return request(at, CONTROLLER, "patch httproutes", name, body=body, **fields)


def rollout(at: float, name: str, *, reaction: float = 0.084, interval: float = 10.0) -> list[JsonObject]:
    """Write a whole rollout of five steps, with what others write meanwhile, in the order of the log."""
    begun = at + reaction
    manager = "system:serviceaccount:kube-system:deployment-controller"
    events = [
        request(at, USER, "patch deployments", name),
        request(at + 0.01, manager, "update deployments/status", name),
        request(begun - 0.02, CONTROLLER, "patch deployments/scale", name, code=409),
        request(begun, CONTROLLER, "patch deployments/scale", name),
        request(begun + 0.01, CONTROLLER, "update canaries/status", name),
        request(begun + 0.02, CONTROLLER, "create events", f"{name}.17f3", code=201),
    ]
    for step in range(1, 6):
        moved = begun + 0.1 + (step - 1) * interval
        events += [route(moved, name, 10 * step), request(moved + 0.01, USER, "patch httproutes/status", name)]
    done = begun + 0.2 + 5 * interval
    return [
        *events,
        request(done, CONTROLLER, "update deployments", f"{name}-primary"),
        request(done + 0.01, CONTROLLER, "patch deployments/scale", f"{name}-primary"),
        route(done + 0.3, name, 0),
        request(done + 10.3, CONTROLLER, "patch deployments/scale", name),
        route(done + 11.0, name, 0),
    ]


def logged(events: Iterable[JsonObject], folder: Path) -> Cluster:
    """Write a log whose last line is still being written, and return the cluster that it is of."""
    file = folder / "audit.log"
    file.write_text("".join(json.dumps(event) + "\n" for event in events) + '{"kind":"Ev', encoding="utf-8")
    return Cluster(kubeconfig=folder / "kubeconfig", kind="control-plane", audit_log=file, home=None)


def account(folder: Path) -> Account:
    """Return the controller's account."""
    return Account("bench", CONTROLLER, folder / "bench.yaml")
