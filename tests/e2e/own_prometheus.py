"""A Prometheus of a test's own, which looks at its namespace alone: it may be stopped without hurting other tests."""

from __future__ import annotations

from typing import Final

import yaml

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import PODS, Ref, Resource
from tests.cluster.node import MANIFESTS
from tests.e2e.place import Place

NAME: Final = "prometheus"
SERVICE_ACCOUNTS: Final = Resource("", "v1", "serviceaccounts", "ServiceAccount")
ROLE_BINDINGS: Final = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")


async def install(place: Place) -> str:
    """Run what the cluster's own Prometheus runs, and return its address; it may look at the pods of this namespace."""
    text = (MANIFESTS / "prometheus.yaml").read_text(encoding="utf-8")
    found: dict[str, JsonObject] = {document["kind"]: document for document in yaml.safe_load_all(text)}
    account = place.ref(SERVICE_ACCOUNTS, NAME)
    await place.client.apply(account, {"metadata": _named(account)})
    binding = place.ref(ROLE_BINDINGS, NAME)
    await place.client.apply(binding, {"metadata": _named(binding), **_may_look(place)})
    await place.apply(_confined(found["ConfigMap"], place.namespace), found["Service"], found["Deployment"])
    await place.available(NAME)
    return f"http://{NAME}.{place.namespace}:9090"


async def stop(place: Place) -> None:
    """Stop it, and wait until nobody answers any more."""
    await place.scale(0, NAME)

    async def gone() -> bool:
        items, _ = await place.client.list(PODS, place.namespace)
        return not [item for item in items if item["metadata"]["labels"].get("app") == NAME]

    await place.until(gone, "end of Prometheus", patience=90)


async def start(place: Place) -> None:
    """Start it again, with nothing of what it knew."""
    await place.scale(1, NAME)
    await place.available(NAME)


def _named(ref: Ref) -> JsonObject:
    return {"name": ref.name, "namespace": ref.namespace}


def _may_look(place: Place) -> JsonObject:
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": place.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME}
    return {"subjects": [subject], "roleRef": role}


def _confined(config: JsonObject, namespace: str) -> JsonObject:
    """Write the same settings for one namespace."""
    file = "prometheus.yml"
    settings = yaml.safe_load(config["data"][file])
    for job in settings["scrape_configs"]:
        for discovery in job["kubernetes_sd_configs"]:
            discovery["namespaces"] = {"names": [namespace]}
    return {**config, "data": {file: yaml.safe_dump(settings)}}
