"""The node of the full cluster: its address, containerd, the kubelet, kube-proxy and CoreDNS.

Everything here runs inside the namespaces, as root, and writes only below the state folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.cluster import certs
from tests.cluster.components import (
    DNS_IP,
    NODE_IP,
    NODE_NAME,
    POD_RANGE,
    SERVICE_RANGE,
    Component,
    Site,
)
from tests.cluster.errors import ClusterError
from tests.cluster.host import Host, command, ready_nodes
from tests.cluster.images import load
from tests.cluster.kube import Kube
from tests.cluster.state import Home
from tests.cluster.stock import stock_images

MANIFESTS = Path(__file__).resolve().parent / "manifests"
BASE_IMAGES = ("pause", "coredns")
_LINK = "node0"
_HOST_WIDE = {
    "vm/overcommit_memory": "1",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""Settings of the whole machine that a kubelet makes; ours writes them into files of its own instead."""


def make_network() -> None:
    """The node's address and a route for Services, before anything listens.

    An idle bridge holds the address. Without the route the node itself has "network unreachable" for Services:
    routing comes before kube-proxy's rules.
    """
    command(["ip", "link", "add", _LINK, "type", "bridge"])
    command(["ip", "address", "add", f"{NODE_IP}/32", "dev", _LINK])
    command(["ip", "link", "set", _LINK, "up"])
    command(["ip", "route", "add", SERVICE_RANGE, "dev", _LINK, "src", NODE_IP])
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _refuse_unknown_services(tools: Path) -> None:
    """Turn away connections to Services that kube-proxy has no rule for yet: new ones, for a second or so.

    Connection tracking would remember for two minutes that such a connection led nowhere, and lead every later one of
    the same client there that happens to get the same source port, long after the Service is served. What is refused
    is not remembered. Addresses are translated before these chains, so a known Service does not come by here.
    """
    refuse = ["--destination", SERVICE_RANGE, "--jump", "REJECT"]
    for chain in ("OUTPUT", "FORWARD"):
        command([str(tools / "iptables"), "--wait", "--append", chain, *refuse])


def bring_up(host: Host, site: Site, kube: Kube) -> None:
    """From a control plane to a Ready node with a name server."""
    tools = write_tools(site)
    _refuse_unknown_services(tools)
    _shield_host_settings(site.home)
    environment = {"PATH": os.pathsep.join([str(tools), *_folders(site), os.environ["PATH"]])}
    host.start(_containerd(site, environment))
    ctr = str(_debian(site) / "usr/bin/ctr")
    address = containerd_socket(site.home)
    host.wait_for("containerd", lambda: _answers([ctr, "--address", address, "version"]))
    host.start(_kubelet(site, environment))
    host.start(_kube_proxy(site, environment))
    load(ctr, address, stock_images(BASE_IMAGES, {name: Path(place) for name, place in site.spec.parts.items()}))
    host.wait_for("a ready node", lambda: ready_nodes(kube) == 1)
    host.say("the node is ready")
    kubectl = [site.program("kubernetes", "kubectl"), f"--kubeconfig={host.home.kubeconfig}"]
    command([*kubectl, "apply", "--server-side", "-f", str(MANIFESTS / "coredns.yaml")])
    name_server = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
    host.wait_for("a name server", lambda: bool(kube.get(name_server)["status"].get("readyReplicas")))
    host.say("the name server is ready")


def containerd_socket(home: Home) -> str:
    """Where containerd listens; a path, so it is reached from outside the namespaces too."""
    return str(home.folder / "containerd.sock")


def _debian(site: Site) -> Path:
    return Path(site.spec.parts["node-tools"])


def _folders(site: Site) -> list[str]:
    return [str(_debian(site) / folder) for folder in ("usr/bin", "usr/sbin")]


def _answers(words: list[str]) -> bool:
    return subprocess.run(words, capture_output=True, check=False, timeout=10).returncode == 0


# Programs -----------------------------------------------------------------------------------------------


def write_tools(site: Site) -> Path:
    """Small scripts that call the unpacked Debian programs with their own libraries."""
    folder = site.home.folder / "tools"
    folder.mkdir()
    root = _debian(site)
    for name in ("conntrack", "ipset"):
        _script(folder / name, root, [str(root / "usr/sbin" / name)])
    flavour = _iptables_flavour(root)
    for name in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            program = root / "usr/sbin" / f"xtables-{flavour}-multi"
            _script(folder / f"{name}{suffix}", root, [str(program), f"{name}{suffix}"])
    if "load-tools" in site.spec.parts:
        load_tools = Path(site.spec.parts["load-tools"])
        _script(folder / "wrk", load_tools, [str(load_tools / "usr/bin/wrk")])
    return folder


def _script(place: Path, root: Path, words: list[str]) -> None:
    libraries = next(root.glob("usr/lib/*-linux-gnu"))
    place.write_text(
        "#!/bin/sh\n"
        f"export LD_LIBRARY_PATH='{libraries}' XTABLES_LIBDIR='{libraries}/xtables'\n"
        f'exec {" ".join(repr(word) for word in words)} "$@"\n'
    )
    place.chmod(0o755)


