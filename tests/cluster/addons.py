"""What is put on a running cluster: CRDs, data planes, Prometheus, metrics-server, KEDA, and podinfo's images.

The manifests of others come from the cache; what must differ here (images, one replica, addresses) is changed in
memory before they are applied.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import launch
from tests.cluster.build import obtain
from tests.cluster.cache import only_one
from tests.cluster.components import NODE_IP
from tests.cluster.errors import ClusterError
from tests.cluster.images import load
from tests.cluster.node import MANIFESTS, containerd_socket
from tests.cluster.parts import PODINFO_VERSIONS, TRAEFIK_CRDS
from tests.cluster.progress import Progress
from tests.cluster.state import Home, Kind
from tests.cluster.stock import STOCK, stock_images

Manifest = dict[str, Any]

CONTOUR_NAMESPACE = "projectcontour"
ISTIO_NAMESPACE = "istio-system"
TRAEFIK_NAMESPACE = "traefik"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
GATEWAY = {"namespace": CONTOUR_NAMESPACE, "name": "contour"}
_NOT_SERVED = ("tlsroutes", "tcproutes", "backendtlspolicies")
"""Kinds that Contour would watch in versions which the newer CRDs no longer serve; it would not start."""
_HTTP_PROXIES = "httpproxies.projectcontour.io"
_TRAEFIK_KINDS = ("ingressroutes.traefik.io", "traefikservices.traefik.io")
_ISTIO_KINDS = ("virtualservices.networking.istio.io", "destinationrules.networking.istio.io")
_SCALED_OBJECTS = "scaledobjects.keda.sh"
_CONTOUR_IMAGES = {"contour": "localhost/contour:local", "envoy": "localhost/envoy:local"}


def install(home: Home, names: Iterable[str], progress: Progress) -> None:
    """Put the named add-ons on a cluster and wait until they work; a second caller waits for the first.

    Two applies of the same new object at once can end as a conflict of the one that came second.
    """
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in ADDONS]
    if unknown:
        raise ClusterError(f"No such add-on: {', '.join(unknown)}. There are: {', '.join(ADDONS)}.")
    with only_one(home.folder / "addons.lock"):
        for name in wanted:
            with progress.part(f"add-on {name}"):
                ADDONS[name](home, progress)


def load_images(home: Home, archives: Iterable[Path]) -> None:
    """Bring image archives into the node."""
    spec = home.spec()
    if spec is None or spec.kind is not Kind.FULL:
        raise ClusterError("Only the full node has a place for images; pods of the control plane just look ready.")
    ctr = Path(spec.parts["node-tools"]) / "usr/bin/ctr"
    load(str(ctr), containerd_socket(home), archives)


def _gateway_api(home: Home, progress: Progress) -> None:
    folder = obtain(["gateway-api"], progress)["gateway-api"] / "config/crd/standard"
    documents = [document for path in sorted(folder.glob("gateway.networking*.yaml")) for document in _read(path)]
    _apply(home, documents)
    # By name: other tests may be taking theirs away at this moment.
    kinds = [f"crd/{doc['metadata']['name']}" for doc in documents if doc["kind"] == "CustomResourceDefinition"]
    _kubectl(home, "wait", "--for=condition=Established", *kinds, "--timeout=60s")


def _contour_crds(home: Home, progress: Progress) -> None:
    crds = _read(_contour_manifests(progress) / "01-crds.yaml")
    _apply(home, [crd for crd in crds if crd["metadata"]["name"] == _HTTP_PROXIES])
    _kubectl(home, "wait", "--for=condition=Established", f"crd/{_HTTP_PROXIES}", "--timeout=60s")


def _contour_manifests(progress: Progress) -> Path:
    return obtain(["contour-manifests"], progress)["contour-manifests"] / "examples/contour"


def _contour(home: Home, progress: Progress) -> None:
    _gateway_api(home, progress)
    _load_stock(home, ("contour", "envoy"), progress)
    folder = _contour_manifests(progress)
    documents = [adapt(document) for path in sorted(folder.glob("*.yaml")) for document in _read(path)]
    _apply(home, [document for document in documents if document["kind"] == "CustomResourceDefinition"])
    late = ("Deployment", "DaemonSet")
    early = [document for document in documents if document["kind"] not in {"CustomResourceDefinition", *late}]
    _apply(home, early)
    # Pods that look for a missing Secret wait longer and longer: let the certificates come first.
    _kubectl(home, "wait", "--for=condition=Complete", "job", "--all", "-n", CONTOUR_NAMESPACE, "--timeout=120s")
    _apply(home, [document for document in documents if document["kind"] in late])
    _apply(home, _read(MANIFESTS / "gateway.yaml"))
    for workload in ("deployment/contour", "daemonset/envoy"):
        _kubectl(home, "rollout", "status", workload, "-n", CONTOUR_NAMESPACE, "--timeout=120s")
    ready = ("wait", "--for=condition=Programmed", "gateway/contour", "-n", CONTOUR_NAMESPACE, "--timeout=60s")
    _kubectl(home, *ready)


def adapt(document: Manifest) -> Manifest:
    """A manifest of Contour's example, changed for one node without a route out."""
    kind, name = document["kind"], document["metadata"]["name"]
    if kind in {"Deployment", "DaemonSet", "Job"}:
        pod = document["spec"]["template"]
        for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]:
            program = "envoy" if container["name"] == "envoy" else "contour"
            container |= {"image": _CONTOUR_IMAGES[program], "imagePullPolicy": "Never"}
            # Users must not wait for the proxy because some pod nearby is busy starting.
            container["resources"] = {"requests": {"cpu": "500m" if program == "envoy" else "30m"}}
        if kind == "DaemonSet":
            scraped = {"scrape": "true", "port": "8002", "path": "/stats/prometheus"}
            pod["metadata"]["annotations"] = {f"prometheus.io/{key}": value for key, value in scraped.items()}
        if kind == "Deployment":
            document["spec"]["replicas"] = 1
            container = pod["spec"]["containers"][0]
            container["readinessProbe"]["periodSeconds"] = 1
            container["args"] += [f"--disable-feature={kind}" for kind in _NOT_SERVED]
    elif kind == "ConfigMap" and name == "contour":
        settings = {"gateway": {"gatewayRef": GATEWAY}, "ingress-status-address": NODE_IP}
        document["data"] = {"contour.yaml": json.dumps(settings)}
    elif kind == "Service" and name == "envoy":
        document["spec"] |= {"type": "ClusterIP"}
        del document["spec"]["externalTrafficPolicy"]
    return document


