"""The order in which a cluster comes up: store, API server, controllers, then nodes. One step after the other."""

from __future__ import annotations

from tests.cluster import certs, components, node
from tests.cluster.components import Site
from tests.cluster.errors import ClusterError
from tests.cluster.host import Host, ready_nodes
from tests.cluster.kube import Kube
from tests.cluster.state import Kind


def bring_up(host: Host) -> None:
    """Everything from an empty folder to a cluster that takes work."""
    spec = host.home.spec()
    if spec is None:
        raise ClusterError("no spec in the state folder")
    site = Site(host.home, spec, certs.make_authority(host.home.folder / "pki"))
    if spec.kind is Kind.FULL:
        node.make_network()
    kube = _control_plane(host, site)
    if spec.kind is Kind.FULL:
        node.bring_up(host, site, kube)
    elif spec.kwok_nodes:
        _kwok(host, site, kube)


def _control_plane(host: Host, site: Site) -> Kube:
    admin = certs.issue(site.authority, "admin", "admin", ("system:masters",))
    certs.write_kubeconfig(host.home.kubeconfig, site.server, site.authority, admin)
    host.start(components.etcd(site))
    host.start(components.api_server(site))
    kube = Kube(host.home.kubeconfig)
    # Both give up when they may not read /healthz within 10 s, and on a busy machine the first roles take longer.
    host.wait_for("a ready API server", kube.ready)
    host.start(components.controller_manager(site))
    host.start(components.scheduler(site))
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
