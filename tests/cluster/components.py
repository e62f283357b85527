"""How each process of the control plane is called: its arguments and files, as pure data.

Starting and watching them is supervise.py's; what only the full node has is in node.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import certs
from tests.cluster.state import Home, Isolation, Kind, Spec

NODE_IP = "10.200.0.1"
POD_RANGE = "10.200.0.0/16"
SERVICE_RANGE = "10.201.0.0/16"
FIRST_SERVICE_IP = "10.201.0.1"
DNS_IP = "10.201.0.10"
KWOK_POD_RANGE = "10.202.0.1/16"
NODE_NAME = "node-1"

RAISED_LIMITS = ("--kube-api-qps=1000", "--kube-api-burst=2000")
"""The defaults are low enough to be what a scale test measures."""
ROOMY = {"GOGC": "400"}
"""Collect garbage at five times the live heap, not two: a test cluster has memory to spare, and processors to save."""


@dataclass(frozen=True, slots=True)
class Component:
    """One process of the cluster; `path` is put before the inherited PATH."""

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that the argument lists are made from."""

    home: Home
    spec: Spec
    authority: certs.Authority

    def program(self, part: str, name: str) -> str:
        """The path of a program inside a part of the cache."""
        return str(Path(self.spec.parts[part]) / "bin" / name)

    @property
    def server(self) -> str:
        """The API server's address, the same for everybody in the namespace."""
        host = NODE_IP if self.spec.kind is Kind.FULL else "127.0.0.1"
        return f"https://{host}:{self.spec.ports.api}"

    @property
    def pki(self) -> Path:
        """Where the keys are."""
        return self.authority.folder

    def kubeconfig(self, user: str, groups: tuple[str, ...] = ()) -> str:
        """The path of a kubeconfig for `user`, written if it is not there yet."""
        file = user.replace(":", "-")
        place = self.pki / f"{file}.kubeconfig"
        if not place.exists():
            certificate = certs.issue(self.authority, file, user, groups)
            certs.write_kubeconfig(place, self.server, self.authority, certificate)
        return str(place)


def etcd(site: Site) -> Component:
    """The store; without fsync, since nothing here outlives the supervisor."""
    ports = site.spec.ports
    client, peer = f"http://127.0.0.1:{ports.etcd}", f"http://127.0.0.1:{ports.etcd_peer}"
    return Component(
        "etcd",
        (
            site.program("etcd", "etcd"),
            f"--data-dir={site.home.folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--log-level=warn",
        ),
        ROOMY,
    )


def api_server(site: Site) -> Component:
    """The API server with real RBAC and an audit log of every finished request."""
    pki, spec = site.pki, site.spec
    private, public = certs.make_signing_pair(pki)
    hosts = ("127.0.0.1", NODE_IP, FIRST_SERVICE_IP, "localhost", "kubernetes", "kubernetes.default.svc")
    serving = certs.issue(site.authority, "apiserver", "kube-apiserver", hosts=hosts)
    argv = [
        site.program("kubernetes", "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{spec.ports.etcd}",
        f"--secure-port={spec.ports.api}",
        f"--tls-cert-file={serving}",
        f"--tls-private-key-file={serving.with_suffix('.key')}",
        f"--client-ca-file={site.authority.path}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={public}",
        f"--service-account-signing-key-file={private}",
        "--profiling=false",
        *_audit(site.home),
        *_addresses(site),
    ]
    return Component("kube-apiserver", tuple(argv), ROOMY)


def _audit(home: Home) -> tuple[str, ...]:
    policy = home.folder / "audit-policy.json"
    rules = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        # What a route was asked to be tells when users moved; of everything else it is enough who, what and when.
        "rules": [
            {"level": "Request", "resources": [{"group": "gateway.networking.k8s.io", "resources": ["httproutes"]}]},
            {"level": "Metadata"},
        ],
    }
    policy.write_text(json.dumps(rules))
    # It rotates at 100 MB by default, and whoever counts requests would lose some.
    size = "--audit-log-maxsize=100000"
    return (f"--audit-policy-file={policy}", f"--audit-log-path={home.audit_log}", size)


