"""The table of parts agrees with the committed go.mod files, and manifests fit one node without a route out."""

from __future__ import annotations

import re

import pytest

from tests.cluster import parts
from tests.cluster.addons import adapt, in_traefik
from tests.cluster.node import MANIFESTS
from tests.cluster.parts import GO_FAMILIES, PARTS, GoPart, ModuleFilesPart
from tests.cluster.stock import STOCK

FAMILIES = sorted({part.family for part in PARTS.values() if isinstance(part, GoPart | ModuleFilesPart)})


@pytest.mark.parametrize(
    ("family", "module", "version"),
    [
        ("kubernetes", "k8s.io/kubernetes", parts.KUBERNETES),
        ("kwok", "sigs.k8s.io/kwok", parts.KWOK),
        ("helm", "helm.sh/helm/v3", parts.HELM),
        ("contour", "github.com/projectcontour/contour", parts.CONTOUR),
        ("prometheus", "github.com/prometheus/prometheus", "0.313.5"),
        ("metrics-server", "sigs.k8s.io/metrics-server", parts.METRICS_SERVER),
        ("keda", "github.com/kedacore/keda/v2", parts.KEDA),
        ("gateway-api", "sigs.k8s.io/gateway-api", parts.GATEWAY_API),
        ("istio", "istio.io/api", parts.ISTIO),
        ("istiod", "istio.io/istio", parts.ISTIOD),
        ("traefik", "github.com/traefik/traefik/v3", parts.TRAEFIK),
        ("smi", "github.com/servicemeshinterface/smi-sdk-go", parts.SMI),
        ("traefik-proxy", "github.com/traefik/traefik/v3", parts.TRAEFIK_PROXY),
        ("knative", "knative.dev/serving", parts.KNATIVE),
    ],
)
def test_a_version_named_here_is_the_one_that_is_built(family: str, module: str, version: str) -> None:
    assert re.search(rf"{re.escape(module)} v{re.escape(version)}\b", go_mod(family))


def go_mod(family: str) -> str:
    return (GO_FAMILIES / family / "go.mod").read_text()


def test_every_folder_of_go_is_used_and_there() -> None:
    assert sorted(path.name for path in GO_FAMILIES.iterdir()) == FAMILIES


def test_every_package_is_a_tool_of_its_family() -> None:
    built = [part for part in PARTS.values() if isinstance(part, GoPart) and part.packages != (".",)]

    missing = [
        package
        for part in built
        for package in part.packages
        if not re.search(
            rf"^(tool )?\s*{re.escape(package)}$", (GO_FAMILIES / part.family / "go.mod").read_text(), re.M
        )
    ]

    assert missing == []


def test_every_image_is_made_of_parts_of_the_table() -> None:
    assert {part for stock in STOCK.values() for part in (stock.part, *stock.also)} <= set(PARTS)


def test_both_kinds_take_parts_of_the_table() -> None:
    assert set(parts.CONTROL_PLANE) | set(parts.FULL_NODE) | set(parts.DATA_PLANES) <= set(PARTS)


def test_every_image_of_a_manifest_is_made_here() -> None:
    named = {image for path in MANIFESTS.glob("*.yaml") for image in re.findall(r"image: (\S+)", path.read_text())}

    assert "localhost/istiod:local" in named
    assert named <= {stock.name for stock in STOCK.values()}


def test_traefik_gets_its_rights_under_the_account_that_it_has_here() -> None:
    subject = {"kind": "ServiceAccount", "name": "traefik-controller", "namespace": "default"}
    role = {"kind": "ClusterRole", "metadata": {"name": "gateway-role"}, "rules": []}
    binding = {"kind": "ClusterRoleBinding", "metadata": {"name": "gateway-controller"}, "subjects": [subject]}

    assert in_traefik(dict(role)) == role
    assert in_traefik(binding)["subjects"] == [{"kind": "ServiceAccount", "name": "traefik", "namespace": "traefik"}]


def test_a_load_balancer_becomes_a_service_of_the_cluster() -> None:
    service = {
        "kind": "Service",
        "metadata": {"name": "envoy"},
        "spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80}]},
    }

    assert adapt(service)["spec"] == {"type": "ClusterIP", "ports": [{"port": 80}]}


def test_containers_use_the_images_that_were_made_here() -> None:
    containers = [{"name": "shutdown-manager", "image": "a"}, {"name": "envoy", "image": "b"}]
    template = {"metadata": {}, "spec": {"containers": containers, "initContainers": [{"name": "envoy-initconfig"}]}}
    envoy = {"kind": "DaemonSet", "metadata": {"name": "envoy"}, "spec": {"template": template}}

    pod = adapt(envoy)["spec"]["template"]

    images = [(one["name"], one["image"], one["imagePullPolicy"]) for one in pod["spec"]["containers"]]
    assert images == [
        ("shutdown-manager", "localhost/contour:local", "Never"),
        ("envoy", "localhost/envoy:local", "Never"),
    ]
    assert pod["spec"]["initContainers"][0]["image"] == "localhost/contour:local"
    assert pod["metadata"]["annotations"]["prometheus.io/path"] == "/stats/prometheus"