def _prometheus(home: Home, progress: Progress) -> None:
    _load_stock(home, ("prometheus",), progress)
    _apply(home, _read(MANIFESTS / "prometheus.yaml"))
    _kubectl(home, "rollout", "status", "deployment/prometheus", "-n", "monitoring", "--timeout=120s")


def _metrics_server(home: Home, progress: Progress) -> None:
    _load_stock(home, ("metrics-server",), progress)
    _apply(home, _read(MANIFESTS / "metrics-server.yaml"))
    _kubectl(home, "rollout", "status", "deployment/metrics-server", "-n", "kube-system", "--timeout=120s")
    _kubectl(home, "wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io", "--timeout=120s")


def _istio_crds(home: Home, progress: Progress) -> None:
    folder = obtain(["istio-api"], progress)["istio-api"] / "kubernetes"
    _crds(home, folder / "customresourcedefinitions.gen.yaml", _ISTIO_KINDS)


def _traefik_crds(home: Home, progress: Progress) -> None:
    folder = obtain(["traefik-crds"], progress)["traefik-crds"] / TRAEFIK_CRDS
    _crds(home, folder / "kubernetes-crd-definition-v1.yml", _TRAEFIK_KINDS)


def _smi_crds(home: Home, progress: Progress) -> None:
    (document,) = _read(obtain(["smi-crds"], progress)["smi-crds"] / "crds" / "split.yaml")
    _apply(home, [traffic_splits(document)])
    _kubectl(home, "wait", "--for=condition=Established", f"crd/{document['metadata']['name']}", "--timeout=60s")