def _addresses(site: Site) -> tuple[str, ...]:
    if site.spec.kind is Kind.FULL:
        kubelet = certs.issue(site.authority, "apiserver-kubelet", "kube-apiserver-kubelet", ("system:masters",))
        return (
            "--bind-address=0.0.0.0",
            f"--advertise-address={NODE_IP}",
            # The node's name resolves nowhere: logs and exec must go to its address.
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-certificate-authority={site.authority.path}",
            f"--kubelet-client-certificate={kubelet}",
            f"--kubelet-client-key={kubelet.with_suffix('.key')}",
            *_aggregation(site),
        )
    # Loopback may not stand in the endpoints of the kubernetes Service, and no pod would use them.
    return ("--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none")


def _aggregation(site: Site) -> tuple[str, ...]:
    """How the API server shows itself, and whom it speaks for, to servers that it passes requests on to."""
    name = "front-proxy"
    proxy = certs.issue(site.authority, name, name)
    return (
        f"--proxy-client-cert-file={proxy}",
        f"--proxy-client-key-file={proxy.with_suffix('.key')}",
        f"--requestheader-client-ca-file={site.authority.path}",
        # One authority signs everything here, so the name alone tells the proxy from other clients.
        f"--requestheader-allowed-names={name}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    )


def controller_manager(site: Site) -> Component:
    """The controllers of Kubernetes itself, as their own users."""
    return Component(
        "kube-controller-manager",
        (
            site.program("kubernetes", "kube-controller-manager"),
            f"--kubeconfig={site.kubeconfig('system:kube-controller-manager')}",
            f"--service-account-private-key-file={site.pki / 'service-account.key'}",
            f"--root-ca-file={site.authority.path}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--secure-port=0",
            "--concurrent-deployment-syncs=50",
            "--concurrent-replicaset-syncs=50",
            "--concurrent-service-endpoint-syncs=20",
            # An autoscaler looks every 15 s by default, and every test of one would wait for it several times.
            "--horizontal-pod-autoscaler-sync-period=5s",
            *_patience_with_nodes(site),
            *RAISED_LIMITS,
        ),
        ROOMY,
    )


def _patience_with_nodes(site: Site) -> tuple[str, ...]:
    """Never give up pretended nodes, which do not die.

    After an API server that was away it can hear of their leases so late that it calls all of their pods unready.
    """
    return () if site.spec.kind is Kind.FULL else ("--node-monitor-grace-period=24h",)


def scheduler(site: Site) -> Component:
    """The scheduler."""
    return Component(
        "kube-scheduler",
        (
            site.program("kubernetes", "kube-scheduler"),
            f"--kubeconfig={site.kubeconfig('system:kube-scheduler')}",
            "--leader-elect=false",
            "--secure-port=0",
            *RAISED_LIMITS,
        ),
    )


def kwok(site: Site) -> Component:
    """The pretended kubelets: their pods look ready at once, and their nodes keep their leases."""
    stages = Path(site.spec.parts["kwok-stages"]) / "kustomize" / "stage"
    names = ("node/fast", "node/heartbeat-with-lease", "pod/fast")
    files = [path for name in names for path in sorted((stages / name).glob("*.yaml"))]
    config = site.home.folder / "kwok.yaml"
    config.write_text("\n---\n".join(path.read_text() for path in files if path.stem != "kustomization"))
    return Component(
        "kwok",
        (
            site.program("kwok", "kwok"),
            f"--kubeconfig={site.kubeconfig('kwok', ('system:masters',))}",
            f"--config={config}",
            "--manage-all-nodes=true",
            "--node-lease-duration-seconds=40",
            f"--cidr={KWOK_POD_RANGE}",
        ),
    )


def kwok_node(index: int) -> dict[str, object]:
    """The Node object of one pretended node."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": f"kwok-{index}",
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"kubernetes.io/hostname": f"kwok-{index}", "kubernetes.io/os": "linux", "type": "kwok"},
        },
    }


def own_network(site: Site) -> bool:
    """Whether the cluster may set up links and addresses: it then has a network namespace."""
    return site.spec.isolation is not Isolation.NONE
