"""The order in which a cluster comes up: store, API server, controllers, then nodes. One step after the other."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Protocol

from tests.cluster import certs, components
from tests.cluster.components import Component, Site
from tests.cluster.errors import ClusterError
from tests.cluster.kube import Kube
from tests.cluster.state import Home, Kind


class Host(Protocol):
    """What the steps need of the supervisor."""

    home: Home

    def say(self, sentence: str) -> None:
        """Tell the person outside."""

    def start(self, component: Component) -> None:
        """Start a process."""

    def wait_for(self, what: str, ready: Callable[[], bool], limit: float = 60.0) -> None:
        """Wait for a condition."""


def bring_up(host: Host) -> None:
    """Everything from an empty folder to a cluster that takes work."""
    spec = host.home.spec()
    if spec is None:
        raise ClusterError("no spec in the state folder")
    site = Site(host.home, spec, certs.make_authority(host.home.folder / "pki"))
    if spec.kind is Kind.FULL:
        from tests.cluster import node  # noqa: PLC0415 - the control plane alone must not need the node's parts

        node.make_bridge()
    kube = _control_plane(host, site)
    if spec.kind is Kind.FULL:
        from tests.cluster import node  # noqa: PLC0415 - as above

        node.bring_up(host, site, kube)
    elif spec.kwok_nodes:
        _kwok(host, site, kube)


def _control_plane(host: Host, site: Site) -> Kube:
    admin = certs.issue(site.authority, "admin", "admin", ("system:masters",))
    certs.write_kubeconfig(host.home.kubeconfig, site.server, site.authority, admin)
    host.start(components.etcd(site))
    host.start(components.api_server(site))
    host.start(components.controller_manager(site))
    host.start(components.scheduler(site))
    kube = Kube(host.home.kubeconfig)
    host.wait_for("a ready API server", kube.ready)
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    host.wait_for("the default service account", lambda: kube.exists(account))
    host.say("the control plane answers")
    return kube


def _kwok(host: Host, site: Site, kube: Kube) -> None:
    host.start(components.kwok(site))
    for index in range(site.spec.kwok_nodes):
        kube.create("/api/v1/nodes", components.kwok_node(index))
    host.wait_for("ready kwok nodes", lambda: ready_nodes(kube) >= site.spec.kwok_nodes)
    host.say(f"{site.spec.kwok_nodes} kwok node(s) ready")


def ready_nodes(kube: Kube) -> int:
    """How many nodes say that they are ready."""
    nodes = kube.get("/api/v1/nodes")["items"]
    conditions = [condition for node in nodes for condition in node.get("status", {}).get("conditions", [])]
    return sum(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def command(words: list[str]) -> str:
    """Run a short command to its end inside the namespaces."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise ClusterError(f"'{' '.join(words)}' failed: {done.stderr.strip()}")
    return done.stdout