def traffic_splits(document: Manifest) -> Manifest:
    """The CRD of SMI in the form that is still served, with all versions served that meshes came with.

    It is written for the last of them. The first one has quantities as weights, which its schema does not admit.
    """
    spec = document["spec"]
    last = {"type": "object", **spec["validation"]["openAPIV3Schema"]}
    schemas = {"v1alpha1": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [
        {
            "name": version["name"],
            "served": True,
            "storage": version["storage"],
            "schema": {"openAPIV3Schema": schemas.get(version["name"], last)},
        }
        for version in spec["versions"]
    ]
    wanted = {field: spec[field] for field in ("group", "scope", "names")} | {"versions": versions}
    return {**document, "apiVersion": "apiextensions.k8s.io/v1", "spec": wanted}


def _istio(home: Home, progress: Progress) -> None:
    _gateway_api(home, progress)
    _load_stock(home, ("istiod", "envoy"), progress)
    folder = obtain(["istio-api"], progress)["istio-api"] / "kubernetes"
    _crds(home, folder / "customresourcedefinitions.gen.yaml")
    _apply(home, _read(MANIFESTS / "istio.yaml"))
    for name in ("istiod", "gateway"):
        _kubectl(home, "rollout", "status", f"deployment/{name}", "-n", ISTIO_NAMESPACE, "--timeout=120s")
    gateway = "gateways.gateway.networking.k8s.io/public"
    _kubectl(home, "wait", "--for=condition=Programmed", gateway, "-n", ISTIO_NAMESPACE, "--timeout=60s")


def _traefik(home: Home, progress: Progress) -> None:
    _gateway_api(home, progress)
    _load_stock(home, ("traefik",), progress)
    folder = obtain(["traefik-manifests"], progress)["traefik-manifests"] / TRAEFIK_CRDS
    _crds(home, folder / "kubernetes-crd-definition-v1.yml")
    for name in ("crd", "gateway"):
        _apply(home, [in_traefik(document) for document in _read(folder / f"kubernetes-{name}-rbac.yml")])
    _apply(home, _read(MANIFESTS / "traefik.yaml"))
    _kubectl(home, "rollout", "status", "deployment/traefik", "-n", TRAEFIK_NAMESPACE, "--timeout=120s")
    gateway = "gateways.gateway.networking.k8s.io/public"
    _kubectl(home, "wait", "--for=condition=Programmed", gateway, "-n", TRAEFIK_NAMESPACE, "--timeout=60s")


def in_traefik(document: Manifest) -> Manifest:
    """A ClusterRole of Traefik's documentation, or its binding for the account that Traefik has here."""
    if document["kind"] == "ClusterRoleBinding":
        account = {"kind": "ServiceAccount", "name": "traefik", "namespace": TRAEFIK_NAMESPACE}
        document["subjects"] = [account]
    return document


def _crds(home: Home, path: Path, names: tuple[str, ...] = ()) -> None:
    """Install the CRDs in a file, or some of them, and wait until they are served."""
    documents = [document for document in _read(path) if not names or document["metadata"]["name"] in names]
    _apply(home, documents)
    kinds = [f"crd/{document['metadata']['name']}" for document in documents]
    _kubectl(home, "wait", "--for=condition=Established", *kinds, "--timeout=60s")


def _knative_crds(home: Home, progress: Progress) -> None:
    folder = obtain(["knative-crds"], progress)["knative-crds"] / "config/core/300-resources"
    _crds(home, folder / "service.yaml", ("services.serving.knative.dev",))


def _keda_crds(home: Home, progress: Progress) -> None:
    _apply(home, _read(_keda_manifests(progress) / "crd/bases/keda.sh_scaledobjects.yaml"))
    _kubectl(home, "wait", "--for=condition=Established", f"crd/{_SCALED_OBJECTS}", "--timeout=60s")


def _keda_manifests(progress: Progress) -> Path:
    return obtain(["keda-manifests"], progress)["keda-manifests"] / "config"


def _keda(home: Home, progress: Progress) -> None:
    _load_stock(home, ("keda",), progress)
    folder = _keda_manifests(progress)
    crds = [document for path in sorted((folder / "crd/bases").glob("*.yaml")) for document in _read(path)]
    _apply(home, crds)
    kinds = [f"crd/{crd['metadata']['name']}" for crd in crds]
    _kubectl(home, "wait", "--for=condition=Established", *kinds, "--timeout=60s")
    _apply(home, _read(MANIFESTS / "keda.yaml"))
    for name in ("role", "role_binding"):
        _apply(home, [_in_keda(document) for document in _read(folder / f"rbac/{name}.yaml")])
    for workload in ("deployment/keda-operator", "deployment/keda-metrics-apiserver"):
        _kubectl(home, "rollout", "status", workload, "-n", "keda", "--timeout=180s")
    _kubectl(home, "wait", "--for=condition=Available", "apiservice/v1beta1.external.metrics.k8s.io", "--timeout=180s")


def _in_keda(document: Manifest) -> Manifest:
    """A Role or binding in the namespace that kustomize would give it."""
    if not document["kind"].startswith("Cluster"):
        document["metadata"]["namespace"] = "keda"
    return document


def _podinfo(home: Home, progress: Progress) -> None:
    _load_stock(home, [f"podinfo-{version}" for version in PODINFO_VERSIONS], progress)


ADDONS: dict[str, Callable[[Home, Progress], None]] = {
    "gateway-api": _gateway_api,
    "contour-crds": _contour_crds,
    "contour": _contour,
    "prometheus": _prometheus,
    "metrics-server": _metrics_server,
    "istio-crds": _istio_crds,
    "traefik-crds": _traefik_crds,
    "smi-crds": _smi_crds,
    "istio": _istio,
    "traefik": _traefik,
    "knative-crds": _knative_crds,
    "keda-crds": _keda_crds,
    "keda": _keda,
    "podinfo": _podinfo,
}


def _load_stock(home: Home, names: Iterable[str], progress: Progress) -> None:
    chosen = list(names)
    needed = [part for name in chosen for part in (name, *STOCK[name].also)]
    load_images(home, stock_images(chosen, obtain(dict.fromkeys(needed), progress)))


def _read(path: Path) -> list[Manifest]:
    # CRDs are tens of thousands of lines, and the loader in Python alone takes ten seconds for them.
    return [document for document in yaml.load_all(path.read_text(), Loader=_LOADER) if document]


def _apply(home: Home, documents: list[Manifest]) -> None:
    listing = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    _kubectl(home, "apply", "--server-side", "--force-conflicts", "-f", "-", given=listing)


def _kubectl(home: Home, *words: str, given: str = "") -> str:
    command = [*launch.entrance(home), "kubectl", *words]
    environment = os.environ | launch.environment(home)
    done = subprocess.run(
        command, input=given, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode != 0:
        raise ClusterError(f"'kubectl {' '.join(words)}' failed: {done.stderr.strip()}")
    return done.stdout