def _iptables_flavour(root: Path) -> str:
    """The kernel interface that works here: the newer one if it can be had."""
    libraries = next(root.glob("usr/lib/*-linux-gnu"))
    environment = os.environ | {"LD_LIBRARY_PATH": str(libraries), "XTABLES_LIBDIR": f"{libraries}/xtables"}
    for flavour in ("nft", "legacy"):
        words = [str(root / "usr/sbin" / f"xtables-{flavour}-multi"), "iptables", "-t", "nat", "-S"]
        if subprocess.run(words, env=environment, capture_output=True, check=False).returncode == 0:
            return flavour
    raise ClusterError("iptables works neither with nf_tables nor the old way: the kernel has no NAT for us.")


def _shield_host_settings(home: Home) -> None:
    """Put files of our own over the settings that belong to the whole machine."""
    for name, value in _HOST_WIDE.items():
        setting = Path("/proc/sys") / name
        if setting.exists():
            own = home.folder / "sys" / name
            own.parent.mkdir(parents=True, exist_ok=True)
            own.write_text(f"{value}\n")
            command(["mount", "--bind", str(own), str(setting)])


# Components ---------------------------------------------------------------------------------------------


def _containerd(site: Site, environment: dict[str, str]) -> Component:
    home, debian = site.home, _debian(site)
    networks = home.folder / "cni"
    networks.mkdir()
    (networks / "10-pods.conflist").write_text(json.dumps(_pod_network()))
    config = home.folder / "containerd.toml"
    config.write_text(
        f"""version = 2
root = "{home.folder}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", \
"io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
address = "{containerd_socket(home)}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:local"
# Without CAP_SYS_RESOURCE a sandbox otherwise dies with "can't get final child's PID from pipe: EOF".
restrict_oom_score_adj = true
disable_tcp_service = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{debian}/usr/lib/cni"
conf_dir = "{networks}"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{debian}/usr/sbin/runc"
"""
    )
    return Component("containerd", (str(debian / "usr/bin/containerd"), "--config", str(config)), environment)


def _pod_network() -> dict[str, Any]:
    """Every pod on a link of its own, routed by the node: no bridge, so no bridge netfilter is needed."""
    addresses = {"type": "host-local", "ranges": [[{"subnet": POD_RANGE, "rangeStart": "10.200.1.1"}]]}
    pods = {
        "type": "ptp",
        "ipMasq": False,
        "ipam": addresses | {"routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/run/cni-addresses"},
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [pods, ports]}


def _kubelet(site: Site, environment: dict[str, str]) -> Component:
    folder = site.home.folder
    user = f"system:node:{NODE_NAME}"
    serving = certs.issue(site.authority, "kubelet", user, ("system:nodes",), (NODE_IP, NODE_NAME))
    names = folder / "resolv.conf"
    names.write_text("# no name server beyond the cluster's\n")
    config = folder / "kubelet.json"
    config.write_text(json.dumps(_kubelet_configuration(site, serving, names)))
    return Component(
        "kubelet",
        (
            site.program("kubernetes-node", "kubelet"),
            f"--config={config}",
            f"--kubeconfig={site.kubeconfig(user, ('system:nodes',))}",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={NODE_IP}",
            f"--root-dir={folder / 'kubelet'}",
        ),
        environment,
    )


def _kubelet_configuration(site: Site, serving: Path, names: Path) -> dict[str, Any]:
    never = {"memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"}
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        # Loopback would make logs and exec fail: the API server comes by the node's address.
        "address": NODE_IP,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(site.authority.path)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving),
        "tlsPrivateKeyFile": str(serving.with_suffix(".key")),
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "failCgroupV1": False,
        "localStorageCapacityIsolation": False,
        "containerRuntimeEndpoint": f"unix://{containerd_socket(site.home)}",
        "clusterDNS": [DNS_IP],
        "clusterDomain": "cluster.local",
        "resolvConf": str(names),
        "podLogsDir": str(site.home.folder / "pod-logs"),
        # A full disk on somebody's machine is no reason to evict the pods of a test.
        "evictionHard": never,
        "imageGCHighThresholdPercent": 100,
        "serializeImagePulls": False,
        "maxPods": 200,
    }


def _kube_proxy(site: Site, environment: dict[str, str]) -> Component:
    config = site.home.folder / "kube-proxy.json"
    untouched = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    config.write_text(
        json.dumps(
            {
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                "kind": "KubeProxyConfiguration",
                "mode": "iptables",
                # A second is the default, and as long as the intervals of most tests, which are a tenth of users'.
                "iptables": {"minSyncPeriod": "0.3s", "syncPeriod": "30s"},
                "clientConnection": {"kubeconfig": site.kubeconfig("system:kube-proxy")},
                "clusterCIDR": POD_RANGE,
                "conntrack": untouched | {"udpTimeout": "0s", "udpStreamTimeout": "0s"},
                "hostnameOverride": NODE_NAME,
                "bindAddress": NODE_IP,
            }
        )
    )
    return Component("kube-proxy", (site.program("kubernetes-node", "kube-proxy"), f"--config={config}"), environment)


def require_tools() -> None:
    """What the node takes from the machine itself: iproute2 is fetched, it starts nothing."""
    missing = [name for name in ("unshare", "nsenter", "mount") if not shutil.which(name)]
    if missing:
        raise ClusterError(f"The node needs {', '.join(missing)}: install util-linux and mount.")
    if not shutil.which("ip"):
        if not shutil.which("apt-get"):
            raise ClusterError("The node needs the command ip: install iproute2.")
        command(["apt-get", "update"])
        command(["apt-get", "install", "--yes", "--no-install-recommends", "iproute2"])
